"""What an image extension generates: Dockerfiles, their build arguments and their contexts (image_extension.md, "Generation").

Only what the contract says of Dockerfiles is looked at here; whoever executes them says what else is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from lifecycle.cnb.api import ApiVersion
from lifecycle.cnb.errors import ConfigurationError
from lifecycle.cnb.group import GroupElement
from lifecycle.cnb.identifier import BuildpackId
from lifecycle.cnb.layer import is_real_directory
from lifecycle.cnb.toml import read_regular_file, read_table

BASE_IMAGE = "base_image"
CONFIGURATION = "extend-config.toml"
IGNORED_SUFFIX = ".ignore"
# Since then each extension has a directory of its own, which may hold contexts.
DIRECTORY_API = ApiVersion(0, 13)

_FROM_BASE = f"${{{BASE_IMAGE}}}"
# What the lifecycle gives by itself
_RESERVED_ARGUMENTS = frozenset({"build_id", "user_id", "group_id"})
_EXPECTED = frozenset({"ADD", "ARG", "COPY", "ENV", "FROM", "LABEL", "RUN", "SHELL", "USER", "WORKDIR"})
# As BuildKit tells them from other uses of `<<`: a word of its own
_HEREDOC = re.compile(r"(?:\A|(?<=\s))\d*<<-?([\"']?)([A-Za-z_][A-Za-z0-9_]*)\1(?=\s|\Z)")
_ESCAPE = re.compile(r"#\s*escape\s*=\s*(\S)\s*\Z", re.IGNORECASE)
_DIRECTIVE = re.compile(r"#\s*[A-Za-z]+\s*=")


class Kind(str, Enum):
    """Which image a Dockerfile extends."""

    BUILD = "build"
    RUN = "run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """An instruction with its first and its last line, counted from 1; `rest` is what follows the keyword, in one line."""

    keyword: str
    rest: str
    line: int
    last_line: int
    has_heredoc: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Dockerfile:
    """A Dockerfile that keeps to the contract."""

    path: Path
    text: str
    escape: str
    base: str | None
    """The image that its `FROM` names; `None`: the one that is extended."""
    start: Instruction
    """Its only `FROM`."""
    extends: bool
    """Whether anything stands after that."""
    unexpected: tuple[Instruction, ...]
    """What extensions should not use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """A Dockerfile of an extension, with all that its execution needs."""

    extension: BuildpackId
    kind: Kind
    dockerfile: Dockerfile
    context: Path | None
    """`None`: the application."""
    arguments: tuple[tuple[str, str], ...]
    """In the order of extend-config.toml."""


def dockerfile_path(generated_dir: Path, extension: BuildpackId, kind: Kind, api: ApiVersion) -> Path:
    """Return where the Dockerfile of an extension is."""
    if api < DIRECTORY_API:
        return generated_dir / kind.value / extension.directory_name / "Dockerfile"
    return generated_dir / extension.directory_name / f"{kind.value}.Dockerfile"


def read_generated(
    generated_dir: Path, extensions: Sequence[GroupElement], kind: Kind, api: ApiVersion
) -> tuple[Generated, ...]:
    """Return the Dockerfiles of `kind` in the order of the extensions, without those that a later one made pointless.

    Raises `ConfigurationError`.
    """
    return tuple(
        found
        for extension in extensions
        if (found := _read_extension(generated_dir, extension.id, kind, api)) is not None
    )


def _read_extension(generated_dir: Path, extension: BuildpackId, kind: Kind, api: ApiVersion) -> Generated | None:
    path = dockerfile_path(generated_dir, extension, kind, api)
    # Whoever reads this may be outside of where it was written: no link is followed.
    if not is_real_directory(generated_dir) or not is_real_directory(path.parent) or not path.exists():
        return None
    return Generated(
        extension=extension,
        kind=kind,
        dockerfile=read_dockerfile(path, kind),
        context=_find_context(path.parent, kind) if api >= DIRECTORY_API else None,
        arguments=read_arguments(path.with_name(CONFIGURATION), kind),
    )


def _find_context(directory: Path, kind: Kind) -> Path | None:
    both, own = directory / "context", directory / f"context.{kind.value}"
    others = sorted(path.name for path in directory.glob("context.*") if path.name in {"context.run", "context.build"})
    if both.exists() and others:
        raise ConfigurationError(directory, f"`context` cannot stand beside `{others[0]}`: keep the one or the others")
    return next((path for path in (own, both) if is_real_directory(path)), None)


