from __future__ import annotations

import codecs
import itertools
import resource
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildpacks.conda.errors import InvalidEnvironmentFile, Problem
from buildpacks.conda.specification import EnvironmentFile, parse_environment_file

GOOD = "channels:\n  - conda-forge\n  - nodefaults\ndependencies:\n  - python=3.11\n  - r-ä # é\n"


def parse(content: str | bytes) -> EnvironmentFile:
    data = content if isinstance(content, bytes) else content.encode()
    return parse_environment_file(data, name="environment.yml")


def problem(content: str | bytes) -> Problem:
    with pytest.raises(InvalidEnvironmentFile) as caught:
        parse(content)
    (only,) = caught.value.problems
    return only


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        ("utf-8", b""),
        ("utf-8-sig", codecs.BOM_UTF8),
        ("utf-16-le", codecs.BOM_UTF16_LE),
        ("utf-16-be", codecs.BOM_UTF16_BE),
        ("utf-16-le", b""),
        ("utf-16-be", b""),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_every_encoding_that_editors_and_shells_write_is_read(encoding: str, mark: bytes, end: str) -> None:
    text = GOOD.replace("r-ä", "r-base").replace("\n", end)
    file = parse(mark + text.encode(encoding.removesuffix("-sig")))
    assert file.encoding == encoding
    assert file.text == text
    assert [entry.text for entry in file.dependencies] == ["python=3.11", "r-base"]
    assert str(file.dependencies[0].origin) == "environment.yml:5:5"
    assert any("UTF-16" in notice for notice in file.notices) == encoding.startswith("utf-16")


def test_latin_1_is_named_with_the_place_of_its_first_character_and_what_to_do() -> None:
    found = problem("name: a\n# é\n".encode("latin-1"))
    assert str(found.origin) == "environment.yml:2:3"
    assert found.kind == "encoding"
    assert "0xe9" in found.message
    assert "UTF-8" in found.change


@pytest.mark.parametrize(
    "content",
    [
        codecs.BOM_UTF32_LE + GOOD.encode("utf-32-le"),
        codecs.BOM_UTF16_LE + b"a",
        b"name: a\x00b\n",
        b"name: \x1b[31m\n",
        b'dependencies: ["\\ud800"]\n',
        b'dependencies: ["a\\0b"]\n',
    ],
)
def test_bytes_that_no_text_file_has_are_an_error_of_encoding(content: bytes) -> None:
    assert problem(content).kind == "encoding"


def test_tabs_before_comments_are_accepted_with_a_notice_that_names_the_lines() -> None:
    # The example in RenkuLab's documentation has them, in places like these:
    # https://github.com/SwissDataScienceCenter/renku/blob/f00433c46d63962ee791099630a11c0f971e0ce7/docs/docs/01-users/50-sessions/50-guides/60-create-environment-with-custom-packages-installed.md
    text = "channels:\n\t# no defaults\n  - conda-forge\t# first\ndependencies:\n  - pip\n  - pip:\n    \t  # here\n    - rdkit\t\n\t\n"
    file = parse(text)
    assert [entry.text for entry in file.channels or ()] == ["conda-forge"]
    assert [entry.text for entry in file.pip] == ["rdkit"]
    assert any("(lines 2, 3, 7, 8, 9)" in notice for notice in file.notices)
    assert file.text == text


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("dependencies:\n\t- numpy\n", "2:1", "is indented with a tab"),
        ("dependencies:\n  - numpy\tscipy\n", "2:10", "has a tab after a value"),
        ("name:\ta\n", "1:6", "has a tab after a value"),
    ],
)
def test_other_tabs_are_named(text: str, place: str, message: str) -> None:
    found = problem(text)
    assert (str(found.origin), found.kind, found.message) == (f"environment.yml:{place}", "tab", message)


def test_a_tab_inside_of_quotes_is_not_a_mistake() -> None:
    assert parse('variables:\n  A: "x\ty"\n').variables == (("A", "x\ty"),)


