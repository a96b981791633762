"""Files that are called like a requirement file and are something else."""

from __future__ import annotations

import re
from dataclasses import dataclass

from buildpacks.installer.errors import ProblemKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Disguise:
    """What a file really is. `line` is the first line that shows it, from 1."""

    kind: ProblemKind
    line: int
    message: str
    change: str


_FREEZE = "write one with `pip list --format=freeze > requirements.txt`"

# In this order: the first that fits names the file. Patterns are matched at the start of lines that are no comments.
_SIGNS: tuple[tuple[re.Pattern[str], ProblemKind, str, str], ...] = (
    (
        re.compile(r"version https://git-lfs\.github\.com/spec/"),
        "lfs-pointer",
        "is a Git LFS pointer, not the file itself",
        "commit the file without LFS: `git lfs untrack requirements.txt`, then add it again",
    ),
    (
        re.compile(r"(<{7}|>{7})(\s|$)"),
        "conflict",
        "has the markers of a merge conflict",
        "choose one of the sides and remove the lines `<<<<<<<`, `=======` and `>>>>>>>`",
    ),
    (
        re.compile(r"@EXPLICIT\s*$"),
        "conda-export",
        "is an export of conda (`conda list --explicit`), which pip cannot read",
        f"commit an `environment.yml` (`conda env export --from-history`), or {_FREEZE}",
    ),
    (
        re.compile(r"[A-Za-z0-9_][\w.-]*=[\w.!+*]+=[\w.+-]+\s*$"),
        "conda-export",
        "is an export of conda (`conda list --export`: name=version=build), which pip cannot read",
        f"commit an `environment.yml` (`conda env export --from-history`), or {_FREEZE}",
    ),
    (
        re.compile(r".*(\{%|\{\{)"),
        "template",
        "is a template (Jinja, cookiecutter) that has not been filled in",
        "run the template engine and commit its result, or write the lines out",
    ),
    (
        re.compile(r"<(!doctype|html|\?xml)", re.IGNORECASE),
        "other-format",
        "is a web page, not a requirement file",
        "download the raw file and commit that",
    ),
    (
        re.compile(r"(dependencies|channels):\s*$"),
        "other-format",
        "is a conda environment file",
        "rename it to `environment.yml`",
    ),
    (
        re.compile(r"\[(packages|dev-packages|tool\.poetry[\w.]*|project|build-system|\[source\])\]\s*$"),
        "other-format",
        "is a TOML file (`Pipfile` or `pyproject.toml`)",
        f"give it its own name, or {_FREEZE}",
    ),
    (
        re.compile(r"Package\s+Version(\s|$)"),
        "other-format",
        "is the table that `pip list` prints",
        _FREEZE,
    ),
    (
        re.compile(r"(from (setuptools|distutils)|import )\b"),
        "other-format",
        "is a Python program",
        "keep only names and versions, one a line",
    ),
)


def recognise(text: str) -> Disguise | None:
    """Return what `text` is when it is no requirement file, or `None`."""
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1)]
    for pattern, kind, message, change in _SIGNS:
        for number, line in lines:
            if not line.startswith("#") and pattern.match(line):
                return Disguise(kind=kind, line=number, message=message, change=change)
    return None
