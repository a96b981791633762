"""Images of tiny buildpacks in layouts and a registry are rebased; what comes of it in every detail is in tests/lifecycle."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from lifecycle.cnb.target import host_architecture
from lifecycle.errors import RebaseError, RebaseRefused
from lifecycle.exporters import parse_output
from lifecycle.oci.image import Image, Layer, make_image
from lifecycle.oci.layout import read_image
from lifecycle.oci.layout_writer import open_layout
from lifecycle.registry.errors import NoSuchImage
from pybuild.builder import default_definition_path
from pybuild.errors import ImageMoved, UsageError
from pybuild.rebase import RebaseReport, RebaseRequest, rebase_image
from pybuild.site import Site
from tests.lifecycle.exporting import LAYER, Exporter, make_exporter
from tests.lifecycle.oci.images import file_layer, image_of, validate_image
from tests.lifecycle.registry.fake_registry import Exchange, FakeRegistry
from tests.lifecycle.world import RecordingLog as PhaseLog
from tests.lifecycle.world import World
from tests.pybuild.recording_log import RecordingLog


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as started:
        yield started


@dataclass
class Scene:
    """A layout with run images, an app image on one of them, and rebases of it."""

    root: Path
    exporter: Exporter
    log: RecordingLog = field(default_factory=RecordingLog)

    @property
    def layout(self) -> Path:
        return self.root / "layout"

    def put(self, image: Image, tag: str) -> Image:
        with open_layout(self.layout) as writer:
            writer.add(image)
            writer.tag(image, [tag])
        return image

    def at(self, tag: str) -> Image:
        image = read_image(f"oci:{self.layout}:{tag}")
        validate_image(image)
        return image

    def run_image(self, content: str, **changes: Any) -> Image:
        base = self.exporter.run_image
        layer = file_layer(self.root / "base", {"etc/release": content})
        return make_image(replace(base.config, **changes), [*base.layers, layer])

    def rebase(self, location: str, **options: Any) -> RebaseReport:
        request = RebaseRequest(location=location, **{"builder": default_definition_path(), **options})
        return rebase_image(request, Site(store=self.root / "store", host_env={}, log=self.log))


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    world = World(tmp_path / "world", PhaseLog())
    for directory in (world.app, world.layers, world.buildpacks):
        directory.mkdir(parents=True)
    exporter = make_exporter(world)
    config = replace(exporter.run_image.config, architecture=host_architecture())
    exporter.run_image = make_image(config, exporter.run_image.layers)
    return Scene(tmp_path, exporter)


def test_an_image_is_replaced_where_it_is(scene: Scene) -> None:
    app = scene.put(scene.exporter.export(scene.exporter.world.add("x/a", build=LAYER)).image, "app")
    run_image = scene.put(scene.run_image("2"), "run")
    report = scene.rebase(f"oci:{scene.layout}:app", run_image=f"oci:{scene.layout}:run", force=True)
    rebased = scene.at("app")
    assert [layer.diff_id for layer in rebased.layers] == [
        layer.diff_id for layer in (*run_image.layers, *app.layers[1:])
    ]
    assert scene.at("run").digest == run_image.digest
    assert report.outputs == (f"oci:{scene.layout}:app@{rebased.digest}",)
    warned = "warning the image was built on `docker.io/library/run:1`, not on one without a name"
    assert warned in scene.log.lines
    assert json.loads(json.dumps(report.to_json())) == {
        "image": {
            "digest": str(rebased.digest),
            "id": str(rebased.id),
            "size": len(rebased.manifest_bytes),
            "outputs": [*report.outputs],
            "previous": str(app.digest),
        },
        "transfers": [written.to_json() for written in report.written],
        "runImage": {
            "image": None,
            "reference": str(run_image.digest),
            "topLayer": str(run_image.layers[-1].diff_id),
        },
        "previousRunImage": {
            "image": "docker.io/library/run:1",
            "reference": "run@digest",
            "topLayer": str(app.layers[0].diff_id),
        },
        "overridden": [warned.removeprefix("warning ")],
    }


def test_an_image_that_goes_elsewhere_stays_as_it_is(scene: Scene) -> None:
    app = scene.put(scene.exporter.export(scene.exporter.world.add("x/a", build=LAYER)).image, "app")
    scene.put(scene.run_image("2", env=("PATH=/other",)), "run")
    outputs = (parse_output(f"oci:{scene.layout}:new"), parse_output(f"oci-archive:{scene.root}/new.tar"))
    options: dict[str, Any] = {"run_image": f"oci:{scene.layout}:run", "outputs": outputs, "force": True}
    report = scene.rebase(f"oci:{scene.layout}:app", **options)
    assert scene.at("app").digest == app.digest
    assert [text.rpartition("@")[2] for text in report.outputs] == [str(scene.at("new").digest)] * 2
    (scene.root / "scratch").mkdir()
    copy = read_image(f"oci-archive:{scene.root}/new.tar", scratch=scene.root / "scratch")
    assert copy.digest == scene.at("new").digest
    again = scene.rebase(f"oci-archive:{scene.root}/new.tar", **options)
    assert again.rebased.image.digest == copy.digest
    assert "info the image stands on this run image already" in scene.log.lines


def test_an_image_that_is_refused_stays_as_it_is(scene: Scene) -> None:
    app = scene.put(scene.exporter.export(scene.exporter.world.add("x/a")).image, "app")
    scene.put(scene.run_image("2"), "run")
    with pytest.raises(RebaseRefused):
        scene.rebase(f"oci:{scene.layout}:app", run_image=f"oci:{scene.layout}:run")
    assert scene.at("app").digest == app.digest


def test_an_image_that_no_buildpack_made_is_refused_before_anything_is_fetched(
    scene: Scene, registry: FakeRegistry
) -> None:
    scene.put(image_of(file_layer(scene.root / "made", {"a": "1"})), "app")
    with pytest.raises(RebaseError, match="has no label"):
        scene.rebase(f"oci:{scene.layout}:app", run_image=f"docker://{registry.host}/run:1")
    assert registry.paths() == []


def test_what_does_not_say_where_an_image_is_is_refused_before_anything_is_read(scene: Scene) -> None:
    for location, run_image in (("app", None), (f"oci:{scene.root}/nowhere", "run:1")):
        with pytest.raises(UsageError, match="does not say where the image is"):
            scene.rebase(location, run_image=run_image)


def test_the_run_image_is_what_its_name_stands_for_now(scene: Scene, registry: FakeRegistry) -> None:
    scene.exporter.run_image_name = registry.add(scene.exporter.run_image, "team/run:1")
    scene.put(scene.exporter.export(scene.exporter.world.add("x/a", build=LAYER)).image, "app")
    now = scene.run_image("2")
    registry.add(now, "team/run:1")
    scene.rebase(f"oci:{scene.layout}:app", insecure_registries=(registry.host,))
    rebased = scene.at("app")
    assert [layer.diff_id for layer in rebased.layers[:2]] == [layer.diff_id for layer in now.layers]
    record = json.loads(rebased.config.labels["io.buildpacks.lifecycle.metadata"])["runImage"]
    assert (record["image"], record["reference"]) == (
        f"{registry.host}/team/run:1",
        f"{registry.host}/team/run@{now.digest}",
    )


def test_a_mirror_is_asked_where_the_run_image_is_not_to_be_had(scene: Scene, registry: FakeRegistry) -> None:
    now = scene.run_image("2")
    mirror = registry.add(now, "mirror/run:1")
    scene.exporter.run_image_name = f"{registry.host}/gone/run:1"
    buildpack = scene.exporter.world.add("x/a")
    scene.put(scene.exporter.export(buildpack, run_image_mirrors=(mirror,)).image, "app")
    options = {"insecure_registries": (registry.host,)}
    scene.rebase(f"oci:{scene.layout}:app", **options)
    assert scene.at("app").layers[1].diff_id == now.layers[-1].diff_id
    registry.manifests.clear()
    scene.put(scene.exporter.export(buildpack).image, "app")
    with pytest.raises(NoSuchImage, match="gone/run"):
        scene.rebase(f"oci:{scene.layout}:app", **options)


def test_an_image_that_somebody_replaces_meanwhile_is_left_to_them(scene: Scene, registry: FakeRegistry) -> None:
    scene.exporter.run_image_name = registry.add(scene.run_image("2"), "team/run:1")
    scene.put(scene.exporter.export(scene.exporter.world.add("x/a", build=LAYER)).image, "app")
    other = image_of(file_layer(scene.root / "made", {"a": "1"}))

    def replace_it(_: object) -> bool:
        scene.put(other, "app")
        return False

    registry.before("manifests/1", replace_it)
    with pytest.raises(ImageMoved):
        scene.rebase(f"oci:{scene.layout}:app", insecure_registries=(registry.host,))
    assert scene.at("app").digest == other.digest
    blobs = {path.name for path in (scene.layout / "blobs/sha256").iterdir()}
    assert scene.run_image("2").layers[-1].descriptor.digest.hex not in blobs, "nothing is left of it"


def digests(layers: Iterable[Layer]) -> set[str]:
    return {str(layer.descriptor.digest) for layer in layers}


def transferred(registry: FakeRegistry) -> set[str]:
    """Digests of layers that were fetched, or sent: `GET` and `PUT`."""
    wanted = [request for request in registry.requests if request.startswith(("GET", "PUT")) and "/blobs/" in request]
    return {found for request in wanted for found in re.findall("sha256:[0-9a-f]{64}", unquote(request))}


def test_in_a_registry_only_what_is_new_travels(scene: Scene, registry: FakeRegistry) -> None:
    now = scene.run_image("2")
    scene.exporter.run_image_name = registry.add(now, "team/run:1")
    app = scene.exporter.export(scene.exporter.world.add("x/a", build=LAYER)).image
    name = registry.add(app, "team/app:1")
    top = str(now.layers[-1].descriptor.digest)
    registry.elsewhere = {"team/run": {top}}
    registry.requests.clear()
    report = scene.rebase(f"docker://{name}", insecure_registries=(registry.host,))
    image = report.rebased.image
    validate_manifest(registry, "team/app:1", image)
    assert transferred(registry) & digests((*app.layers, *now.layers)) == set()
    assert report.written[0].transfer.mounted == now.layers[-1].descriptor.size
    assert report.outputs == (f"docker://{name}@{image.digest}",)


def test_what_a_registry_does_not_take_from_itself_is_brought_to_it(scene: Scene, registry: FakeRegistry) -> None:
    now = scene.run_image("2")
    scene.exporter.run_image_name = registry.add(now, "team/run:1")
    app = scene.exporter.export(scene.exporter.world.add("x/a", build=LAYER)).image
    name = registry.add(app, "team/app:1")
    top = str(now.layers[-1].descriptor.digest)
    registry.elsewhere = {"team/run": {top}}
    registry.hooks.append(without_mounts)
    report = scene.rebase(f"docker://{name}", insecure_registries=(registry.host,))
    assert registry.manifests["team/app:1"][0] == report.rebased.image.manifest_bytes
    assert report.written[0].transfer.mounted == 0
    assert any(request.startswith("PUT") and top in unquote(request) for request in registry.requests)


def test_a_tag_that_somebody_has_moved_meanwhile_is_left_to_them(scene: Scene, registry: FakeRegistry) -> None:
    now = scene.run_image("2")
    scene.exporter.run_image_name = registry.add(now, "team/run:1")
    app = scene.exporter.export(scene.exporter.world.add("x/a", build=LAYER)).image
    name = registry.add(app, "team/app:1")
    other = image_of(file_layer(scene.root / "made", {"a": "1"}))

    def move_it(_: object) -> bool:
        registry.add(other, "team/app:1")
        return False

    registry.before("run/manifests/1", move_it)
    with pytest.raises(ImageMoved, match=re.escape(name)):
        scene.rebase(f"docker://{name}", insecure_registries=(registry.host,))
    assert registry.manifests["team/app:1"][0] == other.manifest_bytes


def without_mounts(exchange: Exchange) -> bool:
    """As registries answer that do not take blobs from other repositories: with an upload that has begun."""
    if "mount=" in exchange.path:
        exchange.path = exchange.path.partition("?")[0]
    return False


def validate_manifest(registry: FakeRegistry, name: str, image: Image) -> None:
    """What the registry serves under a name is `image`, and all of it is there."""
    assert registry.manifests[name][0] == image.manifest_bytes
    repository = name.partition(":")[0]
    hidden = {digest for owner, found in registry.elsewhere.items() if owner != repository for digest in found}
    assert digests(image.layers) <= set(registry.blobs) - hidden
    assert registry.blobs[str(image.id)] == image.config_bytes
