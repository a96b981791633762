"""Makes a builder, once: what the store has already is kept, what is missing is made side by side.

Store: `bases/`, `interpreters/`, `natives/`, `poetry/`, `wheels/` and `builders/`, each part under a key that names what it is made
of, so that another buildpack does not make another base. `builder.lock` is held while anything is made.
"""

from __future__ import annotations

import importlib.metadata
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lifecycle.cnb.deadline import NEVER, Deadline
from lifecycle.cnb.layer import remove_tree
from lifecycle.cnb.target import host_architecture
from pybuild.builder.bases import WantedBase, make_base, read_base, unpacked_run_base
from pybuild.builder.crew import Crew, run_side_by_side
from pybuild.builder.debian import check_debian_tools
from pybuild.builder.definition import Definition
from pybuild.builder.errors import ImageUnusable, InterpreterMissing, PackagingFailed
from pybuild.builder.installed import MACHINE, InstalledPython
from pybuild.builder.interpreter import (
    Fetched,
    ForeignRoot,
    Workplace,
    fetch_standalone,
    make_foreign_interpreter,
    make_interpreter,
    note_absence,
    read_interpreter,
)
from pybuild.builder.kept import forget_unused, make_directory
from pybuild.builder.modules import ModuleFinder
from pybuild.builder.package import put_together
from pybuild.builder.poetry import is_poetry_made, make_poetry
from pybuild.builder.programs import are_natives_made, make_natives
from pybuild.builder.requested import PackageBase
from pybuild.builder.tools import fetch_pip_wheel, find_uv, read_uv_version
from pybuild.builder.value import Builder
from pybuild.builder.wanted import KeptBases, Wanted
from pybuild.engines.sandbox import Sandbox, run_sandboxed
from pybuild.log import Log
from pybuild.machine import machine_env
from pybuild.store import locked

_DAY_S = 24 * 3600
# How long parts are kept that nobody uses: builders are put together again in a second, bases are not.
_KEPT_S = {
    "builders": _DAY_S,
    "bases": 30 * _DAY_S,
    "interpreters": 30 * _DAY_S,
    "natives": 30 * _DAY_S,
    "poetry": 30 * _DAY_S,
    "wheels": 30 * _DAY_S,
}
_SCRATCH = "making-"
TARGET_ARCHITECTURES = ("amd64", "arm64")
"""What images can be made for on any machine."""
_TARGETS = " and ".join(f"linux/{architecture}" for architecture in TARGET_ARCHITECTURES)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sought:
    """An interpreter that is to be had; `version` as builder.toml has it."""

    version: str
    architecture: str


def ensure_builder(
    definition: Definition,
    store: Path,
    log: Log,
    *,
    architecture: str | None = None,
    insecure_registries: tuple[str, ...] = (),
    refresh: bool = False,
    env: Mapping[str, str] | None = None,
    deadline: Deadline = NEVER,
) -> Builder:
    """The builder that `definition` describes, made now where the store has none; parts that are there are kept.

    Its images are for `architecture`, as OCI names it; where that is not said, for this machine's. With `refresh` the bases and
    interpreters are made anew, with today's packages, and registries are asked for their buildpacks again. It is made by `deadline`.
    `env` is the machine's environment, that of the process where it is not said.

    Raises:
        lifecycle.cnb.errors.CnbError: it cannot be made; nothing half made is left.
    """
    store = store.absolute()
    env = machine_env(env)
    architecture = architecture or host_architecture()
    if architecture not in (host_architecture(), *TARGET_ARCHITECTURES):
        raise ImageUnusable(f"there is no run base for linux/{architecture}: builders are made for {_TARGETS}")
    finder = ModuleFinder(
        definition=definition,
        store=store,
        log=log,
        env=env,
        insecure_registries=insecure_registries,
        refresh=refresh,
        deadline=deadline,
    )
    wanted = Wanted.of(definition, finder.find_all(), store, architecture)
    builder = None if refresh else wanted.open()
    if builder is not None:
        return builder
    busy = "another process is making the builder; waiting for it"
    with locked(store / "builder.lock", log, busy=busy, deadline=deadline):
        # The process that had the lock may have made it.
        builder = None if refresh else wanted.open()
        if builder is None:
            builder = _make(wanted, log, Crew(deadline, env=env), refresh=refresh)
            for kind, kept_s in _KEPT_S.items():
                forget_unused(store / kind, kept_s)
    return builder


