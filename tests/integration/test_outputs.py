"""Images in every form that they are written in, in the opinion of other people's tools."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lifecycle.cnb.layer import remove_tree
from tests.integration.command import Pybuild, expect_error, expect_success, ordinary_environment
from tests.integration.engine import DockerEngine
from tests.integration.image_check import check_with_tools, run_tool, validate_image
from tests.integration.image_files import read_layout
from tests.integration.package_index import PackageIndex, write_wheel
from tests.integration.workplace import share_builder

pytestmark = pytest.mark.integration


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What one build has written in every form, for all tests of the module; they change nothing of it."""

    pybuild: Pybuild
    repository: Path
    directory: Path

    @property
    def layout(self) -> Path:
        return self.directory / "layout"

    @property
    def locations(self) -> dict[str, str]:
        """Of the image by transport."""
        return {
            "oci": f"oci:{self.layout}:first",
            "oci-archive": f"oci-archive:{self.directory / 'oci.tar'}",
            "docker-archive": f"docker-archive:{self.directory / 'docker.tar'}",
        }


@pytest.fixture(scope="module")
def written(machine_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Written]:
    directory = tmp_path_factory.mktemp("outputs")
    cache_home = share_builder(machine_store, directory / "cache-home")
    repository = directory / "repository"
    repository.mkdir()
    (repository / "requirements.txt").write_text("alpha==1.0\n")
    (repository / "main.py").write_text("import alpha\nprint('alpha', alpha.VERSION)\n")
    with PackageIndex(directory / "index") as index:
        write_wheel(index.directory, "alpha", "1.0")
        pybuild = Pybuild(env=ordinary_environment(cache_home)).with_env(**index.settings())
        made = Written(pybuild=pybuild, repository=repository, directory=directory)
        options = [word for location in made.locations.values() for word in ("--output", location)]
        built = expect_success(pybuild("build", repository, *options, "--tag", "example/alpha:1"))
        assert len(built.stdout.splitlines()) == len(made.locations)
        yield made
    remove_tree(directory)


def test_skopeo_umoci_and_the_schemas_accept_every_output(written: Written, tmp_path: Path) -> None:
    image = validate_image(written.layout, "first")
    for transport, location in written.locations.items():
        inspected = check_with_tools(location, tmp_path / transport)
        assert inspected["Os"] == "linux"
        assert inspected["Env"] == image.config["config"]["Env"]
        config = run_tool("skopeo", "inspect", "--raw", "--config", location)
        assert json.loads(config) == image.config


def test_layout_and_oci_archive_have_one_digest(written: Written) -> None:
    locations = [written.locations[name] for name in ("oci", "oci-archive")]
    digests = {json.loads(run_tool("skopeo", "inspect", location))["Digest"] for location in locations}
    assert digests == {read_layout(written.layout, "first").digest}


def test_archives_are_reproducible_to_the_byte(written: Written, tmp_path: Path) -> None:
    again = (
        "--output",
        f"oci-archive:{tmp_path / 'oci-2.tar'}",
        "--output",
        f"docker-archive:{tmp_path / 'docker-2.tar'}",
    )
    expect_success(written.pybuild("build", written.repository, *again, "--tag", "example/alpha:1"))
    assert (written.directory / "oci.tar").read_bytes() == (tmp_path / "oci-2.tar").read_bytes()
    assert (written.directory / "docker.tar").read_bytes() == (tmp_path / "docker-2.tar").read_bytes()


def test_the_archive_for_docker_is_a_layout_as_well(written: Written) -> None:
    with tarfile.open(written.directory / "docker.tar") as archive:
        assert {"manifest.json", "oci-layout", "index.json"} <= set(archive.getnames())


@pytest.mark.parametrize("transport", ["oci", "oci-archive", "docker-archive"])
def test_pybuild_runs_every_output(written: Written, transport: str) -> None:
    ran = expect_success(written.pybuild("run", written.locations[transport], "--", "python", "main.py"))
    assert ran.stdout == "alpha 1.0\n"


@pytest.mark.engine
def test_the_engine_loads_the_archive_under_its_name(written: Written, engine: DockerEngine) -> None:
    image_id = engine.load(written.directory / "docker.tar")
    assert image_id == read_layout(written.layout, "first").manifest["config"]["digest"]
    assert engine("run", "--rm", "example/alpha:1", "python", "main.py") == "alpha 1.0\n"


def test_a_second_tag_keeps_the_first_in_a_layout(written: Written, tmp_path: Path) -> None:
    layout = shutil.copytree(written.layout, tmp_path / "layout")
    changed = shutil.copytree(written.repository, tmp_path / "repository")
    first = read_layout(layout, "first").digest
    (changed / "main.py").write_text("print('changed')\n")
    expect_success(written.pybuild("build", changed, "--output", f"oci:{layout}:second"))
    assert validate_image(layout, "first").digest == first
    assert validate_image(layout, "second").digest != first


def test_an_output_that_cannot_be_written_is_named(offline_pybuild: Pybuild, repository: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    finished = offline_pybuild("build", repository, "--output", f"oci:{tmp_path / 'file' / 'layout'}")
    assert finished.status != 0
    expect_error(finished, finished.status, str(tmp_path / "file"))
    assert (tmp_path / "file").read_text() == "mine"


def test_an_output_without_a_transport_is_a_usage_error(offline_pybuild: Pybuild, repository: Path) -> None:
    expect_error(offline_pybuild("build", repository, "--output", "image.tar"), 2, "oci:")


def test_a_report_can_be_read_through_a_pipe(written: Written, tmp_path: Path) -> None:
    pipe = tmp_path / "report"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE) as reader:
        expect_success(written.pybuild("build", written.repository, "--report", pipe))
        read, _ = reader.communicate(timeout=30)
    assert json.loads(read)["image"]["digest"].startswith("sha256:")
    assert pipe.is_fifo()
