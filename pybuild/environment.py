"""The build environment of one build: its directories, what it sees of the machine, and the phases that run in it.

Only what runs here runs code of the repository. It sees the application, the layers, a platform directory and a home of its
own; never the store, a registry credential or the machine's own files.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

from lifecycle.cnb.api import DEFAULT_EXEC_ENV
from lifecycle.cnb.command import CommandResult
from lifecycle.cnb.deadline import Deadline
from lifecycle.cnb.errors import ConfigurationError
from lifecycle.cnb.failure import own_failure_path
from lifecycle.cnb.group import Group
from lifecycle.cnb.identifier import BuildpackId
from lifecycle.cnb.order import Order, write_order
from lifecycle.cnb.recipe import ImageFacts, Recipe, read_recipe, write_image_facts
from lifecycle.cnb.shared import DIRECTORY_VARIABLE, NamedKey, parse_key_line
from lifecycle.cnb.toml import read_regular_file
from lifecycle.detection import Detection, parse_detection
from lifecycle.progress import read_progress
from lifecycle.recipes import IMAGES_NAME, RECIPE_NAME
from pybuild.archives import ARCHIVES_IN_BUILD
from pybuild.build_image import BuildImage
from pybuild.builder import Builder
from pybuild.builder.bases import read_base_image
from pybuild.engines import Engine
from pybuild.engines.docker_run import Containers, run_in_container
from pybuild.engines.sandbox import Mount, Sandbox, run_sandboxed
from pybuild.errors import MachineError, PhaseFailed
from pybuild.host import CA_BUNDLE_IN_BUILD, HostSettings
from pybuild.log import Log
from pybuild.phases import API_VARIABLE, ERROR_VARIABLE, PLATFORM_API, phase_failure
from pybuild.shared_layers import SHARED_LAYERS_IN_BUILD
from pybuild.volumes import Volume, directories_to_open, make_places

APP, LAYERS, PLATFORM = PurePosixPath("/workspace"), PurePosixPath("/layers"), PurePosixPath("/platform")
# Result files of the phases that are pybuild's own; they lie beside the contract's in the layers directory.
DETECTION_NAME, ERROR_NAME = "pybuild-detection.json", "pybuild-error.json"
# Inside /tmp, because not every base has a home for the user that builds run as.
_HOME = PurePosixPath("/tmp/home")  # noqa: S108 - the sandbox's own
_PROGRAMS = {"build": "builder", "fix": "fixer", "generate": "generator"}
_CHANNEL_CREDENTIALS = "channel-credentials.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildEnvironment:
    """Directories of one build, and the sandbox made of them."""

    builder: Builder
    host: HostSettings
    work: Path
    """Empty at first; on the file system of the application's cache, so that layers can be moved."""
    archives: Path
    """Conda packages that the applications of this machine share, for the build to read."""
    shared_layers: Path
    """Environments that they share, for the build to read."""
    made_layers: Path
    """Blobs of layers that were made before: of interpreters and of parts of environments. No build sees it."""
    network: bool
    deadline: Deadline
    volumes: tuple[Volume, ...] = ()
    """What the person who builds shows it of the machine."""
    exec_env: str = DEFAULT_EXEC_ENV
    engine: Engine = Engine.SANDBOX
    machine_env: Mapping[str, str] = field(default_factory=dict)
    """Of this process: how a Docker engine is reached."""
    extended: BuildImage | None = None
    """What image extensions have made of the builder's image, to run in that."""

    @property
    def app_dir(self) -> Path:
        """The application, `/workspace` inside."""
        return self.work / "app"

    @property
    def layers_dir(self) -> Path:
        """`/layers` inside."""
        return self.work / "layers"

    @property
    def scratch_dir(self) -> Path:
        """For files of the platform; not seen inside."""
        return self.work / "scratch"

    def prepare(self, user_env: Mapping[str, str]) -> None:
        """Make the directories, and the platform directory with the machine's settings below the user's `user_env`."""
        for name in ("app", "layers", "platform/env", "platform/archives", "platform/layers", "tmp/home", "scratch"):
            (self.work / name).mkdir(parents=True)
        for directory in (self.archives, self.shared_layers):
            directory.mkdir(parents=True, exist_ok=True)
        for mount in self.host.mounts:
            inside = self.work / "platform" / mount.target.relative_to(PLATFORM)
            if mount.source.is_dir():
                inside.mkdir(parents=True)
            else:
                inside.parent.mkdir(parents=True, exist_ok=True)
                inside.touch()
        machine = {
            **self.host.indexes,
            "PYBUILD_ARCHIVES": str(ARCHIVES_IN_BUILD),
            DIRECTORY_VARIABLE: str(SHARED_LAYERS_IN_BUILD),
        }
        if self.host.ca_bundle is not None:
            machine |= dict.fromkeys(("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE"), str(CA_BUNDLE_IN_BUILD))
        if self.host.channel_credentials:
            machine["RATTLER_AUTH_FILE"] = str(_HOME / _CHANNEL_CREDENTIALS)
            self._write_secret(_CHANNEL_CREDENTIALS, self.host.channel_credentials)
        if self.host.netrc:
            self._write_secret(".netrc", self.host.netrc)
        self.write_variables({**machine, **user_env})
        make_places(self.volumes, self.work / "platform")

    def write_variables(self, values: Mapping[str, str]) -> None:
        """Let the buildpacks see these variables, in place of those of the same names."""
        for name, value in values.items():
            # The content is the value as it is: no newline at its end (platform.md, "User-Provided Variables").
            (self.work / "platform" / "env" / name).write_bytes(os.fsencode(value))

    def _write_secret(self, name: str, content: str) -> None:
        """Put a file into the home of the build, which ends with it."""
        descriptor = os.open(self.work / "tmp" / "home" / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(content)

    def run_detect(self, order: Order, log: Log) -> Detection:
        """What detection found.

        Raises:
            pybuild.errors.PhaseFailed: the phase itself failed.
            lifecycle.cnb.command.CommandTimeout: the build's time is up.
        """
        write_order(self.layers_dir / "order.toml", order)
        result = self._run("detector", ("-order", str(LAYERS / "order.toml")), log, log.detail)
        found = self.layers_dir / DETECTION_NAME
        if not found.exists():
            raise self._failure("detect", result, said=False)
        detection = parse_detection(read_regular_file(found, follow_links=False).decode(), source="detection")
        if detection.group is not None and result.status != 0:
            raise self._failure("generate", result, said=False)
        return detection

    def run_build(self, log: Log) -> NamedKey | None:
        """Let the group build; its output goes to `log`. Returns the key that its output named first.

        Raises:
            pybuild.errors.PhaseFailed: a buildpack failed, or left what cannot be used.
            lifecycle.cnb.command.CommandTimeout: the build's time is up.
        """
        named: NamedKey | None = None

        def take(line: str) -> bool:
            nonlocal named
            found = parse_key_line(line)
            named = named or found
            return found is not None

        self._run_group("build", log, take=take)
        return named

    def run_fix(self, log: Log) -> None:
        """Let the group change files of the application; its output goes to `log`.

        Raises:
            pybuild.errors.PhaseFailed: a buildpack could not.
            lifecycle.cnb.command.CommandTimeout: the time is up.
        """
        self._run_group("fix", log)

    def makes_image(self, group: Group) -> bool:
        """Whether a buildpack of the group makes an image of its own."""
        return bool(self._makers(group))

    def _makers(self, group: Group) -> tuple[BuildpackId, ...]:
        elements = group.elements
        programs = (self.builder.buildpack(one.id, one.version).directory / "bin" / "generate" for one in elements)
        return tuple(one.id for one, program in zip(elements, programs, strict=True) if program.is_file())

    def run_generate(self, group: Group, log: Log, *, images: Mapping[str, ImageFacts] | None = None) -> Recipe:
        """The recipe of the image that the group makes; what is to be said of it goes to `log`. `images` are those that it takes.

        Raises:
            pybuild.errors.PhaseFailed: the buildpack could not say how.
            lifecycle.cnb.errors.ConfigurationError: what it wrote is no recipe.
            lifecycle.cnb.command.CommandTimeout: the time is up.
        """
        directory = self.layers_dir / "generated" / self._makers(group)[0].directory_name
        if images is not None:
            write_image_facts(directory / IMAGES_NAME, images)
        self._run_group("generate", log)
        return read_recipe(directory / RECIPE_NAME)

    def _run_group(
        self, phase: Literal["build", "fix", "generate"], log: Log, *, take: Callable[[str], bool] = lambda _: False
    ) -> None:
        """Run a phase; lines that `take` is true for are not for people."""
        said = False

        def show(line: str) -> None:
            nonlocal said
            if take(line):
                return
            said = said or line.startswith("error: ")
            log.info(line)

        result = self._run(_PROGRAMS[phase], (), log, show)
        if result.status != 0:
            raise self._failure(phase, result, said=said)

    def _failure(self, phase: str, result: CommandResult, *, said: bool) -> PhaseFailed:
        path = self.layers_dir / ERROR_NAME
        own = self._own_failure_path() if phase == "build" else None
        return phase_failure(path, result, phase=phase, exit_code=MachineError.exit_code, said=said, own=own)

    def _own_failure_path(self) -> Path | None:
        """Where the buildpack that did not come to its end may have left its error."""
        with contextlib.suppress(ConfigurationError, OSError):
            running = read_progress(self.layers_dir).running
            return None if running is None else own_failure_path(self.layers_dir / running.directory_name)
        return None

    def _run(self, program: str, options: tuple[str, ...], log: Log, on_line: Callable[[str], None]) -> CommandResult:
        argv = (f"/cnb/lifecycle/{program}", "-app", str(APP), "-layers", str(LAYERS), "-platform", str(PLATFORM))
        command = (*argv, *options)
        if self.engine is Engine.SANDBOX:
            return run_sandboxed(self._sandbox(), command, on_line=on_line, deadline=self.deadline)
        containers = Containers(
            base=read_base_image(self.builder.build_base) if self.extended is None else self.extended.image,
            memory=None if self.extended is None else self.extended.rootfs.with_name("docker-image.json"),
            owned=(self.app_dir, self.layers_dir, self.work / "platform", self.work / "tmp"),
            scratch=self.scratch_dir,
            env=self.machine_env,
            log=log,
        )
        return run_in_container(containers, self._sandbox(), command, on_line=on_line, deadline=self.deadline)

    def _sandbox(self) -> Sandbox:
        own = (
            Mount(source=self.app_dir, target=APP, writable=True),
            Mount(source=self.layers_dir, target=LAYERS, writable=True),
            Mount(source=self.work / "platform", target=PLATFORM),
            Mount(source=self.archives, target=ARCHIVES_IN_BUILD),
            Mount(source=self.shared_layers, target=SHARED_LAYERS_IN_BUILD),
            Mount(source=self.work / "tmp", target=PurePosixPath("/tmp"), writable=True),  # noqa: S108 - the sandbox's own
        )
        rootfs, image_env = (
            (self.builder.rootfs, self.builder.env)
            if self.extended is None
            else (self.extended.rootfs, self.extended.env)
        )
        bundle = self.host.ca_bundle
        certificates = () if bundle is None else (Mount(source=bundle.resolve(), target=CA_BUNDLE_IN_BUILD),)
        env = {
            "LANG": "C.UTF-8",
            **image_env,
            **self.host.proxies,
            "HOME": str(_HOME),
            API_VARIABLE: PLATFORM_API,
            "CNB_EXEC_ENV": self.exec_env,
            "PYBUILD_DETECTION_PATH": str(LAYERS / DETECTION_NAME),
            ERROR_VARIABLE: str(LAYERS / ERROR_NAME),
        }
        return Sandbox(
            rootfs=rootfs,
            mounts=(*self.builder.mounts, *own, *self.host.mounts, *certificates, *(one.mount for one in self.volumes)),
            opened=directories_to_open(self.volumes, rootfs),
            env=env,
            network=self.network,
            cwd=APP,
            user_id=self.builder.user_id,
            group_id=self.builder.group_id,
        )
