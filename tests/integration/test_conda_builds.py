"""Conda repositories become images whose environment works as an activated one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.integration.command import FIXTURES, Finished
from tests.integration.conda_build import PREFIX, CondaBuilds, image_files, write_environment
from tests.integration.conda_channel import CONDA_FORGE, has_python
from tests.integration.conda_packages import PLACEHOLDER
from tests.integration.image_bills import assert_conda_bill
from tests.integration.image_check import validate_image
from tests.integration.image_files import file_names
from tests.integration.machine import machine_traces
from tests.integration.package_index import PackageIndex, write_wheel
from tests.integration.workplace import clone_of

pytestmark = pytest.mark.integration


def _clone(fixture: str, tmp_path: Path) -> Path:
    return clone_of(FIXTURES / fixture, tmp_path / "clone")


def _print_env(conda: CondaBuilds) -> dict[str, str]:
    said = conda.run("env")
    return dict(line.split("=", 1) for line in said.splitlines() if "=" in line)


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A build that several tests look at."""

    conda: CondaBuilds
    finished: Finished
    report: Mapping[str, Any]

    def files(self) -> dict[str, bytes]:
        """The content of each file of the environment, by its path in the prefix."""
        return image_files(self.conda.image)


def _build(lasting: CondaBuilds, fixture: str) -> Built:
    conda = replace(lasting, directory=lasting.directory / fixture)
    conda.directory.mkdir()
    finished, report = conda.build(_clone(fixture, conda.directory))
    return Built(conda=conda, finished=finished, report=report)


@pytest.fixture(scope="module")
def basic(lasting_conda: CondaBuilds) -> Built:
    return _build(lasting_conda, "conda_basic")


@pytest.fixture(scope="module")
def pip_section(lasting_conda: CondaBuilds) -> Built:
    return _build(lasting_conda, "conda_pip_section")


def test_python_entry_points_and_compiled_code_work(basic: Built) -> None:
    conda = basic.conda
    image = validate_image(conda.layout)
    said = conda.run("python", "main.py").splitlines()
    assert said == [f"python 3 10 {PREFIX}", "tiny-tool 2.0", f"tinyext 42 {PREFIX}"]
    assert conda.run("tiny-tool") == f"tiny-tool 2.0 {PREFIX}"
    assert conda.run("tiny-script") == "tiny-script 2.0"
    assert conda.run("tiny-cli") == f"42 {PREFIX}"
    assert conda.run("tiny-where") == f"{PREFIX}/share/tiny"
    files = image_files(image)
    assert files["bin/tiny-tool"].startswith(f"#!{PREFIX}/bin/python".encode())
    assert files["bin/tiny-script"].startswith(f"#!{PREFIX}/bin/python".encode())
    assert files["share/old-format/version"] == b"1.0\n"
    # conda's own records keep it, to tell which files hold the prefix; so does bytecode that a package brings, and Python
    # puts that right when it loads it.
    left = [name for name, content in files.items() if PLACEHOLDER.encode() in content]
    assert not [name for name in left if not name.startswith("conda-meta/") and not name.endswith(".pyc")]


def test_the_image_is_an_environment_and_nothing_else(basic: Built) -> None:
    files = basic.files()
    records = {
        name: json.loads(text) for name, text in files.items() if name.startswith("conda-meta/") and ".json" in name
    }
    assert {record["name"] for record in records.values() if "name" in record} >= {"python", "tiny-tool", "tinyext"}
    assert not [name for name, record in records.items() if record.get("extracted_package_dir")]
    assert "CACHEDIR.TAG" not in files
    assert any(name.endswith("tiny_tool/__pycache__/__init__.cpython-310.pyc") for name in files)
    names = file_names(basic.conda.image)
    assert not {name for name in names if name.endswith((".conda", ".tar.bz2", "/micromamba", "repodata.json"))}
    assert not {name for name in names if name.endswith("bin/conda") or "/rattler" in name}


def test_nothing_of_the_machine_or_the_mirror_is_in_the_image(basic: Built) -> None:
    conda = basic.conda
    traces = machine_traces(conda.directory, conda.pybuild.cache_home)
    traces["mirror"] = conda.server.host.encode()
    files = {**basic.files(), "config": str(conda.image.config).encode()}
    assert not [f"{what} in {name}" for name, text in files.items() for what, trace in traces.items() if trace in text]


def test_the_locks_are_in_the_image_and_in_the_report(pip_section: Built) -> None:
    locks = pip_section.report["locks"]["pybuild/conda"]
    (explicit,) = [text for text in locks.values() if "@EXPLICIT" in text]
    lines = [line for line in explicit.splitlines() if line.startswith("http")]
    assert any("/conda-forge/noarch/tiny-tool-1.0-" in line and "#" in line for line in lines)
    assert pip_section.conda.server.host not in explicit
    assert any("alpha==1.0" in text and "sha256:" in text for text in locks.values())
    in_image = [text.decode() for name, text in pip_section.files().items() if name.endswith(".lock")]
    assert explicit in in_image
    assert any("alpha==1.0" in text for text in in_image)


def test_pip_packages_are_installed_into_the_environment(pip_section: Built) -> None:
    conda = pip_section.conda
    assert conda.run("python", "main.py") == "alpha 1.0 gamma 1.0 greeting hello tiny-tool 1.0"
    assert f"{PREFIX}/lib/python3.11" in conda.run("pip", "--version")
    assert "No broken requirements" in conda.run("pip", "check")
    notices = [line for line in pip_section.finished.stderr.splitlines() if "notice:" in line]
    assert any("pip" in line for line in notices), notices
    assert_conda_bill(conda)


