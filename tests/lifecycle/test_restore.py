from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lifecycle.cache import Cache
from lifecycle.cnb.api import ApiVersion
from lifecycle.cnb.group import Group, GroupElement
from lifecycle.cnb.labels import BuildpackRecord, LayerRecord, LifecycleMetadata
from lifecycle.cnb.layer import LayerFile, read_layer_file, write_layer_file
from lifecycle.cnb.toml import read_toml
from lifecycle.errors import BuildpackApiUnsupported
from lifecycle.progress import Progress, write_progress
from tests.lifecycle.cached import OTHER, PIP, TYPES, Machine, found


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def built(machine: Machine) -> Machine:
    layers = machine.layers()
    machine.write_layers(layers, " ".join(TYPES))
    machine.save(layers)
    return machine


def test_table_of_layer_types(built: Machine) -> None:
    layers = built.restore()
    assert found(layers) == {"l": "t", "c": "td", "lc": "td", "bc": "td", "lbc": "td"}


def test_restored_file_has_metadata_and_no_types(built: Machine) -> None:
    layers = built.restore()
    for name in ("l", "c", "lc"):
        file = read_layer_file(layers / "example_pip" / f"{name}.toml")
        assert file == LayerFile(metadata={"number": 7, "name": name})
        assert isinstance(file.metadata["number"], int)


def test_restored_tree_is_the_one_that_was_saved(built: Machine) -> None:
    layers = built.restore()
    assert (layers / "example_pip/c/file").read_text() == "c"
    assert (layers / "example_pip/c/link").readlink() == Path("/absolute/target")


def test_without_the_previous_image_the_cache_alone_restores(built: Machine) -> None:
    layers = built.restore(previous=LifecycleMetadata())
    assert found(layers) == {"c": "td", "lc": "td", "bc": "td", "lbc": "td"}


def test_before_platform_api_0_14_the_cache_alone_restores_no_launch_layer(built: Machine) -> None:
    layers = built.restore(previous=LifecycleMetadata(), platform_api=ApiVersion(0, 13))
    assert found(layers) == {"c": "td", "bc": "td"}


def test_without_the_cache_only_launch_layers_are_known(built: Machine) -> None:
    assert found(built.restore(cache=None)) == {"l": "t"}


def test_layer_that_differs_between_image_and_cache_comes_back_from_neither(built: Machine) -> None:
    records = built.image.buildpacks[0]
    changed = {name: LayerRecord(sha="sha256:2", types=record.types) for name, record in records.layers.items()}
    image = LifecycleMetadata(buildpacks=(BuildpackRecord(id=PIP.id, version="1.0.0", layers=changed),))
    assert found(built.restore(previous=image)) == {"l": "t", "c": "td", "bc": "td"}


def test_store_is_restored_even_when_layers_are_skipped(built: Machine) -> None:
    layers = built.restore(skip_layers=True)
    assert found(layers) == {}
    assert read_toml(layers / "example_pip/store.toml") == {"metadata": {"kept": 1}}


def test_buildpack_outside_the_group_gets_nothing(built: Machine) -> None:
    layers = built.restore(group=Group(elements=(OTHER,)))
    assert found(layers) == {}
    assert not (layers / "example_pip").exists()


def test_other_version_of_the_buildpack_gets_its_layers(built: Machine) -> None:
    newer = GroupElement(id=PIP.id, version="2.0.0", api=PIP.api)
    assert "c" in found(built.restore(group=Group(elements=(newer,))))


def test_tree_that_is_gone_restores_neither_and_is_said(built: Machine) -> None:
    contents = built.cache.look().contents
    layer = contents.layer(PIP.id, "c")
    assert layer is not None
    built.cache.tree_path(layer.tree).rename(built.root / "elsewhere")
    assert "c" not in found(built.restore())
    assert any("example/pip:c" in line for line in built.log.lines)


def test_link_in_place_of_a_tree_is_not_followed(built: Machine) -> None:
    layer = built.cache.look().contents.layer(PIP.id, "c")
    assert layer is not None
    tree = built.cache.tree_path(layer.tree)
    tree.rename(built.root / "elsewhere")
    tree.symlink_to(built.root / "elsewhere")
    assert "c" not in found(built.restore())


def test_tree_that_was_changed_since_restores_neither_and_is_said(built: Machine) -> None:
    layer = built.cache.look().contents.layer(PIP.id, "c")
    assert layer is not None
    (built.cache.tree_path(layer.tree) / "file").write_text("something else")
    assert found(built.restore()) == {"l": "t", "lc": "td", "bc": "td", "lbc": "td"}
    assert "Cached layer `example/pip:c` is not used: its files were changed since" in built.log.lines


