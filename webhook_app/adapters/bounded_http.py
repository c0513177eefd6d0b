"""urllib3 connections on which a call is bounded as a whole: in time, from the search for the host's address to the
last byte, and in bytes whatever the answer's framing claims."""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from webhook_app.adapters.name_resolution import Address, resolve
from webhook_app.domain.networks import is_private

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

#: Bytes of one answer, status line, headers and chunk sizes included. A chunk that claims a negative length makes
#: http.client read to the end of the stream, so a cap on the decoded body alone would not hold.
MAX_WIRE_BYTES = 16 * 1024 * 1024

#: A time-out of 0 would mean: do not wait, and do not fail either.
_LEAST_SECONDS = 0.001


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


class PrivateAddress(OSError):
    """A connection to this host or to a private network was refused by us."""


class StaleConnection(ConnectionError):
    """A connection that had served an earlier call was closed before it gave this one an answer."""


def open_pool(
    scheme: str, host: str, port: int | None, size: int, *, may_be_private: bool = True
) -> urllib3.HTTPConnectionPool:
    """A thread-safe pool for one server that keeps up to `size` idle connections. An address that must not be
    private is looked at with each connection: a name may lead elsewhere tomorrow.

    Callers beyond that get a connection of their own, closed after use, so nobody waits for one. Over `https` the
    server's certificate is checked against the system's store. The read time-out of a call bounds its whole answer,
    from the end of the request to the last byte.
    """
    if scheme == "https":
        # One context for all connections: loading the store anew for each costs more than the handshake.
        secure = _HTTPSPool if may_be_private else _PublicHTTPSPool
        return secure(host, port, maxsize=size, ssl_context=ssl.create_default_context())
    return (_HTTPPool if may_be_private else _PublicHTTPPool)(host, port, maxsize=size)


class _BoundedReader(io.RawIOBase):
    """The socket's bytes until the deadline: the time-out in force when the answer begins bounds all of it.

    A plain socket time-out bounds each recv, so a peer that sends a byte now and then could hold a thread for ever.
    """

    def __init__(self, stream: io.RawIOBase, sock: socket.socket) -> None:
        self._stream = stream
        self._sock = sock
        self._deadline = min(time.monotonic() + (sock.gettimeout() or 0.0), _ENDS_AT.get())
        self._bytes_left = MAX_WIRE_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        seconds_left = self._deadline - time.monotonic()
        if seconds_left <= 0:
            raise TimeoutError("the answer did not end in time")
        if self._bytes_left <= 0:
            raise OSError("the answer is longer than any that could be meant")
        self._sock.settimeout(seconds_left)
        count = self._stream.readinto(buffer)
        self._bytes_left -= count or 0
        return count

    def close(self) -> None:
        # The stream holds the socket open, also after the connection was closed.
        self._stream.close()
        super().close()


class _BoundedAnswer(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_BoundedReader(self.fp.detach(), sock))


class _Connection(HTTPConnection):
    response_class = _BoundedAnswer
    may_be_private = True
    _has_answered = False

    def connect(self) -> None:
        super().connect()
        self._has_answered = False

    def _new_conn(self) -> socket.socket:
        """A connection within the connect time-out, the search for the address included; what is left of it bounds the
        TLS handshake and the sending. Each address gets its part of the time, for the first may be silent."""
        assert isinstance(self.timeout, int | float), "each call has a time-out"
        ends_at = min(time.monotonic() + self.timeout, _ENDS_AT.get())
        try:
            addresses = resolve(self._dns_host, self.port, ends_at - time.monotonic())
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        except TimeoutError as error:
            raise ConnectTimeoutError(self, f"the address of {self.host} was not found in time") from error
        except (OSError, UnicodeError) as error:
            raise NewConnectionError(self, f"no address of {self.host}: {error}") from error
        for number, address in enumerate(addresses):
            seconds = (ends_at - time.monotonic()) / (len(addresses) - number)
            try:
                return self._connect_to(address, seconds, ends_at)
            except OSError as error:
                failure = error
        if isinstance(failure, TimeoutError):
            raise ConnectTimeoutError(self, f"{self.host} did not take the connection in time") from failure
        raise NewConnectionError(self, f"no connection: {failure}") from failure

    def _connect_to(self, address: Address, seconds: float, ends_at: float) -> socket.socket:
        family, kind, protocol, where = address
        if not self.may_be_private and is_private(where[0]):
            raise PrivateAddress("the address is of this host or of a private network")
        sock = socket.socket(family, kind, protocol)
        try:
            for option in self.socket_options or ():
                sock.setsockopt(*option)
            sock.settimeout(max(seconds, _LEAST_SECONDS))
            sock.connect(where)
            sock.settimeout(max(ends_at - time.monotonic(), _LEAST_SECONDS))
        except BaseException:
            sock.close()
            raise
        return sock

    def getresponse(self) -> Any:  # urllib3's answer, which is not a subclass of http.client's
        try:
            answer = super().getresponse()
        except (ConnectionError, ssl.SSLEOFError) as error:
            if self._has_answered:
                raise StaleConnection("the server had closed the kept connection") from error
            raise
        self._has_answered = True
        return answer


class _SecureConnection(_Connection, HTTPSConnection):
    pass


class _HTTPPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _HTTPSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class _PublicConnection(_Connection):
    may_be_private = False


class _PublicSecureConnection(_SecureConnection):
    may_be_private = False


class _PublicHTTPPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _PublicConnection


class _PublicHTTPSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _PublicSecureConnection
