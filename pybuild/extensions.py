"""Image extensions in a build of pybuild: the run image that they choose, and what they change of it and of the build image.

The Dockerfiles were generated in the sandbox, where code of the repository may have run; they are read, and executed, as those of
applications are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from lifecycle.analyze import RunImage
from lifecycle.cnb.analyzed import read_analyzed
from lifecycle.cnb.api import PLATFORM_APIS
from lifecycle.cnb.generated import Generated, Kind, read_generated
from lifecycle.cnb.group import Group
from lifecycle.cnb.reference import Reference
from lifecycle.execution.extensions import finish_run_image, make_recipe, says_rebasable
from lifecycle.oci.image import Image
from pybuild.build_image import BuildImage, builder_image, keep_build_image, open_blobs
from pybuild.clock import Clock
from pybuild.environment import BuildEnvironment
from pybuild.errors import SettingsError
from pybuild.extend import extend_image
from pybuild.run_image import Kitchen, describe_image

_API = PLATFORM_APIS[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenRunImage:
    """The run image that the extensions of a group want."""

    name: str
    base: Image
    """Before any of them has changed it."""
    image: Image
    origin: str | None
    """Where it was; `None`: it is the builder's."""

    def as_run_image(self) -> RunImage:
        """Return what the analyze phase has to know of it."""
        reference = f"{Reference.parse(self.name).name}@{self.base.digest}"
        return describe_image(self.base, name=self.name, reference=reference, labels=self.image.config.labels)


def choose_run_image(kitchen: Kitchen, group: Group, clock: Clock) -> ChosenRunImage:
    """The run image of `group`, which has extensions.

    Raises:
        lifecycle.cnb.errors.CnbError: an image cannot be had or is not allowed, or an instruction failed.
    """
    environment = kitchen.environment
    generated_dir = environment.layers_dir / "generated"
    wanted = read_analyzed(environment.layers_dir / "analyzed.toml", follow_links=False).run_image
    builder = environment.builder
    if wanted is None or wanted.image == builder.run_image_name:
        chosen = ChosenRunImage(
            name=builder.run_image_name, base=builder.run_image, image=builder.run_image, origin=None
        )
    else:
        with clock.phase("bases"), kitchen.open_bases(clock.log) as bases:
            found = bases.fetch(wanted.image)
            clock.log.info(f"{found.name} is {found.digest}, from {found.origin}")
        chosen = ChosenRunImage(name=wanted.image, base=found.image, image=found.image, origin=found.origin)
    generated = read_generated(generated_dir, group.extensions, Kind.RUN, _API)
    if wanted is None or not wanted.extend or not generated:
        return chosen
    with clock.phase("extend"):
        *_, image = images = _extend(kitchen, chosen.base, generated, clock)
        is_rebasable = all(says_rebasable(one) for one in images)
        return replace(chosen, image=finish_run_image(image, generated, is_rebasable=is_rebasable))


def extend_build_image(kitchen: Kitchen, group: Group, clock: Clock) -> BuildImage | None:
    """What the extensions of `group` make of the build image; `None` where they leave it as it is.

    Raises:
        lifecycle.cnb.errors.CnbError: an instruction failed.
    """
    generated = read_generated(kitchen.environment.layers_dir / "generated", group.extensions, Kind.BUILD, _API)
    changing = tuple(one for one in generated if one.dockerfile.extends)
    if not changing:
        return None
    with clock.phase("extend"):
        *_, image = _extend(kitchen, builder_image(kitchen.environment.builder), changing, clock)
        return keep_build_image(image, _build_image_dir(kitchen), clock.log, deadline=clock.deadline)


def refuse_extensions(environment: BuildEnvironment, group: Group) -> None:
    """Raise `SettingsError` where extensions want something of an image that a Dockerfile of the repository makes."""
    for one in read_generated(environment.layers_dir / "generated", group.extensions, Kind.RUN, _API):
        raise SettingsError(
            f"a Dockerfile of the repository makes the run image, and the image extension `{one.extension}` has one as well",
            "build with other buildpacks (`--buildpack`), or with a builder without this extension",
        )


def _extend(kitchen: Kitchen, image: Image, generated: tuple[Generated, ...], clock: Clock) -> tuple[Image, ...]:
    """What each of the Dockerfiles makes of what the one before has made."""
    made = []
    for one in generated:
        # The name decides what an engine that has it already takes.
        recipe = make_recipe(one, f"extended/{image.id.hex[:32]}", image)
        order = kitchen.order(recipe, [(recipe.images[0], image)])
        order = replace(order, app_dir=one.context or order.app_dir)
        if one.kind is Kind.RUN:
            request = replace(
                order, directory=order.directory / f"by-{one.extension.directory_name}", is_normalized=True
            )
        else:
            directory = _build_image_dir(kitchen)
            # Its layers are in no image of the application.
            request = replace(
                order, directory=directory / f"by-{one.extension.directory_name}", blobs_dir=open_blobs(directory)
            )
        image = extend_image(request, clock.log).image
        made.append(image)
    return tuple(made)


def _build_image_dir(kitchen: Kitchen) -> Path:
    return kitchen.application.extension / "build-image"