def test_whoever_has_looked_need_not_look_again(built: Machine) -> None:
    looked = built.cache.look()
    assert found(built.restore(looked=looked)) == {"l": "t", "c": "td", "lc": "td", "bc": "td", "lbc": "td"}
    # Lent, and not given back.
    looked = built.cache.look()
    assert looked.contents.layers == ()
    assert found(built.restore(looked=looked)) == {"l": "t"}
    assert all(problem in built.log.lines for problem in looked.problems)


def test_bills_of_materials_that_were_changed_since_do_not_come_back(machine: Machine) -> None:
    layers = machine.layers()
    machine.write_layers(layers, "c")
    (layers / "sbom/cache/example_pip/c").mkdir(parents=True)
    (layers / "sbom/cache/example_pip/c/sbom.cdx.json").write_text("{}")
    machine.save(layers)
    kept = machine.cache.look().contents.sbom
    assert kept is not None
    (machine.cache.tree_path(kept) / "example_pip/c/sbom.cdx.json").write_text('{"another": 1}')
    restored = machine.restore()
    assert found(restored) == {"c": "td"}
    assert list((restored / "example_pip").glob("*.json")) == []


def test_cache_that_was_made_for_another_target_is_not_used(built: Machine) -> None:
    built.cache = Cache(directory=built.cache.directory, target="linux/amd64 (debian 11)")
    layers = built.restore()
    assert found(layers) == {"l": "t"}
    assert any(
        "is `linux/amd64 (debian 12)`, and this build is for `linux/amd64 (debian 11)`" in line
        for line in built.log.lines
    )
    built.write_layers(layers, "c")
    built.save(layers)
    assert found(built.restore()) == {"c": "td"}


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), Path.mkdir])
def test_what_is_no_file_in_place_of_the_metadata_is_an_empty_cache(
    built: Machine, make: Callable[[Path], object]
) -> None:
    path = built.root / "cache/metadata.json"
    path.unlink()
    make(path)
    assert found(built.restore()) == {"l": "t"}
    assert any("The cache is not used" in line for line in built.log.lines)


METADATA = [
    "",
    "{",
    "[]",
    "{}",
    '{"schema": 1}',
    '{"schema": 99}',
    '{"schema": 2, "buildpacks": 3}',
    "\udcff",
    "[" * 10**6,
]


