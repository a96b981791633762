"""Images on a registry, put there and read with the standard library alone."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import platform
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conformance.kit import Ended, Lifecycle
from tests.lifecycle.registry.fake_registry import FakeRegistry

# Started as root for another user, programs become that user, who could not look into directories of the tests.
USER, GROUP = os.getuid(), os.getgid()
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
_MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
_CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
_LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
BASE_LABELS = {
    "io.buildpacks.base.distro.name": "debian",
    "io.buildpacks.base.distro.version": "12",
    "io.buildpacks.base.maintainer": "tests",
    "of.the.run.image": "kept",
}


@dataclass(frozen=True, slots=True)
class Platform:
    """Builds images on a registry, one program after the other, with a cache directory."""

    lifecycle: Lifecycle
    registry: FakeRegistry

    @property
    def app(self) -> str:
        """The name of the image that is built."""
        return f"{self.registry.host}/team/app:1"

    @property
    def run(self) -> str:
        """The name of the run image."""
        return f"{self.registry.host}/team/run:1"

    @property
    def cache(self) -> Path:
        """The directory of the cache."""
        return self.lifecycle.root / "cache"

    def analyze(self, *flags: str, api: str = "0.15", env: Mapping[str, str] | None = None) -> Ended:
        """Start the analyzer for the image."""
        return self.lifecycle.start("analyzer", "-run-image", self.run, *flags, self.app, api=api, env=env)

    def restore(self, *flags: str, api: str = "0.15", env: Mapping[str, str] | None = None) -> Ended:
        """Start the restorer with the cache directory."""
        return self.lifecycle.start("restorer", *self._cache_flags(), *flags, api=api, env=env)

    def export(self, *arguments: str, api: str = "0.15", env: Mapping[str, str] | None = None) -> Ended:
        """Start the exporter for the image; `arguments` are flags and further names."""
        owner = {"CNB_USER_ID": str(USER), "CNB_GROUP_ID": str(GROUP)}
        flags = (*self._cache_flags(), *arguments, self.app)
        return self.lifecycle.start("exporter", *flags, api=api, env={**owner, **(env or {})})

    def build(
        self, *groups: str, flags: tuple[str, ...] = (), api: str = "0.15", env: Mapping[str, str] | None = None
    ) -> ReadImage:
        """Return the image after all phases, in a layers directory that was empty; `flags` are the exporter's."""
        self.lifecycle.forget()
        self.prepare(*groups, api=api, env=env)
        self._must(self.lifecycle.start("builder", api=api, env=env))
        self._must(self.export(*flags, api=api, env=env))
        return self.read()

    def prepare(self, *groups: str, api: str = "0.15", env: Mapping[str, str] | None = None) -> None:
        """Run the phases before the build."""
        self._must(self.analyze(api=api, env=env))
        self._must(self.lifecycle.detect(*groups, api=api, env=env))
        self._must(self.restore(api=api, env=env))

    def read(self, name: str = "team/app:1") -> ReadImage:
        """Return an image of the registry."""
        return read_image(self.registry, name)

    def _cache_flags(self) -> tuple[str, ...]:
        self.cache.mkdir(exist_ok=True)
        return ("-cache-dir", str(self.cache))

    def _must(self, ended: Ended) -> None:
        assert ended.status == 0, ended.stdout + ended.stderr


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadImage:
    """An image as a registry has it. `layers` are uncompressed, base first."""

    digest: str
    manifest: Mapping[str, Any]
    document: Mapping[str, Any]
    layers: tuple[bytes, ...]

    @property
    def config(self) -> Mapping[str, Any]:
        """What containers of it start with."""
        found: Mapping[str, Any] = self.document["config"]
        return found

    @property
    def env(self) -> Mapping[str, str]:
        """The environment of the configuration."""
        return dict(entry.split("=", 1) for entry in self.config["Env"])

    @property
    def labels(self) -> Mapping[str, str]:
        """All labels."""
        found: Mapping[str, str] = self.config["Labels"]
        return found

    @property
    def diff_ids(self) -> Sequence[str]:
        """The diff ids of the layers, base first."""
        found: Sequence[str] = self.document["rootfs"]["diff_ids"]
        return found

    def label(self, name: str) -> Any:
        """The JSON of `io.buildpacks.<name>.metadata`."""
        return json.loads(self.labels[f"io.buildpacks.{name}.metadata"])

    def members(self, diff_id: str) -> Mapping[str, tarfile.TarInfo]:
        """The entries of a layer by absolute path."""
        content = self.layers[self.diff_ids.index(diff_id)]
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            return {f"/{info.name.strip('/')}": info for info in archive}

    def files(self) -> Mapping[str, tarfile.TarInfo]:
        """All entries of all layers by absolute path."""
        return {path: info for diff_id in self.diff_ids for path, info in self.members(diff_id).items()}

    def read(self, path: str) -> bytes:
        """The content of the file at an absolute path."""
        for content in reversed(self.layers):
            with tarfile.open(fileobj=io.BytesIO(content)) as archive:
                for info in archive:
                    if f"/{info.name.strip('/')}" == path:
                        stream = archive.extractfile(info)
                        assert stream is not None
                        return stream.read()
        raise AssertionError(f"no {path} in the image")

    def unpack(self, directory: Path) -> None:
        """Write the files of all layers below a directory; their owners do not matter."""
        for content in self.layers:
            with tarfile.open(fileobj=io.BytesIO(content)) as archive:
                for info in archive:
                    info.uid, info.gid = 0, 0
                    archive.extract(info, directory, numeric_owner=True, set_attrs=not info.issym())


