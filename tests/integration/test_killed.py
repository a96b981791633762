"""Builds that are killed, or whose disk fails: outputs are what they were or what they should be, and the next build is as any other."""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.command import Pybuild, expect_error, expect_success
from tests.integration.image_check import run_tool, validate_image
from tests.integration.image_files import blob, read_layout
from tests.integration.kills import at, kill, spread, steps_of
from tests.integration.package_index import PackageIndex

pytestmark = pytest.mark.integration
_KILLS_OF_FIRST_BUILDS = 10
_FAILING_DISKS = 8
_LACKING, _NOT_RESTORED = 4, 42


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where builds of a repository put their image."""

    directory: Path

    @property
    def layout(self) -> Path:
        return self.directory / "layout"

    @property
    def archive(self) -> Path:
        return self.directory / "image.tar"

    @property
    def outputs(self) -> tuple[str, ...]:
        return ("--output", f"oci:{self.layout}", "--output", f"docker-archive:{self.archive}")

    def digests(self) -> set[str | None]:
        """What the outputs are, each of them whole; `None`: it is not there."""
        return {self._digest_of_layout(), self._digest_of_archive()}

    def left_over(self) -> list[str]:
        """What was begun and is nothing."""
        return [str(path) for path in self.directory.rglob(".*")]

    def _digest_of_layout(self) -> str | None:
        if not (self.layout / "index.json").exists():
            return None
        image = read_layout(self.layout)
        for part in ({"digest": image.digest}, image.manifest["config"], *image.manifest["layers"]):
            content = blob(self.layout, part["digest"]).read_bytes()
            assert f"sha256:{hashlib.sha256(content).hexdigest()}" == part["digest"]
        return image.digest

    def _digest_of_archive(self) -> str | None:
        if not self.archive.exists():
            return None
        with tarfile.open(self.archive) as archive:
            index = archive.extractfile("index.json")
            assert index is not None
            digest: str = json.load(index)["manifests"][0]["digest"]
            assert f"blobs/{digest.replace(':', '/')}" in archive.getnames()
        return digest


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "place").mkdir()
    return Place(directory=tmp_path / "place")


def test_first_builds_that_are_killed(
    new_pybuild: Callable[[str], Pybuild], index: PackageIndex, repository: Path, place: Place
) -> None:
    whole, killed = (new_pybuild(name).with_env(**index.settings()) for name in ("whole", "killed"))
    other = Place(directory=place.directory.with_name("other"))
    steps = steps_of(whole, "build", repository, *other.outputs)
    (digest,) = other.digests()
    count = 0
    for step in spread(steps, _KILLS_OF_FIRST_BUILDS):
        # What a killed build has done need not be done again: the last steps may not come.
        count += kill(killed, step, "build", repository, *place.outputs)
        assert place.digests() <= {None, digest}, f"step {step}"
    assert count > _KILLS_OF_FIRST_BUILDS // 2
    expect_success(killed("build", repository, *place.outputs))
    assert place.digests() == {digest}
    assert place.left_over() == []
    validate_image(place.layout)


@pytest.mark.parametrize("kills", [12, pytest.param(30, marks=pytest.mark.thorough)])
def test_builds_that_are_killed_after_others(
    kills: int, offline_pybuild: Pybuild, repository: Path, place: Place
) -> None:
    digests: list[str | None] = []
    steps = 0
    for text in ("print('first')\n", "print('second')\n") * 2:
        (repository / "main.py").write_text(text)
        steps = steps_of(offline_pybuild, "build", repository, *place.outputs)
        digests += place.digests()
    assert digests[:2] == digests[2:]
    count = 0
    for number, step in enumerate(spread(steps, kills)):
        wanted = number % 2
        (repository / "main.py").write_text(f"print('{('first', 'second')[wanted]}')\n")
        count += kill(offline_pybuild, step, "build", repository, *place.outputs)
        assert place.digests() <= set(digests), f"step {step}"
        if number % 6 == 5:
            expect_success(offline_pybuild("build", repository, *place.outputs))
            assert place.digests() == {digests[wanted]}, f"after step {step}"
    assert count > kills // 2
    run_tool("skopeo", "inspect", f"docker-archive:{place.archive}")
    assert place.left_over() == []


@pytest.mark.parametrize("trouble", ["ENOSPC", "EIO"])
def test_a_disk_that_fails_at_any_step(trouble: str, offline_pybuild: Pybuild, repository: Path, place: Place) -> None:
    digests: list[str | None] = []
    steps = 0
    for number in range(2):
        (repository / "main.py").write_text(f"print({number})\n")
        steps = steps_of(offline_pybuild, "build", repository, *place.outputs)
        digests += place.digests()
    failed = 0
    for number, step in enumerate(spread(steps, _FAILING_DISKS)):
        (repository / "main.py").write_text(f"print({number % 2})\n")
        finished = at(offline_pybuild, step, trouble)("build", repository, *place.outputs)
        if finished.status != 0:
            failed += 1
            expect_error(finished, (_LACKING, _NOT_RESTORED))
        assert place.digests() <= set(digests), f"step {step}"
    assert failed > 0
    expect_success(offline_pybuild("build", repository, *place.outputs))
    assert place.digests() == {digests[(_FAILING_DISKS - 1) % 2]}
    assert place.left_over() == []
