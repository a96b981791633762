"""The buildpacks and image extensions of builder.toml, found: in directories, archives and images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lifecycle.cnb.buildpack import Descriptor, read_extension_descriptor
from lifecycle.cnb.deadline import NEVER, Deadline
from lifecycle.cnb.errors import CnbError, ConfigurationError
from lifecycle.cnb.reference import Reference
from lifecycle.cnb.toml import write_atomically
from lifecycle.oci.descriptor import host_platform
from lifecycle.oci.location import REGISTRY_PREFIX
from pybuild.builder.buildpack_source import BuildpackFinder, FoundBuildpacks
from pybuild.builder.definition import Definition
from pybuild.builder.kept import content_key, mark_used
from pybuild.builder.requested import RequestedModule
from pybuild.image_store import ImageStore, open_client
from pybuild.log import Log


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundModule:
    """What one entry of builder.toml turned out to be: the one that is meant first, then what else came with it."""

    requested: RequestedModule
    descriptors: tuple[Descriptor, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleFinder:
    """Finds what `definition` names. A registry is asked once for what a name stands for, and again with `refresh`.

    `env` is the machine's environment.
    """

    definition: Definition
    store: Path
    log: Log
    env: Mapping[str, str]
    insecure_registries: tuple[str, ...] = ()
    refresh: bool = False
    deadline: Deadline = NEVER

    def find_all(self) -> tuple[FoundModule, ...]:
        """In the order of builder.toml, buildpacks before extensions.

        Raises:
            ConfigurationError: something is not there, cannot be had, or is not what it was said to be; names the place.
        """
        return tuple(self._find(one) for one in (*self.definition.buildpacks, *self.definition.extensions))

    def _find(self, requested: RequestedModule) -> FoundModule:
        finder = BuildpackFinder(
            store=self.store,
            log=self.log,
            env=self.env,
            insecure_registries=self.insecure_registries,
            deadline=self.deadline,
        )
        try:
            found = finder.find(self._pinned(requested.source), relative_to=self.definition.directory)
        except ConfigurationError:
            # It is of a file of the buildpack itself.
            raise
        except CnbError as err:
            raise self.definition.error(_place_of_source(requested), err.summary, err.hint) from err
        descriptors = tuple(_descriptors(found, is_extension=requested.is_extension))
        if not descriptors:
            there, table = ("a buildpack", "buildpacks") if requested.is_extension else ("an extension", "extensions")
            place = _place_of_source(requested)
            raise self.definition.error(place, f"`{requested.source}` is {there}", f"name it in `[[{table}]]`")
        main = descriptors[0]
        if requested.id not in (None, main.id) or requested.version not in (None, main.version):
            wanted = "@".join(part for part in (requested.id, requested.version) if part)
            raise self.definition.error(requested.place, f"is {main}, not {wanted}", "correct `id` and `version`")
        return FoundModule(requested=requested, descriptors=descriptors)

    def _pinned(self, source: str) -> str:
        """A name in a registry with the digest that it stood for when the registry was asked."""
        if not source.startswith(REGISTRY_PREFIX):
            return source
        reference = Reference.parse(source.removeprefix(REGISTRY_PREFIX)).with_default_tag()
        if reference.digest is not None:
            return source
        note = self.store.absolute() / "buildpacks" / "names" / content_key(str(reference))
        if self.refresh or not note.is_file():
            client = open_client(self.env, insecure=self.insecure_registries, deadline=self.deadline)
            try:
                digest = ImageStore(self.store, client, self.log).pull(reference, host_platform()).digest
            finally:
                client.close()
            note.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(note, f"{reference.name}@{digest}".encode())
        mark_used(note)
        return f"{REGISTRY_PREFIX}{note.read_text(encoding='utf-8')}"


def _descriptors(found: FoundBuildpacks, *, is_extension: bool) -> Iterator[Descriptor]:
    if is_extension:
        # One directory may hold a buildpack and an extension.
        both = [one.directory for one in found.buildpacks[:1] if (one.directory / "extension.toml").is_file()]
        yield from (read_extension_descriptor(directory) for directory in found.extensions or both)
    else:
        yield from found.buildpacks


def _place_of_source(requested: RequestedModule) -> str:
    return f"{requested.place}.uri"
