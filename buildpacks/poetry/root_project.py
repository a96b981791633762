"""The project itself: what of it decides how it is installed.

Poetry installs it as editable: a line with the directory of its packages, its metadata, and its scripts. So its code may
change without anything to do. https://python-poetry.org/docs/1.8/basic-usage/#operating-modes
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from buildpacks.installer.credentials import without_credentials
from buildpacks.installer.projects import hash_editable
from buildpacks.poetry.credentials import read_secrets
from buildpacks.poetry.errors import PYPROJECT
from buildpacks.poetry.project import PoetryProject
from lifecycle.cnb.toml import read_toml, write_atomically


def hash_root(app_dir: Path, project: PoetryProject) -> str:
    """Return a hash, in hex, of what decides the project's installation; empty where it is not installed."""
    if not project.package_mode:
        return ""
    values = read_toml(app_dir / PYPROJECT)
    tool = values.get("tool")
    poetry = tool.get("poetry") if isinstance(tool, dict) else None
    # Dates of TOML are the only values that JSON does not have.
    tables = {"poetry": poetry, "project": values.get("project"), "build-system": values.get("build-system")}
    digest = hashlib.sha256(json.dumps(tables, sort_keys=True, default=str).encode())
    for name in project.readmes:
        # The description is a part of the metadata.
        path = app_dir / name
        digest.update(f"\0{name}\0".encode() + (path.read_bytes() if path.is_file() else b""))
    module = (project.name or "").lower().replace("-", "_").replace(".", "_")
    places = [f"{base}{module}{suffix}" for base in ("", "src/") for suffix in ("", ".py")]
    digest.update("\0".join(place for place in places if (app_dir / place).exists()).encode())
    if project.build_script is not None:
        script = app_dir / project.build_script
        digest.update(script.read_bytes() if script.is_file() else b"")
        digest.update(hash_editable(app_dir).encode())
    return digest.hexdigest()


def remove_secrets(venv: Path, project: PoetryProject) -> None:
    """Remove the credentials of pyproject.toml from the project's metadata, which repeats the URLs of its dependencies."""
    users = set(read_secrets(project).values())
    for metadata in sorted(venv.glob("lib/python*/site-packages/*.dist-info/METADATA")) if users else ():
        text = metadata.read_text(encoding="utf-8", errors="surrogateescape")
        if not any(f"//{user}@" in text for user in users):
            continue
        write_atomically(metadata, without_credentials(text).encode(errors="surrogateescape"))
        record = metadata.with_name("RECORD")
        if record.is_file():
            # An entry need not have a hash.
            lines = re.sub(r"(?m)^(.*\.dist-info/METADATA),.*$", r"\1,,", record.read_text(encoding="utf-8"))
            write_atomically(record, lines.encode())
