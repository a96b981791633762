"""What a lock is resolved from, in a form that can be compared and given to a tool.

The files of the repository are not given to uv or pip as they are: pip's decoding and expanding has happened, paths are
absolute, and options have become options of the tool, so that both tools read the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from buildpacks.installer.credentials import read_credentials, without_credentials
from buildpacks.installer.projects import hash_metadata
from buildpacks.installer.reader import RequirementLine, RequirementSet
from buildpacks.installer.settings import Installer

# How the fields are called when they have changed.
_TITLES = {
    "requirements": "requirements",
    "constraints": "constraints",
    "options": "options",
    "indexes": "package indexes",
    "projects": "local projects",
    "python": "Python",
    "installed": "what is installed before",
    "installer": "installer",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LockInputs:
    """Everything that decides what is resolved; no credentials. Two equal ones keep the lock."""

    requirements: tuple[str, ...]
    constraints: tuple[str, ...]
    options: tuple[str, ...]
    indexes: tuple[str, ...]
    projects: tuple[str, ...]
    """`<path> <hash>` of what in local projects and package directories decides a resolution."""
    python: str
    installed: str
    """A hash of what the environment has before; empty where it begins empty."""
    installer: Installer

    def to_json(self) -> str:
        """Return the inputs as JSON."""
        return json.dumps(asdict(self), indent=1)

    def differences(self, old: LockInputs) -> tuple[str, ...]:
        """Return what has changed since `old`, one line each, for a person."""
        found = []
        for field in fields(self):
            before, after = getattr(old, field.name), getattr(self, field.name)
            if before == after:
                continue
            title = _TITLES[field.name]
            if field.name == "installed":
                found.append(f"{title} has changed")
                continue
            if field.name == "projects":
                changed = [line for line in after if line not in before] or [
                    line for line in before if line not in after
                ]
                found.append(f"{title} have changed: {', '.join(_paths(changed))}")
                continue
            found += describe_change(title, before, after)
        return tuple(found)


def describe_change(title: str, before: str | Sequence[str], after: str | Sequence[str]) -> tuple[str, ...]:
    """Return what has changed of one input, a value or lines, in one line each, for a person."""
    if isinstance(after, str):
        return (f"{title} has changed from {before} to {after}",)
    added = [f"{title}: `{line}` was added" for line in after if line not in before]
    removed = [f"{title}: `{line}` was removed" for line in before if line not in after]
    return (*added, *removed) or (f"the order of the {title} has changed",)


def make_inputs(found: RequirementSet, *, python: str, installer: Installer, installed: str = "") -> LockInputs:
    """Return what `found` is resolved from: `python` names the interpreter. Reads local projects."""
    options = found.options
    hosts = [Path(place) for place in options.indexes.find_links if place.startswith("/")]
    return LockInputs(
        requirements=tuple(without_credentials(render_line(line)) for line in found.requirements),
        constraints=tuple(without_credentials(render_line(line)) for line in found.constraints),
        options=render_options(found),
        indexes=options.indexes.public(),
        projects=(
            *(f"{path} {hash_metadata(path)}" for path in found.local_projects),
            *(f"{path} {_listing(path)}" for path in hosts if path.is_dir()),
        ),
        python=python,
        installed=installed,
        installer=installer,
    )


def parse_inputs(values: Mapping[str, object]) -> LockInputs:
    """Return what `LockInputs.to_json` wrote. Raises `KeyError` or `TypeError` for anything else."""

    def lines(name: str) -> tuple[str, ...]:
        value = values[name]
        if not isinstance(value, list):
            raise TypeError(name)
        return tuple(str(line) for line in value)

    return LockInputs(
        requirements=lines("requirements"),
        constraints=lines("constraints"),
        options=lines("options"),
        indexes=lines("indexes"),
        projects=lines("projects"),
        python=str(values["python"]),
        installed=str(values["installed"]),
        installer="pip" if values["installer"] == "pip" else "uv",
    )


def render_line(line: RequirementLine) -> str:
    """Return a requirement as one line of a requirement file, with its credentials."""
    requirement = line.requirement
    # uv knows editable directories only, and pip needs a place to clone to: what is imported is the same.
    prefix = "-e " if line.is_editable and requirement.kind == "local" else ""
    settings = "".join(f' --config-settings "{setting}"' for setting in line.config_settings)
    return f"{prefix}{requirement.text}{''.join(f' --hash={value}' for value in line.hashes)}{settings}"


def render_options(found: RequirementSet) -> tuple[str, ...]:
    """Return the options that decide what is resolved and built, as a requirement file has them."""
    options = found.options
    return (
        *(f"--no-binary {name}" for name in options.no_binary),
        *(f"--only-binary {name}" for name in options.only_binary),
        *(("--pre",) if options.pre else ()),
        *(("--require-hashes",) if options.require_hashes else ()),
        *(option for _, option in options.pip_only),
    )


def credentials_of(found: RequirementSet) -> Mapping[str, str]:
    """Return the credentials in the requirements' URLs, for `with_credentials`."""
    return read_credentials(line.requirement.text for line in (*found.requirements, *found.constraints))


def _listing(directory: Path) -> str:
    """What is in a directory of packages: files there keep their names when they stay the same."""
    names = sorted(f"{path.name}:{path.stat().st_size}" for path in directory.iterdir() if path.is_file())
    return ",".join(names)


def _paths(lines: list[str]) -> list[str]:
    return [f"`{line.rpartition(' ')[0]}`" for line in lines]
