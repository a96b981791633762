from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.registry.challenge import parse_challenges


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (['Basic realm="a"'], [("basic", {"realm": "a"})]),
        (
            ['Bearer realm="https://a/t",service="s",scope="repository:x:pull,push"'],
            [("bearer", {"realm": "https://a/t", "service": "s", "scope": "repository:x:pull,push"})],
        ),
        (["bearer Realm=https://a/t , Service = s"], [("bearer", {"realm": "https://a/t", "service": "s"})]),
        (
            ['Negotiate, Basic realm="a", Bearer realm="b"'],
            [("negotiate", {}), ("basic", {"realm": "a"}), ("bearer", {"realm": "b"})],
        ),
        (["Negotiate", 'Basic realm="a"'], [("negotiate", {}), ("basic", {"realm": "a"})]),
        ([r'Basic realm="a \"b\" \\c"'], [("basic", {"realm": r'a "b" \c'})]),
        (['Basic realm="a",realm="b"'], [("basic", {"realm": "a"})]),
        (['realm="no scheme"'], []),
        (['Basic realm="open'], [("basic", {})]),
        ([""], []),
        ([",,, ,"], []),
    ],
)
def test_challenges_are_told_apart(headers: list[str], expected: list[tuple[str, dict[str, str]]]) -> None:
    found = [(challenge.scheme, dict(challenge.parameters)) for challenge in parse_challenges(headers)]
    assert found == expected


@given(st.lists(st.text(max_size=200), max_size=3))
def test_no_header_is_too_odd(headers: list[str]) -> None:
    for challenge in parse_challenges(headers):
        assert challenge.scheme == challenge.scheme.lower()


def test_a_long_header_takes_no_time() -> None:
    parse_challenges(['Basic realm="' + "\\a" * 50_000, "a" * 65_536, "a=" * 30_000, " ," * 30_000])
