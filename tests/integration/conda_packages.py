"""Writes conda packages, in both formats, without conda: https://docs.conda.io/projects/conda-build/en/stable/resources/package-spec.html

Nothing is checked: tests also make packages that nobody should install.
"""

from __future__ import annotations

import base64
import bz2
import hashlib
import io
import json
import posixpath
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zstandard

# conda-build's own prefix has 255 characters too: only what is shorter can take its place in a binary.
PLACEHOLDER = ("/conda-build" + "_placehold" * 26)[:255]
# 2024-01-01, in seconds; nothing in a package says when it was made.
TIMESTAMP_S = 1704067200


@dataclass(frozen=True, slots=True, kw_only=True)
class Symlink:
    """A symbolic link of a package."""

    target: str


Content = bytes | str | Symlink


@dataclass(frozen=True, slots=True, kw_only=True)
class CondaPackage:
    """A package. A file that holds `PLACEHOLDER` gets the prefix of the environment there."""

    name: str
    version: str = "1.0"
    build_number: int = 0
    build_prefix: str = ""
    """What the build string begins with: `py310`, `cuda`."""
    subdir: str = "linux-64"
    noarch: str | None = None
    """`python` or `generic`; then `subdir` is `noarch`."""
    depends: tuple[str, ...] = ()
    constrains: tuple[str, ...] = ()
    files: Mapping[str, Content] = field(default_factory=dict)
    entry_points: tuple[str, ...] = ()
    """Of a `noarch: python` package: `tool = module:function`."""

    @property
    def build(self) -> str:
        """Build string."""
        return f"{self.build_prefix}_{self.build_number}" if self.build_prefix else str(self.build_number)

    @property
    def directory(self) -> str:
        """Directory of the channel that has it."""
        return "noarch" if self.noarch else self.subdir

    @property
    def stem(self) -> str:
        """File name without its ending."""
        return f"{self.name}-{self.version}-{self.build}"


def write_package(channel: Path, package: CondaPackage, *, ending: str = ".conda") -> Path:
    """Put `package` into its directory of a channel as a `.conda` or `.tar.bz2` file; returns its path."""
    directory = channel / package.directory
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{package.stem}{ending}"
    info = {name: text.encode() for name, text in _info_files(package).items()}
    if ending == ".tar.bz2":
        path.write_bytes(bz2.compress(_tar({**info, **package.files}), 1))
        return path
    members = {
        "metadata.json": b'{"conda_pkg_format_version": 2}',
        f"pkg-{package.stem}.tar.zst": _compressed(_tar(package.files)),
        f"info-{package.stem}.tar.zst": _compressed(_tar(info)),
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return path


def python_package(
    name: str,
    version: str = "1.0",
    *,
    modules: Mapping[str, str],
    depends: Sequence[str] = ("python >=3.9",),
    entry_points: Sequence[str] = (),
    scripts: Mapping[str, str] | None = None,
) -> CondaPackage:
    """A `noarch: python` package of `modules` (paths below site-packages), with the metadata that pip looks for."""
    info = f"{name.replace('-', '_')}-{version}.dist-info"
    content = {**modules, f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"}
    content[f"{info}/INSTALLER"] = "conda\n"
    if entry_points:
        content[f"{info}/entry_points.txt"] = "[console_scripts]\n" + "".join(f"{line}\n" for line in entry_points)
    record = "".join(f"{path},sha256={_record_hash(text)},{len(text.encode())}\n" for path, text in content.items())
    content[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n"
    files: dict[str, Content] = {f"site-packages/{path}": text for path, text in content.items()}
    files |= {f"python-scripts/{path}": text for path, text in (scripts or {}).items()}
    return CondaPackage(
        name=name,
        version=version,
        build_prefix="pyhd",
        noarch="python",
        depends=tuple(depends),
        files=files,
        entry_points=tuple(entry_points),
    )


def package_of_wheel(wheel: Path, *, depends: Sequence[str], entry_points: Sequence[str]) -> CondaPackage:
    """A `noarch: python` package of what is in a pure wheel."""
    name, version = wheel.name.split("-")[:2]
    with zipfile.ZipFile(wheel) as archive:
        files = {
            f"site-packages/{entry.filename}": archive.read(entry) for entry in archive.infolist() if not entry.is_dir()
        }
    files[f"site-packages/{name}-{version}.dist-info/INSTALLER"] = b"conda\n"
    return CondaPackage(
        name=name,
        version=version,
        build_prefix="pyhd",
        noarch="python",
        depends=tuple(depends),
        files=files,
        entry_points=tuple(entry_points),
    )


def _record_hash(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def _info_files(package: CondaPackage) -> dict[str, str]:
    index: dict[str, Any] = {
        "name": package.name,
        "version": package.version,
        "build": package.build,
        "build_number": package.build_number,
        "depends": list(package.depends),
        "constrains": list(package.constrains),
        "subdir": package.directory,
        "license": "MIT",
        "timestamp": TIMESTAMP_S * 1000,
    }
    if package.noarch:
        index |= {"noarch": package.noarch, "arch": None, "platform": None}
    else:
        platform, _, arch = package.subdir.partition("-")
        index |= {"arch": {"64": "x86_64"}.get(arch, arch), "platform": platform}
    documents: dict[str, Any] = {
        "info/index.json": index,
        "info/about.json": {"summary": f"{package.name} of the tests", "license": "MIT"},
        "info/paths.json": {"paths": [_path_entry(*item) for item in package.files.items()], "paths_version": 1},
    }
    if package.noarch == "python":
        noarch = {"type": "python", "entry_points": list(package.entry_points)}
        documents["info/link.json"] = {"noarch": noarch, "package_metadata_version": 1}
    texts = {name: json.dumps(document, indent=1, sort_keys=True) for name, document in documents.items()}
    return {**texts, "info/files": "".join(f"{name}\n" for name in package.files)}


def _path_entry(path: str, content: Content) -> dict[str, Any]:
    if isinstance(content, Symlink):
        return {"_path": path, "path_type": "softlink", "sha256": hashlib.sha256().hexdigest(), "size_in_bytes": 0}
    data = content.encode() if isinstance(content, str) else content
    entry: dict[str, Any] = {
        "_path": path,
        "path_type": "hardlink",
        "sha256": hashlib.sha256(data).hexdigest(),
        "size_in_bytes": len(data),
    }
    # As conda-build does: in bytecode a string has its length before it, so no shorter one can take its place.
    if PLACEHOLDER.encode() in data and not path.endswith(".pyc"):
        entry |= {"prefix_placeholder": PLACEHOLDER, "file_mode": "binary" if b"\0" in data else "text"}
    return entry


def _tar(files: Mapping[str, Content]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.mtime = TIMESTAMP_S
            if isinstance(content, Symlink):
                entry.type, entry.linkname = tarfile.SYMTYPE, content.target
                archive.addfile(entry)
                continue
            data = content.encode() if isinstance(content, str) else content
            entry.size = len(data)
            entry.mode = 0o755 if _is_program(path, data) else 0o644
            archive.addfile(entry, io.BytesIO(data))
    return stream.getvalue()


def _is_program(path: str, data: bytes) -> bool:
    directory = posixpath.basename(posixpath.dirname(path))
    return directory in ("bin", "python-scripts") or data.startswith((b"\x7fELF", b"#!"))


def _compressed(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=3, threads=0).compress(data)
