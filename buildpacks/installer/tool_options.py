"""The options that requirement files give to the whole installation, and how a line changes them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from buildpacks.installer.errors import Origin
from buildpacks.installer.indexes import IndexSettings
from buildpacks.installer.options import LineOptions
from buildpacks.installer.requirement import LineProblem
from lifecycle.cnb.kit import mask_credentials

REMOTE = re.compile(r"https?://", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolOptions:
    """What uv or pip is told beside the requirements."""

    indexes: IndexSettings = field(default_factory=IndexSettings)
    no_binary: tuple[str, ...] = ()
    only_binary: tuple[str, ...] = ()
    pre: bool = False
    require_hashes: bool = False
    index_places: tuple[tuple[Origin, str], ...] = ()
    """URLs and paths of packages that the files name, and where."""
    pip_only: tuple[tuple[Origin, str], ...] = ()
    """Options that uv does not have, and where they stand."""


def with_line(known: ToolOptions, line: LineOptions, *, origin: Origin, location: str, app_dir: Path) -> ToolOptions:
    """Return the options after a line that has no requirement, as pip's `handle_option_line` does it.

    `location` is the path or URL of the file. Raises `LineProblem` for a place outside the app directory.
    """
    extra = tuple(_checked_place(url, app_dir) for url in line.extra_index_urls)
    # pip drops the extra ones that came before a new default, too.
    first = known.indexes.index_urls if line.index_url is None else (_checked_place(line.index_url, app_dir),)
    urls = first + extra
    links = tuple(_find_links(place, location, app_dir) for place in line.find_links)
    named = {line.index_url, *extra, *links}
    no_binary, only_binary = known.no_binary, known.only_binary
    for value in line.no_binary:
        no_binary, only_binary = _choose_format(value, no_binary, only_binary)
    for value in line.only_binary:
        only_binary, no_binary = _choose_format(value, only_binary, no_binary)
    return replace(
        known,
        indexes=IndexSettings(
            index_urls=urls,
            find_links=known.indexes.find_links + links,
            no_index=known.indexes.no_index or line.no_index,
            trusted_hosts=known.indexes.trusted_hosts + line.trusted_hosts,
        ),
        no_binary=no_binary,
        only_binary=only_binary,
        pre=known.pre or line.pre,
        require_hashes=known.require_hashes or line.require_hashes,
        index_places=known.index_places + tuple((origin, place) for place in (*urls, *links) if place in named),
        pip_only=known.pip_only + tuple((origin, option) for option in line.pip_only),
    )


def _find_links(place: str, location: str, app_dir: Path) -> str:
    if urlsplit(place).scheme in ("http", "https", "file") or REMOTE.match(location):
        return _checked_place(place, app_dir)
    beside = Path(location).parent / place
    return _checked_place(str(beside if beside.exists() else app_dir / place), app_dir)


def _checked_place(place: str, app_dir: Path) -> str:
    """A URL as it is; a path, absolute, only when it is in the app directory."""
    parts = urlsplit(place)
    if parts.scheme in ("http", "https"):
        return place
    path = (app_dir / (parts.path if parts.scheme == "file" else place)).resolve()
    if parts.scheme not in ("", "file") or not path.is_relative_to(app_dir):
        raise LineProblem(
            "outside",
            f"`{mask_credentials(place)}` is neither an `https://` URL nor a path in the app directory",
            "name an index by its URL, or commit the directory with the packages",
        )
    if not path.exists():
        raise LineProblem(
            "missing-path",
            f"`{path.relative_to(app_dir)}` is not in the app directory",
            "commit it, or remove the line",
        )
    return str(path)


def _choose_format(
    value: str, target: tuple[str, ...], other: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """pip's rule for `--no-binary` and `--only-binary`: the last word on a name counts; `:all:` empties the other option."""
    for name in filter(None, (part.strip() for part in value.split(","))):
        if name == ":all:":
            target, other = (":all:",), ()
        elif name == ":none:":
            target = ()
        else:
            target = tuple(dict.fromkeys((*target, name)))
            other = tuple(known for known in other if known != name)
    return target, other
