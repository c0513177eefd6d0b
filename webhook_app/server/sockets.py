"""What the operating system is asked for: files for the connections, and an end to clients that take no answer."""

from __future__ import annotations

import os
import resource
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: Files that a process may need besides its clients' connections: databases, Redis, logs, libraries.
OTHER_FILES = 512


def allow_connections(wanted: int) -> int:
    """Raises this process's limit of open files, and that of those it starts, as far as it may; how many connections
    that leaves room for, `wanted` at most."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return wanted if soft == resource.RLIM_INFINITY else min(wanted, max(soft - OTHER_FILES, soft // 2))


def end_stalled_connections(port: int, seconds: float) -> bool:
    """From now on the kernel ends each new connection to our `port` whose client takes nothing for so long (Linux).
    False while nobody listens there yet.

    The server (granian) has no time-out for writing: a client that asks and never reads would hold its slot for ever.
    """
    if sys.platform != "linux":
        return True
    is_found = False
    for listener in _listeners(port):
        # Connections that are accepted take it over.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))
        is_found = True
    return is_found


def _listeners(port: int) -> Iterator[socket.socket]:
    for entry in list(Path("/proc/self/fd").iterdir()):
        with _borrowed(entry) as candidate:
            if candidate is not None and _listens(candidate, port):
                yield candidate


def _listens(candidate: socket.socket, port: int) -> bool:
    if candidate.family not in (socket.AF_INET, socket.AF_INET6):
        return False
    is_listening = candidate.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    return bool(is_listening) and candidate.getsockname()[1] == port


@contextmanager
def _borrowed(entry: Path) -> Iterator[socket.socket | None]:
    """The socket behind an open file of ours, while the block lasts; None where there is none."""
    try:
        if not entry.is_socket():
            yield None
            return
        found = socket.socket(fileno=os.dup(int(entry.name)))
    except OSError:  # closed meanwhile
        yield None
        return
    with found:
        yield found
