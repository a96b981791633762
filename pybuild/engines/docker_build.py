"""Executes a recipe by the BuildKit of a Docker engine, which is given the images that the recipe names and asks no registry."""

from __future__ import annotations

import io
import re
import secrets
import tarfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from lifecycle.cnb.deadline import Deadline
from lifecycle.cnb.recipe import LOCAL_REGISTRY, RecipeInstruction
from lifecycle.execution.arguments import build_arg_options
from lifecycle.execution.buildkit import BuildKitFollower
from lifecycle.execution.extended_image import triggers_of
from lifecycle.execution.facts import RootfsFacts, find_facts
from lifecycle.execution.narration import Narrator
from lifecycle.execution.steps import Wording, plan_stages
from lifecycle.oci.docker_archive import read_docker_archive
from pybuild.engines.docker_client import DockerClient, find_docker, forget_images, load_image
from pybuild.engines.execution import Executed, Execution
from pybuild.log import Log
from pybuild.run_settings import DIRECTORY, RunSettings, read_inside, write_files

# https://github.com/moby/buildkit/blob/v0.8.0/session/secrets/secrets.go: a larger one is refused
_SECRET_LIMIT = 500 * 1024
# For the engine to forget an image, also when the build's own time is up.
_PATIENCE_S = 30.0
_NAMING = ("FROM", "COPY", "RUN")


def build_with_docker(execution: Execution, log: Log) -> Executed:
    """What the recipe makes.

    Raises:
        lifecycle.execution.errors.InstructionFailed: an instruction failed.
        lifecycle.execution.errors.ExtendError: BuildKit could not execute the recipe.
        pybuild.errors.MachineError: there is no engine that can.
        lifecycle.cnb.command.CommandTimeout: the time is up.
    """
    docker = find_docker(execution.env, execution.deadline)
    execution = replace(_with_names_of_content(execution), settings=_without_large_files(execution.settings, log))
    declared = (" ".join(execution.arguments),) if execution.arguments else ()
    # A name of this build's own: the same Dockerfile gives other builds, which may run now, the same image.
    name = f"{LOCAL_REGISTRY}/result:{secrets.token_hex(16)}"
    image = _build(execution, declared, name, docker, log)
    try:
        forget_images(docker, execution.directory / "docker-bases.json", [one.local for one, _ in execution.images])
        if image == execution.known_image:
            return Executed(image=image, declared=declared)
        return _take(execution, declared, image, name, docker, log)
    finally:
        # What its layers are made of stays in the cache of BuildKit.
        replace(docker, deadline=Deadline.after(_PATIENCE_S)).start("image", "rm", name)


def _take(
    execution: Execution, declared: tuple[str, ...], image: str, name: str, docker: DockerClient, log: Log
) -> Executed:
    """What the engine made, its new layers as blobs."""
    archive = execution.work / "result.tar"
    with log.step("Taking the image from the Docker engine"):
        docker.run("save", "--output", str(archive), name)
        taken = read_docker_archive(archive, None, execution.blobs_dir, known=execution.known_layers)
    facts = _read_facts(docker, name, taken.config.architecture)
    layers = {layer.diff_id: layer for layer in taken.layers if layer.diff_id not in execution.known_layers}
    return Executed(image=image, declared=declared, config=taken.config_bytes, facts=facts, layers=layers)


def _build(execution: Execution, declared: tuple[str, ...], name: str, docker: DockerClient, log: Log) -> str:
    """The engine's id of what it made, under `name`."""
    _load_bases(execution, docker, log)
    recipe, work = execution.recipe, execution.work
    write_files(execution.settings, work / "settings")
    options, env = _options(execution)
    text, origins = recipe.render(arguments=declared, run_flags=_run_flags(execution.settings))
    dockerfile, id_file = work / "Dockerfile", work / "image-id"
    dockerfile.write_text(text, encoding="utf-8", errors="surrogateescape")
    _write_ignore_file(execution, work / "Dockerfile.dockerignore")
    narrator = Narrator(recipe=recipe, wording=Wording.of(recipe), log=log, network=execution.network)
    follower = BuildKitFollower(
        plan_stages(recipe, declared),
        {one.local: triggers_of(image) for one, image in execution.images},
        on_step=narrator.step,
        on_cached=narrator.cached,
        on_line=narrator.line,
    )
    files = ("--tag", name, "--iidfile", str(id_file), "--file", str(dockerfile), str(execution.app_dir))
    client = replace(docker, env={**docker.env, **env})
    result = client.start("build", "--progress", "plain", *options, *files, on_line=follower.feed)
    if result.status != 0:
        unread = follower.parse_error
        if unread is not None and unread[0] <= len(origins):
            raise narrator.syntax_error(origins[unread[0] - 1], unread[1])
        raise narrator.error(follower.failure())
    return id_file.read_text("ascii").strip()


