"""Options that several commands of the command line share, each group read into one value."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import click

from lifecycle.cnb.api import DEFAULT_EXEC_ENV
from lifecycle.cnb.errors import InvalidValue
from lifecycle.cnb.reference import Reference
from lifecycle.exporters import Output
from lifecycle.oci.compression import Compression
from lifecycle.oci.descriptor import Platform, host_platform
from pybuild.builder import default_definition_path
from pybuild.engines import Engine
from pybuild.errors import UsageError
from pybuild.events import EventLog, OnEvent
from pybuild.log import Log
from pybuild.request import BuildRequest, check_exec_env, check_variable_name
from pybuild.run_image import ImageSettings
from pybuild.site import Site
from pybuild.store import store_directory
from pybuild.terminal import Verbosity, open_terminal
from pybuild.volumes import Volume, parse_volumes

_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?")
# As the Dockerfile buildpack reads them.
BUILD_ARGUMENT_PREFIX = "BP_DOCKERFILE_ARG_"
# What interpreters and packages of the distribution are there for. 64-bit Arm has one variant only, which nobody needs to say.
_PLATFORMS = {"linux/amd64": "amd64", "linux/arm64": "arm64", "linux/arm64/v8": "arm64"}
F = TypeVar("F", bound=Callable[..., object])
Command = Callable[..., None]


@dataclass(frozen=True, slots=True)
class Session:
    """What every command needs."""

    log: Log
    show: OnEvent
    """Shows what the log says as well."""
    store: Path

    def site(self) -> Site:
        """Where work takes place for which the library has no function."""
        return Site(store=self.store, host_env=os.environ, log=self.log)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which repository is built, and by what."""

    repository: str
    env: Mapping[str, str]
    """The user's variables for the buildpacks."""
    buildpacks: tuple[str, ...]
    descriptor: Path | None
    trusts_project: bool
    volumes: tuple[Volume, ...]
    exec_env: str
    builder: Path
    timeout_s: float
    network: bool
    images: ImageSettings
    host_env: Mapping[str, str]
    """The machine's environment, with the options that stand for variables of it."""

    def request(
        self,
        *,
        outputs: tuple[Output, ...] = (),
        refresh: bool = False,
        cache_image: Reference | None = None,
        compression: Compression = Compression.GZIP,
        platforms: tuple[Platform, ...] | None = None,
        shows_plan: bool = False,
    ) -> BuildRequest:
        """The build of it; `refresh` resolves unpinned requirements anew. Without `platforms` it is for this machine's."""
        return BuildRequest(
            repository=self.repository,
            outputs=outputs,
            env={**self.env, **({"BP_REFRESH": "1"} if refresh else {})},
            buildpacks=self.buildpacks,
            descriptor=self.descriptor,
            trusts_project=self.trusts_project,
            volumes=self.volumes,
            exec_env=self.exec_env,
            shows_plan=shows_plan,
            builder=self.builder,
            timeout_s=self.timeout_s,
            network=self.network,
            images=self.images,
            cache_image=cache_image,
            compression=compression,
            platforms=platforms or (host_platform(),),
        )


