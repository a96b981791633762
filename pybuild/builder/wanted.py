"""A builder as its definition asks for it, and where the store has its parts: what is there already, and what must be made."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lifecycle.cnb.buildpack import read_descriptor, read_extension_descriptor
from lifecycle.cnb.order import read_order
from lifecycle.cnb.target import Target, host_architecture
from pybuild.builder.bases import WantedBase, read_base, read_base_image
from pybuild.builder.contents import Contents, read_contents
from pybuild.builder.definition import Definition
from pybuild.builder.image import with_stack
from pybuild.builder.interpreter import interpreter_directory, read_absence, read_interpreter
from pybuild.builder.kept import mark_used
from pybuild.builder.modules import FoundModule
from pybuild.builder.package import CNB, OPT, Parts
from pybuild.builder.poetry import is_poetry_made, poetry_directory
from pybuild.builder.programs import are_natives_made, natives_directory
from pybuild.builder.tools import find_uv, pip_wheel_path
from pybuild.builder.value import Builder, Interpreter, KeptBase
from pybuild.engines.sandbox import Mount


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptBases:
    """The bases of a builder in the store; `run` is that of its images, and `machine_run` that of this machine's."""

    build: KeptBase
    machine_run: KeptBase
    run: KeptBase


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A builder that is asked for, for images of `architecture`."""

    definition: Definition
    contents: Contents
    store: Path
    architecture: str
    build_base: WantedBase
    machine_run_base: WantedBase
    """What this machine's interpreters are tried on."""
    run_base: WantedBase
    """What images are made on; the same, but where they are for other machines."""

    @staticmethod
    def of(definition: Definition, found: Sequence[FoundModule], store: Path, architecture: str) -> Wanted:
        """What `definition` asks for, of which the buildpacks and extensions are `found`.

        Raises `ConfigurationError` where they do not agree with the order.
        """

        def run_base(architecture: str) -> WantedBase:
            return WantedBase(
                base=definition.run_base,
                user=definition.user,
                image_name=definition.run_images[0].image,
                is_run=True,
                architecture=architecture,
            )

        return Wanted(
            definition=definition,
            contents=read_contents(definition, found, architecture),
            store=store,
            architecture=architecture,
            build_base=WantedBase(
                base=definition.build_base,
                user=definition.user,
                image_name=definition.build_image_name,
                is_run=False,
                architecture=host_architecture(),
            ),
            machine_run_base=run_base(host_architecture()),
            run_base=run_base(architecture),
        )

    @property
    def foreign_architecture(self) -> str | None:
        """What images are for, where that is not this machine."""
        return self.architecture if self.architecture != host_architecture() else None

    @property
    def bases(self) -> tuple[WantedBase, ...]:
        """All bases, each once, the build base first."""
        return tuple(dict.fromkeys((self.build_base, self.machine_run_base, self.run_base)))

    def kept_bases(self) -> KeptBases | None:
        """The same, as the store has them; None while one is missing."""
        wanted = (self.build_base, self.machine_run_base, self.run_base)
        build, machine_run, run = (read_base(one.directory(self.store)) for one in wanted)
        if build is None or machine_run is None or run is None:
            return None
        return KeptBases(build=build, machine_run=machine_run, run=run)

    @property
    def architectures(self) -> tuple[str, ...]:
        """What there are interpreters for: this machine, and what images are for, where that is not the same."""
        return tuple(dict.fromkeys((host_architecture(), self.architecture)))

    @property
    def pip_wheel(self) -> Path:
        """Where the store has pip, made or not."""
        return pip_wheel_path(self.definition.pip_version, self.store)

    def interpreter_directories(self, architecture: str) -> Mapping[str, Path]:
        """Where the store has the interpreters, made or not, by the versions that are asked for, the default first."""
        return {
            version: interpreter_directory(version, self.store, architecture)
            for version in self.definition.cpython_versions
        }

    def poetry_directory(self, build: KeptBase) -> Path | None:
        """Where the store has Poetry, made or not; None where none is asked for."""
        version = self.definition.poetry_version
        return None if version is None else poetry_directory(version, build.identity, self.store)

    def natives_directory(self, build: KeptBase) -> Path:
        """Where the store has the extension modules that the lifecycle needs, made or not."""
        return natives_directory(build.identity, self.store)

    def interpreters(self, architecture: str) -> tuple[tuple[Interpreter, Path], ...] | None:
        """Those of the builder with their directories, newest first; None while one has not been looked for."""
        if self.unmade_interpreters(architecture):
            return None
        directories = self.interpreter_directories(architecture).values()
        found = [(read_interpreter(directory), directory) for directory in directories]
        # 3.10 and 3.10.13 may both be asked for, and be the same.
        distinct = {interpreter.version: (interpreter, directory) for interpreter, directory in found if interpreter}
        return tuple(sorted(distinct.values(), key=lambda pair: _release(pair[0].version), reverse=True))

    def unmade_interpreters(self, architecture: str) -> tuple[str, ...]:
        """Versions of CPython that have not been looked for; the default is looked for until it is found."""
        directories = list(self.interpreter_directories(architecture).items())
        return tuple(
            version
            for number, (version, directory) in enumerate(directories)
            if read_interpreter(directory) is None and (number == 0 or read_absence(directory) is None)
        )

    def left_out(self, architecture: str) -> Mapping[str, str]:
        """Versions of CPython that could be had nowhere, and why."""
        directories = self.interpreter_directories(architecture)
        reasons = {version: read_absence(directory) for version, directory in directories.items()}
        return {version: reason for version, reason in reasons.items() if reason is not None}

    def parts(self) -> Parts | None:
        """What the builder is put together from; None while something is missing."""
        bases, interpreters = self.kept_bases(), self.interpreters(host_architecture())
        foreign = () if self.foreign_architecture is None else self.interpreters(self.architecture)
        if bases is None or interpreters is None or foreign is None or not self.pip_wheel.is_file():
            return None
        poetry = self.poetry_directory(bases.build)
        if poetry is not None and not is_poetry_made(poetry):
            return None
        natives = self.natives_directory(bases.build)
        if not are_natives_made(natives):
            return None
        return Parts(
            definition=self.definition,
            contents=self.contents,
            base_identities=(bases.build.identity, bases.run.identity),
            interpreters=_with_archives(interpreters),
            foreign_architecture=self.foreign_architecture,
            foreign_interpreters=_with_archives(foreign),
            uv=find_uv(),
            pip_wheel=self.pip_wheel,
            natives=natives,
            poetry=poetry,
        )

    def open(self, key: str | None = None) -> Builder | None:
        """The builder, if the store has it whole; `key`, where it is known, is not computed again."""
        parts, bases = self.parts(), self.kept_bases()
        if parts is None or bases is None:
            return None
        directory = self.store / "builders" / (key or parts.key())
        try:
            facts = json.loads((directory / "builder.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        poetry = () if parts.poetry is None else (parts.poetry,)
        interpreters = [path for one in self.architectures for path in self.interpreter_directories(one).values()]
        used = [base.directory for base in (bases.build, bases.machine_run, bases.run)]
        for path in (directory, self.pip_wheel.parent, parts.natives, *used, *poetry, *interpreters):
            mark_used(path)
        image = with_stack(read_base_image(bases.run), self.definition.stack_id)
        user = self.definition.user
        cnb = directory / "cnb"
        return Builder(
            key=directory.name,
            directory=directory,
            description=self.definition.description,
            rootfs=bases.build.directory / "rootfs",
            mounts=(Mount(source=cnb, target=CNB), Mount(source=directory / "opt", target=OPT)),
            env={
                **bases.build.env,
                "PATH": f"{OPT}/bin:{bases.build.env['PATH']}",
                "CNB_USER_ID": str(user.id),
                "CNB_GROUP_ID": str(user.group_id),
            },
            user_id=user.id,
            group_id=user.group_id,
            target=Target(
                os="linux",
                arch=self.architecture,
                distro_name=image.config.labels.get("io.buildpacks.base.distro.name"),
                distro_version=image.config.labels.get("io.buildpacks.base.distro.version"),
            ),
            build_base=bases.build,
            build_image_name=self.definition.build_image_name,
            run_base=bases.run,
            run_image=image,
            run_images=self.definition.run_images,
            stack_id=self.definition.stack_id,
            order=read_order(cnb / "order.toml"),
            buildpacks=tuple(
                read_descriptor(cnb / "buildpacks" / buildpack.id.directory_name / buildpack.version)
                for buildpack in self.contents.buildpacks
            ),
            extensions=tuple(
                read_extension_descriptor(cnb / "extensions" / extension.id.directory_name / extension.version)
                for extension in self.contents.extensions
            ),
            interpreters=tuple(interpreter for interpreter, _ in (*parts.foreign_interpreters, *parts.interpreters)),
            left_out=self.left_out(self.architecture),
            dockerfile=self.definition.dockerfile,
            variables={one.name: one.value for one in self.definition.build_variables if not one.suffix},
            required_profile=self.definition.required_profile,
            trusts_projects=self.definition.trusts_projects,
            tools=facts["tools"],
        )


def _with_archives(found: Sequence[tuple[Interpreter, Path]]) -> tuple[tuple[Interpreter, Path], ...]:
    return tuple((interpreter, directory / interpreter.file) for interpreter, directory in found)


def _release(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]