def _options(execution: Execution) -> tuple[list[str], Mapping[str, str]]:
    """Options of the build, and the variables that they refer to."""
    recipe, proxies = execution.recipe, execution.settings.proxies
    arguments, env = build_arg_options(
        {**proxies, **execution.arguments, **recipe.build_args}, {*proxies, *recipe.secret_args}
    )
    directory = execution.work / "settings"
    secret = [f"id={key},src={directory / name}" for key, name in _keys(execution.settings).items()]
    options = [*arguments, *(word for one in secret for word in ("--secret", one))]
    options += ["--target", recipe.target] if recipe.target is not None else []
    # The same network as in the sandbox: proxies and indexes may be this machine's own.
    return [*options, "--network", "host" if execution.network else "none"], env


def _run_flags(settings: RunSettings) -> list[str]:
    return [
        f"--mount=type=secret,id={key},target={DIRECTORY / name},mode=0444" for key, name in _keys(settings).items()
    ]


def _keys(settings: RunSettings) -> dict[str, str]:
    """Names of files by what BuildKit calls them."""
    return {f"pybuild-{number}": name for number, name in enumerate(sorted(settings.files))}


def _with_names_of_content(execution: Execution) -> Execution:
    """The execution with names for its images that say what they are: other builds use the same engine at the same time."""
    names = {one.local: f"{LOCAL_REGISTRY}/base:{image.id.hex}" for one, image in execution.images}
    if not names:
        return execution
    pattern = re.compile("|".join(rf"{re.escape(name)}(?![\w./:@-])" for name in names))

    def rename(instruction: RecipeInstruction) -> RecipeInstruction:
        if instruction.keyword not in _NAMING:
            return instruction
        return replace(instruction, text=pattern.sub(lambda found: names[found[0]], instruction.text))

    images = tuple((replace(one, local=names[one.local]), image) for one, image in execution.images)
    recipe = replace(
        execution.recipe,
        instructions=tuple(rename(one) for one in execution.recipe.instructions),
        images=tuple(one for one, _ in images),
    )
    return replace(execution, recipe=recipe, images=images)


def _without_large_files(settings: RunSettings, log: Log) -> RunSettings:
    large = [str(DIRECTORY / name) for name, content in settings.files.items() if len(content) > _SECRET_LIMIT]
    if not large:
        return settings
    without = {name for name, value in settings.variables.items() if any(path in value.split() for path in large)}
    log.notice(
        f"commands of the Dockerfile do not have {', '.join(sorted(without))}: a file of more than {_SECRET_LIMIT // 1024} KiB "
        "cannot be given to the Docker engine"
    )
    return replace(
        settings,
        files={name: content for name, content in settings.files.items() if str(DIRECTORY / name) not in large},
        variables={name: value for name, value in settings.variables.items() if name not in without},
    )


def _load_bases(execution: Execution, docker: DockerClient, log: Log) -> None:
    """Give the engine the images that it has not. They stay there for the next build, and for other applications."""
    for one, image in execution.images:
        if docker.image_id(one.local) is None:
            with log.step(f"Loading {one.written} into the Docker engine"):
                load_image(docker, image, one.local, execution.work / "base.tar")


def _write_ignore_file(execution: Execution, path: Path) -> None:
    """The ignore file that belongs to the Dockerfile; one without a pattern where the application has none."""
    name = execution.recipe.ignore_file
    path.write_bytes(b"# nothing\n" if name is None else read_inside(execution.app_dir, name))


def _read_facts(docker: DockerClient, image: str, architecture: str) -> RootfsFacts:
    container = docker.run("create", image, "true").strip()
    try:
        # To read a file, the engine mounts the image's layers and takes them down again.
        return find_facts(lambda path: _read_file(docker, container, path), architecture)
    finally:
        docker.start("rm", "--force", container)


def _read_file(docker: DockerClient, container: str, path: str) -> bytes | None:
    content = docker.read("cp", "--follow-link", f"{container}:/{path}", "-")
    if content is None:
        return None
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        member = archive.next()
        stream = archive.extractfile(member) if member is not None and member.isfile() else None
        return None if stream is None else stream.read()
