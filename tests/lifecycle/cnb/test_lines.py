"""Every key that the parser finds has its line."""

from __future__ import annotations

import datetime
from collections.abc import Mapping

import tomli_w
from hypothesis import example, given
from hypothesis import strategies as st

from lifecycle.cnb.errors import ConfigurationError
from lifecycle.cnb.lines import KeyPath, find_lines
from lifecycle.cnb.toml import parse_toml

DOCUMENT = '''\
# a comment with [brackets] and "quotes"
[tool.poetry]
name = "a"
description = """
[tool.other]
not = "a key" """
"quo.ted" = 'x # no comment'

[tool.poetry.dependencies]
python = "^3.10"
six = { version = "1", markers = "a == ']'" } # }
pair = [
    { version = "1", python = "<3.11" },  # one
    # none
    { version = "2", python = ">=3.11" },
]
dotted.version = "1"

[[tool.poetry.source]]
name = "one"
[[tool.poetry.source]]
name = "two"
[tool.poetry.source.more]
key = 1979-05-27 07:32:00Z
'''


def test_keys_have_the_lines_that_people_see() -> None:
    lines = find_lines(DOCUMENT)
    poetry = ("tool", "poetry")
    expected: dict[KeyPath, int] = {
        poetry: 2,
        (*poetry, "name"): 3,
        (*poetry, "description"): 4,
        (*poetry, "quo.ted"): 7,
        (*poetry, "dependencies"): 9,
        (*poetry, "dependencies", "python"): 10,
        (*poetry, "dependencies", "six", "markers"): 11,
        (*poetry, "dependencies", "pair"): 12,
        (*poetry, "dependencies", "pair", "0", "python"): 13,
        (*poetry, "dependencies", "pair", "1"): 15,
        (*poetry, "dependencies", "dotted", "version"): 17,
        (*poetry, "source", "0", "name"): 20,
        (*poetry, "source", "1", "name"): 22,
        (*poetry, "source", "1", "more", "key"): 24,
    }
    assert {path: lines.get(path) for path in expected} == expected
    assert ("tool", "other") not in lines


def paths(value: object, path: KeyPath = ()) -> set[KeyPath]:
    if isinstance(value, Mapping):
        return {path} | {found for key, item in value.items() for found in paths(item, (*path, key))}
    if isinstance(value, list):
        return {path} | {found for index, item in enumerate(value) for found in paths(item, (*path, str(index)))}
    return {path}


VALUES = st.recursive(
    st.one_of(st.text(), st.integers(-(2**63), 2**63 - 1), st.booleans(), st.just(datetime.date(1979, 5, 27))),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), VALUES, max_size=4), st.booleans())
def test_every_key_of_a_document_has_a_line(values: dict[str, object], multiline: bool) -> None:
    text = tomli_w.dumps(values, multiline_strings=multiline)
    lines = find_lines(text)
    found = paths(parse_toml(text.encode(), source=""))
    assert found - {()} == set(lines)
    last = text.count("\n") + 1
    assert all(1 <= line <= last for line in lines.values())


@given(st.text(alphabet="ab.='\"[]{},#\\ \n\t1", max_size=60))
@example('a = """"quoted""""')
@example("a = [[], [1, {b = 2}],]\n[ c . 'd' ]\n[[e]]\n[e.f]")
def test_every_key_of_whatever_is_valid_has_a_line(text: str) -> None:
    try:
        values = parse_toml(text.encode(), source="")
    except ConfigurationError:
        return
    assert paths(values) - {()} == set(find_lines(text))