def _make(wanted: Wanted, log: Log, crew: Crew, *, refresh: bool) -> Builder:
    store = wanted.store
    bases = [base for base in wanted.bases if refresh or read_base(base.directory(store)) is None]
    unmade = [
        _Sought(version=version, architecture=architecture)
        for architecture in wanted.architectures
        for version in (wanted.definition.cpython_versions if refresh else wanted.unmade_interpreters(architecture))
    ]
    _check_tools(bases, crew.env)
    if bases:
        log.info(f"making the builder in {store}; it is kept there, so this happens once")
    for leftover in store.glob(f"{_SCRATCH}*"):
        remove_tree(leftover)
    with tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=store) as scratch:
        fetched = _make_bases_and_fetch(wanted, bases, unmade, Path(scratch), crew, log)
        of_machine = {one.version: found for one, found in fetched.items() if one.architecture == host_architecture()}
        _make_on_bases(wanted, of_machine, Path(scratch), crew, log)
        foreign = {one.version: found for one, found in fetched.items() if one.architecture != host_architecture()}
        if foreign:
            _make_foreign_interpreters(wanted, foreign, Path(scratch), crew, log)
    builder = wanted.open(_put_together(wanted, crew, log))
    if builder is None:
        raise AssertionError("the builder was made and is not there")
    return builder


def _check_tools(bases: list[WantedBase], env: Mapping[str, str]) -> None:
    """Everything that is needed, before the first slow step."""
    run_sandboxed(Sandbox(rootfs=Path("/"), network=False, cwd=PurePosixPath("/")), ["true"])
    find_uv()
    if any(isinstance(base.base, PackageBase) for base in bases):
        check_debian_tools(env)


def _make_bases_and_fetch(
    wanted: Wanted, bases: list[WantedBase], unmade: Sequence[_Sought], scratch: Path, crew: Crew, log: Log
) -> Mapping[_Sought, Fetched]:
    """Make bases while interpreters and pip are downloaded; what came of the interpreters."""
    fetched: dict[_Sought, Fetched] = {}

    def task_of_base(base: WantedBase) -> Callable[[], None]:
        def make() -> None:
            machine = read_base(wanted.machine_run_base.directory(wanted.store)) if base.is_foreign else None
            make_base(base, machine, wanted.store, crew, lambda stage: log.info(f"{base.title}: {stage}"))

        return make

    def task_of_interpreter(sought: _Sought) -> Callable[[], None]:
        directory = scratch / f"cpython-{sought.version}-{sought.architecture}"

        def fetch() -> None:
            fetched[sought] = fetch_standalone(sought.version, directory, crew, sought.architecture)

        return fetch

    tasks = [*(task_of_base(base) for base in bases if not base.is_foreign), *map(task_of_interpreter, unmade)]
    if not wanted.pip_wheel.is_file():
        tasks.append(lambda: fetch_pip_wheel(wanted.definition.pip_version, wanted.store, crew))
    # What is made with this machine's run base waits for it.
    later = [task_of_base(base) for base in bases if base.is_foreign]
    if tasks or later:
        titles = [base.title for base in bases] or ["parts of the builder"]
        with log.step(f"making the {' and the '.join(titles)}"):
            run_side_by_side(crew, tasks)
            run_side_by_side(crew, later)
    return fetched


def _make_on_bases(wanted: Wanted, fetched: Mapping[str, Fetched], scratch: Path, crew: Crew, log: Log) -> None:
    """Pack this machine's interpreters and make Poetry, for which there must be bases."""
    bases, versions = _bases_of(wanted), tuple(fetched)
    rootfs, poetry = bases.build.directory / "rootfs", wanted.poetry_directory(bases.build)
    packed: dict[str, InstalledPython] = {}
    missing: dict[str, InterpreterMissing] = {}

    def task_of_interpreter(version: str, workplace: Workplace) -> Callable[[], None]:
        def pack() -> None:
            try:
                packed[version] = make_interpreter(version, fetched[version], workplace, wanted.store, crew)
            except InterpreterMissing as err:
                if version == wanted.definition.cpython_versions[0]:
                    raise
                missing[version] = err

        return pack

    titles = [f"CPython {', '.join(versions)}"] if versions else []
    tasks: list[Callable[[], None]] = []
    if poetry is not None and not is_poetry_made(poetry):
        version = wanted.definition.poetry_version or ""
        tasks.append(lambda: make_poetry(version, rootfs, poetry, crew))
        titles.append(f"Poetry {version}")
    natives = wanted.natives_directory(bases.build)
    if not are_natives_made(natives):
        tasks.append(lambda: make_natives(rootfs, natives, crew))
        titles.append("the lifecycle")
    if not titles:
        return
    with log.step(f"packing {', '.join(titles)}"), ExitStack() as stack:
        if versions:
            run_rootfs = stack.enter_context(unpacked_run_base(bases.machine_run, scratch, deadline=crew.deadline))
            workplace = Workplace(build=rootfs, run=run_rootfs, scratch=scratch)
            tasks += [task_of_interpreter(version, workplace) for version in versions]
        run_side_by_side(crew, tasks)
    _warn_of_machine_interpreters(packed, fetched, log)
    _leave_out(wanted, missing, host_architecture(), log)