@pytest.mark.parametrize("content", METADATA, ids=lambda content: content[:30] or "empty")
def test_metadata_that_cannot_be_read_is_an_empty_cache(built: Machine, content: str) -> None:
    (built.root / "cache/metadata.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    assert found(built.restore()) == {"l": "t"}
    assert any("The cache is not used" in line for line in built.log.lines)


def test_tree_names_cannot_lead_out_of_the_cache(built: Machine) -> None:
    path = built.root / "cache/metadata.json"
    values = json.loads(path.read_text())
    values["trees"]["example/pip"]["c"]["tree"] = "../../precious"
    path.write_text(json.dumps(values))
    (built.root / "precious").mkdir()
    built.restore()
    assert (built.root / "precious").is_dir()


def test_layer_names_of_a_hostile_image_are_ignored(machine: Machine) -> None:
    layers = {name: LayerRecord(sha="sha256:1", types=TYPES["l"]) for name in ("../../x", "store", ".hidden", "ok")}
    image = LifecycleMetadata(buildpacks=(BuildpackRecord(id=PIP.id, version="1", layers=layers),))
    own = machine.restore(previous=image) / "example_pip"
    assert sorted(path.name for path in own.iterdir()) == ["ok.toml"]


def test_other_execution_environment_restores_nothing(built: Machine) -> None:
    assert found(built.restore(exec_env="test")) == {}


def test_unsupported_buildpack_api_is_refused(machine: Machine) -> None:
    old = GroupElement(id=PIP.id, version="1.0.0", api=ApiVersion(0, 9))
    with pytest.raises(BuildpackApiUnsupported):
        machine.restore(group=Group(elements=(old,)))


def test_bills_of_materials_come_back_with_their_layers(machine: Machine) -> None:
    layers = machine.layers()
    machine.write_layers(layers, "c lc b")
    for path in ("cache/example_pip/c", "cache/example_pip/lc", "launch/example_pip/l"):
        (layers / "sbom" / path).mkdir(parents=True)
        (layers / "sbom" / path / "sbom.cdx.json").write_text("{}")
    machine.save(layers)
    restored = machine.restore() / "example_pip"
    assert sorted(path.name for path in restored.glob("*.json")) == ["c.sbom.cdx.json", "lc.sbom.cdx.json"]


def test_layer_that_is_not_declared_again_leaves_the_cache(built: Machine) -> None:
    layers = built.restore()
    own = layers / "example_pip"
    write_layer_file(own / "c.toml", LayerFile(types=TYPES["c"], metadata={"second": True}))
    built.save(layers)
    assert [layer.name for layer in built.cache.look().contents.layers] == ["c"]
    assert len(list((built.root / "cache/trees").iterdir())) == 1


def test_tree_whose_owner_may_not_write_is_moved_and_keeps_its_mode(machine: Machine) -> None:
    layers = machine.layers()
    machine.write_layers(layers, "c")
    (layers / "example_pip/c").chmod(0o555)
    machine.save(layers)
    restored = machine.restore() / "example_pip/c"
    assert restored.stat().st_mode & 0o777 == 0o555
    restored.chmod(0o755)


def test_cache_that_cannot_be_written_is_a_warning(machine: Machine) -> None:
    layers = machine.layers()
    machine.write_layers(layers, "c")
    (machine.root / "cache").write_text("a file in its place")
    machine.save(layers)
    assert machine.log.warnings


def test_killed_build_leaves_fewer_layers_not_wrong_ones(built: Machine) -> None:
    built.restore()
    # Nothing was moved back: the metadata still names trees that are gone.
    assert built.cache.look().contents.layers == ()
    assert found(built.restore()) == {"l": "t"}


class TestFailedBuild:
    """What is kept when the build did not end: `take_back`."""

    def test_buildpacks_that_did_not_run_lose_nothing(self, built: Machine) -> None:
        layers = built.restore()
        built.cache.take_back(layers_dir=layers, log=built.log)
        assert found(built.restore()) == {"l": "t", "c": "td", "lc": "td", "bc": "td", "lbc": "td"}

    def test_buildpack_that_failed_keeps_only_what_it_declared_for_that(self, built: Machine) -> None:
        layers = built.restore()
        own = layers / "example_pip"
        write_progress(layers, Progress().start(PIP))
        write_layer_file(own / "c.toml", LayerFile(types=TYPES["c"], outlives_failure=True))
        write_layer_file(own / "bc.toml", LayerFile(types=TYPES["bc"], metadata={"half": "made"}))
        built.cache.take_back(layers_dir=layers, log=built.log)
        assert found(built.restore()) == {"l": "t", "c": "td"}

    def test_buildpack_that_finished_keeps_its_cache_layers(self, built: Machine) -> None:
        layers = built.restore()
        own = layers / "example_pip"
        write_progress(layers, Progress().finish(PIP).start(OTHER))
        write_layer_file(own / "c.toml", LayerFile(types=TYPES["c"], metadata={"new": True}))
        # In image and cache: unchanged, and changed so that no image has it.
        write_layer_file(own / "lc.toml", LayerFile(types=TYPES["lc"], metadata={"number": 7, "name": "lc"}))
        write_layer_file(own / "lbc.toml", LayerFile(types=TYPES["lbc"], metadata={"number": 8, "name": "lbc"}))
        built.cache.take_back(layers_dir=layers, log=built.log)
        restored = built.restore()
        assert found(restored) == {"l": "t", "c": "td", "lc": "td"}
        assert read_layer_file(restored / "example_pip/c.toml").metadata == {"new": True}

    def test_first_build_that_fails_keeps_its_downloads(self, machine: Machine) -> None:
        layers = machine.restore()
        machine.write_layers(layers, "c")
        own = layers / "example_pip"
        write_layer_file(own / "c.toml", LayerFile(types=TYPES["c"], outlives_failure=True))
        write_progress(layers, Progress().start(PIP))
        machine.cache.take_back(layers_dir=layers, log=machine.log)
        assert found(machine.restore()) == {"c": "td"}

    def test_link_to_the_host_is_never_moved(self, built: Machine) -> None:
        layers = built.restore()
        precious = built.root / "precious"
        (precious / "c").mkdir(parents=True)
        own = layers / "example_pip"
        own.rename(layers / "away")
        own.symlink_to(precious)
        write_layer_file(precious / "c.toml", LayerFile(types=TYPES["c"]))
        write_progress(layers, Progress().finish(PIP))
        built.cache.take_back(layers_dir=layers, log=built.log)
        built.save(layers)
        assert (precious / "c").is_dir()

    def test_link_in_place_of_a_buildpack_that_did_not_run_is_not_followed(self, built: Machine) -> None:
        layers = built.restore()
        precious = built.root / "precious"
        (precious / "c").mkdir(parents=True)
        (layers / "example_pip").rename(layers / "away")
        (layers / "example_pip").symlink_to(precious)
        built.cache.take_back(layers_dir=layers, log=built.log)
        assert (precious / "c").is_dir()

    def test_after_a_save_nothing_is_lost(self, built: Machine) -> None:
        layers = built.restore()
        own = layers / "example_pip"
        write_layer_file(own / "c.toml", LayerFile(types=TYPES["c"]))
        write_progress(layers, Progress().finish(PIP))
        built.save(layers)
        built.cache.take_back(layers_dir=layers, log=built.log)
        assert [layer.name for layer in built.cache.look().contents.layers] == ["c"]

    def test_progress_that_cannot_be_read_is_a_warning(self, built: Machine) -> None:
        layers = built.restore()
        (layers / "pybuild-progress.toml").write_text("forged")
        built.cache.take_back(layers_dir=layers, log=built.log)
        assert built.log.warnings
