"""The command line: `pybuild build`, `detect`, `fix`, `run`, `check`, `builder`, `completion`."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path, PurePosixPath

import click
from click.shell_completion import get_completion_class

from lifecycle.cnb.errors import InvalidValue
from lifecycle.cnb.toml import write_atomically
from lifecycle.detection import render_detection
from lifecycle.exporters import Output, parse_output
from pybuild import __version__
from pybuild.build import build_image, detect_repository, find_fixes
from pybuild.builder import (
    Definition,
    default_definition_path,
    describe_builder,
    ensure_builder,
    read_definition,
    render_description,
)
from pybuild.check import CheckRequest, Profile, ProfileNotMet, UnknownProfile, check_image, describe_report
from pybuild.engines.sandbox import Mount
from pybuild.errors import UsageError
from pybuild.fix import write_fixes
from pybuild.image_location import LOCATIONS, open_image
from pybuild.options import (
    Duration,
    Selection,
    Session,
    builder_option,
    insecure_registry_option,
    read_user_env,
    selection_options,
    session_options,
)
from pybuild.report import describe_detection, render_report
from pybuild.run import RunRequest, run_image


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="pybuild")
def cli() -> None:
    """Turn a code repository into an OCI image that runs it."""


@cli.command()
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
@selection_options
@session_options
def build(
    selection: Selection,
    session: Session,
    outputs: tuple[str, ...],
    tags: tuple[str, ...],
    report: Path | None,
    *,
    refresh: bool,
) -> None:
    """Build an image from REPOSITORY: a directory, a git URL (with #ref:subdirectory) or an archive.

    The result, one line for each output with the digest, goes to standard output.
    """  # fmt: skip
    request = selection.request(outputs=tuple(_output(text, tags) for text in outputs), refresh=refresh)
    result = build_image(request, session.store, selection.host_env, session.log)
    if report is not None:
        _write_report(report, (json.dumps(result.to_json(), indent=2) + "\n").encode())
    for line in render_report(result):
        session.log.info(line)
    for output in result.outputs:
        _print(output)


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print the detection as JSON.")
@selection_options
@session_options
def detect(
    selection: Selection,
    session: Session,
    *,
    as_json: bool,
) -> None:
    """Say which buildpacks would build REPOSITORY, and why the others would not."""
    detection = detect_repository(selection.request(), session.store, selection.host_env, session.log)
    if as_json:
        _print(json.dumps(json.loads(render_detection(detection)), indent=2))
    else:
        for line in describe_detection(detection):
            _print(line)
    if detection.group is None:
        raise detection.error(app_dir=Path(selection.repository))


@cli.command()
@click.option("--diff", "diff_only", is_flag=True, help="Print the patch to standard output, and change nothing.")
@selection_options
@session_options
def fix(
    selection: Selection,
    session: Session,
    *,
    diff_only: bool,
) -> None:
    """Correct the files of REPOSITORY, a directory, that keep it from being built, where no decision is needed for it.

    The changes are shown as a patch; the names of the changed files go to standard output.
    """  # fmt: skip
    fixes = find_fixes(selection.request(), session.store, selection.host_env, session.log)
    if not fixes:
        session.log.info(f"nothing to correct in {selection.repository}")
    for found in fixes:
        if diff_only:
            sys.stdout.buffer.write(found.patch())
            continue
        for line in found.patch().decode("utf-8", "replace").splitlines():
            session.log.info(line)
    if diff_only:
        return
    write_fixes(Path(selection.repository), fixes)
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
@insecure_registry_option
@session_options
def run(
    session: Session,
    image: str,
    command: tuple[str, ...],
    env: tuple[str, ...],
    volumes: tuple[str, ...],
    entrypoint: str | None,
    workdir: str | None,
    network: str,
    insecure_registries: tuple[str, ...],
) -> None:
    """Run IMAGE (for example oci:DIR or docker://NAME) in a sandbox, as its own user: pybuild run IMAGE -- COMMAND.

    What the command writes inside the image is thrown away at its end.
    """
    request = RunRequest(
        location=image,
        command=command,
        entrypoint=entrypoint,
        env=read_user_env(env, ()),
        volumes=tuple(_volume(text) for text in volumes),
        working_directory=PurePosixPath(workdir) if workdir else None,
        network=network != "none",
        insecure_registries=insecure_registries,
    )
    sys.exit(run_image(request, session.store, session.log))


@cli.command(
    help=f"""Try whether IMAGE has what a profile asks for, by running it in a sandbox: python, pip, programs.

    IMAGE is {LOCATIONS}. The table of what holds and what does not goes to standard output; the exit code is 0 where all holds.
    """
)
@click.argument("image")
@click.option(
    "--profile",
    "name",
    metavar="NAME",
    help="`deepnote`, or one that the builder.toml defines; without it the one that the builder requires.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
@click.option("--timeout", type=Duration(), default="60s", show_default=True, help="Time limit of each program.")
@builder_option
@insecure_registry_option
@session_options
def check(
    session: Session,
    image: str,
    name: str | None,
    timeout: float,
    builder: Path | None,
    insecure_registries: tuple[str, ...],
    *,
    as_json: bool,
) -> None:
    """Try whether IMAGE has what a profile asks for."""
    profile = _find_profile(read_definition(builder or default_definition_path()), name)
    with open_image(image, session.store, session.log, insecure=insecure_registries) as opened:
        request = CheckRequest(image=opened, profile=profile, timeout_s=timeout)
        report = check_image(request, session.store, session.log)
    if as_json:
        _print(json.dumps(report.to_json(), indent=2))
    else:
        for line in describe_report(report):
            _print(line)
    if not report.holds:
        raise ProfileNotMet(location=image, report=report)


@cli.group("builder")
def builder_group() -> None:
    """The builder: the environment that builds run in, and the base of the images."""


@builder_group.command("create")
@builder_option
@click.option("--refresh", is_flag=True, help="Make the bases anew, with today's packages.")
@session_options
def builder_create(session: Session, builder: Path | None, *, refresh: bool) -> None:
    """Make the builder and keep it in pybuild's store; `pybuild build` does so by itself where it is missing."""
    definition = read_definition(builder or default_definition_path())
    made = ensure_builder(definition, session.store, session.log, refresh=refresh)
    _print(made.key)


@builder_group.command("inspect")
@builder_option
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@session_options
def builder_inspect(session: Session, builder: Path | None, *, as_json: bool) -> None:
    """Print what is in the builder; makes it where it is missing."""
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


def _find_profile(definition: Definition, name: str | None) -> Profile:
    if name is not None and name not in definition.profiles:
        raise UnknownProfile(name, sorted(definition.profiles))
    found = definition.required_profile if name is None else definition.profiles[name]
    if found is None:
        known = ", ".join(f"`{one}`" for one in sorted(definition.profiles))
        raise UsageError(
            "no profile is named, and the builder requires none", f"give `--profile NAME`; known are {known}"
        )
    return found


def _write_report(path: Path, content: bytes) -> None:
    if path.exists() and not path.is_file():
        # A pipe or a device, such as /dev/stdout, is written to; a file beside it must not take its place.
        path.write_bytes(content)
    else:
        write_atomically(path, content)


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
