"""Writes images for tests with nothing but the standard library: layers from entries or from a tar, layouts, archives."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_TIME_S = 1_700_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A file system entry of a layer."""

    path: str
    content: bytes = b""
    mode: int = 0o644
    owner: tuple[int, int] = (0, 0)
    kind: bytes = tarfile.REGTYPE
    target: str = ""
    """Of a link: what it points to; of a hard link: the path of the other name."""
    xattrs: Mapping[str, str] = field(default_factory=dict)


def directory(path: str, mode: int = 0o755, owner: tuple[int, int] = (0, 0)) -> Node:
    """A directory."""
    return Node(path=path, mode=mode, owner=owner, kind=tarfile.DIRTYPE)


def file(path: str, content: str | bytes, mode: int = 0o644, owner: tuple[int, int] = (0, 0)) -> Node:
    """A regular file."""
    return Node(path=path, content=content.encode() if isinstance(content, str) else content, mode=mode, owner=owner)


def link(path: str, target: str) -> Node:
    """A symbolic link."""
    return Node(path=path, mode=0o777, kind=tarfile.SYMTYPE, target=target)


def hard_link(path: str, target: str, mode: int = 0o644) -> Node:
    """Another name of a file that comes earlier in the same layer and has the same mode."""
    return Node(path=path, mode=mode, kind=tarfile.LNKTYPE, target=target)


def write_tar(path: Path, nodes: Iterable[Node]) -> Path:
    """A tar archive of `nodes`."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for node in nodes:
            info = tarfile.TarInfo(node.path)
            info.type, info.mode, info.linkname, info.mtime = node.kind, node.mode, node.target, _TIME_S
            info.uid, info.gid = node.owner
            info.size = len(node.content)
            info.pax_headers = {f"SCHILY.xattr.{name}": value for name, value in node.xattrs.items()}
            archive.addfile(info, io.BytesIO(node.content))
    return path


def write_image(target: Path, name: str, tars: Sequence[Path], config: Mapping[str, Any]) -> None:
    """Write the image with `tars` as layers, base first, as the layout `target/layout` and `target/archive.tar`.

    `config`: what the image config has under `config`. The archive, docker's, holds the image under `name`.
    """
    target.mkdir(parents=True)
    document = {
        "architecture": "amd64",
        "os": "linux",
        "created": "2023-11-14T22:13:20Z",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{_sha256(tar)}" for tar in tars]},
        "history": [{"created": "2023-11-14T22:13:20Z", "created_by": f"layer {tar.stem}"} for tar in tars],
    }
    _write_layout(target / "layout", tars, json.dumps(document).encode())
    _write_docker_archive(target / "archive.tar", name, tars, json.dumps(document).encode())


def _write_layout(layout: Path, tars: Sequence[Path], config: bytes) -> None:
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def put(content: bytes, media_type: str) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        (blobs / digest).write_bytes(content)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}

    layers = []
    for tar in tars:
        packed = blobs / "packed"
        with packed.open("wb") as raw, gzip.GzipFile("", "wb", 1, raw, mtime=0) as stream, tar.open("rb") as source:
            shutil.copyfileobj(source, stream, 2**20)
        digest = _sha256(packed)
        layers.append({"mediaType": _LAYER, "digest": f"sha256:{digest}", "size": packed.stat().st_size})
        packed.rename(blobs / digest)
    manifest = {"schemaVersion": 2, "mediaType": _MANIFEST, "config": put(config, _CONFIG), "layers": layers}
    index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": [put(json.dumps(manifest).encode(), _MANIFEST)]}
    (layout / "index.json").write_text(json.dumps(index))
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')


def _write_docker_archive(path: Path, name: str, tars: Sequence[Path], config: bytes) -> None:
    config_name = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = [{"Config": config_name, "RepoTags": [name], "Layers": [f"{_sha256(tar)}/layer.tar" for tar in tars]}]
    with tarfile.open(path, "w") as archive:
        for tar in tars:
            archive.add(tar, f"{_sha256(tar)}/layer.tar")
        for member, content in ((config_name, config), ("manifest.json", json.dumps(manifest).encode())):
            info = tarfile.TarInfo(member)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        digest = hashlib.sha256()
        while chunk := stream.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()
