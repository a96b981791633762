from __future__ import annotations

import pytest

from lifecycle.cnb.errors import InvalidValue
from lifecycle.cnb.reference import Reference

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("busybox", "docker.io/library/busybox"),
        ("busybox:1.36", "docker.io/library/busybox:1.36"),
        ("user/image", "docker.io/user/image"),
        ("index.docker.io/library/busybox", "docker.io/library/busybox"),
        ("localhost/image", "localhost/image"),
        ("localhost:5000/image:tag", "localhost:5000/image:tag"),
        ("[::1]:5000/image", "[::1]:5000/image"),
        ("ghcr.io/a/b/c:v1", "ghcr.io/a/b/c:v1"),
        (f"ghcr.io/a/b:v1@{DIGEST}", f"ghcr.io/a/b:v1@{DIGEST}"),
        ("Registry.example/a__b/c--d", "Registry.example/a__b/c--d"),
        ("image:" + "t" * 128, "docker.io/library/image:" + "t" * 128),
    ],
)
def test_references_are_spelled_out(text: str, full: str) -> None:
    assert str(Reference.parse(text)) == full
    assert Reference.parse(full) == Reference.parse(text)


@pytest.mark.parametrize(
    "text",
    ["", ":", "image:", "image@", "Image", "a/B", "a//b", "/a", "a/", "image:-tag", "image:" + "t" * 129, "a___b", "-a", "é",
     "image@sha256:abc", "a b", "a" * 256, "http://host/a", "image\n"],
)  # fmt: skip
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue):
        Reference.parse(text)


def test_the_default_tag_is_latest() -> None:
    assert str(Reference.parse("a").with_default_tag()) == "docker.io/library/a:latest"
    assert Reference.parse(f"a@{DIGEST}").with_default_tag().tag is None
