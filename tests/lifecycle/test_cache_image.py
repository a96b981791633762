from __future__ import annotations

import json
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from lifecycle.cache_image import CACHE_LABEL, CacheImage, CacheImageRequest, make_cache_image, take_cache_image
from lifecycle.cnb.errors import ConfigurationError
from lifecycle.cnb.group import Group
from lifecycle.cnb.labels import BuildpackRecord, LayerRecord, LifecycleMetadata
from lifecycle.cnb.layer import read_layer_file
from lifecycle.oci.archive import ROOT, TarWriter
from lifecycle.oci.blob import write_layer_blob
from lifecycle.oci.descriptor import Descriptor, Platform
from lifecycle.oci.errors import BrokenImage
from lifecycle.oci.image import Image, make_image
from tests.lifecycle.cached import GROUP, OTHER, PIP, TARGET, TYPES, Machine, found
from tests.lifecycle.oci.images import content_of, image_of, member, names_in, tar_layer, validate_image

CACHED = {"c": "td", "lc": "td", "bc": "td", "lbc": "td"}


def archive(
    machine: Machine,
    layers: Path,
    *,
    known: Mapping[str, Descriptor] | None = None,
    blobs: str = "blobs",
    check: Callable[[], None] = lambda: None,
    divided_above: int = 32 << 20,
) -> CacheImage | None:
    request = CacheImageRequest(
        layers_dir=layers,
        group=GROUP,
        cache=machine.cache,
        known=known or {},
        blobs_dir=machine.root / blobs,
        owner=ROOT,
        platform=Platform(os="linux", architecture="amd64"),
        created="2026-01-02T03:04:05Z",
        check=check,
        divided_above=divided_above,
    )
    return make_cache_image(request, machine.log)


def export(
    machine: Machine, layers: Path, *, known: Mapping[str, Descriptor] | None = None, blobs: str = "blobs"
) -> Image:
    """What a build does in the end: the image of its cache, then the cache."""
    made = archive(machine, layers, known=known, blobs=blobs)
    assert made is not None
    machine.save(layers, known=made.facts)
    return made.image


def known_of(image: Image) -> Mapping[str, Descriptor]:
    return {str(layer.diff_id): layer.descriptor for layer in image.layers}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    (tmp_path / "first").mkdir()
    return Machine(tmp_path / "first")


@pytest.fixture
def image(machine: Machine) -> Image:
    """Of a build with layers of every kind."""
    layers = machine.layers()
    machine.write_layers(layers, " ".join(TYPES))
    (layers / "sbom/cache/example_pip/c").mkdir(parents=True)
    (layers / "sbom/cache/example_pip/c/sbom.cdx.json").write_text("{}")
    (layers / "example_pip/c/file").chmod(0o755)
    return export(machine, layers)


@pytest.fixture
def fresh(tmp_path: Path) -> Machine:
    """A machine that has built nothing."""
    (tmp_path / "fresh").mkdir()
    return Machine(tmp_path / "fresh")


def take(machine: Machine, image: Image) -> None:
    take_cache_image(image, machine.cache, machine.root / "scratch", machine.log)


def test_another_machine_gets_what_was_cached(image: Image, fresh: Machine) -> None:
    take(fresh, image)
    layers = fresh.restore()
    assert found(layers) == CACHED
    own = layers / "example_pip"
    assert read_layer_file(own / "c.toml").metadata == {"number": 7, "name": "c"}
    assert (own / "c/file").read_text() == "c"
    assert (own / "c/file").stat().st_mode & 0o777 == 0o755
    assert (own / "c/link").readlink() == Path("/absolute/target")
    assert (own / "c.sbom.cdx.json").read_text() == "{}"


def test_it_is_a_cache_image_as_the_specification_has_it(image: Image) -> None:
    validate_image(image)
    label = json.loads(image.config.labels[CACHE_LABEL])
    (buildpack,) = label["buildpacks"]
    assert (buildpack["key"], buildpack["version"]) == (PIP.id, PIP.version)
    shas = {name: layer["sha"] for name, layer in buildpack["layers"].items()}
    by_sha = {str(layer.diff_id): layer for layer in image.layers}
    assert set(shas) == set(CACHED)
    assert set(by_sha) == {*shas.values(), label["sbom"]["sha"]}
    assert "layers/example_pip/lbc/file" in names_in(by_sha[shas["lbc"]])
    assert buildpack["layers"]["lbc"] | {"sha": ""} == {
        "sha": "",
        "launch": True,
        "build": True,
        "cache": True,
        "data": {"number": 7, "name": "lbc"},
    }


def test_where_nothing_is_cached_there_is_no_image(machine: Machine) -> None:
    layers = machine.layers()
    machine.write_layers(layers, "l b")
    assert archive(machine, layers) is None


