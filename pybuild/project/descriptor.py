"""Reads project.toml: schema 0.2 and 0.3, and 0.1, which is what a file without `schema-version` has.

Tables of other tools are theirs. A key that is not known where the schema has keys is a warning, as the file may be written for a
newer platform; what is known and wrong is an error with its line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from lifecycle.cnb.api import BUILDPACK_APIS, DEFAULT_EXEC_ENV, ApiVersion, fits_exec_env
from lifecycle.cnb.errors import ConfigurationError
from lifecycle.cnb.identifier import BuildpackId, parse_version
from lifecycle.cnb.jsontext import render_json
from lifecycle.cnb.toml import Table, find_line, parse_toml, read_regular_file
from pybuild.project.selection import Selection, parse_selection

FILE_NAME = "project.toml"
DEFAULT_SHELL = "/bin/sh"
_FIRST_SCHEMA, _SCHEMAS = "0.1", ("0.1", "0.2", "0.3")
_EXEC_ENV_SCHEMA = "0.3"
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_RESERVED_PREFIXES = ("CNB_", "PYBUILD_")
_SHELL = re.compile(r"/[^\n]*")
# Every file is tried with each of them.
_MOST_PATTERNS = 1000
_MOST_BYTES = 1024 * 1024
# All of it becomes part of the image's config.
_MOST_SAID = 64 * 1024
_ABOUT = ("id", "name", "version", "documentation-url", "source-url")
_ABOUT_KEYS = frozenset({*_ABOUT, "authors", "licenses"})
_MEMBER_KEYS = frozenset({"id", "version", "uri", "script", "exec-env"})
_OWN_KEYS = frozenset({"builder", "include", "exclude", "group", "pre", "post", "build", "env"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A variable for the buildpacks. `exec_env` empty: in every execution environment."""

    name: str
    value: str
    exec_env: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A buildpack that is written into project.toml: what its `bin/build` does."""

    api: ApiVersion
    shell: str
    inline: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectBuildpack:
    """A buildpack that project.toml names: by id and perhaps version, by where it is, or as a script. An id is there unless `uri` is."""

    place: str
    """File and line, for people."""
    id: BuildpackId | None = None
    version: str | None = None
    uri: str | None = None
    script: Script | None = None
    exec_env: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """What a project.toml says. Without such a file, nothing."""

    source: str = FILE_NAME
    """Name of the file, for people."""
    directory: Path | None = field(default=None, compare=False)
    """Where relative paths of it start; the same file may be fetched to several places."""
    is_given: bool = False
    """Whether the person who builds named this file; else it is the repository's own."""
    selection: Selection = field(default_factory=Selection)
    variables: tuple[Variable, ...] = ()
    group: tuple[ProjectBuildpack, ...] = ()
    """In place of the builder's order."""
    before: tuple[ProjectBuildpack, ...] = ()
    after: tuple[ProjectBuildpack, ...] = ()
    """Around every group of the builder's order."""
    builder: str | None = None
    about: Mapping[str, object] = field(default_factory=dict)
    """What it says of itself: id, name, version, authors, documentation-url, source-url, licenses and metadata, where they are."""
    warnings: tuple[str, ...] = ()

    def env(self, exec_env: str = DEFAULT_EXEC_ENV) -> Mapping[str, str]:
        """Return the variables for the buildpacks; of two with one name the later wins."""
        return {one.name: one.value for one in self.variables if fits_exec_env(one.exec_env, exec_env)}


def find_project(directory: Path, *, shown: str | None = None) -> Project:
    """Return what the project.toml of a repository says. `shown` is its name for people, where that is not its path.

    Raises:
        ConfigurationError: it does not say what it must.
    """
    path = directory / FILE_NAME
    if path.is_symlink():
        # It may lead anywhere on this machine, and messages quote what is read.
        raise ConfigurationError(
            shown or path,
            "is a link, which is not followed",
            advice="put the file itself there, or name it with `--descriptor`",
        )
    if not path.is_file():
        return Project()
    return parse_project(read_regular_file(path, follow_links=False), source=shown or str(path), directory=directory)


def read_project(path: Path) -> Project:
    """Return what the project.toml at `path` says, which somebody named. Raises `ConfigurationError`."""
    project = parse_project(read_regular_file(path), source=str(path), directory=path.absolute().parent)
    return replace(project, is_given=True)


