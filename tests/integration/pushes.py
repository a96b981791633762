"""Pushes through a proxy into repositories whose tag names another image before."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lifecycle.cnb.reference import Reference
from lifecycle.oci.image import Image
from lifecycle.registry.errors import RegistryError
from lifecycle.registry.push import Uploaded, put_image, upload_blobs
from lifecycle.registry.settings import RegistrySettings
from tests.integration.fault_proxy import FaultProxy
from tests.integration.registry import Registry
from tests.lifecycle.oci.images import file_layer, image_of
from tests.lifecycle.registry.fake_registry import ALICE, Waits, client_for

_numbers = itertools.count()


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """What a tag names before a push, and what it should name after it."""

    old: Image
    new: Image


@dataclass
class Place:
    """A repository of a registry behind a proxy."""

    registry: Registry
    proxy: FaultProxy
    images: Images
    name: str = field(default_factory=lambda: f"team/app{next(_numbers)}")

    def push(
        self,
        image: Image | None = None,
        *,
        host: str | None = None,
        waits: Waits | None = None,
        settings: RegistrySettings | None = None,
        mount_from: str | None = None,
    ) -> Uploaded:
        """Push `image`, or else the new one, through the proxy."""
        client = client_for(login=ALICE, waits=waits, settings=settings)
        host = host or self.proxy.host
        reference = Reference.parse(f"{host}/{self.name}:1")
        sources = [] if mount_from is None else [Reference.parse(f"{host}/{mount_from}:1")]
        image = image or self.images.new
        try:
            done = upload_blobs(client, reference, image, mount_from=sources)
            return done + put_image(client, [reference], image)
        finally:
            client.close()

    def succeed(self, *, waits: Waits | None = None, is_used: bool = True) -> Uploaded:
        """What a push says that must succeed, after every fault has happened."""
        done = self.push(waits=waits)
        assert self.proxy.is_done or not is_used
        assert self.digest() == self.images.new.digest.hex
        return done

    def fail(self, *errors: type[RegistryError], settings: RegistrySettings | None = None) -> RegistryError:
        """The error of a push that must fail; the tag names a whole image, and the next push succeeds."""
        with pytest.raises(errors) as caught:
            self.push(settings=settings)
        assert caught.value.exit_code == 62
        assert caught.value.image == f"{self.proxy.host}/{self.name}:1"
        assert self.digest() in (self.images.old.digest.hex, self.images.new.digest.hex)
        self.proxy.relent()
        self.push()
        assert self.digest() == self.images.new.digest.hex
        return caught.value

    def digest(self) -> str:
        """Of the image that the tag names, all of which is there: the opinion of nobody but the registry."""
        manifest = self._get("manifests/1")
        document = json.loads(manifest)
        for part in (document["config"], *document["layers"]):
            content = self._get(f"blobs/{part['digest']}")
            assert (len(content), f"sha256:{hashlib.sha256(content).hexdigest()}") == (part["size"], part["digest"])
        return hashlib.sha256(manifest).hexdigest()

    def _get(self, path: str) -> bytes:
        accepted = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
        request = urllib.request.Request(f"http://{self.registry.host}/v2/{self.name}/{path}", headers=accepted)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=60) as response:
            content: bytes = response.read()
        return content


def make_images(directory: Path) -> Images:
    """An old image, and a new one with layers that are sent with a single request and one that is sent in parts."""
    sizes = {"small": 1, "middle": 150_000, "large": 1_500_000}
    layers = [file_layer(directory, {name: os.urandom(size).hex()}) for name, size in sizes.items()]
    return Images(old=image_of(file_layer(directory, {"old": "1"})), new=image_of(*layers))