@pytest.mark.parametrize(
    ("text", "place", "kind"),
    [
        ("dependencies: [a]\ndependencies: [b]\n", "2:1", "duplicate-key"),
        ("variables:\n  A: 1\n  A: 2\n", "3:3", "duplicate-key"),
        ("name: !!python/object/apply:os.system [id]\n", "1:7", "tag"),
        ("name: !custom a\n", "1:7", "tag"),
        ("name: !unknown!a b\n", "1:7", "yaml"),
        ("dependencies:\n  - numpy\n   - pip:\n      - scipy\n", "3:9", "yaml"),
        ("dependencies:\n  - pip:\n    -r requirements.txt\n", "3:5", "yaml"),
        ("dependencies: [a, b\n", "2:1", "yaml"),
        ("name: 'a\n", "2:1", "yaml"),
        ("name: a\n---\nname: b\n", "2:1", "yaml"),
        ("name: @a\n", "1:7", "yaml"),
        ("name: *a\n", "1:7", "yaml"),
        ("name: a\n  channels: [b]\n", "2:11", "yaml"),
    ],
)
def test_what_yaml_cannot_be_is_named_with_its_place(text: str, place: str, kind: str) -> None:
    found = problem(text)
    assert (str(found.origin), found.kind) == (f"environment.yml:{place}", kind)
    assert found.change


def test_an_anchor_is_read_where_it_is_used() -> None:
    file = parse("x-common: &common\n  - numpy\ndependencies: *common\n")
    assert [str(entry.origin) for entry in file.dependencies] == ["environment.yml:2:5"]


def bomb() -> bytes:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    letters = "abcdefghij"
    lines += [f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]" for old, new in itertools.pairwise(letters)]
    return "\n".join(lines).encode()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(bomb(), id="aliases"),
        pytest.param(b"a: &a [*a]", id="an alias in itself"),
        pytest.param(b"[" * 100_000, id="lists in lists"),
        pytest.param(b"- " * 100_000, id="lists in lists, in block style"),
        pytest.param(b"{a: " * 50_000, id="mappings in mappings"),
        pytest.param(b"? " * 100_000, id="keys in keys"),
        pytest.param(b"dependencies:\n" + b"- x\n" * 60_000, id="very many entries"),
        pytest.param(b"dependencies:\n" + b"- x\n" * 12_500_000, id="50 MB"),
    ],
)
def test_what_would_take_all_memory_or_time_is_refused_at_once(content: bytes) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Not the clock's: other programs take that of a busy machine.
    start = time.process_time()
    assert problem(content).kind == "too-large"
    assert time.process_time() - start < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024


def outcome(content: str | bytes) -> EnvironmentFile | InvalidEnvironmentFile:
    try:
        return parse(content)
    except InvalidEnvironmentFile as err:
        return err


@given(st.binary(max_size=400))
def test_arbitrary_bytes_are_read_or_named(data: bytes) -> None:
    assert isinstance(outcome(data), (EnvironmentFile, InvalidEnvironmentFile))


WORDS = [
    "dependencies",
    "channels",
    "variables",
    "name",
    "pip",
    "- ",
    ": ",
    ":",
    "\n",
    "  ",
    "\t",
    "[",
    "]",
    "{",
    "}",
    ",",
    "#",
]
WORDS += [
    "&a ",
    "*a",
    "!!int ",
    "!x ",
    "'",
    '"',
    "|",
    ">",
    "---\n",
    "? ",
    "<<",
    "~",
    "3.9",
    "yes",
    "numpy",
    "=",
    "%",
    "{{",
    "\u2028",
]


@given(st.lists(st.sampled_from(WORDS), max_size=60).map("".join))
def test_arbitrary_yaml_is_read_or_named_with_places_in_the_file(text: str) -> None:
    found = outcome(text)
    if isinstance(found, InvalidEnvironmentFile):
        places = [problem.origin for problem in found.problems]
        assert places
    else:
        places = [entry.origin for entry in (*(found.channels or ()), *found.dependencies, *found.pip)]
    lines = text.replace("\u2028", "\n").split("\n")
    assert all(place is None or (1 <= place.line <= len(lines) and place.column >= 1) for place in places)
