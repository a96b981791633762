"""Which hosts `ADD` may not fetch from: the machine itself, and what tells a machine in a data centre its credentials."""

from __future__ import annotations

import ipaddress
import re
import socket
import unicodedata
from urllib.parse import urlsplit

_REMOTE = re.compile(r"https?://", re.IGNORECASE)
_LOCAL_NAMES = ("localhost", "localdomain", "ip6-localhost", "ip6-loopback")
# Names and addresses of metadata services that are in no range of their own: Google, AWS on IPv6, Azure, Alibaba, Oracle.
_METADATA = frozenset({"metadata", "metadata.google.internal", "metadata.goog", "instance-data"})
_METADATA_ADDRESSES = frozenset(
    ipaddress.ip_address(address)
    for address in ("fd00:ec2::254", "fd20:ce::254", "168.63.129.16", "100.100.100.200", "192.0.0.192")
)


def refuse_address(source: str) -> str | None:
    """Return what is wrong with the host of a URL, in words that follow `from`; `None` for others and for what is no URL."""
    if not _REMOTE.match(source):
        return None
    try:
        # Resolvers take other writings of digits and dots for those of ASCII.
        host = unicodedata.normalize("NFKC", urlsplit(source).hostname or "").rstrip(".").lower()
    except ValueError:
        return "a URL that cannot be read"
    if not host:
        return "a URL without a host"
    if "$" in host:
        return "a host that is a variable"
    if host in _METADATA:
        return f"`{host}`, which knows credentials of the machine"
    if host.rpartition(".")[2] in _LOCAL_NAMES:
        return f"`{host}`, which is the machine itself"
    address = _parse_address(host)
    return None if address is None else _refuse(host, address)


def _parse_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        try:
            # Also `127.1`, `0x7f000001` and `2130706433`, which the system's resolver takes for addresses.
            return ipaddress.IPv4Address(socket.inet_aton(host))
        except (OSError, ValueError):
            return None
    if isinstance(address, ipaddress.IPv6Address):
        return address.ipv4_mapped or address.sixtofour or address
    return address


def _refuse(host: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str | None:
    if address in _METADATA_ADDRESSES or address.is_link_local:
        return f"`{host}`, which knows credentials of the machine"
    if address.is_loopback or address.is_unspecified or address in ipaddress.ip_network("0.0.0.0/8"):
        return f"`{host}`, which is the machine itself"
    if address.is_multicast:
        return f"`{host}`, which is no single host"
    return None
