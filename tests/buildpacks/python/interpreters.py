"""Directories of interpreters, as a builder has them."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path


def add_interpreters(directory: Path, *versions: str, arch: str = "amd64") -> None:
    """Archives with a program that is as much of an interpreter as unpacking needs."""
    directory.mkdir(exist_ok=True)
    entries = []
    for version in versions:
        content = f"#!/bin/sh\necho Python {version} {arch}\n".encode()
        path = directory / f"cpython-{version}.tar.gz"
        with tarfile.open(path, "w:gz") as archive:
            member = tarfile.TarInfo("bin/python3")
            member.size, member.mode = len(content), 0o755
            archive.addfile(member, io.BytesIO(content))
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        entries.append({"version": version, "arch": arch, "file": path.name, "sha256": digest, "origin": "test"})
    (directory / "interpreters.json").write_text(json.dumps(entries), encoding="utf-8")
