from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildpacks.dockerfile.instruction import Directive, Flag, Heredoc
from buildpacks.dockerfile.parser import parse_dockerfile
from buildpacks.dockerfile.policy import check_policy
from buildpacks.dockerfile.warnings import find_warnings
from tests.buildpacks.dockerfile.dockerfiles import LINUX, instruction, problems_of, read


def test_instructions_are_read_with_their_lines() -> None:
    file = read("# a comment\n\nfrom base:1 as one\n\n  RUN  echo   a \\\n      b\n# more\nENV A=1\n")
    assert [(one.keyword, one.rest, one.line, one.end_line) for one in file.instructions] == [
        ("FROM", "base:1 as one", 3, 3),
        ("RUN", "echo   a       b", 5, 6),
        ("ENV", "A=1", 8, 8),
    ]


def test_comments_and_blank_lines_between_continuation_lines_are_left_out() -> None:
    file = read("FROM base:1\nRUN a && \\\n  # why\n\n \t\n  b\\  \n&& c\nRUN d\n")
    assert [(one.rest, one.line, one.end_line) for one in file.instructions[1:]] == [
        ("a &&   b&& c", 2, 7),
        ("d", 8, 8),
    ]
    assert file.blank_lines == (4, 5)


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("RUN a \\ \t\n b", "a  b"),
        # A backslash before it escapes the one at the end.
        ("RUN a \\\\", "a \\\\"),
        ("RUN a\\\n\\\n\\\nb", "ab"),
        ("RUN a \\\n# only comments follow\n", "a"),
        ("\\\nRUN \\\na", "a"),
        ("RUN\ta\vb", "a\vb"),
        # No white space to Docker: a part of the command.
        ("RUN a\x1cb", "a\x1cb"),
    ],
)
def test_lines_are_continued_as_docker_does(text: str, rest: str) -> None:
    assert instruction(text).rest == rest


def test_line_ends_of_windows_and_a_byte_order_mark_are_no_part_of_the_text() -> None:
    file = read(b"\xef\xbb\xbfFROM base:1\r\nRUN a \\\r\n  b\r\nRUN <<EOF\r\nx\r\nEOF\r\n")
    assert [one.rest for one in file.instructions] == ["base:1", "a   b", "<<EOF"]
    assert file.instructions[2].heredocs[0].content == "x\r\n"


@pytest.mark.parametrize(
    ("head", "escape", "names"),
    [
        ("# escape=`\n", "`", ["escape"]),
        ("#Escape = `\n", "`", ["escape"]),
        ("# syntax=docker/dockerfile:1\n# check=skip=all\n# escape=`\n", "`", ["syntax", "check", "escape"]),
        # Not at the top any more
        ("# a comment\n# escape=`\n", "\\", []),
        ("\n# escape=`\n", "\\", []),
        ("# unknown=1\n# escape=`\n", "\\", []),
        ("#!/usr/bin/env docker\n# escape=`\n", "\\", []),
        ("# escape=\\\n", "\\", ["escape"]),
    ],
)
def test_directives_count_at_the_top_only(head: str, escape: str, names: list[str]) -> None:
    file = read(f"{head}FROM base:1\nRUN a\n")
    assert (file.escape, [directive.name for directive in file.directives]) == (escape, names)


def test_a_directive_has_its_value_and_line() -> None:
    file = read("# syntax = docker/dockerfile:1 \nFROM base:1\n")
    assert file.directives == (Directive(name="syntax", value="docker/dockerfile:1", line=1),)


def test_the_backtick_continues_lines_where_the_file_says_so() -> None:
    file = read("# escape=`\nFROM base:1\nRUN dir C:\\\nRUN a `\n b\n")
    assert [one.rest for one in file.instructions[1:]] == ["dir C:\\", "a  b"]


def test_flags_are_apart_from_the_arguments() -> None:
    copy = instruction("COPY --from=base:2 \\\n  --chown='a b':c --link \"--x\" -- --y /z")
    assert copy.flags == (
        Flag(name="from", value="base:2", line=2),
        Flag(name="chown", value="a b:c", line=3),
        Flag(name="link", value=None, line=3),
    )
    assert copy.rest == '"--x" -- --y /z'
    assert instruction("COPY --link -- --y /z").rest == "--y /z"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('RUN ["a", "b c"]', ("a", "b c")),
        ('CMD [ "a\\u00e9" ] ', ("aé",)),
        ("CMD []", ()),
        ('COPY ["a b", "/c/"]', ("a b", "/c/")),
        # Not JSON, so for a shell
        ("RUN ['a', 'b']", None),
        ('RUN ["a", "b"] && c', None),
        ("RUN [ -f x ]", None),
        ("RUN [NaN]", None),
        ('RUN ["a\tb"]', None),
        # Instructions that know no exec form
        ('ENV A=["a"]', None),
        ('USER ["a"]', None),
    ],
)
def test_the_exec_form_is_json_and_nothing_else(text: str, words: tuple[str, ...] | None) -> None:
    assert instruction(text).words == words


