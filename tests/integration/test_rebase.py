"""Real images get another run image: they become what a build on it gives, and they run."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from lifecycle.oci.layout import read_image
from pybuild.builder import default_definition_path
from tests.integration.command import Pybuild, expect_success
from tests.integration.derived_images import derive_image
from tests.integration.image_check import check_with_tools, validate_image
from tests.integration.image_files import differences, read_layout

pytestmark = pytest.mark.integration

MIRROR = "mirror.example/run:bookworm"


@pytest.fixture
def own_store(offline_pybuild: Pybuild) -> Pybuild:
    """The command with a store that takes another builder without passing it on to the machine's."""
    store = offline_pybuild.cache_home / "pybuild"
    for name in ("bases", "builders"):
        kept = (store / name).resolve()
        (store / name).unlink()
        (store / name).mkdir()
        for entry in kept.iterdir():
            (store / name / entry.name).symlink_to(entry)
    return offline_pybuild


def run_base(pybuild: Pybuild) -> Path:
    """Layout with the run image of the default builder."""
    described = json.loads(expect_success(pybuild("builder", "inspect", "--json")).stdout)
    layouts = (pybuild.cache_home / "pybuild" / "bases").glob("*/image")
    return next(one for one in layouts if read_layout(one).digest == described["run_image_digest"])


def patched_base(pybuild: Pybuild, layout: Path) -> str:
    """Location of the run image with a file and variables more."""
    base = run_base(pybuild)
    env = read_image(f"oci:{base}").config.environment()
    changed = {**env, "PATH": f"{env['PATH']}:/opt/patched", "PATCHED": "yes"}
    return derive_image(
        base,
        layout,
        files={"etc/patched": "yes\n"},
        env=tuple(f"{name}={value}" for name, value in changed.items()),
    )


def write_builder(path: Path, run_image: str | None = None) -> Path:
    """A builder.toml that is the default one but for a mirror of its run image, and for that where one is given."""
    default = default_definition_path()
    text = default.read_text(encoding="utf-8").replace('uri = "', f'uri = "{default.parent}/')
    named = 'image = "pybuild/run:bookworm"\n'
    assert text.count(named) == 1
    text = text.replace(named, f'{named}mirrors = ["{MIRROR}"]\n')
    if run_image is not None:
        table = f'[pybuild.run]\nimage = "{run_image}"\n'
        text, count = re.subn(r"\[pybuild\.run\]\n.*?\n\]\n", table, text, flags=re.DOTALL)
        assert count == 1
    path.write_text(text, encoding="utf-8")
    return path


def test_a_rebased_image_is_the_one_that_a_build_on_the_new_run_image_gives(
    own_store: Pybuild, repository: Path, tmp_path: Path
) -> None:
    layout, report = tmp_path / "layout", tmp_path / "report.json"
    builder = write_builder(tmp_path / "builder.toml")
    expect_success(own_store("build", repository, "--builder", builder, "--output", f"oci:{layout}:app"))
    before = validate_image(layout, "app")
    builder = write_builder(tmp_path / "patched.toml", patched_base(own_store, tmp_path / "patched"))
    rebased = expect_success(
        own_store(
            "rebase", f"oci:{layout}:app", "--builder", builder, "--output", f"oci:{layout}:new", "--report", report
        )
    )
    image = validate_image(layout, "new")
    assert rebased.stdout.strip() == f"oci:{layout}:new@{image.digest}"
    assert json.loads(report.read_text())["image"]["previous"] == before.digest
    assert read_layout(layout, "app").digest == before.digest
    expect_success(own_store("build", repository, "--builder", builder, "--output", f"oci:{layout}:built"))
    built = read_layout(layout, "built")
    assert built.label("io.buildpacks.lifecycle.metadata")["runImage"]["mirrors"] == [MIRROR]
    assert differences(image, built) == []
    check_with_tools(f"oci:{layout}:new", tmp_path / "unpacked")
    seen = 'cat /etc/patched; printf "%s %s\n" "$PATCHED" "$PATH"; python main.py'
    ways = ([], ["--entrypoint", "bash"])
    said = [
        expect_success(
            own_store("run", *way, f"oci:{layout}:new", "--", *(["bash"] if not way else []), "-c", seen)
        ).stdout
        for way in ways
    ]
    for output in said:
        patched, environment, answer = output.splitlines()
        assert (patched, answer) == ("yes", "alpha 1.0")
        assert environment.startswith("yes ")
        assert environment.endswith(":/opt/patched")
