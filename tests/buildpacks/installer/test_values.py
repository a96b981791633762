"""The small values of the buildpack: credentials, indexes, locks, local projects, pages."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from buildpacks.installer.credentials import read_credentials, with_credentials, without_credentials
from buildpacks.installer.indexes import IndexSettings, read_index_settings
from buildpacks.installer.inputs import LockInputs
from buildpacks.installer.lock import LockEntry, describe_age, new_lock, parse_entries, read_lock, write_lock
from buildpacks.installer.projects import hash_content, hash_editable, hash_metadata, list_files, remove_leftovers
from buildpacks.installer.reader import FetchFailed
from buildpacks.installer.remote import fetch_url, fetch_with_memory
from tests.loopback import LoopbackServer, QuietHandler

INPUTS = LockInputs(
    requirements=("a", "b"),
    constraints=(),
    options=(),
    indexes=("--index-url https://pypi.org/simple",),
    projects=(),
    python="3.10.13",
    installed="",
    installer="uv",
)


@pytest.mark.parametrize(
    ("text", "stripped"),
    [
        ("x @ git+https://user:p@ss@host/x.git@v1#subdirectory=s", "x @ git+https://host/x.git@v1#subdirectory=s"),
        ("git+ssh://git@host/x.git", "git+ssh://git@host/x.git"),
        ("--index-url https://token@host/simple", "--index-url https://host/simple"),
        (
            "x @ https://host/@scope/x.whl ; python_version > '3'",
            "x @ https://host/@scope/x.whl ; python_version > '3'",
        ),
        ("numpy==1.0", "numpy==1.0"),
    ],
)
def test_credentials_are_taken_out_and_put_back(text: str, stripped: str) -> None:
    assert without_credentials(text) == stripped
    assert with_credentials(stripped, read_credentials([text])) == text


def test_credentials_go_back_to_a_url_whose_revision_was_resolved() -> None:
    known = read_credentials(["x @ git+https://t@host/x.git@main"])
    assert with_credentials("x @ git+https://host/x.git@0123abc", known) == "x @ git+https://t@host/x.git@0123abc"
    assert with_credentials("y @ git+https://host/y.git@0123abc", known) == "y @ git+https://host/y.git@0123abc"


def test_index_settings_come_from_pip_variables_first() -> None:
    found = read_index_settings(
        {
            "PIP_INDEX_URL": "https://a/simple",
            "PIP_EXTRA_INDEX_URL": "https://b/simple file:///c/simple",
            "PIP_FIND_LINKS": "/w https://d/",
            "PIP_TRUSTED_HOST": "a b",
            "UV_DEFAULT_INDEX": "https://z/simple",
        }
    )
    assert found == IndexSettings(
        index_urls=("https://a/simple", "https://b/simple", "file:///c/simple"),
        find_links=("/w", "https://d/"),
        trusted_hosts=("a", "b"),
    )


def test_named_indexes_of_uv_get_the_credentials_of_their_name() -> None:
    found = read_index_settings(
        {"UV_INDEX": "lab-1=https://a/simple", "UV_INDEX_LAB_1_USERNAME": "me", "UV_INDEX_LAB_1_PASSWORD": "a@b"}
    )
    assert found.index_urls == ("https://pypi.org/simple", "https://me:a%40b@a/simple")
    assert found.public() == ("--index-url https://pypi.org/simple", "--extra-index-url https://a/simple")


def test_a_lock_survives_being_written(tmp_path: Path) -> None:
    entries = (LockEntry(text="a==1.0", hashes=("sha256:00", "sha256:11")), LockEntry(text="-e /workspace"))
    lock = new_lock(entries, INPUTS)
    assert parse_entries(lock.render()) == entries
    write_lock(tmp_path, lock)
    assert read_lock(tmp_path) == lock


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"format": 2}', b"\xff"])
def test_a_damaged_lock_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "lock.json").write_bytes(content)
    assert read_lock(tmp_path) is None


def test_the_time_of_a_lock_is_not_in_its_text() -> None:
    lock = new_lock((LockEntry(text="a==1.0"),), INPUTS)
    assert replace(lock, made=lock.made + datetime.timedelta(days=1)).sha256 == lock.sha256


def test_names_and_kinds_of_lock_entries() -> None:
    texts = ("Zope.Interface==5", "x[a] @ https://host/x.zip", "/workspace/lib", "-e /workspace[dev]")
    entries = [LockEntry(text=text) for text in texts]
    assert [entry.name for entry in entries] == ["zope-interface", "x", None, None]
    assert [entry.is_local for entry in entries] == [False, False, True, True]


@pytest.mark.parametrize(
    ("seconds", "text"), [(5, "just now"), (60, "1 minute ago"), (7300, "2 hours ago"), (200000, "2 days ago")]
)
def test_ages(seconds: int, text: str) -> None:
    now = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
    assert describe_age(now - datetime.timedelta(seconds=seconds), now) == text


def test_every_change_of_the_inputs_is_said() -> None:
    new = replace(INPUTS, requirements=("b", "c"), python="3.11.1", projects=("/workspace 12",))
    assert new.differences(INPUTS) == (
        "requirements: `c` was added",
        "requirements: `a` was removed",
        "local projects have changed: `/workspace`",
        "Python has changed from 3.10.13 to 3.11.1",
    )
    assert replace(INPUTS, requirements=("b", "a")).differences(INPUTS) == (
        "the order of the requirements has changed",
    )


def make_project(directory: Path) -> None:
    (directory / "src" / "x").mkdir(parents=True)
    (directory / "pyproject.toml").write_text("[project]\n")
    (directory / "src" / "x" / "__init__.py").write_text("A = 1\n")
    (directory / "src" / "x" / "fast.c").write_text("int a;\n")
    (directory / "data.csv").write_text("1\n")


@pytest.mark.parametrize(
    ("file", "content", "changed"),
    [
        ("src/x/__init__.py", "A = 2\n", {"content"}),
        ("data.csv", "2\n", {"content"}),
        ("src/x/fast.c", "int b;\n", {"content", "editable"}),
        ("src/y/__init__.py", "", {"content", "editable"}),
        ("pyproject.toml", "[tool]\n", {"content", "editable", "metadata"}),
        ("requirements/base.txt", "six\n", {"content", "editable", "metadata"}),
        (".git/HEAD", "x", set()),
    ],
)
def test_what_of_a_project_counts(tmp_path: Path, file: str, content: str, changed: set[str]) -> None:
    make_project(tmp_path)

    def hashes() -> dict[str, str]:
        return {
            "content": hash_content(tmp_path),
            "editable": hash_editable(tmp_path),
            "metadata": hash_metadata(tmp_path),
        }

    before = hashes()
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(content)
    after = hashes()
    assert {kind for kind in before if before[kind] != after[kind]} == changed


def test_only_new_leftovers_of_builds_are_removed(tmp_path: Path) -> None:
    make_project(tmp_path)
    (tmp_path / "old.egg-info").mkdir()
    (tmp_path / "old.egg-info" / "PKG-INFO").touch()
    before = list_files((tmp_path,))
    for name in ("build/lib/x.py", "src/x.egg-info/PKG-INFO", "old.egg-info/SOURCES.txt", "src/x/fast.so"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    remove_leftovers((tmp_path,), before)
    assert not (tmp_path / "build").exists()
    assert not (tmp_path / "src" / "x.egg-info").exists()
    assert (tmp_path / "old.egg-info" / "PKG-INFO").exists()
    assert (tmp_path / "src" / "x" / "fast.so").exists()


class _Pages(QuietHandler):
    def do_GET(self) -> None:
        if self.path == "/away":
            self.send_response(302)
            self.send_header("Location", "ftp://127.0.0.1/x")
        elif self.path == "/secret" and self.headers.get("Authorization") != "Basic bWU6cEBzcw==":
            self.send_response(401)
        elif self.path in ("/secret", "/c.txt"):
            self.send_response(200)
        else:
            self.send_response(404)
        self.end_headers()
        self.wfile.write(b"six==1.17.0\n")


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with LoopbackServer(_Pages) as server:
        yield server.host


def test_pages_are_fetched_with_their_credentials(pages: str) -> None:
    assert fetch_url(f"http://{pages}/c.txt") == b"six==1.17.0\n"
    assert fetch_url(f"http://me:p%40ss@{pages}/secret") == b"six==1.17.0\n"


@pytest.mark.parametrize(
    ("path", "reason"), [("/none", "404"), ("/secret", "401"), ("/away", "redirects to something that is no web page")]
)
def test_what_cannot_be_fetched_says_why(pages: str, path: str, reason: str) -> None:
    with pytest.raises(FetchFailed, match=reason):
        fetch_url(f"http://{pages}{path}")


def test_a_page_that_does_not_answer_is_what_the_last_build_got(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    said: list[str] = []
    fetch = fetch_with_memory(tmp_path, said.append)
    with LoopbackServer(_Pages) as server:
        page = f"{server.host}/c.txt"
        assert fetch(f"http://me:old@{page}") == b"six==1.17.0\n"
        assert said == []
    assert fetch(f"http://me:new@{page}") == b"six==1.17.0\n"
    assert "using what the last build got" in said[0]
    with pytest.raises(FetchFailed):
        fetch(f"http://{page}.other")
