"""Artifacts on their way to a registry and back, and lists of tags."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest

from lifecycle.cnb.reference import Reference
from lifecycle.oci.artifact import ArtifactFile, make_artifact
from lifecycle.oci.errors import BlobMismatch, UnsupportedImage
from lifecycle.registry.artifacts import fetch_artifact, list_tags, push_artifact
from lifecycle.registry.client import RegistryClient
from tests.lifecycle.registry.fake_registry import Exchange, FakeRegistry, client_for

ARTIFACT = make_artifact(
    "application/vnd.example.notes",
    [
        ArtifactFile(name="a.txt", media_type="text/plain", content=b"first"),
        ArtifactFile(name="same.txt", media_type="text/plain", content=b"first"),
        ArtifactFile(name="b.json", media_type="application/json", content=b"{}"),
    ],
    annotations={"org.opencontainers.image.version": "1"},
)


@pytest.fixture
def client() -> Iterator[RegistryClient]:
    made = client_for()
    yield made
    made.close()


def reference(registry: FakeRegistry, tag: str = "1") -> Reference:
    return Reference.parse(f"{registry.host}/team/notes:{tag}")


def test_an_artifact_comes_back_as_it_went(registry: FakeRegistry, client: RegistryClient) -> None:
    assert fetch_artifact(client, reference(registry)) is None
    assert push_artifact(client, reference(registry), ARTIFACT) == ARTIFACT.digest
    assert fetch_artifact(client, reference(registry)) == ARTIFACT
    by_digest = Reference.parse(f"{registry.host}/team/notes@{ARTIFACT.digest}")
    assert fetch_artifact(client, by_digest) == ARTIFACT
    assert ARTIFACT.file("same.txt") == b"first"
    assert ARTIFACT.file("other.txt") is None


def test_a_registry_that_lies_about_files_is_sent_them(registry: FakeRegistry, client: RegistryClient) -> None:
    registry.before("/blobs/sha256", *[lambda exchange: exchange.answer(200)] * 3, method="HEAD")
    push_artifact(client, reference(registry), ARTIFACT)
    assert fetch_artifact(client, reference(registry)) == ARTIFACT


def test_files_that_are_not_what_the_manifest_says_are_refused(registry: FakeRegistry, client: RegistryClient) -> None:
    push_artifact(client, reference(registry), ARTIFACT)
    registry.blobs[str(ARTIFACT.files[0].descriptor.digest)] = b"other"
    with pytest.raises(BlobMismatch):
        fetch_artifact(client, reference(registry))


def test_an_image_is_no_artifact(registry: FakeRegistry, client: RegistryClient) -> None:
    document = json.loads(ARTIFACT.manifest_bytes)
    del document["artifactType"]
    registry.add_manifest(json.dumps(document).encode(), "team/notes:1")
    with pytest.raises(UnsupportedImage, match="no artifact"):
        fetch_artifact(client, reference(registry))


def test_a_list_of_tags_may_come_in_pages(registry: FakeRegistry, client: RegistryClient) -> None:
    pages = {"": ["a", "b"], "b": ["c"], "c": None}

    def answer(exchange: Exchange) -> bool:
        last = parse_qs(urlsplit(exchange.path).query).get("last", [""])[0]
        tags = pages[last]
        # As another host than the registry's own, which is not to be asked.
        link = (
            {} if not tags else {"Link": f'<http://elsewhere.example/v2/x/tags/list?n=2&last={tags[-1]}>; rel="next"'}
        )
        return exchange.answer(200, json.dumps({"name": "team/notes", "tags": tags}).encode(), **link)

    registry.always("/v2/team/notes/tags/list", answer)
    assert sorted(list_tags(client, reference(registry))) == ["a", "b", "c"]


def test_a_repository_that_is_not_there_has_no_tags(registry: FakeRegistry, client: RegistryClient) -> None:
    assert list_tags(client, reference(registry)) == ()
