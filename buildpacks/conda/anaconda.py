"""Which channels are Anaconda's own, in whatever disguise, and which spellings mean the same channel.

Source: https://anaconda.com/docs/tools/working-with-conda/reference/default-channels, https://repo.anaconda.com/pkgs, and
"How channels are named" of https://docs.conda.io/projects/conda/en/stable/user-guide/concepts/channels.html
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from dataclasses import dataclass
from urllib.parse import unquote

from buildpacks.conda.settings import DEFAULT_CHANNEL_ALIAS

# `default` is no name of conda's: it is what people write who mean `defaults`.
_ALL_OF_THEM = frozenset({"defaults", "default"})
# Those of today, those that https://repo.anaconda.com/pkgs lists as archived, and `anaconda`, which repeats `main`.
_CHANNELS = frozenset({"main", "r", "msys2", "anaconda", "free", "pro", "mro", "mro-archive", "archive"})
# Whatever the path, what comes from there is Anaconda's. continuum.io is the company's former name.
_HOSTS = frozenset({"repo.anaconda.com", "repo.anaconda.cloud", "repo.continuum.io"})
# Everybody's channels are here; the first part of the path says whose.
_SHARED_HOST = re.compile(r"(?:.*\.)?(?:anaconda|binstar)\.org")
# Two letters at least: `C:\channel` is a path.
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+):/*")
# `channel/linux-64`, `channel[linux-64,noarch]`
_PLATFORM = re.compile(r"noarch|(?:linux|osx|win|freebsd|emscripten|wasi|zos)-[a-z0-9_]+")
_PLATFORMS = re.compile(r"\[[^\]]*\]$")
# A name that is percent-encoded more often than this is nobody's mistake, and no server understands it.
_ENCODINGS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spelling:
    """A channel, a package URL or a name with everything gone that does not distinguish it; lower case."""

    scheme: str | None
    host: str | None
    """With the port."""
    path: tuple[str, ...]


def forbidden_url(url: str, *, alias: str = DEFAULT_CHANNEL_ALIAS) -> str | None:
    """Return what of Anaconda's own `url` is, as in "Anaconda's channel `main`", or `None` for everything else.

    `url` may be a channel's URL, a package's URL or a channel's name; `alias` is the URL that names are looked up under.
    """
    spelling = _read(url)
    if not spelling.path and spelling.host is None:
        return None
    if spelling.host is None:
        return _judge_name(spelling.path)
    if spelling.host.partition(":")[0] in _HOSTS:
        return f"Anaconda's server `{spelling.host}`"
    if _SHARED_HOST.fullmatch(spelling.host.partition(":")[0]):
        # The site's pages and its download interface have a word before the owner.
        owners = spelling.path[1:] if spelling.path[:1] in (("channels",), ("download",)) else spelling.path
        return _judge_name(owners)
    base = _read(alias)
    if spelling.host == base.host and spelling.path[: len(base.path)] == base.path:
        found = _judge_name(spelling.path[len(base.path) :])
        if found is not None:
            return found
    return _judge_mirror(spelling.path)


def channel_identity(channel: str, *, alias: str = DEFAULT_CHANNEL_ALIAS) -> str:
    """Return text that is the same for every spelling of a channel: without credentials, platform, scheme, case."""
    spelling = _read(channel)
    path = spelling.path
    if path and _PLATFORM.fullmatch(path[-1]):
        path = path[:-1]
    if spelling.host is None and spelling.scheme is None:
        base = _read(alias)
        return "/".join((base.host or "", *base.path, *path))
    return "/".join((spelling.host or "", *path))


def is_conda_forge(channel: str) -> bool:
    """Return whether `channel` is conda-forge, by its name or as a mirror of it."""
    return channel_identity(channel).rpartition("/")[2] == "conda-forge"


def _judge_name(path: tuple[str, ...]) -> str | None:
    if not path:
        return None
    first = path[0]
    if first in _ALL_OF_THEM:
        return "Anaconda's own channels"
    if first == "pkgs":
        return f"Anaconda's channel `{'/'.join(path[:2])}`"
    return f"Anaconda's channel `{first}`" if first in _CHANNELS else None


def _judge_mirror(path: tuple[str, ...]) -> str | None:
    """Mirrors keep the last two parts: `…/anaconda/pkgs/main`; of anaconda.org `…/anaconda/cloud/<owner>` is usual."""
    for before, name in itertools.pairwise(path):
        if before in ("pkgs", "cloud") and name in _CHANNELS:
            return f"a mirror of Anaconda's channel `{name}`"
    return "a mirror of Anaconda's own channels" if not _ALL_OF_THEM.isdisjoint(path) else None


def _read(text: str) -> _Spelling:
    plain = text.strip().partition("#")[0].partition("?")[0]
    for _ in range(_ENCODINGS):
        plain = unquote(plain)
    # Full-width letters and the like look the same to a person, and some servers treat them so.
    plain = unicodedata.normalize("NFKC", plain).casefold().replace("\\", "/").strip()
    plain = _PLATFORMS.sub("", plain)
    found = _SCHEME.match(plain)
    scheme = found[1] if found else ("https" if plain.startswith("//") else None)
    parts = (plain[found.end() :] if found else plain).split("/")
    host = None
    if scheme is not None and scheme != "file":
        parts = [part for part in parts if part]
        host = _host(parts.pop(0)) if parts else ""
    elif scheme is None and _is_known_host(_host(parts[0])):
        host = _host(parts.pop(0))
    return _Spelling(scheme=scheme, host=host, path=_path(parts))


def _is_known_host(host: str) -> bool:
    return host in _HOSTS or bool(_SHARED_HOST.fullmatch(host))


def _host(text: str) -> str:
    name, colon, port = text.rpartition("@")[2].partition(":")
    return f"{name.rstrip('.')}{colon}{port}"


def _path(parts: list[str]) -> tuple[str, ...]:
    found: list[str] = []
    for part in parts:
        if part == "..":
            del found[-1:]
        elif part not in ("", "."):
            found.append(part.strip())
    if "t" in found[:-1]:
        # `/t/TOKEN/` is how anaconda.org and its likes take a token.
        start = found.index("t")
        del found[start : start + 2]
    return tuple(found)
