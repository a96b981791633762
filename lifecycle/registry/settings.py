"""How the machine reaches registries: certificates, proxies, and which registries need none of that."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

_DOCKER_REGISTRY = "docker.io"
# https://docs.docker.com/docker-hub/: the name in references is not that of the host.
_DOCKER_HOST = "registry-1.docker.io"


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long is waited. `window_s`: a blob of which fewer than `window_bytes` come in that time is too slow."""

    connect_s: float = 15
    idle_s: float = 60
    document_s: float = 60
    storing_s: float = 300
    """Until a registry has stored what it was sent, and answers."""
    window_s: float = 60
    window_bytes: int = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrySettings:
    """What the machine and the user say of registries."""

    ca_bundle: Path | None = None
    """`None`: what OpenSSL trusts by itself."""
    certificate_dirs: tuple[Path, ...] = ()
    """Hold directories such as `registry.example.org:5000/` with `*.crt`, `*.cert` and `*.key`
    (https://github.com/containers/image/blob/main/docs/containers-certs.d.5.md)."""
    proxies: Mapping[str, str] = field(default_factory=dict)
    """`HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`."""
    insecure: frozenset[str] = frozenset()
    """Registries that need no valid certificate, or no TLS at all: `host` or `host:port`."""
    token_servers: frozenset[str] = frozenset()
    """Hosts of token servers that may have the credentials of any registry."""
    patience: Patience = field(default_factory=Patience)

    def is_insecure(self, registry: str) -> bool:
        """Return whether the user has named the registry as one that needs no proof of what it is."""
        return registry in self.insecure or split_host(registry)[0] in self.insecure

    def certificate_files(self, registry: str, suffix: str) -> tuple[Path, ...]:
        """Return the files `*suffix` that are there for the registry; the first directory that exists counts."""
        for directory in self.certificate_dirs:
            found = directory / registry
            # Not Path.is_dir, which raises where a directory on the way may not be entered.
            if os.path.isdir(found):  # noqa: PTH112
                return tuple(sorted(found.glob(f"*{suffix}")))
        return ()

    def proxy_for(self, scheme: str, host: str, port: int) -> str | None:
        """Return the URL of the proxy that leads to `host`, as curl and Go choose it."""
        if is_loopback(host) or _is_excluded(self.proxies.get("NO_PROXY", ""), host, port):
            return None
        found = self.proxies.get(f"{scheme.upper()}_PROXY") or self.proxies.get("ALL_PROXY")
        if not found:
            return None
        return found if "://" in found else f"http://{found}"


def host_of(registry: str) -> str:
    """Return `host[:port]` where the API of a registry is, for its name in references."""
    return _DOCKER_HOST if registry == _DOCKER_REGISTRY else registry


def split_host(text: str) -> tuple[str, int | None]:
    """Return host and port of `host[:port]`; an IPv6 address without its brackets."""
    parts = urlsplit(f"//{text}")
    return parts.hostname or "", parts.port


def is_loopback(host: str) -> bool:
    """Return whether `host` is this machine by its name or by its address."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_excluded(excluded: str, host: str, port: int) -> bool:
    """Whether `NO_PROXY` names the host: `*`, names with everything below them, addresses, networks, each also with a port."""
    for entry in (part.strip().lower() for part in excluded.split(",")):
        if entry == "*":
            return True
        name, colon, number = entry.rpartition(":")
        if colon and number.isdigit() and (":" not in name or name.endswith("]")):
            if int(number) != port:
                continue
            entry = name
        if entry and (_is_in_network(host, entry) or f".{host}".endswith(f".{entry.lstrip('.').strip('[]')}")):
            return True
    return False


def _is_in_network(host: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False
