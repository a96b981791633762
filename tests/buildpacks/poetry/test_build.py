"""Whole builds with the real Poetry and the real uv: the packages are tiny wheels, served on 127.0.0.1."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import poetry.console
import pytest

from lifecycle.cnb.target import host_architecture
from tests.buildpacks.conftest import Run, Workbench
from tests.buildpacks.wheels import make_wheel
from tests.integration.package_index import PackageIndex

pytestmark = pytest.mark.integration

Make = Callable[[str], Workbench]
# The packages of Poetry, as the builder has them in a directory of their own.
POETRY = Path(poetry.console.__path__[0]).parents[1]
NOWHERE = "/nonexistent"

PROJECT = """\
[tool.poetry]
name = "thesis"
version = "0.1.0"
description = ""
authors = []
package-mode = false

[tool.poetry.dependencies]
python = "^3.10"
alpha = "^1.0"
"""
PACKAGE = PROJECT.replace("package-mode = false\n", "") + '\n[tool.poetry.scripts]\nthesis = "thesis:main"\n'
# A project that is built with nothing but itself, so that no index has to have a build backend.
IN_TREE_BACKEND = {
    "linked/pyproject.toml": """\
[project]
name = "linked"
version = "1.0"

[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
""",
    "linked/backend.py": """\
import os, zipfile

def build_wheel(directory, config_settings=None, metadata_directory=None):
    name = "linked-1.0-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(directory, name), "w") as wheel:
        wheel.writestr("linked.pth", os.getcwd() + "\\n")
        wheel.writestr("linked-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: linked\\nVersion: 1.0\\n")
        wheel.writestr("linked-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("linked-1.0.dist-info/RECORD", "")
    return name

build_editable = build_wheel
""",
}


@pytest.fixture
def index(tmp_path: Path) -> Iterator[PackageIndex]:
    with PackageIndex(tmp_path / "index") as served:
        make_wheel(served.directory, "alpha", "1.0", requires=("beta",))
        make_wheel(served.directory, "beta", "1.0")
        make_wheel(served.directory, "gamma", "1.0")
        yield served


@pytest.fixture
def bench(workbench: Make, tmp_path: Path, index: PackageIndex) -> Workbench:
    made = workbench("poetry")
    make_wheel(tmp_path / "wheels", "pip", "26.3")
    made.env.update(
        # The interpreter of the tests stands for the one of the python buildpack.
        PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        PIP_INDEX_URL=index.url,
        PYBUILD_WHEELS=str(tmp_path / "wheels"),
        PYBUILD_POETRY=str(POETRY),
    )
    return made


def venv(bench: Workbench) -> Path:
    return bench.layers / "venv"


def python(bench: Workbench, program: str) -> str:
    return subprocess.run(
        [venv(bench) / "bin" / "python", "-c", program], capture_output=True, text=True, check=True
    ).stdout.strip()


def distributions(bench: Workbench) -> set[str]:
    """As `name==version`."""
    program = "import importlib.metadata as m; print(*(f'{d.name}=={d.version}' for d in m.distributions()))"
    return set(python(bench, program).split())


def locks(bench: Workbench) -> dict[str, str]:
    found = json.loads((bench.layers / "locks.json").read_bytes())
    assert isinstance(found, dict)
    return found


def built(bench: Workbench) -> Run:
    run = bench.build()
    assert run.status == 0, run.stdout + run.stderr
    return run


def commit_lock(bench: Workbench) -> None:
    """What the notice asks the user to do."""
    bench.write({"poetry.lock": locks(bench)["poetry.lock"]})
    bench.restore()


def test_a_repository_without_lock_gets_one_and_keeps_it(bench: Workbench, index: PackageIndex) -> None:
    bench.write({"pyproject.toml": PROJECT})
    run = built(bench)
    assert "notice: no poetry.lock in the repository: the build is not pinned" in run.stdout
    assert distributions(bench) == {"alpha==1.0", "beta==1.0", "pip==26.3"}
    lock = locks(bench)["poetry.lock"]
    assert 'name = "beta"' in lock
    assert (venv(bench) / "poetry.lock").read_text() == lock
    assert "beta==1.0" in locks(bench)["requirements.lock"]
    # The application's files are the user's.
    assert [path.name for path in bench.app.iterdir()] == ["pyproject.toml"]

    # A newer version does not matter while nothing has changed, and Poetry is not asked: here it could not be.
    make_wheel(index.directory, "beta", "2.0")
    bench.restore()
    bench.env["PYBUILD_POETRY"] = NOWHERE
    bench.write({"main.py": "print()\n"})
    asked = len(index.requests)
    run = built(bench)
    assert "nothing has changed" in run.stdout
    assert "not pinned" in run.stdout
    assert len(index.requests) == asked
    assert locks(bench)["poetry.lock"] == lock


def test_what_was_locked_stays_where_it_fits_until_the_lock_is_committed(bench: Workbench, index: PackageIndex) -> None:
    bench.write({"pyproject.toml": PROJECT})
    built(bench)
    bench.restore()
    make_wheel(index.directory, "beta", "2.0")
    bench.write({"pyproject.toml": PROJECT + 'gamma = "*"\n'})
    built(bench)
    assert distributions(bench) == {"alpha==1.0", "beta==1.0", "gamma==1.0", "pip==26.3"}

    commit_lock(bench)
    run = built(bench)
    assert "not pinned" not in run.stdout
    assert "poetry.lock" not in locks(bench)
    assert "`poetry lock" not in run.stdout


def test_a_stale_lock_is_an_error_with_the_command_that_mends_it_or_is_made_anew_when_asked(
    bench: Workbench, index: PackageIndex
) -> None:
    bench.write({"pyproject.toml": PROJECT})
    built(bench)
    commit_lock(bench)
    make_wheel(index.directory, "beta", "2.0")
    bench.write({"pyproject.toml": PROJECT + 'gamma = "*"\n'})
    stale = (bench.app / "poetry.lock").read_bytes()
    run = bench.build()
    assert run.status == 1
    assert "error: poetry.lock: `pyproject.toml` has changed since this lock was made" in run.stderr
    assert "hint: run `poetry lock --no-update`" in run.stderr

    bench.env["BP_POETRY_RELOCK"] = "1"
    run = built(bench)
    assert "notice: `BP_POETRY_RELOCK`: poetry.lock was stale" in run.stdout
    assert distributions(bench) == {"alpha==1.0", "beta==1.0", "gamma==1.0", "pip==26.3"}
    assert 'name = "gamma"' in locks(bench)["poetry.lock"]
    assert (bench.app / "poetry.lock").read_bytes() == stale


def test_the_project_is_installed_so_that_its_code_runs_from_where_it_is(bench: Workbench) -> None:
    bench.write({"pyproject.toml": PACKAGE, "thesis/__init__.py": "def main():\n    print('first')\n"})
    built(bench)
    script = venv(bench) / "bin" / "thesis"
    assert subprocess.run([script], capture_output=True, text=True, check=True).stdout == "first\n"
    assert "thesis==0.1.0" in distributions(bench)
    assert f"-e {bench.app}\n" in locks(bench)["requirements.lock"]

    # Code of its own changes nothing, also where it is new.
    bench.restore()
    bench.env["PYBUILD_POETRY"] = NOWHERE
    bench.write({"thesis/__init__.py": "def main():\n    print('second')\n", "thesis/data/__init__.py": ""})
    assert "nothing has changed" in built(bench).stdout

    # Its scripts do.
    bench.restore()
    bench.env["PYBUILD_POETRY"] = str(POETRY)
    bench.write({"pyproject.toml": PACKAGE + 'defence = "thesis:main"\n'})
    assert "the project has changed" in built(bench).stdout
    script = venv(bench) / "bin" / "defence"
    assert subprocess.run([script], capture_output=True, text=True, check=True).stdout == "second\n"


def test_poetry_itself_installs_the_same_where_it_is_asked_to(bench: Workbench) -> None:
    bench.write({"pyproject.toml": PACKAGE, "thesis.py": ""})
    bench.env["BP_POETRY_INSTALLER"] = "poetry"
    built(bench)
    assert distributions(bench) == {"alpha==1.0", "beta==1.0", "pip==26.3", "thesis==0.1.0"}


def test_what_uv_refuses_and_poetry_takes_is_installed_by_poetry(bench: Workbench, index: PackageIndex) -> None:
    # A version that is another one in the file than in its name: old packages of PyPI have that.
    make_wheel(index.directory, "old", "1.0")
    path = index.directory / "old-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content.replace(b"\nVersion: 1.0\n", b"\nVersion: 1.0.post1\n"))
    bench.write({"pyproject.toml": PROJECT + 'old = "*"\n'})
    run = built(bench)
    assert "notice: uv cannot install what the lock names, for the reason above: Poetry installs instead" in run.stdout
    assert distributions(bench) == {"alpha==1.0", "beta==1.0", "old==1.0.post1", "pip==26.3"}


def test_an_image_of_another_architecture_gets_its_wheels_and_its_interpreter_by_uv(
    bench: Workbench, index: PackageIndex
) -> None:
    there, machine = ("arm64", "aarch64") if host_architecture() == "amd64" else ("amd64", "x86_64")
    for name in (machine, platform.machine()):
        files = {"alpha/where.txt": name}
        make_wheel(index.directory, "alpha", "1.1", files=files, tag=f"py3-none-manylinux_2_17_{name}")
    minor = f"{sys.version_info[0]}.{sys.version_info[1]}"
    bench.env.update(
        CNB_TARGET_ARCH=there,
        PYBUILD_TARGET_PYTHON="/image/bin/python3",
        PYBUILD_TARGET_PYTHON_VERSION=f"{minor}.99",
        BP_POETRY_INSTALLER="poetry",
    )
    bench.write({"pyproject.toml": PACKAGE, "thesis.py": "def main() -> None: ...\n"})
    run = built(bench)
    assert f"notice: `BP_POETRY_INSTALLER`: uv installs for linux/{there}, because Poetry cannot" in run.stdout
    (site_packages,) = (venv(bench) / "lib").glob("python3*/site-packages")
    assert (site_packages / "alpha" / "where.txt").read_text() == machine
    assert str((venv(bench) / "bin" / "python").readlink()) == f"/image/bin/python{minor}"
    assert (venv(bench) / "bin" / "thesis").read_text().startswith(f"#!{venv(bench)}/bin/python\n")

    bench.restore()
    (index.directory / f"alpha-1.1-py3-none-manylinux_2_17_{machine}.whl").unlink()
    bench.env["BP_REFRESH"] = "1"
    commit_lock(bench)
    run = bench.build()
    assert run.stderr.startswith(
        f"error: poetry.lock:3: `alpha` has no wheel for linux/{there} in a version that fits\n"
    )


def test_local_projects_are_linked_or_copied_as_the_project_says(bench: Workbench) -> None:
    paths = 'linked = { path = "linked", develop = true }\ncopied = { path = "copied/copied-1.0-py3-none-any.whl" }\n'
    bench.write({"pyproject.toml": PROJECT + paths, "linked/linked.py": "VALUE = 1\n", **IN_TREE_BACKEND})
    make_wheel(bench.app / "copied", "copied", "1.0")
    built(bench)
    assert python(bench, "import linked; print(linked.__file__)") == str(bench.app / "linked" / "linked.py")
    assert "site-packages" in python(bench, "import copied; print(copied.__file__)")
    bench.restore()
    bench.write({"linked/linked.py": "VALUE = 2\n"})
    assert "nothing has changed" in built(bench).stdout


def test_a_path_that_leads_out_of_the_repository_is_refused(bench: Workbench) -> None:
    bench.write({"pyproject.toml": PROJECT + 'outside = { path = "../outside" }\n'})
    run = bench.build()
    assert run.status == 1
    assert "pyproject.toml:11" in run.stderr


def test_a_package_of_a_source_comes_from_there_alone_and_its_credentials_stay_outside(
    bench: Workbench, index: PackageIndex, tmp_path: Path
) -> None:
    secret = ("ada", "s3cr3t-p4ss")
    # The same name and version as in the default index, and another content.
    make_wheel(index.directory, "inner", "1.0", files={"inner/where.py": "PLACE = 'public'\n"})
    make_wheel(tmp_path / "private", "inner", "1.0", files={"inner/where.py": "PLACE = 'private'\n"})
    with PackageIndex(tmp_path / "private", secret) as private:
        url = f"http://{private.host}/simple/"
        source = f'\n[[tool.poetry.source]]\nname = "lab-index"\nurl = "{url}"\npriority = "explicit"\n'
        bench.write({"pyproject.toml": PROJECT + 'inner = { version = "*", source = "lab-index" }\n' + source})
        run = bench.build()
        assert run.status == 1
        assert "the source `lab-index` does not accept the credentials" in run.stderr
        assert "`--env POETRY_HTTP_BASIC_LAB_INDEX_USERNAME=…`" in run.stderr

        bench.env["POETRY_HTTP_BASIC_LAB_INDEX_USERNAME"], bench.env["POETRY_HTTP_BASIC_LAB_INDEX_PASSWORD"] = secret
        run = built(bench)
        assert python(bench, "import inner.where; print(inner.where.PLACE)") == "private"
    assert secret[1] not in run.stdout + run.stderr
    for path in bench.layers.rglob("*"):
        assert path.is_symlink() or not path.is_file() or secret[1].encode() not in path.read_bytes(), path


def test_what_cannot_be_locked_is_named_with_its_line(bench: Workbench) -> None:
    bench.write({"pyproject.toml": PROJECT + 'nowhere = "^2.0"\n'})
    run = bench.build()
    assert run.status == 1
    assert "error: pyproject.toml:11: there is no version of `nowhere` that fits `^2.0`" in run.stderr
    assert not (bench.app / "poetry.lock").exists()


def test_a_file_that_is_not_the_one_of_the_lock_is_refused(bench: Workbench, index: PackageIndex) -> None:
    bench.write({"pyproject.toml": PROJECT})
    built(bench)
    commit_lock(bench)
    subprocess.run(["rm", "-rf", bench.layers], check=True)
    make_wheel(index.directory, "beta", "1.0", files={"beta/evil.py": ""})
    run = bench.build()
    assert run.status == 1
    assert "the file of `beta` does not have the hash that is written for it" in run.stderr
    assert "error: poetry.lock:" in run.stderr
    assert "do not install it" in run.stderr
