"""Files that an environment is made from, as texts: a Dockerfile, those of a directory."""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from lifecycle.cnb.errors import ConfigurationError, InvalidValue
from lifecycle.cnb.toml import read_regular_file
from pybuild.source.git import parse_git_source
from pybuild.source.tree import is_left_out, is_version_control

# As many as Azure ML takes into a build context without a warning; more is a repository that git should have.
_MAXIMUM_FILES = 100
_MAXIMUM_BYTES = 1024 * 1024
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
# What a Dockerfile of one line begins with.
_INSTRUCTION = re.compile(r"\s*(?:#|(?:FROM|ARG)\s)", re.IGNORECASE)


def normalise_text(text: str) -> str:
    """Return a file's text with one kind of line end, no blank lines around it, and an end of line after the last."""
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").strip("\n")
    return f"{lines}\n"


def is_safe_path(path: str) -> bool:
    """Whether `path` stays where it is put."""
    pure = PurePosixPath(path)
    return (
        str(pure) == path and not pure.is_absolute() and ".." not in pure.parts and path.isprintable() and path != "."
    )


def is_one_line(text: str) -> bool:
    """Whether a text can stand in a line of its own in any file."""
    return len(text.splitlines()) <= 1 and "\0" not in text


def require_line(text: object) -> str:
    """Return `text`, which can stand in a line of its own. Raises `InvalidValue` for numbers, several lines and nothing at all."""
    if not isinstance(text, str):
        raise InvalidValue(f"`{text}`", "is no text", f'write it in quotes: `"{text}"`')
    if not text.strip() or not is_one_line(text):
        raise InvalidValue(f"`{text}`", "is not one line", "give one thing at a time")
    return text


def is_remote(repository: str) -> bool:
    """Whether `repository` is a git URL that leads to another machine."""
    git = parse_git_source(repository)
    return git is not None and not git.url.partition("://")[0].lower().endswith("file")


def read_dockerfile(dockerfile: str | Path) -> str:
    """Return the text of a Dockerfile that is given as text or as a path. Raises `ConfigurationError`."""
    if isinstance(dockerfile, str) and ("\n" in dockerfile or _INSTRUCTION.match(dockerfile)):
        return dockerfile
    return read_text(Path(dockerfile))


def read_text(path: Path) -> str:
    """Return the text of a file; PowerShell's `>` writes UTF-16. Raises `ConfigurationError` where there is no readable text."""
    content = read_regular_file(path)
    try:
        return content.decode("utf-16" if content.startswith(_UTF16_MARKS) else "utf-8-sig")
    except UnicodeDecodeError as err:
        raise ConfigurationError(path, "is not UTF-8 text", advice="save it as UTF-8") from err


def read_tree(directory: Path) -> Mapping[str, str]:
    """Return the texts of all files below a directory by their paths, but for version control data and caches.

    Raises:
        ConfigurationError: there are none, too many, or one that is no text, a link or nothing that an environment can carry.
    """
    files: dict[str, str] = {}
    size = 0
    for path in _walk(directory):
        name = str(path.relative_to(directory))
        if path.is_symlink() or not is_safe_path(name):
            raise ConfigurationError(
                path, "is a link, or has a name that not every machine can have", advice=_ELSEWHERE
            )
        files[name] = normalise_text(read_text(path))
        size += path.stat().st_size
        if len(files) > _MAXIMUM_FILES or size > _MAXIMUM_BYTES:
            limits = f"{_MAXIMUM_FILES} files or {_MAXIMUM_BYTES} bytes"
            raise ConfigurationError(directory, f"has more than {limits}", advice=_ELSEWHERE)
    if not files:
        raise ConfigurationError(directory, "has no files", advice="name the directory of a repository")
    return files


_ELSEWHERE = "name the repository by its URL, such as https://git.example.org/team/project#v1"


def _walk(directory: Path) -> Iterator[Path]:
    for parent, directories, names in os.walk(directory):
        directories[:] = sorted(name for name in directories if not is_left_out(Path(parent, name)))
        # What `os.walk` does not go into.
        yield from (Path(parent, name) for name in directories if Path(parent, name).is_symlink())
        yield from (Path(parent, name) for name in sorted(names) if not is_version_control(name))
