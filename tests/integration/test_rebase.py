"""Real images get another run image: they become what a build on it gives, and they run."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lifecycle.oci.layout import read_image
from pybuild.builder import default_definition_path
from tests.integration.command import Pybuild, expect_error, expect_success
from tests.integration.derived_images import derive_image
from tests.integration.engine import DockerEngine
from tests.integration.image_check import check_with_tools, run_tool, validate_image
from tests.integration.image_files import differences, read_layout
from tests.integration.registry import start_registry

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


def run_base(pybuild: Pybuild, layout: Path) -> Path:
    """`layout` with the run image of the default builder."""
    expect_success(pybuild("builder", "create", "--run-output", f"oci:{layout}"))
    return layout


def patched_base(pybuild: Pybuild, layout: Path) -> str:
    """Location of the run image with a file and variables more."""
    base = run_base(pybuild, layout.with_name(f"{layout.name}-base"))
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
    # Through the launcher, and past it.
    for way in ((f"oci:{layout}:new", "--", "bash"), ("--entrypoint", "bash", f"oci:{layout}:new", "--")):
        output = expect_success(own_store("run", *way, "-c", seen)).stdout
        patched, environment, answer = output.splitlines()
        assert (patched, answer) == ("yes", "alpha 1.0")
        assert environment.startswith("yes ")
        assert environment.endswith(":/opt/patched")


def test_in_a_registry_an_image_is_rebased_without_its_layers(
    offline_pybuild: Pybuild, new_pybuild: Callable[[str], Pybuild], repository: Path, tmp_path: Path
) -> None:
    base = patched_base(offline_pybuild, tmp_path / "patched")
    with start_registry(tmp_path / "registry") as registry:
        name = f"{registry.host}/team/app"
        options = ["--insecure-registry", registry.host]
        expect_success(offline_pybuild("build", repository, *options, "--output", f"docker://{name}:1"))
        run_image = registry.push(base, "base/run:2")
        before = inspected(f"{name}:1")
        seen = len(registry.log)
        report = tmp_path / "report.json"
        # Another machine has none of the layers.
        elsewhere = new_pybuild("elsewhere")
        refused = elsewhere("rebase", f"docker://{name}:1", *options, "--run-image", f"docker://{run_image}")
        expect_error(refused, 72, f"`{run_image}`", "--force")
        assert inspected(f"{name}:1") == before
        forced: list[str | Path] = ["--run-image", f"docker://{run_image}", "--force", "--report", report]
        rebased = expect_success(elsewhere("rebase", f"docker://{name}:1", *options, *forced))
        after = inspected(f"{name}:1")
        assert rebased.stdout == f"docker://{name}:1@{after['Digest']}\n"
        moved = json.loads(report.read_text())["transfers"][0]
        assert moved["sent"] < 100_000
        assert moved["mounted"] > 0
        asked = registry.log[seen:]
        assert not [layer for layer in before["Layers"] if f"GET /v2/team/app/blobs/{layer}" in asked]
        assert set(after["Layers"]) - set(before["Layers"])
        assert registry.digests("team/app") == sorted([before["Digest"], after["Digest"]])
        ran = expect_success(elsewhere("run", *options, f"docker://{name}:1", "--", "cat", "/etc/patched"))
        assert ran.stdout == "yes\n"


@pytest.mark.engine
def test_an_image_of_a_docker_engine_is_replaced_there(
    offline_pybuild: Pybuild, engine: DockerEngine, repository: Path, tmp_path: Path
) -> None:
    pybuild = offline_pybuild.with_env(DOCKER_HOST=f"unix://{engine.socket}")
    expect_success(pybuild("build", repository, "--tag", "rebased/app:1"))
    before = engine("image", "inspect", "--format", "{{.Id}}", "rebased/app:1")
    base = patched_base(pybuild, tmp_path / "patched")
    expect_success(pybuild("rebase", "docker-daemon:rebased/app:1", "--run-image", base, "--force"))
    assert engine("image", "inspect", "--format", "{{.Id}}", "rebased/app:1") != before
    command = ["run", "--rm", "--network", "none", "rebased/app:1", "bash", "-c"]
    assert engine(*command, "cat /etc/patched; python main.py") == "yes\nalpha 1.0\n"


def inspected(name: str) -> Any:
    """What skopeo says of an image in a registry without TLS."""
    return json.loads(run_tool("skopeo", "inspect", "--no-tags", "--tls-verify=false", f"docker://{name}"))