class Duration(click.ParamType[float]):
    """A span of time such as `90`, `90s`, `15m`, `1h30m`, `30d`; seconds where no unit is said."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        if isinstance(value, (int, float)):
            return float(value)
        match = _DURATION.fullmatch(str(value))
        if not match or not any(match.groups()):
            self.fail(f"{value!r} is not a duration; write for example 90s, 15m or 1h30m", param, ctx)
        days, hours, minutes, seconds = match.groups(default="0")
        total = int(days) * 86400 + int(hours) * 3600 + int(minutes) * 60 + float(seconds)
        if total <= 0:
            self.fail("the time must be longer than nothing", param, ctx)
        return total


class Platforms(click.ParamType[tuple[Platform, ...]]):
    """Platforms such as `linux/amd64,linux/arm64`."""

    name = "platforms"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Platform, ...]:
        """Those that are named, each once."""
        if isinstance(value, tuple):
            return value
        names = [name.strip() for name in str(value).split(",")]
        unknown = [name for name in names if name not in _PLATFORMS]
        if unknown:
            self.fail(f"{', '.join(map(repr, unknown))}: images are made for linux/amd64 and linux/arm64", param, ctx)
        return tuple(dict.fromkeys(Platform(os="linux", architecture=_PLATFORMS[name]) for name in names))


def session_options(command: Command) -> Command:
    """Gives a command `session`, from how much it shall say."""

    @functools.wraps(command)
    def with_session(*arguments: object, quiet: bool, verbose: bool, **others: object) -> None:
        if quiet and verbose:
            raise UsageError("`--quiet` and `--verbose` exclude each other", "give one of them")
        verbosity = Verbosity.QUIET if quiet else Verbosity.VERBOSE if verbose else Verbosity.NORMAL
        show = open_terminal(verbosity, os.environ).show
        session = Session(log=EventLog(show), show=show, store=store_directory(os.environ, Path.home()))
        command(*arguments, session=session, **others)

    return _with_options(
        with_session,
        click.option("-v", "--verbose", is_flag=True, help="Show every command and its details."),
        click.option("-q", "--quiet", is_flag=True, help="Show warnings and errors only."),
    )


def builder_option(command: F) -> F:
    """Gives a command `builder`, a path or `None`."""
    option = click.option(
        "--builder",
        type=click.Path(path_type=Path, dir_okay=False),
        help="A builder.toml; without it the default builder.",
    )
    return option(command)


def platform_option(command: F) -> F:
    """Gives a command `platforms`: this machine's where none is said."""
    option = click.option(
        "--platform",
        "platforms",
        type=Platforms(),
        default=lambda: (host_platform(),),
        metavar="OS/ARCH[,...]",
        help="What images are for, such as linux/arm64; several become one index. Without it, this machine's platform.",
    )
    return option(command)


def insecure_registry_option(command: F) -> F:
    """Gives a command `insecure_registries`."""
    option = click.option(
        "--insecure-registry",
        "insecure_registries",
        multiple=True,
        metavar="HOST[:PORT]",
        help="Registry that is spoken to without TLS, or whose certificate nobody vouches for; may be repeated.",
    )
    return option(command)


