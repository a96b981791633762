from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lifecycle.cnb.errors import CnbError, InvalidValue, render_error
from lifecycle.cnb.recipe import RecipeImage
from lifecycle.cnb.reference import Reference
from lifecycle.cnb.target import host_architecture
from lifecycle.oci.config import ImageConfig
from lifecycle.oci.errors import ImageNotFound
from lifecycle.oci.image import Image, make_image
from lifecycle.oci.layout_writer import open_layout
from lifecycle.registry.credentials import Login
from lifecycle.registry.errors import LoginNeeded, NoSuchImage, PlatformMissing
from pybuild.base_images import BaseImages, BaseMismatch, BaseNotAllowed, BaseUnavailable, is_allowed
from pybuild.image_store import ImageStore, read_any_image
from tests.lifecycle.exporters.writing import write_to
from tests.lifecycle.oci.images import content_of, file_layer, validate_image
from tests.lifecycle.registry.fake_registry import ALICE_PAIR, FakeRegistry, client_for
from tests.pybuild.recording_log import RecordingLog


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as started:
        yield started


@pytest.fixture
def log() -> RecordingLog:
    return RecordingLog()


@pytest.fixture
def images(tmp_path: Path, log: RecordingLog) -> ImageStore:
    return ImageStore(tmp_path / "store", client_for(), log)


def image_with(directory: Path, content: str, *, architecture: str | None = None) -> Image:
    config = ImageConfig(architecture=architecture or host_architecture(), os="linux", env=("PATH=/bin",))
    return make_image(
        config, [file_layer(directory / "made", {"content": content}), file_layer(directory / "made", {"b": "2"})]
    )


@pytest.fixture
def image(tmp_path: Path) -> Image:
    return image_with(tmp_path, "1")


def layout(directory: Path, image: Image, *tags: str) -> str:
    with open_layout(directory) as writer:
        writer.add(image)
        writer.tag(image, tags)
    return f"oci:{directory}"


def content(image: Image) -> bytes:
    return content_of(image.layers[0], "content")


def test_an_image_comes_from_its_registry(
    registry: FakeRegistry, images: ImageStore, image: Image, log: RecordingLog
) -> None:
    name = registry.add(image, "team/base:1")
    found = BaseImages(images=images).fetch(name)
    assert (found.name, found.digest, found.origin) == (name, image.digest, f"docker://{name}")
    validate_image(found.image)
    size = sum(layer.descriptor.size for layer in image.layers)
    assert log.lines == [f"step pulling {name} ({size / 1e6:.1f} MB)"]
    # And the next time without a word.
    assert BaseImages(images=images).fetch(name) == found
    assert len(log.lines) == 1


def test_a_tag_is_asked_for_in_every_build(
    registry: FakeRegistry, images: ImageStore, image: Image, tmp_path: Path
) -> None:
    name = registry.add(image, "team/base:1")
    bases = BaseImages(images=images)
    assert content(bases.fetch(name).image) == b"1"
    other = image_with(tmp_path, "2")
    registry.add(other, "team/base:1")
    assert content(bases.fetch(name).image) == b"2"
    pinned = bases.fetch(f"{name}@{image.digest}")
    assert content(pinned.image) == b"1"
    assert pinned.digest == image.digest


@pytest.mark.parametrize(
    "name", ["python:3.11", "docker.io/library/python:3.11", "index.docker.io/library/python:3.11"]
)
def test_a_place_on_this_machine_goes_before_the_registry(
    images: ImageStore, image: Image, tmp_path: Path, name: str
) -> None:
    location = layout(tmp_path / "layout", image)
    found = BaseImages(images=images, locations={"python:3.11": location}).fetch(name)
    assert (found.name, found.digest, found.origin) == ("docker.io/library/python:3.11", image.digest, location)
    assert content(found.image) == b"1"


def test_a_mirror_goes_before_the_registry(
    registry: FakeRegistry, images: ImageStore, image: Image, tmp_path: Path
) -> None:
    mirror = registry.add(image, "mirror/python:3.11")
    bases = BaseImages(images=images, locations={"python:3.11": f"docker://{mirror}"})
    found = bases.fetch("python:3.11")
    assert (found.name, found.origin) == ("docker.io/library/python:3.11", f"docker://{mirror}")
    # A pinned digest is asked of the mirror, whatever its tag is by now.
    registry.add(image_with(tmp_path, "2"), "mirror/python:3.11")
    assert content(bases.fetch(f"python:3.11@{image.digest}").image) == b"1"


