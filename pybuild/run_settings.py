"""What commands of a Dockerfile see of the machine's settings: package indexes, constraints, proxies, certificates.

Files below `/dev/pybuild`, and variables that say where they are. Both are there while a command runs and in no image: `/dev` is made
anew for every command, the variables are build arguments. What they hold may be secret (a password in the URL of an index), their
names are not: only names stand in a layer's history while it is built.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import quote, urlsplit, urlunsplit

from lifecycle.cnb.tomltext import render_toml
from pybuild.engines.sandbox import Mount
from pybuild.errors import SettingsError
from pybuild.host import INDEXES_IN_BUILD, HostSettings, uv_settings

DIRECTORY = PurePosixPath("/dev/pybuild")
INDEXES_IN_RUN = DIRECTORY / "indexes"
_CA_VARIABLES = (
    "SSL_CERT_FILE",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "NODE_EXTRA_CA_CERTS",
)
# https://docs.astral.sh/uv/reference/environment/: what uv reads from its variables only, and what is no secret.
_PLAIN_UV_VARIABLES = ("UV_HTTP_TIMEOUT", "UV_HTTP_RETRIES")
_PIP_OPTIONS = ("index-url", "extra-index-url", "find-links", "no-index", "trusted-host", "timeout", "retries")
_FILE_LIMIT = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """What commands see."""

    files: Mapping[str, bytes]
    """By path below `DIRECTORY`."""
    variables: Mapping[str, str]
    """Build arguments that every stage declares."""
    proxies: Mapping[str, str]
    """Variables that every builder of images hands to commands by itself."""
    mounts: tuple[Mount, ...] = ()
    """Local package indexes, where the engine can mount directories."""
    left_out: tuple[str, ...] = ()
    """Settings that name directories of this machine, where the engine cannot mount them."""


def make_run_settings(
    host: HostSettings, *, app_dir: Path, constraints: Iterable[str] = (), can_mount: bool
) -> RunSettings:
    """Settings for commands; `constraints` are files of the application and URLs, beside those of the machine.

    Raises:
        SettingsError: a constraints file that cannot be read.
    """
    indexes, left_out = _local_indexes(host.indexes, can_mount=can_mount)
    files: dict[str, bytes] = {}
    variables: dict[str, str] = {}
    pip = _render_pip(indexes)
    if pip:
        files["pip.conf"] = pip
        variables["PIP_CONFIG_FILE"] = str(DIRECTORY / "pip.conf")
    uv = _render_uv(indexes)
    if uv:
        # Not UV_CONFIG_FILE, which would make uv ignore what pyproject.toml says
        # (https://docs.astral.sh/uv/concepts/configuration-files/).
        files["xdg/uv/uv.toml"] = uv
        variables["XDG_CONFIG_DIRS"] = f"{DIRECTORY / 'xdg'}:/etc/xdg"
    variables |= {name: indexes[name] for name in _PLAIN_UV_VARIABLES if name in indexes}
    names = [*_machine_constraints(host, files), *_own_constraints(app_dir, constraints, files)]
    if names:
        variables |= dict.fromkeys(("PIP_CONSTRAINT", "UV_CONSTRAINT"), " ".join(names))
    if host.netrc:
        files["netrc"] = host.netrc.encode("utf-8", "surrogateescape")
        variables["NETRC"] = str(DIRECTORY / "netrc")
    if host.ca_bundle is not None:
        files["ca.crt"] = host.ca_bundle.read_bytes()
        files["apt.conf"] = f'Acquire::https::CaInfo "{DIRECTORY / "ca.crt"}";\n'.encode()
        variables |= dict.fromkeys(_CA_VARIABLES, str(DIRECTORY / "ca.crt"))
        variables["APT_CONFIG"] = str(DIRECTORY / "apt.conf")
    mounts = tuple(
        Mount(source=mount.source, target=INDEXES_IN_RUN / mount.target.relative_to(INDEXES_IN_BUILD))
        for mount in host.mounts
        if can_mount
    )
    return RunSettings(files=files, variables=variables, proxies=host.proxies, mounts=mounts, left_out=left_out)


def write_files(settings: RunSettings, directory: Path) -> None:
    """Write the files below `directory`, and the places of the mounts; every user may read them, because commands run as any."""
    _make_directory(directory)
    for name, content in settings.files.items():
        path = directory / name
        for parent in reversed(path.relative_to(directory).parents):
            _make_directory(directory / parent)
        path.write_bytes(content)
        path.chmod(0o444)
    for mount in settings.mounts:
        place = directory / mount.target.relative_to(DIRECTORY)
        for parent in reversed(place.relative_to(directory).parents):
            _make_directory(directory / parent)
        if mount.source.is_dir():
            _make_directory(place)
        else:
            place.touch()
            place.chmod(0o444)


def _make_directory(path: Path) -> None:
    path.mkdir(exist_ok=True)
    path.chmod(0o755)


def _local_indexes(indexes: Mapping[str, str], *, can_mount: bool) -> tuple[dict[str, str], tuple[str, ...]]:
    """Index settings with the paths that commands see, and which of them cannot be had."""
    found: dict[str, str] = {}
    left_out: list[str] = []
    for name, value in indexes.items():
        words = []
        for word in value.split():
            if str(INDEXES_IN_BUILD) not in word:
                words.append(word)
            elif can_mount:
                words.append(word.replace(str(INDEXES_IN_BUILD), str(INDEXES_IN_RUN)))
            else:
                left_out.append(name)
        if words:
            found[name] = " ".join(words)
    return found, tuple(dict.fromkeys(left_out))


def _render_pip(indexes: Mapping[str, str]) -> bytes:
    values = {option: indexes.get("PIP_" + option.upper().replace("-", "_")) for option in _PIP_OPTIONS}
    values["timeout"] = indexes.get("PIP_DEFAULT_TIMEOUT", values["timeout"])
    # https://pip.pypa.io/en/stable/topics/configuration/: several values stand on lines of their own
    lines = [f"{option} = " + "\n    ".join(value.split()) for option, value in values.items() if value]
    return "\n".join(["[global]", *lines, ""]).encode("utf-8", "surrogateescape") if lines else b""


def _render_uv(indexes: Mapping[str, str]) -> bytes:
    """uv's settings; where uv has none of its own, pip's, as buildpacks of this builder read them."""
    found = {**indexes, **uv_settings(indexes, indexes)}
    default = found.get("UV_DEFAULT_INDEX") or found.get("UV_INDEX_URL")
    others = (found.get("UV_INDEX", "") + " " + found.get("UV_EXTRA_INDEX_URL", "")).split()
    links = found.get("UV_FIND_LINKS", "").replace(",", " ").split()
    hosts = found.get("UV_INSECURE_HOST", "").split()
    no_index = found.get("UV_NO_INDEX")
    tables = [_uv_index(word, indexes) for word in others]
    if default:
        tables.append({**_uv_index(default, indexes), "default": True})
    document: dict[str, object] = {}
    if links:
        document["find-links"] = links
    if hosts:
        document["allow-insecure-host"] = hosts
    if no_index and no_index.lower() not in ("0", "false", "no", "off"):
        document["no-index"] = True
    if tables:
        document["index"] = tables
    return render_toml(document).encode("utf-8", "surrogateescape") if document else b""


def _uv_index(word: str, indexes: Mapping[str, str]) -> dict[str, object]:
    """The table of `URL` or `name=URL`; the credentials of a name (`UV_INDEX_<NAME>_USERNAME`) go into its URL."""
    name, equals, url = word.partition("=")
    if not equals or "/" in name:
        return {"url": word}
    prefix = "UV_INDEX_" + "".join(letter if letter.isalnum() else "_" for letter in name).upper()
    user, password = (indexes.get(f"{prefix}_{what}", "") for what in ("USERNAME", "PASSWORD"))
    parts = urlsplit(url)
    if (user or password) and "@" not in parts.netloc:
        parts = parts._replace(netloc=f"{quote(user, safe='')}:{quote(password, safe='')}@{parts.netloc}")
    return {"name": name, "url": urlunsplit(parts)}


def _machine_constraints(host: HostSettings, files: dict[str, bytes]) -> list[str]:
    return [name if "://" in name else _put_constraints(_read(name, Path(name)), files) for name in host.constraints]


def _own_constraints(app_dir: Path, constraints: Iterable[str], files: dict[str, bytes]) -> list[str]:
    return [name if "://" in name else _put_constraints(read_inside(app_dir, name), files) for name in constraints]


def _put_constraints(content: bytes, files: dict[str, bytes]) -> str:
    """Where commands see the file: a layer is made anew when its content is another, so that is part of its name."""
    shown = f"constraints-{hashlib.sha256(content).hexdigest()[:8]}.txt"
    files[shown] = content
    return str(DIRECTORY / shown)


def read_inside(directory: Path, name: str) -> bytes:
    """Content of a small file of the application, whose links must not lead out of it. Raises `SettingsError`."""
    path = (directory / name).resolve()
    if not path.is_relative_to(directory.resolve()):
        raise SettingsError(f"`{name}` lies outside of the repository", "name a file of the repository")
    return _read(name, path)


def _read(name: str, path: Path) -> bytes:
    try:
        # A FIFO would be waited for.
        if path.exists() and not path.is_file() and str(path) != os.devnull:
            raise SettingsError(f"`{name}` is not a file")
        with path.open("rb") as stream:
            content = stream.read(_FILE_LIMIT + 1)
    except OSError as err:
        raise SettingsError(
            f"`{name}` cannot be read: {err.strerror}",
            "constraints files are named by `PIP_CONSTRAINT`, by `constraint` in pip's configuration, and by `BP_PIP_CONSTRAINTS`",
        ) from err
    if len(content) > _FILE_LIMIT:
        raise SettingsError(f"`{name}` is larger than {_FILE_LIMIT} bytes")
    return content
