"""The recipe as other lifecycles want it: the output of a CNB image extension (image_extension.md, "Generation").

https://github.com/buildpacks/spec/blob/main/image_extension.md
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from buildpacks.dockerfile.arguments import split_arguments
from buildpacks.dockerfile.errors import Problem
from buildpacks.dockerfile.evaluate import Evaluation, Problems
from buildpacks.dockerfile.lower import Lowered
from lifecycle.cnb.recipe import Recipe, RecipeInstruction
from lifecycle.cnb.toml import write_atomically, write_toml

DOCKERFILE = "run.Dockerfile"
CONFIGURATION = "extend-config.toml"
_ROOT = ("root", "0")


def check_extension(evaluation: Evaluation, lowered: Lowered, *, path: str) -> tuple[Problem, ...]:
    """Return what an image extension cannot do."""
    problems = Problems(path=path)
    for stage in evaluation.stages[:-1]:
        message = "the image that is built needs this stage, and other lifecycles take only one"
        problems.add(stage.origin.line, "unsupported", message, "keep one `FROM`, or build with pybuild", "FROM")
    for stage in evaluation.stages:
        for one in stage.instructions:
            if one.keyword in ("ADD", "COPY") and one.heredocs and lowered.files:
                message = f"`{one.keyword}` with a here-document cannot be handed to other lifecycles"
                problems.add(one.line, "unsupported", message, "commit the file, or build with pybuild", one.keyword)
    return problems.found


def write_extension(output_dir: Path, recipe: Recipe) -> None:
    """Write `run.Dockerfile`, and the build arguments beside it."""
    text, _ = recipe.render()
    write_atomically(output_dir / DOCKERFILE, f"{text}{_final_user(recipe.instructions)}".encode())
    if recipe.build_args:
        write_toml(output_dir / CONFIGURATION, {"run": {"args": _arguments(recipe.build_args)}})


def _arguments(build_args: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in build_args.items()]


def _final_user(instructions: tuple[RecipeInstruction, ...]) -> str:
    """Lifecycles refuse an image that runs as root; its layers belong to the user that this program is run as."""
    users = [split_arguments(one.text)[1] for one in instructions if one.keyword == "USER"]
    is_root = not users or users[-1].partition(":")[0] in _ROOT
    return f"USER {os.getuid()}:{os.getgid()}\n" if is_root and os.getuid() != 0 else ""
