"""The way of a rebase: an app image, the run image that it gets, and where what comes of it goes. Nothing is built."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from lifecycle.cnb.labels import RunImageRecord
from lifecycle.cnb.reference import Reference
from lifecycle.exporters import Output, Written
from lifecycle.oci.descriptor import host_platform
from lifecycle.oci.image import Image
from lifecycle.oci.location import REGISTRY_PREFIX
from lifecycle.rebase import RebasedImage, is_known_as, read_app_metadata, rebase
from lifecycle.rebase import RebaseRequest as Request
from lifecycle.registry.errors import RegistryError
from pybuild.builder import default_definition_path, ensure_builder, read_definition
from pybuild.delivery import Delivery, read_outputs
from pybuild.image_location import check_location, open_image
from pybuild.image_store import ImageStore, KeptImage, open_client
from pybuild.in_place import Place, find_place
from pybuild.site import Site
from pybuild.store import in_use


@dataclass(frozen=True, slots=True, kw_only=True)
class RebaseRequest:
    """Which image to rebase, and on what."""

    location: str
    """One of `pybuild.image_location.LOCATIONS`."""
    builder: Path = field(default_factory=default_definition_path)
    """A `builder.toml`."""
    run_image: str | None = None
    """One of `LOCATIONS`; `None`: the one that the image names, as it is now."""
    outputs: Sequence[Output | str] = ()
    """As `--output` has them. Empty: the image is replaced where it is."""
    force: bool = False
    insecure_registries: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RebaseReport:
    """The result of a rebase."""

    rebased: RebasedImage
    before: Image
    previous: RunImageRecord
    """What the image stood on."""
    written: tuple[Written, ...]

    @property
    def outputs(self) -> tuple[str, ...]:
        """Where the image is, each with its manifest's digest."""
        return tuple(one.location for one in self.written)

    def to_json(self) -> Mapping[str, object]:
        """The report as `--report` writes it; `size`: bytes of the manifest."""
        image = self.rebased.image
        return {
            "image": {
                "digest": str(image.digest),
                "id": str(image.id),
                "size": image.descriptor.size,
                "outputs": list(self.outputs),
                "previous": str(self.before.digest),
            },
            "transfers": [one.to_json() for one in self.written],
            "runImage": _record_to_json(self.rebased.metadata.run_image),
            "previousRunImage": _record_to_json(self.previous),
            "overridden": [text for _, text in self.rebased.overridden],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _RunImage:
    """A run image. `origin`: where it comes from, for people."""

    image: Image
    name: str | None
    reference: str
    origin: str


def rebase_image(request: RebaseRequest, site: Site) -> RebaseReport:
    """What came of it, after every output is whole.

    Raises:
        lifecycle.cnb.errors.CnbError: it cannot be done; no output was touched.
    """
    for location in (request.location, *([request.run_image] if request.run_image else [])):
        check_location(location)
    env, log, deadline = site.host_env, site.log, site.deadline
    opened = open_client(env, insecure=request.insecure_registries, deadline=deadline)
    with contextlib.closing(opened) as client, contextlib.ExitStack() as stack:
        images = ImageStore(site.store, client, log)
        stack.enter_context(in_use(site.store, log, deadline=deadline))
        with log.phase("analyze"):
            place = None if request.outputs else find_place(request.location, images, env, deadline=deadline)
            outputs = read_outputs(request.outputs) if place is None else (place.output,)
            delivery = Delivery(outputs=outputs, env=env, insecure_registries=request.insecure_registries)
            delivery.refuse_names(read_definition(request.builder).image_names)
            delivery.check(log, deadline=deadline)
            way = _Way(request=request, site=site, images=images, delivery=delivery, stack=stack)
            image = way.read_image()
            previous = read_app_metadata(image.config).run_image
            run_image = way.find_run_image(previous, image.config.architecture)
            log.info(f"run image {run_image.origin}: {run_image.reference}")
        with log.phase("rebase"):
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pybuild-rebase-")))
            rebased = rebase(
                Request(
                    image=image,
                    run_image=run_image.image,
                    run_image_name=run_image.name,
                    run_image_reference=run_image.reference,
                    blobs_dir=scratch,
                    force=request.force,
                )
            )
            for _, text in rebased.overridden:
                log.warning(text)
            if rebased.image is image:
                log.info("the image stands on this run image already")
        with log.phase("export"):
            written = way.write(rebased.image, place)
    return RebaseReport(rebased=rebased, before=image, previous=previous, written=written)


@dataclass(slots=True, kw_only=True)
class _Way:
    """How one rebase has its images."""

    request: RebaseRequest
    site: Site
    images: ImageStore
    delivery: Delivery
    stack: contextlib.ExitStack
    """What images are read from stays as long."""
    _remote: list[Reference] = field(init=False, default_factory=list)
    """Images whose layers are in the registry that they go to, and need not come here."""

    def read_image(self) -> Image:
        """The image."""
        reference = _reference_of(self.request.location)
        return self._open(self.request.location) if reference is None else self._fetch(reference).image

    def find_run_image(self, record: RunImageRecord, architecture: str) -> _RunImage:
        """The run image that is asked for, else what the image names as that is today, else the builder's own for `architecture`."""
        location = self.request.run_image
        if location is not None:
            reference = _reference_of(location)
            if reference is not None:
                return self._fetch_first((str(reference),))
            image = self._open(location)
            return _RunImage(image=image, name=None, reference=str(image.digest), origin=location)
        definition = read_definition(self.request.builder)
        if record.image is not None and not is_known_as(definition.run_images[0].image, record):
            return self._fetch_first((record.image, *record.mirrors))
        builder = ensure_builder(
            definition,
            self.site.store,
            self.site.log,
            architecture=architecture,
            env=self.site.host_env,
            deadline=self.site.deadline,
        )
        return _RunImage(
            image=builder.run_image,
            name=builder.run_image_name,
            reference=builder.run_image_reference,
            origin=f"{builder.run_image_name}, which is the builder's own and in no registry",
        )

    def write(self, image: Image, place: Place | None) -> tuple[Written, ...]:
        """Put the image into the outputs, if what it replaces is still there."""

        def check() -> None:
            if place is not None:
                place.check(image, self.images, self.delivery.env, deadline=self.site.deadline)

        try:
            origins = [f"{REGISTRY_PREFIX}{reference}" for reference in self._remote]
            return self.delivery.deliver(
                image, self.site.log, origins=origins, deadline=self.site.deadline, before_commit=check
            )
        except FileNotFoundError:
            # The registry wants layers that it could have taken from where they are.
            if not self._remote:
                raise
            for reference in self._remote:
                self.images.pull(reference, host_platform())
            self._remote.clear()
            return self.write(image, place)

    def _open(self, location: str) -> Image:
        opened = open_image(location, self.site, insecure=self.request.insecure_registries)
        return self.stack.enter_context(opened)

    def _fetch(self, reference: Reference) -> KeptImage:
        targets = [_reference_of(output.location) for output in self.delivery.outputs]
        if all(target is not None and target.registry == reference.registry for target in targets):
            found = self.images.look_up(reference, host_platform())
            self._remote.append(replace(reference, digest=found.digest))
            return found
        return self.images.pull(reference, host_platform())

    def _fetch_first(self, names: tuple[str, ...]) -> _RunImage:
        """The first that can be had, first of all in a registry that the image goes to (platform.md, "Run Image Resolution")."""
        references = [Reference.parse(name).with_default_tag() for name in names]
        targets = {target.registry for output in self.delivery.outputs if (target := _reference_of(output.location))}
        failures = []
        for reference in sorted(references, key=lambda one: one.registry not in targets):
            try:
                found = self._fetch(reference)
            except RegistryError as err:
                failures.append(err)
                continue
            return _RunImage(
                image=found.image,
                name=str(reference),
                reference=f"{reference.name}@{found.image.digest}",
                origin=f"{REGISTRY_PREFIX}{reference}",
            )
        raise failures[0]


def _reference_of(location: str) -> Reference | None:
    """What `location` names in a registry; `None`: it is elsewhere."""
    if not location.startswith(REGISTRY_PREFIX):
        return None
    return Reference.parse(location.removeprefix(REGISTRY_PREFIX)).with_default_tag()


def _record_to_json(record: RunImageRecord) -> Mapping[str, object]:
    return {"image": record.image, "reference": record.reference, "topLayer": record.top_layer}
