"""Layers of trees that come back with each build are made once, and never of another tree than it seems."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from lifecycle.cnb.digest import Digest
from lifecycle.cnb.group import GroupElement
from lifecycle.export import ExportedImage
from lifecycle.oci.archive import Owner
from pybuild.made_layers import MadeLayers
from tests.lifecycle.exporting import LARGE, Exporter, make_environment, make_exporter
from tests.lifecycle.oci.images import content_of
from tests.lifecycle.world import World

# As the cache gives a tree back: it is moved in, and the kit writes the environment anew.
INTERPRETER = """
mv "{tree}" "$CNB_LAYERS_DIR/cpython"
rm -rf "$CNB_LAYERS_DIR/cpython/env.launch"
mkdir "$CNB_LAYERS_DIR/cpython/env.launch"
printf 1 > "$CNB_LAYERS_DIR/cpython/env.launch/PYTHONUNBUFFERED.default"
printf '[types]\\nlaunch = true\\nbuild = true\\ncache = true\\n' > "$CNB_LAYERS_DIR/cpython.toml"
"""


@dataclass
class Machine:
    root: Path
    made: MadeLayers

    def application(self, name: str) -> Application:
        world = World.begin(self.root / name)
        tree = world.root / "cpython"
        (tree / "bin").mkdir(parents=True)
        (tree / "bin/python3").write_text("interpreter")
        (tree / "bin/python").symlink_to("python3")
        exporter = make_exporter(world)
        return Application(self, exporter, world.add("x/a", build=INTERPRETER.format(tree=tree)))


@dataclass
class Application:
    machine: Machine
    exporter: Exporter
    element: GroupElement

    @property
    def tree(self) -> Path:
        return self.exporter.world.root / "cpython"

    def build(self) -> ExportedImage:
        exported = self.exporter.export(self.element, find_made=self.machine.made.find)
        self.machine.made.keep(exported.made)
        (self.exporter.world.layers / "x_a/cpython").rename(self.tree)
        return exported


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(root=tmp_path, made=MadeLayers(directory=tmp_path / "made"))


def interpreter_is_reused(exported: ExportedImage) -> bool:
    (found,) = [layer.is_reused for layer in exported.layers if layer.name == "x/a:cpython"]
    return found


def forget_image(application: Application) -> None:
    """Then only the store of made layers can know the tree."""
    application.exporter.previous = None
    shutil.rmtree(application.exporter.world.root / "blobs")


def interpreter_in(exported: ExportedImage) -> bytes:
    return content_of(exported.image.layers[1], "layers/x_a/cpython/bin/python3")


def test_the_tree_of_the_last_build_is_recognized_without_being_read(machine: Machine) -> None:
    application = machine.application("one")
    first = application.build()
    assert not interpreter_is_reused(first)
    # Without the listing nothing says which layer to compare its hash with.
    listing, stamp = first.made
    (machine.made.directory / listing).unlink()
    forget_image(application)
    second = application.build()
    assert interpreter_is_reused(second)
    assert second.image.layers[1].descriptor == first.image.layers[1].descriptor
    assert stamp in second.made


def test_another_application_takes_the_layer_of_the_same_tree(machine: Machine) -> None:
    first = machine.application("one").build()
    second = machine.application("two").build()
    assert interpreter_is_reused(second)
    assert second.image.layers[1].descriptor == first.image.layers[1].descriptor


@pytest.mark.parametrize("is_time_put_back", [False, True])
def test_a_file_that_was_changed_is_in_the_next_layer(machine: Machine, is_time_put_back: bool) -> None:
    application = machine.application("one")
    first = application.build()
    program = application.tree / "bin/python3"
    status = program.stat()
    program.write_text("INTERPRETER")
    if is_time_put_back:
        os.utime(program, ns=(status.st_atime_ns, status.st_mtime_ns))
    second = application.build()
    assert not interpreter_is_reused(second)
    assert interpreter_in(second) == b"INTERPRETER"
    assert first.image.layers[1].diff_id != second.image.layers[1].diff_id


def test_the_same_names_and_sizes_are_not_the_same_tree(machine: Machine) -> None:
    machine.application("one").build()
    other = machine.application("two")
    (other.tree / "bin/python3").write_text("INTERPRETER")
    second = other.build()
    assert not interpreter_is_reused(second)
    assert interpreter_in(second) == b"INTERPRETER"


def test_another_owner_or_environment_is_another_layer(machine: Machine) -> None:
    machine.application("one").build()
    other = machine.application("two")
    exported = other.exporter.export(
        other.element, find_made=machine.made.find, owner=Owner(user_id=1001, group_id=1000)
    )
    assert not interpreter_is_reused(exported)
    third = machine.application("three")
    program = INTERPRETER.format(tree=third.tree).replace("printf 1", "printf 2")
    third.element = third.exporter.world.add("x/a", build=program, version="2.0.0")
    assert content_of(third.build().image.layers[1], "layers/x_a/cpython/env.launch/PYTHONUNBUFFERED.default") == b"2"


@pytest.mark.parametrize("what", ["blob", "key"])
def test_what_is_damaged_is_made_again(machine: Machine, what: str) -> None:
    application = machine.application("one")
    first = application.build()
    (blob,) = (machine.made.directory / "blobs").iterdir()
    keys = [path for path in machine.made.directory.iterdir() if path.is_file()]
    for path in [blob] if what == "blob" else keys:
        content = path.read_bytes()
        # In place would damage the application's own blob, too.
        path.unlink()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    forget_image(application)
    second = application.build()
    assert second.image.manifest_bytes == first.image.manifest_bytes
    assert all(machine.made.find(key) is not None for key in second.made)


def test_a_store_that_cannot_be_written_breaks_nothing(machine: Machine) -> None:
    machine.made.directory.write_text("not a directory")
    application = machine.application("one")
    first = application.build()
    second = application.build()
    assert first.image.manifest_bytes == second.image.manifest_bytes


def test_what_nobody_takes_is_forgotten(machine: Machine) -> None:
    exported = machine.application("one").build()
    machine.made.forget_unused()
    assert all(machine.made.find(key) is not None for key in exported.made)
    for path in machine.made.directory.rglob("*"):
        os.utime(path, (1, 1))
    machine.made.forget_unused()
    assert not [path for path in machine.made.directory.rglob("*") if path.is_file()]


def test_the_packages_that_applications_share_are_compressed_once(machine: Machine) -> None:
    def build(name: str, sizes: Mapping[str, int]) -> Mapping[str, tuple[Digest, bool]]:
        exporter = machine.application(name).exporter
        element = exporter.world.add("x/b", build=make_environment(exporter, sizes))
        exported = exporter.export(element, find_made=machine.made.find)
        machine.made.keep(exported.made)
        return {one.name.removeprefix("x/b:"): (one.digest, one.is_reused) for one in exported.layers}

    first = build("one", LARGE)
    second = build("two", {**LARGE, "pandas": (15 << 20) + 1})
    shared = {name for name, (_, is_reused) in second.items() if is_reused and name.startswith("venv")}
    assert shared == {"venv.package-numpy", "venv.packages-00", "venv"}
    assert all(first[name][0] == second[name][0] for name in shared)
    assert first["venv.package-pandas"][0] != second["venv.package-pandas"][0]
