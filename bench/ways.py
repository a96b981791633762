"""Ways of making an image of a repository and pushing it: pybuild, and those that execute a Dockerfile."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bench.measure import Figures, print_phases, run_quietly, seconds_of
from lifecycle.cnb.layer import remove_tree
from tests.integration.command import Pybuild, expect_success
from tests.integration.engine import DockerEngine
from tests.integration.registry import Registry, start_registry

_NAME = "bench-image"
_BUILDAH_LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096")

Changes = Mapping[str, Callable[[], object]]
"""What happens to the repository before each case, in their order."""


class Builder(Protocol):
    """Executes Dockerfiles."""

    @property
    def name(self) -> str:
        """What the tables call it."""

    def load(self, archive: Path) -> None:
        """Know the images of a docker-archive by their names."""

    def forget(self) -> None:
        """Lose what builds have left for later ones."""

    def build(self, context: Path, *, tag: str = _NAME, options: Sequence[str] = ()) -> None:
        """Make the image of the Dockerfile in `context`."""

    def push(self, reference: str) -> None:
        """Put the last image into a registry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Docker:
    """BuildKit of an engine, into the engine's own store."""

    engine: DockerEngine
    name: str = "docker build"

    def load(self, archive: Path) -> None:
        """See `Builder`."""
        self.engine.load(archive)

    def forget(self) -> None:
        """See `Builder`."""
        self.engine("builder", "prune", "--all", "--force")
        self.engine.run("image", "rm", "--force", _NAME, check=False)

    def build(self, context: Path, *, tag: str = _NAME, options: Sequence[str] = ()) -> None:
        """See `Builder`."""
        self.engine.run("build", "--quiet", "--network", "host", "--tag", tag, *options, str(context))

    def push(self, reference: str) -> None:
        """See `Builder`."""
        self.engine("tag", _NAME, reference)
        self.engine("push", "--quiet", reference)


@dataclass(frozen=True, slots=True, kw_only=True)
class Buildah:
    """buildah, into a store of its own."""

    directory: Path
    env: Mapping[str, str]
    """`TMPDIR` is in `directory`: cache mounts are kept there."""
    name: str = "buildah build"

    @classmethod
    def make(cls, directory: Path, env: Mapping[str, str]) -> Buildah:
        """buildah with everything that it keeps below `directory`."""
        (directory / "tmp").mkdir(parents=True)
        return cls(directory=directory, env={**env, "TMPDIR": str(directory / "tmp")})

    def load(self, archive: Path) -> None:
        """See `Builder`."""
        self._run("pull", "--quiet", f"docker-archive:{archive}")

    def forget(self) -> None:
        """See `Builder`."""
        subprocess.run([*self._command, "rmi", "--force", _NAME], env=self.env, capture_output=True, check=False)
        self._run("rmi", "--prune", "--force")
        remove_tree(self.directory / "tmp")
        (self.directory / "tmp").mkdir()

    def build(self, context: Path, *, tag: str = _NAME, options: Sequence[str] = ()) -> None:
        """See `Builder`."""
        common = ("--isolation", "chroot", "--pull-never", "--layers", "--network", "host", *_BUILDAH_LIMITS)
        self._run("build", "--quiet", *common, "--tag", tag, *options, str(context))

    def push(self, reference: str) -> None:
        """See `Builder`."""
        self._run("push", "--quiet", "--tls-verify=false", _NAME, f"docker://{reference}")

    @property
    def _command(self) -> tuple[str, ...]:
        return ("buildah", "--root", str(self.directory / "root"), "--runroot", str(self.directory / "run"))

    def _run(self, *arguments: str) -> str:
        return run_quietly([*self._command, *arguments], self.env)


def measure_builder(builder: Builder, context: Path, changes: Changes) -> dict[str, Figures]:
    """Figures of building `context` after each of the changes, from nothing; what is pushed is not in the seconds."""
    builder.forget()
    figures = {}
    with _empty_registry(context) as registry:
        for case, change in changes.items():
            change()
            seconds = seconds_of(lambda: builder.build(context))
            pushed = _stored_by(registry, lambda: builder.push(f"{registry.host}/{_repository(builder.name)}:latest"))
            figures[case] = Figures(seconds=seconds, pushed=pushed)
    return figures


def measure_pybuild(
    pybuild: Pybuild, repository: Path, changes: Changes, options: Sequence[str] = ()
) -> dict[str, Figures]:
    """The same of pybuild, into an OCI image layout beside the repository."""
    layout, report = f"oci:{repository}-image", repository.with_name(f"{repository.name}-report.json")
    figures = {}
    with _empty_registry(repository) as registry:
        for case, change in changes.items():
            change()
            peaks: list[int] = []
            command: tuple[str | Path, ...] = ("build", repository, "--output", layout, "--report", report, *options)
            seconds = seconds_of(lambda: peaks.append(_run_watched(pybuild, *command)))  # noqa: B023
            print_phases("pybuild", case, report)
            reference = f"{registry.host}/pybuild:latest"
            pushed = _stored_by(registry, lambda: expect_success(pybuild("push", layout, reference)))  # noqa: B023
            figures[case] = Figures(seconds=seconds, pushed=pushed, peak=peaks[0])
    return figures


def _empty_registry(repository: Path) -> AbstractContextManager[Registry]:
    """One for each measurement: nothing that another has pushed is there."""
    return start_registry(repository.with_name(f"{repository.name}-registry"))


def _stored_by(registry: Registry, action: Callable[[], object]) -> int:
    """Bytes of blobs that `registry` stores after `action`, and did not before."""
    before = _stored(registry)
    action()
    return _stored(registry) - before


def _stored(registry: Registry) -> int:
    return sum(path.stat().st_size for path in registry.directory.glob("images/docker/registry/v2/blobs/*/*/*/data"))


def _run_watched(pybuild: Pybuild, *arguments: str | Path) -> int:
    """Most memory, in bytes, that the command's own process has had; it must end well."""
    running = pybuild.start(*arguments)
    status = Path("/proc", str(running.process.pid), "status")
    peak = 0
    while running.process.poll() is None:
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                peak = int(line.split()[1]) * 1024
        time.sleep(0.02)
    expect_success(running.finish())
    return peak


def _repository(name: str) -> str:
    return name.replace(" ", "-")
