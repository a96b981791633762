"""Buildpacks from directories, archives and images, with the real bubblewrap around the unpacking."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import tarfile
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from lifecycle.cnb.deadline import Deadline
from lifecycle.cnb.errors import CnbError
from lifecycle.oci.image import Image
from pybuild.builder import buildpack_source
from pybuild.builder.buildpack_source import BUILDPACKAGE_LABEL, BuildpackFinder, FoundBuildpacks
from pybuild.errors import SettingsError
from tests.lifecycle.exporters.writing import write_to
from tests.lifecycle.oci.images import file_layer, image_of, member, tar_layer
from tests.lifecycle.registry.fake_registry import FakeRegistry
from tests.pybuild.recording_log import RecordingLog

pytestmark = pytest.mark.integration


SCRIPT = "#!/bin/sh\n"


def descriptor(name: str = "demo/hello", version: str = "1.2.3", rest: str = "") -> str:
    return f'api = "0.10"\n[buildpack]\nid = "{name}"\nversion = "{version}"\n{rest}'


def find(text: str, tmp_path: Path) -> FoundBuildpacks:
    log = RecordingLog()
    env = {"PATH": "/usr/bin:/bin"}
    finder = BuildpackFinder(store=tmp_path / "store", log=log, env=env, deadline=Deadline.after(600))
    return finder.find(text, relative_to=tmp_path)


def write_buildpack(directory: Path, toml: str | None = None) -> Path:
    (directory / "bin").mkdir(parents=True)
    (directory / "buildpack.toml").write_text(toml or descriptor())
    for name in ("detect", "build"):
        (directory / "bin" / name).write_text(SCRIPT)
        (directory / "bin" / name).chmod(0o775)
    return directory


def write_tar(path: Path, members: Mapping[str, str | tuple[bytes, str]], mode: str = "w:gz") -> Path:
    """Members by name: the text of a file, or the kind of a link and its target."""
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in members.items():
            if isinstance(content, tuple):
                archive.addfile(member(name, kind=content[0], link=content[1]))
                continue
            info = member(name, mode=0o775 if content == SCRIPT else 0o664)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content.encode()))
    return path


def buildpackage(tmp_path: Path, files: Mapping[str, str], label: Mapping[str, str] | None = None) -> Image:
    layer = file_layer(tmp_path / "blobs", files)
    return image_of(layer, labels=None if label is None else {BUILDPACKAGE_LABEL: json.dumps(label)})


def write_layout_archive(path: Path, image: Image) -> Path:
    write_to(image, f"oci-archive:{path}")
    return path


def test_a_directory_is_taken_where_it_is(tmp_path: Path) -> None:
    write_buildpack(tmp_path / "hello")
    (found,) = find("hello", tmp_path).buildpacks
    assert (str(found), found.directory) == ("demo/hello@1.2.3", (tmp_path / "hello").resolve())
    assert find(f"file://{tmp_path}/hello", tmp_path).buildpacks[0].directory == found.directory


@pytest.mark.parametrize("above", ["", "./", "hello-1.2.3/"])
def test_an_archive_has_its_buildpack_at_the_top_or_in_its_only_directory(above: str, tmp_path: Path) -> None:
    write_tar(
        tmp_path / "hello.tgz",
        {
            f"{above}buildpack.toml": descriptor(),
            f"{above}bin/build": SCRIPT,
            f"{above}bin/detect": (tarfile.SYMTYPE, "build"),
        },
    )
    (found,) = find("hello.tgz", tmp_path).buildpacks
    assert str(found) == "demo/hello@1.2.3"
    assert found.directory.is_relative_to(tmp_path / "store" / "buildpacks")
    assert (found.directory / "bin/build").stat().st_mode & 0o777 == 0o755
    assert (found.directory / "buildpack.toml").stat().st_mode & 0o777 == 0o644
    assert (found.directory / "bin/detect").readlink() == Path("build")


def test_an_archive_is_unpacked_once_wherever_it_lies_until_it_changes(tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "hello.tgz", {"buildpack.toml": descriptor()})
    first = find("hello.tgz", tmp_path).buildpacks[0].directory
    shutil.copyfile(archive, tmp_path / "copy.tgz")
    assert find("copy.tgz", tmp_path).buildpacks[0].directory == first
    write_tar(archive, {"buildpack.toml": descriptor(version="1.2.4"), "more": "x" * 5000})
    assert find("hello.tgz", tmp_path).buildpacks[0].version == "1.2.4"


@pytest.mark.parametrize("form", ["hello.cnb", "oci-archive:hello.cnb", "oci:layout", "docker-archive:saved.tar"])
def test_the_buildpack_that_an_image_says_it_is_comes_before_what_it_is_made_of(form: str, tmp_path: Path) -> None:
    whole = descriptor("demo/whole", "2.0.0", '[[order]]\n[[order.group]]\nid = "demo/hello"\nversion = "1.2.3"\n')
    files = {
        "cnb/buildpacks/demo_hello/1.2.3/buildpack.toml": descriptor(),
        "cnb/buildpacks/demo_whole/2.0.0/buildpack.toml": whole,
    }
    image = buildpackage(tmp_path, files, {"id": "demo/whole", "version": "2.0.0"})
    write_layout_archive(tmp_path / "hello.cnb", image)
    write_to(image, f"oci:{tmp_path}/layout", f"docker-archive:{tmp_path}/saved.tar", tags=("demo/whole:2",))
    found = find(form, tmp_path)
    assert [str(one) for one in found.buildpacks] == ["demo/whole@2.0.0", "demo/hello@1.2.3"]
    assert all((one.directory / "buildpack.toml").is_file() for one in found.buildpacks)


def test_an_image_of_a_registry_is_unpacked_once_for_what_its_name_stands_for(tmp_path: Path) -> None:
    def image(version: str) -> Image:
        files = {f"cnb/buildpacks/demo_hello/{version}/buildpack.toml": descriptor(version=version)}
        return buildpackage(tmp_path, files, {"id": "demo/hello", "version": version})

    with FakeRegistry() as registry:
        registry.add(image("1.2.3"), "team/hello:1")
        name = f"docker://{registry.host}/team/hello:1"
        first = find(name, tmp_path).buildpacks[0]
        assert find(name, tmp_path).buildpacks[0].directory == first.directory
        blobs = [path for path in registry.paths() if "/blobs/" in path]
        assert len(blobs) == len(set(blobs))
        registry.add(image("1.2.4"), "team/hello:1")
        assert str(find(name, tmp_path).buildpacks[0]) == "demo/hello@1.2.4"
        # Nothing waits for the end of a build that is over.
        for thread in threading.enumerate():
            if isinstance(thread, threading.Timer):
                thread.join(5)
                assert not thread.is_alive()


def test_without_a_label_an_image_is_the_buildpack_that_no_other_is_made_of(tmp_path: Path) -> None:
    whole = descriptor("demo/a-whole", "2.0.0", '[[order]]\n[[order.group]]\nid = "demo/hello"\nversion = "1.2.3"\n')
    files = {
        "cnb/buildpacks/demo_hello/1.2.3/buildpack.toml": descriptor(),
        "cnb/buildpacks/demo_a-whole/2.0.0/buildpack.toml": whole,
    }
    write_layout_archive(tmp_path / "whole.cnb", buildpackage(tmp_path, files))
    assert str(find("whole.cnb", tmp_path).buildpacks[0]) == "demo/a-whole@2.0.0"
    files["cnb/buildpacks/demo_other/1.0.0/buildpack.toml"] = descriptor("demo/other", "1.0.0")
    write_layout_archive(tmp_path / "three.cnb", buildpackage(tmp_path, files))
    with pytest.raises(SettingsError, match="does not say which of its buildpacks is meant") as caught:
        find("three.cnb", tmp_path)
    assert caught.value.hint is not None
    assert BUILDPACKAGE_LABEL in caught.value.hint


def test_an_extension_is_found_as_well(tmp_path: Path) -> None:
    toml = 'api = "0.10"\n[extension]\nid = "demo/tree"\nversion = "0.1.0"\n'
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/extension.toml").write_text(toml)
    assert find("tree", tmp_path).extensions == ((tmp_path / "tree").resolve(),)
    image = buildpackage(
        tmp_path,
        {"cnb/extensions/demo_tree/0.1.0/extension.toml": toml},
        {"id": "demo/tree", "version": "0.1.0"},
    )
    write_layout_archive(tmp_path / "tree.cnb", image)
    found = find("tree.cnb", tmp_path)
    assert found.buildpacks == ()
    assert [path.name for path in found.extensions] == ["0.1.0"]


@pytest.mark.parametrize("name", ["../outside", "/tmp/outside", "a/../../outside"])
def test_a_member_that_leads_out_of_an_archive_is_refused(name: str, tmp_path: Path) -> None:
    write_tar(tmp_path / "evil.tgz", {"buildpack.toml": descriptor(), name: "x"})
    with pytest.raises(CnbError, match="leads out of the archive"):
        find("evil.tgz", tmp_path)
    assert list((tmp_path / "store/buildpacks").iterdir()) == []


@pytest.mark.parametrize("target", ["/etc/passwd", "../../../../etc/passwd", "here/../../.."])
def test_a_link_that_leads_out_of_the_buildpack_is_refused(target: str, tmp_path: Path) -> None:
    inside = {"bin/out": (tarfile.SYMTYPE, target), "bin/here": (tarfile.SYMTYPE, "..")}
    write_tar(tmp_path / "evil.tgz", {"buildpack.toml": descriptor(), **inside})
    with pytest.raises(SettingsError, match="has a link that leads out of the buildpack: `bin/out`"):
        find("evil.tgz", tmp_path)
    above = "cnb/buildpacks/demo_hello/1.2.3"
    layer = tar_layer(
        tmp_path / "blobs",
        [
            (member(f"{above}/buildpack.toml"), descriptor().encode()),
            member(f"{above}/bin/here", kind=tarfile.SYMTYPE, link=".."),
            member(f"{above}/bin/out", kind=tarfile.SYMTYPE, link=target),
        ],
    )
    write_layout_archive(tmp_path / "evil.cnb", image_of(layer))
    with pytest.raises(SettingsError, match="has a link that leads out of the buildpack: `bin/out`"):
        find("evil.cnb", tmp_path)


@pytest.mark.parametrize("linked", ["cnb", "cnb/buildpacks", "cnb/buildpacks/demo_hello"])
def test_a_link_in_place_of_a_directory_hides_no_buildpack_of_the_machine(linked: str, tmp_path: Path) -> None:
    """Read outside of the sandbox, the link would lead to files of the machine."""
    outside = tmp_path / "outside" / Path("cnb/buildpacks/demo_hello/1.2.3").relative_to(linked)
    write_buildpack(outside)
    layer = tar_layer(tmp_path / "blobs", [member(linked, kind=tarfile.SYMTYPE, link=str(tmp_path / "outside"))])
    write_layout_archive(tmp_path / "evil.cnb", image_of(layer))
    with pytest.raises(SettingsError, match=r"has no buildpack in /cnb/buildpacks"):
        find("evil.cnb", tmp_path)


def test_what_unpacks_to_more_than_a_buildpack_can_be_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buildpack_source, "_MOST_BYTES", 1 << 20)
    zeros = "0" * (2 << 20)
    write_tar(tmp_path / "bomb.tgz", {"buildpack.toml": descriptor(), "zeros": zeros})
    with pytest.raises(CnbError, match="unpacks to more than"):
        find("bomb.tgz", tmp_path)
    files = {"cnb/buildpacks/demo_hello/1.2.3/buildpack.toml": descriptor(), "zeros": zeros}
    write_layout_archive(tmp_path / "bomb.cnb", buildpackage(tmp_path, files))
    with pytest.raises(CnbError, match="is too large"):
        find("bomb.cnb", tmp_path)
    assert list((tmp_path / "store/buildpacks").iterdir()) == []


def test_what_is_no_buildpack_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "cut.tgz").write_bytes(gzip.compress(b"x" * 10_000)[:20])
    for text, message in (
        ("missing", "there is no buildpack at"),
        ("empty", "it has no file `buildpack.toml`"),
        ("cut.tgz", "cannot unpack"),
        ("https://example.org/hello.tgz", "buildpacks are not downloaded"),
        ("urn:cnb:registry:demo/hello", "asks no registry of buildpacks"),
        ("oci:missing", "missing: is not there"),
    ):
        with pytest.raises(CnbError, match=message):
            find(text, tmp_path)
