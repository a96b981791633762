"""Reads requirement files with everything they include, and finds all problems before anything is downloaded.

`read_requirements` is pure but for reading files below the app directory, and `fetch`, which is called for included URLs.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from buildpacks.installer.advice import advise_on_command
from buildpacks.installer.credentials import without_credentials
from buildpacks.installer.disguise import recognise
from buildpacks.installer.errors import InvalidRequirements, Origin, Problem, ProblemKind
from buildpacks.installer.indexes import IndexSettings
from buildpacks.installer.lines import (
    LINE_LIMIT,
    LogicalLine,
    UndecodableText,
    decode,
    expand_variables,
    logical_lines,
    unset_variables,
)
from buildpacks.installer.options import InvalidOption, LineOptions, parse_line
from buildpacks.installer.requirement import LineProblem, Place, Requirement, parse_editable, parse_requirement
from buildpacks.installer.settings import CONSTRAINTS_VARIABLE
from buildpacks.installer.tool_options import REMOTE, ToolOptions, with_line
from lifecycle.cnb.kit import mask_credentials

Fetch = Callable[[str], bytes]
# The largest requirement file of the corpus has 200 kB.
_FILE_LIMIT = 16 * 1024 * 1024
_SHOWN = 100
_HASH = re.compile(r"(sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128}|md5:[0-9a-f]{32})", re.IGNORECASE)


class FetchFailed(Exception):
    """An included URL could not be read; the text says why, in one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequirementLine:
    """A requirement and where it stands."""

    origin: Origin
    requirement: Requirement
    is_editable: bool = False
    hashes: tuple[str, ...] = ()
    """`algorithm:hex`."""
    config_settings: tuple[str, ...] = ()
    """`KEY=VALUE`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequirementSet:
    """Everything that the requirement files say, in their order."""

    files: tuple[tuple[str, str], ...] = ()
    """Every file that was read: its name as in `Origin`, and the SHA-256 of its bytes in hex."""
    requirements: tuple[RequirementLine, ...] = ()
    constraints: tuple[RequirementLine, ...] = ()
    options: ToolOptions = field(default_factory=ToolOptions)
    notices: tuple[str, ...] = ()

    @property
    def local_projects(self) -> tuple[Path, ...]:
        """Directories and archives of the app directory that are installed, each once."""
        paths = (line.requirement.path for line in (*self.requirements, *self.constraints))
        return tuple(dict.fromkeys(path for path in paths if path is not None))


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedLines:
    """Requirement lines that stand in a file of another kind."""

    path: Path
    """That file, inside the app directory; relative paths begin in its directory."""
    lines: tuple[tuple[int, str], ...]
    """Line numbers from 1, and texts."""


def read_requirements(
    names: tuple[str, ...],
    *,
    embedded: EmbeddedLines | None = None,
    constraints: tuple[str, ...] = (),
    app_dir: Path,
    env: Mapping[str, str],
    indexes: IndexSettings,
    fetch: Fetch,
) -> RequirementSet:
    """Return what the files `names` and the `embedded` lines say, paths of files relative to `app_dir`; `constraints` are the
    files and URLs of `BP_PIP_CONSTRAINTS`.

    `env` gives the values of `${NAME}`. Raises `InvalidRequirements` with every problem there is.
    """
    root = app_dir.resolve()
    base = root if embedded is None else embedded.path.resolve().parent
    reading = _Reading(
        app_dir=root, place=Place(root=root, base=base), env=env, fetch=fetch, options=ToolOptions(indexes=indexes)
    )
    for name in names:
        reading.include(name, by=None, origin=Origin(file=name), is_constraint=False)
    if embedded is not None:
        reading.read_embedded(embedded)
    for name in constraints:
        reading.include(name, by=None, origin=Origin(file=CONSTRAINTS_VARIABLE), is_constraint=True)
    options = reading.options
    if _is_hash_mode(reading.requirements, options):
        options = replace(options, require_hashes=True)
        reading.problems += _hash_problems(reading.requirements, reading.constraints)
    if reading.problems:
        raise InvalidRequirements(problems=tuple(reading.problems))
    return RequirementSet(
        files=tuple(reading.files),
        requirements=tuple(reading.requirements),
        constraints=tuple(reading.constraints),
        options=options,
        notices=tuple(reading.notices),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """A file that is being read."""

    shown: str
    location: str
    is_constraint: bool
    including: tuple[str, ...]
    """Locations of the files on the way to this one, and its own."""


@dataclass(kw_only=True)
class _Reading:
    """One run over the files, and what it found so far."""

    app_dir: Path
    place: Place
    env: Mapping[str, str]
    fetch: Fetch
    options: ToolOptions
    files: list[tuple[str, str]] = field(default_factory=list)
    requirements: list[RequirementLine] = field(default_factory=list)
    constraints: list[RequirementLine] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def include(self, name: str, *, by: _File | None, origin: Origin, is_constraint: bool) -> None:
        """Read one file, and what it includes."""
        try:
            file = self._locate(name, by, is_constraint=is_constraint)
            content = self._fetch(file) if REMOTE.match(file.location) else _read_local(file)
        except LineProblem as err:
            self._report(origin, err)
            return
        self.files.append((file.shown, hashlib.sha256(content).hexdigest()))
        try:
            text = decode(content)
        except UndecodableText as err:
            where = Origin(file=file.shown, line=err.line)
            self._report(where, LineProblem("encoding", err.message, err.change))
            return
        disguise = recognise(text)
        if disguise is not None:
            where = Origin(file=file.shown, line=disguise.line)
            self._report(where, LineProblem(disguise.kind, disguise.message, disguise.change))
            return
        for line in logical_lines(text):
            self._read_line(line, Origin(file=file.shown, line=line.number), file)

    def read_embedded(self, embedded: EmbeddedLines) -> None:
        """Read lines that a file of another kind holds."""
        path = embedded.path.resolve()
        shown, location = path.relative_to(self.app_dir).as_posix(), str(path)
        file = _File(shown=shown, location=location, is_constraint=False, including=(location,))
        for number, text in embedded.lines:
            for line in logical_lines(text):
                self._read_line(line, Origin(file=shown, line=number), file)

    def _locate(self, name: str, by: _File | None, *, is_constraint: bool) -> _File:
        if REMOTE.match(name) or (by is not None and REMOTE.match(by.location)):
            location = name if by is None else urljoin(by.location, name)
            shown = mask_credentials(without_credentials(location))
        else:
            directory = self.app_dir if by is None else Path(by.location).parent
            path = Path(urlsplit(name).path) if name.lower().startswith("file:") else directory / name
            resolved = path.resolve()
            if not resolved.is_relative_to(self.app_dir):
                raise LineProblem(
                    "outside",
                    f"`{mask_credentials(name)}` leads out of the app directory",
                    "commit the file into the repository and write its path from there",
                )
            location, shown = str(resolved), resolved.relative_to(self.app_dir).as_posix()
        including = () if by is None else by.including
        if location in including:
            raise LineProblem("cycle", f"`{shown}` includes itself", f"remove the line that includes `{shown}` again")
        return _File(shown=shown, location=location, is_constraint=is_constraint, including=(*including, location))

    def _fetch(self, file: _File) -> bytes:
        try:
            return self.fetch(file.location)
        except FetchFailed as err:
            raise LineProblem(
                "unreachable",
                f"`{file.shown}` cannot be read: {err}",
                "check the URL and the network of the build, or commit the file",
            ) from err

    def _read_line(self, line: LogicalLine, origin: Origin, file: _File) -> None:
        try:
            self._take_line(line, origin, file)
        except LineProblem as err:
            self._report(origin, err)

    def _take_line(self, line: LogicalLine, origin: Origin, file: _File) -> None:
        if len(line.text) > LINE_LIMIT:
            size = f"{len(line.text) / 1024:.0f} KiB"
            raise LineProblem("invalid", f"a line of {size} is no requirement", "remove or split the line")
        try:
            written = parse_line(line.text).requirement or line.text
            options = parse_line(expand_variables(line.text, self.env))
        except InvalidOption as err:
            command = advise_on_command(_shorten(line.text))
            message, change = command or (f"`{_shorten(line.text)}`: {err.message}", err.change)
            raise LineProblem("invalid" if command else "option", message, change) from err
        unset = unset_variables(options.requirement or options.editable or "")
        if unset:
            message = f"`{_shorten(line.text)}` has the variable `{unset[0]}`, which is not set"
            raise LineProblem("invalid", message, f"write the value, or give it with `--env {unset[0]}=…`")
        if options.ignored:
            ignored = _shorten(" ".join(options.ignored))
            self.notices.append(f"{origin}: `{ignored}` has no effect there; pip takes no notice of it either")
        if options.requirement or options.editable is not None:
            self._read_requirement(options, origin, file, written=_shorten(written))
            return
        included = options.requirement_file or options.constraint_file
        if included is not None:
            self.include(included, by=file, origin=origin, is_constraint=options.constraint_file is not None)
            return
        self.options = with_line(self.options, options, origin=origin, location=file.location, app_dir=self.app_dir)

    def _read_requirement(self, options: LineOptions, origin: Origin, file: _File, *, written: str) -> None:
        for value in options.hashes:
            if not _HASH.fullmatch(value):
                message = f"`--hash={_shorten(value)}` is not a hash"
                raise LineProblem("hash", message, "write `--hash=sha256:` and 64 hexadecimal digits")
        if options.editable is not None:
            requirement = parse_editable(options.editable, shown=written, place=self.place)
        else:
            requirement = parse_requirement(options.requirement, shown=written, place=self.place)
        line = RequirementLine(
            origin=origin,
            requirement=requirement,
            is_editable=options.editable is not None,
            hashes=options.hashes,
            config_settings=options.config_settings,
        )
        if not file.is_constraint:
            self.requirements.append(line)
        elif line.is_editable or requirement.name is None or requirement.extras:
            raise LineProblem(
                "invalid",
                f"`{written}` cannot be a constraint",
                "a constraint has a name, has no extras, and is not editable: `name==1.0`",
            )
        else:
            self.constraints.append(line)

    def _report(self, origin: Origin, problem: LineProblem) -> None:
        self.problems.append(Problem(origin=origin, kind=problem.kind, message=problem.message, change=problem.change))


def _read_local(file: _File) -> bytes:
    path = Path(file.location)
    kind: ProblemKind = "missing-file"
    try:
        if path.stat().st_size <= _FILE_LIMIT:
            return path.read_bytes()
        kind, reason, change = "other-format", "is larger than 16 MiB", "name a requirement file"
    except FileNotFoundError:
        reason, change = "is not in the app directory", f"commit `{file.shown}`, or remove what names it"
    except OSError as err:
        reason, change = f"cannot be read: {err.strerror}", "name a file"
    raise LineProblem(kind, f"`{file.shown}` {reason}", change)


def _is_hash_mode(lines: list[RequirementLine], options: ToolOptions) -> bool:
    """pip's rule: one `--hash` is enough to want one for everything."""
    if any(option == "--no-require-hashes" for _, option in options.pip_only):
        return False
    return options.require_hashes or any(line.hashes for line in lines)


