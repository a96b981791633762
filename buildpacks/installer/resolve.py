"""Resolves requirements into the entries of a lock, with uv or with pip."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from packaging.utils import canonicalize_name

from buildpacks.installer.commands import ToolRun, private_directory
from buildpacks.installer.credentials import without_credentials
from buildpacks.installer.diagnosis import diagnose
from buildpacks.installer.errors import InvalidRequirements, Origin, Problem
from buildpacks.installer.inputs import render_line
from buildpacks.installer.installed import Distribution, write_metadata_wheels
from buildpacks.installer.lock import Lock, LockEntry, parse_entries
from buildpacks.installer.reader import RequirementLine, RequirementSet
from buildpacks.installer.tools import PipWheel, Python

_OLD = "old-versions.txt"
_INSTALLED = "installed"
# How often versions that stand in the way of new requirements are given up before all are.
_ATTEMPTS = 4


def resolve_with_uv(
    run: ToolRun, *, uv: Path, python: Python, old: Lock | None, installed: tuple[Distribution, ...] = ()
) -> tuple[LockEntry, ...]:
    """Return what uv resolves the requirements to; versions of `old` and of what is `installed` are kept where they still
    fit, and what is installed as it is, is left out.

    Raises `InstallationFailed`, and `InvalidRequirements` when hashes are missing.
    """
    found = run.found
    with private_directory() as directory:
        source, constraints, result = _write_files(directory, run, head="")
        arguments = ["pip", "compile", str(source), f"--output-file={result}", "--quiet"]
        arguments += [f"--constraints={constraints}"] if found.constraints else []
        arguments += ["--generate-hashes", "--no-header", "--no-annotate", f"--python={python.executable}"]
        # Metadata of local projects is cached by the times of some of their files, which say little.
        arguments += ["--refresh"] if found.local_projects else []
        arguments += run.uv_options()
        if installed:
            (directory / _INSTALLED).mkdir()
            write_metadata_wheels(installed, directory / _INSTALLED)
            arguments += [f"--find-links={directory / _INSTALLED}"]
        wanted = _wanted_versions(run.found, old, installed)
        if not _resolve_near(run, uv, [*arguments, f"--constraints={directory / _OLD}"], directory / _OLD, wanted):
            done = run.uv(uv, *arguments)
            if done.status != 0:
                raise diagnose(done.output + _refusals(run, uv, arguments, done.output), found, python)
        entries = parse_entries(without_credentials(result.read_text(encoding="utf-8")))
    return _with_given_hashes(_not_installed(entries, installed), found)


def _wanted_versions(
    found: RequirementSet, old: Lock | None, installed: tuple[Distribution, ...]
) -> tuple[LockEntry, ...]:
    """What should stay as it is, as far as the requirement files leave it open."""
    pinned = {line.requirement.name for line in found.requirements if line.requirement.is_pinned}
    wanted: dict[str | None, LockEntry] = {
        one.name: LockEntry(text=f"{one.name}=={one.version}") for one in installed if one.name not in pinned
    }
    for entry in old.entries if old else ():
        if entry.version is not None and entry.name not in pinned:
            wanted[entry.name] = entry
    return tuple(wanted.values())


def _not_installed(entries: tuple[LockEntry, ...], installed: tuple[Distribution, ...]) -> tuple[LockEntry, ...]:
    there = {distribution.name: distribution for distribution in installed}

    def is_there(entry: LockEntry) -> bool:
        known = there.get(entry.name or "")
        return known is not None and entry.version is not None and known.has_version(entry.version)

    return tuple(entry for entry in entries if not is_there(entry))


def _resolve_near(
    run: ToolRun, uv: Path, arguments: list[str], constraints: Path, wanted: tuple[LockEntry, ...]
) -> bool:
    """Whether a resolution was found with the versions that are `wanted`, or all of those that do not stand in its way.

    They are given as constraints. uv would also take an old lock as wishes, but those are looked up in each index apart,
    and one whose file is for another Python counts as a version that there is not.
    """
    for attempt in range(_ATTEMPTS):
        if not wanted:
            break
        constraints.write_text("".join(f"{entry.text}\n" for entry in wanted), encoding="utf-8")
        done = run.uv(uv, *arguments, quiet=True, echo=attempt == 0)
        if done.status == 0:
            return True
        named = {canonicalize_name(word) for word in re.findall(r"[A-Za-z0-9][A-Za-z0-9._-]*", done.output)}
        fewer = tuple(entry for entry in wanted if entry.name not in named)
        if fewer == wanted:
            break
        wanted = fewer
    return False


def _refusals(run: ToolRun, uv: Path, arguments: list[str], output: str) -> str:
    """What uv says of indexes that refused it: it does so only where the first index that has a package decides."""
    if "was not found in" not in output:
        return ""
    strategy = "--index-strategy=first-index"
    again = [strategy if argument.startswith("--index-strategy=") else argument for argument in arguments]
    hints = re.findall(r"^hint: An index URL .*$", run.uv(uv, *again, quiet=True, echo=False).output, re.MULTILINE)
    return "".join(f"{hint}\n" for hint in hints)


def resolve_with_pip(
    run: ToolRun, *, pip: PipWheel, python: Python, keep_installed: bool = False
) -> tuple[LockEntry, ...]:
    """Return what pip resolves the requirements to, without what `python` has already if `keep_installed`. Raises as
    `resolve_with_uv` does.
    """
    found = run.found
    with private_directory() as directory:
        source, constraints, report = _write_files(directory, run, head=run.pip_lines())
        # A wheel is a program: nothing has to be installed to run the pip that is in it.
        command = [str(python.executable), str(pip.path / "pip"), "install"]
        arguments = ["--dry-run", f"--report={report}", f"--requirement={source}"]
        arguments += [] if keep_installed else ["--ignore-installed"]
        arguments += [f"--constraint={constraints}"] if found.constraints else []
        done = run.pip(command, *arguments)
        if done.status != 0:
            raise diagnose(done.output, found, python)
        items = json.loads(report.read_bytes())["install"]
    entries = sorted((_entry_of_report(item) for item in items), key=lambda entry: entry.text.lower())
    return _with_given_hashes(tuple(entries), found)


def _write_files(directory: Path, run: ToolRun, *, head: str) -> tuple[Path, Path, Path]:
    source, constraints = directory / "requirements.in", directory / "constraints.txt"
    lines = [_for_resolution(line, run.found) for line in run.found.requirements]
    source.write_text(head + run.found.options.indexes.render() + "".join(lines), encoding="utf-8")
    constraints.write_text(
        "".join(_for_resolution(line, run.found) for line in run.found.constraints), encoding="utf-8"
    )
    return source, constraints, directory / "requirements.lock"


def _for_resolution(line: RequirementLine, found: RequirementSet) -> str:
    """The line for the tool. Hashes are checked when files are downloaded for installation, against those of the file:
    while resolving, pip would want them for what the file has forgotten, and say so less clearly.
    """
    text = render_line(replace(line, hashes=(), config_settings=()))
    uses_pip = bool(found.options.pip_only)
    settings = "".join(f' --config-settings "{value}"' for value in line.config_settings) if uses_pip else ""
    return f"{text}{settings}\n"


def _with_given_hashes(entries: tuple[LockEntry, ...], found: RequirementSet) -> tuple[LockEntry, ...]:
    """In hash mode the hashes of the requirement files count, not those of the index."""
    if not found.options.require_hashes:
        return entries
    given: dict[str | None, tuple[str, ...]] = {}
    for line in (*found.requirements, *found.constraints):
        given[line.requirement.name] = tuple(dict.fromkeys((*given.get(line.requirement.name, ()), *line.hashes)))
    missing = [entry for entry in entries if not given.get(entry.name)]
    if missing:
        first = found.requirements[0].origin.file
        raise InvalidRequirements(
            problems=tuple(
                Problem(
                    origin=Origin(file=first),
                    kind="hash",
                    message=f"`{entry.text}` is needed by another requirement and has no line with a hash",
                    change="add it; `uv pip compile --generate-hashes` writes a file with everything that is needed",
                )
                for entry in missing
            )
        )
    return tuple(replace(entry, hashes=given[entry.name]) for entry in entries)


def _entry_of_report(item: Mapping[str, object]) -> LockEntry:
    """https://pip.pypa.io/en/stable/reference/installation-report/, https://packaging.python.org/specifications/direct-url/"""
    metadata, info = _table(item["metadata"]), _table(item["download_info"])
    name, url = canonicalize_name(str(metadata["name"])), without_credentials(str(info["url"]))
    subdirectory = f"#subdirectory={info['subdirectory']}" if info.get("subdirectory") else ""
    if "dir_info" in info:
        prefix = "-e " if _table(info["dir_info"]).get("editable") else ""
        return LockEntry(text=f"{prefix}{unquote(urlsplit(url).path)}")
    if "vcs_info" in info:
        vcs = _table(info["vcs_info"])
        return LockEntry(text=f"{name} @ {vcs['vcs']}+{url}@{vcs['commit_id']}{subdirectory}")
    hashes = _table(_table(info.get("archive_info")).get("hashes"))
    text = f"{name} @ {url}{subdirectory}" if item.get("is_direct") else f"{name}=={metadata['version']}"
    return LockEntry(text=text, hashes=tuple(f"{kind}:{value}" for kind, value in sorted(hashes.items())))


def _table(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}
