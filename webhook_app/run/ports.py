"""Which ports of this machine are free."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable


def listen_fault(host: str, port: int) -> OSError | None:
    """Why nobody can listen on `host`:`port` now, None when one can. `errno.EADDRINUSE` means that it is taken."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        return error
    for family, kind, protocol, _name, address in found:
        with socket.socket(family, kind, protocol) as listener:
            # A connection of a moment ago that still lingers does not stop a server, nor does it stop us.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(address)
                listener.listen(1)
            except OSError as error:
                return error
    return None


def is_taken(fault: OSError) -> bool:
    """True when another program listens there."""
    return fault.errno == errno.EADDRINUSE


def free_port(host: str, wanted: Iterable[int], but_not: int) -> int:
    """The first of `wanted` that is free, else any free one; never `but_not`."""
    for port in wanted:
        if port != but_not and listen_fault(host, port) is None:
            return port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.bind((host, 0))
        port = int(listener.getsockname()[1])
    return port if port != but_not else free_port(host, (), but_not)
