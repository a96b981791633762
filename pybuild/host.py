"""What the machine's own configuration says of package indexes, proxies and certificates, for builds to honour.

Reads the environment, pip's configuration files (https://pip.pypa.io/en/stable/topics/configuration/), uv's
(https://docs.astral.sh/uv/concepts/configuration-files/), conda's (`conda_config.py`) and `.netrc`. All of it reaches the build
environment and nothing after it: as platform variables, as mounts, and as files in the temporary home.
"""

from __future__ import annotations

import configparser
import netrc
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from lifecycle.cnb.toml import read_toml
from lifecycle.registry.machine import find_ca_bundle, read_proxies
from pybuild.conda_config import CondaConfig, read_conda_config
from pybuild.engines.sandbox import Mount
from pybuild.machine import expand_home

CA_BUNDLE_IN_BUILD = PurePosixPath("/etc/ssl/certs/ca-certificates.crt")
INDEXES_IN_BUILD = PurePosixPath("/platform/indexes")

# pip's options that say where packages come from, under the names of its configuration files.
_PIP_OPTIONS = (
    "index-url",
    "extra-index-url",
    "find-links",
    "no-index",
    "trusted-host",
    "timeout",
    "default-timeout",
    "retries",
)
_UV_VARIABLES = (
    "UV_DEFAULT_INDEX",
    "UV_INDEX",
    "UV_INDEX_URL",
    "UV_EXTRA_INDEX_URL",
    "UV_FIND_LINKS",
    "UV_NO_INDEX",
    "UV_INSECURE_HOST",
    "UV_HTTP_TIMEOUT",
    "UV_HTTP_RETRIES",
)
# Who has told uv where packages are meant uv.
_UV_PLACES = {"UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_NO_INDEX"}
_UV_CREDENTIALS = re.compile(r"UV_INDEX_[A-Z0-9_]+_(USERNAME|PASSWORD)")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSettings:
    """What a build on this machine needs to reach its package indexes."""

    proxies: Mapping[str, str]
    """Environment variables, in both spellings."""
    indexes: Mapping[str, str]
    """`PIP_*`, `UV_*` and `BP_CONDA_*` variables; paths of this machine are rewritten to where `mounts` shows them."""
    mounts: tuple[Mount, ...]
    """Local index directories, below `INDEXES_IN_BUILD`."""
    ca_bundle: Path | None
    netrc: str
    """Content of a `.netrc` that holds the entries for the index hosts only."""
    channel_credentials: str = ""
    """Content of rattler's file of credentials for conda channels."""
    constraints: tuple[str, ...] = ()
    """Absolute paths and URLs of the constraints files that pip is configured with; for commands of a Dockerfile."""


def read_host_settings(env: Mapping[str, str], home: Path) -> HostSettings:
    """Settings of the machine, the environment `env` before the files; unreadable files are passed over as pip does."""
    settings = {**_pip_settings(env, home), **_uv_settings(env, home)}
    conda = read_conda_config(env, home)
    paths = _LocalPaths(home)
    indexes = {name: " ".join(paths.show(word) for word in value.split()) for name, value in settings.items()}
    return HostSettings(
        proxies=_proxies(env, conda),
        indexes={**indexes, **_channels(conda, paths)},
        mounts=paths.mounts(),
        ca_bundle=_ca_bundle(env, conda),
        netrc=_netrc_entries(env, home, _hosts(settings.values())),
        channel_credentials=conda.credentials,
        constraints=_constraints(env, home),
    )


def read_uv_environment(env: Mapping[str, str], home: Path) -> dict[str, str]:
    """`env` for a uv that runs on this machine itself and takes packages from where pip takes them.

    uv reads its own files and `.netrc`; what it does not are pip's files and variables
    (https://docs.astral.sh/uv/pip/compatibility/#configuration-files-and-environment-variables). `UV_NO_INDEX` stands for an
    option that uv itself has no variable for.
    """
    conda = read_conda_config(env, home)
    found = uv_settings(_pip_settings(env, home), _uv_settings(env, home))
    bundle = _ca_bundle(env, conda)
    certificates = {} if bundle is None else {"SSL_CERT_FILE": str(bundle)}
    return {**certificates, **_proxies(env, conda), **found, **env}


