"""Archives as sources, with the real bubblewrap around the extraction."""

from __future__ import annotations

import io
import os
import tarfile
import tempfile
import zipfile
from pathlib import Path

import pytest

from lifecycle.cnb.deadline import Deadline
from pybuild.errors import SourceError
from pybuild.source import fetch_source
from tests.pybuild.recording_log import RecordingLog

pytestmark = pytest.mark.integration


def fetch(archive: Path, tmp_path: Path) -> Path:
    app, scratch = tmp_path / "app", tmp_path / "scratch"
    app.mkdir()
    scratch.mkdir()
    fetch_source(str(archive), app, scratch, RecordingLog(), env=os.environ, deadline=Deadline.after(60))
    return app


def make_tar(path: Path, *members: tuple[str, bytes | str | None], mode: str = "w:gz") -> Path:
    """Members are a name and bytes (a file), text (the target of a link) or None (a directory)."""
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in members:
            info = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
                continue
            info.type = tarfile.DIRTYPE if content is None else tarfile.SYMTYPE
            info.linkname = content or ""
            archive.addfile(info)
    return path


@pytest.mark.parametrize("ending", ["tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_tar_with_one_directory_is_that_directory(ending: str, tmp_path: Path) -> None:
    mode = {"tar": "w", "tar.gz": "w:gz", "tar.bz2": "w:bz2", "tar.xz": "w:xz"}[ending]
    archive = make_tar(
        tmp_path / f"project.{ending}", ("project-1", None), ("project-1/requirements.txt", b"x\n"), mode=mode
    )
    assert (fetch(archive, tmp_path) / "requirements.txt").read_text() == "x\n"


def test_an_archive_in_shared_memory_is_extracted() -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        archive = make_tar(Path(directory, "project.tar"), ("requirements.txt", b"x\n"), mode="w")
        assert (fetch(archive, Path(directory)) / "requirements.txt").read_text() == "x\n"


def test_zip(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "project.zip", "w") as archive:
        archive.writestr("requirements.txt", "x\n")
        executable = zipfile.ZipInfo("run.sh")
        executable.external_attr = 0o100755 << 16
        archive.writestr(executable, "#!/bin/sh\n")
    app = fetch(tmp_path / "project.zip", tmp_path)
    assert (app / "requirements.txt").read_text() == "x\n"
    assert (app / "run.sh").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("name", ["../outside", "/tmp/outside", "a/../../outside"])
def test_entries_that_lead_out_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="leads out of the archive"):
        fetch(make_tar(tmp_path / "evil.tar.gz", (name, b"x")), tmp_path)
    assert not Path("/tmp/outside").exists()


def test_a_link_out_followed_by_a_file_through_it_writes_nothing_outside(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    archive = make_tar(tmp_path / "evil.tar.gz", ("link", str(outside)), ("link/file", b"x"))
    with pytest.raises(SourceError, match="cannot unpack"):
        fetch(archive, tmp_path)
    assert list(outside.iterdir()) == []


def test_damaged_archives_are_named(tmp_path: Path) -> None:
    whole = make_tar(tmp_path / "whole.tar.gz", ("requirements.txt", b"x" * 100_000))
    cut = tmp_path / "cut.tar.gz"
    cut.write_bytes(whole.read_bytes()[:60])
    with pytest.raises(SourceError, match=r"cannot unpack .*cut\.tar\.gz"):
        fetch(cut, tmp_path)


def test_other_files_are_not_archives(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("")
    with pytest.raises(SourceError, match="neither a directory nor an archive"):
        fetch(tmp_path / "main.py", tmp_path)
