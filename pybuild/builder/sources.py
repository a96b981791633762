"""Where the machine has its Debian packages from, for bases to be assembled from the same place.

Reads /etc/apt (https://manpages.debian.org/bookworm/apt/sources.list.5.en.html, one-line and deb822) and `apt-config dump`.
None of it stays in a base.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from lifecycle.cnb.command import run_command

DEBIAN_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_ARCHIVE = "http://deb.debian.org/debian"
_SECURITY_ARCHIVE = "http://deb.debian.org/debian-security"
# apt runs outside the base but looks for files of `file:` and `cdrom:` inside it, so only what goes over a network serves.
_SCHEMES = ("http", "https", "ftp", "mirror", "mirror+http", "mirror+https", "mirror+file")
_ONE_LINE = re.compile(r"deb\s+(?:\[(?P<options>[^\]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(?P<components>[^#]+)")
# Options of a source that decide whether apt accepts the archive; the others choose what it downloads.
_KEPT_OPTIONS = ("trusted", "check-valid-until", "check-date")
_SETTING = re.compile(r'(?P<name>Acquire::\S+) "(?P<value>[^"]*)";')
# Proxies, certificates and time limits of apt's transports: `Acquire::http::Proxy`, `Acquire::https::host::CaInfo`, ...
_KEPT_SETTINGS = re.compile(
    r"Acquire::(?:(?:http|https|ftp)::(?:[^:]+::)?"
    r"(?:Proxy|Proxy-Auto-Detect|CaInfo|CaPath|SslCert|SslKey|Verify-Peer|Verify-Host|Timeout)"
    r"|Retries|ForceIPv4|ForceIPv6|Check-Valid-Until|Check-Date)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """An archive's suite."""

    uri: str
    suite: str
    options: Mapping[str, str] = field(default_factory=dict)

    def render(self) -> str:
        """One line of a sources.list."""
        options = {"signed-by": str(DEBIAN_KEYRING), **self.options}
        shown = " ".join(f"{name}={value}" for name, value in options.items())
        return f"deb [{shown}] {self.uri} {self.suite} main"


def canonical_sources(suite: str) -> tuple[Source, ...]:
    """Debian's own sources of `suite`, as every machine can use them."""
    archive = Source(uri=_ARCHIVE, suite=suite)
    if suite in ("sid", "unstable", "experimental"):
        return (archive,)
    updates = Source(uri=_ARCHIVE, suite=f"{suite}-updates")
    return (archive, updates, Source(uri=_SECURITY_ARCHIVE, suite=f"{suite}-security"))


def machine_sources(suite: str, root: Path = Path("/")) -> tuple[Source, ...]:
    """The machine's own sources of `suite` where it is Debian and has them, otherwise Debian's."""
    if _os_release(root).get("ID") != "debian":
        return canonical_sources(suite)
    wanted = (suite, f"{suite}-updates", f"{suite}-security")
    found: dict[tuple[str, str], Source] = {}
    for source in _read_sources(root / "etc" / "apt"):
        if source.suite in wanted and urlsplit(source.uri).scheme in _SCHEMES:
            found.setdefault((source.uri.rstrip("/"), source.suite), source)
    if not any(source.suite == suite for source in found.values()):
        return canonical_sources(suite)
    return tuple(found.values())


def machine_apt_settings(env: Mapping[str, str], root: Path = Path("/")) -> tuple[str, ...]:
    """apt.conf lines that let apt reach its archives from this machine: proxies, certificates, credentials."""
    program = shutil.which("apt-config", path=env.get("PATH"))
    if program is None:
        return ()
    output = run_command([program, "dump"], env=env).output
    settings = [
        f'{match["name"]} "{match["value"]}";'
        for match in map(_SETTING.fullmatch, output.splitlines())
        if match and match["value"] and _KEPT_SETTINGS.fullmatch(match["name"])
    ]
    directory = root / "etc" / "apt"
    for name, path in (("Netrc", directory / "auth.conf"), ("NetrcParts", directory / "auth.conf.d")):
        if os.access(path, os.R_OK):
            settings.append(f'Dir::Etc::{name} "{path}";')
    return tuple(settings)


def _read_sources(directory: Path) -> Iterator[Source]:
    parts = sorted((directory / "sources.list.d").glob("*"))
    for path in (directory / "sources.list", *parts):
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        if path.suffix == ".list":
            yield from _parse_one_line_style(text)
        elif path.suffix == ".sources":
            yield from _parse_deb822_style(text)


def _parse_one_line_style(text: str) -> Iterator[Source]:
    for line in text.splitlines():
        match = _ONE_LINE.match(line.strip())
        if match is None or "main" not in match["components"].split():
            continue
        pairs = (option.partition("=") for option in (match["options"] or "").split())
        options = {name.lower(): value for name, _, value in pairs}
        if _is_debian(match["uri"], options.get("signed-by")):
            yield _source(match["uri"], match["suite"], options)


def _parse_deb822_style(text: str) -> Iterator[Source]:
    for paragraph in re.split(r"\n(?:[ \t]*\n)+", text):
        fields = _parse_fields(paragraph)
        is_binary = "deb" in fields.get("types", "").split()
        if not is_binary or fields.get("enabled", "yes").lower() == "no":
            continue
        if "main" not in fields.get("components", "").split():
            continue
        for uri in fields.get("uris", "").split():
            if _is_debian(uri, fields.get("signed-by")):
                for suite in fields.get("suites", "").split():
                    yield _source(uri, suite, fields)


def _parse_fields(paragraph: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    name = ""
    for line in paragraph.splitlines():
        if line.startswith("#"):
            continue
        if line[:1] in (" ", "\t"):
            fields[name] = f"{fields.get(name, '')} {line.strip()}"
        else:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            fields[name] = value.strip()
    return fields


def _source(uri: str, suite: str, options: Mapping[str, str]) -> Source:
    return Source(uri=uri, suite=suite, options={name: options[name] for name in _KEPT_OPTIONS if name in options})


def _is_debian(uri: str, signed_by: str | None) -> bool:
    """Whether a source is a mirror of Debian: by the key that signs it, or by its name. Others use the same suite names."""
    if signed_by is not None:
        return "debian-archive" in signed_by
    return "debian" in uri.lower()


def _os_release(root: Path) -> dict[str, str]:
    try:
        lines = (root / "etc" / "os-release").read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    pairs = (line.partition("=") for line in lines)
    return {name: value.strip("\"'") for name, _, value in pairs}
