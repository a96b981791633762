"""How channels are reached: alias, mirrors, credentials, proxies and certificates, as rattler wants them.

Everything outside this module sees public URLs: a URL with credentials is made a mirror of the same URL without them, so that
records, caches, locks and messages never have any. Proxies (`HTTPS_PROXY` …) and certificates (`SSL_CERT_FILE`) are read from
the environment of the process by rattler itself; so is its file of credentials (`RATTLER_AUTH_FILE`).
"""

from __future__ import annotations

import base64
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit, urlunsplit

from buildpacks.conda.settings import AUTH_FILE_VARIABLE, Mirror, Settings
from buildpacks.installer.errors import InvalidSetting

if TYPE_CHECKING:
    import rattler

# anaconda.org's way, which quetz and Artifactory share: https://docs.anaconda.com/anacondaorg/user-guide/tasks/work-with-accounts
_TOKEN = re.compile(r"/t/[^/]+(?=/|$)")
# What may follow a channel: the directory of a platform, or a choice of platforms.
_PLATFORM = re.compile(r"(/(noarch|(linux|osx|win)-[a-z0-9]+)|\[[^\]]*\])$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """The way to the channels."""

    alias: str
    """What stands before a channel that is a bare name: a URL without credentials and without a slash at its end."""
    mirrors: tuple[Mirror, ...]
    """Also what puts credentials back: those whose source is the public form of their target. Mask the targets."""
    auth_file: Path | None = None
    retries: int = 4
    """How often a request is repeated while a server is busy or the network fails."""

    def channel_url(self, channel: str) -> str:
        """Return the public URL of a channel (a name, a path of names or a URL), without a slash at its end."""
        plain = _PLATFORM.sub("", channel.strip().rstrip("/"))
        return public_url(plain) if "://" in plain else f"{self.alias}/{plain}"

    def mirrors_of(self, url: str) -> tuple[str, ...]:
        """Return the URLs that are asked instead of `url`: its own without a mirror. They may hold credentials."""
        fitting = [mirror for mirror in self.mirrors if _is_below(url, mirror.source)]
        if not fitting:
            return (url,)
        # As rattler does: the most exact mirror counts.
        chosen = max(fitting, key=lambda mirror: len(mirror.source))
        return tuple(f"{target}{url[len(chosen.source) :]}" for target in chosen.targets)

    def local_path(self, url: str) -> Path | None:
        """Return the file or directory that `url` stands for, where an operator offers a directory as a channel."""
        target = self.mirrors_of(url)[0]
        return Path(unquote(urlsplit(target).path)) if target.startswith("file:") else None


def make_network(settings: Settings, channels: tuple[str, ...] = ()) -> Network:
    """Return the way to `channels`, which may hold credentials. Raises `InvalidSetting` for an unusable file of credentials."""
    if settings.auth_file is not None:
        _check_auth_file(settings.auth_file)
    mirrors = {public_url(mirror.source): mirror.targets for mirror in settings.mirrors}
    private = (settings.channel_alias, *(mirror.source for mirror in settings.mirrors), *channels)
    for url in (_PLATFORM.sub("", url.strip().rstrip("/")) for url in private):
        if "://" in url and public_url(url) != url:
            mirrors.setdefault(public_url(url), (url,))
    return Network(
        alias=public_url(settings.channel_alias),
        mirrors=tuple(Mirror(source=source, targets=targets) for source, targets in mirrors.items()),
        auth_file=settings.auth_file,
    )


def public_url(url: str) -> str:
    """Return `url` without user, password, token and a slash at its end."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], _TOKEN.sub("", parts.path), "", "")).rstrip("/")


def open_client(network: Network) -> rattler.Client:
    """Return a client that turns public URLs into requests: mirrored, with credentials, repeated while a server is busy."""
    import rattler
    from rattler.networking import middleware

    if network.auth_file is not None:
        # The middleware below has no argument for it.
        os.environ[AUTH_FILE_VARIABLE] = str(network.auth_file)
    headers = _Headers(tuple(target for mirror in network.mirrors for target in mirror.targets))
    # The slashes keep `conda-forge` from being the beginning of `conda-forge-extra`.
    mirrors = {
        f"{mirror.source}/": [f"{_without_user(target)}/" for target in mirror.targets]
        for mirror in network.mirrors
        if mirror.targets != (mirror.source,)
    }
    return rattler.Client(
        [
            middleware.RetryMiddleware(network.retries),
            *([middleware.MirrorMiddleware(mirrors)] if mirrors else []),
            *([middleware.AddHeadersMiddleware(headers)] if headers.rules else []),
            middleware.AuthenticationMiddleware(),
        ]
    )


class _Headers:
    """The `Authorization` of requests whose URL has a user part: rattler does not look for one in mirrors."""

    def __init__(self, urls: tuple[str, ...]) -> None:
        parts = [urlsplit(url) for url in urls]
        self.rules = tuple(
            (part.hostname, part.path, _basic(part.username, part.password or "")) for part in parts if part.username
        )

    def __call__(self, host: str, path: str) -> dict[str, str] | None:
        for name, start, value in self.rules:
            if host == name and (path == start or path.startswith(f"{start}/")):
                return {"Authorization": value}
        return None


def _basic(user: str, password: str) -> str:
    pair = f"{unquote(user)}:{unquote(password)}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def _without_user(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _is_below(url: str, base: str) -> bool:
    return url == base or url.startswith(f"{base}/")


def _check_auth_file(path: Path) -> None:
    # rattler goes on without credentials when it cannot read them, and the server's answer would mislead.
    try:
        fine = isinstance(json.loads(path.read_bytes()), dict)
    except (OSError, ValueError):
        fine = False
    if not fine:
        allowed = "a file of credentials as rattler and pixi write it, which is JSON"
        raise InvalidSetting(variable=AUTH_FILE_VARIABLE, value=str(path), allowed=allowed)
