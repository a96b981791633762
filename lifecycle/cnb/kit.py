"""What a Python buildpack is written with: `bin/detect` calls `run_detect`, `bin/build` calls `run_build`, `bin/fix` `run_fix`.

The functions given to them get a context and return a value; reading and writing the files of the contract, the exit codes
and the rendering of errors happen here (buildpack.md, "Detection" and "Build").

    def detect(context: DetectContext) -> BuildPlan: ...        sys.exit(run_detect(detect))
    def build(context: BuildContext) -> BuildResult: ...        sys.exit(run_build(build))
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from lifecycle.cnb.command import CommandResult, run_command
from lifecycle.cnb.errors import CnbError, render_error
from lifecycle.cnb.launch import Label, LaunchFile, Process, Slice, write_launch_file, write_unmet
from lifecycle.cnb.layer import (
    LayerFile,
    LayerTypes,
    is_layer_name,
    is_real_directory,
    read_layer_file,
    remove_tree,
    write_layer_file,
)
from lifecycle.cnb.locks import write_locks
from lifecycle.cnb.mask import mask_credentials
from lifecycle.cnb.plan import BuildPlan, PlanEntry, Requirement, read_buildpack_plan, write_build_plan
from lifecycle.cnb.shared import DIRECTORY_VARIABLE, NamedKey, layer_key, render_key_line
from lifecycle.cnb.target import Target
from lifecycle.cnb.toml import read_table, write_toml

__all__ = [
    "BuildContext",
    "BuildPlan",
    "BuildResult",
    "BuildpackError",
    "DetectContext",
    "FixContext",
    "Label",
    "Layer",
    "LayerTypes",
    "NotDetected",
    "PlanEntry",
    "Process",
    "Requirement",
    "RestoredLayer",
    "Slice",
    "Target",
    "mask_credentials",
    "run_build",
    "run_detect",
    "run_fix",
]

# buildpack.md, "Detection": the exit status that means "not for me"
_NOT_DETECTED = 100


class BuildpackError(CnbError):
    """A buildpack cannot do its work, and knows why. Subclasses derive their text from typed fields."""

    exit_code: ClassVar[int] = 1


class NotDetected(Exception):
    """Raised by a detect function: the application is not for this buildpack. The reason is one line for a person."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectContext:
    """What a detect function is given. `env` holds the user's and the operator's variables."""

    app_dir: Path
    platform_dir: Path
    buildpack_dir: Path
    env: Mapping[str, str]
    target: Target

    def say(self, line: str) -> None:
        """Write one line to stdout; it is shown when detection fails or is asked for in detail."""
        _say(line)


