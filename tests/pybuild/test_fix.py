"""Writing corrected files back into a repository: exactly those, whole, and never through a link."""

from __future__ import annotations

import os
import shutil
import stat
import time
from pathlib import Path

import pytest

from pybuild.errors import SourceError
from pybuild.fix import Fix, check_directory, describe_files, read_fixes, write_fixes


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    directory = tmp_path / "repository"
    (directory / "sub").mkdir(parents=True)
    (directory / "environment.yml").write_bytes(b"wrong\r\n")
    (directory / "sub" / "file").write_bytes(b"same\n")
    return directory


@pytest.fixture
def copy(repository: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(repository, tmp_path / "copy", symlinks=True))


def a_fix(before: bytes = b"wrong\r\n", after: bytes = b"right\r\n", name: str = "environment.yml") -> Fix:
    return Fix(name=name, before=before, after=after)


def test_changed_files_are_found_by_their_content(repository: Path, copy: Path) -> None:
    before = describe_files(copy)
    (copy / "environment.yml").write_bytes(b"right\r\n")
    (copy / "sub" / "file").write_bytes(b"same\n")
    (copy / "new").write_bytes(b"not taken over\n")
    assert read_fixes(repository, copy, before, since_ns=time.time_ns()) == (a_fix(),)


def test_a_file_that_was_written_after_the_copy_was_made_is_left_to_its_author(repository: Path, copy: Path) -> None:
    before = describe_files(copy)
    since_ns = time.time_ns()
    (copy / "environment.yml").write_bytes(b"right\r\n")
    time.sleep(0.02)
    (repository / "environment.yml").write_bytes(b"edited\n")
    with pytest.raises(SourceError, match="changed meanwhile"):
        read_fixes(repository, copy, before, since_ns=since_ns)


def test_a_file_that_became_a_link_or_went_is_not_taken_over(repository: Path, copy: Path) -> None:
    before = describe_files(copy)
    (copy / "environment.yml").unlink()
    (copy / "environment.yml").symlink_to("/etc/passwd")
    shutil.rmtree(copy / "sub")
    (copy / "sub").symlink_to("/etc")
    assert read_fixes(repository, copy, before, since_ns=time.time_ns()) == ()


def test_files_are_written_with_their_mode_and_owner(repository: Path) -> None:
    path = repository / "environment.yml"
    path.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(path, 12345, 23456)
    owner = path.stat()
    write_fixes(repository, (a_fix(),))
    assert path.read_bytes() == b"right\r\n"
    found = path.stat()
    assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (0o640, owner.st_uid, owner.st_gid)
    assert sorted(entry.name for entry in repository.iterdir()) == ["environment.yml", "sub"]


def test_a_file_below_a_directory_is_written(repository: Path) -> None:
    write_fixes(repository, (a_fix(before=b"same\n", name="sub/file"),))
    assert (repository / "sub" / "file").read_bytes() == b"right\r\n"


def test_a_file_that_was_changed_meanwhile_stays(repository: Path) -> None:
    (repository / "environment.yml").write_bytes(b"edited\n")
    with pytest.raises(SourceError, match="changed meanwhile"):
        write_fixes(repository, (a_fix(),))
    assert (repository / "environment.yml").read_bytes() == b"edited\n"


def test_nothing_is_written_through_a_link(repository: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_bytes(b"wrong\r\n")
    (repository / "environment.yml").unlink()
    (repository / "environment.yml").symlink_to(outside / "file")
    (repository / "linked").symlink_to(outside)
    for name in ("environment.yml", "linked/file"):
        with pytest.raises(SourceError):
            write_fixes(repository, (a_fix(name=name),))
    assert (outside / "file").read_bytes() == b"wrong\r\n"
    assert (repository / "environment.yml").is_symlink()


def test_a_pipe_in_the_place_of_the_file_does_not_stop_it(repository: Path) -> None:
    (repository / "environment.yml").unlink()
    os.mkfifo(repository / "environment.yml")
    with pytest.raises(SourceError, match="not a regular file"):
        write_fixes(repository, (a_fix(),))


def test_the_patch_of_a_file_in_utf_16_is_readable() -> None:
    before = "one\r\ntwo\r\n".encode("utf-16")
    assert b"-one\r\n+other\r\n two\r\n" in a_fix(before=before, after=b"other\r\ntwo\r\n").patch()
    assert a_fix(before=before, after=b"one\r\ntwo\r\n").patch() == b""


def test_bytes_that_are_no_text_pass_through_the_patch() -> None:
    assert b"-\xff\n+\xfe\n" in a_fix(before=b"\xff\n", after=b"\xfe\n").patch()


def test_only_directories_can_be_corrected(tmp_path: Path) -> None:
    assert check_directory(str(tmp_path)) == tmp_path
    (tmp_path / "archive.tar").touch()
    for text in (str(tmp_path / "archive.tar"), "https://user:secret@git.example.org/a.git", "git@host:a.git"):
        with pytest.raises(SourceError, match="not a directory") as caught:
            check_directory(text)
        assert "secret" not in caught.value.summary
    with pytest.raises(SourceError, match="does not exist"):
        check_directory(str(tmp_path / "missing"))
