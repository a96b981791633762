"""Reading pyproject.toml: the tables of the file, with the line of every key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from buildpacks.installer.errors import Origin
from buildpacks.poetry.errors import PYPROJECT, InvalidProject, Problem, ProblemKind
from lifecycle.cnb.errors import ConfigurationError
from lifecycle.cnb.lines import KeyPath, find_lines
from lifecycle.cnb.toml import Table, parse_toml, read_regular_file

# Far beyond what people write: a lock file under the wrong name, or an attack.
_SIZE_LIMIT = 1024 * 1024
# A header, or a dotted key in `[tool]` or at the root; in a file that no parser reads there is nothing better.
_MENTION = re.compile(rb"^[ \t]*\[*[ \t]*(?:[\"']?tool[\"']?[ \t]*\.[ \t]*)[\"']?poetry[\"']?[ \t]*[].=]", re.MULTILINE)
_CONFLICT = re.compile(rb"^<{7}[ \t]", re.MULTILINE)
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
# UTF-16, as PowerShell's `>` writes it
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A pyproject.toml that is valid TOML."""

    root: Table
    lines: Mapping[KeyPath, int]

    def origin(self, *path: str) -> Origin:
        """Return where the key at `path` stands, or the nearest table above it that stands anywhere."""
        while path and path not in self.lines:
            path = path[:-1]
        return Origin(file=PYPROJECT, line=self.lines.get(path))

    @property
    def has_poetry(self) -> bool:
        """Whether there is a `[tool.poetry]`, or a table below it."""
        tool = self.root.values.get("tool")
        return isinstance(tool, Mapping) and "poetry" in tool

    @property
    def poetry(self) -> Mapping[str, object]:
        """`[tool.poetry]`; empty where there is none, or where it is no table."""
        return _table(_table(self.root.values, "tool"), "poetry")

    @property
    def project(self) -> Mapping[str, object] | None:
        """`[project]` (https://packaging.python.org/en/latest/specifications/pyproject-toml/), or `None`."""
        return _table(self.root.values, "project") if "project" in self.root else None

    @property
    def build_backend(self) -> str | None:
        """What `[build-system]` names, whether it is what it must be or not."""
        backend = _table(self.root.values, "build-system").get("build-backend")
        return backend if isinstance(backend, str) else None


def read_content(app_dir: Path) -> bytes:
    """Return what is in pyproject.toml. Raises `InvalidProject` for anything but a readable file of a size that people write."""
    try:
        content = read_regular_file(app_dir / PYPROJECT)
    except ConfigurationError as err:
        raise _invalid("file", err.message, change="make it a file that can be read") from err
    if len(content) > _SIZE_LIMIT:
        raise _invalid("file", f"is larger than {_SIZE_LIMIT} bytes", change="is this the file that was meant?")
    return content


def mentions_poetry(content: bytes) -> bool:
    """Whether a file that is not valid TOML has a table for Poetry."""
    encoding = "utf-16" if content.startswith(_UTF_16) else "utf-8"
    return _MENTION.search(content.decode(encoding, "replace").encode()) is not None


def parse_document(content: bytes) -> Document:
    """Return the tables. Raises `InvalidProject`."""
    if content.startswith(_UTF_16):
        raise _invalid("encoding", "is in UTF-16, and TOML is always UTF-8", change="save the file as UTF-8")
    if content.startswith(_LFS_POINTER):
        raise _invalid("file", "is a pointer of Git LFS, not the file", change="fetch it with `git lfs pull`")
    try:
        root = Table(values=parse_toml(content, source=PYPROJECT), source=PYPROJECT)
    except ConfigurationError as err:
        if conflict := _CONFLICT.search(content):
            line = content.count(b"\n", 0, conflict.start()) + 1
            change = "decide which of the two sides is right, and remove the marks"
            raise _invalid("toml", "has a merge conflict that is not resolved", line=line, change=change) from err
        kind: ProblemKind = "encoding" if "UTF-8" in err.message else "toml"
        change = "save the file as UTF-8" if kind == "encoding" else "correct it: the file must be valid TOML"
        raise _invalid(kind, err.message, line=err.line, change=change) from err
    return Document(root=root, lines=find_lines(content.decode("utf-8-sig").replace("\r\n", "\n")))


def read_document(app_dir: Path) -> Document:
    """Return pyproject.toml. Raises `InvalidProject`."""
    return parse_document(read_content(app_dir))


def _table(values: Mapping[str, object], key: str) -> Mapping[str, object]:
    value = values.get(key)
    return value if isinstance(value, Mapping) else {}


def _invalid(kind: ProblemKind, message: str, *, change: str, line: int | None = None) -> InvalidProject:
    problem = Problem(origin=Origin(file=PYPROJECT, line=line), kind=kind, message=message, change=change)
    return InvalidProject(problems=(problem,))
