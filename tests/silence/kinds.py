"""Ways to be silent."""

from __future__ import annotations

from dataclasses import dataclass

_HEAD = "POST /webhooks/proof HTTP/1.1\r\nHost: example.org\r\nX-Forwarded-For: {client}\r\n"


@dataclass(frozen=True)
class SilentKind:
    """`begun` is sent at once; `drop` every half second, where there is one. `{client}`: an address for each."""

    name: str
    begun: str
    drop: str = ""
    has_headers: bool = True


KINDS = {
    kind.name: kind
    for kind in (
        SilentKind("no header", "", has_headers=False),
        SilentKind("half a header", _HEAD + "X-Half: ", has_headers=False),
        SilentKind("no body", _HEAD + "Content-Length: 300\r\n\r\n"),
        SilentKind("no body, one client", _HEAD.replace("{client}", "192.0.2.1") + "Content-Length: 300\r\n\r\n"),
        SilentKind("dripping", _HEAD + "Content-Length: 300\r\n\r\n", drop=" "),
        SilentKind("half a chunk", _HEAD + "Transfer-Encoding: chunked\r\n\r\n40\r\n{{"),
    )
}
