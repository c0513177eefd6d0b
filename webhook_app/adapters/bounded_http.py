"""HTTP/1.1 calls that are bounded as a whole: in time, from the search for the host's address to the last byte, and in
bytes whatever the answer's framing claims.

The standard library's `http.client` reads the answers that are not plain (`plain_answers.py`). Connections are kept
here, for urllib3 above it takes as long again as the call itself.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import socket
import ssl
import time
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from webhook_app.adapters.bounded_sockets import LEAST_SECONDS, connect
from webhook_app.adapters.plain_answers import LONGEST, PlainAnswer, read_plain
from webhook_app.adapters.wires import Wire

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

#: Bytes of one answer, status line, headers and chunk sizes included. A chunk that claims a negative length makes
#: http.client read to the end of the stream, so a cap on the decoded body alone would not hold.
MAX_WIRE_BYTES = 16 * 1024 * 1024

_DEFAULT_PORTS = {"http": 80, "https": 443}

#: When the call of this thread ends at the latest, by the monotonic clock.
_ENDS_AT: ContextVar[float] = ContextVar("_ENDS_AT", default=float("inf"))


@contextmanager
def call_until(ends_at: float) -> Iterator[None]:
    """Whatever is called on these connections within the block is over by then (by `time.monotonic`)."""
    token = _ENDS_AT.set(ends_at)
    try:
        yield
    finally:
        _ENDS_AT.reset(token)


class StaleConnection(ConnectionError):
    """A connection that had served an earlier call was closed before it gave this one an answer."""


class Server:
    """One server, and up to `size` idle connections to it, kept for the next call; safe to share between threads.

    Callers beyond that get a connection of their own, closed after use, so nobody waits for one. Over `https` the
    server's certificate is checked against the system's store. An address that must not be private is looked at with
    each connection: a name may lead elsewhere tomorrow.
    """

    def __init__(self, scheme: str, host: str, port: int | None, size: int, *, may_be_private: bool = True) -> None:
        self._host = host.strip("[]")
        self._port = port or _DEFAULT_PORTS[scheme]
        self._named = host if self._port == _DEFAULT_PORTS[scheme] else f"{host}:{self._port}"
        # One context for all connections: loading the store anew for each costs more than the handshake.
        self._tls = ssl.create_default_context() if scheme == "https" else None
        self._size = size
        self._may_be_private = may_be_private
        self._idle: list[_Connection] = []
        self._is_closed = False
        weakref.finalize(self, _close_all, self._idle)

    @contextmanager
    def call(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
        *,
        connect_timeout: float,
        read_timeout: float,
    ) -> Iterator[http.client.HTTPResponse | PlainAnswer]:
        """The answer, whose body is to be read within the block. `connect_timeout` bounds the way to the server and the
        sending, `read_timeout` the whole answer, from the end of the request to the last byte.

        Raises OSError, TimeoutError and ssl.SSLError among them, http.client.HTTPException, or ValueError for what
        cannot be sent.
        """
        request = self._write(method, target, headers, body)
        connection = self._take(connect_timeout)
        try:
            answer = connection.ask(method, request, connect_timeout, read_timeout)
            yield answer
        except BaseException:
            connection.close()
            raise
        if _is_read(answer):
            self._keep(connection)
        else:
            connection.close()

    def close(self) -> None:
        """Closes the idle connections; calls under way end, later ones fail."""
        self._is_closed = True
        _close_all(self._idle)

    def _write(self, method: str, target: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
        lines = [f"{method} {target} HTTP/1.1", f"Host: {self._named}", *(f"{key}: {headers[key]}" for key in headers)]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        if not all(line.isascii() and line.isprintable() for line in lines):
            raise ValueError("the request holds what no header can carry")
        return "\r\n".join((*lines, "", "")).encode() + (body or b"")

    def _take(self, connect_timeout: float) -> _Connection:
        if self._is_closed:
            raise ConnectionError("the client is closed")
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:  # another thread was faster
                break
            if connection.is_silent():
                return connection
            connection.close()
        return _Connection(self._connect(connect_timeout))

    def _keep(self, connection: _Connection) -> None:
        if self._is_closed or len(self._idle) >= self._size:
            connection.close()
        else:
            self._idle.append(connection)

    def _connect(self, connect_timeout: float) -> socket.socket:
        """A connection within the connect time-out, the search for the address included; what is left of it bounds the
        TLS handshake."""
        ends_at = min(time.monotonic() + connect_timeout, _ENDS_AT.get())
        sock = connect(self._host, self._port, ends_at, may_be_private=self._may_be_private)
        try:
            sock.settimeout(max(ends_at - time.monotonic(), LEAST_SECONDS))
            # A name that ends with a dot is absolute, and stands in no certificate.
            return self._tls.wrap_socket(sock, server_hostname=self._host.rstrip(".")) if self._tls else sock
        except BaseException:
            sock.close()
            raise


class _Connection:
    """A socket that is connected, for one call after the other."""

    def __init__(self, sock: socket.socket) -> None:
        self._wire = Wire(sock)
        self._has_answered = False

    def ask(
        self, method: str, request: bytes, send_timeout: float, read_timeout: float
    ) -> http.client.HTTPResponse | PlainAnswer:
        try:
            self._send(request, min(time.monotonic() + send_timeout, _ENDS_AT.get()))
            stream = _Stream(self._wire, min(time.monotonic() + read_timeout, _ENDS_AT.get()))
            answer = read_plain(stream.begin()) or _read_any(stream, method)
        except (ConnectionError, ssl.SSLEOFError) as error:
            if self._has_answered:
                raise StaleConnection("the server had closed the kept connection") from error
            raise
        self._has_answered = True
        return answer

    def _send(self, request: bytes, deadline: float) -> None:
        """A server that closes before it has the whole request may have answered all the same."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._wire.send(request, deadline)

    def is_silent(self) -> bool:
        """Whether it may be used: the server has neither closed it nor said what nobody has asked for."""
        return self._wire.is_silent()

    def close(self) -> None:
        self._wire.close()


