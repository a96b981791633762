"""The extended run image between extender and exporter, and the image of an application on it."""

from __future__ import annotations

import io
import tarfile
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from lifecycle.errors import ExportError
from lifecycle.execution.normalized import NormalizedLayer
from lifecycle.extended_run_image import read_extended, write_extended
from lifecycle.oci.image import Image, make_image
from tests.lifecycle.oci.images import file_layer, image_of, member, tar_layer


def archive(*members: tarfile.TarInfo, pax: bool = True) -> bytes:
    buffer = io.BytesIO()
    kind = tarfile.PAX_FORMAT if pax else tarfile.GNU_FORMAT
    with tarfile.open(fileobj=buffer, mode="w", format=kind) as tar:
        for one in members:
            tar.addfile(one, io.BytesIO(b"x" * one.size))
    return buffer.getvalue()


def normalized(content: bytes, *excluded: str) -> tarfile.TarFile:
    stream = NormalizedLayer(io.BytesIO(content), tuple(map(PurePosixPath, excluded)))
    return tarfile.open(fileobj=io.BytesIO(b"".join(iter(lambda: stream.read(7000), b""))))


@pytest.mark.parametrize("pax", [True, False])
def test_every_file_of_a_layer_has_one_time(pax: bool) -> None:
    first, second = member("etc/a" + "b" * 120), member("etc/link", kind=tarfile.SYMTYPE, link="c" * 120)
    first.mtime, second.mtime = 1_700_000_000, 12
    first.size, first.uid, first.mode = 700, 1000, 0o4755
    if pax:
        first.pax_headers = {"mtime": "1700000000.5", "atime": "1700000000.5", "SCHILY.xattr.security.capability": "x"}
    with normalized(archive(first, second, pax=pax)) as tar:
        found = tar.getmembers()
        content = tar.extractfile(found[0])
        assert content is not None
        assert content.read() == b"x" * 700
    assert [one.mtime for one in found] == [315532801, 315532801]
    assert [one.name for one in found] == [first.name, second.name]
    assert (found[0].uid, found[0].mode, found[1].linkname) == (1000, 0o4755, "c" * 120)
    assert found[0].pax_headers.get("SCHILY.xattr.security.capability") == ("x" if pax else None)
    assert "atime" not in found[0].pax_headers


def test_what_lies_in_directories_of_the_platform_is_left_out() -> None:
    names = ["workspace", "workspace/a", "./layers/b", "workspaces/c", "etc/workspace"]
    with normalized(archive(*map(member, names)), "/workspace", "/layers") as tar:
        assert tar.getnames() == ["workspaces/c", "etc/workspace"]


@pytest.fixture
def base(tmp_path: Path) -> Image:
    return image_of(file_layer(tmp_path / "base", {"/etc/base": "1"}))


def extended_from(base: Image, directory: Path) -> Image:
    late = member("etc/new")
    late.mtime = 1_700_000_000
    layer = tar_layer(directory, [(late, b"new")])
    return make_image(replace(base.config, user="7", labels={"a": "b"}), (*base.layers, layer))


def test_the_layout_has_only_what_is_new(tmp_path: Path, base: Image) -> None:
    image = extended_from(base, tmp_path / "new")
    (tmp_path / "extended" / "run" / "sha256:old").mkdir(parents=True)
    directory = write_extended(tmp_path / "extended", image, base)
    assert [path.name for path in (tmp_path / "extended" / "run").iterdir()] == [str(image.digest)]
    blobs = {path.name for path in (directory / "blobs" / "sha256").iterdir()}
    assert blobs == {image.digest.hex, image.id.hex, image.layers[-1].descriptor.digest.hex}


def test_the_exporter_finds_the_image_on_its_base_with_the_times_of_all_files(tmp_path: Path, base: Image) -> None:
    write_extended(tmp_path / "extended", extended_from(base, tmp_path / "new"), base)
    found = read_extended(tmp_path / "extended", base, tmp_path / "blobs")
    assert found.layers[:-1] == base.layers
    assert (found.config.user, found.config.labels) == ("7", {"a": "b"})
    with tarfile.open(found.layers[-1].path) as tar:
        assert [(one.name, one.mtime) for one in tar] == [("etc/new", 315532801)]
    assert found.layers[-1].history is not None
    assert found.layers[-1].history.created == "1980-01-01T00:00:01Z"


def test_another_base_or_none_is_refused(tmp_path: Path, base: Image) -> None:
    with pytest.raises(ExportError, match="has 0") as caught:
        read_extended(tmp_path / "extended", base, tmp_path / "blobs")
    assert caught.value.exit_code == 62
    write_extended(tmp_path / "extended", extended_from(base, tmp_path / "new"), base)
    other = image_of(file_layer(tmp_path / "base", {"/etc/base": "2"}))
    with pytest.raises(ExportError, match="was not made from"):
        read_extended(tmp_path / "extended", other, tmp_path / "blobs")
