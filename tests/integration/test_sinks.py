"""Images in registries and Docker engines, put there by builds and by `pybuild push`, in the opinion of other people's tools."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import oras.client
import pytest

from lifecycle.cnb.digest import Digest
from lifecycle.daemon.errors import EngineFailed
from lifecycle.exporters import Connections, parse_output, write_outputs
from lifecycle.oci.image import Image
from tests.integration.command import Pybuild, expect_error, expect_success
from tests.integration.derived_images import shell_image, write_image
from tests.integration.engine import DockerEngine, docker_engine
from tests.integration.image_check import run_tool, validate_foreign_image, validate_image
from tests.integration.image_files import read_layout
from tests.integration.machine import small_disk
from tests.integration.registry import Registry, start_registry
from tests.lifecycle.oci.images import file_layer, image_of
from tests.lifecycle.registry.fake_registry import client_for

pytestmark = pytest.mark.integration

_LOGIN = ("writer-41c", "canary-8e20d7")
_UPLOAD = re.compile(r'"(?:PATCH|PUT) /v2/(\S+)/blobs/uploads/')


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    with start_registry(tmp_path / "registry") as running:
        yield running


@pytest.fixture
def private_registry(tmp_path: Path) -> Iterator[Registry]:
    with start_registry(tmp_path / "private", login=_LOGIN) as running:
        yield running


def uploads(registry: Registry) -> list[str]:
    """Repositories that blobs were sent to, once for each piece that came."""
    return _UPLOAD.findall(registry.log)


def transfers(report: Path) -> dict[str, Mapping[str, Any]]:
    """What a report says of each output, by its name."""
    found = json.loads(report.read_text())["transfers"]
    return {one["output"].rpartition("@")[0]: one for one in found}


def copied(reference: str, layout: Path) -> str:
    """Digest of an image of a registry that skopeo could copy and umoci unpack."""
    run_tool("skopeo", "copy", "--quiet", "--src-tls-verify=false", f"docker://{reference}", f"oci:{layout}:copy")
    image = validate_foreign_image(layout)
    run_tool("umoci", "unpack", "--rootless", "--image", f"{layout}:copy", str(layout) + "-unpacked")
    return image.digest


def test_pushed_images_are_read_by_others(pybuild: Pybuild, registry: Registry, tmp_path: Path) -> None:
    image = shell_image(tmp_path / "made", "sh", "cat")
    location = write_image(tmp_path / "layout", image, [file_layer(tmp_path / "made", {"etc/word": "read\n"})])
    names = [f"{registry.host}/team/{name}" for name in ("app:1", "app:2", "copy:1")]
    pushed = expect_success(pybuild("push", location, *names, "--report", tmp_path / "report.json"))
    digest = read_layout(tmp_path / "layout", "test").digest
    assert pushed.stdout.splitlines() == [f"docker://{name}@{digest}" for name in names]
    for number, name in enumerate(names):
        assert copied(name, tmp_path / f"copied-{number}") == digest
    # What the first repository has need not be sent for the second.
    told = transfers(tmp_path / "report.json")
    assert set(uploads(registry)) == {"team/app"}
    assert told[f"docker://{names[2]}"]["mounted"] == told[f"docker://{names[0]}"]["sent"] > 0

    expect_success(pybuild("push", f"docker://{names[0]}", f"{registry.host}/team/third:1"))
    assert set(uploads(registry)) == {"team/app"}
    assert copied(f"{registry.host}/team/third:1", tmp_path / "copied-third") == digest

    reader = oras.client.OrasClient(insecure=True)
    manifest = reader.get_manifest(names[0])
    assert manifest == json.loads((tmp_path / "layout/blobs/sha256" / digest.removeprefix("sha256:")).read_bytes())
    for layer in manifest["layers"]:
        reader.download_blob(names[0], layer["digest"], str(tmp_path / "blob"))
        assert str(Digest.of((tmp_path / "blob").read_bytes())) == layer["digest"]

    ran = expect_success(pybuild("run", f"docker://{names[2]}", "--", "cat", "/etc/word"))
    assert ran.stdout == "read\n"


def test_builds_publish_what_has_changed(
    offline_pybuild: Pybuild, private_registry: Registry, repository: Path, tmp_path: Path
) -> None:
    credentials = private_registry.config_file(tmp_path / "docker")
    pybuild = offline_pybuild.with_env(DOCKER_CONFIG=str(credentials.parent))
    names = [f"{private_registry.host}/team/app:{tag}" for tag in ("1", "2")]
    options = ["--tag", names[0], "--tag", names[1], "--publish", "--report", str(tmp_path / "report.json")]
    built = expect_success(pybuild("build", repository, *options, "--output", f"oci:{tmp_path / 'layout'}:local"))
    digest = validate_image(tmp_path / "layout", "local").digest
    assert built.stdout.splitlines() == [
        f"oci:{tmp_path / 'layout'}:local@{digest}",
        *(f"docker://{name}@{digest}" for name in names),
    ]
    assert private_registry.digests("team/app") == [digest]
    sent = len(uploads(private_registry))
    assert sent > 0

    expect_success(pybuild("build", repository, *options))
    assert len(uploads(private_registry)) == sent
    unchanged = transfers(tmp_path / "report.json")[f"docker://{names[0]}"]
    assert (unchanged["sent"], unchanged["present"] > 0) == (0, True)

    (repository / "main.py").write_text("print('changed')\n")
    expect_success(pybuild("build", repository, *options))
    changed = transfers(tmp_path / "report.json")[f"docker://{names[0]}"]
    assert 0 < changed["sent"] < 20_000
    assert len(private_registry.digests("team/app")) == 2
    assert _LOGIN[1] not in built.stderr


def test_wrong_credentials_are_told_before_the_build(
    offline_pybuild: Pybuild, private_registry: Registry, repository: Path, tmp_path: Path
) -> None:
    credentials = replace(private_registry, login=(_LOGIN[0], "wrong-canary")).config_file(tmp_path / "docker")
    pybuild = offline_pybuild.with_env(DOCKER_CONFIG=str(credentials.parent))
    finished = pybuild("build", repository, "--tag", f"{private_registry.host}/team/app", "--publish")
    expect_error(finished, 62, "refuses the credentials", _LOGIN[0])
    assert "===>" not in finished.stderr
    assert "wrong-canary" not in finished.stderr
    finished = offline_pybuild.with_env(DOCKER_CONFIG=str(tmp_path))(
        "push", "oci:nowhere", f"{private_registry.host}/team/app"
    )
    expect_error(finished, 62, "wants credentials", "docker login")


def test_without_an_engine_a_name_alone_is_an_error(offline_pybuild: Pybuild, repository: Path, tmp_path: Path) -> None:
    nowhere = offline_pybuild.with_env(DOCKER_HOST=f"unix://{tmp_path / 'socket'}")
    finished = nowhere("build", repository, "--tag", "app")
    expect_error(finished, 4, "does not answer", str(tmp_path / "socket"), "--publish")
    assert "===>" not in finished.stderr


def test_the_names_of_the_builder_s_images_are_not_taken(offline_pybuild: Pybuild, repository: Path) -> None:
    finished = offline_pybuild("build", repository, "--tag", "pybuild/run:bookworm")
    expect_error(finished, 2, "docker.io/pybuild/run:bookworm")


@pytest.mark.engine
def test_one_build_goes_everywhere(
    offline_pybuild: Pybuild, registry: Registry, engine: DockerEngine, repository: Path, tmp_path: Path
) -> None:
    pybuild = offline_pybuild.with_env(DOCKER_HOST=f"unix://{engine.socket}")
    name = f"{registry.host}/team/app:1"
    outputs = [f"oci:{tmp_path / 'layout'}:test", f"docker://{name}", "docker-daemon:sinks/app:1"]
    options = [word for output in outputs for word in ("--output", output)]
    report = tmp_path / "report.json"
    built = expect_success(pybuild("build", repository, *options, "--tag", "sinks/other", "--report", report))
    image = validate_image(tmp_path / "layout", "test")
    identity = image.manifest["config"]["digest"]
    assert built.stdout.splitlines() == [
        f"{outputs[0]}@{image.digest}",
        f"{outputs[1]}@{image.digest}",
        f"docker-daemon:docker.io/sinks/app:1@{identity}",
    ]
    for local in ("sinks/app:1", "sinks/other:latest"):
        assert engine("image", "inspect", "--format", "{{.Id}}", local).strip() == identity
    assert engine("run", "--rm", "--network", "none", "sinks/other", "python", "main.py") == "alpha 1.0\n"

    # An engine that has neither gets the same from the registry.
    engine("image", "rm", "sinks/app:1", "sinks/other")
    engine("pull", "--quiet", name)
    assert engine("image", "inspect", "--format", "{{.Id}}", name).strip() == identity

    (repository / "main.py").write_text("print('changed')\n")
    expect_success(pybuild("build", repository, "--tag", "sinks/app:1", "--report", report))
    changed = transfers(report)["docker-daemon:docker.io/sinks/app:1"]
    assert 0 < changed["sent"] < 20_000
    assert engine("run", "--rm", "--network", "none", "sinks/app:1", "python", "main.py") == "changed\n"
    pushed = expect_success(pybuild("push", "docker-daemon:sinks/app:1", f"{registry.host}/team/app:3"))
    engine("image", "rm", "sinks/app:1")
    engine("pull", "--quiet", f"{registry.host}/team/app:3")
    assert pushed.stdout.startswith(f"docker://{registry.host}/team/app:3@sha256:")


@pytest.mark.engine
def test_an_engine_that_does_not_take_an_image_has_nothing_of_it(engine: DockerEngine, tmp_path: Path) -> None:
    # Images of the same second are listed in any order.
    before = set(engine("images", "--all", "--quiet").split())
    layers = [file_layer(tmp_path / "made", {name: name * 1000}) for name in "ab"]
    wrong = image_of(layers[0], replace(layers[1], diff_id=Digest.of(b"another")))
    with pytest.raises(EngineFailed, match="diffID"):
        load(engine, wrong)
    assert set(engine("images", "--all", "--quiet").split()) == before


@pytest.mark.engine
def test_an_engine_without_room_says_so_while_it_is_sent_the_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = image_of(file_layer(tmp_path / "made", {"large": os.urandom(10_000_000).hex()}))
    # Not below pytest's directory: the paths of sockets are short.
    with tempfile.TemporaryDirectory(prefix="pybuild-") as directory, small_disk(Path(directory), 10) as disk:
        monkeypatch.setattr(tempfile, "tempdir", str(disk))
        with docker_engine() as own:
            with pytest.raises(EngineFailed, match="no space left on device") as caught:
                load(own, image)
            assert "docker image prune" in str(caught.value.hint)
            assert own("images", "--all", "--quiet") == ""


@pytest.mark.engine
def test_an_engine_that_this_user_may_not_use_is_told(engine: DockerEngine, tmp_path: Path) -> None:
    # As where somebody is not in the group `docker`; directory and socket are root's.
    code = (
        "import os; from lifecycle.daemon.engine import open_engine; from lifecycle.daemon.errors import EngineUnusable\n"
        "try:\n    open_engine(os.environ).__enter__()\nexcept EngineUnusable as err: print(err.summary, err.hint)"
    )
    ran = subprocess.run(
        ["setpriv", "--reuid=65534", "--clear-groups", sys.executable, "-c", code],
        env={**os.environ, "DOCKER_HOST": f"unix://{engine.socket}", "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.startswith(f"this user may not use the Docker engine at unix://{engine.socket}")
    assert "the group `docker`" in ran.stdout


def load(engine: DockerEngine, image: Image) -> None:
    connections = Connections(client=client_for(), env={"DOCKER_HOST": f"unix://{engine.socket}"})
    write_outputs(image, [parse_output("docker-daemon:sinks/wrong")], connections)