def parse_project(content: bytes, *, source: str, directory: Path) -> Project:
    """Return what a project.toml says. Raises `ConfigurationError`."""
    if len(content) > _MOST_BYTES:
        raise ConfigurationError(
            source, f"is larger than {_MOST_BYTES // 1024} KiB, which no description of a project is"
        )
    values = parse_toml(content, source=source)
    document = Table(values=values, source=source, text=content.decode("utf-8-sig"))
    own = document.table("_")
    schema = own.optional_string("schema-version")
    buildpacks = document.table("io").table("buildpacks") if isinstance(document.values.get("io"), dict) else None
    if schema is None and buildpacks is not None and buildpacks.values:
        error = buildpacks.error("is not read, because the file does not say which schema it has")
        error.advice = 'write at its top: [_] and below it schema-version = "0.2"'
        raise error
    if schema is not None and schema not in _SCHEMAS:
        raise own.error(f"must be one of {', '.join(_SCHEMAS)}, got `{schema}`", key="schema-version")
    reader = _Reader(document=document, schema=schema or _FIRST_SCHEMA, directory=directory, warnings=[])
    if reader.schema != _FIRST_SCHEMA:
        return reader.read()
    if schema is None and ("build" in document or "project" in document):
        reader.warnings.append(
            f'{source}: says no `schema-version` in `[_]`, so it is read as schema "{_FIRST_SCHEMA}"'
        )
    return reader.read_first()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reader:
    document: Table
    schema: str
    directory: Path
    warnings: list[str]

    def read(self) -> Project:
        """Schema 0.2 and 0.3."""
        about = self.document.table("_")
        own = self.document.table("io").table("buildpacks")
        self._warn_of_unknown(about, _ABOUT_KEYS | {"schema-version", "metadata"})
        self._warn_of_unknown(own, _OWN_KEYS)
        env, misspelt = own.table("build").tables("env"), own.table("env").tables("build")
        if misspelt:
            used = "; it is left out, as the right one is there too" if env else ""
            self._warn(
                own, "env", f"is a misspelling that pack reads as well: write `[[io.buildpacks.build.env]]`{used}"
            )
        return self._make(
            about=self._read_about(about, about.table("metadata").values),
            files=own,
            variables=env or misspelt,
            group=own.tables("group"),
            before=own.table("pre").tables("group"),
            after=own.table("post").tables("group"),
            builder=own.optional_string("builder"),
        )

    def read_first(self) -> Project:
        """Schema 0.1."""
        about, build = self.document.table("project"), self.document.table("build")
        self._warn_of_unknown(about, _ABOUT_KEYS)
        self._warn_of_unknown(build, frozenset({"include", "exclude", "buildpacks", "env", "builder"}))
        return self._make(
            about=self._read_about(about, self.document.table("metadata").values),
            files=build,
            variables=build.tables("env"),
            group=build.tables("buildpacks"),
            before=(),
            after=(),
            builder=build.optional_string("builder"),
        )

    def _make(
        self,
        *,
        about: Mapping[str, object],
        files: Table,
        variables: tuple[Table, ...],
        group: tuple[Table, ...],
        before: tuple[Table, ...],
        after: tuple[Table, ...],
        builder: str | None,
    ) -> Project:
        if group and (before or after):
            self._warn(
                files,
                "group",
                "takes the place of the builder's order, so `pre` and `post` have nothing to stand around",
            )
        return Project(
            source=str(self.document.source),
            directory=self.directory,
            selection=self._read_selection(files),
            variables=tuple(self._read_variable(table) for table in variables),
            group=tuple(self._read_buildpack(table) for table in group),
            before=tuple(self._read_buildpack(table) for table in before),
            after=tuple(self._read_buildpack(table) for table in after),
            builder=builder,
            about=about,
            warnings=tuple(self.warnings),
        )

    def _read_about(self, table: Table, metadata: Mapping[str, object]) -> Mapping[str, object]:
        licenses = []
        for license_table in table.tables("licenses"):
            named = {key: license_table.optional_string(key) for key in ("type", "uri")}
            found = {key: value for key, value in named.items() if value}
            if not found:
                error = license_table.error("must say `type` or `uri`")
                error.advice = 'write for example type = "MIT"'
                raise error
            licenses.append(found)
        said: dict[str, object] = {key: table.optional_string(key) for key in _ABOUT}
        said |= {"authors": list(table.strings("authors")), "licenses": licenses, "metadata": dict(metadata)}
        about = {key: value for key, value in said.items() if value}
        if len(render_json(about)) > _MOST_SAID:
            raise table.error(
                f"and its metadata are more than {_MOST_SAID // 1024} KiB, which an image should not carry in a label"
            )
        return about

    def _read_selection(self, table: Table) -> Selection:
        include, exclude = table.strings("include"), table.strings("exclude")
        if include and exclude:
            error = table.error("and `exclude` cannot both be there", key="include")
            error.advice = "keep `include`, which names all that belongs to the application, or `exclude`, which names what does not"
            raise error
        for key, lines in (("include", include), ("exclude", exclude)):
            if len(lines) > _MOST_PATTERNS:
                raise table.error(f"has more than {_MOST_PATTERNS} patterns", key=key)
            for index, line in enumerate(lines):
                try:
                    parse_selection(include=None, exclude=[line])
                except ValueError as err:
                    raise table.error(str(err), key=f"{key}[{index}]") from err
        return parse_selection(include=include or None, exclude=exclude)

    def _read_variable(self, table: Table) -> Variable:
        self._warn_of_unknown(table, frozenset({"name", "value", "exec-env"}))
        name, value = table.string("name"), table.optional_string("value")
        if _ENV_NAME.fullmatch(name) is None:
            raise table.error(f"`{name}` is not the name of a variable", key="name")
        if name.startswith(_RESERVED_PREFIXES):
            raise table.error(f"`{name}` belongs to the platform; take another name", key="name")
        if value is None:
            raise table.error("is required; it may be empty", key="value")
        if "\0" in value:
            raise table.error("has a NUL byte, which no variable can have", key="value")
        return Variable(name=name, value=value, exec_env=self._read_exec_env(table))

    def _read_buildpack(self, table: Table) -> ProjectBuildpack:
        self._warn_of_unknown(table, _MEMBER_KEYS)
        line = find_line(table.text, table.location)
        place = f"{self.document.source}:{line}" if line else str(self.document.source)
        named = [key for key in ("version", "uri", "script") if key in table]
        if len(named) > 1 and set(named) != {"version", "script"}:
            raise table.error(f"cannot have `{named[0]}` and `{named[1]}`: say one of `version`, `uri` and `script`")
        if "uri" in table:
            return ProjectBuildpack(place=place, uri=table.string("uri"), exec_env=self._read_exec_env(table))
        if "id" not in table:
            raise table.error("must say which buildpack: give `id`, or `uri` where it is elsewhere than in the builder")
        return ProjectBuildpack(
            place=place,
            id=table.parsed("id", BuildpackId.parse),
            version=table.parsed("version", parse_version) if "version" in table else None,
            script=self._read_script(table.table("script")) if "script" in table else None,
            exec_env=self._read_exec_env(table),
        )

    def _read_script(self, table: Table) -> Script:
        self._warn_of_unknown(table, frozenset({"api", "inline", "shell"}))
        api = table.parsed("api", ApiVersion.parse)
        if api not in BUILDPACK_APIS:
            known = ", ".join(str(one) for one in BUILDPACK_APIS)
            raise table.error(f"is {api}, and this lifecycle supports {known}", key="api")
        shell = table.optional_string("shell") or DEFAULT_SHELL
        if _SHELL.fullmatch(shell) is None:
            raise table.error(f"must be the path of a program, such as `{DEFAULT_SHELL}`, got `{shell}`", key="shell")
        return Script(api=api, shell=shell, inline=table.string("inline"))

    def _read_exec_env(self, table: Table) -> tuple[str, ...]:
        if "exec-env" in table and self.schema != _EXEC_ENV_SCHEMA:
            # Left out, it would take part where it must not.
            raise table.error(
                f'is of schema {_EXEC_ENV_SCHEMA}: write schema-version = "{_EXEC_ENV_SCHEMA}"', key="exec-env"
            )
        return table.strings("exec-env")

    def _warn_of_unknown(self, table: Table, known: frozenset[str]) -> None:
        try:
            table.reject_unknown(known)
        except ConfigurationError as err:
            self.warnings.append(f"{err.summary}, and does nothing; {err.hint}")

    def _warn(self, table: Table, key: str, message: str) -> None:
        self.warnings.append(table.error(message, key=key).summary)