def test_the_image_s_environment_is_that_of_an_activated_one(conda: CondaBuilds, tmp_path: Path) -> None:
    conda.build(_clone("conda_activation", tmp_path))
    env = _print_env(conda)
    home = f"{PREFIX}/share/tiny-home"
    assert env["CONDA_PREFIX"] == PREFIX
    assert env["CONDA_DEFAULT_ENV"]
    assert env["GREETING"] == "hello from the file"
    assert env["NUMBER"] == "7"
    assert (env["TINY_HOME"], env["TINY_ORDER"]) == (home, "first second")
    assert env["TINY_FROM_JSON"] == "from json"
    assert env["TINY_SEARCH"] == f"{home}/search"
    assert "TINY_SHELL" not in env
    assert "_tiny_backup" not in env
    path = env["PATH"].split(":")
    assert path.index(f"{home}/bin") < path.index(f"{PREFIX}/bin") < path.index("/usr/bin")
    assert conda.run("tiny-from-activation") == f"activated {home}"
    # The launch environment is the image's own, not only the launcher's.
    assert conda.image.env["TINY_HOME"] == home
    assert conda.image.env["CONDA_PREFIX"] == PREFIX


def test_an_activation_script_that_fails_is_told_and_the_others_run(conda: CondaBuilds, tmp_path: Path) -> None:
    finished = conda.start(write_environment(tmp_path / "repository", ["tiny-activate-fails"]))
    assert "broken.sh" in finished.stderr
    assert finished.status == 0
    assert _print_env(conda)["TINY_AFTER"] == "1"


def test_an_environment_of_r_has_no_python(conda: CondaBuilds, tmp_path: Path) -> None:
    conda.build(_clone("conda_r_only", tmp_path))
    assert conda.run("Rscript", "main.R") == f"R 4.3.1 {PREFIX}/lib/R script main.R"
    assert _print_env(conda)["TINY_R_HOME"] == f"{PREFIX}/lib/R"
    assert not [name for name in image_files(conda.image) if "python" in name]


def test_link_scripts_run_at_the_real_prefix(conda: CondaBuilds, tmp_path: Path) -> None:
    clone = _clone("conda_link_scripts", tmp_path)
    first, _ = conda.build(clone)
    assert "a message of the package" in first.stderr
    assert conda.run("cat", f"{PREFIX}/share/tiny-link/made.txt") == f"{PREFIX} tiny-link 1.0 3"
    assert ".messages.txt" not in image_files(conda.image)
    # What the script did to a file of its package is not in the package cache: it is done once to each installation.
    (clone / "environment.yml").write_text((clone / "environment.yml").read_text() + "  - unix-only\n")
    conda.build(clone)
    assert conda.run("cat", f"{PREFIX}/share/tiny-link/own.txt").split() == ["own", "appended"]


def test_a_link_script_that_fails_is_named_with_its_message(conda: CondaBuilds, tmp_path: Path) -> None:
    repository = write_environment(tmp_path / "repository", ["tiny-link-fails"])
    conda.fail(repository, "tiny-link-fails", "not to its liking")


def test_renku_s_documented_example_builds_as_it_stands(
    conda: CondaBuilds, index: PackageIndex, tmp_path: Path
) -> None:
    for name in ("deepsmiles", "rdkit"):
        write_wheel(index.directory, name, "1.0")
    clone = _clone("conda_renku", tmp_path)
    if not has_python(conda.server.channels[CONDA_FORGE], "3.9"):
        # No machine here has this Python any more: the solve is reached, and misses just that.
        conda.fail(clone, "environment.yml:8", "python=3.9")
        pytest.skip("this machine has no CPython 3.9 and cannot fetch one")
    finished, _ = conda.build(clone)
    modules = "tensorflow, numba, sklearn, pandas, seaborn, matplotlib, jupyterlab, xarray, deepsmiles, rdkit"
    assert (
        conda.run("python", "-c", f"import sys, {modules}; print(*sys.version_info[:2], sys.prefix)") == f"3 9 {PREFIX}"
    )
    assert conda.run("jupyter-lab") == "jupyterlab 1.0"
    assert any("notice:" in line and "tabs" in line and "4, 19" in line for line in finished.stderr.splitlines())
    assert not [name for name in file_names(conda.image) if name.startswith("opt/conda")]


@pytest.mark.parametrize(("setting", "expected"), [(None, "cpu"), ("12.4", "cuda")])
def test_cuda_is_there_only_when_it_is_asked_for(
    setting: str | None, expected: str, conda: CondaBuilds, tmp_path: Path
) -> None:
    repository = write_environment(tmp_path / "repository", ["accelerated", "modern"])
    conda.with_settings(BP_CONDA_OVERRIDE_CUDA=setting).build(repository)
    assert conda.run("cat", f"{PREFIX}/share/accelerated") == expected
    # The newer one needs a C library that the run image does not have.
    assert conda.run("cat", f"{PREFIX}/share/modern/version") == "1.0"


def test_other_files_can_be_named(conda: CondaBuilds, tmp_path: Path) -> None:
    repository = write_environment(tmp_path / "repository", ["tiny-data"])
    (repository / "environment.yml").rename(repository / "conda-env.yaml")
    conda.with_settings(BP_CONDA_ENVIRONMENT="conda-env.yaml").build(repository)
    assert conda.run("tiny-where") == f"{PREFIX}/share/tiny"