def push_run_image(
    registry: FakeRegistry,
    name: str = "team/run:1",
    *,
    files: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    **keys: object,
) -> str:
    """Put a run image of two layers on a registry; its reference by digest."""
    layers = [_tar({"etc/os-release": "ID=debian\nVERSION_ID=12\n"}), _tar(files or {"usr/share/base": "1"})]
    document = {
        "architecture": ARCHITECTURE,
        "os": "linux",
        "config": {
            "User": "1001:1001",
            "Env": ["PATH=/usr/local/bin:/usr/bin:/bin", "OF_BASE=x"],
            "Cmd": ["bash"],
            "ExposedPorts": {"8080/tcp": {}},
            "Volumes": {"/data": {}},
            "StopSignal": "SIGINT",
            "Labels": BASE_LABELS if labels is None else labels,
        },
        "rootfs": {"type": "layers", "diff_ids": [_digest(layer) for layer in layers]},
        "history": [{"created_by": "base 1"}, {"created_by": "base 2"}],
        **keys,
    }
    return push(registry, name, document, layers)


def push(registry: FakeRegistry, name: str, document: Mapping[str, object], layers: Sequence[bytes]) -> str:
    """Put an image on a registry; its reference by digest."""
    blobs = [gzip.compress(layer, mtime=0) for layer in layers]
    config = json.dumps(document).encode()
    for blob in (*blobs, config):
        registry.blobs[_digest(blob)] = blob
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST_TYPE,
        "config": {"mediaType": _CONFIG_TYPE, "digest": _digest(config), "size": len(config)},
        "layers": [{"mediaType": _LAYER_TYPE, "digest": _digest(blob), "size": len(blob)} for blob in blobs],
    }
    content = json.dumps(manifest).encode()
    registry.add_manifest(content, name)
    return f"{registry.host}/{name.rpartition(':')[0]}@{_digest(content)}"


def read_image(registry: FakeRegistry, name: str) -> ReadImage:
    """Return the image that a registry has by `repository:tag`, whole."""
    content, _ = registry.manifests[name]
    manifest = json.loads(content)
    config = registry.blobs[manifest["config"]["digest"]]
    layers = tuple(gzip.decompress(registry.blobs[one["digest"]]) for one in manifest["layers"])
    document = json.loads(config)
    assert [_digest(layer) for layer in layers] == document["rootfs"]["diff_ids"]
    assert len([one for one in document["history"] if not one.get("empty_layer")]) == len(layers)
    return ReadImage(digest=_digest(content), manifest=manifest, document=document, layers=layers)


def _tar(files: Mapping[str, str]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content.encode())
            archive.addfile(info, io.BytesIO(content.encode()))
    return stream.getvalue()


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
