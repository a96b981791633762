"""Makes a builder, once: what the store has already is kept, what is missing is made side by side.

Store: `bases/`, `interpreters/`, `wheels/` and `builders/`, each part under a key that names what it is made of, so that another
buildpack does not make another base. `builder.lock` is held while anything is made.
"""

from __future__ import annotations

import importlib.metadata
import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lifecycle.cnb.buildpack import read_descriptor
from lifecycle.cnb.layer import remove_tree
from lifecycle.cnb.order import read_order
from lifecycle.cnb.target import Target, host_architecture
from pybuild.builder.bases import WantedBase, make_base, read_base, read_run_image, unpacked_run_base
from pybuild.builder.contents import Contents, read_contents
from pybuild.builder.crew import Crew, run_side_by_side
from pybuild.builder.debian import check_debian_tools
from pybuild.builder.definition import Definition, PackageBase
from pybuild.builder.interpreter import (
    Fetched,
    Workplace,
    fetch_standalone,
    interpreter_directory,
    make_interpreter,
    read_interpreter,
)
from pybuild.builder.kept import forget_unused, make_directory, mark_used
from pybuild.builder.package import CNB, OPT, Parts, put_together
from pybuild.builder.tools import fetch_pip_wheel, find_uv, pip_wheel_path, read_uv_version
from pybuild.builder.value import Builder
from pybuild.engines.sandbox import Mount, Sandbox, run_sandboxed
from pybuild.log import Log
from pybuild.store import locked

_DAY_S = 24 * 3600
# How long parts are kept that nobody uses: builders are put together again in a second, bases are not.
_KEPT_S = {"builders": _DAY_S, "bases": 30 * _DAY_S, "interpreters": 30 * _DAY_S, "wheels": 30 * _DAY_S}
_SCRATCH = "making-"