@dataclass(frozen=True, slots=True, kw_only=True)
class FixContext:
    """What a fix function is given; it changes files below `app_dir`, a copy that nothing is built from."""

    app_dir: Path
    platform_dir: Path
    buildpack_dir: Path
    env: Mapping[str, str]
    target: Target

    def say(self, line: str) -> None:
        """Write one line to stdout."""
        _say(line)

    def notice(self, line: str) -> None:
        """Write a line about something that is left for the user to do."""
        _say(f"notice: {line}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoredLayer:
    """What the last build left of a layer. `path` is `None` when only its metadata came back: its files are then in the
    previous image, which reuses them if the layer is returned again without a directory.
    """

    metadata: Mapping[str, object]
    path: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A layer that the build function leaves. Without a directory it stands for the one in the previous image.

    The keys of the three environments are file names such as `PATH.prepend` or `PATH.delim`; in `launch_env` also
    `<process type>/NAME`. They replace what the directory held of that kind.
    """

    name: str
    types: LayerTypes
    metadata: Mapping[str, object] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    launch_env: Mapping[str, str] = field(default_factory=dict)
    build_env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildResult:
    """What a build function returns. `unmet` names plan entries that are left to other buildpacks; `store` `None` keeps
    what was stored before; `locks` are files by their names, for the report of the build.
    """

    layers: tuple[Layer, ...] = ()
    processes: tuple[Process, ...] = ()
    labels: tuple[Label, ...] = ()
    slices: tuple[Slice, ...] = ()
    unmet: tuple[str, ...] = ()
    store: Mapping[str, object] | None = None
    locks: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildContext:
    """What a build function is given. `layers_dir` is this buildpack's own directory of layers."""

    app_dir: Path
    layers_dir: Path
    platform_dir: Path
    buildpack_dir: Path
    env: Mapping[str, str]
    target: Target
    plan: tuple[PlanEntry, ...]
    store: Mapping[str, object]

    def restored(self, layer: str) -> RestoredLayer | None:
        """Return what the last build left of `layer`, or `None`."""
        file = self.layers_dir / f"{layer}.toml"
        if not file.is_file():
            return None
        path = self.layers_dir / layer
        return RestoredLayer(metadata=read_layer_file(file).metadata, path=path if is_real_directory(path) else None)

    def layer_dir(self, layer: str, *, keep: bool = False) -> Path:
        """Return the layer's directory: empty, or with what was restored when `keep` is true."""
        if not is_layer_name(layer):
            raise ValueError(f"{layer!r} cannot be the name of a layer")
        path = self.layers_dir / layer
        if not keep:
            remove_tree(path)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def is_shared(self, layer: Layer) -> bool:
        """Whether the platform has a layer with this metadata from another application: then return it without a directory.

        Else the platform may share the one that is made now. So ask only if the metadata decides everything that
        runs from here on, and before anything of the repository or of a package has run (`lifecycle.cnb.shared`).
        """
        key = layer_key(self.layers_dir / layer.name, layer.metadata)
        return self._name_key(NamedKey(layer=layer.name, key=key)) and (self._shared_layers / key).is_file()

    def never_share(self, layer: str) -> None:
        """Say that a layer of `shared-layers` cannot be shared, before anything of the repository or of a package runs."""
        self._name_key(NamedKey(layer=layer, key=None))

    def keep_on_failure(self, layer: Layer) -> None:
        """Declare a cache layer before the build function is through, so that it outlives a failure of what comes next.

        Its directory must be usable in whatever state the failure leaves it, as a download cache is.
        """
        _write_layer(self.layers_dir, layer, outlives_failure=True)

    @property
    def _shared_layers(self) -> Path:
        return Path(self.env.get(DIRECTORY_VARIABLE, ""))

    def _name_key(self, named: NamedKey) -> bool:
        """Whether the platform wants to know."""
        wants = DIRECTORY_VARIABLE in self.env
        if wants:
            _say(render_key_line(named))
        return wants

    def say(self, line: str) -> None:
        """Write one line to stdout."""
        _say(line)

    def notice(self, line: str) -> None:
        """Write a line that the user should act on some day."""
        _say(f"notice: {line}")

    def run(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        echo: bool = True,
        quiet: bool = False,
    ) -> CommandResult:
        """Return how `argv` ended; a status other than 0 is the caller's to judge. Secrets in URLs are never shown.

        `env` replaces the context's; `cwd` is the app directory unless given; `echo` shows the command first; `quiet` keeps
        its output to the result. Raises `CommandNotStarted`.
        """
        if echo:
            _say(f"Running `{mask_credentials(shlex.join(argv))}`")
        return run_command(
            argv,
            env=self.env if env is None else env,
            cwd=self.app_dir if cwd is None else cwd,
            on_line=None if quiet else lambda line: _say(f"  {mask_credentials(line)}"),
        )


def run_detect(detect: Callable[[DetectContext], BuildPlan]) -> int:
    """Return the exit status of `bin/detect` after `detect` answered: 0, 100 (not for this buildpack) or 1 (a foreseen
    problem, shown on stderr). What was not foreseen is raised.
    """
    env = dict(os.environ)
    try:
        context = DetectContext(
            app_dir=Path.cwd(),
            platform_dir=_required_path(env, "CNB_PLATFORM_DIR"),
            buildpack_dir=_required_path(env, "CNB_BUILDPACK_DIR"),
            env=env,
            target=_target(env),
        )
        write_build_plan(_required_path(env, "CNB_BUILD_PLAN_PATH"), detect(context))
    except NotDetected as answer:
        _say(answer.reason)
        return _NOT_DETECTED
    except CnbError as error:
        return _fail(error)
    return 0


def run_build(build: Callable[[BuildContext], BuildResult]) -> int:
    """Return the exit status of `bin/build` after `build` did its work and its result was written: 0, or 1 for a foreseen
    problem, shown on stderr. What was not foreseen is raised.
    """
    env = dict(os.environ)
    try:
        layers_dir = _required_path(env, "CNB_LAYERS_DIR")
        context = BuildContext(
            app_dir=Path.cwd(),
            layers_dir=layers_dir,
            platform_dir=_required_path(env, "CNB_PLATFORM_DIR"),
            buildpack_dir=_required_path(env, "CNB_BUILDPACK_DIR"),
            env=env,
            target=_target(env),
            plan=read_buildpack_plan(_required_path(env, "CNB_BP_PLAN_PATH")),
            store=_read_store(layers_dir / "store.toml"),
        )
        _write_result(layers_dir, build(context))
    except CnbError as error:
        return _fail(error)
    return 0


def run_fix(fix: Callable[[FixContext], None]) -> int:
    """Return the exit status of `bin/fix`, pybuild's own, after `fix` wrote the files as they should be: 0, also when there was
    nothing to do, or 1 for a foreseen problem, shown on stderr. What was not foreseen is raised.
    """
    env = dict(os.environ)
    try:
        fix(
            FixContext(
                app_dir=Path.cwd(),
                platform_dir=_required_path(env, "CNB_PLATFORM_DIR"),
                buildpack_dir=_required_path(env, "CNB_BUILDPACK_DIR"),
                env=env,
                target=_target(env),
            )
        )
    except CnbError as error:
        return _fail(error)
    return 0


def _write_result(layers_dir: Path, result: BuildResult) -> None:
    for layer in result.layers:
        _write_layer(layers_dir, layer)
    write_launch_file(
        layers_dir / "launch.toml",
        LaunchFile(processes=result.processes, labels=result.labels, slices=result.slices),
    )
    write_unmet(layers_dir / "build.toml", result.unmet)
    write_locks(layers_dir, result.locks)
    if result.store is not None:
        write_toml(layers_dir / "store.toml", {"metadata": result.store})


def _write_layer(layers_dir: Path, layer: Layer, *, outlives_failure: bool = False) -> None:
    if not is_layer_name(layer.name):
        raise ValueError(f"{layer.name!r} cannot be the name of a layer")
    path = layers_dir / layer.name
    if is_real_directory(path):
        environments = (("env", layer.env), ("env.launch", layer.launch_env), ("env.build", layer.build_env))
        for kind, files in environments:
            remove_tree(path / kind)
            for name, content in files.items():
                file = path / kind / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(os.fsencode(content))
    description = LayerFile(types=layer.types, metadata=layer.metadata, outlives_failure=outlives_failure)
    write_layer_file(layers_dir / f"{layer.name}.toml", description)


def _read_store(path: Path) -> Mapping[str, object]:
    return read_table(path).table("metadata").values if path.exists() else {}


def _target(env: Mapping[str, str]) -> Target:
    return Target(
        os=env.get("CNB_TARGET_OS") or None,
        arch=env.get("CNB_TARGET_ARCH") or None,
        variant=env.get("CNB_TARGET_ARCH_VARIANT") or None,
        distro_name=env.get("CNB_TARGET_DISTRO_NAME") or None,
        distro_version=env.get("CNB_TARGET_DISTRO_VERSION") or None,
    )


@dataclass(eq=False, kw_only=True)
class _NotStartedByLifecycle(BuildpackError):
    variable: str

    @property
    def summary(self) -> str:
        return f"`{self.variable}` is not set: a buildpack's programs are started by a lifecycle"


def _required_path(env: Mapping[str, str], variable: str) -> Path:
    value = env.get(variable)
    if not value:
        raise _NotStartedByLifecycle(variable=variable)
    return Path(value)


def _say(line: str) -> None:
    # One write a line: concurrent buildpacks and their tools share the stream. Any text goes, whatever the locale.
    sys.stdout.buffer.write(f"{line}\n".encode("utf-8", "backslashreplace"))
    sys.stdout.buffer.flush()


def _fail(error: CnbError) -> int:
    sys.stderr.write(f"{render_error(error)}\n")
    return 1
