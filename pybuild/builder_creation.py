"""The way of `pybuild builder create`: a builder is made, and becomes an image in every output that is asked for."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lifecycle.exporters import Output, Written
from lifecycle.oci.compression import Compression
from lifecycle.oci.descriptor import Platform, host_platform
from lifecycle.oci.image import Image
from lifecycle.registry.manifest import name_of
from pybuild.builder import Builder, default_definition_path, ensure_builder, read_definition
from pybuild.builder.image import make_builder_image
from pybuild.delivery import Delivery, read_outputs
from pybuild.errors import UsageError
from pybuild.log import Log
from pybuild.site import Site
from pybuild.store import in_use


@dataclass(frozen=True, slots=True, kw_only=True)
class BuilderRequest:
    """Which builder to make, and where its images go: `outputs` get the builder, `run_outputs` the run image."""

    builder: Path = field(default_factory=default_definition_path)
    """A `builder.toml`."""
    platforms: tuple[Platform, ...] = field(default_factory=lambda: (host_platform(),))
    outputs: Sequence[Output | str] = ()
    run_outputs: Sequence[Output | str] = ()
    compression: Compression = Compression.GZIP
    insecure_registries: tuple[str, ...] = ()
    refresh: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BuilderReport:
    """Builders that are in the store, in the order of the platforms, and what of the first is in outputs."""

    keys: tuple[str, ...]
    image: Image | None = None
    run_image: Image
    written: tuple[Written, ...] = ()

    @property
    def locations(self) -> tuple[str, ...]:
        """Outputs with digests, those of the builder first."""
        return tuple(one.location for one in self.written)

    def to_json(self) -> Mapping[str, object]:
        """The report as `--report` writes it."""
        return {
            "builders": list(self.keys),
            "image": None if self.image is None else {"digest": str(self.image.digest), "id": str(self.image.id)},
            "runImage": {"digest": str(self.run_image.digest), "id": str(self.run_image.id)},
            "outputs": list(self.locations),
            "transfers": [one.to_json() for one in self.written],
        }


def create_builder(request: BuilderRequest, site: Site) -> BuilderReport:
    """What was made.

    Raises:
        lifecycle.cnb.errors.CnbError, OSError: it cannot be made, or not be put there; nothing half made is left.
    """
    definition = read_definition(request.builder)
    deliveries = [
        Delivery(outputs=read_outputs(outputs), env=site.host_env, insecure_registries=request.insecure_registries)
        for outputs in (request.outputs, request.run_outputs)
    ]
    log, deadline = site.log, site.deadline
    if request.outputs:
        _check_platforms(request.platforms)
    for delivery in deliveries:
        delivery.check(log, deadline=deadline)
    with in_use(site.store, log, deadline=deadline):
        made = [
            ensure_builder(
                definition,
                site.store,
                log,
                architecture=platform.architecture,
                refresh=request.refresh,
                env=site.host_env,
                deadline=deadline,
            )
            for platform in request.platforms
        ]
        keys = tuple(one.key for one in made)
        of_run = deliveries[1].deliver(made[0].run_image, log, deadline=deadline) if request.run_outputs else ()
        if not request.outputs:
            return BuilderReport(keys=keys, run_image=made[0].run_image, written=of_run)
        with tempfile.TemporaryDirectory(prefix="pybuild-builder-") as scratch:
            image = _make_image(made[0], Path(scratch), request.compression, log)
            written = deliveries[0].deliver(image, log, origins=[made[0].build_base.origin], deadline=deadline)
    return BuilderReport(keys=keys, image=image, run_image=made[0].run_image, written=(*written, *of_run))


def _make_image(builder: Builder, scratch: Path, compression: Compression, log: Log) -> Image:
    with log.step("making the builder an image"):
        return make_builder_image(builder, scratch, compression=compression)


def _check_platforms(platforms: tuple[Platform, ...]) -> None:
    if platforms != (host_platform(),):
        shown = ", ".join(name_of(platform) for platform in platforms)
        raise UsageError(
            f"the image of a builder is for the machine that makes it, {name_of(host_platform())}, and not for {shown}",
            "leave `--platform` out, or make the builder on a machine of that platform",
        )