def ensure_builder(definition: Definition, store: Path, log: Log, *, refresh: bool = False) -> Builder:
    """The builder that `definition` describes, made now where the store has none; parts that are there are kept.

    With `refresh` the bases and interpreters are made anew, with today's packages.

    Raises:
        lifecycle.cnb.errors.CnbError: it cannot be made; nothing half made is left.
    """
    store = store.absolute()
    wanted = _Wanted.of(definition, store)
    builder = None if refresh else wanted.open()
    if builder is not None:
        return builder
    with locked(store / "builder.lock", log, busy="another process is making the builder; waiting for it"):
        # The process that had the lock may have made it.
        builder = None if refresh else wanted.open()
        if builder is None:
            builder = _make(wanted, log, refresh=refresh)
            for kind, kept_s in _KEPT_S.items():
                forget_unused(store / kind, kept_s)
    return builder


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """A builder as its definition asks for it, and where the store has its parts, made or not."""

    definition: Definition
    contents: Contents
    store: Path
    build_base: WantedBase
    run_base: WantedBase

    @staticmethod
    def of(definition: Definition, store: Path) -> _Wanted:
        return _Wanted(
            definition=definition,
            contents=read_contents(definition),
            store=store,
            build_base=WantedBase(
                base=definition.build_base,
                user=definition.user,
                image_name=definition.build_image_name,
                is_run=False,
            ),
            run_base=WantedBase(
                base=definition.run_base, user=definition.user, image_name=definition.run_images[0].image, is_run=True
            ),
        )

    @property
    def bases(self) -> tuple[WantedBase, WantedBase]:
        return self.build_base, self.run_base

    @property
    def pip_wheel(self) -> Path:
        return pip_wheel_path(self.definition.pip_version, self.store)

    def interpreter_directories(self) -> Mapping[str, Path]:
        return {version: interpreter_directory(version, self.store) for version in self.definition.cpython_versions}

    def parts(self) -> Parts | None:
        """What the builder is put together from; None while something is missing."""
        bases = [read_base(wanted.directory(self.store)) for wanted in self.bases]
        directories = self.interpreter_directories().values()
        interpreters = [(read_interpreter(directory), directory) for directory in directories]
        found = [(interpreter, directory) for interpreter, directory in interpreters if interpreter is not None]
        build, run = bases
        if build is None or run is None or len(found) < len(interpreters) or not self.pip_wheel.is_file():
            return None
        # 3.10 and 3.10.13 may both be asked for, and be the same.
        distinct = {interpreter.version: (interpreter, directory) for interpreter, directory in found}
        newest_first = sorted(
            distinct.values(), key=lambda pair: [int(part) for part in pair[0].version.split(".")], reverse=True
        )
        return Parts(
            definition=self.definition,
            contents=self.contents,
            base_identities=(build.identity, run.identity),
            interpreters=tuple(interpreter for interpreter, _ in newest_first),
            interpreter_archives=tuple(directory / interpreter.file for interpreter, directory in newest_first),
            uv=find_uv(),
            pip_wheel=self.pip_wheel,
        )

    def open(self) -> Builder | None:
        """The builder, if the store has it whole."""
        parts = self.parts()
        if parts is None:
            return None
        directory = self.store / "builders" / parts.key()
        try:
            facts = json.loads((directory / "builder.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        build, run = (read_base(wanted.directory(self.store)) for wanted in self.bases)
        if build is None or run is None:
            return None
        for path in (directory, build.directory, run.directory, self.pip_wheel.parent):
            mark_used(path)
        for path in self.interpreter_directories().values():
            mark_used(path)
        image = read_run_image(run)
        user = self.definition.user
        cnb = directory / "cnb"
        return Builder(
            key=directory.name,
            directory=directory,
            description=self.definition.description,
            rootfs=build.directory / "rootfs",
            mounts=(Mount(source=cnb, target=CNB), Mount(source=directory / "opt", target=OPT)),
            env={
                **build.env,
                "PATH": f"{OPT}/bin:{build.env['PATH']}",
                "CNB_USER_ID": str(user.id),
                "CNB_GROUP_ID": str(user.group_id),
            },
            user_id=user.id,
            group_id=user.group_id,
            target=Target(
                os="linux",
                arch=host_architecture(),
                distro_name=image.config.labels.get("io.buildpacks.base.distro.name"),
                distro_version=image.config.labels.get("io.buildpacks.base.distro.version"),
            ),
            build_base=build,
            build_image_name=self.definition.build_image_name,
            run_base=run,
            run_image=image,
            run_image_name=self.definition.run_images[0].image,
            order=read_order(cnb / "order.toml"),
            buildpacks=tuple(
                read_descriptor(cnb / "buildpacks" / buildpack.id.directory_name / buildpack.version)
                for buildpack in self.contents.buildpacks
            ),
            interpreters=parts.interpreters,
            tools=facts["tools"],
        )


def _make(wanted: _Wanted, log: Log, *, refresh: bool) -> Builder:
    store = wanted.store
    bases = [base for base in wanted.bases if refresh or read_base(base.directory(store)) is None]
    interpreters = [
        version
        for version, directory in wanted.interpreter_directories().items()
        if refresh or read_interpreter(directory) is None
    ]
    _check_tools(bases)
    if bases:
        log.info(f"making the builder in {store}; it is kept there, so this happens once")
    for leftover in store.glob(f"{_SCRATCH}*"):
        remove_tree(leftover)
    crew = Crew()
    with tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=store) as scratch:
        fetched = _make_side_by_side(wanted, bases, interpreters, Path(scratch), crew, log)
        if interpreters:
            _make_interpreters(wanted, interpreters, fetched, Path(scratch), log)
    _put_together(wanted, crew, log)
    builder = wanted.open()
    if builder is None:
        raise AssertionError("the builder was made and is not there")
    return builder


def _check_tools(bases: list[WantedBase]) -> None:
    """Everything that is needed, before the first slow step."""
    run_sandboxed(Sandbox(rootfs=Path("/"), network=False, cwd=PurePosixPath("/")), ["true"])
    find_uv()
    if any(isinstance(base.base, PackageBase) for base in bases):
        check_debian_tools()


def _make_side_by_side(
    wanted: _Wanted, bases: list[WantedBase], interpreters: list[str], scratch: Path, crew: Crew, log: Log
) -> Mapping[str, Fetched]:
    """Make bases while interpreters and pip are downloaded; what came of the interpreters, by version."""
    fetched: dict[str, Fetched] = {}

    def task_of_base(base: WantedBase) -> Callable[[], None]:
        return lambda: make_base(base, wanted.store, crew, lambda stage: log.info(f"{base.title}: {stage}"))

    def task_of_interpreter(version: str) -> Callable[[], None]:
        def fetch() -> None:
            fetched[version] = fetch_standalone(version, scratch / f"cpython-{version}", crew)

        return fetch

    tasks = [*map(task_of_base, bases), *map(task_of_interpreter, interpreters)]
    if not wanted.pip_wheel.is_file():
        tasks.append(lambda: fetch_pip_wheel(wanted.definition.pip_version, wanted.store, crew))
    if tasks:
        titles = [base.title for base in bases] or ["parts of the builder"]
        with log.step(f"making the {' and the '.join(titles)}"):
            run_side_by_side(crew, tasks)
    return fetched


def _make_interpreters(
    wanted: _Wanted, versions: list[str], fetched: Mapping[str, Fetched], scratch: Path, log: Log
) -> None:
    build, run = (read_base(base.directory(wanted.store)) for base in wanted.bases)
    if build is None or run is None:
        raise AssertionError("the bases were made and are not there")
    with unpacked_run_base(run, scratch) as run_rootfs:
        workplace = Workplace(build=build.directory / "rootfs", run=run_rootfs, scratch=scratch)
        for version in versions:
            with log.step(f"packing CPython {version}"):
                make_interpreter(version, fetched[version], workplace, wanted.store, log)


def _put_together(wanted: _Wanted, crew: Crew, log: Log) -> None:
    parts = wanted.parts()
    build = read_base(wanted.build_base.directory(wanted.store))
    if parts is None or build is None:
        raise AssertionError("the parts of the builder were made and are not there")
    uv_version = read_uv_version(parts.uv, crew)

    def put(directory: Path) -> None:
        put_together(parts, build.directory / "rootfs", directory)
        tools = {
            "uv": uv_version,
            "pip": wanted.definition.pip_version,
            "py-rattler": importlib.metadata.version("py-rattler"),
        }
        (directory / "builder.json").write_text(json.dumps({"tools": tools}, indent=1), encoding="utf-8")

    with log.step("putting the builder together"):
        make_directory(wanted.store / "builders" / parts.key(), put)
