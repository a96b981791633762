from __future__ import annotations

from pathlib import Path

import click
import pytest

from lifecycle.cnb.target import host_architecture
from lifecycle.oci.descriptor import Platform
from pybuild.builder import default_definition_path, ensure_builder, read_definition
from pybuild.builder.errors import ImageUnusable
from pybuild.commands.options import Platforms
from pybuild.request import BuildRequest
from tests.pybuild.recording_log import RecordingLog


def read(text: str) -> list[str]:
    return [f"{one.os}/{one.architecture}" for one in Platforms().convert(text, None, None)]


def test_platforms_are_read_as_other_tools_write_them() -> None:
    assert read("linux/arm64") == ["linux/arm64"]
    assert read("linux/amd64, linux/arm64/v8,linux/amd64,linux/arm64") == ["linux/amd64", "linux/arm64"]


@pytest.mark.parametrize("text", ["", "arm64", "linux/s390x", "windows/amd64", "linux/amd64,"])
def test_what_no_image_is_made_for_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="images are made for linux/amd64 and linux/arm64"):
        read(text)


def test_no_builder_is_made_for_what_no_packages_are_there_for(tmp_path: Path) -> None:
    definition = read_definition(default_definition_path())
    with pytest.raises(ImageUnusable, match="linux/s390x: builders are made for linux/amd64 and linux/arm64"):
        ensure_builder(definition, tmp_path / "store", RecordingLog(), architecture="s390x")
    assert not (tmp_path / "store").exists()


def test_an_image_is_for_this_machine_where_nobody_says_another() -> None:
    request = BuildRequest(repository=".", builder=default_definition_path())
    assert request.platforms == (Platform(os="linux", architecture=host_architecture()),)
