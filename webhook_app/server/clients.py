"""Which client a request counts for: that of the connection, or the one that our proxies name."""

from __future__ import annotations

from functools import lru_cache

from webhook_app.domain.networks import network_of, read_address, read_forwarded_address

#: Characters of something that is no address, which then stands for itself.
_MOST_SHOWN = 64


def client_address(peer: str, forwarded_for: str, hops: int) -> str | None:
    """The client's address; None for our proxy's own request, which names no client.

    `forwarded_for` is X-Forwarded-For as it came; the last `hops` (TRUSTED_PROXY_HOPS) of its addresses are believed.
    """
    if not hops:
        return peer
    told = [part.strip() for part in forwarded_for.split(",") if part.strip()]
    if len(told) < hops:
        return None
    address = read_forwarded_address(told[-hops])
    return told[-hops][:_MOST_SHOWN] if address is None else str(address)


def counted_client(peer: str, forwarded_for: str, hops: int) -> str | None:
    """Who shares a limit: an IPv4 address, or the /64 of one of IPv6 (RFC 7421). None for our proxy's own request."""
    client = client_address(peer, forwarded_for, hops)
    return client and _network(client)


@lru_cache(maxsize=1024)
def _network(client: str) -> str:
    address = read_address(client)
    if address is None:
        return client
    return str(address) if address.version == 4 else network_of(client, ipv4_prefix=32)
