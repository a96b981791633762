"""`pybuild build` with a builder that has image extensions: the run image that they choose, and what they change of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration.command import Finished, Pybuild, expect_error, expect_success
from tests.integration.dockerfile_bases import Bases
from tests.integration.dockerfile_fixtures import bases
from tests.integration.image_check import validate_image
from tests.integration.image_files import LayoutImage, file_names, read_layout

__all__ = ["bases"]

pytestmark = pytest.mark.integration

BASE = "ARG base_image\nFROM ${base_image}\n"
BUILDER = """
[pybuild]
extends = "default"

[[buildpacks]]
uri = "application"

[[order]]
[[order.group]]
id = "test/application"

[[extensions]]
uri = "extension"

[[order-extensions]]
[[order-extensions.group]]
id = "test/extension"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extended:
    """A builder with an extension that generates what `bin/generate` writes, and a repository."""

    pybuild: Pybuild
    root: Path
    base_options: tuple[str | Path, ...]

    @property
    def repository(self) -> Path:
        return self.root / "repository"

    @property
    def image(self) -> LayoutImage:
        return read_layout(self.root / "layout")

    def build(self, *options: str) -> Finished:
        builder = self.root / "builder.toml"
        output = ("--output", f"oci:{self.root / 'layout'}")
        return self.pybuild("build", self.repository, "--builder", builder, *self.base_options, *output, *options)

    def label(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.image.config["config"]["Labels"]["io.buildpacks.lifecycle.metadata"])
        return found


@pytest.fixture
def extended(new_pybuild: Callable[[str], Pybuild], bases: Bases, tmp_path: Path) -> Extended:
    (tmp_path / "builder.toml").write_text(BUILDER)
    for kind, table, programs in (
        ("application", "buildpack", {"detect": "test -e app.sh", "build": "true"}),
        # The repository says what is generated: the builder, which takes long to make, is one for all tests.
        ("extension", "extension", {"detect": "true", "generate": 'cp -r generated/. "$CNB_OUTPUT_DIR"'}),
    ):
        (tmp_path / kind / "bin").mkdir(parents=True)
        (tmp_path / kind / f"{table}.toml").write_text(
            f'api = "0.12"\n[{table}]\nid = "test/{kind}"\nversion = "1.0.0"\n[[targets]]\nos = "linux"\n'
        )
        for name, script in programs.items():
            path = tmp_path / kind / "bin" / name
            path.write_text(f"#!/bin/sh\nset -e\n{script}\n")
            path.chmod(0o755)
    (tmp_path / "repository" / "generated").mkdir(parents=True)
    (tmp_path / "repository" / "app.sh").write_text("#!/bin/sh\necho hello\n")
    options = ("--base", bases.image("full:1").option)
    return Extended(pybuild=new_pybuild("cache"), root=tmp_path, base_options=options)


def generate(extended: Extended, **dockerfiles: str) -> None:
    for kind, text in dockerfiles.items():
        (extended.repository / "generated" / f"{kind}.Dockerfile").write_text(text)


@pytest.mark.requirement("EXT-05")
def test_the_run_image_is_extended_and_the_same_the_next_time(extended: Extended) -> None:
    steps = "ARG user_id\nARG group_id\nUSER root\nRUN echo $user_id >/usr/new\nCOPY app.sh /usr/copied\n"
    generate(extended, run=f"{BASE}{steps}USER ${{user_id}}:${{group_id}}\nLABEL io.buildpacks.rebasable=true\n")
    finished = expect_success(extended.build())
    assert "test/extension/run.Dockerfile:6 RUN echo $user_id >/usr/new" in finished.stderr
    validate_image(extended.root / "layout")
    assert {"usr/new", "usr/copied", "workspace/app.sh"} <= set(file_names(extended.image))
    config = extended.image.config["config"]
    assert config["Labels"]["io.buildpacks.rebasable"] == "true"
    assert config["User"] == "1000:1000"
    record = extended.label()["runImage"]
    count = extended.image.config["rootfs"]["diff_ids"].index(record["topLayer"]) + 1
    assert record["image"]
    # Two layers of the extension are between the run image and the application's.
    assert len(extended.image.manifest["layers"]) >= count + 4
    digest = extended.image.digest
    again = expect_success(extended.build())
    assert extended.image.digest == digest
    assert "Using the layer of an earlier build" in again.stderr


@pytest.mark.requirement("EXT-03")
def test_another_run_image_is_taken_where_the_builder_allows_it(extended: Extended) -> None:
    generate(extended, run="FROM docker.io/library/full:1\n")
    expect_success(extended.build())
    assert extended.image.config["config"]["Labels"]["base"] == "full"
    assert extended.label()["runImage"]["image"] == "docker.io/library/full:1"


def test_what_is_not_allowed_is_said_before_the_build(extended: Extended) -> None:
    for dockerfile, mentions in (
        ({"run": f"{BASE}USER root\n"}, ("runs as root", "USER ${user_id}:${group_id}")),
        (
            {"build": f"{BASE}RUN true\n", "run": BASE},
            ("changes the build image", "[pybuild.build] packages", "-kind build"),
        ),
    ):
        generate(extended, **dockerfile)
        message = expect_error(extended.build(), (3, 100), *mentions)
        assert "test/extension" in message
        assert not (extended.root / "layout").exists()
