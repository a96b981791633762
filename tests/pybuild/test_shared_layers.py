"""Launch layers that one application made and another one takes."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import pytest

from lifecycle.cnb.buildpack import Descriptor, read_descriptor
from lifecycle.cnb.digest import Digest
from lifecycle.cnb.group import GroupElement
from lifecycle.cnb.kit import Layer, LayerTypes
from lifecycle.cnb.shared import DIRECTORY_VARIABLE, NamedKey, layer_key, parse_key_line, render_key_line
from lifecycle.errors import ExportError
from lifecycle.export import ExportedImage
from pybuild.shared_layers import SharedLayers
from tests.buildpacks.contexts import make_context
from tests.lifecycle.environments import add_distribution
from tests.lifecycle.exporting import LAYER, REUSED, Exporter, make_exporter
from tests.lifecycle.world import World

LAYERS = PurePosixPath("/layers")
LAYERS_IN_BUILD = Path("/layers/x_a")
# The metadata that REUSED and MADE leave.
KEY = layer_key(LAYERS / "x_a/venv", {"lock": "2"})
MADE = LAYER.replace('lock = "1"', 'lock = "2"')


@dataclass
class Applications:
    """Two applications on a machine, with one buildpack."""

    root: Path
    shared: SharedLayers

    def exporter(self, name: str) -> Exporter:
        world = World.begin(self.root / name)
        return make_exporter(world)

    def made(self) -> tuple[Exporter, ExportedImage]:
        exporter = self.exporter("one")
        return exporter, exporter.export(add(exporter, MADE))


def add(exporter: Exporter, build: str) -> GroupElement:
    return exporter.world.add("x/a", build=build)


def descriptor(exporter: Exporter, *, speaks: bool = True) -> Descriptor:
    (directory,) = exporter.world.buildpacks.glob("x_a/*")
    if speaks:
        with (directory / "buildpack.toml").open("a") as stream:
            stream.write('\n[metadata]\nshared-layers = ["venv"]\n')
    return read_descriptor(directory)


@pytest.fixture
def applications(tmp_path: Path) -> Applications:
    return Applications(root=tmp_path, shared=SharedLayers(directory=tmp_path / "store"))


def test_a_layer_is_taken_with_what_it_does_to_the_environment(applications: Applications) -> None:
    one, exported = applications.made()
    applications.shared.share(
        NamedKey(layer="venv", key=KEY), descriptor(one), LAYERS, exported, layers_dir=one.world.layers
    )
    other = applications.exporter("two")
    element = add(other, REUSED)
    taken = other.export(element, find_shared=applications.shared.find)
    assert [layer.is_reused for layer in taken.layers if layer.name == "x/a:venv"] == [True]
    assert taken.image.config.env == exported.image.config.env
    assert "FLAG=yes" in taken.image.config.env
    # The next build has it from its own image.
    again = other.export(element)
    assert again.image.digest == taken.image.digest


@pytest.mark.parametrize("sbom", ["{}", None])
def test_a_layer_is_taken_with_its_bill_of_materials(applications: Applications, sbom: str | None) -> None:
    one, exported = applications.made()
    if sbom is not None:
        one.world.write("layers/sbom/launch/x_a/venv/sbom.cdx.json", sbom)
    applications.shared.share(
        NamedKey(layer="venv", key=KEY), descriptor(one), LAYERS, exported, layers_dir=one.world.layers
    )
    env = {DIRECTORY_VARIABLE: str(applications.shared.directory)}
    context = replace(make_context(applications.root, env), layers_dir=LAYERS_IN_BUILD)
    wanted = Layer(name="venv", types=LayerTypes(launch=True), metadata={"lock": "2"})
    assert context.find_shared(wanted) == replace(wanted, sbom=sbom)
    assert context.find_shared(replace(wanted, metadata={"lock": "3"})) is None


def test_a_divided_layer_is_shared_with_all_its_parts(applications: Applications) -> None:
    one = applications.exporter("one")
    prefix = one.world.root / "environment"
    add_distribution(prefix, "numpy", {"numpy/__init__.py": 40 << 20})
    divided = MADE + "printf '[pybuild]\\nby-packages = true\\n' >> \"$CNB_LAYERS_DIR/venv.toml\"\n"
    exported = one.export(add(one, divided + f'cp -r --sparse=always "{prefix}/." "$CNB_LAYERS_DIR/venv"\n'))
    applications.shared.share(
        NamedKey(layer="venv", key=KEY), descriptor(one), LAYERS, exported, layers_dir=one.world.layers
    )
    other = applications.exporter("two")
    element = add(other, REUSED)
    taken = other.export(element, find_shared=applications.shared.find)
    assert layers_of(taken) == layers_of(exported)
    assert list(layers_of(taken)) == ["x/a:venv.package-numpy", "x/a:venv"]
    again = other.export(element)
    assert again.image.digest == taken.image.digest
    (part,) = [one.digest for one in exported.layers if one.name == "x/a:venv.package-numpy"]
    (applications.shared.directory / "blobs" / part.hex).unlink()
    assert applications.shared.find(KEY) is None, "without one of its parts there is no layer"


def layers_of(exported: ExportedImage) -> dict[str, Digest]:
    return {layer.name: layer.digest for layer in exported.layers if layer.name.startswith("x/a:")}


def test_without_such_a_layer_it_is_missed(applications: Applications) -> None:
    other = applications.exporter("two")
    with pytest.raises(ExportError):
        other.export(add(other, REUSED), find_shared=applications.shared.find)


@pytest.mark.parametrize(
    ("named", "speaks"),
    [
        (NamedKey(layer="venv", key=None), True),
        (NamedKey(layer="venv", key=KEY), False),
        (NamedKey(layer="other", key=KEY), True),
        (NamedKey(layer="venv", key="0" * 64), True),
    ],
)
def test_what_its_buildpack_did_not_promise_is_not_shared(
    applications: Applications, named: NamedKey, speaks: bool
) -> None:
    one, exported = applications.made()
    applications.shared.share(named, descriptor(one, speaks=speaks), LAYERS, exported, layers_dir=one.world.layers)
    assert applications.shared.find(KEY) is None


def test_a_layer_that_is_not_whole_is_not_there(applications: Applications) -> None:
    one, exported = applications.made()
    applications.shared.share(
        NamedKey(layer="venv", key=KEY), descriptor(one), LAYERS, exported, layers_dir=one.world.layers
    )
    (blob,) = (applications.shared.directory / "blobs").iterdir()
    blob.unlink()
    assert applications.shared.find(KEY) is None
    (applications.shared.directory / KEY).write_text("{")
    assert applications.shared.find(KEY) is None


@pytest.mark.parametrize("what", ["key", "blob"])
def test_a_key_without_a_whole_layer_is_forgotten(what: str, applications: Applications) -> None:
    one, exported = applications.made()
    applications.shared.share(
        NamedKey(layer="venv", key=KEY), descriptor(one), LAYERS, exported, layers_dir=one.world.layers
    )
    applications.shared.forget_damaged()
    key = applications.shared.directory / KEY
    assert key.is_file()
    (blob,) = applications.shared.directory.glob("blobs/*")
    (key if what == "key" else blob).write_bytes(b"{")
    applications.shared.forget_damaged()
    # A buildpack that sees the key makes nothing, and there would be nothing to take.
    assert not key.exists()


def test_what_nobody_takes_is_forgotten(applications: Applications) -> None:
    one, exported = applications.made()
    applications.shared.share(
        NamedKey(layer="venv", key=KEY), descriptor(one), LAYERS, exported, layers_dir=one.world.layers
    )
    applications.shared.forget_unused()
    assert applications.shared.find(KEY) is not None
    old = time.time() - 100 * 24 * 3600
    for path in (applications.shared.directory / KEY, *(applications.shared.directory / "blobs").iterdir()):
        os.utime(path, (old, old))
    applications.shared.forget_unused()
    assert applications.shared.find(KEY) is None
    assert not list((applications.shared.directory / "blobs").iterdir())


@pytest.mark.parametrize("named", [NamedKey(layer="env", key=KEY), NamedKey(layer="env", key=None)])
def test_a_line_says_what_was_named(named: NamedKey) -> None:
    assert parse_key_line(render_key_line(named)) == named


@pytest.mark.parametrize(
    "line", ["", "pybuild-layer-key: env", f"pybuild-layer-key: env {KEY[:-1]}", f" pybuild-layer-key: env {KEY}"]
)
def test_other_lines_say_nothing(line: str) -> None:
    assert parse_key_line(line) is None
