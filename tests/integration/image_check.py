"""Whether an image is whole and as the OCI image specification wants it, in the opinion of tools and schemas of others."""

from __future__ import annotations

import functools
import gzip
import hashlib
import json
import subprocess
import tarfile
from pathlib import Path
from typing import IO, Any, Protocol, cast

import jsonschema
import pytest
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4

from tests.integration.image_files import LayoutImage, blob, read_layout

# From the Debian package golang-github-opencontainers-image-spec-dev.
_SCHEMAS = Path("/usr/share/gocode/src/github.com/opencontainers/image-spec/schema")


class Reader(Protocol):
    """What a file and a decompressed file have in common."""

    def read(self, size: int, /) -> bytes: ...


def validate_image(layout: Path, tag: str | None = None) -> LayoutImage:
    """The image that pybuild wrote into `layout`, every JSON document, digest, size and layer of which was checked."""
    image = validate_foreign_image(layout, tag)
    for path in image.layers:
        _check_gzip_header(path)
    return image


def validate_foreign_image(layout: Path, tag: str | None = None) -> LayoutImage:
    """The same for an image that another tool wrote."""
    image = read_layout(layout, tag)
    _check_schema("image-layout-schema.json", (layout / "oci-layout").read_bytes())
    _check_schema("image-index-schema.json", (layout / "index.json").read_bytes())
    _check_schema("image-manifest-schema.json", blob(layout, image.digest).read_bytes())
    _check_schema("config-schema.json", blob(layout, image.manifest["config"]["digest"]).read_bytes())
    descriptors = [image.manifest["config"], *image.manifest["layers"]]
    for descriptor in descriptors:
        assert blob(layout, descriptor["digest"]).stat().st_size == descriptor["size"]
    for path in (layout / "blobs" / "sha256").iterdir():
        with path.open("rb") as stream:
            assert _sha256(stream) == path.name
    known = {image.digest, *(descriptor["digest"] for descriptor in descriptors)}
    index = json.loads((layout / "index.json").read_text())
    if {entry["digest"] for entry in index["manifests"]} == {image.digest}:
        stray = {path.name for path in (layout / "blobs/sha256").iterdir()} - {name.split(":")[1] for name in known}
        assert not stray, "blobs that no manifest names"
    diff_ids = image.config["rootfs"]["diff_ids"]
    assert len(diff_ids) == len(image.layers)
    for path, diff_id in zip(image.layers, diff_ids, strict=True):
        _check_layer(path, diff_id)
    filled = [entry for entry in image.config.get("history", []) if not entry.get("empty_layer")]
    assert len(filled) in (0, len(diff_ids)), "history and layers do not correspond"
    return image


def check_with_tools(location: str, scratch: Path) -> dict[str, Any]:
    """What skopeo says of the image at `location`, after skopeo could copy and umoci unpack it."""
    inspected = run_tool("skopeo", "inspect", location)
    scratch.mkdir()
    layout = scratch / "copied"
    run_tool("skopeo", "copy", "--quiet", location, f"oci:{layout}:copy")
    validate_foreign_image(layout)
    run_tool("umoci", "unpack", "--rootless", "--image", f"{layout}:copy", str(scratch / "unpacked"))
    assert (scratch / "unpacked" / "rootfs" / "workspace").is_dir()
    return cast("dict[str, Any]", json.loads(inspected))


def run_tool(*command: str) -> str:
    """Standard output of a program, which must succeed."""
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{' '.join(command)} ended with {result.returncode}:\n{result.stderr}"
    return result.stdout


def _check_layer(path: Path, diff_id: str) -> None:
    with gzip.open(path) as stream:
        assert f"sha256:{_sha256(stream)}" == diff_id
    names: set[str] = set()
    with gzip.open(path) as stream, tarfile.open(fileobj=cast("IO[bytes]", stream), mode="r|") as archive:
        for entry in archive:
            name = entry.name.strip("/")
            assert name not in names, f"{name} stands twice in one layer"
            assert ".." not in name.split("/")
            names.add(name)


def _check_gzip_header(path: Path) -> None:
    """No time and no file name (RFC 1952): they would differ from one build to the next."""
    with path.open("rb") as stream:
        header = stream.read(10)
    assert header[:2] == b"\x1f\x8b"
    assert header[4:8] == b"\0\0\0\0"
    assert header[3] == 0


def _sha256(stream: Reader) -> str:
    digest = hashlib.sha256()
    while chunk := stream.read(2**20):
        digest.update(chunk)
    return digest.hexdigest()


def _check_schema(name: str, document: bytes) -> None:
    schema, registry = _schemas()
    jsonschema.Draft4Validator(schema[name], registry=registry).validate(json.loads(document))


@functools.cache
def _schemas() -> tuple[dict[str, Any], Registry[Any]]:
    if not _SCHEMAS.is_dir():
        pytest.fail(f"{_SCHEMAS} is missing: install golang-github-opencontainers-image-spec-dev")
    schemas = {path.name: json.loads(path.read_text()) for path in _SCHEMAS.glob("*.json")}
    # The documents refer to each other by file name, relative to ids that lie in two directories.
    resources = [
        (base + name, Resource.from_contents(schema, default_specification=DRAFT4))
        for name, schema in schemas.items()
        for base in ("https://opencontainers.org/schema/", "https://opencontainers.org/schema/image/")
    ]
    return schemas, Registry().with_resources(resources)