def _read_any(stream: Any, method: str) -> http.client.HTTPResponse:
    """Its head; the body is read from the stream later."""
    answer = http.client.HTTPResponse(stream, method=method)
    answer.begin()
    _refuse_two_lengths(answer)
    return answer


def _is_read(answer: http.client.HTTPResponse | PlainAnswer) -> bool:
    """Whether the connection may serve another call: what is left of an answer must not be taken for the next one's."""
    return isinstance(answer, PlainAnswer) or (answer.isclosed() and not answer.will_close)


def _refuse_two_lengths(answer: http.client.HTTPResponse) -> None:
    """Such an answer ends at one place for us and at another for a proxy in between (RFC 9112, 6.3)."""
    lengths = answer.headers.get_all("Content-Length", ())
    if len({one.strip() for line in lengths for one in line.split(",")}) > 1:
        raise http.client.HTTPException("the answer has two lengths")


class _Stream(io.RawIOBase):
    """An answer's bytes until the deadline, in place of a socket: its time-out bounds each recv, so a peer that sends a
    byte now and then could hold a thread for ever."""

    def __init__(self, wire: Wire, deadline: float) -> None:
        self._wire = wire
        self._deadline = deadline
        self._bytes_left = MAX_WIRE_BYTES
        self._beginning = b""

    def begin(self) -> bytes:
        """The first bytes of the answer, which are still to be read; none where the server has closed the
        connection."""
        buffer = bytearray(LONGEST)
        count = self._wire.receive(buffer, self._deadline)
        self._bytes_left -= count
        self._beginning = bytes(memoryview(buffer)[:count])
        return self._beginning

    def makefile(self, _mode: str) -> io.BufferedReader:
        """What http.client asks a socket for."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        if self._beginning:
            view = memoryview(buffer)
            count = min(len(self._beginning), len(view))
            view[:count], self._beginning = self._beginning[:count], self._beginning[count:]
            return count
        if self._bytes_left <= 0:
            raise OSError("the answer is longer than any that could be meant")
        count = self._wire.receive(buffer, self._deadline)
        self._bytes_left -= count
        return count


def _close_all(connections: list[_Connection]) -> None:
    """Other threads may take some of them meanwhile."""
    while connections:
        with contextlib.suppress(IndexError):
            connections.pop().close()
