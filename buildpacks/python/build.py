"""Build: the interpreter that was asked for, unpacked into the layer `cpython`."""

from __future__ import annotations

import datetime
from pathlib import Path

from packaging.version import Version

from buildpacks.python.detect import PYTHON
from buildpacks.python.errors import BrokenInterpreter, DiskFull
from buildpacks.python.interpreters import (
    Choice,
    Interpreter,
    check_archive,
    choose_interpreter,
    interpreters_directory,
    read_interpreters,
)
from buildpacks.python.request import VARIABLE, Requirements, read_requests, read_requirements
from lifecycle.cnb.kit import BuildContext, BuildResult, Layer, LayerTypes

LAYER = "cpython"
# Last days of support, https://devguide.python.org/versions/
_END_OF_LIFE = {
    "3.8": datetime.date(2024, 10, 7),
    "3.9": datetime.date(2025, 10, 31),
    "3.10": datetime.date(2026, 10, 31),
    "3.11": datetime.date(2027, 10, 31),
    "3.12": datetime.date(2028, 10, 31),
    "3.13": datetime.date(2029, 10, 31),
    "3.14": datetime.date(2030, 10, 31),
}
# Where to go: years of support left, and packages have caught up with it.
_ADVISED = "3.12"
# What programs in a container are expected to do: show a line when it is written, not when a buffer is full.
_LAUNCH_ENV = {"PYTHONUNBUFFERED.default": "1"}


def build(context: BuildContext) -> BuildResult:
    """Return the layer with the interpreter. Raises the errors of `buildpacks.python.errors`."""
    required = read_requirements([entry.metadata for entry in context.plan if entry.name == PYTHON])
    available = read_interpreters(interpreters_directory(context.env), context.target.arch)
    choice = choose_interpreter(read_requests(context.app_dir, context.env, required), required.ranges, available)
    _explain(context, choice, required, available)
    metadata = _metadata(choice.interpreter)
    if not _is_restored(context, metadata):
        _unpack(context, choice.interpreter)
    types = LayerTypes(launch=True, build=True, cache=True)
    return BuildResult(layers=(Layer(name=LAYER, types=types, metadata=metadata, launch_env=_LAUNCH_ENV),))


def _explain(context: BuildContext, choice: Choice, required: Requirements, available: tuple[Interpreter, ...]) -> None:
    version, request = choice.interpreter.version, choice.request
    context.say(f"Python {version}, from {request.origin}")
    if not request.allows(version):
        context.notice(
            f"{request.origin} asks for Python {request.text}; the builder's patch release of {request.minor} is {version}"
        )
    minor = _minor(version)
    end = _END_OF_LIFE.get(minor)
    if end is not None and datetime.datetime.now(datetime.timezone.utc).date() > end:
        context.notice(
            f"Python {minor} is past its end of life ({end:%B %Y}) and gets no security fixes; "
            f"to move on, {_way_to_newer(version, required, available)}"
        )


def _way_to_newer(version: Version, required: Requirements, available: tuple[Interpreter, ...]) -> str:
    """What to change so that a build gets a newer Python than `version`."""
    newer = [interpreter.version for interpreter in available if interpreter.version > version]
    allowed = [found for found in newer if all(limit.allows(found) for limit in required.ranges)]
    minors = [_minor(found) for found in allowed or newer]
    # The newest of all is not what the most packages are there for.
    wanted = _ADVISED if _ADVISED in minors or not minors else minors[0]
    builder = "" if minors else f', after adding "{wanted}" to `cpython` in builder.toml'
    limits = "" if allowed or not required.ranges else f"allow it in {required.ranges[0].origin} and "
    return f"{limits}write `{wanted}` into `.python-version`, or set `{VARIABLE}={wanted}`{builder}"


def _minor(version: Version) -> str:
    return f"{version.major}.{version.minor}"


def _metadata(interpreter: Interpreter) -> dict[str, object]:
    return {"version": str(interpreter.version), "sha256": interpreter.sha256, "origin": interpreter.origin}


def _is_restored(context: BuildContext, metadata: dict[str, object]) -> bool:
    restored = context.restored(LAYER)
    if restored is None or restored.path is None:
        return False
    differences = [
        f"{key} has changed from {restored.metadata.get(key, 'none')} to {metadata.get(key, 'none')}"
        for key in sorted({*metadata, *restored.metadata})
        if metadata.get(key) != restored.metadata.get(key)
    ]
    if not differences:
        context.say(f"Using cached Python {metadata['version']}")
        return True
    context.say("Discarding cached Python since:")
    for difference in differences:
        context.say(f"  {difference}")
    return False


def _unpack(context: BuildContext, interpreter: Interpreter) -> None:
    check_archive(interpreter)
    directory = context.layer_dir(LAYER)
    context.say(f"Unpacking Python {interpreter.version}")
    # `-p`: the modes of the archive, whatever the umask; tar reads ten times faster than tarfile.
    argv = ["env", "LC_ALL=C", "tar", "-xpzf", str(interpreter.archive), "-C", str(directory), "--no-same-owner"]
    result = context.run(argv, echo=False, quiet=True)
    if result.status != 0 and ("No space left" in result.output or "quota exceeded" in result.output):
        raise DiskFull(path=str(directory))
    if result.status != 0:
        message = (result.output.strip().splitlines() or ["tar failed"])[-1]
        raise BrokenInterpreter(path=str(interpreter.archive), reason=f"cannot be unpacked: {message}")
    if not _has_python(directory):
        raise BrokenInterpreter(path=str(interpreter.archive), reason="has no `bin/python3`")


def _has_python(directory: Path) -> bool:
    return (directory / "bin" / "python3").exists()
