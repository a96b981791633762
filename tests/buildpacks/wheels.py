"""Makes tiny wheels, so that uv and pip have something to install without any network."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path


def make_wheel(
    directory: Path,
    name: str,
    version: str,
    *,
    requires: tuple[str, ...] = (),
    files: Mapping[str, str] | None = None,
    tag: str = "py3-none-any",
) -> str:
    """Write `<name>-<version>-<tag>.whl` with one module, and return the SHA-256 of the file in hex."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{name}-{version}-{tag}.whl"
    metadata = f"{name}-{version}.dist-info"
    contents = {
        f"{name}/__init__.py": f'VERSION = "{version}"\n',
        **(files or {}),
        f"{metadata}/METADATA": "\n".join(
            [
                "Metadata-Version: 2.1",
                f"Name: {name}",
                f"Version: {version}",
                *(f"Requires-Dist: {r}" for r in requires),
                "",
            ]
        ),
        f"{metadata}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    record = ""
    with zipfile.ZipFile(path, "w") as archive:
        for file, content in contents.items():
            archive.writestr(zipfile.ZipInfo(file), content)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content.encode()).digest()).rstrip(b"=").decode()
            record += f"{file},sha256={digest},{len(content)}\n"
        archive.writestr(zipfile.ZipInfo(f"{metadata}/RECORD"), f"{record}{metadata}/RECORD,,\n")
    return hashlib.sha256(path.read_bytes()).hexdigest()
