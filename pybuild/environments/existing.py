"""A conda environment of this machine, read from what conda, mamba and micromamba keep in it; none of them is started.

`conda-meta/*.json` are the records of its packages (https://docs.conda.io/projects/conda/en/stable/dev-guide/api/conda/core/prefix_data/),
`*.dist-info` those of pip (https://packaging.python.org/en/latest/specifications/recording-installed-packages/).
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from email.parser import HeaderParser
from pathlib import Path
from urllib.parse import urlsplit

from lifecycle.cnb.errors import ConfigurationError
from lifecycle.cnb.jsontext import parse_json
from lifecycle.cnb.toml import Table, read_regular_file
from pybuild.environments.conda_dependencies import CondaDependencies
from pybuild.environments.definition import NODEFAULTS
from pybuild.environments.environment_file import DEFAULT_CHANNELS
from pybuild.machine import home_directory, machine_env

_META = "conda-meta"
_PUBLIC_HOST = "conda.anaconda.org"
# https://docs.conda.io/projects/conda-build/en/stable/concepts/generating-index.html
_SUBDIR = re.compile(r"noarch|(?:linux|osx|win|freebsd|zos|emscripten|wasi)-\w+", re.ASCII)
# What `defaults` stands for.
_ANACONDA_HOSTS = frozenset({"repo.anaconda.com", "repo.continuum.io"})
# Where their installers put themselves, in the home directory.
_ROOTS = ("miniforge3", "mambaforge", "miniconda3", "anaconda3", "micromamba", ".local/share/mamba")
_BASE = "base"


def read_existing(
    named: str | Path, *, env: Mapping[str, str] | None = None, home: Path | None = None
) -> CondaDependencies:
    """Return the packages of an environment, conda's and pip's, each in its version; the channels that most come from are first.

    Raises:
        ConfigurationError: there is no such environment, or a package of it is on this computer only.
    """
    env = machine_env(env)
    prefix = find_prefix(named, env, home or home_directory(env))
    records = [
        parse_json(read_regular_file(path).decode("utf-8", "replace"), source=path.name) for path in _records(prefix)
    ]
    dependencies = CondaDependencies.parse("channels:\ndependencies:\n", path=prefix / "environment.yml")
    channels = Counter(_channel(record.optional_string("channel") or "") for record in records)
    for channel, _ in sorted(channels.items(), key=lambda item: (-item[1], item[0])):
        dependencies.add_channel(channel)
    if not channels:
        dependencies.add_channel(DEFAULT_CHANNELS[0])
    if "defaults" not in channels:
        dependencies.add_channel(NODEFAULTS)
    for record in sorted(records, key=lambda record: record.string("name")):
        dependencies.add_conda_package(f"{record.string('name')}={record.string('version')}")
    for requirement in sorted(_pip_requirements(prefix, records), key=str.lower):
        dependencies.add_pip_package(requirement)
    return dependencies


def find_prefix(named: str | Path, env: Mapping[str, str], home: Path) -> Path:
    """Return the directory of the environment with a name, or of that directory. Raises `ConfigurationError`."""
    if isinstance(named, Path) or "/" in named:
        if (Path(named) / _META).is_dir():
            return Path(named)
        advice = "name a directory that has `conda-meta` in it"
        raise ConfigurationError(Path(named), "is no conda environment", advice=advice)
    known: dict[str, Path] = {}
    for name, prefix in _known_prefixes(env, home):
        if (prefix / _META).is_dir():
            known.setdefault(name, prefix)
    if named not in known:
        there = ", ".join(f"`{name}`" for name in sorted(known)) or "there are none"
        raise ConfigurationError(
            f"conda environment `{named}`", "is not on this machine", advice=f"known here: {there}"
        )
    return known[named]


def _known_prefixes(env: Mapping[str, str], home: Path) -> Iterator[tuple[str, Path]]:
    active = env.get("CONDA_PREFIX")
    if active:
        yield env.get("CONDA_DEFAULT_ENV") or Path(active).name, Path(active)
    roots = [env.get("CONDA_ROOT"), env.get("MAMBA_ROOT_PREFIX"), *(str(home / root) for root in _ROOTS)]
    for root in filter(None, roots):
        yield _BASE, Path(root)
        yield from _below(Path(root) / "envs")
    places = env.get("CONDA_ENVS_DIRS") or env.get("CONDA_ENVS_PATH") or str(home / ".conda" / "envs")
    for place in places.split(os.pathsep):
        yield from _below(Path(place))
    # Where conda and mamba note every environment that they make.
    listed = home / ".conda" / "environments.txt"
    if listed.is_file():
        for line in read_regular_file(listed).decode("utf-8", "replace").splitlines():
            yield Path(line.strip()).name, Path(line.strip())


def _below(directory: Path) -> Iterator[tuple[str, Path]]:
    if directory.is_dir():
        yield from ((path.name, path) for path in sorted(directory.iterdir()))


def _records(prefix: Path) -> list[Path]:
    return sorted((prefix / _META).glob("*.json"))


def _channel(url: str) -> str:
    """The name or URL of the channel that a record names: `https://conda.anaconda.org/conda-forge/linux-64`, or a name."""
    parts = urlsplit(url)
    if not parts.netloc:
        return "defaults" if url.startswith("pkgs/") else url.partition("/")[0] or "defaults"
    path = [part for part in parts.path.split("/") if part]
    # conda writes it into the URL, rattler does not.
    if len(path) > 1 and _SUBDIR.fullmatch(path[-1]):
        path = path[:-1]
    host = parts.hostname or ""
    if host in _ANACONDA_HOSTS:
        return "defaults"
    # A user or token is the machine's own affair.
    port = f":{parts.port}" if parts.port else ""
    path = path[2:] if path[:1] == ["t"] else path
    return "/".join(path) if host == _PUBLIC_HOST else f"{parts.scheme}://{host}{port}/{'/'.join(path)}"


def _pip_requirements(prefix: Path, records: list[Table]) -> Iterator[str]:
    """Requirements for what pip has installed beside conda's packages."""
    condas = {file for record in records for file in record.strings("files")}
    for site_packages in sorted(prefix.glob("lib/python3*/site-packages")):
        for info in sorted(site_packages.glob("*.dist-info")):
            if f"{info.relative_to(prefix)}/METADATA" in condas or not (info / "METADATA").is_file():
                continue
            metadata = HeaderParser().parsestr(read_regular_file(info / "METADATA").decode("utf-8", "replace"))
            yield _requirement(f"{metadata['Name']}", f"{metadata['Version']}", info)


def _requirement(name: str, version: str, info: Path) -> str:
    """A version, or where it came from: https://packaging.python.org/en/latest/specifications/direct-url/."""
    origin = info / "direct_url.json"
    if not origin.is_file():
        return f"{name}=={version}"
    table = parse_json(read_regular_file(origin).decode("utf-8", "replace"), source=str(origin))
    url, vcs = table.string("url"), table.table("vcs_info")
    if url.startswith("file:"):
        advice = "put the package into an index, install it from there, and read the environment again"
        raise ConfigurationError(
            origin, f"`{name}` was installed from {url}, which is on this computer only", advice=advice
        )
    if "vcs" in vcs:
        return f"{name} @ {vcs.string('vcs')}+{url}@{vcs.string('commit_id')}"
    return f"{name} @ {url}"
