"""Addresses as servers and proxies write them, and the networks that they are counted by."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

#: RFC 7239, section 6: a node is an address, in brackets where it is IPv6 with a port, all of it perhaps in quotes.
_BRACKETED = re.compile(r"\[([^\[\]]+)\](?::(?:[0-9]{1,5}|_[A-Za-z0-9._-]+))?")
_IPV4_WITH_PORT = re.compile(r"([0-9.]+):(?:[0-9]{1,5}|_[A-Za-z0-9._-]+)")

#: Whose last 32 bits are an IPv4 address: RFC 6052, 2.1; RFC 4291, 2.5.5.1.
_CARRYING = (IPv6Network("64:ff9b::/96"), IPv6Network("::/96"))

#: NAT64 of one network (RFC 8215): where its addresses lead to, that network alone knows.
_LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")

#: What stands for the network of an address that is not known.
UNKNOWN = "unknown"


def read_address(text: str | None) -> IPv4Address | IPv6Address | None:
    """The address; an IPv4 one where IPv6 only carries it (`::ffff:a.b.c.d`). None for what is no address."""
    try:
        address = ip_address(text or "")
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def is_private(text: str) -> bool:
    """Whether the address is of this host, of a private network, or of none that anybody else can reach; also inside of
    the IPv6 addresses that carry an IPv4 one (RFC 3056, 4291, 6052). What is no address counts as private."""
    address = read_address(text.partition("%")[0])
    if isinstance(address, IPv6Address):
        carried = address.sixtofour
        if address in _LOCAL_NAT64:
            return True
        if any(address in network for network in _CARRYING):
            carried = IPv4Address(int(address) & 0xFFFFFFFF)
        if carried is not None:
            return is_private(str(carried))
    return address is None or not address.is_global or address.is_multicast


def read_forwarded_address(text: str) -> IPv4Address | IPv6Address | None:
    """The same for one entry of `X-Forwarded-For`, which may have quotes and a port; None for `unknown` and such."""
    node = text.strip().removeprefix('"').removesuffix('"').strip()
    found = _BRACKETED.fullmatch(node) or _IPV4_WITH_PORT.fullmatch(node)
    return read_address(found[1] if found else node)


def network_of(text: str | None, ipv4_prefix: int) -> str:
    """The network that an address is counted by: `ipv4_prefix` bits of IPv4, and 64 of IPv6, within which a host may
    take any address (RFC 7421). `unknown` for what is no address."""
    address = read_address(text)
    if address is None:
        return UNKNOWN
    if isinstance(address, IPv6Address):
        return str(IPv6Network((int(address), 64), strict=False))
    return str(IPv4Network((int(address), ipv4_prefix), strict=False))
