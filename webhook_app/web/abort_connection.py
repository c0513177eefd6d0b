"""The connection that an answer goes out on: to break it off, for which WSGI has no word.

When the iterator of an answer raises, granian (2.8) ends the answer as if it were whole, with HTTP/1.1's last chunk or
HTTP/2's END_STREAM, and its environ has no REMOTE_PORT that would tell the client's socket. So the socket is found by
how much has been written to it.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import psutil

from webhook_app.web.forwarded import peer_address

#: Bytes of an answer that the server may still hold: hyper's buffer (417,792), and two chunks on their way into it.
MOST_IN_SERVER = 1024 * 1024

#: In Linux' `struct tcp_info` (linux/tcp.h): tcpi_notsent_bytes and tcpi_bytes_sent, which 4.19 brought.
_NOT_SENT = struct.Struct("=I"), 144
_SENT = struct.Struct("=Q"), 200

_Peer = tuple[str, int]


@dataclass(frozen=True)
class Connections:
    """This process's connections with one client (the proxy, if there is one), and what each had been sent before."""

    client: str
    port: int
    before: Mapping[_Peer, int]

    def cut_off(self, handed_over: int) -> int:
        """Ends those that can have carried an answer of which the server has been given that many bytes; how many.

        Mostly it is the one. Where a busy proxy or a small answer leaves a doubt, all are ended: who called on another
        one can call again, but nobody can tell half a file from a whole one. Data on its way still arrives.
        """
        count = 0
        for peer, connection in _open_connections(self.client, self.port):
            if _written(connection) - self.before.get(peer, 0) >= handed_over - MOST_IN_SERVER:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:  # the client was faster
                    continue
                count += 1
        return count


def connections_of(environ: Mapping[str, Any]) -> Connections:
    """The connections with the client of this WSGI environ, as they are before the answer begins."""
    client, port = peer_address(environ), int(environ.get("SERVER_PORT") or 0)
    return Connections(client, port, {peer: _written(each) for peer, each in _open_connections(client, port)})


def _open_connections(client: str, port: int) -> Iterator[tuple[_Peer, socket.socket]]:
    for found in psutil.Process().net_connections("tcp"):
        if not found.raddr or found.laddr.port != port or not _same_host(found.raddr.ip, client):
            continue
        try:
            connection = socket.socket(fileno=os.dup(found.fd))
        except OSError:  # closed meanwhile
            continue
        with connection:
            if _is_with(connection, (found.raddr.ip, found.raddr.port)):
                yield (found.raddr.ip, found.raddr.port), connection


def _is_with(connection: socket.socket, peer: _Peer) -> bool:
    """Whether it is the one that was found: its number may have gone to another one meanwhile."""
    try:
        address = connection.getpeername()
    except OSError:
        return False
    return isinstance(address, tuple) and address[1] == peer[1] and _same_host(address[0], peer[0])


def _same_host(one: str, other: str) -> bool:
    return _plain(one) == _plain(other)


def _plain(text: str) -> object:
    """An address as a socket for both families spells it (`::ffff:192.0.2.1`) is the one of IPv4."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return text
    return getattr(address, "ipv4_mapped", None) or address


def _written(connection: socket.socket) -> int:
    """Bytes handed to the kernel since the connection began; more than any file has where the system does not tell."""
    if sys.platform != "linux":
        return sys.maxsize
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
        (sent,), (not_sent,) = (layout.unpack_from(info, offset) for layout, offset in (_SENT, _NOT_SENT))
    except (OSError, struct.error):
        return sys.maxsize
    return int(sent) + int(not_sent)
