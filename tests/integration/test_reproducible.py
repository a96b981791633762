"""The same repository gives the same digest, whoever builds it, where, and under which umask."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.command import FIXTURES, Pybuild, expect_success
from tests.integration.data_science import build_with_report
from tests.integration.image_files import differences, read_layout
from tests.integration.machine import OrdinaryUser, install_pybuild, ordinary_user
from tests.integration.workplace import clone_of

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("fixture", ["pip_c_extension", "pip_editable"])
def test_two_clones_two_stores_and_two_umasks_give_one_digest(
    fixture: str, new_pybuild: Callable[[str], Pybuild], tmp_path: Path
) -> None:
    layouts = []
    for name, umask in (("first", 0o022), ("second-directory", 0o077)):
        clone = clone_of(FIXTURES / fixture, tmp_path / name / "a" / "clone")
        command = dataclasses.replace(new_pybuild(f"{name}-cache"), umask=umask, cwd=clone.parent)
        command = command.with_env(TZ="Pacific/Auckland" if umask == 0o077 else "UTC")
        layout = tmp_path / name / "layout"
        build_with_report(command, clone, tmp_path / name / "report.json", "--output", f"oci:{layout}")
        layouts.append(read_layout(layout))
    assert not differences(*layouts)


@pytest.fixture(scope="module")
def user() -> Iterator[OrdinaryUser]:
    """A user of the machine who is nobody special."""
    if os.geteuid() != 0:
        pytest.skip("the whole test run is that of an ordinary user already")
    with ordinary_user("pybuild-test") as made:
        yield made


@pytest.fixture(scope="module")
def installed(user: OrdinaryUser) -> Path:
    """pybuild installed from its wheel, by that user, for the system's own Python."""
    return install_pybuild(user)


def test_an_ordinary_user_makes_the_builder_and_the_same_image(
    user: OrdinaryUser, installed: Path, machine_store: Path, new_pybuild: Callable[[str], Pybuild], tmp_path: Path
) -> None:
    cache_home = user.home / "cache"
    # An interpreter that was packed from another user's files could not be made by this one.
    user.give(machine_store / "interpreters", cache_home / "pybuild" / "interpreters")
    env = {**user.environment(), "XDG_CACHE_HOME": str(cache_home), "NO_COLOR": "1"}
    theirs = Pybuild(env=env, program=(str(installed),), prefix=user.prefix, cwd=user.home)
    # Two at once: one makes the builder, the other waits for it and says so.
    creations = [theirs.start("builder", "create") for _ in range(2)]
    first, second = [creation.finish(900) for creation in creations]
    assert expect_success(first).stdout == expect_success(second).stdout
    assert sum("waiting" in creation.stderr for creation in (first, second)) == 1
    clone = clone_of(FIXTURES / "pip_c_extension", tmp_path / "clone")
    user.give(clone, user.home / "clone")
    expect_success(theirs("build", user.home / "clone", "--output", f"oci:{user.home / 'layout'}"))
    ran = expect_success(theirs("run", f"oci:{user.home / 'layout'}", "--", "python", "main.py"))
    assert ran.stdout.strip()
    build_with_report(new_pybuild("root"), clone, tmp_path / "report.json", "--output", f"oci:{tmp_path / 'layout'}")
    assert not differences(read_layout(tmp_path / "layout"), read_layout(user.home / "layout"))
