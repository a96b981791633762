"""Builds that run at the same time neither disturb each other nor do the same work twice."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import pybuild
from tests.integration.command import Pybuild, expect_success
from tests.integration.derived_images import write_image
from tests.integration.image_check import validate_image
from tests.integration.image_files import read_layout
from tests.integration.package_index import PackageIndex, write_wheel
from tests.lifecycle.oci.images import file_layer

pytestmark = pytest.mark.integration

many_at_once = pytest.mark.parametrize("many", [8, pytest.param(16, marks=pytest.mark.thorough)])


@many_at_once
def test_builds_of_one_repository_take_turns_and_give_one_image(
    many: int,
    offline_pybuild: Pybuild,
    new_pybuild: Callable[[str], Pybuild],
    index: PackageIndex,
    repository: Path,
    tmp_path: Path,
) -> None:
    alone = new_pybuild("other-cache-home").with_env(**index.settings())
    expect_success(alone("build", repository, "--output", f"oci:{tmp_path / 'alone'}"))
    output = f"oci:{tmp_path / 'layout'}"
    running = [offline_pybuild.start("build", repository, "--output", output) for _ in range(many)]
    ended = [expect_success(build.finish(300)) for build in running]
    digest = validate_image(tmp_path / "alone").digest
    assert {build.stdout for build in ended} == {f"{output}:latest@{digest}\n"}
    assert validate_image(tmp_path / "layout").digest == digest
    assert any("waiting" in build.stderr for build in ended)


def test_builds_in_threads_of_one_program_give_that_image_too(
    offline_pybuild: Pybuild, repository: Path, tmp_path: Path
) -> None:
    expect_success(offline_pybuild("build", repository, "--output", f"oci:{tmp_path / 'alone'}"))
    before = (os.getcwd(), dict(os.environ))

    def build(_: int) -> str:
        report = pybuild.build(pybuild.BuildRequest(repository=repository), host_env=offline_pybuild.env)
        return str(report.image.digest)

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(build, range(8))) == {read_layout(tmp_path / "alone").digest}
    assert (os.getcwd(), dict(os.environ)) == before


@many_at_once
def test_different_repositories_share_a_layout_a_store_and_nothing_else(
    many: int, offline_pybuild: Pybuild, new_pybuild: Callable[[str], Pybuild], index: PackageIndex, tmp_path: Path
) -> None:
    layout = tmp_path / "layout"
    write_image(layout, None, [file_layer(tmp_path / "blobs", {"seed": "1"})])
    names = [f"canary{number:02}" for number in range(many)]
    for name in names:
        write_wheel(index.directory, name, "1.0", files={f"{name}.py": f"SECRET = 'the secret of {name}'\n"})
        (tmp_path / name).mkdir()
        (tmp_path / name / "requirements.txt").write_text(f"{name}\n")
    with reading(layout, tmp_path / "copy") as read:
        running = {
            name: offline_pybuild.start("build", tmp_path / name, "--output", f"oci:{layout}:{name}") for name in names
        }
        for build in running.values():
            expect_success(build.finish(600))
    assert len(read) > 1
    for name in names:
        assert secrets_in(layout, name) == {name}
    validate_image(layout, names[0])
    alone = new_pybuild("other-cache-home").with_env(**index.settings())
    expect_success(alone("build", tmp_path / names[-1], "--output", f"oci:{tmp_path / 'alone'}"))
    assert read_layout(tmp_path / "alone").digest == read_layout(layout, names[-1]).digest


def test_a_repository_that_is_built_twice_into_one_layout_leaves_one_image(
    offline_pybuild: Pybuild, repository: Path, tmp_path: Path
) -> None:
    output = f"oci:{tmp_path / 'layout'}"
    expect_success(offline_pybuild("build", repository, "--output", output))
    first = read_layout(tmp_path / "layout").digest
    (repository / "main.py").write_text("print('changed')\n")
    # Whoever was killed while it built has left nothing that the next one would wait for.
    lock = next((offline_pybuild.cache_home / "pybuild" / "apps").glob("*/lock"))
    with killed_holder(lock) as kill:
        build = offline_pybuild.start("build", repository, "--output", output)
        build.wait_for("waiting")
        kill()
        expect_success(build.finish(60))
    assert read_layout(tmp_path / "layout").digest != first


@contextlib.contextmanager
def reading(layout: Path, copy: Path) -> Iterator[list[str]]:
    """Let skopeo copy the newest image of a layout again and again until the context ends; the tags that it has read."""
    read: list[str] = []
    failed: list[str] = []
    is_over = threading.Event()

    def read_on() -> None:
        while not is_over.is_set():
            entry = json.loads((layout / "index.json").read_bytes())["manifests"][-1]
            tag = entry["annotations"]["org.opencontainers.image.ref.name"]
            command = ["skopeo", "copy", "--quiet", f"oci:{layout}:{tag}", f"oci:{copy}:{tag}"]
            said = subprocess.run(command, capture_output=True, text=True)
            (read if said.returncode == 0 else failed).append(tag if said.returncode == 0 else said.stderr)

    thread = threading.Thread(target=read_on)
    thread.start()
    try:
        yield read
    finally:
        is_over.set()
        thread.join()
    assert failed == []


@contextlib.contextmanager
def killed_holder(lock: Path) -> Iterator[Callable[[], None]]:
    """A program that has the lock until it is killed."""
    command = ["flock", "--no-fork", str(lock), "sh", "-c", "echo held; exec sleep 600"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"held\n"
            yield holder.kill
        finally:
            holder.kill()


def secrets_in(layout: Path, tag: str) -> set[str]:
    """Whose secrets are in the layers of an image, apart from the large ones that all images of the builder have."""
    found = set()
    for layer in read_layout(layout, tag).layers:
        if layer.stat().st_size < 4 << 20:
            with gzip.open(layer) as stream:
                found |= {part[:8].decode() for part in stream.read().split(b"the secret of ")[1:]}
    return found
