"""Other people's buildpacks come to a builder as archives, package files and images, and build with it as directories do."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from tests.integration.command import Pybuild, expect_success
from tests.integration.image_files import file_names, iterate_files, read_layout
from tests.integration.registry import start_registry

pytestmark = pytest.mark.integration

# What each writes into its layer is what it sees of the operator's variable.
BUILD = """#!/bin/sh
set -e
mkdir "$CNB_LAYERS_DIR/made"
printf '%s' "$TEAM" > "$CNB_LAYERS_DIR/made/team"
printf '[types]\\nlaunch = true\\n' > "$CNB_LAYERS_DIR/made.toml"
"""
MEMBERS = """
[[order]]
[[order.group]]
id = "test/first"
version = "1.0.0"
[[order.group]]
id = "test/second"
version = "1.0.0"
"""


def write_buildpack(directory: Path, name: str) -> Path:
    (directory / "bin").mkdir(parents=True)
    (directory / "bin" / "detect").write_text("#!/bin/sh\nexit 0\n")
    (directory / "bin" / "build").write_text(BUILD)
    for program in (directory / "bin").iterdir():
        program.chmod(0o755)
    (directory / "buildpack.toml").write_text(f'api = "0.10"\n[buildpack]\nid = "{name}"\nversion = "1.0.0"\n')
    return directory


def write_composite(directory: Path) -> Path:
    """A buildpack of two others, one of which is an archive."""
    write_buildpack(directory / "first", "test/first")
    second = write_buildpack(directory / "made" / "second", "test/second")
    with tarfile.open(directory / "second.tgz", "w:gz") as archive:
        archive.add(second, "second")
    (directory / "buildpack.toml").write_text(
        f'api = "0.10"\n[buildpack]\nid = "test/both"\nversion = "1.0.0"\n{MEMBERS}'
    )
    (directory / "package.toml").write_text(
        '[[dependencies]]\nuri = "first"\n[[dependencies]]\nuri = "second.tgz"\n[buildpack]\nuri = "."\n'
    )
    return directory


def test_a_builder_of_packages_builds(pybuild: Pybuild, tmp_path: Path) -> None:
    with start_registry(tmp_path / "registry") as registry:
        trusting = pybuild.with_env(CNB_INSECURE_REGISTRIES=registry.host)
        composite, third = write_composite(tmp_path / "both"), write_buildpack(tmp_path / "third", "test/third")
        expect_success(pybuild("buildpack", "package", composite, "--file", tmp_path / "both.cnb", "--flatten"))
        name = f"docker://{registry.host}/third:1"
        expect_success(trusting("buildpack", "package", third, "--output", name))
        builder = tmp_path / "builder.toml"
        builder.write_text(f"""
            [[buildpacks]]
            uri = "both.cnb"
            [[buildpacks]]
            uri = "{name}"
            [[order]]
            [[order.group]]
            id = "test/both"
            [[order.group]]
            id = "test/third"
            [build]
            env = [{{ name = "TEAM", value = "blue", suffix = "append", delim = "," }}]
            [pybuild]
            extends = "default"
        """)
        made = expect_success(trusting("builder", "create", "--builder", builder)).stdout
    # The registry is gone: what it had was asked for once.
    repository = tmp_path / "repository"
    repository.mkdir()
    layout = f"oci:{tmp_path / 'image'}"
    expect_success(pybuild("build", repository, "--builder", builder, "--env", "TEAM=green", "--output", layout))
    image = read_layout(tmp_path / "image")
    group = image.label("io.buildpacks.build.metadata")["buildpacks"]
    assert [one["id"] for one in group] == ["test/first", "test/second", "test/third"]
    said = {file.name: file.content for file in iterate_files(image) if file.name.endswith("/made/team")}
    assert said == {f"layers/test_{name}/made/team": b"green,blue" for name in ("first", "second", "third")}
    assert expect_success(pybuild("builder", "create", "--builder", builder)).stdout == made


def test_the_image_of_a_builder_shows_what_came_in_packages(pybuild: Pybuild, tmp_path: Path) -> None:
    expect_success(pybuild("buildpack", "package", write_composite(tmp_path / "both"), "--file", tmp_path / "both.cnb"))
    extension = tmp_path / "more"
    (extension / "bin").mkdir(parents=True)
    (extension / "bin" / "generate").write_text("#!/bin/sh\n")
    (extension / "extension.toml").write_text('api = "0.10"\n[extension]\nid = "test/more"\nversion = "2.0.0"\n')
    expect_success(pybuild("buildpack", "package", extension, "--file", tmp_path / "more.cnb"))
    builder = tmp_path / "builder.toml"
    builder.write_text("""
        [[buildpacks]]
        uri = "both.cnb"
        [[extensions]]
        uri = "more.cnb"
        [[order]]
        [[order.group]]
        id = "test/both"
        [[order-extensions]]
        [[order-extensions.group]]
        id = "test/more"
        [system.post]
        buildpacks = [{ id = "test/second", optional = true }]
        [stack]
        id = "test.stack"
        [pybuild]
        extends = "default"
    """)
    layout = tmp_path / "builder"
    expect_success(pybuild("builder", "create", "--builder", builder, "--output", f"oci:{layout}"))
    image = read_layout(layout)
    assert {"cnb/system.toml", "cnb/extensions/test_more/2.0.0/extension.toml"} <= file_names(image)
    assert image.config["config"]["Labels"]["io.buildpacks.stack.id"] == "test.stack"
    layers = image.label("io.buildpacks.buildpack.layers")
    assert layers["test/both"]["1.0.0"]["order"][0]["group"][1] == {"id": "test/second", "version": "1.0.0"}
    described = json.loads(expect_success(pybuild("builder", "inspect", f"oci:{layout}", "--json")).stdout)
    assert described["digest"] == image.digest
    assert described["order"][0] == [{"id": "test/both", "version": "1.0.0", "optional": False}]
    assert described["extension_order"] == [[{"id": "test/more", "version": "2.0.0", "optional": False}]]
    assert described["system"]["post"] == [{"id": "test/second", "version": "1.0.0", "optional": True}]
    assert described["stack"] == "test.stack"
    said = expect_success(pybuild("builder", "inspect", f"oci:{layout}")).stdout
    for word in ("test/both 1.0.0, Buildpack API 0.10", "test/more 2.0.0", "Platform API 0.12", "pybuild/run:bookworm"):
        assert word in said
