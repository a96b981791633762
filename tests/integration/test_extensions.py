"""`pybuild build` with a builder that has image extensions: the run image that they choose, and what they change of it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.integration.command import Finished, Pybuild, expect_error, expect_success
from tests.integration.dockerfile_bases import Bases
from tests.integration.dockerfile_fixtures import bases
from tests.integration.engine import DockerEngine
from tests.integration.image_check import validate_image
from tests.integration.image_files import LayoutImage, file_names, iterate_files, read_layout

__all__ = ["bases"]

pytestmark = pytest.mark.integration

BASE = "ARG base_image\nFROM ${base_image}\n"
AS_BEFORE = "USER ${user_id}:${group_id}\n"
# What the buildpack takes from the build image, where it is there.
BUILD = """
command -v tool >/dev/null || exit 0
mkdir "$CNB_LAYERS_DIR/tool"
tool >"$CNB_LAYERS_DIR/tool/said"
printf '[types]\\nlaunch = true\\n' >"$CNB_LAYERS_DIR/tool.toml"
"""
# It reads a file of the application, which is not there when it builds. Of all variables, buildpacks see such as PATH only.
TOOL = (
    f"{BASE}ARG user_id\nARG group_id\nUSER root\nCOPY app.sh /opt/tool/copied\n"
    "RUN printf '#!/bin/sh\\necho hello; cat /opt/tool/copied; id -un; command -v uv' >/opt/tool/tool && chmod 755 /opt/tool/tool\n"
    f"ENV PATH=/opt/tool:$PATH\n{AS_BEFORE}"
)
SAID = "hello\n#!/bin/sh\necho hello\npybuild\n/opt/pybuild/bin/uv\n"
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
        ("application", "buildpack", {"detect": "test -e app.sh", "build": BUILD}),
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


def said(extended: Extended) -> str:
    """What the tool of the build image has said."""
    (found,) = [one for one in iterate_files(extended.image) if one.name == "layers/test_application/tool/said"]
    return found.content.decode()


def generate(extended: Extended, **dockerfiles: str) -> None:
    for kind, text in dockerfiles.items():
        (extended.repository / "generated" / f"{kind}.Dockerfile").write_text(text)


@pytest.mark.requirement("EXT-05")
def test_the_run_image_is_extended_and_the_same_the_next_time(extended: Extended) -> None:
    steps = "ARG user_id\nARG group_id\nUSER root\nRUN echo $user_id >/usr/new\nCOPY app.sh /usr/copied\n"
    generate(extended, run=f"{BASE}{steps}{AS_BEFORE}LABEL io.buildpacks.rebasable=true\n")
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


@pytest.mark.requirement("EXT-04")
def test_the_build_image_is_extended_and_the_same_the_next_time(extended: Extended) -> None:
    generate(extended, build=TOOL)
    finished = expect_success(extended.build())
    assert "test/extension/build.Dockerfile:7 RUN" in finished.stderr
    assert "Unpacking the build image" in finished.stderr
    assert said(extended) == SAID
    # It is of the build only.
    assert "opt/tool/copied" not in file_names(extended.image)
    digest = extended.image.digest
    again = expect_success(extended.build())
    assert extended.image.digest == digest
    assert "Unpacking the build image" not in again.stderr
    # A Dockerfile of the repository makes the run image, which is another matter.
    (extended.repository / "Dockerfile").write_text("FROM pybuild/run:bookworm\nENV BASE=own\n")
    expect_success(extended.build("--buildpack", "pybuild/dockerfile", "--buildpack", "test/application"))
    assert said(extended) == SAID
    assert "BASE=own" in extended.image.config["config"]["Env"]


@pytest.mark.engine
def test_an_engine_extends_both_images_and_builds_in_its_own(extended: Extended, engine: DockerEngine) -> None:
    run = "FROM docker.io/library/full:1\nARG user_id\nUSER root\nRUN echo new >/usr/new\nUSER ${user_id}\n"
    generate(extended, build=TOOL, run=run)
    docker = replace(extended, pybuild=extended.pybuild.with_env(DOCKER_HOST=f"unix://{engine.socket}"))
    since = f"{time.time():.9f}"
    finished = expect_success(docker.build("--engine", "docker"))
    assert "run.Dockerfile:4 RUN echo new >/usr/new" in finished.stderr
    assert len(engine.containers_since(since)) == 2
    assert "usr/new" in file_names(extended.image)
    assert said(extended) == SAID


def test_what_is_not_allowed_is_said_before_the_build(extended: Extended) -> None:
    for dockerfile, mentions in (
        ({"run": f"{BASE}USER root\n"}, ("test/extension", "runs as root", "USER ${user_id}:${group_id}")),
        ({"build": f"{BASE}RUN <<EOF\ntrue\nEOF\n", "run": BASE}, ("build.Dockerfile:3", "here-document", "printf")),
    ):
        generate(extended, **dockerfile)
        expect_error(extended.build(), (3, 100), *mentions)
        assert not (extended.root / "layout").exists()


def test_a_dockerfile_of_the_repository_and_one_of_an_extension_are_not_for_one_image(extended: Extended) -> None:
    (extended.repository / "Dockerfile").write_text("FROM pybuild/run:bookworm\nENV BASE=own\n")
    generate(extended, run=f"{BASE}LABEL a=b\n")
    options = ("--buildpack", "pybuild/dockerfile", "--buildpack", "test/application")
    expect_error(extended.build(*options), 3, "`test/extension` has one as well", "without this extension")
