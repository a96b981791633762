"""Buildpackages: their labels and layers, and that they are read again as what they were."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lifecycle.cnb.errors import CnbError, ConfigurationError
from lifecycle.exporters import Output, parse_output
from lifecycle.oci.config import ImageConfig
from lifecycle.oci.image import Image
from lifecycle.oci.image_index import ImageIndex
from lifecycle.oci.layout import read_content, read_image
from lifecycle.oci.location import Location, Transport
from pybuild.builder.buildpack_source import BuildpackFinder
from pybuild.buildpackage import PackageRequest, package_buildpack
from pybuild.errors import UsageError
from tests.pybuild.recording_log import RecordingLog

FILE_TIME = 315532801
COMPOSITE = """
[[order]]
[[order.group]]
id = "test/one"
version = "1.0.0"
[[order.group]]
id = "test/two"
version = "2.0.0"
optional = true
"""


def write_buildpack(directory: Path, name: str, version: str = "1.0.0", rest: str = "") -> Path:
    (directory / "bin").mkdir(parents=True)
    for program in ("detect", "build"):
        (directory / "bin" / program).write_text("#!/bin/sh\n")
    text = f'api = "0.10"\n[buildpack]\nid = "{name}"\nversion = "{version}"\nname = "Called {name}"\n{rest}'
    (directory / "buildpack.toml").write_text(text)
    return directory


def write_composite(
    directory: Path, dependencies: str = '[[dependencies]]\nuri = "one"\n[[dependencies]]\nuri = "two"\n'
) -> Path:
    write_buildpack(directory / "one", "test/one", rest='[[targets]]\nos = "linux"\narch = "amd64"\n')
    write_buildpack(directory / "two", "test/two", "2.0.0", rest='[[stacks]]\nid = "some.stack"\nmixins = ["m"]\n')
    (directory / "buildpack.toml").write_text(
        f'api = "0.10"\n[buildpack]\nid = "test/all"\nversion = "3.0.0"\nhomepage = "https://example.org"\n{COMPOSITE}'
    )
    (directory / "package.toml").write_text(f'[buildpack]\nuri = "."\n{dependencies}')
    return directory


def package(path: Path, place: Path, *, names: tuple[str, ...] = (), **settings: Any) -> Image:
    """The packaged image, from a layout at `place`."""
    output: Output = parse_output(f"oci:{place}", tags=names)
    request = PackageRequest(path=path, outputs=(output,), **settings)
    package_buildpack(request, place.parent / "store", {"PATH": "/usr/bin:/bin"}, RecordingLog())
    return read_image(Location(transport=Transport.OCI, path=place))


def label(config: ImageConfig, name: str) -> Any:
    return json.loads(config.labels[name])


def entries(image: Image, diff_id: str) -> Mapping[str, tarfile.TarInfo]:
    layer = next(one for one in image.layers if str(one.diff_id) == diff_id)
    content = gzip.decompress(layer.path.read_bytes())
    assert f"sha256:{hashlib.sha256(content).hexdigest()}" == diff_id
    with gzip.open(layer.path) as stream, tarfile.open(fileobj=stream) as archive:
        return {one.name: one for one in archive}


def test_a_directory_becomes_an_image_of_one_layer(tmp_path: Path) -> None:
    image = package(write_buildpack(tmp_path / "one", "test/one"), tmp_path / "image")
    assert label(image.config, "io.buildpacks.buildpackage.metadata") == {
        "id": "test/one",
        "version": "1.0.0",
        "name": "Called test/one",
        "stacks": [{"id": "*"}],
    }
    facts = label(image.config, "io.buildpacks.buildpack.layers")["test/one"]["1.0.0"]
    assert (facts["api"], facts["name"], len(image.layers)) == ("0.10", "Called test/one", 1)
    found = entries(image, facts["layerDiffID"])
    place = "cnb/buildpacks/test_one/1.0.0"
    assert {f"{place}/buildpack.toml", f"{place}/bin/detect", f"{place}/bin/build"} <= set(found)
    # As pack does, whatever the files say.
    assert found[f"{place}/bin/build"].mode == 0o755
    assert {(one.uid, one.gid, one.mtime) for one in found.values()} == {(0, 0, FILE_TIME)}


def test_a_composite_buildpack_has_a_layer_for_each_part(tmp_path: Path) -> None:
    image = package(write_composite(tmp_path / "all"), tmp_path / "image")
    layers = label(image.config, "io.buildpacks.buildpack.layers")
    assert set(layers) == {"test/all", "test/one", "test/two"}
    assert len({facts["layerDiffID"] for one in layers.values() for facts in one.values()}) == len(image.layers) == 3
    assert layers["test/all"]["3.0.0"]["order"] == [
        {
            "group": [
                {"id": "test/one", "version": "1.0.0"},
                {"id": "test/two", "version": "2.0.0", "optional": True},
            ]
        }
    ]
    assert layers["test/one"]["1.0.0"]["targets"] == [{"os": "linux", "arch": "amd64"}]
    assert label(image.config, "io.buildpacks.buildpackage.metadata")["stacks"] == [
        {"id": "some.stack", "mixins": ["m"]}
    ]


def test_flattened_buildpacks_share_a_layer(tmp_path: Path) -> None:
    path = write_composite(tmp_path / "all")
    image = package(path, tmp_path / "image", is_flattened=True, exploded=("test/two@2.0.0",))
    layers = label(image.config, "io.buildpacks.buildpack.layers")
    shared = layers["test/all"]["3.0.0"]["layerDiffID"]
    assert layers["test/one"]["1.0.0"]["layerDiffID"] == shared
    assert layers["test/two"]["2.0.0"]["layerDiffID"] != shared
    assert len(image.layers) == 2
    assert {"cnb/buildpacks/test_all/3.0.0/buildpack.toml", "cnb/buildpacks/test_one/1.0.0/buildpack.toml"} <= set(
        entries(image, shared)
    )
    with pytest.raises(UsageError, match="names nothing of the package"):
        package(path, tmp_path / "other", is_flattened=True, exploded=("test/three@1",))


def test_the_same_buildpack_is_the_same_image(tmp_path: Path) -> None:
    path = write_composite(tmp_path / "all")
    first = package(path, tmp_path / "first")
    for file in path.rglob("*"):
        file.chmod(0o700 if file.is_dir() else 0o600)
    shutil.copytree(path, tmp_path / "copy")
    assert package(tmp_path / "copy", tmp_path / "second").digest == first.digest


def test_an_extension_has_labels_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "extension.toml").write_text('api = "0.10"\n[extension]\nid = "test/more"\nversion = "1"\n')
    image = package(tmp_path / "more", tmp_path / "image")
    assert label(image.config, "io.buildpacks.buildpackage.metadata") == {"id": "test/more", "version": "1"}
    facts = label(image.config, "io.buildpacks.extension.layers")["test/more"]["1"]
    assert "cnb/extensions/test_more/1/extension.toml" in entries(image, facts["layerDiffID"])
    assert "io.buildpacks.buildpack.layers" not in image.config.labels


def test_targets_become_images_of_one_index(tmp_path: Path) -> None:
    path = write_buildpack(tmp_path / "one", "test/one")
    targets = "".join(f'[[targets]]\nos = "linux"\narch = "{arch}"\n' for arch in ("amd64", "arm64"))
    (path / "package.toml").write_text(targets)
    package(path, tmp_path / "image")
    content = read_content(Location(transport=Transport.OCI, path=tmp_path / "image"))
    assert isinstance(content, ImageIndex)
    assert [one.config.architecture for one in content.images] == ["amd64", "arm64"]
    assert content.images[0].layers[0].diff_id == content.images[1].layers[0].diff_id


@pytest.mark.integration
def test_a_package_file_is_read_as_what_was_packaged(tmp_path: Path) -> None:
    path = write_composite(tmp_path / "all")
    output = parse_output(f"oci-archive:{tmp_path / 'all.cnb'}")
    package_buildpack(PackageRequest(path=path, outputs=(output,)), tmp_path / "store", {}, RecordingLog())
    with tarfile.open(tmp_path / "all.cnb", "r:") as archive:
        assert {"oci-layout", "index.json"} <= set(archive.getnames())
    finder = BuildpackFinder(store=tmp_path / "store", log=RecordingLog(), env={})
    found = finder.find("all.cnb", relative_to=tmp_path)
    assert [str(one) for one in found.buildpacks] == ["test/all@3.0.0", "test/one@1.0.0", "test/two@2.0.0"]
    # Of a package, another one can be made.
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "package.toml").write_text('[buildpack]\nuri = "../all.cnb"\n')
    again = package(tmp_path / "again", tmp_path / "image")
    assert again.digest == package(path, tmp_path / "direct").digest


@pytest.mark.parametrize(
    ("package_toml", "message", "hint"),
    [
        ("[buildpak]\n", ":1: `buildpak` is not a known key", "did you mean `buildpack`?"),
        ('[buildpack]\nurl = "."\n', ":2: `buildpack.url` is not a known key", "uri"),
        ('[buildpack]\nuri = "."\n[extension]\nuri = "."\n', ":3: `extension` cannot stand beside", None),
        ('[platform]\nos = "windows"\n', ":2: `platform.os` must be `linux`", None),
        ('[[dependencies]]\nuri = "none"\n', ":2: `dependencies[0].uri` there is no buildpack", "a directory"),
        ('[[dependencies]]\nuri = "one"\n', "`dependencies` lack `test/two@2.0.0`, which buildpack `test/all", "add"),
        (
            '[[dependencies]]\nuri = "one"\n[[dependencies]]\nuri = "two"\n[[dependencies]]\nuri = "three"\n',
            "`dependencies` have `test/three@1.0.0`, which no `order`",
            "leave it out",
        ),
    ],
)
def test_what_is_wrong_with_a_package_is_said_with_its_line(
    tmp_path: Path, package_toml: str, message: str, hint: str | None
) -> None:
    path = write_composite(tmp_path / "all")
    write_buildpack(path / "three", "test/three")
    (path / "package.toml").write_text(package_toml)
    with pytest.raises(ConfigurationError) as caught:
        package(path, tmp_path / "image")
    assert str(path / "package.toml") in caught.value.summary
    assert message in caught.value.summary
    assert hint is None or hint in (caught.value.hint or "")
    assert not (tmp_path / "image").exists()


def test_buildpacks_without_a_stack_in_common_make_no_package(tmp_path: Path) -> None:
    path = write_composite(tmp_path / "all")
    text = (path / "one" / "buildpack.toml").read_text().partition("[[targets]]")[0]
    (path / "one" / "buildpack.toml").write_text(f'{text}[[stacks]]\nid = "other.stack"\n')
    with pytest.raises(CnbError, match="have no stack in common"):
        package(path, tmp_path / "image")
