"""Poetry's ranges of Python in the words of PEP 440, and what Poetry cannot read."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet

from buildpacks.poetry.constraint import UnreadableConstraint, check_dependency, python_alternatives

MINORS = ("3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14")


def met(text: str) -> list[str]:
    """The releases 3.x.5 that meet a range."""
    alternatives = [SpecifierSet(alternative) for alternative in python_alternatives(text)]
    return [minor for minor in MINORS if any(f"{minor}.5" in alternative for alternative in alternatives)]


@pytest.mark.parametrize(
    ("text", "alternatives", "minors"),
    [
        ("^3.10", (">=3.10,<4.0",), ["3.10", "3.11", "3.12", "3.13", "3.14"]),
        ("^3.10.6", (">=3.10.6,<4.0.0",), ["3.11", "3.12", "3.13", "3.14"]),
        ("~3.9 || ^3.12", (">=3.9,<3.10", ">=3.12,<4.0"), ["3.9", "3.12", "3.13", "3.14"]),
        (">=3.9,<3.13", (">=3.9,<3.13",), ["3.9", "3.10", "3.11", "3.12"]),
        (">= 3.8.0, < 4.0", (">=3.8.0,<4.0",), list(MINORS)),
        ("^3.10,<3.13", (">=3.10,<3.13",), ["3.10", "3.11", "3.12"]),
        (">=3.9,<3.9.7 || >3.9.7,<4.0", (">=3.9,<3.9.7", ">3.9.7,<4.0"), list(MINORS[1:])),
        (">=3.9,!=3.10.*", (">=3.9,<3.10", ">=3.11"), ["3.9", "3.11", "3.12", "3.13", "3.14"]),
        ("3.11.*", (">=3.11,<3.12",), ["3.11"]),
        ("~=3.11.2", (">=3.11.2,<3.12.0",), ["3.11"]),
        ("<3.11", ("<3.11",), ["3.8", "3.9", "3.10"]),
        ("3.10.5 || 3.12.5", ("==3.10.5", "==3.12.5"), ["3.10", "3.12"]),
        ("*", (">=3",), list(MINORS)),
    ],
)
def test_ranges_mean_what_they_mean_to_poetry(text: str, alternatives: tuple[str, ...], minors: list[str]) -> None:
    assert python_alternatives(text) == alternatives
    assert met(text) == minors


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("three", "no range"),
        ("", "no range"),
        ("^", "no range"),
        (">=3.12,<3.10", "no version"),
        ("3.12", "write `~3.12`"),
        ("==3", "write `~3`"),
    ],
)
def test_what_is_no_range_of_versions_is_refused(text: str, reason: str) -> None:
    with pytest.raises(UnreadableConstraint, match=reason):
        python_alternatives(text)


@given(st.text(alphabet="3.124 ^~<>=!*|,dev+-xX", max_size=24))
@example("3.10.dev1")
@example("3.10+local || >3")
def test_whatever_is_written_is_a_range_or_unreadable(text: str) -> None:
    try:
        alternatives = python_alternatives(text)
    except UnreadableConstraint:
        return
    assert alternatives
    assert all(str(SpecifierSet(alternative)) for alternative in alternatives)


@pytest.mark.parametrize(
    "constraint",
    [
        "^1.2",
        "==2023.12.1",
        {"version": "^1", "markers": "sys_platform == 'linux' and python_version < '3.12'"},
        {"version": "*", "python": "~3.10", "platform": "linux"},
        {"git": "https://example.org/a.git", "tag": "v1"},
        {"path": "nowhere", "develop": True},
        {"url": "https://example.org/a-1-py3-none-any.whl"},
    ],
)
def test_constraints_that_poetry_reads_are_right(
    constraint: str | dict[str, object], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    check_dependency("a", constraint, tmp_path)
    # Poetry's library would warn of the path here.
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "constraint",
    [
        "^tox",
        "==1.0; python_version < '3.9'",
        {"version": "1", "markers": "platform is linux"},
        {"version": "1", "python": "three"},
    ],
)
def test_constraints_that_poetry_cannot_read_are_named_in_one_line(
    constraint: str | dict[str, object], tmp_path: Path
) -> None:
    with pytest.raises(UnreadableConstraint) as caught:
        check_dependency("a", constraint, tmp_path)
    assert str(caught.value)
    assert "\n" not in str(caught.value)