@pytest.mark.parametrize("where", ["where it was made", "on another machine"])
def test_what_did_not_change_is_not_archived_again(image: Image, machine: Machine, fresh: Machine, where: str) -> None:
    if where == "on another machine":
        take(fresh, image)
        machine = fresh
    layers = machine.restore()
    machine.declare_again(layers)
    (layers / "example_pip/bc/file").write_text("changed")
    again = export(machine, layers, known=known_of(image), blobs="more")
    (new,) = [layer for layer in again.layers if str(layer.diff_id) not in known_of(image)]
    assert [path.name for path in (machine.root / "more").iterdir()] == [new.descriptor.digest.hex]
    assert content_of(new, "layers/example_pip/bc/file") == b"changed"
    assert len(again.layers) == len(CACHED)


def test_a_tree_that_was_only_touched_has_the_blob_that_there_is(image: Image, machine: Machine) -> None:
    layers = machine.restore()
    machine.declare_again(layers)
    (layers / "example_pip/c/file").touch()
    known = {sha: replace(one, size=one.size + 1) for sha, one in known_of(image).items()}
    again = export(machine, layers, known=known, blobs="more")
    assert all(layer.descriptor in known.values() for layer in again.layers)


def test_the_work_ends_in_the_middle_of_a_file_when_nobody_wants_it_any_more(machine: Machine) -> None:
    layers = machine.layers()
    machine.write_layers(layers, "c")
    with (layers / "example_pip/c/large").open("wb") as large:
        large.truncate(16 << 20)
    asked = 0

    def stop() -> None:
        nonlocal asked
        asked += 1
        if asked > 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        archive(machine, layers, check=stop)
    assert not list((machine.root / "blobs").glob("*"))


def test_a_layer_is_the_one_that_an_app_image_would_have(machine: Machine) -> None:
    """So that a layer which is in both counts as the same."""
    layers = machine.layers()
    machine.write_layers(layers, "lc")
    (layers / "example_pip/lc/empty").mkdir()
    for number in range(300):
        (layers / f"example_pip/lc/{number}").touch()
    made = archive(machine, layers)
    assert made is not None

    def fill(writer: TarWriter) -> None:
        path = PurePosixPath("/layers/example_pip/lc")
        writer.parents(path, ROOT)
        writer.tree(layers / "example_pip/lc", path, ROOT)

    assert made.image.layers[0].diff_id == write_layer_blob(machine.root / "app", fill).diff_id


class TestLargeLayers:
    """A layer for the cache alone is several, so that little of it travels when little has changed."""

    @pytest.fixture
    def layers(self, machine: Machine) -> Path:
        layers = machine.layers()
        machine.write_layers(layers, "c lc")
        for name in ("c", "lc"):
            for number in range(40):
                directory = layers / f"example_pip/{name}/uv/archive-v0/{number}"
                directory.mkdir(parents=True)
                (directory / "file").write_text(f"{number}")
            (layers / f"example_pip/{name}/empty").mkdir()
        return layers

    def export(self, machine: Machine, layers: Path, known: Image | None, blobs: str) -> Image:
        made = archive(machine, layers, divided_above=0, blobs=blobs, known=None if known is None else known_of(known))
        assert made is not None
        if known is None:
            validate_image(made.image)
        machine.save(layers, known=made.facts)
        return made.image

    def test_the_parts_are_the_whole(self, machine: Machine, fresh: Machine, layers: Path) -> None:
        expected = {
            path.relative_to(layers): path.read_bytes() if path.is_file() else None
            for path in (layers / "example_pip/c").rglob("*")
        }
        image = self.export(machine, layers, None, "blobs")
        # The one that is in the app image as well is whole.
        assert 3 < len(image.layers) <= 1 + 8
        take(fresh, image)
        restored = fresh.restore()
        assert expected == {
            path.relative_to(restored): path.read_bytes() if path.is_file() else None
            for path in (restored / "example_pip/c").rglob("*")
        }

    def test_a_change_makes_one_part_anew(self, machine: Machine, fresh: Machine, layers: Path) -> None:
        image = self.export(machine, layers, None, "blobs")
        take(fresh, image)
        again = fresh.restore()
        fresh.declare_again(again)
        (again / "example_pip/c/uv/archive-v0/7/file").write_text("changed")
        changed = self.export(fresh, again, image, "more")
        new = set(known_of(changed)) - set(known_of(image))
        assert len(new) == 1
        assert len(changed.layers) == len(image.layers)

    def test_what_did_not_change_is_not_archived_again(self, machine: Machine, fresh: Machine, layers: Path) -> None:
        image = self.export(machine, layers, None, "blobs")
        take(fresh, image)
        again = fresh.restore()
        fresh.declare_again(again)
        self.export(fresh, again, image, "more")
        assert not (fresh.root / "more").exists()

    def test_without_one_part_there_is_no_layer(self, machine: Machine, fresh: Machine, layers: Path) -> None:
        image = self.export(machine, layers, None, "blobs")
        label = json.loads(image.config.labels[CACHE_LABEL])
        (first,) = label["pybuild"]["parts"]
        label["pybuild"]["parts"][first][-1] = "sha256:" + "0" * 64
        config = replace(image.config, labels={CACHE_LABEL: json.dumps(label)}, diff_ids=(), history=())
        take(fresh, make_image(config, image.layers))
        assert found(fresh.restore()) == {"lc": "td"}


