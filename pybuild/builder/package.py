"""Puts together what the builder has above its base: `/cnb` (buildpacks, lifecycle, order) and `/opt/pybuild` (tools, interpreters).

Paths and files as the CNB specification has them for builder images (https://github.com/buildpacks/spec/blob/main/platform.md).
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

import lifecycle
from lifecycle.cnb.order import write_order
from lifecycle.cnb.sbom import MEDIA_TYPES
from lifecycle.cnb.toml import write_toml
from lifecycle.oci.archive import FILE_TIME
from pybuild.builder import inside
from pybuild.builder.buildpack_files import (
    copy_buildpack,
    copy_libraries,
    package_directory,
    sources_of,
)
from pybuild.builder.contents import Contents
from pybuild.builder.definition import Definition
from pybuild.builder.dockerfile import POLICY_VARIABLE
from pybuild.builder.errors import PackagingFailed
from pybuild.builder.kept import content_key, link_file, tree_hash
from pybuild.builder.labels import describe_apis, describe_oldest_apis
from pybuild.builder.poetry import put_poetry
from pybuild.builder.programs import DISTRIBUTIONS, stage_lifecycle, write_programs
from pybuild.builder.tools import copy_tools
from pybuild.builder.value import Interpreter
from pybuild.engines.sandbox import Mount, Sandbox, run_sandboxed

# Another number when the same parts would be put together differently.
_FORMAT = 8
OPT = PurePosixPath("/opt/pybuild")
CNB = PurePosixPath("/cnb")
_DISTRIBUTIONS = (*DISTRIBUTIONS, "py-rattler", "pyyaml", "uv")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a builder is put together from."""

    definition: Definition
    contents: Contents
    base_identities: tuple[str, str]
    interpreters: tuple[tuple[Interpreter, Path], ...]
    """This machine's with their archives, newest first."""
    foreign_architecture: str | None = None
    """What images are for, where that is not this machine."""
    foreign_interpreters: tuple[tuple[Interpreter, Path], ...] = ()
    """The same for those images."""
    uv: Path
    pip_wheel: Path
    natives: Path
    """Where the store has what `pybuild.builder.programs` needs."""
    poetry: Path | None
    """Where the store has it; its name says what is in it."""

    def key(self) -> str:
        """Name of the builder: another one as soon as anything in it is different."""
        definition = self.definition
        return content_key(
            _FORMAT,
            self.base_identities,
            [asdict(interpreter) for interpreter, _ in self.interpreters],
            self.foreign_architecture,
            [asdict(interpreter) for interpreter, _ in self.foreign_interpreters],
            [(name, importlib.metadata.version(name)) for name in _DISTRIBUTIONS],
            self.pip_wheel.name,
            self.natives.name,
            None if self.poetry is None else self.poetry.name,
            [tree_hash(path) for path in (package_directory("lifecycle"), Path(inside.__file__).parent)],
            [tree_hash(path) for module in self.contents.modules for path in sources_of(module)],
            repr(self.contents.order),
            repr(self.contents.system),
            repr(
                (
                    definition.description,
                    definition.stack_id,
                    definition.run_images,
                    definition.build_variables,
                    definition.user,
                )
            ),
            definition.dockerfile.policy.value,
        )


def put_together(parts: Parts, rootfs: Path, directory: Path) -> None:
    """Write `cnb/` and `opt/` into `directory`. Bytecode is compiled by the Python of the build base `rootfs`.

    Raises:
        PackagingFailed: that Python is missing, too old, or cannot compile.
    """
    cnb, opt = directory / "cnb", directory / "opt"
    cnb.mkdir()
    for module in parts.contents.modules:
        kind = "extensions" if module.is_extension else "buildpacks"
        copy_buildpack(module, cnb / kind / module.id.directory_name / module.version)
    _write_configuration(parts, cnb)
    with tempfile.TemporaryDirectory(prefix=".stage-", dir=directory) as stage:
        library = Path(stage) / "lifecycle"
        stage_lifecycle(library, parts.natives / "packages")
        copy_tools(parts.uv, parts.pip_wheel, opt)
        # Too large for each buildpack to carry its own.
        copy_libraries(opt / "python", ("rattler",))
        _write_metadata("py-rattler", opt / "python")
        _compile(rootfs, cnb, opt, Path(stage))
        write_programs(library, cnb / "lifecycle")
    _put_interpreters(parts.interpreters, opt / "interpreters")
    if parts.foreign_architecture is not None:
        _put_interpreters(parts.foreign_interpreters, opt / f"interpreters-{parts.foreign_architecture}")
    if parts.poetry is not None and parts.definition.poetry_version is not None:
        put_poetry(parts.definition.poetry_version, parts.poetry, opt)
    for path in (*cnb.rglob("*"), *opt.rglob("*"), cnb, opt):
        if not path.is_symlink():
            is_program = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(0o755 if is_program else 0o644)


