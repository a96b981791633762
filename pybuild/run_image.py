"""The run image of one build: the builder's own, or what a Dockerfile of the application makes."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lifecycle.analyze import RunImage
from lifecycle.app_layers import ExportedLayer
from lifecycle.cnb.errors import ConfigurationError
from lifecycle.cnb.group import Group
from lifecycle.cnb.labels import DISTRO_NAME_LABEL, DISTRO_VERSION_LABEL, LifecycleMetadata
from lifecycle.cnb.recipe import ImageFacts, Recipe, RecipeImage
from lifecycle.execution.facts import RootfsFacts, read_facts
from lifecycle.export import ExportedImage
from lifecycle.oci.image import Image
from pybuild.base_images import BaseImages, FetchedImage
from pybuild.builder import Builder
from pybuild.clock import Clock
from pybuild.engines import Engine
from pybuild.environment import BuildEnvironment
from pybuild.errors import SettingsError
from pybuild.extend import ExtendRequest, extend_image
from pybuild.image_store import ImageStore, open_client
from pybuild.last_image import last_image_blobs
from pybuild.log import Log
from pybuild.store import Application

_CONSTRAINTS_VARIABLE = "BP_PIP_CONSTRAINTS"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSettings:
    """How the images of a Dockerfile are had, and where it is executed, as all of the build is."""

    engine: Engine = Engine.SANDBOX
    bases: Mapping[str, str] = field(default_factory=dict)
    """Location by name, both spelled out; before what the builder says."""
    insecure_registries: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeImage:
    """What a Dockerfile made. `bases` are the images that it took."""

    recipe: Recipe
    image: Image
    facts: RootfsFacts
    bases: tuple[FetchedImage, ...]
    known: frozenset[str]
    """Diff ids that were there before: of the bases, and of the last image."""

    def as_run_image(self) -> RunImage:
        """Return what the analyze phase has to know of it. It has no name that another image could be found by."""
        distribution = {
            DISTRO_NAME_LABEL: self.facts.distro_name or "",
            DISTRO_VERSION_LABEL: self.facts.distro_version or "",
        }
        labels = {**self.image.config.labels, **distribution}
        return describe_image(self.image, name="", reference=str(self.image.digest), labels=labels)

    def as_exported(self) -> ExportedImage:
        """Return the whole image of the application, which it is as it stands."""
        origins = [entry.created_by for entry in self.image.config.history if not entry.empty_layer]
        layers = tuple(
            ExportedLayer(
                name=_shorten(origin or "layer"),
                diff_id=layer.diff_id,
                digest=layer.descriptor.digest,
                size=layer.descriptor.size,
                is_reused=str(layer.diff_id) in self.known,
                seconds=0.0,
            )
            # As many as there are layers, or fewer where nobody knows.
            for layer, origin in itertools.zip_longest(self.image.layers, origins[: len(self.image.layers)])
        )
        return ExportedImage(image=self.image, layers=layers, metadata=LifecycleMetadata())


def builder_run_image(builder: Builder) -> RunImage:
    """What the analyze phase has to know of the builder's own."""
    image = builder.run_image
    return describe_image(
        image, name=builder.run_image_name, reference=builder.run_image_reference, labels=image.config.labels
    )


