"""What an environment has installed before requirements are resolved for it.

A resolver knows files, not environments: to each distribution that is there a wheel is written that has its metadata and
nothing else, so that it can be chosen like any other, with its dependencies.
https://packaging.python.org/en/latest/specifications/recording-installed-packages/
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

if TYPE_CHECKING:
    from email.message import Message

_APPROVED = "OSI Approved"  # a classifier that names no licence
_WHEEL = "Wheel-Version: 1.0\nGenerator: pybuild\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """An installed distribution."""

    name: str
    """Canonical."""
    version: str
    """As its metadata has it."""
    metadata: Path
    """`METADATA`, or `PKG-INFO` of what setuptools installed by itself."""
    licence: str | None = None
    """The expression that its metadata has (PEP 639), else its one line of text, else what its classifiers name."""

    def has_version(self, version: str) -> bool:
        """Whether `version` is the installed one, in whatever spelling."""
        return Version(self.version) == Version(version)


def read_installed(site_packages: Path) -> tuple[Distribution, ...]:
    """Return what is installed below `site_packages`, by name; what has no proper name and version is passed over."""
    import email.parser  # takes longer than the rest of an unchanged build loads

    files = [*site_packages.glob("*.dist-info/METADATA"), *site_packages.glob("*.egg-info/PKG-INFO")]
    files += [path for path in site_packages.glob("*.egg-info") if path.is_file()]
    found = {}
    for file in sorted(files):
        headers = email.parser.BytesHeaderParser().parsebytes(file.read_bytes())
        name, version = str(headers.get("Name", "")), str(headers.get("Version", ""))
        try:
            Version(version)
        except InvalidVersion:
            continue
        if name:
            distribution = Distribution(
                name=canonicalize_name(name),
                version=version,
                metadata=file,
                licence=_licence(headers),
            )
            found[distribution.name] = distribution
    return tuple(found.values())


def _licence(headers: Message) -> str | None:
    """What the headers say of it. Some have the whole text in one, some a word for having nothing to say."""
    text = str(headers.get("License-Expression") or headers.get("License") or "").strip()
    if text and "\n" not in text and text != "UNKNOWN":
        return text
    classifiers = (str(value).split(" :: ") for value in headers.get_all("Classifier", ()))
    named = [parts[-1] for parts in classifiers if parts[0] == "License" and parts[-1] not in ("License", _APPROVED)]
    return ", ".join(named) or None


def write_metadata_wheels(distributions: tuple[Distribution, ...], directory: Path) -> None:
    """Write a wheel without modules for each distribution into `directory`, to resolve with, never to install."""
    import zipfile  # as above

    for distribution in distributions:
        stem = f"{distribution.name.replace('-', '_')}-{Version(distribution.version)}"
        content = re.sub(rb"(?m)^Dynamic: .*\n", b"", distribution.metadata.read_bytes())
        files = {"METADATA": content, "WHEEL": _WHEEL.encode(), "RECORD": b""}
        with zipfile.ZipFile(directory / f"{stem}-py3-none-any.whl", "w") as archive:
            for name, data in files.items():
                archive.writestr(f"{stem}.dist-info/{name}", data)