def read_arguments(path: Path, kind: Kind) -> tuple[tuple[str, str], ...]:
    """Return the build arguments that extend-config.toml has for `kind`; none where there is no file. Raises `ConfigurationError`."""
    if not path.exists():
        return ()
    tables = read_table(path, follow_links=False).table(kind.value).tables("args")
    for table in tables:
        if (name := table.string("name")) in _RESERVED_ARGUMENTS:
            raise table.error(f"must not be `{name}`, which the lifecycle gives by itself", key="name")
    return tuple((table.string("name"), table.optional_string("value") or "") for table in tables)


def read_dockerfile(path: Path, kind: Kind) -> Dockerfile:
    """Return the Dockerfile at `path`. Raises `ConfigurationError` where it does not keep to the contract."""
    text = read_regular_file(path, follow_links=False).decode("utf-8-sig", "surrogateescape")
    instructions = parse_instructions(text)
    stages = [one for one in instructions if one.keyword == "FROM"]
    if not stages:
        raise ConfigurationError(
            path, "has no `FROM`", advice=f"begin it with `ARG {BASE_IMAGE}` and `FROM {_FROM_BASE}`"
        )
    if len(stages) > 1:
        raise ConfigurationError(path, "has a second `FROM`: an extension has one stage", line=stages[1].line)
    start = stages[0]
    before = instructions[: instructions.index(start)]
    image = _image_name(start)
    if kind is Kind.BUILD:
        _check_build_base(path, before, start, image)
    elif "$" in image and image != _FROM_BASE:
        raise ConfigurationError(
            path, f"`FROM` must name an image or be `FROM {_FROM_BASE}`, not `{image}`", line=start.line
        )
    elif image == _FROM_BASE and BASE_IMAGE not in _declared(before):
        raise ConfigurationError(path, f"needs `ARG {BASE_IMAGE}` before its `FROM`", line=start.line)
    return Dockerfile(
        path=path,
        text=text,
        escape=_find_escape(text.splitlines()),
        base=None if image == _FROM_BASE else image,
        start=start,
        extends=instructions[-1] is not start,
        unexpected=tuple(one for one in instructions if one.keyword not in _EXPECTED),
    )


def _check_build_base(path: Path, before: Sequence[Instruction], start: Instruction, image: str) -> None:
    arguments = [one for one in before if one.keyword == "ARG"]
    if len(arguments) != 1 or _declared(arguments) != [BASE_IMAGE]:
        wrong = next((one.line for one in arguments if _declared([one]) != [BASE_IMAGE]), start.line)
        raise ConfigurationError(
            path, f"must have exactly one `ARG` before its `FROM`, and that is `ARG {BASE_IMAGE}`", line=wrong
        )
    if image != _FROM_BASE:
        raise ConfigurationError(path, f"must begin with `FROM {_FROM_BASE}`, not `FROM {image}`", line=start.line)


def _declared(instructions: Sequence[Instruction]) -> list[str]:
    words = (word for one in instructions if one.keyword == "ARG" for word in one.rest.split())
    return [word.partition("=")[0] for word in words]


def _image_name(start: Instruction) -> str:
    words = [word for word in start.rest.split() if not word.startswith("--")]
    return words[0] if words else ""


def parse_instructions(text: str) -> tuple[Instruction, ...]:
    """Return the instructions of a Dockerfile (https://docs.docker.com/reference/dockerfile/#format)."""
    return tuple(_parse(text.splitlines()))


def _parse(lines: Sequence[str]) -> Iterator[Instruction]:
    escape = _find_escape(lines)
    number = 0
    while number < len(lines):
        first, parts = number, list[str]()
        while number < len(lines):
            line = lines[number].strip()
            number += 1
            if line.startswith("#") or not line:
                if parts:
                    continue
                break
            parts.append(line.removesuffix(escape).rstrip())
            if not line.endswith(escape):
                break
        if not parts:
            continue
        keyword, _, rest = " ".join(part for part in parts if part).partition(" ")
        heredocs = _HEREDOC.findall(rest) if keyword.upper() in {"ADD", "COPY", "RUN"} else []
        for _, word in heredocs:
            number = _skip_heredoc(lines, number, word)
        yield Instruction(
            keyword=keyword.upper(), rest=rest.strip(), line=first + 1, last_line=number, has_heredoc=bool(heredocs)
        )


def _find_escape(lines: Sequence[str]) -> str:
    for line in lines:
        if not _DIRECTIVE.match(line.strip()):
            break
        if match := _ESCAPE.match(line.strip()):
            return match[1]
    return "\\"


def _skip_heredoc(lines: Sequence[str], number: int, word: str) -> int:
    while number < len(lines):
        number += 1
        if lines[number - 1].lstrip("\t") == word:
            break
    return number
