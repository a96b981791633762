from __future__ import annotations

import json

import pytest

from lifecycle.cnb.digest import Digest
from lifecycle.cnb.errors import CnbError
from lifecycle.oci.descriptor import (
    DOCKER_INDEX_TYPE,
    DOCKER_MANIFEST_TYPE,
    INDEX_TYPE,
    MANIFEST_TYPE,
    Descriptor,
    Platform,
)
from lifecycle.oci.errors import BrokenImage, UnsupportedImage
from lifecycle.registry.manifest import choose_platform, fits, parse_image_manifest, parse_platform, read_type

CONFIG = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": f"sha256:{'a' * 64}", "size": 2}


def manifest(**others: object) -> bytes:
    return json.dumps({"schemaVersion": 2, "config": CONFIG, "layers": [], **others}).encode()


def index(**others: object) -> bytes:
    return json.dumps({"schemaVersion": 2, "manifests": [], **others}).encode()


@pytest.mark.parametrize(
    ("content", "content_type", "expected"),
    [
        (manifest(), MANIFEST_TYPE, MANIFEST_TYPE),
        (manifest(), f"{MANIFEST_TYPE}; charset=utf-8", MANIFEST_TYPE),
        (manifest(mediaType=DOCKER_MANIFEST_TYPE), DOCKER_MANIFEST_TYPE, MANIFEST_TYPE),
        (manifest(), "application/json", MANIFEST_TYPE),
        (manifest(), None, MANIFEST_TYPE),
        (index(), INDEX_TYPE, INDEX_TYPE),
        (index(mediaType=DOCKER_INDEX_TYPE), DOCKER_INDEX_TYPE, INDEX_TYPE),
    ],
)
def test_what_a_document_is(content: bytes, content_type: str | None, expected: str) -> None:
    assert read_type(content, content_type, source="x") == expected


@pytest.mark.parametrize(
    ("content", "content_type", "error"),
    [
        (manifest(manifests=[]), MANIFEST_TYPE, "is a manifest and an index at once"),
        (manifest(manifests=[]), INDEX_TYPE, "is a manifest and an index at once"),
        (json.dumps({"schemaVersion": 2, "layers": [], "manifests": []}).encode(), INDEX_TYPE, "at once"),
        (manifest(), INDEX_TYPE, "but is not"),
        (index(), MANIFEST_TYPE, "but is not"),
        (manifest(mediaType=INDEX_TYPE), MANIFEST_TYPE, "but is not"),
        (manifest(), "text/html", "is called `text/html`, but is not"),
        (b'{"schemaVersion": 2}', MANIFEST_TYPE, "is neither a manifest nor an index"),
        (
            b'{"schemaVersion": 1, "fsLayers": []}',
            "application/vnd.docker.distribution.manifest.v1+prettyjws",
            "schema 1",
        ),
        (b"<html>", "text/html", "invalid JSON"),
        (b"", MANIFEST_TYPE, "invalid JSON"),
        (b"[" * 100_000, MANIFEST_TYPE, "invalid JSON"),
        (b"\xff\xfe", MANIFEST_TYPE, "invalid JSON"),
    ],
)
def test_a_document_that_can_be_taken_for_two_things_is_refused(content: bytes, content_type: str, error: str) -> None:
    with pytest.raises(CnbError, match=error):
        read_type(content, content_type, source="x")


def layer(media_type: str, **others: object) -> dict[str, object]:
    return {"mediaType": media_type, "digest": f"sha256:{'b' * 64}", "size": 5, **others}


@pytest.mark.parametrize(
    ("media_type", "error"),
    [
        ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "foreign layers"),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "foreign layers"),
        ("application/vnd.cncf.helm.chart.content.v1.tar+gzip", "no image to run"),
    ],
)
def test_layers_that_cannot_be_used_are_refused_by_their_kind(media_type: str, error: str) -> None:
    with pytest.raises(UnsupportedImage, match=error):
        parse_image_manifest(manifest(layers=[layer(media_type)]), source="x")


def test_more_layers_than_engines_take_are_refused() -> None:
    gzip = layer("application/vnd.docker.image.rootfs.diff.tar.gzip", urls=["http://127.0.0.1/x"])
    assert len(parse_image_manifest(manifest(layers=[gzip] * 127), source="x").layers) == 127
    with pytest.raises(UnsupportedImage, match="has 128 layers"):
        parse_image_manifest(manifest(layers=[gzip] * 128), source="x")


@pytest.mark.parametrize(
    "bad",
    [
        {"digest": "sha256:../../x"},
        {"digest": 5},
        {"size": -1},
        {"size": "5"},
        {"size": True},
        {"size": 1.5},
    ],
)
def test_a_malformed_layer_is_refused(bad: dict[str, object]) -> None:
    gzip = layer("application/vnd.oci.image.layer.v1.tar+gzip") | bad
    with pytest.raises(CnbError):
        parse_image_manifest(manifest(layers=[gzip]), source="x")


def entry(platform: str | None) -> Descriptor:
    found = None if platform is None else parse_platform(platform, source="x")
    return Descriptor(media_type=MANIFEST_TYPE, digest=Digest.of(str(platform).encode()), size=1, platform=found)


@pytest.mark.parametrize(
    ("available", "wanted", "chosen"),
    [
        (["linux/arm64", "linux/amd64"], "linux/amd64", "linux/amd64"),
        (["linux/amd64/v3", "linux/amd64"], "linux/amd64", "linux/amd64"),
        (["linux/arm/v6", "linux/arm/v7"], "linux/arm/v7", "linux/arm/v7"),
        (["linux/arm64/v8"], "linux/arm64", "linux/arm64/v8"),
        (["windows/amd64"], "linux/amd64", None),
        (["linux/arm/v6"], "linux/arm/v7", None),
        ([None], "linux/amd64", None),
        ([], "linux/amd64", None),
    ],
)
def test_the_image_for_a_platform_is_found(available: list[str | None], wanted: str, chosen: str | None) -> None:
    found = choose_platform([entry(platform) for platform in available], parse_platform(wanted, source="x"))
    if available == [None]:
        # One image without a word about its platform; its config tells.
        assert found is not None
    else:
        assert (None if found is None else found.digest) == (None if chosen is None else entry(chosen).digest)


@pytest.mark.parametrize("text", ["", "linux", "linux/", "/amd64", "linux/arm/v7/x"])
def test_a_text_that_is_no_platform_is_refused(text: str) -> None:
    with pytest.raises(UnsupportedImage, match="is not a platform"):
        parse_platform(text, source="`python`")


def test_variants_fit_where_one_is_not_named() -> None:
    arm = Platform(os="linux", architecture="arm64", variant="v8")
    assert fits(arm, Platform(os="linux", architecture="arm64"))
    assert fits(Platform(os="linux", architecture="arm64"), arm)
    assert not fits(arm, Platform(os="linux", architecture="arm64", variant="v9"))


def test_errors_are_of_their_kind() -> None:
    with pytest.raises(BrokenImage):
        read_type(manifest(manifests=[]), None, source="x")
