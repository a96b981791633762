"""The cache of an application in a registry: what another machine gets of it, and that nothing about it breaks or changes a build."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lifecycle.cache_image import CACHE_LABEL
from tests.integration.command import Finished, Pybuild, expect_success
from tests.integration.package_index import PackageIndex, write_wheel
from tests.integration.registry import Registry, start_registry

pytestmark = pytest.mark.integration


@dataclass
class Machines:
    """Machines that have a registry and a package index in common, and build one repository."""

    registry: Registry
    index: PackageIndex
    repository: Path
    new: Callable[[str], Pybuild]

    @property
    def name(self) -> str:
        return f"{self.registry.host}/team/cache:main"

    def machine(self, name: str) -> Pybuild:
        return self.new(name).with_env(**self.index.settings())

    def build(self, machine: Pybuild, *arguments: str) -> Finished:
        """A build with the cache image, which must succeed."""
        return expect_success(machine("build", self.repository, "--cache-image", self.name, *arguments))

    def label(self) -> dict[str, object]:
        """What the cache image says to be, as another tool reads it."""
        command = ["skopeo", "inspect", "--tls-verify=false", "--config", f"docker://{self.name}"]
        config = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        label: dict[str, object] = json.loads(config["config"]["Labels"][CACHE_LABEL])
        return label


@pytest.fixture
def machines(
    new_pybuild: Callable[[str], Pybuild], index: PackageIndex, repository: Path, tmp_path: Path
) -> Iterator[Machines]:
    (repository / "requirements.txt").write_text("gamma\n")
    (repository / "main.py").write_text("import gamma\nprint('gamma', gamma.VERSION)\n")
    with start_registry(tmp_path / "registry") as registry:
        yield Machines(registry=registry, index=index, repository=repository, new=new_pybuild)


def digest_of(finished: Finished) -> str:
    return finished.stdout.strip().rpartition("@")[2]


def cache_line(finished: Finished) -> str:
    """What became of the cache image."""
    (line,) = [line for line in finished.stderr.splitlines() if line.startswith("Cache image ")]
    return line


def sizes_of(finished: Finished) -> tuple[float, float]:
    """Megabytes of the cache image that were sent, and that the registry had."""
    found = re.search(r": ([0-9.]+) MB sent, ([0-9.]+) MB were there$", cache_line(finished))
    assert found is not None, cache_line(finished)
    return float(found[1]), float(found[2])


def test_another_machine_takes_the_cache_and_sends_only_what_changed(machines: Machines) -> None:
    one, other = machines.machine("one"), machines.machine("other")
    first = machines.build(one)
    assert f"There is no cache image {machines.name} yet" in first.stderr
    assert {buildpack["key"] for buildpack in machines.label()["buildpacks"]} >= {"pybuild/pip"}  # type: ignore[attr-defined]
    write_wheel(machines.index.directory, "gamma", "2.0")

    machines.index.requests.clear()

    # The lock comes with the cache, without it this would be the newer one; and so do the packages.
    second = machines.build(other)
    assert f"Taking the cache from {machines.name}" in second.stderr
    assert digest_of(second) == digest_of(first)
    assert [path for path in machines.index.requests if path.startswith("/files/")] == []
    sent, there = sizes_of(second)
    assert sent < there, "the interpreter travelled again"
    assert ": unchanged" in cache_line(machines.build(other))
    before = machines.registry.digests("team/cache")

    (machines.repository / "requirements.txt").write_text("gamma\nbeta\n")
    third = machines.build(other)
    assert "Taking the cache" not in third.stderr
    (new,) = set(machines.registry.digests("team/cache")) - set(before)
    assert f"{machines.name}@{new}: " in cache_line(third)

    # The first machine has an older one.
    fourth = machines.build(one)
    assert f"Taking the cache from {machines.name}" in fourth.stderr
    assert digest_of(fourth) == digest_of(third)


def test_what_cannot_be_used_or_written_is_said_and_changes_nothing(machines: Machines) -> None:
    first = machines.build(machines.machine("one"))
    said = f"warning: The cache image {machines.name} is not used: "

    app_image = first.stdout.strip().rpartition("@")[0]
    copy = ["skopeo", "copy", "--quiet", "--dest-tls-verify=false", app_image, f"docker://{machines.name}"]
    subprocess.run(copy, check=True)
    foreign = machines.build(machines.machine("two"))
    assert f"{said}the image: is not a cache" in foreign.stderr
    assert digest_of(foreign) == digest_of(first)

    for path in (machines.registry.directory / "images").glob("**/blobs/sha256/*/*/data"):
        content = bytearray(path.read_bytes())
        if content[:2] == b"\x1f\x8b":
            content[len(content) // 2] ^= 1
            path.write_bytes(content)
    damaged = machines.build(machines.machine("three"))
    assert said in damaged.stderr
    assert digest_of(damaged) == digest_of(first)

    nowhere = machines.machine("four")("build", machines.repository, "--cache-image", "127.0.0.1:1/team/cache")
    assert "warning: The cache image 127.0.0.1:1/team/cache:latest is not used: " in expect_success(nowhere).stderr
    assert digest_of(nowhere) == digest_of(first)


def test_the_cache_of_another_application_changes_nothing(machines: Machines, tmp_path: Path) -> None:
    machines.build(machines.machine("one"))
    other = tmp_path / "other"
    other.mkdir()
    (other / "requirements.txt").write_text("alpha==1.0\n")
    (other / "main.py").write_text("print(1)\n")
    plain = expect_success(machines.machine("plain")("build", other))
    taken = expect_success(machines.machine("taken")("build", other, "--cache-image", machines.name))
    assert f"Taking the cache from {machines.name}" in taken.stderr
    assert digest_of(taken) == digest_of(plain)


def test_what_is_kept_is_listed_and_removed(machines: Machines) -> None:
    machine = machines.machine("one")
    first = expect_success(machine("build", machines.repository))
    (application,) = json.loads(expect_success(machine("cache", "list", "--json")).stdout)
    assert application["repository"] == str(machines.repository)
    assert application["cache"] > 0
    assert application["image"] > 0
    assert str(machines.repository) in expect_success(machine("cache", "list")).stdout
    sizes = json.loads(expect_success(machine("cache", "size", "--json")).stdout)
    assert sizes["applications"] == application["size"]
    kept = {path.name for path in (machine.cache_home / "pybuild").iterdir() if path.is_dir()}
    assert kept - {"apps"} <= sizes["parts"].keys()
    removed = expect_success(machine("cache", "prune", machines.repository))
    assert removed.stdout.splitlines()[0] == f"removed {machines.repository}"
    assert json.loads(expect_success(machine("cache", "list", "--json")).stdout) == []
    # Not the bases, which belong to another store here.
    assert expect_success(machine("cache", "prune", "--all")).stdout.splitlines()[-1].startswith("freed ")
    assert digest_of(expect_success(machine("build", machines.repository))) == digest_of(first)