def _write_metadata(distribution: str, library: Path) -> None:
    """What `importlib.metadata` reads, so that a buildpack learns the version without loading the package."""
    found = importlib.metadata.distribution(distribution)
    directory = library / f"{distribution.replace('-', '_')}-{found.version}.dist-info"
    directory.mkdir()
    (directory / "METADATA").write_text(found.read_text("METADATA") or "", encoding="utf-8")


def _write_configuration(parts: Parts, cnb: Path) -> None:
    definition = parts.definition
    write_order(cnb / "order.toml", parts.contents.order)
    images = [run.to_json() for run in definition.run_images]
    write_toml(cnb / "run.toml", {"images": images})
    # What platforms before Platform API 0.12 read.
    write_toml(cnb / "stack.toml", {"run-image": images[0]})
    system = parts.contents.system
    if system.before or system.after:
        members = {"pre": system.before, "post": system.after}
        tables = {
            when: {"buildpacks": [{"id": str(m.id), "version": m.version, "optional": m.optional} for m in group]}
            for when, group in members.items()
        }
        write_toml(cnb / "system.toml", {"system": tables})
    variables = cnb / "build-config" / "env"
    variables.mkdir(parents=True)
    (variables / POLICY_VARIABLE).write_text(definition.dockerfile.policy.value, encoding="utf-8")
    # The time that every file of an image has; tools that write times into files follow it
    # (https://reproducible-builds.org/specs/source-date-epoch/), unless the user gives another.
    (variables / "SOURCE_DATE_EPOCH.default").write_text(str(FILE_TIME), encoding="utf-8")
    for variable in definition.build_variables:
        suffix = f".{variable.suffix}" if variable.suffix else ""
        (variables / f"{variable.name}{suffix}").write_bytes(os.fsencode(variable.value))
        if variable.delimiter is not None:
            (variables / f"{variable.name}.delim").write_bytes(os.fsencode(variable.delimiter))
    (cnb / "lifecycle").mkdir()
    facts = {"version": lifecycle.__version__, "sbom-formats": list(MEDIA_TYPES.values())}
    write_toml(
        cnb / "lifecycle" / "lifecycle.toml",
        {"lifecycle": facts, "api": describe_oldest_apis(), "apis": describe_apis()},
    )


def _compile(rootfs: Path, cnb: Path, opt: Path, stage: Path) -> None:
    scripts = PurePosixPath("/platform")
    (stage / "tmp").mkdir()
    sandbox = Sandbox(
        rootfs=rootfs,
        mounts=(
            Mount(source=cnb, target=CNB, writable=True),
            Mount(source=opt, target=OPT, writable=True),
            Mount(source=stage, target=PurePosixPath("/layers"), writable=True),
            Mount(source=stage / "tmp", target=PurePosixPath("/tmp"), writable=True),  # noqa: S108 - the sandbox's own
            Mount(source=Path(inside.__file__).parent, target=scripts),
        ),
        env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "PYTHONHASHSEED": "0"},
        network=False,
        cwd=PurePosixPath("/"),
    )
    libraries = [str(CNB / path.relative_to(cnb)) for path in sorted(cnb.glob("*/*/*/lib"))]
    # Not -I: that ignores PYTHONHASHSEED.
    command = [
        "/usr/bin/python3",
        "-s",
        f"{scripts}/compile_bytecode.py",
        "/layers/lifecycle",
        str(OPT / "python"),
        *libraries,
    ]
    check = ["/usr/bin/python3", "-I", "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]
    if run_sandboxed(sandbox, check).status != 0:
        raise PackagingFailed("the build base needs Python 3.11 or newer as `/usr/bin/python3`")
    result = run_sandboxed(sandbox, command)
    if result.status != 0:
        details = tuple(("python3", line) for line in result.output.strip().splitlines()[-3:])
        raise PackagingFailed("the Python of the build base cannot compile the lifecycle", details)


def _put_interpreters(interpreters: Sequence[tuple[Interpreter, Path]], directory: Path) -> None:
    directory.mkdir()
    for interpreter, archive in interpreters:
        link_file(archive, directory / interpreter.file)
    listed = [asdict(interpreter) for interpreter, _ in interpreters]
    (directory / "interpreters.json").write_text(json.dumps(listed, indent=1) + "\n", encoding="utf-8")
