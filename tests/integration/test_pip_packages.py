"""Packages of the kinds that people have: C sources, editable projects, odd encodings, pip as the installer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.command import FIXTURES, Pybuild, expect_success
from tests.integration.data_science import build_with_report
from tests.integration.image_check import validate_image
from tests.integration.image_files import file_names
from tests.integration.workplace import clone_of

pytestmark = pytest.mark.integration


def _build_and_run(pybuild: Pybuild, repository: Path, tmp_path: Path, *arguments: str) -> str:
    output = f"oci:{tmp_path / 'layout'}"
    build_with_report(pybuild, repository, tmp_path / "report.json", "--output", output, *arguments)
    return expect_success(pybuild("run", output, "--", "python", "main.py")).stdout


@pytest.mark.parametrize(
    "fixture", ["pip_editable", "pip_empty", "pip_hashes", "pip_local_project", "pip_nested", "pip_utf16"]
)
def test_a_fixture_becomes_a_consistent_environment(fixture: str, pybuild: Pybuild, tmp_path: Path) -> None:
    output = f"oci:{tmp_path / 'layout'}"
    clone = clone_of(FIXTURES / fixture, tmp_path / "clone")
    build_with_report(pybuild, clone, tmp_path / "report.json", "--output", output)
    validate_image(tmp_path / "layout")
    assert "No broken requirements" in expect_success(pybuild("run", output, "--", "pip", "check")).stdout


def test_c_sources_leave_a_library_and_no_compiler(pybuild: Pybuild, tmp_path: Path) -> None:
    _build_and_run(pybuild, clone_of(FIXTURES / "pip_c_extension", tmp_path / "clone"), tmp_path)
    names = file_names(validate_image(tmp_path / "layout"))
    assert any(name.endswith(".so") and "site-packages" in name for name in names)
    assert not {name for name in names if name.endswith(".o") and "site-packages" in name}
    assert not {name for name in names if name.endswith(("bin/cc", "bin/gcc", "bin/ld"))}


def test_pip_itself_installs_the_same(offline_pybuild: Pybuild, repository: Path, tmp_path: Path) -> None:
    said = _build_and_run(offline_pybuild, repository, tmp_path, "--env", "BP_PIP_INSTALLER=pip")
    assert said == "alpha 1.0\n"


def test_constraints_apply_to_every_install(offline_pybuild: Pybuild, repository: Path, tmp_path: Path) -> None:
    (repository / "requirements.txt").write_text("alpha\n")
    (repository / "constraints.txt").write_text("alpha<2\n")
    said = _build_and_run(offline_pybuild, repository, tmp_path, "--env", "BP_PIP_CONSTRAINTS=constraints.txt")
    assert said == "alpha 1.0\n"


def test_other_files_can_be_named_and_pip_lists_what_is_installed(
    offline_pybuild: Pybuild, repository: Path, tmp_path: Path
) -> None:
    (repository / "requirements.txt").rename(repository / "runtime.txt.in")
    (repository / "base.txt").write_bytes(b"\xef\xbb\xbfgamma\r\n")
    (repository / "requirements-all.txt").write_text("-r base.txt\nalpha==1.0", encoding="utf-8")
    said = _build_and_run(offline_pybuild, repository, tmp_path, "--env", "BP_PIP_REQUIREMENT=requirements-all.txt")
    assert said == "alpha 1.0\n"
    ran = offline_pybuild(
        "run", f"oci:{tmp_path / 'layout'}", "--", "python", "-c", "import gamma; print(gamma.VERSION)"
    )
    assert expect_success(ran).stdout == "1.0\n"
    listed = offline_pybuild("run", f"oci:{tmp_path / 'layout'}", "--", "pip", "list", "--format=freeze")
    assert "alpha==1.0" in expect_success(listed).stdout


def test_a_python_that_the_builder_lacks_is_named_with_the_line(
    offline_pybuild: Pybuild, repository: Path, tmp_path: Path
) -> None:
    (repository / ".python-version").write_text("# ours\n3.99\n")
    finished = offline_pybuild("build", repository)
    assert finished.status == 51
    assert ".python-version:2" in finished.error_message
    assert "3.99" in finished.error_message