def _hash_problems(lines: list[RequirementLine], constraints: list[RequirementLine]) -> list[Problem]:
    """In hash mode every requirement needs a hash and a version; a constraint of the same name may hold them."""
    hashed = {line.requirement.name for line in (*lines, *constraints) if line.hashes}
    pinned = {line.requirement.name for line in (*lines, *constraints) if line.requirement.is_pinned}
    problems = []
    for line in lines:
        text, kind = _shorten(line.requirement.text), line.requirement.kind
        if kind == "vcs" or (kind == "local" and not line.hashes):
            message = f"`{text}` cannot have a hash, and other lines have one"
            change = "install it from an archive with `--hash`, or remove all hashes"
        elif not line.hashes and line.requirement.name not in hashed:
            message = f"`{text}` has no hash, and when one line has hashes pip wants them for every line"
            change = "add `--hash=sha256:…`; `uv pip compile --generate-hashes` writes a file with all of them"
        elif kind == "index" and line.requirement.name not in pinned:
            message, change = f"`{text}` has a hash and no version", "pin it with `==`"
        else:
            continue
        problems.append(Problem(origin=line.origin, kind="hash", message=message, change=change))
    return problems


def _shorten(text: str) -> str:
    masked = mask_credentials(text)
    return masked if len(masked) <= _SHOWN else f"{masked[:_SHOWN]}…"
