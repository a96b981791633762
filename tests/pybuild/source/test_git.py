from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from lifecycle.cnb.deadline import Deadline
from pybuild.errors import SourceError
from pybuild.source import fetch_source, source_identity
from pybuild.source.git import parse_git_source
from tests.pybuild.recording_log import RecordingLog


def git(directory: Path, *arguments: str) -> str:
    command = [
        "git",
        "-c",
        "user.name=t",
        "-c",
        "user.email=t@example.org",
        "-c",
        "init.defaultBranch=main",
        *arguments,
    ]
    return subprocess.run(command, cwd=directory, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    directory = tmp_path / "origin"
    (directory / "sub").mkdir(parents=True)
    (directory / "requirements.txt").write_text("one\n")
    (directory / "sub" / "requirements.txt").write_text("two\n")
    git(directory, "init", "--quiet")
    git(directory, "add", ".")
    git(directory, "commit", "--quiet", "-m", "first")
    git(directory, "tag", "v1")
    (directory / "requirements.txt").write_text("three\n")
    git(directory, "commit", "--quiet", "-a", "-m", "second")
    return directory


def fetch(text: str, tmp_path: Path) -> tuple[Path, str | None]:
    app, scratch = tmp_path / "app", tmp_path / "scratch"
    app.mkdir()
    scratch.mkdir()
    source = fetch_source(text, app, scratch, RecordingLog(), env=os.environ, deadline=Deadline.after(60))
    return app, source.revision


@pytest.mark.integration
def test_default_branch(origin: Path, tmp_path: Path) -> None:
    app, revision = fetch(f"file://{origin}", tmp_path)
    assert (app / "requirements.txt").read_text() == "three\n"
    assert revision == git(origin, "rev-parse", "HEAD")
    assert not (app / ".git").exists()


@pytest.mark.integration
def test_tag_and_subdirectory(origin: Path, tmp_path: Path) -> None:
    app, revision = fetch(f"file://{origin}#v1:sub", tmp_path)
    assert (app / "requirements.txt").read_text() == "two\n"
    assert revision == git(origin, "rev-parse", "v1")


@pytest.mark.integration
def test_commit(origin: Path, tmp_path: Path) -> None:
    commit = git(origin, "rev-parse", "HEAD")
    git(origin, "config", "uploadpack.allowAnySHA1InWant", "true")
    assert fetch(f"file://{origin}#{commit}", tmp_path)[1] == commit


@pytest.mark.integration
def test_missing_ref_is_named(origin: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="has no branch, tag or commit `nope`"):
        fetch(f"file://{origin}#nope", tmp_path)


@pytest.mark.integration
def test_missing_repository(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot fetch"):
        fetch(f"file://{tmp_path}/nothing", tmp_path)


@pytest.mark.integration
def test_missing_subdirectory_is_named(origin: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="has no directory `other`"):
        fetch(f"file://{origin}#main:other", tmp_path)


@pytest.mark.integration
def test_subdirectory_that_is_a_link_out_is_refused(origin: Path, tmp_path: Path) -> None:
    (origin / "out").symlink_to("../..")
    git(origin, "add", ".")
    git(origin, "commit", "--quiet", "-m", "link")
    with pytest.raises(SourceError, match="leads out of the repository"):
        fetch(f"file://{origin}#main:out", tmp_path)


@pytest.mark.parametrize("fragment", ["-uploadpack=x", "main:../x", "main:/etc", "main:a/../../b"])
def test_fragments_that_reach_elsewhere_are_refused(fragment: str) -> None:
    with pytest.raises(SourceError):
        parse_git_source(f"https://git.example.org/a/b#{fragment}")


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://git.example.org/a/b.git", "https://git.example.org/a/b.git"),
        ("git+ssh://git@git.example.org/a/b", "ssh://git@git.example.org/a/b"),
        ("git@git.example.org:a/b.git", "git@git.example.org:a/b.git"),
    ],
)
def test_urls(text: str, url: str) -> None:
    source = parse_git_source(text)
    assert source is not None
    assert (source.url, source.ref, source.subdirectory) == (url, None, None)


@pytest.mark.parametrize("text", [".", "./project", "project.zip", "-x", "ext::sh -c touch", "--upload-pack=x"])
def test_paths_are_not_git(text: str) -> None:
    assert parse_git_source(text) is None


def test_credentials_are_not_shown() -> None:
    source = parse_git_source("https://me:s3cret@git.example.org/a/b")
    assert source is not None
    assert "s3cret" not in source.display_url
    assert source.public_url == "https://git.example.org/a/b"


def test_the_user_of_an_ssh_url_stays() -> None:
    source = parse_git_source("ssh://git@git.example.org/a/b")
    assert source is not None
    assert source.public_url == "ssh://git@git.example.org/a/b"


def test_identity_is_the_same_from_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert source_identity(".") == source_identity(str(tmp_path))
    assert source_identity("https://git.example.org/a/b#main") == source_identity("https://git.example.org/a/b#v2")


@pytest.mark.integration
def test_configuration_inside_a_repository_runs_nothing(origin: Path, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    git(origin, "config", "core.fsmonitor", f"touch {marker}")
    git(origin, "config", "core.hooksPath", str(tmp_path))
    hook = tmp_path / "post-checkout"
    hook.write_text(f"#!/bin/sh\ntouch {marker}\n")
    hook.chmod(0o755)
    fetch(f"file://{origin}", tmp_path)
    assert not marker.exists()
