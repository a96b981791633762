"""Environments for an image of another architecture, with the real uv, offline: nothing of it runs here."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lifecycle.cnb.target import host_architecture
from tests.buildpacks.conftest import Workbench
from tests.buildpacks.pip.test_build import site_packages
from tests.buildpacks.trees import tree
from tests.buildpacks.wheels import make_wheel

pytestmark = pytest.mark.integration

Make = Callable[[str], Workbench]
FOREIGN, MACHINE = ("arm64", "aarch64") if host_architecture() == "amd64" else ("amd64", "x86_64")
THERE = f"manylinux_2_28_{MACHINE}"
HERE = f"manylinux_2_28_{platform.machine()}"
MINOR = f"{sys.version_info[0]}.{sys.version_info[1]}"
# As much of a build backend as uv asks for; the wheel has the tag that a project names.
BACKEND = """
import os, zipfile
def get_requires_for_build_wheel(settings=None): return []
get_requires_for_build_editable = get_requires_for_build_wheel
def build_wheel(directory, settings=None, metadata=None, files={"local/__init__.py": b"X = 1\\n"}):
    tag = open("TAG").read().strip()
    files = {**files, "local-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\\nName: local\\nVersion: 1.0\\n",
             "local-1.0.dist-info/WHEEL": f"Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: {tag}\\n".encode()}
    files["local-1.0.dist-info/RECORD"] = "".join(f"{name},,\\n" for name in files).encode()
    with zipfile.ZipFile(os.path.join(directory, f"local-1.0-{tag}.whl"), "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return f"local-1.0-{tag}.whl"
def build_editable(directory, settings=None, metadata=None):
    if os.path.exists("COMPILES"):
        open("fast.so", "wb").write(b"\\x7fELF" + bytes(60))
    return build_wheel(directory, files={"local.pth": os.getcwd().encode() + b"\\n"})
"""
PROJECT = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'


@pytest.fixture
def bench(workbench: Make, tmp_path: Path) -> Workbench:
    made = workbench("pip")
    index = tmp_path / "index"
    make_wheel(index, "alpha", "1.0", requires=("both", f'other; platform_machine == "{MACHINE}"'))
    make_wheel(index, "both", "1.0", files={"both/where.txt": "there"}, tag=f"py3-none-{THERE}")
    make_wheel(index, "both", "1.0", files={"both/where.txt": "here"}, tag=f"py3-none-{HERE}")
    make_wheel(index, "other", "1.0")
    make_wheel(index, "here", "1.0", tag=f"py3-none-{HERE}")
    make_wheel(index, "young", "1.0", tag=f"py3-none-manylinux_2_39_{MACHINE}")
    make_wheel(tmp_path / "wheels", "pip", "26.3")
    made.env.update(
        PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        PIP_FIND_LINKS=str(index),
        PIP_NO_INDEX="1",
        PYBUILD_WHEELS=str(tmp_path / "wheels"),
        CNB_TARGET_ARCH=FOREIGN,
        CNB_TARGET_DISTRO_NAME="debian",
        CNB_TARGET_DISTRO_VERSION="12",
        PYBUILD_TARGET_PYTHON="/layers/pybuild_python/cpython/bin/python3",
        PYBUILD_TARGET_PYTHON_VERSION=f"{MINOR}.99",
    )
    return made


def project(tag: str, **others: str) -> dict[str, str]:
    return {
        "requirements.txt": "./lib\n",
        "lib/pyproject.toml": PROJECT,
        "lib/backend.py": BACKEND,
        "lib/TAG": tag,
        **others,
    }


def test_the_environment_has_the_files_of_the_other_architecture_and_its_interpreter(bench: Workbench) -> None:
    bench.write({"requirements.txt": "alpha\n"})
    run = bench.build()
    assert run.status == 0, run.stderr
    assert (site_packages(bench) / "both" / "where.txt").read_text() == "there"
    # Markers are those of the image.
    assert (site_packages(bench) / "other").is_dir()
    assert list((site_packages(bench) / "alpha" / "__pycache__").glob("*.pyc"))
    venv = bench.layers / "venv"
    assert str((venv / "bin" / "python").readlink()) == f"/layers/pybuild_python/cpython/bin/python{MINOR}"
    settings = dict(line.split(" = ", 1) for line in (venv / "pyvenv.cfg").read_text().splitlines())
    assert settings["home"] == "/layers/pybuild_python/cpython/bin"
    assert settings["version_info"] == f"{MINOR}.99"
    here = str(Path(sys.executable).resolve().parent).encode()
    for name, content in tree(venv).items():
        assert here not in (content if isinstance(content, bytes) else content.encode()), name
    assert MACHINE in str(bench.layer("venv").metadata["python"])


def test_an_unchanged_build_uses_the_last_image_and_one_for_this_machine_does_not(bench: Workbench) -> None:
    bench.write({"requirements.txt": "alpha\n"})
    bench.build()
    bench.restore()
    assert "nothing has changed" in bench.build().stdout
    bench.restore()
    bench.env["CNB_TARGET_ARCH"] = host_architecture()
    run = bench.build()
    assert run.status == 0, run.stderr
    assert "Python has changed" in run.stdout
    assert (site_packages(bench) / "both" / "where.txt").read_text() == "here"


@pytest.mark.parametrize(
    ("requirement", "problem"),
    [
        ("here", f"`here` has no wheel for linux/{FOREIGN} in a version that fits"),
        ("young", f"`young` has no wheel for linux/{FOREIGN} in a version that fits"),
        ("source", "`source` comes as source code alone, and what it builds here would be for this machine"),
        (f"./here-1.0-py3-none-{HERE}.whl", f"`here-1.0-py3-none-{HERE}.whl` is not for linux/{FOREIGN}"),
        ("--no-binary :all:", "`--no-binary :all:` has every package built"),
    ],
)
def test_what_has_nothing_for_the_architecture_is_an_error_with_its_line(
    bench: Workbench, requirement: str, problem: str
) -> None:
    (bench.root / "index" / "source-1.0.tar.gz").write_bytes(b"not opened")
    make_wheel(bench.app, "here", "1.0", tag=f"py3-none-{HERE}")
    bench.write({"requirements.txt": f"alpha\n{requirement}\n"})
    run = bench.build()
    assert run.status == 1
    place = "" if requirement.startswith("--") else "requirements.txt:2: "
    assert run.stderr.startswith(f"error: {place}{problem}"), run.stderr
    assert f"linux/{FOREIGN} machine" in run.stderr


def test_a_project_of_pure_python_is_built(bench: Workbench) -> None:
    # Only the build says what it is called.
    bench.write(project("py3-none-any", **{"requirements.txt": "./lib ; python_version > '3'\n"}))
    run = bench.build()
    assert run.status == 0, run.stderr
    assert (site_packages(bench) / "local" / "__init__.py").is_file()


def test_a_project_that_is_built_for_this_machine_is_an_error_with_its_line(bench: Workbench) -> None:
    bench.write(project(f"py3-none-linux_{platform.machine()}", **{"requirements.txt": "alpha\n-e ./lib\n"}))
    run = bench.build()
    assert run.status == 1
    assert run.stderr.startswith(
        f"error: requirements.txt:2: `local` is built for this machine, and the image is for linux/{FOREIGN}\n"
    ), run.stderr


def test_a_library_beside_an_editable_project_is_an_error(bench: Workbench) -> None:
    bench.write(project("py3-none-any", **{"requirements.txt": "-e ./lib\n", "lib/COMPILES": ""}))
    run = bench.build()
    assert run.stderr.startswith(
        f"error: `lib/fast.so` was built for this machine, and the image is for linux/{FOREIGN}\n"
    ), run.stderr


def test_uv_installs_where_pip_was_asked_for_and_what_only_pip_can_is_an_error(bench: Workbench) -> None:
    bench.env["BP_PIP_INSTALLER"] = "pip"
    bench.write({"requirements.txt": "--prefer-binary\nhere\n"})
    run = bench.build()
    assert f"notice: `BP_PIP_INSTALLER`: uv installs for linux/{FOREIGN}, because pip cannot" in run.stdout
    assert "`here` has no wheel" in run.stderr
    bench.write({"requirements.txt": "alpha\n--use-feature fast-deps\n"})
    run = bench.build()
    assert run.stderr.startswith(
        f"error: requirements.txt:2: uv has no `--use-feature`, and pip cannot install for linux/{FOREIGN}\n"
    )


def test_an_architecture_that_no_wheels_are_for_is_an_error(bench: Workbench) -> None:
    bench.env["CNB_TARGET_ARCH"] = "s390x"
    bench.write({"requirements.txt": "alpha\n"})
    assert "error: an environment for linux/s390x (debian 12) cannot be made on this machine" in bench.build().stderr
