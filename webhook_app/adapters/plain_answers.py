"""Plain HTTP/1.1 answers, read without `http.client`: its parser is made for e-mail, and takes a third of a call.

Plain is what leaves no choice how to read it (RFC 9112): headers of printable ASCII, one on a line, a single
Content-Length and nothing else that frames the body, and all of it there with the first bytes. Whatever is not plain
goes to `http.client` from its first byte on, so there is one place that decides about anything odd.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

#: Bytes within which a plain answer ends.
LONGEST = 16 * 1024

#: 1xx are followed by the answer itself.
_HEAD = re.compile(rb"HTTP/1\.1 ([2-5][0-9]{2})(?: [ -~]*)?\r\n((?:[A-Za-z0-9-]+:[\t -~]*\r\n){1,100})\r\n")
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
    head = _HEAD.match(received)
    if head is None or (status := int(head[1])) in _WITHOUT_BODY:
        return None
    items = [(name, value.lstrip(" \t")) for name, _, value in map(_parted, head[2].decode().split("\r\n")[:-1])]
    length: int | None = None
    for name, value in items:
        key = name.lower()
        if key == "content-length":
            if length is not None or not _LENGTH.fullmatch(value):
                return None
            length = int(value)
        elif key == "transfer-encoding" or (key == "connection" and value.lower() != "keep-alive"):
            return None
    if length is None or length != len(received) - head.end():
        return None
    return PlainAnswer(status, items, received[head.end() :])


def _parted(line: str) -> tuple[str, str, str]:
    return line.partition(":")
