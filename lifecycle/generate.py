"""The generate phase: image extensions say how build and run image are to be changed (platform.md, "generator"; image_extension.md,
"Generation"). A part of the program `detector`, as the contract has it.

Reads group and plan; runs the `bin/generate` of each extension, which leaves Dockerfiles in `<generated>/<extension>`. What these say of
the run image becomes a part of analyzed.toml.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lifecycle.catalogue import read_extension
from lifecycle.cnb.analyzed import Analyzed, AnalyzedRunImage
from lifecycle.cnb.api import ApiVersion
from lifecycle.cnb.buildpack import Descriptor
from lifecycle.cnb.errors import ConfigurationError
from lifecycle.cnb.generated import (
    CONFIGURATION,
    DIRECTORY_API,
    IGNORED_SUFFIX,
    Generated,
    Kind,
    dockerfile_path,
    read_generated,
)
from lifecycle.cnb.group import Group, GroupElement
from lifecycle.cnb.layer import remove_tree
from lifecycle.cnb.plan import ResolvedPlan
from lifecycle.errors import GenerateOutputError
from lifecycle.log import PhaseLog
from lifecycle.programs import Surroundings, has_program, run_generate_program


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateRequest:
    """What the phase needs. `env` is what the lifecycle passes on of its own environment."""

    group: Group
    plan: ResolvedPlan
    analyzed: Analyzed
    run_images: tuple[str, ...]
    """The names that run.toml has."""
    extensions_dir: Path
    generated_dir: Path
    surroundings: Surroundings
    env: Mapping[str, str]
    platform_api: ApiVersion


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateResult:
    """What is left for the phases after this one: `plan` without what extensions provide, and the run image as they want it."""

    plan: ResolvedPlan
    analyzed: Analyzed


def generate(request: GenerateRequest, log: PhaseLog) -> GenerateResult:
    """Run the extensions of the group, in its order.

    Raises `GenerateFailed` when one gives up (no later one runs), `GenerateOutputError` when what it left is not what the contract
    allows, and what `read_extension` raises.
    """
    plan = request.plan
    for extension in request.group.extensions:
        plan = _run_extension(extension, plan, request, log)
    if request.group.extensions:
        generated = _read_all(Kind.RUN, request)
        for one in (*_read_all(Kind.BUILD, request), *generated):
            _warn(one, log)
        run_image = _choose_run_image(generated, request, log)
        return GenerateResult(plan=plan, analyzed=replace(request.analyzed, run_image=run_image))
    return GenerateResult(plan=plan, analyzed=request.analyzed)


def _run_extension(
    extension: GroupElement, plan: ResolvedPlan, request: GenerateRequest, log: PhaseLog
) -> ResolvedPlan:
    """The plan that is left: all that the extension provides counts as met."""
    descriptor = read_extension(extension, request.extensions_dir)
    entries = plan.entries_for(extension.id, is_extension=True)
    log.info(f"---> {descriptor.id} {descriptor.version}")
    with tempfile.TemporaryDirectory(prefix="generated-") as scratch:
        output_dir = Path(scratch)
        if request.platform_api >= DIRECTORY_API:
            output_dir = request.generated_dir / extension.id.directory_name
            remove_tree(output_dir)
            output_dir.mkdir(parents=True)
        if has_program(descriptor, "generate"):
            run_generate_program(
                descriptor, request.surroundings, request.env, {}, output_dir=output_dir, plan=entries, on_line=log.info
            )
        else:
            _copy_static(descriptor, output_dir)
        if request.platform_api < DIRECTORY_API:
            _sort_by_kind(output_dir, extension, request)
    return plan.without(frozenset(entry.name for entry in entries))


def _copy_static(descriptor: Descriptor, output_dir: Path) -> None:
    """What the extension has in the place of a program; the phases after this one look for it where programs write, and follow no links."""
    static = descriptor.directory / "generate"
    if static.is_dir():
        shutil.copytree(static, output_dir, ignore_dangling_symlinks=True, dirs_exist_ok=True)


def _sort_by_kind(output_dir: Path, extension: GroupElement, request: GenerateRequest) -> None:
    """Put the files where platforms look for them that speak an older version of the Platform API."""
    for kind in Kind:
        path = dockerfile_path(request.generated_dir, extension.id, kind, request.platform_api)
        remove_tree(path.parent)
        source = output_dir / f"{kind.value}.Dockerfile"
        if source.exists():
            path.parent.mkdir(parents=True)
            shutil.copyfile(source, path)
            if (output_dir / CONFIGURATION).exists():
                shutil.copyfile(output_dir / CONFIGURATION, path.with_name(CONFIGURATION))


def _read_all(kind: Kind, request: GenerateRequest) -> tuple[Generated, ...]:
    found: list[Generated] = []
    for extension in request.group.extensions:
        try:
            found += read_generated(request.generated_dir, (extension,), kind, request.platform_api)
        except ConfigurationError as err:
            raise GenerateOutputError(extension=extension.id, message=err.summary, advice=err.advice) from err
    return tuple(found)


def _warn(generated: Generated, log: PhaseLog) -> None:
    for one in generated.dockerfile.unexpected:
        place = f"{generated.extension}: {generated.dockerfile.path.name}:{one.line}"
        log.warning(f"warning: {place}: `{one.keyword}` is nothing that image extensions should use")


def _choose_run_image(
    generated: Sequence[Generated], request: GenerateRequest, log: PhaseLog
) -> AnalyzedRunImage | None:
    """The run image that the Dockerfiles want, and whether anything is to be executed on it.

    The last one that names an image decides; those before it have nothing to extend, and get another name.
    """
    run_image = request.analyzed.run_image
    switches = [number for number, one in enumerate(generated) if one.dockerfile.base is not None]
    last = switches[-1] if switches else 0
    for one in generated[:last]:
        path = one.dockerfile.path
        path.rename(path.with_name(f"{path.name}{IGNORED_SUFFIX}"))
    if switches:
        name = generated[last].dockerfile.base or ""
        if run_image is None or name != run_image.image:
            log.info(f"{generated[last].extension} takes `{name}` as the run image")
            if name not in request.run_images:
                log.warning(f"warning: run image `{name}` is not in run.toml: it may not fit what is built")
            # What it is made for is known when it has been looked up.
            run_image = AnalyzedRunImage(reference=name, image=name)
    if run_image is None:
        return None
    return replace(run_image, extend=any(one.dockerfile.extends for one in generated[last:]))
