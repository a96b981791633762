"""The command line: `pybuild build`, `detect`, `fix`, `run`, `builder`, `completion`."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar

import click
from click.shell_completion import get_completion_class

from lifecycle.cnb.toml import write_atomically
from lifecycle.detection import render_detection
from lifecycle.exporters import Output, parse_output
from lifecycle.oci.errors import InvalidValue
from pybuild import __version__
from pybuild.build import BuildRequest, build_image, detect_repository, find_fixes
from pybuild.builder import (
    default_definition_path,
    describe_builder,
    ensure_builder,
    read_definition,
    render_description,
)
from pybuild.engines.sandbox import Mount
from pybuild.errors import UsageError
from pybuild.fix import write_fixes
from pybuild.report import describe_detection, render_report
from pybuild.run import RunRequest, run_image
from pybuild.store import store_directory
from pybuild.terminal import TerminalLog, Verbosity, open_log

_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
F = TypeVar("F", bound=Callable[..., object])


@dataclass(frozen=True, slots=True)
class Session:
    """What every command needs."""

    log: TerminalLog
    store: Path


class Duration(click.ParamType[float]):
    """A span of time such as `90`, `90s`, `15m`, `1h30m`; seconds where no unit is said."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        if isinstance(value, (int, float)):
            return float(value)
        match = _DURATION.fullmatch(str(value))
        if not match or not any(match.groups()):
            self.fail(f"{value!r} is not a duration; write for example 90s, 15m or 1h30m", param, ctx)
        hours, minutes, seconds = match.groups(default="0")
        total = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
        if total <= 0:
            self.fail("the time limit must be longer than nothing", param, ctx)
        return total


def _verbosity_options(command: F) -> F:
    quiet = click.option("-q", "--quiet", is_flag=True, help="Show warnings and errors only.")
    verbose = click.option("-v", "--verbose", is_flag=True, help="Show every command and its details.")
    return quiet(verbose(command))


def _builder_option(command: F) -> F:
    option = click.option(
        "--builder",
        type=click.Path(path_type=Path, dir_okay=False),
        help="A builder.toml; without it the default builder.",
    )
    return option(command)


def _selection_options(command: F) -> F:
    """Options that `build` and `detect` share."""
    for option in (
        click.option(
            "--network",
            type=click.Choice(["default", "none"]),
            default="default",
            help="none: a build without network.",
        ),
        click.option("--timeout", type=Duration(), default="60m", show_default=True, help="Time limit of the build."),
        click.option(
            "--channel-alias",
            metavar="URL",
            help="Where conda channels are, instead of https://conda.anaconda.org.",
        ),
        click.option(
            "--buildpack",
            "buildpacks",
            multiple=True,
            metavar="ID",
            help="Use this buildpack instead of the builder's order; may be repeated.",
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
    ):
        command = option(command)
    return command


def _session(*, quiet: bool, verbose: bool) -> Session:
    if quiet and verbose:
        raise UsageError("`--quiet` and `--verbose` exclude each other", "give one of them")
    verbosity = Verbosity.QUIET if quiet else Verbosity.VERBOSE if verbose else Verbosity.NORMAL
    log = open_log(verbosity, color=not os.environ.get("NO_COLOR"))
    return Session(log=log, store=store_directory(os.environ, Path.home()))


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="pybuild")
def cli() -> None:
    """Turn a code repository into an OCI image that runs it."""


