"""`/etc/ld.so.cache`, made of headers: which shared library is where. ldconfig makes it for its own architecture only.

The form is glibc's since 2.2 (https://sourceware.org/git/?p=glibc.git;a=blob;f=sysdeps/generic/dl-cache.h), without extensions.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable, Sequence
from pathlib import PurePosixPath

from pybuild.builder.elf import ElfFile

_MAGIC = b"glibc-ld.so.cache1.1"
_HEADER, _ENTRY = struct.Struct("<20sIIBxxxI12x"), struct.Struct("<iIIIQ")
_LITTLE_ENDIAN = 2
# FLAG_ELF_LIBC6 with FLAG_X8664_LIB64, with FLAG_AARCH64_LIB64
_FLAGS = {"amd64": 0x0303, "arm64": 0x0A03}
_LIBRARY = re.compile(r"(?:lib|ld-).*\.so(?!.*\.(?:py|txt)$)")
_DIGITS = re.compile(r"\d+|\D")


def find_libraries(
    directory: PurePosixPath, names: Iterable[str], read: Callable[[PurePosixPath], ElfFile | None], architecture: str
) -> list[tuple[str, PurePosixPath]]:
    """Names that programs ask for, and the paths of the libraries in `directory` that have them; `names` are all that are in it."""
    there = set(names)
    found: dict[str, PurePosixPath] = {}
    for name in sorted(there):
        library = read(directory / name) if _LIBRARY.match(name) else None
        if library is None or library.architecture != architecture:
            continue
        soname = library.soname or name
        # The name that compilers ask for is an entry of its own.
        asked = name if name.endswith(".so") and soname.startswith(f"{name}.") else soname
        if asked in there:
            found[asked] = directory / asked
    return list(found.items())


def render_cache(libraries: Sequence[tuple[str, PurePosixPath]], architecture: str) -> bytes:
    """The file. Of libraries with one name the first is the one that programs get."""
    # The loader searches by halves, numbers in names compared as such, the highest first.
    entries = sorted(libraries, key=lambda entry: _order(entry[0]), reverse=True)
    start = _HEADER.size + _ENTRY.size * len(entries)
    strings, positions = bytearray(), []
    for name, path in entries:
        # The name is the end of the path.
        text = str(path).encode()
        positions.append((start + len(strings) + len(text) - len(name.encode()), start + len(strings)))
        strings += text + b"\0"
    table = b"".join(_ENTRY.pack(_FLAGS[architecture], key, value, 0, 0) for key, value in positions)
    return _HEADER.pack(_MAGIC, len(entries), len(strings), _LITTLE_ENDIAN, 0) + table + bytes(strings)


def _order(name: str) -> list[tuple[int, int]]:
    return [(1, int(part)) if part.isdigit() else (0, ord(part)) for part in _DIGITS.findall(name)]
