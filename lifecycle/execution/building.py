"""Lets buildah execute one recipe on images that its storage has, and tells of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lifecycle.cnb.recipe import Recipe
from lifecycle.execution.arguments import build_arg_options
from lifecycle.execution.buildah import Buildah
from lifecycle.execution.following import Follower
from lifecycle.execution.narration import Narrator
from lifecycle.execution.steps import Wording, plan_stages
from lifecycle.log import PhaseLog


@dataclass(frozen=True, slots=True, kw_only=True)
class Workbench:
    """What recipes are executed with, one after the other."""

    buildah: Buildah
    scratch_dir: Path
    env: Mapping[str, str]
    network: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What buildah made: the id of the image, and beginnings of the ids of all that were used."""

    image: str
    used: tuple[str, ...]


def build_recipe(
    bench: Workbench,
    recipe: Recipe,
    context: Path,
    declared: tuple[str, ...],
    arguments: Mapping[str, str],
    log: PhaseLog,
) -> Built:
    """Return what the recipe makes. `declared` is what every stage declares as `ARG` beside its own, `arguments` their values.

    Raises:
        InstructionFailed: an instruction failed.
        ExtendError: buildah could not do its work.
    """
    text, _ = recipe.render(arguments=declared)
    dockerfile = bench.scratch_dir / "Dockerfile"
    dockerfile.write_text(text, encoding="utf-8", errors="surrogateescape")
    id_file = bench.scratch_dir / "image-id"
    options, env = build_arg_options({**arguments, **recipe.build_args}, recipe.secret_args)
    if recipe.target is not None:
        options += ("--target", recipe.target)
    if recipe.ignore_file is not None:
        options += ("--ignorefile", str(context / recipe.ignore_file))
    narrator = Narrator(recipe=recipe, wording=Wording.of(recipe), log=log, network=bench.network)
    follower = Follower(
        plan_stages(recipe, declared), on_step=narrator.step, on_cached=narrator.cached, on_line=narrator.line
    )
    command = (*options, "--iidfile", str(id_file), "--file", str(dockerfile), str(context))
    result = bench.buildah.build(command, follower.feed, {**env, **_proxies(bench.env)})
    if result.status != 0:
        raise narrator.error(follower.failure())
    return Built(image=id_file.read_text("ascii").strip().removeprefix("sha256:"), used=tuple(follower.used))


def _proxies(env: Mapping[str, str]) -> dict[str, str]:
    """What buildah hands to commands by itself (`--http-proxy`), and keeps out of history and cache."""
    return {name: value for name, value in env.items() if name.lower().endswith("_proxy")}
