"""TOML files as typed values: every getter names the file and the place in it (`targets[1].arch`) when something is wrong.

The only module that knows which TOML library there is. Specification: https://toml.io/en/v1.0.0
"""

from __future__ import annotations

import functools
import os
import re
import stat
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from lifecycle.cnb.errors import ConfigurationError
from lifecycle.cnb.tomltext import render_toml

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_Value = TypeVar("_Value")

# No file of the contract comes near this; a larger one is an accident or an attack.
_SIZE_LIMIT = 16 * 1024 * 1024

_PLACE_IN_ERROR = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")

_TYPE_NAMES = {bool: "boolean", int: "integer", float: "float", str: "string", list: "array", dict: "table"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table inside a document, with its place in it. Absent keys give `None` or empty values, wrong types raise
    `ConfigurationError`. Works for decoded JSON as well: `source` is then what the text was read from.
    """

    values: Mapping[str, object]
    source: Path | str
    location: str = ""
    text: str = field(default="", repr=False, compare=False)
    """The TOML that it was read from, where that is known: errors name the line then."""

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def error(self, message: str, *, key: str | None = None) -> ConfigurationError:
        """Return the error that says `message` of this table, or of one of its keys."""
        place = self.location if key is None else self._place(key)
        return self._error(place, f"`{place}` {message}" if place else message)

    def string(self, key: str) -> str:
        """Return a string that must be there and must not be empty."""
        value = self.optional_string(key)
        if not value:
            raise self.error("is required" if value is None else "must not be empty", key=key)
        return value

    def optional_string(self, key: str) -> str | None:
        """Return a string, or `None` when the key is absent."""
        value = self.values.get(key)
        if value is not None and not isinstance(value, str):
            raise self._wrong_type(key, "a string", value)
        return value

    def boolean(self, key: str, *, default: bool) -> bool:
        """Return true or false; integers and strings do not count."""
        value = self.values.get(key, default)
        if not isinstance(value, bool):
            raise self._wrong_type(key, "true or false", value)
        return value

    def optional_integer(self, key: str) -> int | None:
        """Return an integer, or `None` when the key is absent."""
        value = self.values.get(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            raise self._wrong_type(key, "an integer", value)
        return value

    def strings(self, key: str) -> tuple[str, ...]:
        """Return an array of strings; empty when the key is absent."""
        value = self.values.get(key, [])
        if not isinstance(value, list):
            raise self._wrong_type(key, "an array of strings", value)
        for index, item in enumerate(value):
            if not isinstance(item, str):
                raise self._wrong_type(f"{key}[{index}]", "a string", item)
        return tuple(value)

    def table(self, key: str) -> Table:
        """Return the table below `key`; empty when the key is absent."""
        value = self.values.get(key, {})
        if not isinstance(value, dict):
            raise self._wrong_type(key, "a table", value)
        return Table(values=value, source=self.source, location=self._place(key), text=self.text)

    def tables(self, key: str) -> tuple[Table, ...]:
        """Return an array of tables; empty when the key is absent."""
        value = self.values.get(key, [])
        if not isinstance(value, list):
            raise self._wrong_type(key, "an array of tables", value)
        for index, item in enumerate(value):
            if not isinstance(item, dict):
                raise self._wrong_type(f"{key}[{index}]", "a table", item)
        return tuple(
            Table(values=item, source=self.source, location=self._place(f"{key}[{index}]"), text=self.text)
            for index, item in enumerate(value)
        )

    def parsed(self, key: str, parse: Callable[[str], _Value]) -> _Value:
        """Return `parse` of a required string; its `ValueError` is located."""
        try:
            return parse(self.string(key))
        except ValueError as err:
            raise self.error(str(err), key=key) from err

    def reject_unknown(self, known: frozenset[str]) -> None:
        """Raise for the first key that is not known: only for files that are ours."""
        for key in self.values:
            if key not in known:
                import difflib  # only needed to help with a mistake

                near = difflib.get_close_matches(key, known, n=1)
                advice = f"did you mean `{near[0]}`?" if near else f"known here: {', '.join(sorted(known))}"
                raise self._error(self._place(key), f"`{self._place(key)}` is not a known key", advice)

    def _error(self, place: str, message: str, advice: str | None = None) -> ConfigurationError:
        return ConfigurationError(self.source, message, line=find_line(self.text, place), advice=advice)

    def _place(self, key: str) -> str:
        return f"{self.location}.{key}" if self.location else key

    def _wrong_type(self, key: str, expected: str, value: object) -> ConfigurationError:
        found = _TYPE_NAMES.get(type(value), type(value).__name__)
        shown = f" {value!r}" if isinstance(value, (int, float, str)) else ""
        return self.error(f"must be {expected}, got {found}{shown}", key=key)


def find_line(text: str, place: str) -> int | None:
    """Return the line of `place` (`order[0].group[1].id`) in a valid document, or that of the nearest thing that it is in."""
    known = _known_lines(text)
    path = place.replace("[", ".").replace("]", "")
    while path and path not in known:
        path = path.rpartition(".")[0]
    return known.get(path)


@functools.lru_cache(maxsize=1)
def _known_lines(text: str) -> Mapping[str, int]:
    """Return the lines of everything in a valid document; of one document several things may be wrong."""
    # Only needed to help with a mistake.
    from lifecycle.cnb.lines import find_lines

    return {".".join(path): line for path, line in find_lines(text).items()}


def read_toml(path: Path, *, follow_links: bool = True) -> Mapping[str, object]:
    """Return the document at `path`. Raises `ConfigurationError` for anything but a readable file of valid TOML.

    `follow_links=False` is for files that untrusted code wrote and that are read outside its sandbox.
    """
    return parse_toml(read_regular_file(path, follow_links=follow_links), source=path)


def read_table(path: Path, *, follow_links: bool = True) -> Table:
    """Return the document at `path` for typed reading."""
    content = read_regular_file(path, follow_links=follow_links)
    return Table(values=parse_toml(content, source=path), source=path, text=content.decode("utf-8-sig"))


def parse_toml(content: bytes, *, source: Path | str) -> Mapping[str, object]:
    """Return a TOML document. A byte order mark is accepted."""
    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as err:
        line = content.count(b"\n", 0, err.start) + 1
        raise ConfigurationError(source, "is not UTF-8 text", line=line) from err
    except RecursionError as err:
        raise ConfigurationError(source, "is nested too deeply") from err
    except ValueError as err:  # TOMLDecodeError, and integers beyond the interpreter's limit
        message = str(err)
        place = _PLACE_IN_ERROR.search(message)
        if place is None:
            raise ConfigurationError(source, f"invalid TOML: {message}") from err
        line = int(place[1]) if place[1] else len(content.splitlines())
        raise ConfigurationError(source, f"invalid TOML: {message[: place.start()]}", line=line) from err


def write_toml(path: Path, values: Mapping[str, object]) -> None:
    """Write a document whole or not at all: a temporary file in the same directory, then a rename. What is no Unicode becomes `?`."""
    # Labels of images may hold bytes that are no text.
    write_atomically(path, render_toml(values).encode("utf-8", "replace"))


def write_atomically(path: Path, content: bytes, *, durable: bool = False) -> None:
    """Replace `path` by a file with `content`, mode as the umask says. Raises `OSError`.

    A `durable` one is on the disk before it has its name, so that a power cut leaves the old file or the new one.
    """
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            # mkstemp makes files that only their owner reads; another phase may run as another user.
            os.fchmod(stream.fileno(), 0o644)
            if durable:
                stream.flush()
                os.fsync(stream.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_regular_file(path: Path, *, follow_links: bool = True) -> bytes:
    """Return what is in a file of a size that a document has. Raises `ConfigurationError`, also for a FIFO or a device."""
    # O_NONBLOCK: a FIFO of that name must not stop the reader.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow_links else os.O_NOFOLLOW)
    try:
        descriptor = os.open(path, flags)
    except OSError as err:
        raise ConfigurationError(path, f"cannot be read: {err.strerror}") from err
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ConfigurationError(path, "is not a regular file")
        with os.fdopen(descriptor, "rb", closefd=False) as stream:
            content = stream.read(_SIZE_LIMIT + 1)
    finally:
        os.close(descriptor)
    if len(content) > _SIZE_LIMIT:
        raise ConfigurationError(path, f"is larger than {_SIZE_LIMIT} bytes")
    return content
