from __future__ import annotations

from pathlib import Path

import pytest
from packaging.version import Version

from buildpacks.python.errors import UnreadableVersion
from buildpacks.python.request import VersionRequest, read_requests, read_requirements

WISH: dict[str, object] = {"version": "3.11", "launch": True}
RANGE: dict[str, object] = {"version": ">=3.9,<3.11 || >=3.12", "version-origin": "pyproject.toml:9"}


def requests(
    app_dir: Path,
    files: dict[str, str],
    env: dict[str, str] | None = None,
    required: tuple[dict[str, object], ...] = (),
) -> tuple[VersionRequest, ...]:
    for name, content in files.items():
        (app_dir / name).write_text(content, encoding="utf-8")
    return read_requests(app_dir, env or {}, read_requirements(required))


def test_the_sources_have_an_order(tmp_path: Path) -> None:
    def first(**options: object) -> tuple[str, str]:
        found = requests(tmp_path, **options)[0]  # type: ignore[arg-type]
        return found.text, found.origin

    assert first(files={}) == ("3.10", "the default")
    assert first(files={}, required=(WISH,)) == ("3.11", "a buildpack")
    assert first(files={}, required=(WISH, RANGE)) == (">=3.9,<3.11 || >=3.12", "pyproject.toml:9")
    assert first(files={"runtime.txt": "python-3.12.1\n"}, required=(RANGE,)) == ("3.12.1", "runtime.txt:1")
    assert first(files={".python-version": "3.13\n"}) == ("3.13", ".python-version:1")
    assert first(files={}, env={"BP_CPYTHON_VERSION": "3.9"}) == ("3.9", "`BP_CPYTHON_VERSION`")


@pytest.mark.parametrize(
    ("line", "specifier"),
    [
        ("3.10", "==3.10.*"),
        ("3.10.13", "==3.10.13"),
        ("3.10.x", "==3.10.*"),
        ("3.11.*", "==3.11.*"),
        ("3", "==3.*"),
        ("cpython-3.10", "==3.10.*"),
        ("cpython@3.12", "==3.12.*"),
        ("python-3.10.4", "==3.10.4"),
        ("3.10.13/envs/thesis", "==3.10.13"),
        (">=3.10,<3.12", "<3.12,>=3.10"),
        ("  3.10  # the cluster has it", "==3.10.*"),
    ],
)
def test_forms_of_a_version(tmp_path: Path, line: str, specifier: str) -> None:
    (found,) = requests(tmp_path, {".python-version": f"# comment\n\n{line}\n"})
    assert (", ".join(map(str, found.alternatives)), found.origin) == (specifier, ".python-version:3")


def test_several_versions_are_alternatives_and_names_beside_them_are_passed_over(tmp_path: Path) -> None:
    found = requests(tmp_path, {".python-version": "system\nthesis\n3.12\n3.10.13 3.9\n"})
    assert [request.text for request in found] == ["3.12", "3.10.13", "3.9"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("thesis", "environment"),
        ("pypy3.9-7.3.11", "not CPython"),
        ("miniconda3-latest", "not CPython"),
        ("3.x.1", "not a version"),
    ],
)
def test_what_is_no_version_is_named_by_its_line(tmp_path: Path, line: str, reason: str) -> None:
    with pytest.raises(UnreadableVersion) as caught:
        requests(tmp_path, {".python-version": f"\n{line}\n"})
    assert caught.value.origin == ".python-version:2"
    assert reason in caught.value.summary


def test_a_runtime_of_another_language_says_nothing(tmp_path: Path) -> None:
    assert requests(tmp_path, {"runtime.txt": "r-4.3-2023-06-01\n"})[0].origin == "the default"


def test_an_empty_file_says_nothing(tmp_path: Path) -> None:
    assert requests(tmp_path, {".python-version": "# nothing\n"})[0].origin == "the default"


@pytest.mark.parametrize(
    ("version", "is_allowed"), [("3.8.18", False), ("3.10.13", True), ("3.11.0", False), ("3.13.0", True)]
)
def test_a_range_has_alternatives(version: str, is_allowed: bool) -> None:
    (found,) = read_requirements([RANGE]).ranges
    assert found.allows(Version(version)) is is_allowed


def test_a_range_that_is_none_is_named_by_its_place() -> None:
    with pytest.raises(UnreadableVersion) as caught:
        read_requirements([{"version": ">=3.9 || ^3.12", "version-origin": "pyproject.toml:9"}])
    assert (caught.value.origin, caught.value.text) == ("pyproject.toml:9", "^3.12")


def test_entries_without_a_version_ask_for_nothing() -> None:
    assert read_requirements([{"build": True}, {}]) == read_requirements([])
