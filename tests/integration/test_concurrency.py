"""Builds that run at the same time neither disturb each other nor do the same work twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.command import Pybuild, expect_success
from tests.integration.image_check import validate_image
from tests.integration.image_files import read_layout

pytestmark = pytest.mark.integration


def test_two_builds_of_one_repository_take_turns(offline_pybuild: Pybuild, repository: Path, tmp_path: Path) -> None:
    layouts = [tmp_path / "first", tmp_path / "second"]
    running = [offline_pybuild.start("build", repository, "--output", f"oci:{layout}") for layout in layouts]
    ended = [build.finish(300) for build in running]
    assert len({expect_success(build).stdout.rpartition("@")[2] for build in ended}) == 1
    assert sum("waiting" in build.stderr for build in ended) == 1
    assert len({validate_image(layout).digest for layout in layouts}) == 1


def test_two_repositories_can_go_into_one_layout_at_once(
    offline_pybuild: Pybuild, repository: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "requirements.txt").write_text("gamma\n")
    layout = tmp_path / "layout"
    running = [
        offline_pybuild.start("build", source, "--output", f"oci:{layout}:{tag}")
        for source, tag in ((repository, "alpha"), (other, "gamma"))
    ]
    for build in running:
        expect_success(build.finish(300))
    assert validate_image(layout, "alpha").digest != validate_image(layout, "gamma").digest


def test_a_repository_that_is_built_twice_into_one_layout_leaves_one_image(
    offline_pybuild: Pybuild, repository: Path, tmp_path: Path
) -> None:
    output = f"oci:{tmp_path / 'layout'}"
    expect_success(offline_pybuild("build", repository, "--output", output))
    first = read_layout(tmp_path / "layout").digest
    (repository / "main.py").write_text("print('changed')\n")
    expect_success(offline_pybuild("build", repository, "--output", output))
    assert read_layout(tmp_path / "layout").digest != first