@pytest.mark.parametrize("transport", ["oci-archive", "docker-archive"])
def test_an_archive_is_read_once(
    images: ImageStore, image: Image, tmp_path: Path, log: RecordingLog, transport: str
) -> None:
    path = tmp_path / "image.tar"
    location = f"{transport}:{path}"
    write_to(image, location)
    bases = BaseImages(images=images, locations={"base": location})
    first = bases.fetch("base")
    validate_image(first.image)
    assert content(first.image) == b"1"
    assert log.lines == [f"step reading {location}"]
    assert bases.fetch("base") == first
    assert len(log.lines) == 1
    assert not list((tmp_path / "store" / "images").glob("archive-*"))
    # What it became is damaged: it is read again.
    first.image.layers[0].path.write_bytes(b"")
    validate_image(bases.fetch("base").image)
    assert len(log.lines) == 2
    # Another archive in its place
    path.unlink()
    write_to(image_with(tmp_path, "2"), location)
    assert content(bases.fetch("base").image) == b"2"
    path.unlink()
    with pytest.raises(ImageNotFound, match="does not exist"):
        bases.fetch("base")


def test_the_builder_s_own_images_need_no_registry(images: ImageStore, image: Image) -> None:
    bases = BaseImages(images=images, own={"pybuild/run:bookworm": image}, allowed=())
    found = bases.fetch("pybuild/run:bookworm")
    assert (found.name, found.digest, found.origin) == ("docker.io/pybuild/run:bookworm", image.digest, "the builder")
    assert bases.fetch(f"pybuild/run:bookworm@{image.digest}").image == image


def test_a_pinned_digest_must_be_that_of_the_given_image(images: ImageStore, image: Image, tmp_path: Path) -> None:
    pinned = f"python:3.11@sha256:{'0' * 64}"
    bases = BaseImages(
        images=images, locations={"python:3.11": layout(tmp_path / "layout", image)}, own={"run:1": image}
    )
    with pytest.raises(BaseMismatch, match=r"the image at oci:.* is not that one, but sha256:"):
        bases.fetch(pinned)
    with pytest.raises(BaseMismatch, match="the image at the builder is not that one"):
        bases.fetch(f"run:1@sha256:{'0' * 64}")


def test_a_digest_without_a_tag_is_no_name_that_a_place_was_given_for(
    registry: FakeRegistry, images: ImageStore, image: Image, tmp_path: Path
) -> None:
    registry.add(image, "team/base:latest")
    location = layout(tmp_path / "layout", image_with(tmp_path, "2"))
    name = f"{registry.host}/team/base@{image.digest}"
    found = BaseImages(images=images, locations={f"{registry.host}/team/base": location}).fetch(name)
    assert content(found.image) == b"1"


def test_the_platform_must_be_that_of_the_image(registry: FakeRegistry, images: ImageStore, tmp_path: Path) -> None:
    other = "s390x"
    image = image_with(tmp_path, "1", architecture=other)
    location = layout(tmp_path / "layout", image)
    bases = BaseImages(images=images, locations={"base": location}, own={"own": image})
    for name in ("base", "own", registry.add(image)):
        with pytest.raises(PlatformMissing, match=f"is not made for linux/{host_architecture()}") as caught:
            bases.fetch(name)
        assert caught.value.available == ("linux/s390x",)
        assert content(bases.fetch(name, platform="linux/s390x").image) == b"1"
    with pytest.raises(CnbError, match="is not a platform"):
        bases.fetch("base", platform="s390x")


