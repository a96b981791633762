from __future__ import annotations

from pathlib import Path
from typing import Any

from buildpacks.conda.fingerprint import conda_key, describe_conda, describe_environment, differences, with_pip_changes
from buildpacks.installer.fingerprint import WRITES_APP_DIRECTORY
from tests.buildpacks.conda.building import lock_archives
from tests.integration.conda_packages import CondaPackage


def describe(root: Path, *names: str, **changes: str) -> dict[str, object]:
    packages = list(lock_archives(root, *(CondaPackage(name=name) for name in names)))
    values: dict[str, Any] = {"platform": "linux-64", "installer": "rattler 1", "prefix": Path("/p"), **changes}
    return describe_conda(packages, **values)


def test_the_order_of_packages_does_not_make_another_environment(tmp_path: Path) -> None:
    assert conda_key(describe(tmp_path, "a", "b")) == conda_key(describe(tmp_path, "b", "a"))
    assert conda_key(describe(tmp_path, "a", "b")) != conda_key(describe(tmp_path, "a"))


def test_every_reason_is_named(tmp_path: Path) -> None:
    old = describe_environment(describe(tmp_path, "a"), pip={"lock": "1"}, variables=(("A", "secret"),))
    new = describe_environment(
        describe(tmp_path, "b", installer="rattler 2"), pip={"lock": "2"}, variables=(("A", "other"),)
    )
    assert differences(old, new) == (
        "the installer has changed from rattler 1 to rattler 2",
        "the lock of conda's packages has changed",
        "the `variables:` have changed",
        "`pip:` section: the lock has changed",
    )
    assert differences(new, new) == ()
    assert "secret" not in str(old)


def test_a_pip_section_that_comes_or_goes_is_a_reason(tmp_path: Path) -> None:
    without = describe_environment(describe(tmp_path, "a"), pip=None, variables=())
    with_pip = describe_environment(describe(tmp_path, "a"), pip={"lock": "1"}, variables=())
    assert differences(without, with_pip) == ("a `pip:` section was added",)
    assert differences(with_pip, without) == ("the `pip:` section was removed",)


def test_a_project_that_writes_beside_its_sources_is_installed_every_time(tmp_path: Path) -> None:
    new = describe_environment(describe(tmp_path, "a"), pip={"lock": "1"}, variables=())
    old = with_pip_changes(new, {WRITES_APP_DIRECTORY: True})
    assert differences(old, new) == ("`pip:` section: installing the local projects writes into the app directory",)


def test_metadata_of_another_version_of_the_buildpack_is_no_error(tmp_path: Path) -> None:
    new = describe_environment(describe(tmp_path, "a"), pip=None, variables=())
    assert differences({"conda": 1, "variables": []}, new)