def _make_foreign_interpreters(
    wanted: Wanted, fetched: Mapping[str, Fetched], scratch: Path, crew: Crew, log: Log
) -> None:
    """Pack the interpreters for images, for which there must be this machine's."""
    bases, missing = _bases_of(wanted), dict[str, InterpreterMissing]()
    with log.step(f"packing CPython {', '.join(fetched)} for linux/{wanted.architecture}"), ExitStack() as stack:
        foreign_rootfs = stack.enter_context(unpacked_run_base(bases.run, scratch, deadline=crew.deadline))
        workplace = Workplace(
            build=bases.build.directory / "rootfs",
            run=stack.enter_context(unpacked_run_base(bases.machine_run, scratch, deadline=crew.deadline)),
            scratch=scratch,
            foreign=ForeignRoot.at(foreign_rootfs, wanted.architecture),
        )
        for version, found in fetched.items():
            directory = wanted.interpreter_directories(host_architecture())[version]
            compiler = read_interpreter(directory)
            archive = None if compiler is None else directory / compiler.file
            try:
                make_foreign_interpreter(version, found, archive, workplace, wanted.store, crew)
            except InterpreterMissing as err:
                if version == wanted.definition.cpython_versions[0]:
                    raise
                missing[version] = err
    _leave_out(wanted, missing, wanted.architecture, log)


def _bases_of(wanted: Wanted) -> KeptBases:
    bases = wanted.kept_bases()
    if bases is None:
        raise AssertionError("the bases were made and are not there")
    return bases


def _warn_of_machine_interpreters(
    packed: Mapping[str, InstalledPython], fetched: Mapping[str, Fetched], log: Log
) -> None:
    of_machine = {version: python for version, python in sorted(packed.items()) if python.origin == MACHINE}
    if of_machine:
        reasons = dict.fromkeys(fetched[version].reason for version in of_machine)
        log.warning(
            f"CPython {', '.join(of_machine)} of python-build-standalone cannot be fetched ({'; '.join(reasons)}); packed instead "
            f"from this machine: {', '.join(python.version for python in of_machine.values())}"
        )


def _leave_out(wanted: Wanted, missing: Mapping[str, InterpreterMissing], architecture: str, log: Log) -> None:
    """Say which interpreters the builder has not, and remember it: the next build should not look for them again."""
    for version, err in missing.items():
        directory = wanted.interpreter_directories(architecture)[version]
        if read_interpreter(directory) is None:
            note_absence(directory, "; ".join(f"{label}: {value}" for label, value in err.facts))
    left_out = {version: reason for version, reason in wanted.left_out(architecture).items() if version in missing}
    if left_out:
        log.warning(
            f"the builder has no CPython {', '.join(left_out)} for linux/{architecture}: neither python-build-standalone nor this "
            "machine has any that works here. Repositories that need one of them cannot be built; `pybuild builder create --refresh` "
            "looks for them again"
        )


def _put_together(wanted: Wanted, crew: Crew, log: Log) -> str:
    """The key of the builder, which is now in the store. Raises `PackagingFailed`."""
    parts, bases = wanted.parts(), wanted.kept_bases()
    if parts is None or bases is None:
        raise AssertionError("the parts of the builder were made and are not there")
    tools = {
        "uv": read_uv_version(parts.uv, crew),
        "pip": wanted.definition.pip_version,
        "py-rattler": importlib.metadata.version("py-rattler"),
    }
    if wanted.definition.poetry_version is not None:
        tools["poetry"] = wanted.definition.poetry_version
    key = parts.key()

    def put(directory: Path) -> None:
        put_together(parts, bases.build.directory / "rootfs", directory)
        (directory / "builder.json").write_text(json.dumps({"tools": tools}, indent=1), encoding="utf-8")
        if parts.key() != key:
            raise PackagingFailed(
                "files of the buildpacks or of pybuild have changed while the builder was put together",
                advice="run the command again",
            )

    with log.step("putting the builder together"):
        make_directory(wanted.store / "builders" / key, put)
    return key
