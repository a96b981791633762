"""The interpreters that the builder carries: relocatable archives and `interpreters.json`, which lists them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.version import Version

from buildpacks.installer.errors import BrokenInterpreter, DiskFull
from lifecycle.cnb.kit import BuildContext

_LIST_NAME = "interpreters.json"
_DEFAULT_DIRECTORY = Path("/opt/pybuild/interpreters")


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """An archive of CPython. Its members are `bin/…`, `lib/…`, without a directory above them."""

    version: Version
    sha256: str
    archive: Path
    origin: str


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


def with_same_minor(version: Version, available: tuple[Interpreter, ...]) -> Interpreter | None:
    """Return the newest interpreter that reads and writes the same bytecode as `version`."""
    return next((one for one in available if one.version.release[:2] == version.release[:2]), None)


def unpack_interpreter(context: BuildContext, interpreter: Interpreter, directory: Path) -> None:
    """Unpack the archive into the empty `directory`. Raises `BrokenInterpreter` and `DiskFull`."""
    _check_archive(interpreter)
    context.say(f"Unpacking Python {interpreter.version}")
    # `-p`: the modes of the archive, whatever the umask; tar reads ten times faster than tarfile.
    argv = ["env", "LC_ALL=C", "tar", "-xpzf", str(interpreter.archive), "-C", str(directory), "--no-same-owner"]
    result = context.run(argv, echo=False, quiet=True)
    if result.status != 0 and ("No space left" in result.output or "quota exceeded" in result.output):
        raise DiskFull(path=str(directory))
    if result.status != 0:
        message = (result.output.strip().splitlines() or ["tar failed"])[-1]
        raise BrokenInterpreter(path=str(interpreter.archive), reason=f"cannot be unpacked: {message}")
    if not (directory / "bin" / "python3").exists():
        raise BrokenInterpreter(path=str(interpreter.archive), reason="has no `bin/python3`")


def _check_archive(interpreter: Interpreter) -> None:
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
