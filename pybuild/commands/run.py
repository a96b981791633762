"""`pybuild run`: runs an image without an engine."""

from __future__ import annotations

import sys
from pathlib import Path, PurePosixPath

import click

from pybuild.commands.options import Session, insecure_registry_option, read_user_env, session_options
from pybuild.engines.sandbox import Mount
from pybuild.errors import UsageError
from pybuild.run import RunRequest, run_image


@click.command()
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
    sys.exit(run_image(request, session.site()))


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
