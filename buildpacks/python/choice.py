"""Which of the builder's interpreters a repository gets."""

from __future__ import annotations

from dataclasses import dataclass

from packaging.version import Version

from buildpacks.installer.interpreters import Interpreter
from buildpacks.python.errors import NoSuchInterpreter, OutsideRange
from buildpacks.python.request import VersionRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """An interpreter and the request that it answers."""

    interpreter: Interpreter
    request: VersionRequest


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