def flip_a_bit(image: Image) -> Image:
    path = image.layers[0].path
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    return image


def relabel(change: Callable[[dict[str, Any]], object]) -> Callable[[Image], Image]:
    def apply(image: Image) -> Image:
        label = json.loads(image.config.labels[CACHE_LABEL])
        change(label)
        config = replace(image.config, labels={CACHE_LABEL: json.dumps(label)}, diff_ids=(), history=())
        return make_image(config, image.layers)

    return apply


UNUSABLE: dict[str, Callable[[Image], Image]] = {
    "a bit flipped": flip_a_bit,
    "another lifecycle": relabel(lambda label: label.pop("pybuild")),
    "another version": relabel(lambda label: label.update(pybuild={"schema": 99})),
    "another target": relabel(lambda label: label["pybuild"].update(target="linux/amd64 (debian 11)")),
    "no label": lambda image: image_of(*image.layers),
    "a label that is none": lambda image: image_of(*image.layers, labels={CACHE_LABEL: "[" * 10**6}),
    "another form": relabel(lambda label: label.update(buildpacks=7)),
    "a buildpack that cannot be": relabel(lambda label: label["buildpacks"][0].update(key="../../x")),
}


@pytest.mark.parametrize("what", UNUSABLE)
def test_what_cannot_be_used_leaves_the_cache_as_it_was(image: Image, fresh: Machine, what: str) -> None:
    layers = fresh.layers()
    fresh.write_layers(layers, "c")
    (layers / "example_pip/c/file").write_text("own")
    fresh.save(layers)
    with pytest.raises((ConfigurationError, BrokenImage)):
        take(fresh, UNUSABLE[what](image))
    layers = fresh.restore()
    assert found(layers) == {"c": "td"}
    assert (layers / "example_pip/c/file").read_text() == "own"


def test_layer_that_the_image_lacks_is_left_out_and_said(image: Image, fresh: Machine) -> None:
    take(fresh, relabel(lambda label: label["buildpacks"][0]["layers"]["c"].update(sha="sha256:" + "0" * 64))(image))
    assert found(fresh.restore()) == {name: has for name, has in CACHED.items() if name != "c"}
    assert "Cached layer `example/pip:c` is not used: the cache image lacks it" in fresh.log.lines


def test_hostile_image_gives_only_what_is_in_its_place(fresh: Machine, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    layer = tar_layer(
        tmp_path / "blobs",
        [
            member("layers", kind=tarfile.DIRTYPE, mode=0o755),
            member("layers/example_pip", kind=tarfile.DIRTYPE, mode=0o755),
            member("layers/example_pip/c", kind=tarfile.SYMTYPE, link=str(precious)),
            (member("layers/example_pip/bc/file"), b"whole"),
            (member("precious/planted"), b""),
            member("layers/sbom", kind=tarfile.SYMTYPE, link=str(precious)),
        ],
    )
    sha = str(layer.diff_id)
    names = ("c", "bc", "../../x", "store", ".hidden")
    record = {"sha": sha, "cache": True}
    label = {
        "buildpacks": [{"key": PIP.id, "version": "1", "layers": dict.fromkeys(names, record)}],
        "sbom": {"sha": sha},
        "pybuild": {"schema": 1, "target": TARGET},
    }
    take(fresh, image_of(layer, labels={CACHE_LABEL: json.dumps(label)}))
    assert [one.name for one in fresh.cache.look().contents.layers] == ["bc"]
    assert found(fresh.restore()) == {"bc": "td"}
    assert list(precious.iterdir()) == []


def test_launch_layer_counts_only_where_it_is_that_of_the_last_image(image: Image, fresh: Machine) -> None:
    take(fresh, image)
    shas = {layer.name: layer.record.sha for layer in fresh.cache.look().contents.layers}

    def previous(sha: str | None) -> LifecycleMetadata:
        layers = {
            name: LayerRecord(sha=sha if name == "lbc" else shas[name], types=TYPES[name]) for name in ("lc", "lbc")
        }
        return LifecycleMetadata(buildpacks=(BuildpackRecord(id=PIP.id, version="1.0.0", layers=layers),))

    assert found(fresh.restore(previous=previous("sha256:" + "0" * 64))) == {"lc": "td", "c": "td", "bc": "td"}


def test_cache_of_other_buildpacks_gives_nothing(image: Image, fresh: Machine) -> None:
    take(fresh, image)
    assert found(fresh.restore(group=Group(elements=(OTHER,)))) == {}
