"""How channels are reached: alias, mirrors, credentials, proxies and certificates, as rattler wants them.

Everything outside this module sees public URLs only. A URL with credentials is a mirror of the same URL without them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from buildpacks.conda.settings import Mirror, Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """The way to the channels."""

    alias: str
    """What stands before a channel that is a bare name: a URL without credentials and without a slash at its end."""
    mirrors: tuple[Mirror, ...]
    """Also what puts credentials back into URLs."""
    auth_file: Path | None

    def channel_url(self, channel: str) -> str:
        """Return the public URL of a channel (a name, a path of names or a URL), without a slash at its end."""
        raise NotImplementedError


def make_network(settings: Settings, channels: tuple[str, ...]) -> Network:
    """Return the way to `channels`, which may hold credentials."""
    raise NotImplementedError
