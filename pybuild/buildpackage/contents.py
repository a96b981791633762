"""What a buildpackage is made of, found and checked before anything is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lifecycle.cnb.buildpack import Descriptor, read_extension_descriptor
from lifecycle.cnb.errors import CnbError, ConfigurationError
from pybuild.builder.buildpack_source import BuildpackFinder, FoundBuildpacks
from pybuild.builder.kept import tree_hash
from pybuild.buildpackage.definition import PackageDefinition


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageContents:
    """The buildpack or extension that is packaged, and the buildpacks that it is made of, in the order of package.toml."""

    main: Descriptor
    dependencies: tuple[Descriptor, ...] = ()

    @property
    def all(self) -> tuple[Descriptor, ...]:
        """Each once, the packaged one last."""
        return (*self.dependencies, self.main)


def find_contents(definition: PackageDefinition, finder: BuildpackFinder) -> PackageContents:
    """What `definition` names.

    Raises:
        ConfigurationError: something is not there, is missing of a composite buildpack, or is of no use to it; names the place.
    """
    place = "extension.uri" if definition.is_extension else "buildpack.uri"
    found = _find(definition, finder, place, definition.source)
    if definition.is_extension:
        directories = found.extensions or tuple(one.directory for one in found.buildpacks[:1])
        return PackageContents(main=read_extension_descriptor(directories[0]))
    if not found.buildpacks:
        raise definition.error(place, f"`{definition.source}` is an image extension", "name it in `[extension]`")
    main, *others = found.buildpacks
    known = {str(one): one for one in others}
    for number, source in enumerate(definition.dependencies):
        dependency = f"dependencies[{number}]"
        for one in _find(definition, finder, f"{dependency}.uri", source).buildpacks:
            there = known.setdefault(str(one), one)
            if tree_hash(there.directory) != tree_hash(one.directory):
                raise definition.error(
                    dependency,
                    f"brings `{one}`, which another one brings with other files",
                    "leave one of them out, or give them different versions",
                )
    known.pop(str(main), None)
    contents = PackageContents(main=main, dependencies=tuple(known.values()))
    _check(definition, contents)
    return contents


def _find(definition: PackageDefinition, finder: BuildpackFinder, place: str, source: str) -> FoundBuildpacks:
    try:
        return finder.find(source, relative_to=definition.directory)
    except ConfigurationError:
        # It is of a file of the buildpack itself.
        raise
    except CnbError as err:
        raise definition.error(place, err.summary, err.hint) from err


def _check(definition: PackageDefinition, contents: PackageContents) -> None:
    there = {(one.id, one.version) for one in contents.dependencies}
    used = set()
    for one in contents.all:
        for member in _members(one):
            if member not in there:
                raise definition.error(
                    "dependencies",
                    f"lack `{member[0]}@{member[1]}`, which buildpack `{one}` is made of",
                    "add `[[dependencies]]` with its `uri` to package.toml",
                )
            used.add(member)
    for one in contents.dependencies:
        if (one.id, one.version) not in used:
            raise definition.error(
                "dependencies", f"have `{one}`, which no `order` of the package names", "leave it out, or name it there"
            )


def _members(buildpack: Descriptor) -> Sequence[tuple[str, str]]:
    groups = () if buildpack.order is None else buildpack.order.groups
    return [(member.id, member.version) for group in groups for member in group]
