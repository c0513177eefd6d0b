"""The HTTP server: one thread per connection, keep-alive, and full command of the socket for the faults that need it.

A WSGI server would be shorter, but it cannot cut an answer off, reset a connection or drip a body, and the development
servers among them close the connection after each answer, which would hide what a pool of connections meets.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import socketserver
import struct
import sys
import threading
import uuid
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from urllib.parse import unquote

from webhook_app.logs import get_logger
from webhook_app.sandbox.answers import FILLER_MARK, HttpAnswer, HttpRequest, Manner, error_answer

#: Answers one request; the context lasts until the answer's last byte has left. The second argument is the
#: `X-Request-Id` that the answer will carry.
Respond = Callable[[HttpRequest, str], contextlib.AbstractContextManager[HttpAnswer]]

LARGEST_BODY = 4 << 20
IDLE_SECONDS = 75.0
_CHUNK = b"x" * 65_536


class HttpServer(socketserver.ThreadingTCPServer):
    """Listens from its making on; raises OSError where the port is taken."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 1024

    def __init__(self, host: str, port: int, respond: Respond) -> None:
        self.respond = respond
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._open: dict[socket.socket, None] = {}
        self._lock = threading.Lock()
        self.to_reset: set[socket.socket] = set()
        super().__init__((host, port), _Handler)
        self._thread = threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 5}, name="sandbox-http", daemon=True
        )
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def stop(self) -> None:
        """Stops listening and ends every connection, hanging ones included."""
        _shut(self.socket)  # wakes the thread that waits for connections
        self.shutdown()
        self.server_close()
        self._thread.join(2)
        with self._lock:
            for connection in self._open:
                _shut(connection)

    def get_request(self) -> tuple[socket.socket, object]:
        connection, address = super().get_request()
        # An answer leaves in one packet at once; waiting to fill it (Nagle) would cost 40 ms now and then.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._open[connection] = None
        return connection, address

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        connection = request if isinstance(request, socket.socket) else request[1]
        with self._lock:
            self._open.pop(connection, None)
            is_reset = connection in self.to_reset
            self.to_reset.discard(connection)
        if is_reset:
            # Closed with a linger of zero, and no orderly end before it, TCP sends RST.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
            return
        super().shutdown_request(request)

    def handle_error(self, _request: object, _client_address: object) -> None:
        error = sys.exception()
        if not isinstance(error, ConnectionError | TimeoutError):  # clients may leave when they like
            get_logger().exception("sandbox_connection_failed")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "proof-sandbox"
    timeout = IDLE_SECONDS
    server: HttpServer
    connection: socket.socket

    def _serve(self) -> None:
        request_id = str(uuid.uuid4())
        answer: HttpAnswer | None = None
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not (length.isascii() and length.isdigit()):
            answer = error_answer(411, "invalid_request", "length_required", "send a Content-Length")
        elif int(length) > LARGEST_BODY:
            answer = error_answer(413, "invalid_request", "too_large", "the body is too large")
        if answer is not None:
            self.close_connection = True
            self._send(answer, request_id)
            return
        body = self.rfile.read(int(length)) if length != "0" else b""
        path, _, query = self.path.partition("?")
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = HttpRequest(self.command, unquote(path), query, headers, body)
        with contextlib.ExitStack() as under_way:
            try:
                answer = under_way.enter_context(self.server.respond(request, request_id))
            except Exception:  # noqa: BLE001 - an entrypoint: whatever went wrong, the caller gets an answer
                get_logger().exception("sandbox_request_failed", request_id=request_id, path=path)
                answer = error_answer(500, "internal_error", "sandbox_error", "the sandbox failed, see its log")
            self._send(answer, request_id, before_last_byte=under_way.close)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _serve

    def _send(self, answer: HttpAnswer, request_id: str, before_last_byte: Callable[[], object] = lambda: None) -> None:
        """A caller that has read the last byte may call again before this goes on: then the first call is over."""
        if answer.wait_seconds and self._client_left_within(answer.wait_seconds):
            self.close_connection = True
            return
        if answer.manner is not Manner.WHOLE:
            self.close_connection = True
        head, body = self._head(answer, request_id), answer.body
        if self.command == "HEAD" or answer.status in (204, 304):
            body = b""
        match answer.manner:
            case Manner.WHOLE if answer.filler_bytes and body:
                before, after = body.split(FILLER_MARK)
                self.connection.sendall(head + before)
                self._send_filler(answer.filler_bytes)
                self.connection.sendall(after)
            case Manner.WHOLE:
                before_last_byte()
                self.connection.sendall(head + body)
            case Manner.NOTHING:
                self._client_left_within(answer.seconds)
            case Manner.HALF:
                self.connection.sendall(head + body[: len(body) // 2])
                self._client_left_within(answer.seconds)
            case Manner.RESET:
                self.server.to_reset.add(self.connection)
            case Manner.DRIP:
                self.connection.sendall(head)
                for at in range(len(body)):
                    if self._client_left_within(answer.seconds):
                        return
                    self.connection.sendall(body[at : at + 1])
            case Manner.CHUNKED:
                self._send_chunked(head, answer)
            case Manner.RAW:
                self.connection.sendall(body)
            case Manner.UPGRADE:
                if answer.talk is not None:
                    answer.talk(self.connection)

    def _head(self, answer: HttpAnswer, request_id: str) -> bytes:
        reason = HTTPStatus(answer.status).phrase if answer.status in _KNOWN_STATUSES else "Unknown"
        length = len(answer.body)
        if answer.filler_bytes or FILLER_MARK in answer.body:
            length += answer.filler_bytes - len(FILLER_MARK)
        lines = [
            f"HTTP/1.1 {answer.status} {reason}",
            f"Date: {self.date_time_string()}",
            *([] if answer.is_older else [f"X-Request-Id: {request_id}"]),
            f"Content-Type: {answer.content_type}",
            *(f"{name}: {value}" for name, value in answer.headers),
        ]
        if answer.manner is Manner.CHUNKED:
            lines.append("Transfer-Encoding: chunked")
        elif answer.status not in (204, 304):
            lines.append(f"Content-Length: {length}")
        if self.close_connection:
            lines.append("Connection: close")
        return "\r\n".join((*lines, "", "")).encode("latin-1")

    def _send_filler(self, size: int) -> None:
        for start in range(0, size, len(_CHUNK)):
            self.connection.sendall(_CHUNK[: size - start])

    def _send_chunked(self, head: bytes, answer: HttpAnswer) -> None:
        before, after = answer.body.split(FILLER_MARK)
        self.connection.sendall(head + _chunked(before))
        for start in range(0, answer.filler_bytes, len(_CHUNK)):
            self.connection.sendall(_chunked(_CHUNK[: answer.filler_bytes - start]))
        self.connection.sendall(_chunked(after) + b"0\r\n\r\n")

    def _client_left_within(self, seconds: float) -> bool:
        """Waits, and says whether the client closed the connection, or the server stopped, in the meantime."""
        with selectors.DefaultSelector() as selector:
            selector.register(self.connection, selectors.EVENT_READ)
            if not selector.select(seconds):
                return False
        return True

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """For what the standard library refuses before a method is reached: a bad request line, an unknown method."""
        self.close_connection = True
        answer = error_answer(int(code), "invalid_request", "bad_request", message or explain or "bad request")
        self._send(answer, str(uuid.uuid4()))

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the call log keeps calls, and thousands of them would drown the other lines."""


_KNOWN_STATUSES = frozenset(int(status) for status in HTTPStatus)


def _chunked(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # gone already
        connection.shutdown(socket.SHUT_RDWR)