def test_heredocs_are_read_in_their_order() -> None:
    run = instruction("RUN cat <<A 3<<-'B C' > /x && \\\n  y\nin $a\n\nA\n\t\tin b\n\tB C")
    assert run.heredocs == (
        Heredoc(name="A", content="in $a\n\n", line=4, expands=True, strips_tabs=False),
        Heredoc(name="B C", content="in b\n", line=7, expands=False, strips_tabs=True, descriptor=3),
    )
    assert (run.rest, run.end_line) == ("cat <<A 3<<-'B C' > /x &&   y", 8)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("COPY <<a.txt <<b.txt /x/\na.txt\nb.txt", ["a.txt", "b.txt"]),
        ("ADD <<a /x\na", ["a"]),
        ("ONBUILD RUN <<EOF\nEOF", ["EOF"]),
        ('RUN <<"E"O\\F\nEOF', ["EOF"]),
        ("RUN << EOF\nEOF", ["EOF"]),
        ("RUN <<${x:-E}\n${x:-E}", ["${x:-E}"]),
        # None of these opens one.
        ("RUN echo '<<EOF'", []),
        ("RUN a <<<b", []),
        ("RUN echo $((1<<2))", []),
        ("RUN <<- EOF", []),
        ('CMD ["<<EOF"]', []),
        ("CMD cat <<EOF", []),
        ('RUN ["cat", "<<EOF"]', []),
        ("ENV A=<<EOF", []),
        # With quotes that are not closed, Docker looks no further.
        ("RUN echo \"it's <<EOF", []),
    ],
)
def test_what_opens_a_heredoc(text: str, names: list[str]) -> None:
    assert [heredoc.name for heredoc in instruction(text).heredocs] == names


def test_what_a_heredoc_holds_is_no_instruction() -> None:
    file = read("FROM base:1\nRUN <<EOF\nFROM x\n# no comment\n\n<<<<<<< no conflict\nEOF\nRUN a\n")
    assert [one.keyword for one in file.instructions] == ["FROM", "RUN", "RUN"]
    assert file.instructions[1].heredocs[0].content == "FROM x\n# no comment\n\n<<<<<<< no conflict\n"


@given(st.binary(max_size=300))
def test_any_bytes_are_read(content: bytes) -> None:
    read_and_judge(content)


FRAGMENTS = [
    "FROM", "RUN", "COPY", "ENV", "ARG", "ONBUILD", "HEALTHCHECK", "EXPOSE", " ", "\n", "\\\n", "\t", "#", "# escape=`\n", "`\n",
    "<<EOF", "<<-", "EOF\n", "'", '"', "[", "]", ",", "{", "}", "$", "${a:-", "--from=", "--mount=type=", "=", ":", "a", "1", "\r\n",
    "\x00", "\udcff", "é", "CMD", "NONE", "apt-get install", "AS", "scratch", "&&", "\ufeff",
]  # fmt: skip


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=60))
def test_whatever_is_put_together_is_read(fragments: list[str]) -> None:
    read_and_judge("".join(fragments).encode("utf-8", "surrogateescape"))


def read_and_judge(content: bytes) -> None:
    file, problems = parse_dockerfile(content, path="Dockerfile")
    for one in file.instructions:
        assert 1 <= one.line <= one.end_line
    for problem in (*problems, *check_policy(file, "restricted"), *check_policy(file, "full")):
        assert problem.message
        assert problem.change
        assert "\n" not in problem.message
    find_warnings(file, target=LINUX, has_constraints=True)


@pytest.mark.parametrize(
    "content",
    [
        b"FROM base:1\nRUN <<EOF\n" + b"echo some line of a long script\n" * 100_000 + b"EOF\n",
        b"FROM base:1\nRUN <<EOF\n" + b"echo some line of a long script\n" * 100_000,
        b"".join(b"FROM base:1 AS s%d\nRUN a\n" % number for number in range(4_000)),
        b"FROM base:1\nRUN " + b"a b \\\n" * 50_000 + b"c",
        b"FROM base:1\nENV A=" + b"${a:-" * 10_000 + b"}" * 10_000,
        b"FROM base:1\nRUN " + b"<<E " * 10_000 + b"\n" + b"E\n" * 10_000,
        b"FROM base:1\nRUN " + b"[" * 60_000,
        b"no instruction\n" * 40_000,
        b"FROM base:1\nRUN a" + b"\\\n" * 200_000,
    ],
    ids=[
        "heredoc",
        "open heredoc",
        "stages",
        "continued",
        "nested",
        "heredocs",
        "brackets",
        "no Dockerfile",
        "escapes",
    ],
)
def test_large_files_take_no_longer_than_their_size(content: bytes) -> None:
    start = time.monotonic()
    read_and_judge(content)
    # On a busy machine; what is not linear takes minutes.
    assert time.monotonic() - start < 15


def test_what_is_no_text_is_named_with_its_line() -> None:
    problems = problems_of(b"# caf\xe9\nFROM base:1\nRUN a \\\n b \xff\nRUN <<E\n\xfe\nE\nENV A=\0\n")
    assert [(problem.kind, problem.origin.line) for problem in problems] == [
        ("encoding", 4),
        ("encoding", 6),
        ("encoding", 8),
    ]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_a_file_in_utf_16_is_one_problem(encoding: str) -> None:
    (problem,) = problems_of("FROM base:1\nRUN a\n".encode(encoding))
    assert (str(problem.origin), problem.message) == ("Dockerfile:1", "the file is in UTF-16")


def test_a_pointer_of_git_lfs_is_one_problem() -> None:
    (problem,) = problems_of("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 2\n")
    assert problem.kind == "lfs-pointer"
