"""package.toml: what goes into a buildpackage, in pack's schema
(https://buildpacks.io/docs/reference/config/package-config/). Unknown keys are errors.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lifecycle.cnb.errors import ConfigurationError
from lifecycle.cnb.toml import Table, find_line, read_table
from lifecycle.oci.descriptor import Platform, host_platform
from lifecycle.oci.location import REGISTRY_PREFIX

PACKAGE_FILE = "package.toml"
_KNOWN_KEYS = frozenset({"buildpack", "extension", "dependencies", "platform", "targets"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageDefinition:
    """A package, described. Sources are what `pybuild.builder.buildpack_source` takes, relative ones from `directory`."""

    path: Path
    """Of package.toml; where there is none, the directory of the buildpack."""
    directory: Path
    source: str = "."
    is_extension: bool = False
    dependencies: tuple[str, ...] = ()
    platforms: tuple[Platform, ...]
    """Unique, at least one."""

    def error(self, place: str, message: str, advice: str | None = None) -> ConfigurationError:
        """The error that says `message` of what stands at `place` of the file."""
        if not self.path.is_file():
            return ConfigurationError(self.path, message, advice=advice)
        line = find_line(self.path.read_text(encoding="utf-8-sig"), place)
        return ConfigurationError(self.path, f"`{place}` {message}", line=line, advice=advice)


def read_package_definition(path: Path) -> PackageDefinition:
    """The package that `path` describes: a package.toml, the directory of one, or the directory of a buildpack or an extension.

    Raises:
        ConfigurationError: it does not say what it must; names the place.
    """
    path = path.absolute()
    if not path.is_dir():
        return _read_file(path)
    if (path / PACKAGE_FILE).is_file():
        return _read_file(path / PACKAGE_FILE)
    is_extension = (path / "extension.toml").is_file() and not (path / "buildpack.toml").is_file()
    return PackageDefinition(path=path, directory=path, is_extension=is_extension, platforms=(host_platform(),))


def _read_file(path: Path) -> PackageDefinition:
    document = read_table(path)
    document.reject_unknown(_KNOWN_KEYS)
    if "buildpack" in document and "extension" in document:
        raise document.error("cannot stand beside `[buildpack]`: a package is of one of them", key="extension")
    is_extension = "extension" in document
    if is_extension and document.tables("dependencies"):
        raise document.error("cannot stand beside `[extension]`: an extension has no other parts", key="dependencies")
    named = document.table("extension" if is_extension else "buildpack")
    named.reject_unknown(frozenset({"uri"}))
    platform = document.table("platform")
    platform.reject_unknown(frozenset({"os"}))
    if (platform.optional_string("os") or "linux") != "linux":
        raise platform.error("must be `linux`", key="os")
    return PackageDefinition(
        path=path,
        directory=path.parent,
        source=named.string("uri") if "uri" in named else ".",
        is_extension=is_extension,
        dependencies=tuple(_parse_dependency(table) for table in document.tables("dependencies")),
        platforms=_parse_platforms(document) or (host_platform(),),
    )


def _parse_dependency(table: Table) -> str:
    table.reject_unknown(frozenset({"uri", "image"}))
    if "uri" in table and "image" in table:
        raise table.error("cannot stand beside `uri`, which says where it is as well", key="image")
    return f"{REGISTRY_PREFIX}{table.string('image')}" if "image" in table else table.string("uri")


def _parse_platforms(document: Table) -> tuple[Platform, ...]:
    found = []
    for table in document.tables("targets"):
        table.reject_unknown(frozenset({"os", "arch", "variant", "distros"}))
        if table.string("os") != "linux":
            raise table.error(f"must be `linux`, got `{table.string('os')}`", key="os")
        found.append(
            Platform(os="linux", architecture=table.string("arch"), variant=table.optional_string("variant") or None)
        )
    return tuple(dict.fromkeys(found))
