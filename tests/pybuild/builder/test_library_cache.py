from __future__ import annotations

import struct
from pathlib import PurePosixPath

from pybuild.builder.elf import ElfFile
from pybuild.builder.library_cache import find_libraries, render_cache

PLACE = PurePosixPath("/lib/aarch64-linux-gnu")


def library(soname: str | None, architecture: str = "arm64") -> ElfFile:
    return ElfFile(architecture=architecture, needed=(), soname=soname)


def find(files: dict[str, ElfFile | None]) -> dict[str, str]:
    found = find_libraries(PLACE, files, lambda path: files[path.name], "arm64")
    return {name: str(path) for name, path in found}


def test_libraries_are_found_by_the_name_that_programs_load_them_by() -> None:
    real = library("libz.so.1")
    assert find({"libz.so.1": real, "libz.so.1.2.13": real}) == {"libz.so.1": f"{PLACE}/libz.so.1"}
    assert find({"libpcprofile.so": library(None)}) == {"libpcprofile.so": f"{PLACE}/libpcprofile.so"}
    # There it is by a name that nobody loads it by, and ldconfig would make the other.
    assert find({"libz.so.1.2.13": real}) == {}


def test_the_name_for_compilers_is_found_as_well() -> None:
    real = library("libz.so.1")
    assert set(find({"libz.so": real, "libz.so.1": real})) == {"libz.so", "libz.so.1"}


def test_other_files_and_other_machines_are_passed_over() -> None:
    assert find({"libz.so.1": library("libz.so.1", "amd64"), "notes.so": library(None), "libc.so": None}) == {}


def test_the_file_is_sorted_as_the_loader_searches_it() -> None:
    names = ["libz.so.1", "libgcc_s.so.1", "libfoo.so.9", "libfoo.so.10", "libz.so.1"]
    places = [PLACE, PLACE, PLACE, PLACE, PurePosixPath("/usr/lib")]
    content = render_cache([(name, place / name) for name, place in zip(names, places, strict=True)], "arm64")
    magic, count, size = struct.unpack_from("<20sII", content)
    assert (magic, count, 48 + 24 * count + size) == (b"glibc-ld.so.cache1.1", 5, len(content))

    def text(position: int) -> str:
        return content[position : content.index(b"\0", position)].decode()

    entries = [struct.unpack_from("<iIIIQ", content, 48 + 24 * number) for number in range(count)]
    assert [(text(name), text(path)) for _, name, path, _, _ in entries] == [
        ("libz.so.1", f"{PLACE}/libz.so.1"),
        ("libz.so.1", "/usr/lib/libz.so.1"),
        ("libgcc_s.so.1", f"{PLACE}/libgcc_s.so.1"),
        ("libfoo.so.10", f"{PLACE}/libfoo.so.10"),
        ("libfoo.so.9", f"{PLACE}/libfoo.so.9"),
    ]
    assert {kind for kind, *_ in entries} == {0x0A03}
