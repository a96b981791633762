"""How far an address is from the rest of the world: where a registry may send its clients
(CVE-2026-33990: a registry that sends them to services which only they can reach).
"""

from __future__ import annotations

import ipaddress
from enum import IntEnum


class Reach(IntEnum):
    """Who can reach an address. A registry may send to what has its own reach or a wider one."""

    PUBLIC = 0
    PRIVATE = 1
    LOOPBACK = 2
    LINK = 3
    """Of the link only, where clouds have their metadata services, or no address of a host: nobody is sent there."""

    @property
    def description(self) -> str:
        """Words for messages."""
        return ("a public", "a private", "this machine's", "a link-local or reserved")[self]


def reach_of(address: str) -> Reach:
    """Return the reach of an IP address. Raises `ValueError` for what is none."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    if found.is_loopback:
        return Reach.LOOPBACK
    if found.is_link_local or found.is_unspecified or found.is_multicast:
        return Reach.LINK
    return Reach.PUBLIC if found.is_global else Reach.PRIVATE


def reach_of_name(host: str) -> Reach | None:
    """Return the reach of a host whose name says it, without asking anybody."""
    if host == "localhost" or host.endswith(".localhost"):
        return Reach.LOOPBACK
    try:
        return reach_of(host)
    except ValueError:
        return None