PATTERNS = ("docker.io/library/*", "registry.example.org/team/*:*", "registry.example.org/one:1.*")
DIGEST = f"sha256:{'a' * 64}"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("python", True),
        ("python:3.11", True),
        (f"python@{DIGEST}", True),
        (f"python:3.11@{DIGEST}", True),
        ("docker.io/other/python", False),
        ("registry.example.org/team/a", True),
        (f"registry.example.org/team/a@{DIGEST}", True),
        ("registry.example.org/teams/a:1", False),
        ("registry.example.org/one:1.5", True),
        ("registry.example.org/one:2.5", False),
        ("registry.example.org/one", False),
        # The tag is no tag of what the digest names.
        (f"registry.example.org/one:1.5@{DIGEST}", False),
        ("evil.org/docker.io/library/python", False),
        ("registry.example.org:5000/team/a", False),
        ("registry-example.org/team/a", False),
    ],
)
def test_names_are_compared_with_patterns_whole(name: str, expected: bool) -> None:
    assert is_allowed(Reference.parse(name), PATTERNS) is expected


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("*", "python", True),
        ("registry.example.org/base:*", f"registry.example.org/base@{DIGEST}", True),
        ("registry.example.org/base:*", f"registry.example.org/base:1@{DIGEST}", True),
        ("registry.example.org/base:1", f"registry.example.org/base:1@{DIGEST}", False),
        (f"registry.example.org/base@{DIGEST}", f"registry.example.org/base:1@{DIGEST}", True),
        ("docker.io/library/[a-z]*", "python", False),
        ("docker.io/library/pytho?:latest", "python", False),
        ("python:latest", "python", False),
        ("", "python", False),
        ("docker.io/*/python:latest", "python", True),
        ("docker.io/*/*:latest", "python", True),
        ("docker.io/library/python:latest*latest", "python", False),
        ("*latest*", "python", True),
        ("**", "python", True),
        ("*" * 40 + "x", "python:" + "a" * 120, False),
    ],
)
def test_a_star_stands_for_anything_and_nothing_else_does(pattern: str, name: str, expected: bool) -> None:
    started = time.monotonic()
    assert is_allowed(Reference.parse(name), [pattern]) is expected
    assert time.monotonic() - started < 1


def recipe_image(name: str, line: int) -> RecipeImage:
    return RecipeImage(name=name, written=name, line=line, local=f"pybuild.invalid/{line}")


def test_what_is_not_allowed_is_told_before_anything_is_fetched(
    registry: FakeRegistry, images: ImageStore, image: Image
) -> None:
    name = registry.add(image, "team/base:1")
    bases = BaseImages(images=images, allowed=[f"{registry.host}/team/*", "docker.io/library/*"])
    wanted = [recipe_image(name, 1), recipe_image("evil.org/a:1", 5), recipe_image("docker.io/x/y:2", 9)]
    with pytest.raises(BaseNotAllowed) as caught:
        bases.fetch_all(wanted, dockerfile="docker/Dockerfile")
    assert render_error(caught.value) == (
        "error: docker/Dockerfile:5: this builder does not allow the base image `evil.org/a:1`, and 1 more\n"
        "  docker/Dockerfile:9  `docker.io/x/y:2`\n"
        f"  allowed              `{registry.host}/team/*`, `docker.io/library/*`\n"
        "hint: start from an image that is allowed, or let the operator of the builder add this one to `allow-bases` in "
        "`[pybuild.dockerfile]` of builder.toml"
    )
    assert caught.value.exit_code == 3
    assert registry.requests == []
    [found] = bases.fetch_all(wanted[:1], dockerfile="Dockerfile")
    assert found.image.digest == image.digest
    with pytest.raises(BaseNotAllowed, match=r"^this builder does not allow the base image `evil\.org/a:latest`$"):
        bases.fetch("evil.org/a")
    with pytest.raises(BaseNotAllowed) as caught:
        BaseImages(images=images, allowed=[]).fetch(name)
    assert dict(caught.value.facts) == {"allowed": "none but the builder's own"}


def test_a_place_for_a_name_does_not_allow_it(images: ImageStore, image: Image, tmp_path: Path) -> None:
    location = layout(tmp_path / "layout", image)
    bases = BaseImages(images=images, locations={"evil.org/a": location}, allowed=["docker.io/library/*"])
    with pytest.raises(BaseNotAllowed):
        bases.fetch("evil.org/a")


def test_an_error_names_the_line(registry: FakeRegistry, images: ImageStore) -> None:
    registry.login = ALICE_PAIR
    name = f"{registry.host}/team/base:1"
    with pytest.raises(BaseUnavailable) as caught:
        BaseImages(images=images).fetch_all([recipe_image(name, 3)], dockerfile="Dockerfile")
    assert caught.value.summary.startswith(f"Dockerfile:3: `{name}`: the registry {registry.host} wants credentials")
    assert isinstance(caught.value.error, LoginNeeded)
    assert caught.value.exit_code == 32
    assert caught.value.hint == caught.value.error.hint


