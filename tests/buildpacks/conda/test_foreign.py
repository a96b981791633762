"""Environments of conda's packages for an image of another architecture: nothing of it runs here."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import struct
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lifecycle.cnb.target import host_architecture
from tests.buildpacks.conda.packages import Channels, CondaPackage, make_channel, serve
from tests.buildpacks.conftest import Workbench
from tests.buildpacks.wheels import make_wheel
from tests.integration.conda_packages import Symlink, python_package

pytestmark = pytest.mark.integration

FOREIGN, MACHINE, NUMBER = ("arm64", "aarch64", 183) if host_architecture() == "amd64" else ("amd64", "x86_64", 62)
SUBDIR = "linux-aarch64" if FOREIGN == "arm64" else "linux-64"
MINOR = f"{sys.version_info[0]}.{sys.version_info[1]}"
# As much of a program as the system looks at.
PROGRAM = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HH", 2, NUMBER) + bytes(44)


def interpreter(version: str) -> CondaPackage:
    minor = version.rpartition(".")[0]
    return CondaPackage(
        name="python",
        version=version,
        subdir=SUBDIR,
        build_prefix="h0_cpython",
        files={
            f"bin/python{minor}": PROGRAM,
            "bin/python": Symlink(target=f"python{minor}"),
            f"lib/python{minor}/os.py": "",
            f"lib/python{minor}/site-packages/README.txt": "",
        },
    )


PACKAGES = (
    interpreter(f"{MINOR}.99"),
    interpreter("3.7.99"),
    python_package("pip", "26.3", modules={"pip/__init__.py": ""}, depends=["python"]),
    python_package(
        "tool", modules={"tool.py": "def main() -> None: ...\n"}, depends=["python"], entry_points=["tool = tool:main"]
    ),
    CondaPackage(name="zlib", subdir=SUBDIR, files={"lib/libz.so": PROGRAM}),
    CondaPackage(name="zlib", subdir="linux-64" if SUBDIR != "linux-64" else "linux-aarch64"),
    CondaPackage(name="linked", subdir=SUBDIR, files={"bin/.linked-post-link.sh": "exit 0\n"}),
    CondaPackage(
        name="calling",
        subdir=SUBDIR,
        depends=("zlib",),
        files={"bin/ask": PROGRAM, "etc/conda/activate.d/ask.sh": 'export ASKED="$(ask)"\n'},
    ),
    CondaPackage(name="telling", noarch="generic", files={"etc/conda/activate.d/tell.sh": "export TOLD=yes\n"}),
)


@pytest.fixture(scope="module")
def channels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Channels]:
    root = tmp_path_factory.mktemp("channels")
    make_channel(root / "conda-forge", PACKAGES)
    with serve(root) as served:
        yield served


@pytest.fixture
def bench(workbench: Callable[[str], Workbench], channels: Channels, tmp_path: Path) -> Workbench:
    made = workbench("conda")
    add_interpreter(tmp_path / "interpreters")
    make_wheel(tmp_path / "index", "both", "1.0", files={"both/where.txt": "there"}, tag=f"py3-none-linux_{MACHINE}")
    make_wheel(tmp_path / "index", "here", "1.0", tag=f"py3-none-linux_{platform.machine()}")
    make_wheel(tmp_path / "wheels", "pip", "26.3")
    made.env.update(
        PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        BP_CONDA_MIRRORS=f"https://conda.anaconda.org={channels.url}",
        CNB_TARGET_ARCH=FOREIGN,
        CNB_TARGET_DISTRO_NAME="debian",
        CNB_TARGET_DISTRO_VERSION="12",
        NO_PROXY="127.0.0.1",
        no_proxy="127.0.0.1",
        PIP_FIND_LINKS=str(tmp_path / "index"),
        PIP_NO_INDEX="1",
        PYBUILD_INTERPRETERS=str(tmp_path / "interpreters"),
        PYBUILD_WHEELS=str(tmp_path / "wheels"),
    )
    return made


def add_interpreter(directory: Path, executable: Path = Path(sys.executable), version: str = f"{MINOR}.1") -> None:
    """An interpreter of this machine, by default that of the tests, as an archive that refers to it."""
    directory.mkdir()
    path = directory / "cpython.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name in ("python3", f"python{version.rpartition('.')[0]}"):
            member = tarfile.TarInfo(f"bin/{name}")
            member.type, member.linkname = tarfile.SYMTYPE, str(executable.resolve())
            archive.addfile(member)
    entry = {
        "version": version,
        "arch": host_architecture(),
        "file": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "origin": "test",
    }
    (directory / "interpreters.json").write_text(json.dumps([entry]))


def ask(bench: Workbench, *names: str, more: str = "") -> None:
    lines = "".join(f"  - {name}\n" for name in names)
    bench.write({"environment.yml": f"channels: [conda-forge, nodefaults]\ndependencies:\n{lines}{more}"})


def prefix(bench: Workbench) -> Path:
    return bench.layers / "env" / "conda"


def test_packages_of_the_other_architecture_are_installed_compiled_and_activated(bench: Workbench) -> None:
    ask(bench, f"python={MINOR}", "tool", "zlib", "telling", more="  - pip:\n      - both\n")
    run = bench.build()
    assert run.status == 0, run.stdout + run.stderr
    assert (prefix(bench) / "lib" / "libz.so").read_bytes() == PROGRAM
    library = prefix(bench) / "lib" / f"python{MINOR}"
    assert (library / "site-packages" / "both" / "where.txt").read_text() == "there"
    for module in (
        library / "os.py",
        library / "site-packages" / "tool.py",
        library / "site-packages/both/__init__.py",
    ):
        assert list((module.parent / "__pycache__").glob(f"{module.stem}.*.pyc")), module
    # The stand-in is gone.
    assert str((prefix(bench) / "bin" / "python").readlink()) == f"python{MINOR}"
    assert (prefix(bench) / "bin" / f"python{MINOR}").read_bytes() == PROGRAM
    assert not (prefix(bench) / "pyvenv.cfg").exists()
    assert {path.name for path in (prefix(bench) / "bin").iterdir()} >= {"tool", "python", f"python{MINOR}"}
    assert (prefix(bench) / "bin" / "tool").read_text().startswith(f"#!{prefix(bench)}/bin/python")
    here = str(bench.layers / "cache").encode()
    files = [path for path in prefix(bench).rglob("*") if path.is_file() and not path.is_symlink()]
    assert not [path for path in files if here in path.read_bytes()]
    assert (bench.layers / "env" / "env" / "TOLD.override").read_text() == "yes"
    assert f"# platform: {SUBDIR}\n" in (prefix(bench) / "conda-explicit.lock").read_text()

    bench.restore()
    assert "nothing has changed" in bench.build().stdout


def test_a_python_that_the_builder_has_not_gives_no_bytecode_and_installs_nothing_by_pip(bench: Workbench) -> None:
    ask(bench, "python=3.7", "tool")
    run = bench.build()
    assert run.status == 0, run.stdout + run.stderr
    assert "notice: no bytecode: the builder has no Python 3.7 for this machine" in run.stdout
    assert not list(prefix(bench).rglob("*.pyc"))
    ask(bench, "python=3.7", more="  - pip:\n      - both\n")
    assert bench.build().stderr.startswith(
        f"error: the `pip:` section for linux/{FOREIGN} needs Python 3.7 on this machine, which the builder has not\n"
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "linked",
            f"error: the post-link script of linked 1.0 0 cannot be run here: the image is for linux/{FOREIGN}\n",
        ),
        ("calling", "error: activating the environment needs a program that this machine cannot run"),
    ],
)
def test_what_would_have_to_run_is_an_error_that_names_it(bench: Workbench, name: str, message: str) -> None:
    ask(bench, name)
    run = bench.build()
    assert run.status == 1
    assert run.stderr.startswith(message), run.stderr


def test_what_pip_has_no_wheel_for_is_an_error_with_its_line(bench: Workbench) -> None:
    ask(bench, f"python={MINOR}", more="  - pip:\n      - both\n      - here\n")
    run = bench.build()
    assert run.stderr.startswith(f"error: environment.yml:6: `here` has no wheel for linux/{FOREIGN}"), run.stderr
    # The stand-in is gone after a failure too.
    assert not (bench.layers / "cache" / "python").exists()


def test_a_lock_of_the_other_platform_is_found_and_one_of_this_machine_refused(bench: Workbench) -> None:
    ask(bench, "zlib")
    bench.build()
    lock = (prefix(bench) / "conda-explicit.lock").read_text()
    bench.write({f"conda-{SUBDIR}.lock": lock})
    assert bench.build().status == 0
    (bench.app / f"conda-{SUBDIR}.lock").unlink()
    bench.write({"own.lock": lock.replace(SUBDIR, "linux-ppc64le")})
    bench.env["BP_CONDA_LOCK"] = "own.lock"
    assert f"is for `linux-ppc64le`, and the image for `{SUBDIR}`" in bench.build().stderr
