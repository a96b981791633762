"""What root file systems say of themselves."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lifecycle.execution.facts import RootfsFacts, find_facts, read_facts

GLIBC = b"\x7fELF\0ld.so (Debian GLIBC 2.36-9+deb12u14) stable release version 2.36.\n\0"
MUSL = b"\x7fELF\0musl libc (x86_64)\nVersion %s\n\0" + b"1.2.4\0more"


@pytest.mark.parametrize(
    ("files", "facts"),
    [
        ({}, RootfsFacts()),
        ({"etc/os-release": b'ID=debian\nVERSION_ID="12"\n'}, RootfsFacts(distro_name="debian", distro_version="12")),
        ({"usr/lib/os-release": b"ID=arch\n"}, RootfsFacts(distro_name="arch")),
        ({"lib64/ld-linux-x86-64.so.2": GLIBC}, RootfsFacts(libc="glibc", libc_version="2.36")),
        ({"lib64/ld-linux-x86-64.so.2": b"?"}, RootfsFacts(libc="glibc")),
        ({"lib/ld-musl-x86_64.so.1": MUSL}, RootfsFacts(libc="musl", libc_version="1.2.4")),
    ],
)
def test_distribution_and_c_library(files: dict[str, bytes], facts: RootfsFacts) -> None:
    assert find_facts(files.get) == facts


@pytest.mark.parametrize(
    ("architecture", "linkers"),
    [
        ("amd64", {"lib64/ld-linux-x86-64.so.2", "lib/ld-musl-x86_64.so.1"}),
        ("s390x", {"lib/ld64.so.1"}),
    ],
)
def test_linkers_of_other_architectures_are_not_looked_for(architecture: str, linkers: set[str]) -> None:
    asked: list[str] = []
    find_facts(asked.append, architecture)
    assert {path for path in asked if "/ld" in path} == linkers
    assert find_facts({"lib/ld-musl-x86_64.so.1": MUSL}.get, "amd64").libc == "musl"


def test_an_architecture_that_is_not_known_may_have_any_linker() -> None:
    assert find_facts({"lib64/ld-linux-x86-64.so.2": GLIBC}.get, "riscv64").libc == "glibc"


def test_links_lead_nowhere_else(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "usr/share").mkdir(parents=True)
    (root / "usr/share/os-release").write_bytes(b"ID=inside\n")
    (tmp_path / "secret").write_bytes(b"ID=outside\n")
    for target, name in (
        ("/usr/share/os-release", "inside"),
        ("../usr/share/os-release", "inside"),
        ("../../../../usr/./share//os-release", "inside"),
        (str(tmp_path / "secret"), None),
        ("../../secret", None),
        ("os-release", None),
        ("/usr", None),
    ):
        link = root / "etc/os-release"
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        assert read_facts(root).distro_name == name, target


def test_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    os.mkfifo(tmp_path / "etc/os-release")
    assert read_facts(tmp_path) == RootfsFacts()