def test_a_name_that_is_none(images: ImageStore) -> None:
    with pytest.raises(InvalidValue):
        BaseImages(images=images).fetch("Not A Name")


def test_a_registry_that_cannot_be_reached_is_done_without(
    registry: FakeRegistry, images: ImageStore, image: Image, log: RecordingLog
) -> None:
    name = registry.add(image, "team/base:1")
    bases = BaseImages(images=images)
    found = bases.fetch(name)
    log.lines.clear()
    registry.hooks.append(lambda exchange: exchange.answer(503))
    assert bases.fetch(name).image == found.image
    assert log.lines[0] == f"warning {registry.host} answers with status 503; trying again in 2 seconds"
    assert "answers with status 503, after 2 attempts; taking what" in log.lines[1]
    assert str(image.digest) in log.lines[1]
    assert len(log.lines) == 2


def test_what_was_never_fetched_cannot_be_taken_instead(
    registry: FakeRegistry, images: ImageStore, image: Image, tmp_path: Path
) -> None:
    name = registry.add(image, "team/base:1")
    bases = BaseImages(images=images)
    found = bases.fetch(name)
    registry.hooks.append(lambda exchange: exchange.answer(429))
    with pytest.raises(CnbError, match="rate limited"):
        bases.fetch(f"{registry.host}/team/base:2")
    found.image.layers[0].path.unlink()
    with pytest.raises(CnbError, match="rate limited"):
        bases.fetch(name)


def test_an_image_that_was_removed_is_not_taken_from_the_store(
    registry: FakeRegistry, images: ImageStore, image: Image
) -> None:
    name = registry.add(image, "team/base:1")
    bases = BaseImages(images=images)
    bases.fetch(name)
    registry.manifests.clear()
    with pytest.raises(NoSuchImage):
        bases.fetch(name)
    registry.login = ALICE_PAIR
    with pytest.raises(LoginNeeded):
        bases.fetch(name)


def test_a_damaged_note_is_no_obstacle(
    registry: FakeRegistry, images: ImageStore, image: Image, tmp_path: Path
) -> None:
    name = registry.add(image, "team/base:1")
    bases = BaseImages(images=images)
    bases.fetch(name)
    for text in ("", "[]", "{}", '{"digest": 5}', '{"digest": "sha256:../x"}', "[" * 100_000):
        for note in (tmp_path / "store" / "images" / "names").iterdir():
            note.write_text(text)
        assert bases.fetch(name).image.digest == image.digest


def test_unused_images_are_forgotten_when_others_are_fetched(
    registry: FakeRegistry, images: ImageStore, image: Image, tmp_path: Path
) -> None:
    bases = BaseImages(images=images)
    old = bases.fetch(registry.add(image, "team/base:1")).image
    kept = bases.fetch(registry.add(image_with(tmp_path, "2"), "team/base:2")).image
    for path in (tmp_path / "store").rglob("*"):
        if path.is_file():
            os.utime(path, (0, 0))
    bases.fetch(f"{registry.host}/team/base:2")
    bases.fetch(registry.add(image_with(tmp_path, "3"), "team/base:3"))
    assert not old.layers[0].path.exists()
    validate_image(kept)


def test_any_image_can_be_read(registry: FakeRegistry, images: ImageStore, image: Image, tmp_path: Path) -> None:
    name = registry.add(image)
    location = layout(tmp_path / "layout", image)
    for place in (f"docker://{name}", location):
        assert read_any_image(place, images=images, scratch=tmp_path).digest == image.digest
    with pytest.raises(InvalidValue):
        read_any_image("dir:/x", images=images, scratch=tmp_path)


def test_credentials_are_those_of_the_name(registry: FakeRegistry, image: Image, tmp_path: Path) -> None:
    registry.login = ("team", "secret")
    name = registry.add(image)
    login = Login(origin="x", username="team", password="secret")
    store = ImageStore(tmp_path / "store", client_for(login=login), RecordingLog())
    assert BaseImages(images=store).fetch(name).image.digest == image.digest