def describe_image(image: Image, *, name: str, reference: str, labels: Mapping[str, str]) -> RunImage:
    """Return what the analyze phase has to know of an image."""
    return RunImage(
        name=name,
        reference=reference,
        os=image.config.os,
        architecture=image.config.architecture,
        variant=image.config.variant,
        labels=labels,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Kitchen:
    """What recipes are executed with."""

    environment: BuildEnvironment
    application: Application
    store: Path
    settings: ImageSettings
    user_env: Mapping[str, str]
    host_env: Mapping[str, str]

    def make(self, group: Group, previous: Image | None, clock: Clock) -> MadeImage:
        """What the recipe of `group` makes.

        Raises:
            lifecycle.cnb.errors.CnbError: there is no recipe, an image cannot be had or is not allowed, an instruction failed, or
                other buildpacks could not stand on what it made.
        """
        with clock.phase("generate"):
            recipe = self.environment.run_generate(group, clock.log)
        with clock.phase("bases"):
            bases = self._fetch(recipe, clock)
            if recipe.awaits_images:
                recipe = self._ask_again(recipe, bases, group, clock.log)
        with clock.phase("extend"):
            images = tuple(zip(recipe.images, (base.image for base in bases), strict=True))
            extended = extend_image(self.order(recipe, images), clock.log)
            if not recipe.whole_image:
                _check_library(recipe, extended.facts, self.environment.builder)
        before = [layer for image in (previous, *(base.image for base in bases)) if image for layer in image.layers]
        return MadeImage(
            recipe=recipe,
            image=extended.image,
            facts=extended.facts,
            bases=bases,
            known=frozenset(str(layer.diff_id) for layer in before),
        )

    def order(self, recipe: Recipe, images: Sequence[tuple[RecipeImage, Image]]) -> ExtendRequest:
        """Return what executes a recipe on its images, in the directories of the application."""
        return ExtendRequest(
            recipe=recipe,
            images=tuple(images),
            engine=self.settings.engine,
            app_dir=self.environment.app_dir,
            directory=self.application.extension,
            blobs_dir=last_image_blobs(self.application),
            builder=self.environment.builder,
            host=self.environment.host,
            constraints=self._constraints(),
            network=self.environment.network,
            deadline=self.environment.deadline,
            env=self.host_env,
        )

    @contextlib.contextmanager
    def open_bases(self, log: Log) -> Iterator[BaseImages]:
        """What finds the images that Dockerfiles may begin with, while the context lasts."""
        builder, settings = self.environment.builder, self.settings
        opened = open_client(self.host_env, insecure=settings.insecure_registries, deadline=self.environment.deadline)
        with contextlib.closing(opened) as client:
            yield BaseImages(
                images=ImageStore(self.store, client, log),
                locations={**builder.dockerfile.bases, **settings.bases},
                own={builder.run_image_name: builder.run_image},
                allowed=builder.dockerfile.allowed_bases,
            )

    def _fetch(self, recipe: Recipe, clock: Clock) -> tuple[FetchedImage, ...]:
        with self.open_bases(clock.log) as bases:
            fetched = bases.fetch_all(recipe.images, dockerfile=recipe.dockerfile)
        for base in fetched:
            clock.log.info(f"{base.name} is {base.digest}, from {base.origin}")
        return fetched

    def _ask_again(self, recipe: Recipe, bases: tuple[FetchedImage, ...], group: Group, log: Log) -> Recipe:
        """The recipe that follows from what the images say of themselves; they are the same ones."""
        facts = {}
        for named, base in zip(recipe.images, bases, strict=True):
            shell = base.image.config.other_in_config.get("Shell")
            words = tuple(str(word) for word in shell) if isinstance(shell, list) else ()
            facts[named.local] = ImageFacts(env=base.image.config.env, shell=words)
        found = self.environment.run_generate(group, log, images=facts)
        if found.images != recipe.images:
            raise ConfigurationError(recipe.dockerfile, "takes other images as soon as it knows what they are")
        return found

    def _constraints(self) -> tuple[str, ...]:
        # The operator's value wins, as for buildpacks.
        named = {**self.user_env, **self.environment.builder.variables}.get(_CONSTRAINTS_VARIABLE, "")
        return tuple(named.split())


def _check_library(recipe: Recipe, facts: RootfsFacts, builder: Builder) -> None:
    """Raise `SettingsError` where what is built for the builder's C library could not run on that of the image."""
    needed = read_facts(builder.rootfs).libc_version
    if facts.libc == "glibc" and _release(facts.libc_version) >= _release(needed):
        return
    there = f"{facts.libc} {facts.libc_version or ''}".strip() if facts.libc else "no C library that is known"
    raise SettingsError(
        f"nothing can be installed on the image of `{recipe.dockerfile}`: it has {there}, and what this builder installs needs glibc "
        f"{needed}",
        "start the Dockerfile from an image of a newer distribution, for example Debian 12, or let it bring everything itself: "
        "build with `--buildpack dockerfile` alone",
    )


def _release(version: str | None) -> list[int]:
    return [int(part) for part in (version or "0").split(".")]


def _shorten(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 60 else f"{line[:59]}…"
