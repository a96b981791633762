from __future__ import annotations

import struct
import sys
from pathlib import Path

import pytest

from lifecycle.cnb.target import host_architecture
from pybuild.builder.elf import read_elf

ARM64 = 183


def elf(machine: int, *needed: str) -> bytes:
    """A file of one segment that is loaded and has the dynamic section in it."""
    strings = b"\0" + b"".join(name.encode() + b"\0" for name in needed)
    positions = [1 + sum(len(name) + 1 for name in needed[:number]) for number in range(len(needed))]
    header, segment, base = 64, 56, 0x10000
    dynamic_at = header + 2 * segment
    entries = [(1, position) for position in positions]
    strings_at = dynamic_at + 16 * (len(entries) + 2)
    dynamic = b"".join(struct.pack("<qQ", *entry) for entry in [*entries, (5, base + strings_at), (0, 0)])
    size = strings_at + len(strings)
    start = struct.pack(
        "<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 3, machine, 1, 0, header, 0, 0, header, segment, 2, 0, 0, 0
    )
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, size, size, 0x1000)
    section = struct.pack("<IIQQQQQQ", 2, 4, dynamic_at, base + dynamic_at, 0, len(dynamic), len(dynamic), 8)
    return start + load + section + dynamic + strings


def test_a_program_of_this_machine_is_read() -> None:
    found = read_elf(Path(sys.executable).resolve())
    assert found is not None
    assert found.architecture == host_architecture()
    assert any(name.startswith("libc.so") for name in found.needed)


def test_a_library_of_another_architecture_says_what_it_loads(tmp_path: Path) -> None:
    path = tmp_path / "module.so"
    path.write_bytes(elf(ARM64, "libssl.so.3", "libc.so.6"))
    found = read_elf(path)
    assert found is not None
    assert (found.architecture, found.needed) == ("arm64", ("libssl.so.3", "libc.so.6"))


@pytest.mark.parametrize("length", [0, 5, 40, 100, 200, -3])
def test_what_is_cut_off_or_something_else_is_no_program(tmp_path: Path, length: int) -> None:
    path = tmp_path / "module.so"
    path.write_bytes(elf(ARM64, "libssl.so.3")[:length])
    found = read_elf(path)
    assert found is None or found.needed == ()
    path.write_text("#!/bin/sh\n")
    assert read_elf(path) is None