def selection_options(command: Command) -> Command:
    """Gives a command `selection`, with the argument REPOSITORY in it."""

    @functools.wraps(command)
    def with_selection(
        *arguments: object,
        repository: str,
        env: tuple[str, ...],
        env_files: tuple[Path, ...],
        buildpacks: tuple[str, ...],
        descriptor: Path | None,
        trust_project: bool,
        volumes: tuple[str, ...],
        exec_env: str,
        builder: Path | None,
        timeout: float,
        network: str,
        channel_alias: str | None,
        engine: str,
        bases: tuple[str, ...],
        build_args: tuple[str, ...],
        insecure_registries: tuple[str, ...],
        **others: object,
    ) -> None:
        check_exec_env(exec_env, "--exec-env")
        selection = Selection(
            repository=repository,
            env={**read_user_env(env, env_files), **_build_arguments(build_args)},
            buildpacks=buildpacks,
            descriptor=descriptor,
            trusts_project=trust_project,
            volumes=parse_volumes(volumes, cwd=Path.cwd()),
            exec_env=exec_env,
            builder=builder or default_definition_path(),
            timeout_s=timeout,
            network=network != "none",
            images=ImageSettings(
                engine=Engine(engine),
                bases=dict(_base(text) for text in bases),
                insecure_registries=insecure_registries,
            ),
            # What conda's own variable for it would be.
            host_env={**os.environ, **({} if channel_alias is None else {"CONDA_CHANNEL_ALIAS": channel_alias})},
        )
        command(*arguments, selection=selection, **others)

    return _with_options(
        builder_option(with_selection),
        click.option(
            "--network",
            type=click.Choice(["default", "none"]),
            default="default",
            help="none: a build without network.",
        ),
        click.option("--timeout", type=Duration(), default="60m", show_default=True, help="Time limit of the build."),
        insecure_registry_option,
        click.option(
            "--build-arg",
            "build_args",
            multiple=True,
            metavar="NAME[=VALUE]",
            help="Build argument of the Dockerfile; may be repeated.",
        ),
        click.option(
            "--base",
            "bases",
            multiple=True,
            metavar="NAME=WHERE",
            help="Take the image NAME of the Dockerfile from oci:DIR[:TAG], oci-archive:FILE, docker-archive:FILE or docker://NAME; "
            "may be repeated.",
        ),
        click.option(
            "--engine",
            type=click.Choice([engine.value for engine in Engine]),
            default=Engine.SANDBOX.value,
            show_default=True,
            help="Where a build runs: in the sandbox, or in containers of a Docker engine on this machine, whose BuildKit executes "
            "Dockerfiles then.",
        ),
        click.option(
            "--channel-alias", metavar="URL", help="Where conda channels are, instead of https://conda.anaconda.org."
        ),
        click.option(
            "--buildpack",
            "buildpacks",
            multiple=True,
            metavar="WHICH",
            help="Use this buildpack instead of the builder's order: ID[@VERSION] of the builder, the path of a directory or of a .tgz or "
            ".cnb file, docker://NAME, or from=builder for the builder's order; may be repeated.",
        ),
        click.option(
            "--exec-env",
            default=DEFAULT_EXEC_ENV,
            show_default=True,
            metavar="NAME",
            help="What the image is for, as buildpacks and project.toml know it: production, test, development or another name.",
        ),
        click.option(
            "--descriptor",
            type=click.Path(path_type=Path, dir_okay=False),
            help="A project.toml, in place of the repository's own.",
        ),
        click.option(
            "--trust-project",
            is_flag=True,
            help="Let project.toml bring buildpacks of its own: scripts, directories of the repository, images.",
        ),
        click.option(
            "--volume",
            "volumes",
            multiple=True,
            metavar="HOST:CONTAINER[:ro|rw]",
            help="Show the build a directory or file of this machine, read-only unless :rw is said; may be repeated.",
        ),
        click.option(
            "--env-file",
            "env_files",
            multiple=True,
            type=click.Path(path_type=Path),
            help="File of NAME=VALUE lines for the buildpacks.",
        ),
        click.option(
            "-e",
            "--env",
            multiple=True,
            metavar="NAME[=VALUE]",
            help="Setting for the buildpacks, such as BP_CPYTHON_VERSION=3.12; without a value it is taken "
            "from your environment.",
        ),
        click.argument("repository"),
    )


def read_user_env(pairs: tuple[str, ...], files: tuple[Path, ...]) -> dict[str, str]:
    """Variables of `--env-file`, then of `--env`, the later over the earlier."""
    found: dict[str, str] = {}
    for path in files:
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as err:
            raise UsageError(f"cannot read the env file `{path}`: {err}") from err
        for number, line in enumerate(lines, start=1):
            if line.strip() and not line.lstrip().startswith("#"):
                found.update(_env_pair(line.strip(), f"{path}:{number}"))
    for pair in pairs:
        found.update(_env_pair(pair, "--env"))
    return found


def _build_arguments(texts: tuple[str, ...]) -> dict[str, str]:
    """Settings of the Dockerfile buildpack that give it the build arguments."""
    pairs: dict[str, str] = {}
    for text in texts:
        pairs.update(_env_pair(text, "--build-arg"))
    return {f"{BUILD_ARGUMENT_PREFIX}{name}": value for name, value in pairs.items()}


def _base(text: str) -> tuple[str, str]:
    """Name, spelled out, and location of an image."""
    name, equals, location = text.partition("=")
    if not equals or not location:
        raise UsageError(f"`--base {text}` is not NAME=WHERE", "for example `--base python:3.11=oci:DIR`")
    try:
        return str(Reference.parse(name).with_default_tag()), location
    except InvalidValue as err:
        raise UsageError(f"`--base {text}`: `{name}` {err.message}", err.hint) from err


def _env_pair(text: str, where: str) -> dict[str, str]:
    name, equals, value = text.partition("=")
    check_variable_name(name, where)
    if equals:
        return {name: value}
    # As `docker run --env NAME`: taken from the environment, and not set at all where it is not set there.
    return {name: os.environ[name]} if name in os.environ else {}


def _with_options(command: F, *options: Callable[[F], F]) -> F:
    for option in options:
        command = option(command)
    return command
