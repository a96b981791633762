"""Files that are called like an environment file and are something else."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from buildpacks.conda.errors import ProblemKind

_EXPORT = "write one with `conda env export --from-history > environment.yml`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Disguise:
    """What a file really is. `line` and `column` say where that shows first, from 1."""

    kind: ProblemKind
    line: int
    column: int
    message: str
    change: str


# In this order: the first that fits names the file. No environment file can have any of them in a line that is no comment.
_SIGNS: tuple[tuple[re.Pattern[str], ProblemKind, str, str], ...] = (
    (
        re.compile(r"version https://git-lfs\.github\.com/spec/"),
        "lfs-pointer",
        "is a Git LFS pointer, not the file itself",
        "commit the file without LFS: `git lfs untrack` it, then add it again",
    ),
    (
        re.compile(r"(<{7}|={7}|>{7})(\s|$)"),
        "conflict",
        "has the markers of a merge conflict",
        "choose one of the sides and remove the lines `<<<<<<<`, `=======` and `>>>>>>>`",
    ),
    (
        re.compile(r"@EXPLICIT\s*$"),
        "conda-export",
        "is an explicit list of packages (`conda list --explicit`), not an environment file",
        "rename it to `conda-linux-64.lock`: it is then installed as it stands",
    ),
    (
        re.compile(r"[A-Za-z0-9_][\w.-]*=[\w.!+*]+=[\w.+-]+\s*$"),
        "conda-export",
        "is a list of packages (`conda list --export`: name=version=build), not an environment file",
        _EXPORT,
    ),
    (
        re.compile(
            r"(\(\w+\) *)?\$ *\w|[!%]?(conda|mamba|micromamba|pip|pip3|source|python|python3) +(-|[a-z]+\b(?! *:))"
        ),
        "shell",
        "is a command line, not YAML",
        "remove the line: it was not meant to be a part of the file",
    ),
    (
        re.compile(r"[^#]*(?<!\$)(\{\{|\{%)|[^#]*@@?\w+@@?\s*$"),
        "template",
        "is a template (Jinja, cookiecutter) that has not been filled in",
        "run the template engine and commit its result, or write the lines out",
    ),
    (
        re.compile(r"<(!doctype|html|\?xml)", re.IGNORECASE),
        "not-an-environment",
        "is a web page, not an environment file",
        "download the raw file and commit that",
    ),
    (
        re.compile(r"\[(packages|dev-packages|project|build-system|metadata|options|tool\.[\w.-]+)\]\s*$"),
        "not-an-environment",
        "is a TOML or INI file, not an environment file",
        f"give it its own name, or {_EXPORT}",
    ),
    (
        re.compile(r"[A-Za-z0-9][\w.-]*(\[[\w, .-]*\])? *(==|>=|<=|~=|!=)|(-r|-e|--[a-z][a-z-]*)[ =]\S"),
        "not-an-environment",
        "is a list of pip requirements, not an environment file",
        "rename it to `requirements.txt`, or put the lines below `- pip:` in `dependencies:`",
    ),
)

# Top-level keys that give away what another YAML file is; all of one row must be there.
_OTHER_YAML: tuple[tuple[frozenset[str], str], ...] = (
    (frozenset({"on", "jobs"}), "a GitHub workflow"),
    (frozenset({"apiVersion", "kind"}), "a Kubernetes manifest"),
    (frozenset({"services"}), "a Compose file"),
    (frozenset({"repos"}), "a configuration of pre-commit"),
    (frozenset({"steps"}), "a template of Azure Pipelines"),
    (frozenset({"stages"}), "a pipeline of a CI system"),
    (frozenset({"jobs"}), "a pipeline of a CI system"),
    (frozenset({"script"}), "a pipeline of a CI system"),
    (frozenset({"version", "metadata", "package"}), "a lock of conda-lock: rename it to `conda-lock.yml`"),
    (frozenset({"version", "environments", "packages"}), "a lock of pixi: rename it to `pixi.lock`"),
    (frozenset({"package", "requirements"}), "a recipe of conda-build (`meta.yaml`)"),
    (frozenset({"spack"}), "an environment of Spack"),
    (frozenset({":sources"}), "a configuration of Puppet's r10k"),
)


def recognise(text: str) -> Disguise | None:
    """Return what `text` is when it is no environment file and its lines show that, or `None`."""
    lines = [
        (number, line) for number, line in enumerate(text.splitlines(), start=1) if not line.lstrip().startswith("#")
    ]
    for pattern, kind, message, change in _SIGNS:
        for number, line in lines:
            match = pattern.match(line)
            if match:
                groups = [
                    start for start in (match.start(index) for index in range(1, pattern.groups + 1)) if start > 0
                ]
                column = groups[0] + 1 if kind == "template" and groups else 1
                return Disguise(kind=kind, line=number, column=column, message=message, change=change)
    return None


def name_other_yaml(keys: Collection[str]) -> str | None:
    """Return what a YAML file with these keys at its top level is, or `None`."""
    return next((name for signs, name in _OTHER_YAML if signs <= set(keys)), None)
