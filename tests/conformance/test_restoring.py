"""What the restorer brings back of the last build, which was exported with a cache (buildpack.md, "Layer Types")."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conformance.images import Platform, push_run_image
from tests.conformance.kit import layer, make_lifecycle, read_toml
from tests.lifecycle.registry.fake_registry import FakeRegistry

pytestmark = pytest.mark.integration

COMBINATIONS = {
    "none": (),
    "l": ("launch",),
    "b": ("build",),
    "c": ("cache",),
    "lb": ("launch", "build"),
    "lc": ("launch", "cache"),
    "bc": ("build", "cache"),
    "lbc": ("launch", "build", "cache"),
}
CACHED = ("bc", "c", "lbc", "lc")
SBOM_KEYS = 'sbom-formats = ["application/vnd.cyclonedx+json"]'


def buildpack() -> str:
    """A layer for each combination of types, with an SBOM; their files are others for another application."""
    lines = [
        layer(name, *types, files={"file": "1"}, metadata=f'of = "{name}"\nnumber = 3\nlarge = 9007199254740993')
        for name, types in COMBINATIONS.items()
    ]
    lines += [f'echo \'{{"of": "{name}"}}\' > "$1/{name}.sbom.cdx.json"' for name in COMBINATIONS if name != "none"]
    lines.append('if [ -e another ]; then for file in "$1"/*/file; do printf 2 > "$file"; done; fi')
    lines.append("printf '[metadata]\\ncount = 1\\n[metadata.nested]\\nlist = [1, 2]\\n' > \"$1/store.toml\"")
    # What a file system can hold, in a layer that comes back.
    lines.append(
        'cd "$1/c"; mkdir -p empty private; chmod 700 private; echo x > program; chmod 755 program; echo x > secret; '
        "chmod 600 secret; ln -s program relative; ln -s /no/such/place broken; chmod 2775 empty"
    )
    return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Before:
    """A platform after a build."""

    platform: Platform
    kept: Path
    """The cache as that build left it, and the layers directory as the analyzer makes it after that."""

    def again(self) -> Platform:
        """The next build: a new build container at the same place, with a copy of the cache, after the analyzer."""
        platform = self.platform
        for name, path in {"cache": platform.cache, "layers": platform.lifecycle.layers}.items():
            shutil.rmtree(path, ignore_errors=True)
            shutil.copytree(self.kept / name, path, symlinks=True)
        return platform


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory, programs: Path) -> Iterator[Before]:
    lifecycle = make_lifecycle(tmp_path_factory.mktemp("restoring"), programs)
    lifecycle.world.add("example/a", keys=SBOM_KEYS, build=buildpack())
    lifecycle.world.add("gone", build=layer("c", "cache"))
    with FakeRegistry() as registry:
        platform = Platform(lifecycle, registry)
        push_run_image(registry)
        # Another image of the same layers with other contents, of a build without this cache.
        lifecycle.world.write("workspace/another")
        platform.build("example/a gone")
        registry.manifests["team/another:1"] = registry.manifests["team/app:1"]
        shutil.rmtree(platform.cache)
        (lifecycle.world.app / "another").unlink()
        platform.build("example/a gone")
        lifecycle.forget()
        assert platform.analyze().status == 0
        lifecycle.write_group("example/a")
        kept = lifecycle.root / "kept"
        for name, path in {"cache": platform.cache, "layers": lifecycle.layers}.items():
            shutil.copytree(path, kept / name, symlinks=True)
        yield Before(platform, kept)


def own(platform: Platform) -> Path:
    return platform.lifecycle.layers / "example_a"


def directories(platform: Platform) -> list[str]:
    return sorted(path.name for path in own(platform).iterdir() if path.is_dir())


def files(platform: Platform) -> list[str]:
    found = (path.name.removesuffix(".toml") for path in own(platform).iterdir() if path.suffix == ".toml")
    return sorted(name for name in found if name != "store")


@pytest.mark.requirement("RES-01")
def test_the_store_is_restored_also_when_layers_are_skipped(before: Before) -> None:
    platform = before.again()
    assert platform.restore("-skip-layers").status == 0
    assert read_toml(own(platform) / "store.toml") == {"metadata": {"count": 1, "nested": {"list": [1, 2]}}}
    assert (files(platform), directories(platform)) == ([], [])
    assert platform.restore().status == 0
    assert (own(platform) / "store.toml").exists()


@pytest.mark.requirement("RES-02", "RES-03", "RES-04", "RES-08", "DIF-23")
@pytest.mark.parametrize("api", ["0.12", "0.15"])
def test_what_comes_back_depends_on_the_types_of_a_layer(before: Before, api: str) -> None:
    platform = before.again()
    ended = platform.restore(api=api)
    assert (ended.status, ended.stderr) == (0, "")
    assert files(platform) == sorted(["l", *CACHED])
    assert directories(platform) == sorted(CACHED)
    for name in files(platform):
        # Without types: the buildpack asks for the layer again, or it is lost.
        metadata = {"of": name, "number": 3, "large": 9007199254740993}
        assert read_toml(own(platform) / f"{name}.toml") == {"metadata": metadata}
        assert (own(platform) / f"{name}.sbom.cdx.json").read_text() == f'{{"of": "{name}"}}\n'
    for name in CACHED:
        assert (own(platform) / name / "file").read_text() == "1"
    sboms = sorted(path.name.partition(".")[0] for path in own(platform).glob("*.sbom.*"))
    assert sboms == files(platform)
    assert not (platform.lifecycle.layers / "sbom").exists()


@pytest.mark.requirement("RES-03")
@pytest.mark.parametrize("name", ["c", "bc"])
def test_a_cache_layer_needs_no_previous_image(before: Before, name: str) -> None:
    platform = before.again()
    other = f"{platform.registry.host}/team/other:1"
    assert platform.lifecycle.start("analyzer", "-run-image", platform.run, other).status == 0
    assert platform.restore().status == 0
    assert (own(platform) / name / "file").read_text() == "1"
    assert read_toml(own(platform) / f"{name}.toml")["metadata"]["of"] == name
    assert not (own(platform) / "l.toml").exists()


@pytest.mark.requirement("RES-05")
def test_a_layer_of_which_image_and_cache_differ_does_not_come_back(before: Before) -> None:
    platform = before.again()
    another = f"{platform.registry.host}/team/another:1"
    assert platform.analyze("-previous-image", another).status == 0
    assert platform.restore().status == 0
    assert files(platform) == ["bc", "c", "l"]
    assert directories(platform) == ["bc", "c"]


def damage(cache: Path) -> None:
    for path in cache.rglob("*"):
        if path.is_file() and not path.is_symlink() and "metadata" not in path.name:
            path.write_bytes(b"damaged" + path.read_bytes()[7:])


def empty(cache: Path) -> None:
    for path in sorted(cache.rglob("*"), reverse=True):
        if path.is_symlink() or (path.is_file() and "metadata" not in path.name):
            path.unlink()


@pytest.mark.requirement("RES-06", "DIF-20")
@pytest.mark.parametrize("harm", [damage, empty, shutil.rmtree])
def test_a_cache_that_is_damaged_or_gone_gives_nothing_and_stops_nothing(before: Before, harm: object) -> None:
    platform = before.again()
    assert callable(harm)
    harm(platform.cache)
    assert platform.restore().status == 0
    # Both or neither: a buildpack must not take metadata for a directory that is not there.
    assert directories(platform) == [name for name in files(platform) if name != "l"]
    for name in directories(platform):
        assert (own(platform) / name / "file").read_text() == "1"
    (platform.lifecycle.layers / "plan.toml").write_text("")
    assert platform.lifecycle.start("builder").status == 0


@pytest.mark.requirement("RES-07")
def test_nothing_comes_back_of_a_buildpack_outside_of_the_group(before: Before) -> None:
    platform = before.again()
    assert platform.restore().status == 0
    assert not (platform.lifecycle.layers / "gone").exists()
    platform.lifecycle.write_group("gone")
    assert platform.restore().status == 0
    assert (platform.lifecycle.layers / "gone/c").is_dir()


@pytest.mark.requirement("RES-08")
def test_files_come_back_as_they_were(before: Before) -> None:
    platform = before.again()
    old = os.umask(0o077)
    try:
        assert platform.restore().status == 0
    finally:
        os.umask(old)
    root = own(platform) / "c"
    modes = {path.name: stat.S_IMODE(path.lstat().st_mode) for path in root.iterdir() if not path.is_symlink()}
    expected = {"private": 0o700, "program": 0o755, "secret": 0o600}
    assert {name: modes[name] for name in expected} == expected
    assert modes["empty"] & 0o777 == 0o775
    assert (root / "relative").readlink() == Path("program")
    assert (root / "broken").readlink() == Path("/no/such/place")
    assert {path.lstat().st_uid for path in root.rglob("*")} == {os.geteuid()}


@pytest.mark.requirement("RES-09")
@pytest.mark.parametrize("api", ["0.12", "0.13", "0.14", "0.15"])
def test_a_launch_and_cache_layer_that_the_image_lacks_comes_from_the_cache(before: Before, api: str) -> None:
    platform = before.again()
    other = f"{platform.registry.host}/team/other:1"
    assert platform.lifecycle.start("analyzer", "-run-image", platform.run, other).status == 0
    assert platform.restore(api=api).status == 0
    alone = CACHED if api in ("0.14", "0.15") else ("bc", "c")
    assert (files(platform), directories(platform)) == (sorted(alone), sorted(alone))


@pytest.mark.requirement("GEN-03")
def test_a_buildpack_with_an_unsupported_api_is_not_restored(before: Before) -> None:
    platform = before.again()
    group = platform.lifecycle.layers / "group.toml"
    group.write_text(group.read_text().replace("0.12", "0.9"))
    assert platform.restore().status == 12
