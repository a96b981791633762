"""The interpreters that the builder carries: relocatable archives and `interpreters.json`, which lists them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.version import Version

from buildpacks.python.errors import BrokenInterpreter, NoSuchInterpreter, OutsideRange
from buildpacks.python.request import VersionRequest

_LIST_NAME = "interpreters.json"
_DEFAULT_DIRECTORY = Path("/opt/pybuild/interpreters")


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """An archive of CPython. Its members are `bin/…`, `lib/…`, without a directory above them."""

    version: Version
    sha256: str
    archive: Path
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """An interpreter and the request that it answers."""

    interpreter: Interpreter
    request: VersionRequest


def interpreters_directory(env: Mapping[str, str], *, foreign: str | None = None) -> Path:
    """Return where the builder keeps its interpreters; `PYBUILD_INTERPRETERS` names another place.

    Those of a `foreign` architecture, as OCI names it, are beside them.
    """
    directory = Path(env.get("PYBUILD_INTERPRETERS") or _DEFAULT_DIRECTORY)
    return directory if foreign is None else directory.with_name(f"{directory.name}-{foreign}")


def read_interpreters(directory: Path, arch: str | None) -> tuple[Interpreter, ...]:
    """Return the interpreters for `arch`, newest first. Raises `BrokenInterpreter`."""
    path = directory / _LIST_NAME
    try:
        entries = json.loads(path.read_bytes())
        found = [
            Interpreter(
                version=Version(entry["version"]),
                sha256=entry["sha256"],
                archive=directory / entry["file"],
                origin=entry["origin"],
            )
            for entry in entries
            if arch is None or entry["arch"] == arch
        ]
    except OSError as err:
        raise BrokenInterpreter(path=str(path), reason=f"cannot be read: {err.strerror}") from err
    except (ValueError, KeyError, TypeError) as err:
        raise BrokenInterpreter(path=str(path), reason=f"is not a list of interpreters: {err!r}") from err
    return tuple(sorted(found, key=lambda interpreter: interpreter.version, reverse=True))


def choose_interpreter(
    requests: tuple[VersionRequest, ...], ranges: tuple[VersionRequest, ...], available: tuple[Interpreter, ...]
) -> Choice:
    """Return the newest interpreter within all of `ranges` that fits the first request that any fits.

    An exact patch release that a file names is given up for another of the same minor version: the builder has one of each,
    and patch releases only repair.

    Raises:
        NoSuchInterpreter: the builder has none.
        OutsideRange: no interpreter could ever fit a request and a range.
    """
    allowed = tuple(interpreter for interpreter in available if _allow(ranges, interpreter.version))
    for request in requests:
        for interpreter in allowed:
            if request.allows(interpreter.version):
                return Choice(interpreter=interpreter, request=request)
    for request in requests:
        for interpreter in allowed:
            if request.minor == f"{interpreter.version.major}.{interpreter.version.minor}":
                return Choice(interpreter=interpreter, request=request)
    for request in requests:
        _check_overlap(request, ranges, allowed)
    raise NoSuchInterpreter(
        origin=requests[0].origin,
        wanted=requests[0].text,
        limits=tuple((limit.text, limit.origin) for limit in ranges if limit is not requests[0]),
        available=tuple(str(interpreter.version) for interpreter in available),
    )


def _check_overlap(
    request: VersionRequest, ranges: tuple[VersionRequest, ...], allowed: tuple[Interpreter, ...]
) -> None:
    """Raise `OutsideRange` where no release of CPython 3 fits both the request and a range."""
    releases = [Version(f"3.{minor}.{patch}") for minor in range(40) for patch in range(40)]
    asked = [release for release in releases if request.allows(release)]
    for limit in ranges:
        if not any(limit.allows(release) for release in asked):
            raise OutsideRange(
                origin=request.origin,
                wanted=request.text,
                range_origin=limit.origin,
                range=limit.text,
                available=tuple(str(interpreter.version) for interpreter in allowed),
            )


def _allow(ranges: tuple[VersionRequest, ...], version: Version) -> bool:
    return all(limit.allows(version) for limit in ranges)


def with_same_minor(version: Version, available: tuple[Interpreter, ...]) -> Interpreter | None:
    """Return the newest interpreter that reads and writes the same bytecode as `version`."""
    return next((one for one in available if one.version.release[:2] == version.release[:2]), None)


def check_archive(interpreter: Interpreter) -> None:
    """Raise `BrokenInterpreter` unless the archive is the one that the list means."""
    digest = hashlib.sha256()
    try:
        with interpreter.archive.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    except OSError as err:
        raise BrokenInterpreter(path=str(interpreter.archive), reason=f"cannot be read: {err.strerror}") from err
    if digest.hexdigest() != interpreter.sha256:
        raise BrokenInterpreter(path=str(interpreter.archive), reason="has another SHA-256 than its list says")
