"""Generate: the Dockerfile is read, checked and put in words that every builder understands. Nothing of it runs here.

All problems are told at once, before an image is fetched. Specification: image_extension.md, "Generation".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from buildpacks.dockerfile.arguments import InvalidWord, Pair, split_build_args
from buildpacks.dockerfile.errors import InvalidDockerfile, Problem, in_order
from buildpacks.dockerfile.evaluate import Evaluation, evaluate, platform_args
from buildpacks.dockerfile.extension import check_extension, write_extension
from buildpacks.dockerfile.instruction import Dockerfile
from buildpacks.dockerfile.location import (
    FILE_VARIABLE,
    explain_absence,
    find_dockerfile,
    read_dockerfile,
    read_file_name,
)
from buildpacks.dockerfile.lower import Lowered, lower
from buildpacks.dockerfile.parser import parse_dockerfile
from buildpacks.dockerfile.policy import check_policy
from buildpacks.dockerfile.secret_values import is_secret
from buildpacks.dockerfile.settings import TARGET_VARIABLE, Settings, read_settings
from buildpacks.dockerfile.user_managed import SWITCH_VARIABLE, read_user_managed
from buildpacks.dockerfile.warnings import find_warnings
from buildpacks.installer.errors import InvalidSetting, Origin
from lifecycle.cnb.kit import GenerateContext
from lifecycle.cnb.recipe import ImageFacts, Recipe, read_image_facts, write_recipe

_IGNORE_FILE = ".dockerignore"
# https://docs.docker.com/reference/dockerfile/#predefined-args: given without being declared
_PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")
_PREDEFINED = frozenset((*_PROXIES, *map(str.upper, _PROXIES)))


def generate(context: GenerateContext) -> None:
    """Write the recipe, or what an image extension writes.

    Raises `InvalidDockerfile`, `InvalidSetting`, and `ConfigurationError` for a file that cannot be read.
    """
    settings = read_settings(context.env)
    is_user_managed = read_user_managed(context.env).is_on
    if is_user_managed and not context.whole_image:
        allowed = (
            "`false` where other buildpacks install packages on the image, or build with `--buildpack dockerfile` alone"
        )
        raise InvalidSetting(variable=SWITCH_VARIABLE, value="true", allowed=allowed)
    dockerfile = _read(context, settings)
    facts = {} if context.images_path is None else read_image_facts(context.images_path)
    if context.images_path is None:
        # The second time it has been said.
        _warn(context, settings, dockerfile)
    evaluation, lowered = _evaluate(context, settings, dockerfile, facts)
    recipe = Recipe(
        dockerfile=settings.file,
        ignore_file=_find_ignore_file(context.app_dir, settings.file),
        instructions=lowered.instructions,
        images=evaluation.images,
        files=lowered.files,
        # Those that the file does not declare may be declared by a trigger (`ONBUILD ARG`) of its base.
        build_args={**_platform_of_image(context, dockerfile), **settings.build_args},
        target=evaluation.stages[-1].name,
        secret_args=_find_secrets(settings, dockerfile),
        awaits_images=lowered.awaits_images and context.images_path is None,
        whole_image=context.whole_image and not is_user_managed,
    )
    if context.recipe_path is None:
        write_extension(context.output_dir, recipe)
    else:
        write_recipe(context.recipe_path, recipe)


def _read(context: GenerateContext, settings: Settings) -> Dockerfile:
    name = read_file_name(context.env)
    location = find_dockerfile(context.app_dir, name)
    if location is None:
        problem = Problem(
            origin=Origin(file=settings.file),
            kind="file",
            message=explain_absence(context.app_dir, name),
            change=f"commit it, or name another with `{FILE_VARIABLE}`",
        )
        raise InvalidDockerfile(problems=(problem,))
    dockerfile, problems = parse_dockerfile(read_dockerfile(location), path=settings.file)
    if problems:
        # What the policy says of it is told too; what its variables stand for cannot be known.
        problems += check_policy(dockerfile, settings.policy)
        raise InvalidDockerfile(problems=in_order(problems))
    return dockerfile


def _warn(context: GenerateContext, settings: Settings, dockerfile: Dockerfile) -> None:
    for advice in find_warnings(
        dockerfile, target=context.target, build_args=settings.build_args, has_constraints=settings.has_constraints
    ):
        context.say(f"{advice.level}: {advice.text}")
    declared = set(_declared(dockerfile)) | _PREDEFINED | platform_args(context.target).keys()
    for name in settings.build_args:
        if name not in declared:
            context.warning(
                f"{settings.file}: the build argument `{name}` has no effect: no `ARG {name}` declares it, unless the base does"
            )


def _evaluate(
    context: GenerateContext, settings: Settings, dockerfile: Dockerfile, facts: Mapping[str, ImageFacts]
) -> tuple[Evaluation, Lowered]:
    is_extension = context.recipe_path is None
    evaluation, wrong = evaluate(
        dockerfile, build_args=settings.build_args, target=context.target, stage_name=settings.target
    )
    if settings.target is not None and not evaluation.stages:
        names = ", ".join(f"`{name}`" for name in evaluation.stage_names)
        allowed = (
            f"a stage of {settings.file}: {names}" if names else f"nothing: no stage of {settings.file} has a name"
        )
        raise InvalidSetting(variable=TARGET_VARIABLE, value=settings.target, allowed=allowed)
    lowered, impossible = lower(
        dockerfile,
        evaluation,
        build_args=settings.build_args,
        facts=facts,
        image_name=lambda image: image.name if is_extension else image.local,
    )
    problems = (*check_policy(dockerfile, settings.policy), *wrong, *impossible)
    if is_extension:
        problems += check_extension(evaluation, lowered, path=settings.file)
    if problems:
        raise InvalidDockerfile(problems=in_order(tuple(dict.fromkeys(problems))))
    return evaluation, lowered


def _platform_of_image(context: GenerateContext, dockerfile: Dockerfile) -> Mapping[str, str]:
    """What `ARG TARGETARCH` and its like stand for in a stage, where whoever executes it would say its own machine."""
    if not context.target.is_foreign:
        return {}
    declared = frozenset(_declared(dockerfile))
    known = platform_args(context.target).items()
    return {name: value for name, value in known if name.startswith("TARGET") and name in declared}


def _pairs(dockerfile: Dockerfile) -> Iterator[Pair]:
    for instruction in dockerfile.instructions:
        if instruction.keyword == "ARG":
            try:
                yield from split_build_args(instruction.rest, escape=dockerfile.escape)
            except InvalidWord:
                continue


def _declared(dockerfile: Dockerfile) -> Iterator[str]:
    return (pair.name for pair in _pairs(dockerfile))


def _find_secrets(settings: Settings, dockerfile: Dockerfile) -> tuple[str, ...]:
    """The build arguments whose values nobody should read in a log."""
    values = [(pair.name, settings.build_args.get(pair.name, pair.value)) for pair in _pairs(dockerfile)]
    found = {name for name, value in (*values, *settings.build_args.items()) if is_secret(name, value)}
    return tuple(sorted(found))


def _find_ignore_file(app_dir: Path, dockerfile: str) -> str | None:
    """What says what stays out of the context: a file beside the Dockerfile, named after it, comes before the usual one
    (https://docs.docker.com/build/concepts/context/#filename-and-location). Raises `InvalidDockerfile`.
    """
    for name in (f"{dockerfile}{_IGNORE_FILE}", _IGNORE_FILE):
        path = app_dir / name
        if not path.is_symlink() and not path.exists():
            continue
        target = path.resolve()
        if target.is_relative_to(app_dir.resolve()) and target.is_file():
            return name
        problem = Problem(
            origin=Origin(file=name),
            kind="file",
            message="is no regular file of the repository",
            change="commit the file itself, or remove it",
        )
        raise InvalidDockerfile(problems=(problem,))
    return None
