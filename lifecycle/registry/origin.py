"""Who answers a URL, and how a URL is shown to people."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

DEFAULT_PORTS = {"http": 80, "https": 443}
_SHOWN_LIMIT = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Who answers: two URLs of one origin are answered by the same."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Origin:
        """Return the origin of a URL. Raises `ValueError` for one that is not HTTP, or has no host."""
        parts = urlsplit(url)
        if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
            raise ValueError(f"`{url[:200]}` is not a URL of HTTP")
        return cls(scheme=parts.scheme, host=parts.hostname, port=parts.port or DEFAULT_PORTS[parts.scheme])

    @property
    def netloc(self) -> str:
        """`host[:port]` as a URL has it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.netloc}"


def without_query(url: str) -> str:
    """Return a URL for messages: what stands behind `?` may be a key, what stands before `@` a password."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "…"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))[:_SHOWN_LIMIT]