def uv_settings(pip: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """uv's variables that say what pip's do, `PIP_*` by `pip`; none where `own`, uv's, say themselves where packages are."""
    if _UV_PLACES & own.keys():
        return {}
    found = {
        "UV_DEFAULT_INDEX": pip.get("PIP_INDEX_URL"),
        "UV_INDEX": pip.get("PIP_EXTRA_INDEX_URL"),
        # uv separates these by commas
        "UV_FIND_LINKS": ",".join(pip.get("PIP_FIND_LINKS", "").split()),
        "UV_NO_INDEX": pip.get("PIP_NO_INDEX"),
        "UV_INSECURE_HOST": pip.get("PIP_TRUSTED_HOST"),
    }
    return {name: value for name, value in found.items() if value}


def _channels(conda: CondaConfig, paths: _LocalPaths) -> dict[str, str]:
    found = {}
    if conda.channel_alias is not None:
        found["BP_CONDA_CHANNEL_ALIAS"] = paths.show(conda.channel_alias)
    if conda.mirrors:
        found["BP_CONDA_MIRRORS"] = " ".join(f"{url}={paths.show(place)}" for url, place in conda.mirrors)
    return found


class _LocalPaths:
    """Collects the local directories that index settings name, and says what they are called inside the build."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._targets: dict[Path, PurePosixPath] = {}

    def show(self, word: str) -> str:
        """`word` as the build must read it: a local path that exists becomes the path of its mount."""
        parts = urlsplit(word)
        if parts.scheme == "file":
            path = Path(unquote(parts.path))
        elif word.startswith(("/", "~/")):
            path = expand_home(word, self._home)
        else:
            return word
        if not path.exists():
            return word
        shown = self._shown_directory(path) if parts.scheme == "file" else path
        target = self._targets.setdefault(shown, INDEXES_IN_BUILD / str(len(self._targets)))
        inside = target / path.relative_to(shown)
        return f"file://{inside}" if parts.scheme == "file" else str(inside)

    def _shown_directory(self, path: Path) -> Path:
        """Directory to mount for the index at `path`: the pages of mirrors link to files beside the index (`../../packages/`)."""
        parent = path.parent
        is_private = parent == Path("/") or self._home.is_relative_to(parent)
        return path if is_private or not path.is_dir() else parent

    def mounts(self) -> tuple[Mount, ...]:
        return tuple(Mount(source=path, target=target) for path, target in self._targets.items())


def _proxies(env: Mapping[str, str], conda: CondaConfig) -> dict[str, str]:
    return read_proxies(env, {f"{scheme}_proxy": url for scheme, url in conda.proxies.items()})


def _ca_bundle(env: Mapping[str, str], conda: CondaConfig) -> Path | None:
    return find_ca_bundle(env, others=() if conda.ca_bundle is None else (conda.ca_bundle,))


def _constraints(env: Mapping[str, str], home: Path) -> tuple[str, ...]:
    """Constraints files, absolute: pip's, or uv's where only uv is told of some."""
    words = _pip_settings(env, home, options=("constraint",)).get("PIP_CONSTRAINT") or env.get("UV_CONSTRAINT", "")
    return tuple(word if "://" in word else str(expand_home(word, home).absolute()) for word in words.split())


def _pip_settings(env: Mapping[str, str], home: Path, *, options: Sequence[str] = _PIP_OPTIONS) -> dict[str, str]:
    """`PIP_*` variables: the files in pip's order, each overriding the one before, then the environment."""
    found: dict[str, str] = {}
    for path in _pip_files(env, home):
        parser = configparser.RawConfigParser()
        try:
            parser.read(path, encoding="utf-8")
        except (OSError, configparser.Error, UnicodeDecodeError):
            continue
        for section in ("global", "install"):
            for option in options:
                if parser.has_option(section, option):
                    found[_pip_variable(option)] = " ".join(parser.get(section, option).split())
    for option in options:
        value = env.get(_pip_variable(option))
        if value is not None:
            found[_pip_variable(option)] = value
    return {name: value for name, value in found.items() if value}


def _pip_variable(option: str) -> str:
    return "PIP_" + option.upper().replace("-", "_")


def _pip_files(env: Mapping[str, str], home: Path) -> Iterator[Path]:
    named = env.get("PIP_CONFIG_FILE")
    if named == os.devnull:
        return
    for directory in env.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":"):
        yield Path(directory) / "pip" / "pip.conf"
    yield Path("/etc/pip.conf")
    yield home / ".pip" / "pip.conf"
    yield Path(env.get("XDG_CONFIG_HOME") or home / ".config") / "pip" / "pip.conf"
    if env.get("VIRTUAL_ENV"):
        yield Path(env["VIRTUAL_ENV"]) / "pip.conf"
    if named:
        yield Path(named)


def _uv_settings(env: Mapping[str, str], home: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    config_home = Path(env.get("XDG_CONFIG_HOME") or home / ".config")
    named = [Path(env["UV_CONFIG_FILE"])] if env.get("UV_CONFIG_FILE") else []
    for path in named or (Path("/etc/uv/uv.toml"), config_home / "uv" / "uv.toml"):
        if path.is_file() and not env.get("UV_NO_CONFIG"):
            found.update(_uv_file_settings(read_toml(path)))
    for name, value in env.items():
        if value and (name in _UV_VARIABLES or _UV_CREDENTIALS.fullmatch(name)):
            found[name] = value
    return found


def _uv_file_settings(table: Mapping[str, object]) -> dict[str, str]:
    pip = table.get("pip")
    merged = {**table, **(pip if isinstance(pip, Mapping) else {})}
    found: dict[str, str] = {}
    for option, variable in (
        ("index-url", "UV_INDEX_URL"),
        ("extra-index-url", "UV_EXTRA_INDEX_URL"),
        ("find-links", "UV_FIND_LINKS"),
        ("allow-insecure-host", "UV_INSECURE_HOST"),
    ):
        value = merged.get(option)
        if isinstance(value, str):
            found[variable] = value
        elif isinstance(value, list):
            found[variable] = " ".join(str(item) for item in value)
    indexes = merged.get("index")
    for index in indexes if isinstance(indexes, list) else []:
        if not isinstance(index, Mapping) or "url" not in index or index.get("explicit"):
            continue
        url = str(index["url"])
        if index.get("default"):
            found["UV_DEFAULT_INDEX"] = url
        else:
            found["UV_INDEX"] = f"{found['UV_INDEX']} {url}" if "UV_INDEX" in found else url
    return found


def _hosts(values: Iterable[str]) -> set[str]:
    return {host for value in values for word in value.split() if (host := urlsplit(word).hostname)}


def _netrc_entries(env: Mapping[str, str], home: Path, hosts: set[str]) -> str:
    """The `.netrc` entries for `hosts`; never its `default` entry, which would go to any host."""
    path = Path(env.get("NETRC") or home / ".netrc")
    try:
        entries = netrc.netrc(str(path)).hosts
    except (OSError, netrc.NetrcParseError):
        return ""
    lines = []
    for host in sorted(hosts & entries.keys()):
        login, _, password = entries[host]
        lines.append(f"machine {host} login {login} password {password}\n")
    return "".join(lines)