@cli.command()
@click.argument("repository")
@click.option(
    "-o",
    "--output",
    "outputs",
    multiple=True,
    metavar="WHERE",
    help="oci:DIR[:TAG], oci-archive:FILE or docker-archive:FILE; may be repeated. Without it the image stays in pybuild's store.",
)
@click.option(
    "-t", "--tag", "tags", multiple=True, metavar="NAME", help="Name of the image in its outputs; may be repeated."
)
@click.option(
    "--refresh", is_flag=True, help="Resolve unpinned requirements anew instead of keeping the lock of the last build."
)
@click.option("--report", type=click.Path(path_type=Path, dir_okay=False), help="Write a report as JSON to this file.")
@_selection_options
@_builder_option
@_verbosity_options
def build(
    repository: str,
    outputs: tuple[str, ...],
    tags: tuple[str, ...],
    env: tuple[str, ...],
    env_files: tuple[Path, ...],
    buildpacks: tuple[str, ...],
    builder: Path | None,
    timeout: float,
    network: str,
    channel_alias: str | None,
    report: Path | None,
    *,
    refresh: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Build an image from REPOSITORY: a directory, a git URL (with #ref:subdirectory) or an archive.

    The result, one line for each output with the digest, goes to standard output.
    """  # fmt: skip
    session = _session(quiet=quiet, verbose=verbose)
    request = BuildRequest(
        repository=repository,
        outputs=tuple(_output(text, tags) for text in outputs),
        env={**_user_env(env, env_files), **({"BP_REFRESH": "1"} if refresh else {})},
        buildpacks=buildpacks,
        builder=builder or default_definition_path(),
        timeout_s=timeout,
        network=network != "none",
    )
    result = build_image(request, session.store, _host_env(channel_alias), session.log)
    if report is not None:
        write_atomically(report, (json.dumps(result.to_json(), indent=2) + "\n").encode())
    for line in render_report(result):
        session.log.info(line)
    for output in result.outputs:
        _print(output)


@cli.command()
@click.argument("repository")
@click.option("--json", "as_json", is_flag=True, help="Print the detection as JSON.")
@_selection_options
@_builder_option
@_verbosity_options
def detect(
    repository: str,
    env: tuple[str, ...],
    env_files: tuple[Path, ...],
    buildpacks: tuple[str, ...],
    builder: Path | None,
    timeout: float,
    network: str,
    channel_alias: str | None,
    *,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Say which buildpacks would build REPOSITORY, and why the others would not."""
    session = _session(quiet=quiet, verbose=verbose)
    request = BuildRequest(
        repository=repository,
        env=_user_env(env, env_files),
        buildpacks=buildpacks,
        builder=builder or default_definition_path(),
        timeout_s=timeout,
        network=network != "none",
    )
    detection = detect_repository(request, session.store, _host_env(channel_alias), session.log)
    if as_json:
        _print(json.dumps(json.loads(render_detection(detection)), indent=2))
    else:
        for line in describe_detection(detection):
            _print(line)
    if detection.group is None:
        raise detection.error(app_dir=Path(repository))


@cli.command()
@click.argument("repository")
@click.option("--diff", "diff_only", is_flag=True, help="Print the patch to standard output, and change nothing.")
@_selection_options
@_builder_option
@_verbosity_options
def fix(
    repository: str,
    env: tuple[str, ...],
    env_files: tuple[Path, ...],
    buildpacks: tuple[str, ...],
    builder: Path | None,
    timeout: float,
    network: str,
    channel_alias: str | None,
    *,
    diff_only: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Correct the files of REPOSITORY, a directory, that keep it from being built, where no decision is needed for it.

    The changes are shown as a patch; the names of the changed files go to standard output.
    """  # fmt: skip
    session = _session(quiet=quiet, verbose=verbose)
    request = BuildRequest(
        repository=repository,
        env=_user_env(env, env_files),
        buildpacks=buildpacks,
        builder=builder or default_definition_path(),
        timeout_s=timeout,
        network=network != "none",
    )
    fixes = find_fixes(request, session.store, _host_env(channel_alias), session.log)
    if not fixes:
        session.log.info(f"nothing to correct in {repository}")
    for found in fixes:
        if diff_only:
            sys.stdout.buffer.write(found.patch())
            continue
        for line in found.patch().decode("utf-8", "replace").splitlines():
            session.log.info(line)
    if diff_only:
        return
    write_fixes(Path(repository), fixes)
    for found in fixes:
        session.log.info(f"corrected {found.name}")
        _print(found.name)


@cli.command()
@click.argument("image")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.option("-e", "--env", "env", multiple=True, metavar="NAME[=VALUE]", help="Environment variable of the command.")
@click.option(
    "--volume", "volumes", multiple=True, metavar="DIR:TARGET[:ro]", help="Show a directory inside the image."
)
@click.option("--entrypoint", help="Program to run instead of the image's entrypoint.")
@click.option("-w", "--workdir", help="Working directory inside the image.")
@click.option("--network", type=click.Choice(["default", "none"]), default="default", help="none: no network.")
@_verbosity_options
def run(
    image: str,
    command: tuple[str, ...],
    env: tuple[str, ...],
    volumes: tuple[str, ...],
    entrypoint: str | None,
    workdir: str | None,
    network: str,
    *,
    quiet: bool,
    verbose: bool,
) -> None:
    """Run IMAGE (oci:DIR[:TAG], oci-archive:FILE or docker-archive:FILE) in a sandbox: pybuild run IMAGE -- COMMAND.

    What the command writes inside the image is thrown away at its end.
    """
    session = _session(quiet=quiet, verbose=verbose)
    request = RunRequest(
        location=image,
        command=command,
        entrypoint=entrypoint,
        env=_user_env(env, ()),
        volumes=tuple(_volume(text) for text in volumes),
        working_directory=PurePosixPath(workdir) if workdir else None,
        network=network != "none",
    )
    sys.exit(run_image(request, session.store, session.log))


@cli.group("builder")
def builder_group() -> None:
    """The builder: the environment that builds run in, and the base of the images."""


@builder_group.command("create")
@_builder_option
@click.option("--refresh", is_flag=True, help="Make the bases anew, with today's packages.")
@_verbosity_options
def builder_create(builder: Path | None, *, refresh: bool, quiet: bool, verbose: bool) -> None:
    """Make the builder and keep it in pybuild's store; `pybuild build` does so by itself where it is missing."""
    session = _session(quiet=quiet, verbose=verbose)
    definition = read_definition(builder or default_definition_path())
    made = ensure_builder(definition, session.store, session.log, refresh=refresh)
    _print(made.key)


@builder_group.command("inspect")
@_builder_option
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@_verbosity_options
def builder_inspect(builder: Path | None, *, as_json: bool, quiet: bool, verbose: bool) -> None:
    """Print what is in the builder; makes it where it is missing."""
    session = _session(quiet=quiet, verbose=verbose)
    definition = read_definition(builder or default_definition_path())
    description = describe_builder(ensure_builder(definition, session.store, session.log))
    _print(json.dumps(description, indent=2) if as_json else render_description(description))


@cli.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of SHELL; in bash: eval "$(pybuild completion bash)"."""
    shell_class = get_completion_class(shell)
    if shell_class is None:
        raise UsageError(f"there is no completion for `{shell}`")
    _print(shell_class(cli, {}, "pybuild", "_PYBUILD_COMPLETE").source())


def _host_env(channel_alias: str | None) -> Mapping[str, str]:
    """The machine's environment; the option is what conda's own variable for it would be."""
    return os.environ if channel_alias is None else {**os.environ, "CONDA_CHANNEL_ALIAS": channel_alias}


def _output(text: str, tags: tuple[str, ...]) -> Output:
    try:
        return parse_output(text, tags=tags)
    except InvalidValue as err:
        raise UsageError(f"`--output {text}` {err.message}", err.hint or "for example `--output oci:DIR`") from err


def _print(text: str) -> None:
    """Write a result to standard output."""
    try:
        click.echo(text)
    except BrokenPipeError:
        # The reader has gone, as in `pybuild … | head`; nothing can be told it any more, not even by a late flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)


def _user_env(pairs: tuple[str, ...], files: tuple[Path, ...]) -> dict[str, str]:
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


def _env_pair(text: str, where: str) -> dict[str, str]:
    name, equals, value = text.partition("=")
    if not _ENV_NAME.fullmatch(name):
        raise UsageError(f"{where}: `{name}` is not the name of a variable", "write NAME=VALUE")
    if name.startswith("CNB_"):
        raise UsageError(f"{where}: `{name}` belongs to the lifecycle", "names that begin with CNB_ cannot be set")
    if equals:
        return {name: value}
    # As `docker run --env NAME`: taken from the environment, and not set at all where it is not set there.
    return {name: os.environ[name]} if name in os.environ else {}


def _volume(text: str) -> Mount:
    source, _, rest = text.partition(":")
    target, _, mode = rest.partition(":")
    if not target.startswith("/") or mode not in ("", "ro", "rw"):
        raise UsageError(
            f"`--volume {text}` is not DIR:TARGET or DIR:TARGET:ro", "TARGET is an absolute path in the image"
        )
    if not Path(source).exists():
        raise UsageError(f"`--volume {text}`: `{source}` does not exist")
    return Mount(source=Path(source).resolve(), target=PurePosixPath(target), writable=mode != "ro")
