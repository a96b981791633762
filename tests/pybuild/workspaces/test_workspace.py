"""Environments in a workspace that is a directory."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest

from lifecycle.cnb.errors import render_error
from lifecycle.oci.config import ImageConfig
from lifecycle.oci.errors import UnsupportedImage
from lifecycle.oci.image import make_image
from lifecycle.oci.image_index import render_index
from lifecycle.oci.layout_writer import LAYOUT_CONTENT, open_layout
from pybuild.workspaces.errors import InvalidName, NameReserved, NoSuchEnvironment
from pybuild.workspaces.place import LayoutPlace, RegistryPlace, default_place, parse_place
from pybuild.workspaces.version import make_version
from pybuild.workspaces.workspace import Workspace
from tests.lifecycle.registry.fake_registry import FakeRegistry


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(f"oci:{tmp_path / 'workspace'}", env={})


def test_versions_count_from_one_and_equal_definitions_are_one(workspace: Workspace) -> None:
    first = workspace.register("analysis", b"first")
    assert (first.version, first.is_new, first.definition) == (1, True, b"first")
    assert workspace.register("analysis", b"second").version == 2
    again = workspace.register("analysis", b"first")
    assert (again.version, again.is_new, again.created) == (1, False, first.created)
    assert workspace.register("other", b"first").version == 1
    assert workspace.names() == ("analysis", "other")


def test_a_version_is_found_by_number_by_label_and_as_the_latest(workspace: Workspace) -> None:
    for definition in (b"1", b"2", b"3"):
        workspace.register("analysis", definition)
    workspace.set_label("analysis", "stable", 2)
    assert workspace.get("analysis", version=1).definition == b"1"
    assert workspace.get("analysis", label="stable").definition == b"2"
    assert workspace.get("analysis").version == workspace.get("analysis", label="latest").version == 3
    with pytest.raises(InvalidName, match="version 3 is asked for as well"):
        workspace.get("analysis", version=3, label="stable")
    workspace.set_label("analysis", "stable", 1)
    assert workspace.get("analysis", label="stable").definition == b"1"
    assert {one.version: one.labels for one in workspace.describe("analysis").versions} == {
        1: ("stable",),
        2: (),
        3: ("latest",),
    }


def test_an_archived_version_is_not_the_latest_and_can_be_had(workspace: Workspace) -> None:
    for definition in (b"1", b"2"):
        workspace.register("analysis", definition)
    workspace.archive("analysis", 2)
    workspace.archive("analysis", 2)
    assert workspace.get("analysis").version == 1
    assert workspace.get("analysis", version=2).is_archived
    assert workspace.register("analysis", b"2").is_archived, "an archived version is still the one of its definition"
    workspace.restore("analysis", 2)
    assert workspace.get("analysis").version == 2
    workspace.archive("analysis")
    assert workspace.describe("analysis").is_archived
    workspace.restore("analysis")
    assert not workspace.describe("analysis").is_archived


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"version": 7}, "has no version 7 of the environment `analysis`\n  there are  1 to 2"),
        ({"label": "stable"}, "has no label `stable` of the environment `analysis`\n  there are  latest, tested"),
        ({"name": "other"}, "has no environment `other`\n  there are  analysis"),
    ],
)
def test_what_is_not_there_is_said_with_what_is(workspace: Workspace, wanted: dict[str, object], expected: str) -> None:
    for definition in (b"1", b"2"):
        workspace.register("analysis", definition)
    workspace.set_label("analysis", "tested", 1)
    with pytest.raises(NoSuchEnvironment) as caught:
        workspace.get(**{"name": "analysis", **wanted})  # type: ignore[arg-type]
    assert expected in render_error(caught.value)
    assert "pybuild env" in render_error(caught.value)


@pytest.mark.parametrize(
    ("name", "proposal"),
    [
        ("My Env", "`My-Env`"),
        ("é", "`analysis`"),
        ("team/x", "`team-x`"),
        ("\u212a1", "`1`"),
        ("Pybuild-Catalog", "another"),
    ],
)
def test_a_name_that_no_registry_takes_is_refused_with_one_that_it_takes(
    workspace: Workspace, name: str, proposal: str
) -> None:
    with pytest.raises(InvalidName) as caught:
        workspace.register(name, b"1")
    assert proposal in caught.value.hint


def test_names_keep_their_case_and_are_found_without_it(workspace: Workspace) -> None:
    first = workspace.register("AzureML-sklearn-1.0", b"1")
    assert (first.name, first.version) == ("AzureML-sklearn-1.0", 1)
    again = workspace.register("azureml-SKLEARN-1.0", b"1")
    assert (again.name, again.version, again.is_new) == ("AzureML-sklearn-1.0", 1, False)
    assert workspace.register("azureml-sklearn-1.0", b"2").name == "AzureML-sklearn-1.0"
    assert workspace.register("Zebra", b"1").name == "Zebra"
    assert workspace.register("other", b"1").name == "other"
    assert workspace.names() == ("AzureML-sklearn-1.0", "other", "Zebra")
    assert workspace.repository("AzureML-sklearn-1.0").location == f"{workspace.location}/azureml-sklearn-1.0"

    workspace.set_label("AZUREML-SKLEARN-1.0", "stable", 1)
    assert workspace.get("azureml-sklearn-1.0", label="stable").definition == b"1"
    assert workspace.describe("azureml-sklearn-1.0").name == "AzureML-sklearn-1.0"
    workspace.archive("azureml-Sklearn-1.0", 2)
    assert workspace.get("AzureML-sklearn-1.0").version == 1


def test_names_of_curated_environments_are_theirs(workspace: Workspace) -> None:
    for name in ("curated-base", "Curated-base"):
        with pytest.raises(NameReserved, match="curated"):
            workspace.register(name, b"1")
    assert workspace.register("curated-base", b"1", curated=True).version == 1
    workspace.register("base", b"1")
    assert workspace.names() == ("base", "curated-base")


def test_what_others_put_beside_versions_is_no_label(workspace: Workspace, tmp_path: Path) -> None:
    workspace.register("analysis", b"1")
    workspace.set_label("analysis", "stable", 1)
    layout = tmp_path / "workspace" / "analysis"
    image = make_image(ImageConfig(architecture="amd64", os="linux"), [])
    with open_layout(layout) as writer:
        writer.add(image)
        writer.tag(image, ["dev", f"sha256-{'a' * 64}.sig"])
    (summary,) = workspace.describe_all()
    assert summary.versions[0].labels == ("latest", "stable")
    with pytest.raises(NoSuchEnvironment, match="label `dev`"):
        workspace.get("analysis", label="dev")


def test_an_environment_whose_register_was_killed_is_in_no_list(workspace: Workspace, tmp_path: Path) -> None:
    workspace.register("analysis", b"1")
    (tmp_path / "workspace" / "begun").mkdir()
    (tmp_path / "workspace" / "begun" / "oci-layout").write_bytes(LAYOUT_CONTENT)
    (tmp_path / "workspace" / "begun" / "index.json").write_bytes(render_index([]))
    assert workspace.names() == ("analysis", "begun")
    assert [one.name for one in workspace.describe_all()] == ["analysis"]


def test_a_number_that_somebody_else_has_put_is_no_version(workspace: Workspace) -> None:
    workspace.register("analysis", b"1")
    repository = workspace.repository("analysis")
    first = repository.get("1")
    assert first is not None
    repository.put(first, "20261122")
    with pytest.raises(UnsupportedImage, match="20261122: is not version 20261122"):
        workspace.get("analysis")
    with pytest.raises(UnsupportedImage, match="20261122: is not version 20261122"):
        workspace.register("analysis", b"2")
    assert repository.tags() >= {"1", "20261122"}
    assert "2" not in repository.tags()


def test_the_latest_is_one_that_is_there() -> None:
    """As Distribution lists a version that another is about to put."""
    with FakeRegistry() as registry, Workspace(f"docker://{registry.host}/team", env={}) as workspace:
        workspace.repository("analysis").put(make_version("analysis", 1, b"1", "2026-01-01T00:00:00Z"), "1")
        tags = json.dumps({"tags": ["1", "2"]}).encode()
        registry.always("/v2/team/analysis/tags/list", lambda exchange: exchange.answer(200, tags))
        assert workspace.get("analysis").version == workspace.get("analysis", label="latest").version == 1
        workspace.archive("analysis")
        with pytest.raises(NoSuchEnvironment):
            workspace.get("analysis", version=2)


@pytest.mark.parametrize("label", ["latest", "7", "_v1.is.x", "image-1", "sha256-1", "a b", ""])
def test_labels_are_not_mistaken_for_what_pybuild_writes(workspace: Workspace, label: str) -> None:
    workspace.register("analysis", b"1")
    with pytest.raises(InvalidName):
        workspace.set_label("analysis", label, 1)


def test_places(tmp_path: Path) -> None:
    assert isinstance(parse_place("docker://registry.example.org/team/"), RegistryPlace)
    assert str(parse_place("docker://registry.example.org:5000/team")) == "docker://registry.example.org:5000/team"
    for hub in ("docker.io/team", "index.docker.io/team", "team"):
        place = parse_place(f"docker://{hub}")
        assert isinstance(place, RegistryPlace)
        assert (str(place), place.repository("x").name) == ("docker://docker.io/team", "docker.io/team/x")
    assert default_place({}, tmp_path) == LayoutPlace(directory=tmp_path / ".local/share/pybuild/workspace")
    named = {"PYBUILD_WORKSPACE": "docker://registry.example.org/team", "XDG_DATA_HOME": "/data"}
    assert str(default_place(named, tmp_path)) == "docker://registry.example.org/team"
    assert str(default_place({"XDG_DATA_HOME": "/data"}, tmp_path)) == "oci:/data/pybuild/workspace"


@pytest.mark.parametrize(
    "text",
    [
        "team",
        "oci:",
        "oci:a:b",
        "docker://host/team:1",
        f"docker://host/team@sha256:{'a' * 64}",
        "docker://host/Team",
        "docker-daemon:x",
    ],
)
def test_a_place_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidName) as caught:
        parse_place(text)
    assert "docker://registry.example.org/team" in caught.value.hint


def test_a_file_is_no_place(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidName, match="it is a file"):
        Workspace(f"oci:{tmp_path / 'file'}", env={})


@pytest.mark.parametrize("host", ["ghcr.io", "localhost:5000", "docker.io"])
def test_a_registry_alone_is_no_place(host: str) -> None:
    with pytest.raises(InvalidName, match="no namespace") as caught:
        parse_place(f"docker://{host}/")
    assert caught.value.hint == f"for example `docker://{host}/team`"


def register_some(location: str, process: int, results: multiprocessing.Queue[tuple[bytes, int]]) -> None:
    workspace = Workspace(location, env={})
    for number in range(10):
        definition = f"{process if number % 5 else 'shared'}-{number}".encode()
        results.put((definition, workspace.register("analysis", definition).version))


def test_processes_that_register_in_one_directory_get_versions_of_their_own(workspace: Workspace) -> None:
    context = multiprocessing.get_context("fork")
    results: multiprocessing.Queue[tuple[bytes, int]] = context.Queue()
    processes = [
        context.Process(target=register_some, args=(workspace.location, number, results)) for number in range(2)
    ]
    for process in processes:
        process.start()
    given = [results.get(timeout=60) for _ in range(20)]
    for process in processes:
        process.join(60)
    versions = dict(given)
    # Two of ten are the same for both.
    assert sorted(versions.values()) == list(range(1, 19))
    assert all(versions[definition] == version for definition, version in given)
