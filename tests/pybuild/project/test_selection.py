"""What `include` and `exclude` keep, with git itself as the judge of its patterns."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pybuild.project.selection import NOT_DECIDED, Pattern, Selection, parse_selection

FILES = [
    f"{directory}{name}"
    for directory in ("", "a/", "b/", "a/b/", "a/a/", "b/a/")
    for name in ("x.md", "y.py", "z", "a.md")
]


def kept(selection: Selection, files: list[str]) -> set[str]:
    """Files that a walk from the root keeps; a directory that is not kept is entered only where there is an `include`."""

    def walk(path: str) -> bool:
        above = NOT_DECIDED
        parts = path.split("/")
        for depth in range(1, len(parts)):
            above = selection.decide("/".join(parts[:depth]), is_directory=True, above=above)
            if not selection.keeps(above) and not selection.is_include:
                return False
        return selection.keeps(selection.decide(path, is_directory=False, above=above))

    return {path for path in files if walk(path)}


def excluding(*lines: str) -> Selection:
    return parse_selection(include=None, exclude=lines)


def including(*lines: str) -> Selection:
    return parse_selection(include=lines, exclude=None)


@pytest.fixture(scope="module")
def repository() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        subprocess.run(["git", "init", "--quiet", str(root)], check=True)
        for name in FILES:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).touch()
        yield root


PARTS = st.sampled_from(["a", "b", "*", "*.md", "x.md", "?", "**", "y.py", "[ab]", "z"])
LINES = st.builds(
    lambda negated, anchored, parts, directory: f"{negated}{anchored}{'/'.join(parts)}{directory}",
    st.sampled_from(["", "", "!"]),
    st.sampled_from(["", "", "", "/"]),
    st.lists(PARTS, min_size=1, max_size=3).filter(lambda parts: parts.count("**") <= 2),
    st.sampled_from(["", "", "/"]),
)


@pytest.mark.integration
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(LINES, min_size=1, max_size=4))
@example(lines=["*", "!a/", "!a/x.md"])
@example(lines=["a/", "!*.md"])
@example(lines=["a/*", "!a/b/"])
def test_exclude_leaves_out_what_git_ignores(repository: Path, lines: list[str]) -> None:
    (repository / ".gitignore").write_text("\n".join(lines) + "\n")
    command = ["git", "ls-files", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=repository, check=True, capture_output=True, text=True).stdout.splitlines()
    assert kept(excluding(*lines), FILES) == set(listed) - {".gitignore"}


def test_nothing_comes_back_out_of_an_excluded_directory() -> None:
    assert kept(excluding("secrets/", "!*.md"), ["secrets/notes.md", "notes.md"]) == {"notes.md"}


def test_include_keeps_what_the_last_fitting_pattern_names() -> None:
    files = ["src/main.py", "src/secret/key", "tests/test.py", "README.md", "setup.py"]
    assert kept(including("src", "!src/secret"), files) == {"src/main.py"}
    assert kept(including("*.py", "!tests/"), files) == {"src/main.py", "setup.py"}
    assert kept(including("/*.md", "src/**/key"), files) == {"README.md", "src/secret/key"}


def test_nothing_is_left_out_without_patterns_and_of_comments() -> None:
    assert kept(Selection(), FILES) == set(FILES)
    assert kept(excluding("# a comment", "", "   "), FILES) == set(FILES)


@pytest.mark.parametrize("text", ["/", "!", "!/", "\\", "*-*-*-*", "a/**/b/**/c/**"])
def test_a_line_that_is_no_pattern_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"pattern|too many"):
        Pattern.parse(text)


def test_no_pattern_takes_long_on_any_name() -> None:
    since = time.monotonic()
    for text, name in (
        ("*a*a*b", "a" * 255),
        ("a/**/a/**/b", "a/" * 2000 + "a"),
        ("**/*a*a*b/**/*a*a*b", "/".join(["a" * 255] * 15)),
    ):
        pattern = Pattern.parse(text)
        assert pattern is not None
        assert not pattern.fits(name, is_directory=False)
    assert time.monotonic() - since < 3
