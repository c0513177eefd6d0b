"""For whom a request counts where something is limited per client."""

from __future__ import annotations

import ipaddress
from functools import lru_cache


def counted_client(peer: str, forwarded_for: str, hops: int) -> str | None:
    """The client's network: an IPv4 address, or the /64 of one of IPv6. None for our proxy's own request.

    `forwarded_for` is X-Forwarded-For as it came; the last `hops` (TRUSTED_PROXY_HOPS) of its addresses are believed.
    """
    if not hops:
        return _network(peer)
    told = [part.strip() for part in forwarded_for.split(",") if part.strip()]
    return _network(told[-hops]) if len(told) >= hops else None


@lru_cache(maxsize=1024)
def _network(text: str) -> str:
    """What is no address stands for itself, cut."""
    host = text.removeprefix("[").partition("]")[0] if text.startswith("[") else text
    if host.count(":") == 1:  # with a port, as some proxies write it
        host = host.partition(":")[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return text[:64]
    address = getattr(address, "ipv4_mapped", None) or address
    return str(address) if address.version == 4 else str(ipaddress.ip_network((address, 64), strict=False))
