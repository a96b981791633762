"""What the header of a program or library says: for which machine it is, and which libraries it loads. Nothing is executed.

https://refspecs.linuxfoundation.org/elf/gabi4+/contents.html: 64 bits, least significant byte first, which is what Linux has on all
architectures that images are made for here.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

# e_machine -> the names of OCI
_MACHINES = {62: "amd64", 183: "arm64"}
_MAGIC = b"\x7fELF\x02\x01"
_HEADER = struct.Struct("<16xHHIQQQIHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_DYNAMIC = struct.Struct("<qQ")
_LOAD_SEGMENT, _DYNAMIC_SEGMENT = 1, 2
_END, _NEEDED, _STRINGS, _SONAME = 0, 1, 5, 14


@dataclass(frozen=True, slots=True, kw_only=True)
class ElfFile:
    """`architecture`: as OCI names it, or a number. `needed`: names of the libraries that it loads when it is loaded.

    `soname`: the name that others load it by, where it says one.
    """

    architecture: str
    needed: tuple[str, ...]
    soname: str | None


def read_elf(path: Path) -> ElfFile | None:
    """What the file is; None where it is no ELF file of a kind that is known here, or is cut off."""
    return parse_elf(path.read_bytes())


def parse_elf(content: bytes) -> ElfFile | None:
    """The same of a file's content."""
    if not content.startswith(_MAGIC):
        return None
    try:
        _, machine, _, _, segments_at, _, _, _, size, count = _HEADER.unpack_from(content)
        segments = [_SEGMENT.unpack_from(content, segments_at + number * size) for number in range(count)]
        named = _read_names(content, segments)
    except (struct.error, ValueError, StopIteration):
        return None
    return ElfFile(
        architecture=_MACHINES.get(machine, str(machine)),
        needed=tuple(name for tag, name in named if tag == _NEEDED),
        soname=next((name for tag, name in named if tag == _SONAME), None),
    )


def _read_names(content: bytes, segments: list[tuple[int, ...]]) -> list[tuple[int, str]]:
    entries: list[tuple[int, int]] = []
    for kind, _, offset, _, _, size, _, _ in segments:
        if kind == _DYNAMIC_SEGMENT:
            dynamic = content[offset : offset + size // _DYNAMIC.size * _DYNAMIC.size]
            for tag, value in _DYNAMIC.iter_unpack(dynamic):
                if tag == _END:
                    break
                entries.append((tag, value))
    address = next((value for tag, value in entries if tag == _STRINGS), None)
    if address is None:
        return []
    # Strings are named by where they are in memory.
    start = next(
        address - virtual + offset
        for kind, _, offset, virtual, _, size, _, _ in segments
        if kind == _LOAD_SEGMENT and virtual <= address < virtual + size
    )
    names = [(tag, start + value) for tag, value in entries if tag in (_NEEDED, _SONAME)]
    return [(tag, content[name : content.index(b"\0", name)].decode("utf-8", "replace")) for tag, name in names]
