"""One HTTP request and its answer, and in what manner the answer goes over the wire."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Headers = tuple[tuple[str, str], ...]


class Manner(StrEnum):
    """How an answer leaves the server; all but WHOLE end the connection."""

    WHOLE = "whole"
    NOTHING = "nothing"
    """Nothing is sent; the connection is closed once the client leaves or `seconds` have passed."""
    HALF = "half"
    """The head, which promises the whole body, and half of it, then as NOTHING."""
    RESET = "reset"
    """Nothing is sent, and a TCP reset ends the connection."""
    DRIP = "drip"
    """One byte every `seconds`."""
    CHUNKED = "chunked"
    """No `Content-Length`: `filler_bytes` of body in chunks."""
    RAW = "raw"
    """The body alone, which is no HTTP."""
    UPGRADE = "upgrade"
    """`talk` has the connection from here on."""


@dataclass(frozen=True)
class HttpAnswer:
    status: int
    body: bytes
    content_type: str = "application/json"
    headers: Headers = ()
    manner: Manner = Manner.WHOLE
    wait_seconds: float = 0.0
    """Passes before anything is sent."""
    seconds: float = 0.0
    """Of NOTHING, HALF and DRIP."""
    filler_bytes: int = 0
    """Bytes of `x` that are streamed between the two halves of `body`, at its mark."""
    talk: Callable[[socket.socket], None] | None = None
    """Of UPGRADE: answers the handshake too, and returns when the connection is over."""
    is_older: bool = False
    """It is an error in Proof's older dialect: the request id is in its body, and in no header."""


@dataclass(frozen=True)
class HttpRequest:
    """Its body is already read."""

    method: str
    path: str
    """Percent-decoded, without the query."""
    query: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes


#: Where `filler_bytes` go.
FILLER_MARK = b"\x00FILLER\x00"


def json_answer(status: int, body: Any, headers: Headers = ()) -> HttpAnswer:
    return HttpAnswer(status, json.dumps(body).encode(), headers=headers)


def error_answer(status: int, error: str, code: str, message: str, headers: Headers = ()) -> HttpAnswer:
    """Proof's error shape (proof/README.md, "Errors")."""
    return json_answer(status, {"error": error, "code": code, "message": message}, headers)
