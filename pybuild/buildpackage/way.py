"""The way of `pybuild buildpack package`: a buildpack becomes an image in every output that is asked for."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lifecycle.exporters import Output, Written
from lifecycle.oci.compression import Compression
from lifecycle.oci.descriptor import Platform
from lifecycle.oci.image import Image
from lifecycle.oci.image_index import Content, make_index
from pybuild.builder.buildpack_source import BuildpackFinder
from pybuild.buildpackage.contents import PackageContents, find_contents
from pybuild.buildpackage.definition import PackageDefinition, read_package_definition
from pybuild.buildpackage.image import make_package_images
from pybuild.delivery import Delivery
from pybuild.errors import UsageError
from pybuild.log import Log
from pybuild.store import in_use


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageRequest:
    """What to package, and where it goes. `exploded`: buildpacks, as `id@version`, that keep a layer of their own when others share one.

    `platforms`: `None` stands for those of package.toml.
    """

    path: Path
    outputs: tuple[Output, ...]
    platforms: tuple[Platform, ...] | None = None
    is_flattened: bool = False
    exploded: tuple[str, ...] = ()
    compression: Compression = Compression.GZIP
    insecure_registries: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageReport:
    """The result."""

    contents: PackageContents
    image: Content
    written: tuple[Written, ...]

    def to_json(self) -> Mapping[str, object]:
        """The report as `--report` writes it."""
        return {
            "buildpack": str(self.contents.main),
            "contains": [str(one) for one in self.contents.all],
            "image": {
                "digest": str(self.image.digest),
                "id": str(self.image.id) if isinstance(self.image, Image) else None,
                "outputs": [one.location for one in self.written],
            },
            "transfers": [one.to_json() for one in self.written],
        }


def package_buildpack(request: PackageRequest, store: Path, env: Mapping[str, str], log: Log) -> PackageReport:
    """What was made and put into every output. `env` is the machine's environment.

    Raises:
        lifecycle.cnb.errors.CnbError, OSError: it cannot be made, or not be put there.
    """
    definition = read_package_definition(request.path)
    delivery = Delivery(outputs=request.outputs, env=env, insecure_registries=request.insecure_registries)
    platforms = request.platforms or definition.platforms
    if len(platforms) > 1:
        delivery.refuse_index()
    delivery.check(log)
    with in_use(store, log), tempfile.TemporaryDirectory(prefix="pybuild-package-") as scratch:
        contents = _find(definition, request, store, env, log)
        flattened = frozenset(map(str, contents.all)) if request.is_flattened else frozenset()
        _check_exploded(contents, request.exploded)
        with log.step(f"packaging {contents.main}"):
            images = make_package_images(
                contents,
                platforms,
                Path(scratch),
                flattened=flattened - set(request.exploded),
                compression=request.compression,
            )
        content: Content = images[0] if len(images) == 1 else make_index(images)
        written = delivery.deliver(content, log)
    return PackageReport(contents=contents, image=content, written=written)


def _find(
    definition: PackageDefinition, request: PackageRequest, store: Path, env: Mapping[str, str], log: Log
) -> PackageContents:
    finder = BuildpackFinder(store=store, log=log, env=env, insecure_registries=request.insecure_registries)
    return find_contents(definition, finder)


def _check_exploded(contents: PackageContents, exploded: tuple[str, ...]) -> None:
    there = [str(one) for one in contents.all]
    for name in exploded:
        if name not in there:
            raise UsageError(f"`--flatten-exclude {name}` names nothing of the package", f"it has {', '.join(there)}")
