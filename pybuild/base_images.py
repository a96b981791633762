"""The images that a Dockerfile starts from: where they come from, and whether they are allowed.

A name is looked for in this order: places that the user or builder.toml gives for it, the images that the builder itself has, its
registry. Whatever the name leads to, it is checked against the list of allowed names first, and it must be made for the platform.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from lifecycle.cnb.digest import Digest
from lifecycle.cnb.errors import CnbError, InvalidValue
from lifecycle.cnb.recipe import RecipeImage
from lifecycle.cnb.reference import Reference
from lifecycle.oci.descriptor import Platform, host_platform
from lifecycle.oci.image import Image
from lifecycle.oci.location import REGISTRY_PREFIX
from lifecycle.registry.errors import PlatformMissing
from lifecycle.registry.manifest import fits, name_of, parse_platform
from pybuild.image_store import ImageStore, KeptImage


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedImage:
    """A base image, on this machine."""

    name: str
    """Spelled out: `docker.io/library/python:3.11`."""
    digest: Digest
    """What the name stands for today: `NAME@DIGEST` is this image for ever. That of an index where the image is one of several."""
    image: Image
    origin: str
    """Where it was: `docker://…`, `oci:…`, or `the builder`."""


@dataclass(eq=False, kw_only=True)
class BaseNotAllowed(CnbError):
    """The operator of the builder does not allow these images; `found` are pairs of place and name."""

    exit_code: ClassVar[int] = 3

    found: tuple[tuple[str, str], ...]
    patterns: tuple[str, ...]

    @property
    def summary(self) -> str:
        """Which images."""
        place, name = self.found[0]
        where = f"{place}: " if place else ""
        more = "" if len(self.found) == 1 else f", and {len(self.found) - 1} more"
        return f"{where}this builder does not allow the base image `{name}`{more}"

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """The other images, and what is allowed."""
        others = tuple((place or "also", f"`{name}`") for place, name in self.found[1:])
        allowed = ", ".join(f"`{pattern}`" for pattern in self.patterns) or "none but the builder's own"
        return (*others, ("allowed", allowed))

    @property
    def hint(self) -> str | None:
        """Whom to ask."""
        return (
            "start from an image that is allowed, or let the operator of the builder add this one to `allow-bases` in "
            "`[pybuild.dockerfile]` of builder.toml"
        )


@dataclass(eq=False, kw_only=True)
class BaseMismatch(CnbError):
    """The Dockerfile pins a digest, and the image that was given for the name has another."""

    exit_code: ClassVar[int] = 3

    name: str
    origin: str
    digest: Digest

    @property
    def summary(self) -> str:
        """Which name, and what there is."""
        return f"`{self.name}`: the image at {self.origin} is not that one, but {self.digest}"

    @property
    def hint(self) -> str | None:
        """What to do."""
        return "give the image with this digest for the name, or pin the digest of the one that is given"


@dataclass(eq=False)
class BaseUnavailable(CnbError):
    """A base image cannot be had, and where it is asked for; all else is said by the error below."""

    place: str
    error: CnbError

    def __post_init__(self) -> None:
        self.exit_code = self.error.exit_code  # type: ignore[misc]  # as the error below has it

    @property
    def summary(self) -> str:
        """Place and problem."""
        return f"{self.place}: {self.error.summary}"

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """Those of the error below."""
        return self.error.facts

    @property
    def hint(self) -> str | None:
        """That of the error below."""
        return self.error.hint


class BaseImages:
    """Finds base images.

    `locations`: by spelled-out name, `oci:DIR[:TAG]`, `oci-archive:FILE`, `docker-archive:FILE` or `docker://NAME` (a mirror).
    `own`: images that the builder has, by name; always allowed. `allowed`: patterns, see `is_allowed`; `None`: every image.
    """

    def __init__(
        self,
        *,
        images: ImageStore,
        locations: Mapping[str, str] | None = None,
        own: Mapping[str, Image] | None = None,
        allowed: Sequence[str] | None = None,
    ) -> None:
        self._images = images
        self._locations = {_spelled_out(name): location for name, location in (locations or {}).items()}
        self._own = {_spelled_out(name): image for name, image in (own or {}).items()}
        self._allowed = None if allowed is None else tuple(allowed)

    def fetch_all(self, images: Sequence[RecipeImage], *, dockerfile: str) -> tuple[FetchedImage, ...]:
        """The images of a recipe, in its order. Nothing is fetched unless all are allowed.

        Raises:
            BaseNotAllowed: some are not.
            BaseUnavailable: one cannot be had; it names the line.
            OSError: the disk is full.
        """
        self._check_allowed([(f"{dockerfile}:{one.line}", Reference.parse(one.name)) for one in images])
        found = []
        for one in images:
            try:
                found.append(self.fetch(one.name, platform=one.platform))
            except CnbError as err:
                raise BaseUnavailable(f"{dockerfile}:{one.line}", err) from err
        return tuple(found)

    def fetch(self, name: str, *, platform: str | None = None) -> FetchedImage:
        """The image that `name` stands for, for `platform` (`linux/arm64`) or this machine.

        Raises:
            BaseNotAllowed: it is not allowed.
            lifecycle.cnb.errors.CnbError: it cannot be had.
            OSError: the disk is full.
        """
        reference = Reference.parse(name).with_default_tag()
        wanted = host_platform() if platform is None else parse_platform(platform, source=f"`{name}`")
        self._check_allowed([("", reference)])
        kept, origin = self._find(reference, wanted)
        found = Platform(
            os=kept.image.config.os, architecture=kept.image.config.architecture, variant=kept.image.config.variant
        )
        if not fits(found, wanted):
            raise PlatformMissing(image=str(reference), wanted=name_of(wanted), available=(name_of(found),))
        if reference.digest is not None and reference.digest not in (kept.digest, kept.image.digest):
            raise BaseMismatch(name=str(reference), origin=origin, digest=kept.digest)
        return FetchedImage(name=str(reference), digest=kept.digest, image=kept.image, origin=origin)

    def _find(self, reference: Reference, wanted: Platform) -> tuple[KeptImage, str]:
        """The image, and where it was."""
        for name in _names(reference):
            location = self._locations.get(name)
            if location is not None and location.startswith(REGISTRY_PREFIX):
                mirror = Reference.parse(location.removeprefix(REGISTRY_PREFIX))
                if reference.digest is not None and mirror.digest is None:
                    mirror = replace(mirror, digest=reference.digest)
                return self._images.pull(mirror, wanted), f"{REGISTRY_PREFIX}{mirror}"
            if location is not None:
                return self._images.read(location), location
            if name in self._own:
                image = self._own[name]
                return KeptImage(digest=image.digest, image=image), "the builder"
        return self._images.pull(reference, wanted), f"{REGISTRY_PREFIX}{reference}"

    def _check_allowed(self, wanted: Sequence[tuple[str, Reference]]) -> None:
        if self._allowed is None:
            return
        found = tuple(
            (place, str(reference.with_default_tag()))
            for place, reference in wanted
            if not any(name in self._own for name in _names(reference)) and not is_allowed(reference, self._allowed)
        )
        if found:
            raise BaseNotAllowed(found=found, patterns=self._allowed)


def is_allowed(reference: Reference, patterns: Sequence[str]) -> bool:
    """Whether a pattern fits the whole spelled-out name; `*` in it stands for any characters.

    `docker.io/library/*` allows every image of that place, `registry.example.org/team/base:*` every tag and digest of one
    repository. A digest decides alone which image is meant: with one, the tag beside it allows nothing.
    """
    reference = reference.with_default_tag()
    if reference.digest is None:
        names = [str(reference)]
    else:
        names = [f"{reference.name}@{reference.digest}", f"{reference.name}:@{reference.digest}"]
    return any(_fits(pattern, name) for pattern in patterns for name in names)


def _fits(pattern: str, name: str) -> bool:
    first, *others = pattern.split("*")
    if not others:
        return name == pattern
    if not name.startswith(first):
        return False
    # Each part as early as it can be, so the time grows with the length only.
    position = len(first)
    for part in others[:-1]:
        found = name.find(part, position)
        if found < 0:
            return False
        position = found + len(part)
    return len(name) - len(others[-1]) >= position and name.endswith(others[-1])


def _names(reference: Reference) -> tuple[str, ...]:
    """Names that something may be given for: with its digest, without it."""
    reference = reference.with_default_tag()
    if reference.tag is None or reference.digest is None:
        return (str(reference),)
    return (str(reference), str(replace(reference, digest=None)))


def _spelled_out(name: str) -> str:
    try:
        return str(Reference.parse(name).with_default_tag())
    except InvalidValue:
        # A builder may call its own image what no registry would: nobody can ask for it.
        return name
