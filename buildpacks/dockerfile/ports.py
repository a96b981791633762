"""The ports of `EXPOSE`, as an image's config has them: https://docs.docker.com/reference/dockerfile/#expose."""

from __future__ import annotations

import re

_PORTS = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp|sctp))?", re.ASCII | re.IGNORECASE)
_LAST = 65535


def spell_out_ports(text: str) -> tuple[str, ...]:
    """Return every port of `80`, `80/udp` or `8000-8010`, with its protocol; what is something else is returned as it is."""
    match = _PORTS.fullmatch(text)
    if match is None:
        return (text,)
    first, last = int(match[1]), int(match[2] or match[1])
    if not first <= last <= _LAST:
        return (text,)
    protocol = (match[3] or "tcp").lower()
    return tuple(f"{port}/{protocol}" for port in range(first, last + 1))
