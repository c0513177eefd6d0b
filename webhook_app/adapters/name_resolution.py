"""Name resolution with a deadline: the system's own may wait for its servers for half a minute.

It runs in threads of its own. All who ask for one host at the same time share one, so that servers which never answer
hold one thread for each host, however many calls are made meanwhile.
"""

from __future__ import annotations

import socket
import threading
from concurrent.futures import Future
from typing import Any

from urllib3.util.connection import allowed_gai_family

Address = tuple[socket.AddressFamily, socket.SocketKind, int, Any]

_guard = threading.Lock()
_under_way: dict[tuple[str, int], Future[list[Address]]] = {}


def resolve(host: str, port: int, seconds: float) -> list[Address]:
    """The addresses of that host, at least one. Raises TimeoutError after `seconds`, and what `getaddrinfo` raises."""
    key = (host, port)
    with _guard:
        future = _under_way.get(key)
        if future is None:
            future = _under_way[key] = Future()
            threading.Thread(target=_run, args=(key, future), name="name resolution", daemon=True).start()
    try:
        return future.result(max(seconds, 0.0))
    except TimeoutError as error:
        raise TimeoutError(f"the address of {host} was not found in time") from error


def _run(key: tuple[str, int], future: Future[list[Address]]) -> None:
    host, port = key
    try:
        host.encode("idna")
        found: list[Address] = [
            (family, kind, protocol, address)
            for family, kind, protocol, _, address in socket.getaddrinfo(
                host.strip("[]"), port, allowed_gai_family(), socket.SOCK_STREAM
            )
        ]
        result: list[Address] | Exception = found or OSError("the name has no address")
    except Exception as error:  # noqa: BLE001 - whoever waits for it has to see it
        result = error
    with _guard:
        del _under_way[key]
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
