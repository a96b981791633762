"""What an environment says, in one canonical form: equal environments have equal bytes, in which no credentials are.

The order of packages means nothing to conda and pip, so they are sorted, and requirements spelled alike; that of channels and of pip's
options means something, so it stays.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import ClassVar

from lifecycle.cnb.digest import Digest
from lifecycle.cnb.errors import ConfigurationError, InvalidValue
from lifecycle.cnb.jsontext import parse_json, render_json
from lifecycle.cnb.reference import Reference
from lifecycle.cnb.toml import Table
from pybuild.environments.requirements import names_file, normalise
from pybuild.environments.texts import is_one_line, is_remote, is_safe_path, normalise_text

_SCHEMA = 1
_SOURCE = "environment definition"
NODEFAULTS = "nodefaults"
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
"""Names that environment variables can have everywhere."""
_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class CondaPackages:
    """What rattler installs from conda's channels, and pip's installer after it. Made by `of`."""

    installer: ClassVar[str] = "conda"

    channels: tuple[str, ...]
    """The first comes first; `nodefaults` is always among them."""
    packages: tuple[str, ...]
    pip: tuple[str, ...] = ()
    """Options, then requirements."""
    constraints: tuple[str, ...] = ()
    other: Mapping[str, object] = field(default_factory=dict)
    """Keys of the environment file that mean nothing to pybuild, with texts, lists and mappings of texts."""

    @classmethod
    def of(
        cls,
        *,
        channels: Iterable[str],
        packages: Iterable[str],
        pip: Iterable[str] = (),
        constraints: Iterable[str] = (),
        other: Mapping[str, object] = _NOTHING,
    ) -> CondaPackages:
        """Return the canonical form."""
        listed = tuple(dict.fromkeys(channel.strip() for channel in channels))
        return cls(
            channels=listed if NODEFAULTS in listed else (*listed, NODEFAULTS),
            packages=tuple(sorted({" ".join(package.split()) for package in packages})),
            pip=normalise(pip),
            constraints=normalise(constraints),
            other=dict(other),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PipPackages:
    """What is installed from package indexes alone, into a virtual environment. Made by `of`."""

    installer: ClassVar[str] = "pip"

    requirements: tuple[str, ...]
    """Options, then requirements."""
    constraints: tuple[str, ...] = ()
    python_version: str | None = None
    """Such as `3.12`; `None`: the builder's default."""

    @classmethod
    def of(
        cls, *, requirements: Iterable[str], constraints: Iterable[str] = (), python_version: str | None = None
    ) -> PipPackages:
        """Return the canonical form."""
        return cls(
            requirements=normalise(requirements), constraints=normalise(constraints), python_version=python_version
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PoetryPackages:
    """What a Poetry project needs, without the project itself."""

    installer: ClassVar[str] = "poetry"

    files: Mapping[str, str]
    """Texts by name, as `normalise_text` gives them: `pyproject.toml` and, where there is one, `poetry.lock`."""


Packages = CondaPackages | PipPackages | PoetryPackages


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """What an environment says, without its name. Two with equal `render()` build the same."""

    packages: Packages | None = None
    image: str | None = None
    """Reference of the base image; `None`: the builder's run image, or what `dockerfile` makes."""
    dockerfile: str | None = None
    """Text of the Dockerfile whose image everything stands on, as `normalise_text` gives it; so are those of `files`."""
    user_managed: bool = False
    """Whether Python and packages are those of the base."""
    interpreter: str | None = None
    """With that, the path of Python in the image; `None`: what `python` is."""
    repository: str | None = None
    """Address of a repository that says all of the above itself."""
    files: Mapping[str, str] = field(default_factory=dict)
    """The same as texts by path, for a directory."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Environment variables of the image."""

    def render(self) -> bytes:
        """Return canonical JSON: sorted keys, no white space, UTF-8."""
        values: dict[str, object] = {
            "schema": _SCHEMA,
            "packages": None if self.packages is None else _render_packages(self.packages),
            "image": self.image,
            "dockerfile": self.dockerfile,
            "user-managed": self.user_managed or None,
            "interpreter": self.interpreter,
            "repository": self.repository,
            "files": dict(self.files) or None,
            "variables": dict(self.variables) or None,
        }
        return render_json(values).encode()

    @property
    def digest(self) -> str:
        """`sha256:` and the hash of what `render` gives."""
        return str(Digest.of(self.render()))

    @classmethod
    def parse(cls, content: bytes) -> Definition:
        """Return what `render` gave; others may have written it: nothing in it leads to files of this machine.

        Raises:
            ConfigurationError: it is no definition, or a newer pybuild's.
        """
        try:
            text = content.decode()
        except UnicodeDecodeError as err:
            raise ConfigurationError(_SOURCE, "is not UTF-8 text") from err
        table = parse_json(text, source=_SOURCE)
        schema = table.optional_integer("schema")
        if schema != _SCHEMA:
            advice = "use the pybuild that wrote it, or a newer one"
            raise ConfigurationError(_SOURCE, f"has the schema {schema}; this pybuild reads {_SCHEMA}", advice=advice)
        table.reject_unknown(_KEYS)
        return cls(
            packages=_parse_packages(table.table("packages")) if "packages" in table else None,
            image=str(table.parsed("image", _parse_image)) if "image" in table else None,
            dockerfile=normalise_text(table.string("dockerfile")) if "dockerfile" in table else None,
            user_managed=table.boolean("user-managed", default=False),
            interpreter=table.optional_string("interpreter"),
            repository=table.parsed("repository", _parse_repository) if "repository" in table else None,
            files=_parse_files(table, "files"),
            variables=_parse_variables(table.table("variables")),
        )


_KEYS = frozenset(
    {
        "schema",
        "packages",
        "image",
        "dockerfile",
        "user-managed",
        "interpreter",
        "repository",
        "files",
        "variables",
    }
)


def _render_packages(packages: Packages) -> Mapping[str, object]:
    values: dict[str, object] = {"installer": packages.installer}
    match packages:
        case CondaPackages():
            lists = {"channels": packages.channels, "packages": packages.packages, "pip": packages.pip}
            values |= {**lists, "constraints": packages.constraints, "other": dict(packages.other) or None}
        case PipPackages():
            values |= {"requirements": packages.requirements, "constraints": packages.constraints}
            values["python-version"] = packages.python_version
        case PoetryPackages():
            values["files"] = dict(packages.files)
    return {key: value for key, value in values.items() if value != ()}


def _parse_packages(table: Table) -> Packages:
    installer = table.string("installer")
    if installer == CondaPackages.installer:
        table.reject_unknown(frozenset({"installer", "channels", "packages", "pip", "constraints", "other"}))
        lines = functools.partial(_parse_lines, table)
        return CondaPackages.of(
            channels=lines("channels"),
            packages=lines("packages"),
            pip=lines("pip"),
            constraints=lines("constraints"),
            other=table.table("other").values,
        )
    if installer == PipPackages.installer:
        table.reject_unknown(frozenset({"installer", "requirements", "constraints", "python-version"}))
        return PipPackages.of(
            requirements=_parse_lines(table, "requirements"),
            constraints=_parse_lines(table, "constraints"),
            python_version=table.parsed("python-version", _parse_version) if "python-version" in table else None,
        )
    if installer == PoetryPackages.installer:
        table.reject_unknown(frozenset({"installer", "files"}))
        return PoetryPackages(files=_parse_files(table, "files"))
    raise table.error("is no installer that this pybuild knows", key="installer")


def _parse_image(text: str) -> Reference:
    try:
        return Reference.parse(text)
    except InvalidValue as err:
        raise ValueError(err.message) from err


def _parse_version(text: str) -> str:
    if not is_one_line(text) or text != text.strip():
        raise ValueError("must be one line")
    return text


def _parse_repository(text: str) -> str:
    if not is_remote(text):
        raise ValueError("is no git URL")
    return text


def _parse_variables(table: Table) -> Mapping[str, str]:
    variables = _parse_texts(table)
    for name, value in variables.items():
        if not VARIABLE.fullmatch(name) or not is_one_line(value):
            raise table.error("is no variable of one line", key=name)
    return variables


def _parse_lines(table: Table, key: str) -> tuple[str, ...]:
    lines = table.strings(key)
    for index, line in enumerate(lines):
        # A line of its own is what each becomes.
        if not line.strip() or not is_one_line(line):
            raise table.error("must be one line", key=f"{key}[{index}]")
        if names_file(line):
            raise table.error("names a file", key=f"{key}[{index}]")
    return lines


def _parse_files(table: Table, key: str) -> Mapping[str, str]:
    files = _parse_texts(table.table(key))
    for path in files:
        if not is_safe_path(path):
            raise table.error("is no path inside of a directory", key=f"{key}.{path}")
    return files


def _parse_texts(table: Table) -> Mapping[str, str]:
    return {key: table.optional_string(key) or "" for key in table.values}
