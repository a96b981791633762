"""Build: the interpreter that was asked for, unpacked into the layer `cpython`.

In an image for another architecture that is the one that runs there. So that there is one for the buildpacks that come after,
this machine's interpreter of the same minor version, which understands the same bytecode, is a layer of the build alone.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping

from packaging.version import Version

from buildpacks.installer.bill import Component, make_purl, render_bill
from buildpacks.installer.interpreters import (
    Interpreter,
    interpreters_directory,
    read_interpreters,
    unpack_interpreter,
    with_same_minor,
)
from buildpacks.python.choice import Choice, choose_interpreter
from buildpacks.python.detect import PYTHON
from buildpacks.python.errors import NoForeignInterpreters, NoInterpreterHere
from buildpacks.python.request import VARIABLE, Requirements, read_requests, read_requirements
from lifecycle.cnb.kit import BuildContext, BuildResult, Layer, LayerTypes, RestoredLayer
from lifecycle.cnb.target import host_architecture

LAYER = "cpython"
BUILD_LAYER = "cpython-build"
# What later buildpacks of a build for another architecture know of the interpreter that they cannot run: its path in the image
# and its exact version. Part of the buildpack's public interface.
TARGET_PYTHON_VARIABLE = "PYBUILD_TARGET_PYTHON"
TARGET_VERSION_VARIABLE = "PYBUILD_TARGET_PYTHON_VERSION"
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
    """Return the layer with the interpreter. Raises the errors of `buildpacks.python.errors` and `BrokenInterpreter`."""
    required = read_requirements([entry.metadata for entry in context.plan if entry.name == PYTHON])
    available = _available(context)
    choice = choose_interpreter(read_requests(context.app_dir, context.env, required), required.ranges, available)
    _explain(context, choice, required, available)
    if not context.target.is_foreign:
        types = LayerTypes(launch=True, build=True, cache=True)
        return BuildResult(layers=(_provide(context, LAYER, choice.interpreter, types, launch_env=_LAUNCH_ENV),))
    here = _counterpart(context, choice.interpreter.version)
    return BuildResult(
        layers=(
            _provide(context, LAYER, choice.interpreter, LayerTypes(launch=True), launch_env=_LAUNCH_ENV),
            _provide(
                context,
                BUILD_LAYER,
                here,
                LayerTypes(build=True, cache=True),
                build_env={
                    f"{TARGET_PYTHON_VARIABLE}.override": str(context.layers_dir / LAYER / "bin" / "python3"),
                    f"{TARGET_VERSION_VARIABLE}.override": str(choice.interpreter.version),
                },
            ),
        )
    )


def _available(context: BuildContext) -> tuple[Interpreter, ...]:
    """The interpreters that the image can have."""
    target = context.target
    if not target.is_foreign:
        return read_interpreters(interpreters_directory(context.env), target.arch)
    directory = interpreters_directory(context.env, foreign=target.arch)
    if not directory.is_dir():
        raise NoForeignInterpreters(platform=target.platform, looked_in=str(directory))
    return read_interpreters(directory, target.arch)


def _counterpart(context: BuildContext, version: Version) -> Interpreter:
    """The interpreter of this machine that stands for that of the image."""
    here = read_interpreters(interpreters_directory(context.env), host_architecture())
    found = with_same_minor(version, here)
    if found is None:
        available = tuple(str(interpreter.version) for interpreter in here)
        raise NoInterpreterHere(version=str(version), platform=context.target.platform, available=available)
    context.say(f"Python for {context.target.platform}; Python {found.version} of this machine puts the image together")
    return found


def _provide(
    context: BuildContext,
    name: str,
    interpreter: Interpreter,
    types: LayerTypes,
    *,
    launch_env: Mapping[str, str] | None = None,
    build_env: Mapping[str, str] | None = None,
) -> Layer:
    """The layer `name` with the interpreter, made where the last build left none that can be used."""
    metadata, restored = _metadata(interpreter), context.restored(name)
    is_restored = _is_usable(context, restored, metadata, needs_directory=types.build)
    if not is_restored:
        unpack_interpreter(context, interpreter, context.layer_dir(name))
    has_sbom = is_restored and restored is not None and restored.has_sbom
    return Layer(
        name=name,
        types=types,
        metadata=metadata,
        launch_env=launch_env or {},
        build_env=build_env or {},
        sbom=render_bill((_describe(interpreter),)) if types.launch and not has_sbom else None,
    )


def _describe(interpreter: Interpreter) -> Component:
    """The interpreter, as those who look for vulnerabilities know it; no distribution is installed in it."""
    version = str(interpreter.version)
    return Component(
        type="platform",
        name="python",
        version=version,
        purl=make_purl("generic", "python", version),
        cpe=f"cpe:2.3:a:python:python:{version}:*:*:*:*:*:*:*",
        licence="PSF-2.0",
        properties={"pybuild:origin": interpreter.origin},
    )


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


def _is_usable(
    context: BuildContext, restored: RestoredLayer | None, metadata: dict[str, object], *, needs_directory: bool
) -> bool:
    if restored is None or (needs_directory and restored.path is None):
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
