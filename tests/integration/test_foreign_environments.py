"""Environments for arm64 that this machine makes: every program and library in them is arm64's, and an emulator can run them.

The buildpacks are run as a lifecycle does, and execute nothing for arm64; only the tests do, with Debian's interpreter and libraries.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lifecycle.cnb.target import host_architecture
from pybuild.builder.elf import read_elf
from tests.buildpacks.conda.packages import CondaPackage, make_channel, serve
from tests.buildpacks.conda.test_foreign import add_interpreter
from tests.buildpacks.conftest import Workbench
from tests.buildpacks.wheels import make_wheel
from tests.integration.arm64 import EMULATOR, MINOR, download_packages
from tests.integration.conda_packages import Content, Symlink, python_package
from tests.interpreter import ROOT

# The same version as arm64's: both are of the same release of Debian.
HERE = Path("/usr/bin/python3")
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        host_architecture() != "amd64" or not Path(f"/usr/bin/python{MINOR}").exists(),
        reason="what is foreign here is what this machine is, or its Python is another one",
    ),
]
PACKAGES = (
    *(f"python{MINOR}-minimal", f"libpython{MINOR}-minimal", f"libpython{MINOR}-stdlib"),
    *("libc6", "libexpat1", "zlib1g", "libffi8", "libgcc-s1", "libstdc++6"),
)
WORKER = ROOT / "buildpacks" / "installer" / "compile_worker.py"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm64:
    """A root file system with as much as an interpreter needs."""

    root: Path

    @property
    def python(self) -> Path:
        return self.root / "usr" / "bin" / f"python{MINOR}"

    @property
    def version(self) -> str:
        said = self.run(str(self.python), "--version")
        return said.removeprefix("Python ")

    def run(self, *argv: str, **env: str) -> str:
        """Output of an arm64 program, which must succeed."""
        command = [str(EMULATOR), "-L", str(self.root), *argv]
        done = subprocess.run(
            command, env={"PATH": "/usr/bin:/bin", **env}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()


@pytest.fixture(scope="module")
def arm64(tmp_path_factory: pytest.TempPathFactory) -> Arm64:
    directory = tmp_path_factory.mktemp("arm64")
    root = directory / "root"
    for package in download_packages(directory / "work", *PACKAGES):
        subprocess.run(["dpkg-deb", "--extract", package, root], check=True)
    (root / "usr" / "bin" / "python3").symlink_to(f"python{MINOR}")
    return Arm64(root=root)


def make_bench(directory: Path, buildpack: str, **env: str) -> Workbench:
    made = Workbench(root=directory, buildpack=ROOT / "buildpacks" / buildpack)
    made.app.mkdir()
    tools = directory / "tools"
    tools.mkdir()
    (tools / "uv").symlink_to(Path(sys.executable).parent / "uv")
    make_wheel(directory / "wheels", "pip", "26.3")
    passed = {name: value for name, value in os.environ.items() if re.match(r"(SSL_|PIP_|UV_)|(?i:.*_proxy$)", name)}
    made.env.update(
        passed,
        PATH=f"{tools}:{HERE.parent}:/bin",
        PYBUILD_WHEELS=str(directory / "wheels"),
        CNB_TARGET_ARCH="arm64",
        CNB_TARGET_DISTRO_NAME="debian",
        CNB_TARGET_DISTRO_VERSION="12",
        **env,
    )
    return made


def machines(directory: Path) -> set[str]:
    """The architectures of all programs and libraries below `directory`."""
    files = (path for path in directory.rglob("*") if path.is_file() and not path.is_symlink())
    return {found.architecture for path in files if (found := read_elf(path)) is not None}


def test_wheels_of_data_science_are_those_of_the_image_and_run_there(arm64: Arm64, tmp_path: Path) -> None:
    bench = make_bench(
        tmp_path,
        "pip",
        PYBUILD_TARGET_PYTHON=str(arm64.root / "usr" / "bin" / "python3"),
        PYBUILD_TARGET_PYTHON_VERSION=arm64.version,
    )
    bench.write({"requirements.txt": "numpy==1.26.4\n"})
    run = bench.build()
    assert run.status == 0, run.stdout + run.stderr
    venv = bench.layers / "venv"
    assert machines(venv) == {"arm64"}
    program = "import numpy, platform; print(platform.machine(), numpy.arange(4).reshape(2, 2) @ numpy.ones(2))"
    assert arm64.run(str(venv / "bin" / "python"), "-c", program) == "aarch64 [1. 5.]"

    # Bytecode that this machine compiled is what the interpreter of the image would have made.
    sources = sorted((venv / "lib" / f"python{MINOR}" / "site-packages" / "numpy" / "lib").glob("*.py"))
    jobs = tmp_path / "jobs"
    words = [word for path in sources for word in (path, path, tmp_path / f"{path.name}c")]
    jobs.write_bytes(b"".join(os.fsencode(word) + b"\0" for word in words))
    arm64.run(str(arm64.python), "-sSB", str(WORKER), str(jobs), PYTHONHASHSEED="0", LC_ALL="C.UTF-8")
    assert len(sources) > 10
    for path in sources:
        made = path.parent / "__pycache__" / f"{path.stem}.cpython-{MINOR.replace('.', '')}.pyc"
        assert made.read_bytes() == (tmp_path / f"{path.name}c").read_bytes(), path


@pytest.fixture(scope="module")
def channel(arm64: Arm64, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a server whose `conda-forge` has arm64's interpreter for `linux-aarch64`."""
    root = tmp_path_factory.mktemp("channels")
    tree = arm64.root / "usr"
    library = tree / "lib" / f"python{MINOR}"
    files: dict[str, Content] = {
        str(path.relative_to(tree)): path.read_bytes()
        for path in (arm64.python, *library.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }
    files["bin/python"] = Symlink(target=f"python{MINOR}")
    files[f"lib/python{MINOR}/site-packages/README.txt"] = ""
    zlib = next(arm64.root.rglob("libz.so.1.*"))
    packages = (
        CondaPackage(
            name="python", version=arm64.version, subdir="linux-aarch64", build_prefix="h0_cpython", files=files
        ),
        CondaPackage(name="zlib", subdir="linux-aarch64", files={"lib/libz.so.1": zlib.read_bytes()}),
        python_package("pip", "26.3", modules={"pip/__init__.py": ""}, depends=["python"]),
        python_package(
            "tool",
            modules={"tool.py": "def main(): print('it runs')\n"},
            depends=["python"],
            entry_points=["tool = tool:main"],
        ),
    )
    make_channel(root / "conda-forge", packages)
    with serve(root) as served:
        yield served.url


def test_packages_of_conda_are_those_of_the_image_and_run_there(arm64: Arm64, channel: str, tmp_path: Path) -> None:
    bench = make_bench(
        tmp_path,
        "conda",
        BP_CONDA_MIRRORS=f"https://conda.anaconda.org={channel}",
        PYBUILD_INTERPRETERS=str(tmp_path / "interpreters"),
        NO_PROXY="127.0.0.1",
        no_proxy="127.0.0.1",
    )
    add_interpreter(tmp_path / "interpreters", HERE, arm64.version)
    lines = ["python", "zlib", "tool", "pip", "pip: [numpy==1.26.4]"]
    dependencies = "".join(f"  - {line}\n" for line in lines)
    bench.write({"environment.yml": f"channels: [conda-forge, nodefaults]\ndependencies:\n{dependencies}"})
    run = bench.build()
    assert run.status == 0, run.stdout + run.stderr
    prefix = bench.layers / "env" / "conda"
    assert machines(bench.layers / "env") == {"arm64"}
    python = str(prefix / "bin" / "python")
    # Debian's interpreter looks there only in virtual environments.
    packages = str(prefix / "lib" / f"python{MINOR}" / "site-packages")
    assert arm64.run(python, str(prefix / "bin" / "tool"), PYTHONPATH=packages) == "it runs"
    program = "import numpy, sys; print(sys.prefix, numpy.__version__)"
    assert arm64.run(python, "-c", program, PYTHONPATH=packages) == f"{prefix} 1.26.4"
