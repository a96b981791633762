"""The programs as files that a platform may copy one by one."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from lifecycle.__main__ import PROGRAMS
from pybuild.builder.programs import FILE
from tests.conformance.kit import make_programs
from tests.lifecycle.commands.platform import Platform
from tests.lifecycle.registry.fake_registry import FakeRegistry
from tests.lifecycle.world import World

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_programs(tmp_path_factory.mktemp("programs"))


def run(program: Path, *arguments: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    # -S: what is installed for this Python is not there, as in a build image.
    command = [sys.executable, "-ISB", str(program), *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def test_every_program_is_a_name_of_one_file(programs: Path) -> None:
    assert {path.name for path in programs.iterdir()} == {FILE, *PROGRAMS}
    assert {path.readlink() for path in programs.iterdir() if path.is_symlink()} == {Path(FILE)}
    with zipfile.ZipFile(programs / FILE) as archive:
        names = archive.namelist()
    assert {"lifecycle/launcher.sh", "isal/isal_zlib.so", "zstandard/backend_c.so", "certifi.py"} <= {
        *names,
        *(name.replace(".pyc", ".py") for name in names),
    }
    assert len(names) == len(set(names))


def test_copies_of_the_programs_make_an_image_without_anything_beside_them(
    programs: Path, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    copies = world.root / "copies"
    copies.mkdir()
    with FakeRegistry() as registry:
        platform = Platform(world, registry, capsys)
        image = platform.add_run_image()
        name = f"{registry.host}/team/app:1"
        for program, *arguments in (
            ("analyzer", "-run-image", image, name),
            ("detector",),
            ("restorer",),
            ("builder",),
            ("exporter", name),
        ):
            # A whole file each, as `cp` makes it.
            shutil.copyfile(programs / program, copies / program)
            done = run(copies / program, *arguments, env=platform.env)
            assert (done.returncode, done.stderr) == (0, "")
        assert platform.label()["buildpacks"][0]["key"] == "a"


def test_extension_modules_are_loaded_from_the_archive_alone(programs: Path) -> None:
    question = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from zipimport import zipimporter\n"
        "from lifecycle.extension_modules import import_from_archive\n"
        "import_from_archive(zipimporter(sys.argv[1]))\n"
        "import docker, isal.isal_zlib, isal.igzip, zstandard\n"
        "print(isal.isal_zlib.decompress(isal.isal_zlib.compress(b'content')), zstandard.backend, docker.__file__)\n"
        "print(zstandard.ZstdDecompressor().decompress(zstandard.ZstdCompressor().compress(b'content')))\n"
    )
    command = [sys.executable, "-ISB", "-W", "error", "-c", question, str(programs / FILE)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    place = f"{programs / FILE}/docker/__init__"
    assert done.stdout.startswith(f"b'content' cext {place}")
    assert done.stdout.endswith("\nb'content'\n")


def test_extension_modules_are_loaded_where_a_machine_has_no_files_in_memory(programs: Path, tmp_path: Path) -> None:
    question = (
        "import os, sys; sys.path.insert(0, sys.argv[1])\n"
        "del os.memfd_create\n"
        "def memfd_create(name): raise OSError\n"
        "os.memfd_create = memfd_create\n"
        "from zipimport import zipimporter\n"
        "from lifecycle.extension_modules import import_from_archive\n"
        "import_from_archive(zipimporter(sys.argv[1]))\n"
        "import isal.isal_zlib\n"
        "print(isal.isal_zlib.decompress(isal.isal_zlib.compress(b'content')))\n"
    )
    command = [sys.executable, "-ISB", "-c", question, str(programs / FILE)]
    env = {"TMPDIR": str(tmp_path)}
    assert subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout == "b'content'\n"
    assert list(tmp_path.iterdir()) == []
