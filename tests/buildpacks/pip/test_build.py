"""Whole builds with the real uv, offline: the packages are tiny wheels in a directory."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lifecycle.cnb.layer import LayerTypes
from lifecycle.cnb.plan import PlanEntry
from tests.buildpacks.conftest import Workbench
from tests.buildpacks.trees import tree
from tests.buildpacks.wheels import make_wheel
from tests.interpreter import ROOT

pytestmark = pytest.mark.integration


def make_bench(root: Path) -> Workbench:
    made = Workbench(root=root, buildpack=ROOT / "buildpacks" / "pip")
    made.app.mkdir()
    index = root / "index"
    make_wheel(index, "alpha", "1.0", requires=("beta",))
    make_wheel(index, "beta", "1.0")
    make_wheel(index, "gamma", "1.0", requires=("beta<2",))
    make_wheel(index, "delta", "1.0", requires=("beta>=2",), files={"delta/py2.py": "print 'no'\n"})
    make_wheel(root / "wheels", "pip", "26.3")
    made.env.update(
        # The interpreter of the tests stands for the one of the python buildpack.
        PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        PIP_FIND_LINKS=str(index),
        PIP_NO_INDEX="1",
        PYBUILD_WHEELS=str(root / "wheels"),
    )
    return made


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    return make_bench(tmp_path)


@pytest.fixture(scope="module")
def first_build(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workbench, Path]:
    """A bench after the build of `alpha`, and a copy of all that it has."""
    bench = make_bench(tmp_path_factory.mktemp("built"))
    bench.write({"requirements.txt": "alpha\n"})
    run = bench.build()
    assert run.status == 0, run.stderr
    copy = tmp_path_factory.mktemp("kept") / "root"
    return bench, shutil.copytree(bench.root, copy, symlinks=True)


@pytest.fixture
def built(first_build: tuple[Workbench, Path]) -> Workbench:
    """The bench where `alpha` was built; in its own place, because an environment cannot be moved."""
    bench, copy = first_build
    shutil.rmtree(bench.root)
    shutil.copytree(copy, bench.root, symlinks=True)
    return replace(bench, env=dict(bench.env))


def index_of(bench: Workbench) -> Path:
    return bench.root / "index"


def site_packages(bench: Workbench) -> Path:
    (found,) = (bench.layers / "venv" / "lib").glob("python3*/site-packages")
    return found


def test_packages_and_pip_are_installed_into_a_launch_layer_with_their_lock(built: Workbench) -> None:
    assert built.layer("venv").types == LayerTypes(launch=True)
    assert built.layer("cache").types == LayerTypes(cache=True)
    installed = {path.name for path in site_packages(built).iterdir()}
    assert {"alpha", "beta", "pip"} <= installed
    lock = (built.layers / "venv" / "requirements.lock").read_text()
    assert "alpha==1.0 \\\n    --hash=sha256:" in lock
    assert "beta==1.0" in lock
    assert (built.layers / "venv" / "env" / "VIRTUAL_ENV").read_text() == str(built.layers / "venv")
    python = built.layers / "venv" / "bin" / "python"
    subprocess.run([python, "-c", "import alpha, beta, pip"], check=True)


def test_nothing_of_the_machine_is_in_the_environment(built: Workbench) -> None:
    names = {path.name for path in (built.layers / "venv").iterdir()}
    assert not names & {".lock", ".gitignore", "CACHEDIR.TAG"}
    for name, content in tree(built.layers / "venv").items():
        if isinstance(content, bytes) and not name.endswith(".pyc"):
            assert str(index_of(built)).encode() not in content, name
            assert str(built.root / "wheels").encode() not in content, name
            assert b"/pybuild-pip-" not in content, name
    assert not list((built.layers / "venv").rglob("direct_url.json"))


def test_an_unchanged_build_leaves_the_layer_to_the_last_image(built: Workbench) -> None:
    before = built.layer("venv")
    built.restore()
    # A new version does not matter while nothing was changed, nor does an index that is gone.
    index_of(built).rename(built.root / "gone")
    index_of(built).mkdir()
    for wheel in (built.root / "gone").iterdir():
        (index_of(built) / wheel.name).write_bytes(wheel.read_bytes())
    run = built.build()
    assert "nothing has changed" in run.stdout
    assert not (built.layers / "venv").exists()
    assert built.layer("venv") == before


def test_a_comment_changes_nothing(built: Workbench) -> None:
    built.restore()
    built.write({"requirements.txt": "# why\nalpha  # because\n"})
    assert "nothing has changed" in built.build().stdout


def test_an_environment_for_another_distribution_is_made_anew(bench: Workbench) -> None:
    bench.write({"requirements.txt": "alpha\n"})
    bench.env.update(CNB_TARGET_DISTRO_NAME="debian", CNB_TARGET_DISTRO_VERSION="12")
    bench.build()
    bench.restore()
    bench.env["CNB_TARGET_DISTRO_VERSION"] = "13"
    run = bench.build()
    assert "what the image runs on has changed from linux/amd64 (debian 12) to linux/amd64 (debian 13)" in run.stdout
    assert (site_packages(bench) / "alpha").is_dir()


def test_a_requirement_is_added_and_the_others_keep_their_versions(built: Workbench) -> None:
    built.restore()
    make_wheel(index_of(built), "beta", "1.5")
    built.write({"requirements.txt": "alpha\ngamma\n"})
    run = built.build()
    assert "requirements: `gamma` was added" in run.stdout
    assert "Discarding the environment of the last build since:\n  the lock has changed" in run.stdout
    assert (site_packages(built) / "beta-1.0.dist-info").is_dir()
    assert (site_packages(built) / "gamma").is_dir()


def test_a_version_that_a_new_requirement_cannot_have_is_given_up(built: Workbench) -> None:
    built.restore()
    make_wheel(index_of(built), "beta", "2.0")
    built.write({"requirements.txt": "alpha\ndelta\n"})
    assert built.build().status == 0
    assert (site_packages(built) / "beta-2.0.dist-info").is_dir()


def test_a_requirement_that_is_removed_leaves_nothing_behind(bench: Workbench) -> None:
    bench.write({"requirements.txt": "beta\n"})
    bench.build()
    first = tree(bench.layers / "venv")
    bench.restore()
    bench.write({"requirements.txt": "alpha\nbeta\n"})
    bench.build()
    bench.restore()
    bench.write({"requirements.txt": "beta\n"})
    bench.build()
    assert tree(bench.layers / "venv") == first


def test_a_new_cache_gives_the_same_bytes(bench: Workbench) -> None:
    bench.write({"requirements.txt": "alpha\ndelta\n"})
    make_wheel(index_of(bench), "beta", "2.0")
    bench.build()
    first = tree(bench.layers / "venv")
    assert any(name.endswith(".pyc") for name in first)
    subprocess.run(["rm", "-rf", bench.layers], check=True)
    bench.env["TZ"] = "Asia/Kathmandu"
    bench.build()
    assert tree(bench.layers / "venv") == first


def test_refresh_resolves_anew(bench: Workbench) -> None:
    bench.write({"requirements.txt": "beta\n"})
    bench.build()
    bench.restore()
    make_wheel(index_of(bench), "beta", "1.5")
    bench.env["BP_REFRESH"] = "1"
    run = bench.build()
    assert "`BP_REFRESH` asks for it" in run.stdout or "projects" in run.stdout
    assert (site_packages(bench) / "beta-1.5.dist-info").is_dir()


def test_constraints_of_the_operator_hold(bench: Workbench) -> None:
    make_wheel(index_of(bench), "beta", "1.5")
    bench.write({"requirements.txt": "alpha\n", "limits.txt": "beta<1.5\n"})
    bench.env["BP_PIP_CONSTRAINTS"] = "limits.txt"
    bench.build()
    assert (site_packages(bench) / "beta-1.0.dist-info").is_dir()


def test_hashes_of_the_file_are_checked(bench: Workbench) -> None:
    right = make_wheel(index_of(bench), "beta", "1.0")
    bench.write({"requirements.txt": f"beta==1.0 --hash=sha256:{right}\n"})
    assert bench.build().status == 0
    bench.restore()
    bench.write({"requirements.txt": f"# wrong\nbeta==1.0 --hash=sha256:{'0' * 64}\n"})
    run = bench.build()
    assert run.status == 1
    assert "error: requirements.txt:2: the file of `beta` does not have the hash" in run.stderr
    assert right in run.stderr


def test_what_hash_mode_has_forgotten_is_named(bench: Workbench) -> None:
    digest = make_wheel(index_of(bench), "alpha", "1.0", requires=("beta",))
    bench.write({"requirements.txt": f"alpha==1.0 --hash=sha256:{digest}\n"})
    run = bench.build()
    assert "`beta==1.0` is needed by another requirement and has no line with a hash" in run.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("# one\nbeta\nnothing-of-that-name\n", "requirements.txt:3: there is no package `nothing-of-that-name`"),
        ("beta==9\n", "requirements.txt:1: there is no version of `beta` that fits `beta==9`"),
        ("alpha\nbeta==1.0\nbeta>1\n", "requirements.txt:2: the requirements contradict each other"),
    ],
)
def test_what_cannot_be_resolved_is_named_by_its_line(bench: Workbench, content: str, message: str) -> None:
    bench.write({"requirements.txt": content})
    run = bench.build()
    assert run.status == 1
    assert f"error: {message}" in run.stderr
    assert not (bench.layers / "venv").exists()


def test_problems_of_the_file_come_before_any_tool_is_looked_for(bench: Workbench) -> None:
    bench.env["PATH"] = "/nonexistent"
    bench.write({"requirements.txt": "beta=1.0\n"})
    assert bench.build().stderr.startswith("error: requirements.txt:1: `beta=1.0` is not a requirement")


def test_a_file_without_requirements_makes_an_environment_with_pip(bench: Workbench) -> None:
    bench.write({"requirements.txt": "# nothing yet\n"})
    run = bench.build()
    assert "notice: requirements.txt: nothing to install" in run.stdout
    assert (site_packages(bench) / "pip").is_dir()


def test_a_pip_of_the_requirements_replaces_that_of_the_builder(bench: Workbench) -> None:
    make_wheel(index_of(bench), "pip", "24.0")
    bench.write({"requirements.txt": "pip==24.0\n"})
    bench.build()
    assert [path.name for path in site_packages(bench).glob("pip-*")] == ["pip-24.0.dist-info"]


def test_a_layer_that_others_build_with_is_kept_in_the_cache(bench: Workbench) -> None:
    bench.write({"requirements.txt": "beta\n"})
    needed = (PlanEntry(name="site-packages", metadata={"build": True}),)
    bench.build(needed)
    assert bench.layer("venv").types == LayerTypes(launch=True, build=True, cache=True)
    bench.restore()
    assert "nothing has changed" in bench.build(needed).stdout
    assert (site_packages(bench) / "beta").is_dir()


def test_only_new_sources_are_compiled(bench: Workbench) -> None:
    bench.write({"requirements.txt": "beta\n"})
    bench.build()
    bench.restore()
    bench.write({"requirements.txt": "beta\nalpha\n"})
    assert "Bytecode: 1 files compiled, 1 from the cache" in bench.build().stdout


def test_credentials_of_an_index_are_nowhere(bench: Workbench) -> None:
    bench.write({"requirements.txt": "alpha\n--extra-index-url https://user:canary@127.0.0.1:9/simple\n"})
    run = bench.build()
    assert run.status == 0, run.stderr
    assert "canary" not in run.stdout + run.stderr
    for name, content in tree(bench.layers).items():
        assert b"canary" not in (content if isinstance(content, bytes) else content.encode()), name


def test_a_local_wheel_is_installed_from_the_app_directory(bench: Workbench) -> None:
    make_wheel(bench.app / "vendor", "omega", "1.0", requires=("beta",))
    bench.write({"requirements.txt": "./vendor/omega-1.0-py3-none-any.whl\n"})
    run = bench.build()
    assert run.status == 0, run.stderr
    assert (site_packages(bench) / "omega").is_dir()
    bench.restore()
    make_wheel(bench.app / "vendor", "omega", "1.0", requires=("beta",), files={"omega/new.py": ""})
    run = bench.build()
    assert run.status == 0, run.stderr
    assert (site_packages(bench) / "omega" / "new.py").is_file()


def test_an_option_that_uv_does_not_have_brings_in_pip_with_a_notice(bench: Workbench) -> None:
    bench.write({"requirements.txt": "beta\n--prefer-binary\n"})
    out = bench.build().stdout
    assert "notice: requirements.txt:2: uv has no `--prefer-binary`: pip installs instead of uv" in out


def test_settings_that_mean_nothing_are_named(bench: Workbench) -> None:
    bench.write({"requirements.txt": "beta\n"})
    bench.env["BP_PIP_INSTALLER"] = "conda"
    assert bench.build().stderr == "error: `BP_PIP_INSTALLER` cannot be `conda`\nhint: set it to `uv` or `pip`\n"


def test_a_builder_without_uv_is_named_as_the_fault(bench: Workbench) -> None:
    bench.write({"requirements.txt": "beta\n"})
    bench.env["PATH"] = str(bench.root / "bin")
    (bench.root / "bin").mkdir()
    (bench.root / "bin" / "python3").symlink_to(sys.executable)
    assert "error: the build image has no `uv`" in bench.build().stderr
