"""Local projects of the app directory: what of them decides the environment, and what installing them leaves behind.

A project that is installed is copied, so all of it counts. One that is installed as editable is only linked: its Python
modules may change without anything to do, its metadata, its directories and its sources in other languages may not.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from lifecycle.cnb.layer import remove_tree

# Paths with their sizes.
Files = frozenset[tuple[str, int]]

_SKIPPED = frozenset({".git", ".hg", ".svn", "__pycache__", "node_modules"})
# Where build backends find names, versions and dependencies.
_METADATA_SUFFIXES = (".toml", ".cfg", ".txt", ".in", ".json", ".yaml", ".yml", ".lock")
_C = frozenset({".c", ".cc", ".cpp", ".cxx", ".h", ".hh", ".hpp", ".hxx", ".cu"})
_CYTHON = frozenset({".pyx", ".pxd", ".pxi"})
_FORTRAN = frozenset({".f", ".for", ".f90", ".f95"})
_COMPILED_SUFFIXES = _C | _CYTHON | _FORTRAN | {".rs", ".go", ".build", ".cmake"}
_MAX_METADATA = 1024 * 1024


def hash_content(path: Path) -> str:
    """Return a hash, in hex, of the names and contents of everything in a project or archive."""
    return _hash(_files(path), path)


def hash_metadata(path: Path) -> str:
    """Return a hash, in hex, of what a project's dependencies can come from: the files on top, and lists of requirements."""
    if not path.is_dir():
        return hash_content(path)
    top = (found for found in sorted(path.iterdir()) if found.is_file() and _is_metadata(found))
    lists = sorted(found for found in path.glob("requirements*/**/*") if found.is_file() and _is_metadata(found))
    return _hash([*top, *lists], path)


def hash_editable(path: Path) -> str:
    """Return a hash, in hex, of what decides how an editable project is installed."""
    digest = hashlib.sha256(hash_metadata(path).encode())
    packages = set()
    sources = []
    for file in _files(path):
        if file.suffix.lower() in _COMPILED_SUFFIXES or file.name == "CMakeLists.txt":
            sources.append(file)
        elif file.suffix == ".py":
            packages.add(os.fsencode(file.parent.relative_to(path)))
            if file.parent == path:
                packages.add(os.fsencode(file.name))
    digest.update(b"\0".join(sorted(packages)))
    digest.update(_hash(sources, path).encode())
    return digest.hexdigest()


def list_files(directories: tuple[Path, ...]) -> Files:
    """Return the files of the projects with their sizes, to compare with what is there after an installation."""
    return frozenset((str(file), file.lstat().st_size) for directory in directories for file in _files(directory))


def remove_leftovers(directories: tuple[Path, ...], before: Files) -> None:
    """Remove what setuptools writes beside the sources of the projects, and nothing refers to: metadata and build directories
    that hold nothing of what was there `before`.
    """
    known = {path for path, _ in before}
    kept = {str(parent) for path in known for parent in Path(path).parents}
    leftovers = set()
    for directory in directories:
        for file in _files(directory):
            if str(file) in known:
                continue
            for parent in file.parents:
                if parent.suffix == ".egg-info" or (parent.name == "build" and parent.parent == directory):
                    leftovers.add(parent)
                if parent == directory:
                    break
    for path in leftovers:
        if str(path) not in kept:
            remove_tree(path)


def _is_metadata(path: Path) -> bool:
    return (
        path.name == "setup.py" or path.suffix.lower() in _METADATA_SUFFIXES
    ) and path.stat().st_size < _MAX_METADATA


def _files(path: Path) -> Iterator[Path]:
    """Files and links below `path` in a fixed order, or `path` itself when it is a file."""
    if not path.is_dir():
        yield path
        return
    for directory, names, files in os.walk(path):
        linked = [name for name in names if Path(directory, name).is_symlink()]
        names[:] = sorted(name for name in names if name not in _SKIPPED and name not in linked)
        for name in sorted([*files, *linked]):
            yield Path(directory, name)


def _hash(files: Iterator[Path] | list[Path], base: Path) -> str:
    digest = hashlib.sha256()
    for file in files:
        content = hashlib.sha256()
        if file.is_symlink():
            content.update(os.fsencode(file.readlink()))
        elif file.is_file():
            with file.open("rb") as stream:
                while block := stream.read(1 << 20):
                    content.update(block)
        name = file.relative_to(base) if file != base else Path(file.name)
        digest.update(os.fsencode(name) + b"\0" + content.digest())
    return digest.hexdigest()
