"""The text of an environment file, whatever wrote it: PowerShell's `>` writes UTF-16, some editors put a byte order mark."""

from __future__ import annotations

import codecs
from dataclasses import dataclass

from buildpacks.conda.errors import InvalidEnvironmentFile, Problem
from buildpacks.conda.origin import Origin

_SAVE_AS_UTF8 = "save the file as UTF-8 (most editors: `Save with encoding`)"
# Long before UTF-8, so that its mark is not taken for that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """A file's text without a byte order mark, and the encoding that it was in."""

    text: str
    encoding: str


def decode(data: bytes, *, name: str) -> Decoded:
    """Return the text of the file `name`. Raises `InvalidEnvironmentFile`."""
    mark, encoding = next(((mark, found) for mark, found in _MARKS if data.startswith(mark)), (b"", _guess(data)))
    if encoding == "utf-32":
        raise _fail(name, None, "is in UTF-32, which YAML files are not written in")
    try:
        # `utf-8-sig` is the name for people; its mark is cut off here, so that positions are those of the text.
        text = data[len(mark) :].decode(encoding.removesuffix("-sig"))
    except UnicodeDecodeError as err:
        unit = 2 if encoding.startswith("utf-16") else 1
        before = data[len(mark) : len(mark) + err.start].decode(encoding.removesuffix("-sig"), "replace")
        found = " ".join(f"0x{byte:02x}" for byte in data[len(mark) + err.start :][:unit])
        message = f"is not {encoding.upper().removesuffix('-SIG')} text: the byte {found} is no character of it"
        raise _fail(name, _place(name, before), message) from err
    return Decoded(text=text, encoding=encoding)


def _guess(data: bytes) -> str:
    """UTF-16 without its mark shows by the empty bytes of its ASCII characters; YAML has no NUL character."""
    pairs = len(data) // 2
    if pairs and data[1::2].count(0) > pairs // 2 and data[0] != 0:
        return "utf-16-le"
    if pairs and data[0::2].count(0) > pairs // 2 and data[1] != 0:
        return "utf-16-be"
    return "utf-8"


def _place(name: str, before: str) -> Origin:
    line = before.count("\n") + 1
    return Origin(file=name, line=line, column=len(before) - (before.rfind("\n") + 1) + 1)


def _fail(name: str, origin: Origin | None, message: str) -> InvalidEnvironmentFile:
    problem = Problem(origin=origin, kind="encoding", message=message, change=_SAVE_AS_UTF8)
    return InvalidEnvironmentFile(name=name, problems=(problem,))
