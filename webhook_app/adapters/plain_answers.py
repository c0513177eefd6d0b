"""Plain HTTP/1.1 answers, read by httptools; `http.client`'s parser is made for e-mail, and takes a third of a call.

Plain is what leaves no choice how to read it (RFC 9112): headers of ASCII, a single Content-Length and nothing else
that frames the body, and all of it there with the first bytes. Whatever is not plain goes to `http.client` from its
first byte on, so there is one place that decides about anything odd.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

#: Bytes within which a plain answer ends.
LONGEST = 16 * 1024

#: As many as http.client takes.
_MOST_HEADERS = 100
#: No sign, no blanks.
_LENGTH = re.compile("[0-9]{1,5}")
#: Status codes whose answers have no body, whatever their headers say (RFC 9112, 6.3).
_WITHOUT_BODY = (204, 304)


class PlainAnswer:
    """One that is here as a whole; as much of `http.client.HTTPResponse` as its readers need."""

    def __init__(self, status: int, items: Sequence[tuple[str, str]], body: bytes) -> None:
        self.status = status
        self.items = items
        self._body = body

    @property
    def length(self) -> int:
        """Bytes that are not read yet."""
        return len(self._body)

    def read(self, most: int) -> bytes:
        found, self._body = self._body[:most], self._body[most:]
        return found


def read_plain(received: bytes) -> PlainAnswer | None:
    """The answer to a GET or POST that these bytes are, if they are exactly a plain one."""
    message = _Message()
    parser = HttpResponseParser(message)
    try:
        parser.feed_data(received)
        items = [(name.decode("ascii"), value.decode("ascii").rstrip(" \t")) for name, value in message.headers]
    except (HttpParserError, HttpParserUpgrade, UnicodeDecodeError):
        return None
    status, body = parser.get_status_code(), b"".join(message.parts)
    is_whole = message.ends == [len(body)] and received.endswith(b"\r\n\r\n" + body)
    if not is_whole or status < 200 or status in _WITHOUT_BODY or parser.get_http_version() != "1.1":
        return None
    return PlainAnswer(status, items, body) if _is_plain(items, len(body)) else None


def _is_plain(items: Sequence[tuple[str, str]], length: int) -> bool:
    lengths = []
    for name, value in items:
        key = name.lower()
        if key == "content-length":
            lengths.append(value)
        elif key == "transfer-encoding" or (key == "connection" and value.lower() != "keep-alive"):
            return False
    is_framed = len(lengths) == 1 and _LENGTH.fullmatch(lengths[0]) is not None and int(lengths[0]) == length
    return is_framed and len(items) <= _MOST_HEADERS


class _Message:
    """What the parser tells, in its order."""

    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.parts: list[bytes] = []
        self.ends: list[int] = []
        """Bytes of bodies at the end of each message."""

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))

    def on_body(self, part: bytes) -> None:
        self.parts.append(part)

    def on_message_complete(self) -> None:
        self.ends.append(sum(map(len, self.parts)))
