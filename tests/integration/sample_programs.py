"""Samples built by the programs of `/cnb/lifecycle`, as a platform starts them in containers of a builder image."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Protocol

from lifecycle.cnb.layer import remove_tree
from lifecycle.cnb.toml import Table, read_table, write_toml
from lifecycle.oci.layout_writer import open_layout
from pybuild.builder import Builder
from pybuild.engines.sandbox import Mount, Sandbox, run_sandboxed
from tests.integration.engine import DockerEngine
from tests.integration.image_files import LayoutImage, read_layout
from tests.integration.registry import Registry
from tests.integration.samples import SAMPLES, VERSION, Built, Sample

# /tmp is what every base has, and what a test may write to.
_KEPT = PurePosixPath("/tmp/kept")
_ENV = {"CNB_PLATFORM_API": "0.15", "CNB_EXPERIMENTAL_MODE": "silent"}
_CACHE = ("-cache-dir", f"{_KEPT}/cache")


def write_run_image(builder: Builder, layout: Path) -> Path:
    """`layout` with the run image as the builder has it, and gives it to platforms."""
    with open_layout(layout) as writer:
        writer.add(builder.run_image)
        writer.tag(builder.run_image, ["latest"])
    return layout


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a program ended, with all that it said."""

    status: int
    output: str


class Containers(Protocol):
    """What starts programs in containers of a builder image, each in one of its own, with the directories of `work`."""

    def run(self, argv: Sequence[str], work: Path) -> Ended:
        """How a program ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InSandbox:
    """Bubblewrap on the builder's files."""

    builder: Builder
    env: Mapping[str, str] = field(default_factory=dict)
    """What the platform sets beside what every program needs."""

    def run(self, argv: Sequence[str], work: Path) -> Ended:
        remove_tree(work / "tmp")
        for name in ("tmp/kept", "tmp/home"):
            (work / name).mkdir(parents=True)
        mounts = (
            Mount(source=work / "app", target=PurePosixPath("/workspace"), writable=True),
            Mount(source=work / "layers", target=PurePosixPath("/layers"), writable=True),
            Mount(source=work / "platform", target=PurePosixPath("/platform")),
            Mount(source=work / "tmp", target=PurePosixPath("/tmp"), writable=True),
            Mount(source=work / "kept", target=_KEPT, writable=True),
        )
        sandbox = Sandbox(
            rootfs=self.builder.rootfs,
            mounts=(*self.builder.mounts, *mounts),
            env={**self.builder.env, **_ENV, **self.env, "HOME": "/tmp/home"},
            network=True,
            cwd=PurePosixPath("/layers"),
        )
        result = run_sandboxed(sandbox, argv)
        return Ended(status=result.status, output=result.output)


@dataclass(frozen=True, slots=True, kw_only=True)
class InDocker:
    """A Docker engine that has the builder image; the user is the image's own."""

    engine: DockerEngine
    image: str

    def run(self, argv: Sequence[str], work: Path) -> Ended:
        subprocess.run(["chown", "--recursive", "1000:1000", str(work)], check=True)
        volumes = {"app": "/workspace", "layers": "/layers", "platform": "/platform", "kept": str(_KEPT)}
        options = [word for name, place in volumes.items() for word in ("--volume", f"{work / name}:{place}")]
        options += [word for name, value in _ENV.items() for word in ("--env", f"{name}={value}")]
        done = self.engine.run("run", "--rm", "--network", "host", *options, self.image, *argv, check=False)
        return Ended(status=done.returncode, output=done.stdout + done.stderr)


class Images(Protocol):
    """Where a platform has images, and what it says of that to the programs."""

    @property
    def run_image(self) -> str:
        """What the programs know the run image as."""

    @property
    def image(self) -> str:
        """What the image is to be called."""

    @property
    def options(self) -> Sequence[str]:
        """What the programs are told of the place."""

    def read(self, work: Path) -> LayoutImage:
        """The image that the programs wrote. `work` is the directory of the builds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InRegistry:
    """In a registry on 127.0.0.1."""

    registry: Registry
    name: str
    options: Sequence[str] = ()

    @property
    def run_image(self) -> str:
        return f"{self.registry.host}/run:latest"

    @property
    def image(self) -> str:
        return f"{self.registry.host}/{self.name}:latest"

    def read(self, work: Path) -> LayoutImage:
        layout = work / "pulled"
        remove_tree(layout)
        command = [
            "skopeo",
            "copy",
            "--quiet",
            "--src-tls-verify=false",
            f"docker://{self.image}",
            f"oci:{layout}:latest",
        ]
        subprocess.run(command, check=True)
        return read_layout(layout)


@dataclass(frozen=True, slots=True, kw_only=True)
class InLayout:
    """In a directory of OCI layouts, without any registry."""

    name: str
    run_image: str = "index.docker.io/library/run:latest"
    options: Sequence[str] = ("-layout", "-layout-dir", f"{_KEPT}/layouts")

    @property
    def image(self) -> str:
        return f"index.docker.io/library/{self.name}:latest"

    def read(self, work: Path) -> LayoutImage:
        return read_layout(work / "kept" / "layouts" / self.image.replace(":", "/"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ByPrograms:
    """The phases one by one, or `creator`."""

    containers: Containers
    images: Images
    work: Path
    is_creator: bool

    def build(self, sample: Sample) -> Built:
        results = self.start(sample)
        assert results[-1].status == 0, results[-1].output
        elements, entries = self.read("group").tables("group"), self.read("plan").tables("entries")
        return Built(
            group=[{key: table.string(key) for key in ("id", "version", "api")} for table in elements],
            plan=[dict(table.values) for table in entries],
            log="".join(f"===> ANOTHER\n{result.output}" for result in results),
            image=self.images.read(self.work),
        )

    def fail(self, sample: Sample) -> str:
        result = self.start(sample)[-1]
        assert result.status == sample.status, result.output
        return result.output

    def clear_cache(self) -> None:
        remove_tree(self.work / "kept" / "cache")

    def read(self, name: str) -> Table:
        """A file between the phases."""
        return read_table(self.work / "layers" / f"{name}.toml")

    def start(self, sample: Sample) -> list[Ended]:
        """How the programs ended, the last one perhaps badly."""
        self._prepare(sample)
        place, images = self.images.options, self.images
        phases: Sequence[tuple[str, ...]] = (
            ("analyzer", *place, "-run-image", images.run_image, images.image),
            ("detector",),
            ("restorer", *place, *_CACHE),
            ("builder",),
            ("exporter", *place, *_CACHE, images.image),
        )
        if self.is_creator:
            phases = (("creator", *place, *_CACHE, "-run-image", images.run_image, images.image),)
        ended = []
        for program, *arguments in phases:
            ended.append(self.containers.run([f"/cnb/lifecycle/{program}", *arguments], self.work))
            if ended[-1].status != 0:
                break
        return ended

    def _prepare(self, sample: Sample) -> None:
        for name in ("app", "layers", "platform"):
            remove_tree(self.work / name)
        shutil.copytree(SAMPLES / "apps" / sample.app, self.work / "app")
        for name in ("layers", "platform/env", "kept/cache"):
            (self.work / name).mkdir(parents=True, exist_ok=True)
        for variable, value in sample.user_env.items():
            (self.work / "platform" / "env" / variable).write_text(value)
        members = [{"id": f"example/{name}", "version": VERSION} for name in sample.asked]
        extensions = [{"id": f"example/{name}", "version": VERSION} for name in sample.extensions]
        write_toml(
            self.work / "layers" / "order.toml",
            {"order": [{"group": members}], "order-extensions": [{"group": extensions}] if extensions else None},
        )
