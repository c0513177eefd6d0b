"""Connections by TCP within a deadline, the search for the host's address included; to private addresses only where
that is allowed. The address that is looked at is the one that is connected to: a name may lead elsewhere a moment
later."""

from __future__ import annotations

import socket
import time

from webhook_app.adapters.name_resolution import Address, resolve
from webhook_app.domain.networks import is_private

#: A time-out of 0 would mean: do not wait, and do not fail either.
LEAST_SECONDS = 0.001


class PrivateAddress(OSError):
    """A connection to this host or to a private network was refused by us."""


def connect(host: str, port: int, ends_at: float, *, may_be_private: bool = True) -> socket.socket:
    """A connection by `ends_at` (by `time.monotonic`). Each address gets its part of the time, for the first may be
    silent. Raises OSError: TimeoutError, PrivateAddress and what `getaddrinfo` raises among them."""
    addresses = resolve(host, port, ends_at - time.monotonic())
    failure = OSError("the name has no address")
    for number, address in enumerate(addresses):
        try:
            return _connect_to(address, (ends_at - time.monotonic()) / (len(addresses) - number), may_be_private)
        except OSError as error:
            failure = error
    raise failure


def _connect_to(address: Address, seconds: float, may_be_private: bool) -> socket.socket:
    family, kind, protocol, where = address
    if not may_be_private and is_private(where[0]):
        raise PrivateAddress("the address is of this host or of a private network")
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(max(seconds, LEAST_SECONDS))
        sock.connect(where)
    except BaseException:
        sock.close()
        raise
    return sock
