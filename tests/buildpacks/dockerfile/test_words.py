"""The values follow shell/lex.go of BuildKit's Dockerfile frontend."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildpacks.dockerfile.arguments import InvalidWord
from buildpacks.dockerfile.patterns import remove_prefix, remove_suffix, replace
from buildpacks.dockerfile.words import RequiredVariable, check_word, expand

VARIABLES = {"NAME": "pybuild", "EMPTY": "", "PATHS": "/opt/a/b.tar.gz", "SPACED": " one  two "}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("$NAME-1 ${NAME}x", "pybuild-1 pybuildx"),
        ("$UNKNOWN.", "."),
        # quotes
        ("'$NAME' \"$NAME\"", "$NAME pybuild"),
        ("\"a'b\" 'a\"b'", "a'b a\"b"),
        ('"a\\"b\\$NAME\\\\ \\n"', 'a"b$NAME\\ \\n'),
        ("it\\'s \\$NAME", "it's $NAME"),
        ("end\\", "end"),
        # `$` that begins no variable
        ("a$ $. 5$", "a$ $. 5$"),
        # numbers and the shell's own parameters are never set
        ("$1a ${12}b $@c $$d", "a b c d"),
        # defaults and alternatives
        ("${NAME:-x} ${EMPTY:-x} ${EMPTY-x} ${NO:-x} ${NO-x}", "pybuild x  x x"),
        ("${NAME:+x} ${EMPTY:+x} ${EMPTY+x} ${NO:+x} ${NO+x}", "x  x  "),
        ("${NO:-${EMPTY:-${NAME}}}", "pybuild"),
        ("${NO:-\\}}", "}"),
        ('${NO:-"a b"}', "a b"),
        ("${NAME:?no} ${EMPTY?no}", "pybuild "),
        # patterns
        ("${PATHS#*/} ${PATHS##*/}", "opt/a/b.tar.gz b.tar.gz"),
        ("${PATHS%.*} ${PATHS%%.*}", "/opt/a/b.tar /opt/a/b"),
        ("${NAME#py?} ${NAME#x}", "uild pybuild"),
        ("${PATHS/a/x} ${PATHS//a/x} ${PATHS//\\//-}", "/opt/x/b.tar.gz /opt/x/b.txr.gz -opt-a-b.tar.gz"),
        ("${NO#x}${NO/a/b}", ""),
        ("${NAME:+-on-${PATHS##*/}}", "-on-b.tar.gz"),
    ],
)
def test_variables_are_put_in(text: str, expected: str) -> None:
    assert expand(text, VARIABLES).text == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("it's", "a single quote is not closed"),
        ('"x', "a double quote is not closed"),
        ("${", "`${` is not closed with `}`"),
        ("${NAME", "`${NAME` is not closed with `}`"),
        ("${NAME:-x", "`}` is missing after `${`"),
        ("${}", "`${}` names no variable"),
        ("${{NAME}}", "`${{` names no variable"),
        ("${NAME:5}", "`${NAME:5…}` is no form of a variable"),
        ("${NAME:#x}", "`${NAME:#…}` is no form of a variable"),
        ("${NAME,,}", "`${NAME,…}` is no form of a variable"),
        ("${NAME#\\x}", "`\\x` is no pattern: a backslash before `x`"),
        ("${NO:?give it}", "`NO`: give it"),
        ("${EMPTY:?}", "`EMPTY`: must not be empty"),
        ("${a:-" * 51 + "}" * 51, "`${` stands in itself more than 50 times"),
    ],
)
def test_what_cannot_be_understood_is_said(text: str, reason: str) -> None:
    with pytest.raises(InvalidWord) as error:
        expand(text, VARIABLES)
    assert error.value.summary == reason


def test_the_backtick_escapes_where_the_file_says_so() -> None:
    assert expand("C:\\$NAME `$NAME", VARIABLES, escape="`").text == "C:\\pybuild $NAME"


def test_words_are_split_after_variables_are_put_in_and_not_in_quotes() -> None:
    assert expand("a$SPACED", VARIABLES).words == ("a", "one", "two")
    assert expand('"a$SPACED"', VARIABLES).words == ("a one  two ",)
    assert expand("b\\ c '' d", VARIABLES).words == ("b c", "d")


def test_what_is_written_can_be_kept() -> None:
    text = "'a' \"$NAME\" \\x $NO ${NO:-y}"
    assert expand(text, VARIABLES, keep_quotes=True).text == "'a' \"pybuild\" x  y"
    assert expand(text, VARIABLES, keep_escapes=True).text == "a pybuild \\x  y"
    assert expand(text, VARIABLES, keep_unset=True).text == "a pybuild x $NO ${NO:-y}"
    assert expand("it's $NAME", VARIABLES, process_quotes=False).text == "it's pybuild"


def test_used_and_unset_variables_are_named() -> None:
    expansion = expand("$NAME ${NO:-${OTHER}} '$QUOTED'", VARIABLES)
    assert (expansion.used, expansion.unset) == (frozenset({"NAME"}), frozenset({"NO", "OTHER"}))


def test_a_variable_that_must_be_set_is_no_mistake_of_the_word() -> None:
    check_word("${NO:?give it} it")
    with pytest.raises(RequiredVariable):
        expand("${NO:?give it}", {})
    with pytest.raises(InvalidWord):
        check_word("${NO:?'}")


@given(st.text(alphabet="$Na{}:-+?#%/'\"\\` <\t", max_size=40), st.sampled_from("\\`"))
def test_no_word_is_more_than_invalid(text: str, escape: str) -> None:
    try:
        expansion = expand(text, {"a": "x/ay", "N": ""}, escape=escape)
    except InvalidWord:
        return
    assert all(expansion.words)


@given(st.text(alphabet="ab*?", max_size=6), st.text(alphabet="ab\n", max_size=8))
def test_patterns_are_those_of_regular_expressions(pattern: str, text: str) -> None:
    import re

    def compiled(star: str) -> str:
        return "".join({"*": star, "?": "."}.get(character, character) for character in pattern)

    short, long = re.match(compiled(".*?"), text), re.match(compiled(".*"), text)
    assert remove_prefix(text, pattern, longest=False) == (text[short.end() :] if short else text)
    assert remove_prefix(text, pattern, longest=True) == (text[long.end() :] if long else text)
    ends = [place for place in range(len(text) + 1) if re.fullmatch(compiled(".*"), text[place:])]
    assert remove_suffix(text, pattern, longest=True) == (text[: ends[0]] if ends else text)
    assert remove_suffix(text, pattern, longest=False) == (text[: ends[-1]] if ends else text)
    assert replace(text, pattern, "<>", everywhere=False) == re.sub(compiled(".*"), "<>", text, count=1)


def test_a_hostile_pattern_takes_no_longer() -> None:
    # A backtracking matcher would not end.
    assert remove_prefix("a" * 2000, "*a" * 40 + "b", longest=True) == "a" * 2000
    assert replace("a" * 2000, "*a" * 40 + "b", "", everywhere=True) == "a" * 2000
