"""What `poetry export` wrote, and what Poetry said in an earlier build."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from buildpacks.installer.credentials import without_credentials
from buildpacks.poetry.credentials import with_secrets
from buildpacks.poetry.export import local_paths, parse_export
from buildpacks.poetry.kept import Answer, hash_inputs, now, read_answer, write_answer
from buildpacks.poetry.lock_file import parse_lock
from buildpacks.poetry.root_project import remove_secrets
from tests.buildpacks.poetry.projects import NO_PACKAGE, read, write

LOCK = b"""\
[[package]]
name = "alpha"
version = "1.0"

[[package]]
name = "inner"
version = "2.0"
[package.source]
type = "legacy"
url = "https://ada:s3cr3t@packages.example.org/simple"
reference = "lab"

[[package]]
name = "library"
version = "0.1"
[package.source]
type = "directory"
url = "library"
"""
HASH = "sha256:" + "0" * 64


def export(directory: Path, text: str, *, has_lock: bool = True) -> tuple[tuple[tuple[str, int, str | None], ...], str]:
    write(directory, NO_PACKAGE + 'inner = "*"\n', "library/pyproject.toml")
    lines, origin = parse_export(
        text,
        parse_lock(LOCK),
        read(directory),
        app_dir=directory,
        origin="poetry.lock" if has_lock else None,
    )
    return tuple((line.text, line.line, line.source_name) for line in lines), origin


def test_packages_stand_on_their_lines_of_the_lock(tmp_path: Path) -> None:
    library = f"-e {(tmp_path / 'library').as_uri()}"
    marker = 'python_version >= "3.10"'
    lines, origin = export(tmp_path, f"{library} ; {marker}\nalpha==1.0 ; {marker} \\\n    --hash={HASH}\ninner==2.0\n")
    assert origin == "poetry.lock"
    assert lines == ((f"{library} ; {marker}", 13, None), (f"alpha==1.0 ; {marker}", 1, None), ("inner==2.0", 5, "lab"))


def test_without_a_lock_of_the_repository_they_stand_on_those_of_pyproject(tmp_path: Path) -> None:
    lines, origin = export(tmp_path, "alpha==1.0\ninner==2.0\n", has_lock=False)
    assert origin == "pyproject.toml"
    # `alpha` is needed by something: it has no line of its own.
    assert [line for _, line, _ in lines] == [5, 5]


def test_what_git_calls_a_repository_becomes_a_url(tmp_path: Path) -> None:
    lines, _ = export(tmp_path, "tool @ git+ssh://git@example.org:team/tool.git@0123abc\n")
    assert lines[0][0] == "tool @ git+ssh://git@example.org/team/tool.git@0123abc"
    lines, _ = export(tmp_path, "tool @ git+ssh://git@example.org:2222/team/tool.git@0123abc\n")
    assert ":2222/" in lines[0][0]


def test_an_answer_is_kept_without_credentials_and_holds_while_its_files_do(tmp_path: Path) -> None:
    write(tmp_path, NO_PACKAGE, "library/pyproject.toml")
    text = f"inner==2.0 \\\n    --hash={HASH}\nlibrary @ {(tmp_path / 'library').as_uri()}\n"
    lines, origin = parse_export(text, parse_lock(LOCK), read(tmp_path), app_dir=tmp_path, origin="poetry.lock")
    assert local_paths(lines) == (tmp_path / "library",)
    inputs = hash_inputs(tmp_path, groups="main")
    answer = Answer(
        inputs=inputs, lines=lines, origin=origin, lock="text", projects={}, notices=("a notice",), made=now()
    )
    write_answer(tmp_path / "cache", answer)
    assert "s3cr3t" not in (tmp_path / "cache" / "poetry.json").read_text()
    assert read_answer(tmp_path / "cache") == answer
    assert answer.is_for(hash_inputs(tmp_path, groups="main"))
    assert not answer.is_for(hash_inputs(tmp_path, groups="main, dev"))
    assert not replace(answer, projects={str(tmp_path / "gone"): ""}).is_for(inputs)
    (tmp_path / "poetry.toml").write_text("[installer]\n")
    assert not answer.is_for(hash_inputs(tmp_path, groups="main"))


def test_a_lock_is_kept_without_the_credentials_of_pyproject_and_gets_them_back(tmp_path: Path) -> None:
    write(tmp_path, NO_PACKAGE + 'tool = { git = "https://ada:s3cr3t@git.example.org/tool.git" }\n')
    lock = '[package.source]\ntype = "git"\nurl = "https://ada:s3cr3t@git.example.org/tool.git"\n'
    kept = without_credentials(lock)
    assert "s3cr3t" not in kept
    assert with_secrets(kept, read(tmp_path)) == lock


def test_the_metadata_of_the_project_repeats_no_credentials(tmp_path: Path) -> None:
    write(tmp_path, NO_PACKAGE + 'tool = { git = "https://ada:s3cr3t@git.example.org/tool.git" }\n')
    info = tmp_path / "venv/lib/python3.10/site-packages/thesis-0.1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Requires-Dist: tool @ git+https://ada:s3cr3t@git.example.org/tool.git\n")
    (info / "RECORD").write_text(f"{info}/METADATA,sha256=0,70\n{info}/INSTALLER,sha256=1,6\n")
    remove_secrets(tmp_path / "venv", read(tmp_path))
    assert (info / "METADATA").read_text() == "Requires-Dist: tool @ git+https://git.example.org/tool.git\n"
    assert (info / "RECORD").read_text() == f"{info}/METADATA,,\n{info}/INSTALLER,sha256=1,6\n"


def test_an_answer_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    for text in ("", "[]", '{"format": 0}', '{"format": 1, "lines": [{}]}'):
        (tmp_path / "poetry.json").write_text(text)
        assert read_answer(tmp_path) is None
