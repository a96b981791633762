"""Images in every form that they are written in, in the opinion of other people's tools."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.integration.command import Pybuild, expect_error, expect_success
from tests.integration.engine import DockerEngine
from tests.integration.image_check import check_with_tools, run_tool, validate_image
from tests.integration.image_files import read_layout

pytestmark = pytest.mark.integration


@pytest.fixture
def outputs(offline_pybuild: Pybuild, repository: Path, tmp_path: Path) -> dict[str, str]:
    """Location of the image by transport; one build has written them all."""
    locations = {
        "oci": f"oci:{tmp_path / 'layout'}:first",
        "oci-archive": f"oci-archive:{tmp_path / 'oci.tar'}",
        "docker-archive": f"docker-archive:{tmp_path / 'docker.tar'}",
    }
    options = [word for location in locations.values() for word in ("--output", location)]
    built = expect_success(offline_pybuild("build", repository, *options, "--tag", "example/alpha:1"))
    assert len(built.stdout.splitlines()) == len(locations)
    return locations


def test_skopeo_umoci_and_the_schemas_accept_every_output(outputs: dict[str, str], tmp_path: Path) -> None:
    image = validate_image(tmp_path / "layout", "first")
    for transport, location in outputs.items():
        inspected = check_with_tools(location, tmp_path / transport)
        assert inspected["Os"] == "linux"
        assert inspected["Env"] == image.config["config"]["Env"]
        config = run_tool("skopeo", "inspect", "--raw", "--config", location)
        assert json.loads(config) == image.config


def test_layout_and_oci_archive_have_one_digest(outputs: dict[str, str], tmp_path: Path) -> None:
    digests = {json.loads(run_tool("skopeo", "inspect", outputs[name]))["Digest"] for name in ("oci", "oci-archive")}
    assert digests == {read_layout(tmp_path / "layout", "first").digest}


def test_archives_are_reproducible_to_the_byte(
    outputs: dict[str, str], offline_pybuild: Pybuild, repository: Path, tmp_path: Path
) -> None:
    again = (
        "--output",
        f"oci-archive:{tmp_path / 'oci-2.tar'}",
        "--output",
        f"docker-archive:{tmp_path / 'docker-2.tar'}",
    )
    expect_success(offline_pybuild("build", repository, *again, "--tag", "example/alpha:1"))
    assert (tmp_path / "oci.tar").read_bytes() == (tmp_path / "oci-2.tar").read_bytes()
    assert (tmp_path / "docker.tar").read_bytes() == (tmp_path / "docker-2.tar").read_bytes()


def test_the_archive_for_docker_is_a_layout_as_well(outputs: dict[str, str], tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "docker.tar") as archive:
        assert {"manifest.json", "oci-layout", "index.json"} <= set(archive.getnames())


@pytest.mark.parametrize("transport", ["oci", "oci-archive", "docker-archive"])
def test_pybuild_runs_every_output(outputs: dict[str, str], offline_pybuild: Pybuild, transport: str) -> None:
    ran = expect_success(offline_pybuild("run", outputs[transport], "--", "python", "main.py"))
    assert ran.stdout == "alpha 1.0\n"


@pytest.mark.engine
def test_the_engine_loads_the_archive_under_its_name(
    outputs: dict[str, str], engine: DockerEngine, tmp_path: Path
) -> None:
    image_id = engine.load(tmp_path / "docker.tar")
    assert image_id == read_layout(tmp_path / "layout", "first").manifest["config"]["digest"]
    assert engine("run", "--rm", "example/alpha:1", "python", "main.py") == "alpha 1.0\n"


def test_a_second_tag_keeps_the_first_in_a_layout(
    outputs: dict[str, str], offline_pybuild: Pybuild, repository: Path, tmp_path: Path
) -> None:
    first = read_layout(tmp_path / "layout", "first").digest
    (repository / "main.py").write_text("print('changed')\n")
    expect_success(offline_pybuild("build", repository, "--output", f"oci:{tmp_path / 'layout'}:second"))
    assert validate_image(tmp_path / "layout", "first").digest == first
    assert validate_image(tmp_path / "layout", "second").digest != first


def test_an_output_that_cannot_be_written_is_named(offline_pybuild: Pybuild, repository: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    finished = offline_pybuild("build", repository, "--output", f"oci:{tmp_path / 'file' / 'layout'}")
    assert finished.status != 0
    expect_error(finished, finished.status, str(tmp_path / "file"))
    assert (tmp_path / "file").read_text() == "mine"


def test_an_output_without_a_transport_is_a_usage_error(offline_pybuild: Pybuild, repository: Path) -> None:
    expect_error(offline_pybuild("build", repository, "--output", "image.tar"), 2, "oci:")


def test_a_report_can_be_read_through_a_pipe(offline_pybuild: Pybuild, repository: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "report"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE) as reader:
        expect_success(offline_pybuild("build", repository, "--report", pipe))
        read, _ = reader.communicate(timeout=30)
    assert json.loads(read)["image"]["digest"].startswith("sha256:")
    assert pipe.is_fifo()
