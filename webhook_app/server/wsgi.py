"""One request answered by a WSGI application, on a thread of its lane."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from webhook_app.server.asgi import Environ, WsgiApplication
from webhook_app.server.responses import Response
from webhook_app.server.streams import Stream

#: Bytes of an answer without a length that are gathered; one that goes on is sent while it is made.
_GATHERED = 64 * 1024


class ServedFile:
    """`wsgi.file_wrapper`: what the server reads itself, so that a slow client holds neither thread nor memory."""

    def __init__(self, file: Any, _block_size: int = 8192) -> None:
        self.file = file

    def __iter__(self) -> Iterator[bytes]:
        while chunk := self.file.read(_GATHERED):
            yield chunk

    def close(self) -> None:
        self.file.close()


class _Started:
    """`start_response`: the last call counts (PEP 3333)."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.length: int | None = None
        self.written: list[bytes] = []

    def __call__(self, status: str, headers: list[tuple[str, str]], _exc_info: Any = None) -> Callable[[bytes], object]:
        self.status = int(status[:3])
        self.headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        lengths = [value for name, value in headers if name.lower() == "content-length"]
        self.length = int(lengths[0]) if lengths else None
        return self.written.append

    def forget_length(self) -> None:
        self.headers = [(name, value) for name, value in self.headers if name.lower() != b"content-length"]


def call_application(application: WsgiApplication, environ: Environ) -> Response:
    """The whole answer. What the application raises goes through."""
    answer = call_or_stream(application, environ, None)
    assert answer is not None, "there is no stream"
    return answer


def call_or_stream(application: WsgiApplication, environ: Environ, stream: Stream | None) -> Response | None:
    """The same; an answer without a length that goes on is sent by `stream` while it is made: None when it is out."""
    started = _Started()
    environ["wsgi.file_wrapper"] = ServedFile
    chunks = application(environ, started)
    try:
        if isinstance(chunks, ServedFile) and isinstance(name := getattr(chunks.file, "name", None), str):
            return Response(started.status, started.headers, path=name)
        parts: list[bytes] = []
        size = 0
        rest = iter(chunks)
        for chunk in rest:
            parts.append(chunk)
            size += len(chunk)
            if stream is not None and started.length is None and size >= _GATHERED:
                stream.start(started.status, started.headers)
                _send_all(stream, parts, rest)
                return None
        body = b"".join([*started.written, *parts])
        if environ["REQUEST_METHOD"] != "HEAD" and len(body) != started.length:
            started.forget_length()  # the server counts itself
        return Response(started.status, started.headers, body)
    finally:
        close = getattr(chunks, "close", None)
        if close is not None:
            close()


def _send_all(stream: Stream, first: Iterable[bytes], rest: Iterable[bytes]) -> None:
    for chunks in (first, rest):
        for chunk in chunks:
            if chunk:
                stream.send(chunk)
    stream.finish()
