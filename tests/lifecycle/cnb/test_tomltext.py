from __future__ import annotations

from datetime import date, datetime, time, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as some

from lifecycle.cnb.toml import parse_toml
from lifecycle.cnb.tomltext import render_toml

_VALUES = some.recursive(
    some.booleans()
    | some.integers(-(2**63), 2**63 - 1)
    | some.floats(allow_nan=False)
    | some.text(some.characters(exclude_categories=["Cs"]))
    | some.datetimes(
        timezones=some.none() | some.sampled_from([timezone.utc, timezone(timedelta(hours=-3, minutes=-30))])
    )
    | some.dates()
    | some.times(),
    lambda values: (
        some.lists(values, max_size=3) | some.dictionaries(some.text('a."\n é', max_size=3), values, max_size=3)
    ),
    max_leaves=12,
)


def test_a_script_finds_each_key_on_a_line_of_its_own() -> None:
    values = {
        "entries": [{"name": "a", "metadata": {"version": "1"}}, {"name": "b"}],
        "image": {"tags": ["x", "y"], "digest": None, "empty": {}},
        "api": "0.12",
    }
    assert render_toml(values) == (
        'api = "0.12"\n\n'
        '[[entries]]\nname = "a"\n\n[entries.metadata]\nversion = "1"\n\n[[entries]]\nname = "b"\n\n'
        '[image]\ntags = ["x", "y"]\n\n[image.empty]\n'
    )


@given(some.dictionaries(some.text(some.characters(exclude_categories=["Cs"]), max_size=3), _VALUES, max_size=4))
def test_what_is_written_is_read(values: dict[str, object]) -> None:
    assert parse_toml(render_toml(values).encode(), source="x") == values


def test_numbers_and_times_keep_their_types() -> None:
    values = {
        "a": 7,
        "b": 7.0,
        "c": date(2026, 1, 2),
        "d": datetime(2026, 1, 2, 3),
        "e": time(3),
        "f": [1, {"g": (2,)}],
    }
    read = parse_toml(render_toml(values).encode(), source="x")
    assert read == {**values, "f": [1, {"g": [2]}]}
    assert {name: type(value) for name, value in read.items()} == {name: type(value) for name, value in values.items()}


def test_a_value_that_toml_has_no_word_for_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(TypeError, match="object"):
        render_toml({"a": object()})
