"""What becomes of instructions. That builders make of it what BuildKit makes of the Dockerfile is held by the integration tests."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from buildpacks.dockerfile.errors import Problem
from buildpacks.dockerfile.evaluate import evaluate
from buildpacks.dockerfile.lower import Lowered, lower
from buildpacks.dockerfile.parser import parse_dockerfile
from lifecycle.cnb.recipe import ImageFacts, Recipe
from lifecycle.cnb.target import Target

BASE = "pybuild.invalid/docker.io/library/base:1"
KNOWN = {BASE: ImageFacts(env=("PATH=/usr/bin", "LANG=C.UTF-8", 'QUOTED=a"b$c\\d'))}


def run(text: str, facts: Mapping[str, ImageFacts] = KNOWN, **build_args: str) -> tuple[Lowered, tuple[Problem, ...]]:
    dockerfile, wrong = parse_dockerfile(text.encode(), path="Dockerfile")
    assert wrong == ()
    evaluation, wrong = evaluate(
        dockerfile, build_args=build_args, target=Target(os="linux", arch="amd64"), stage_name=None
    )
    assert wrong == ()
    return lower(dockerfile, evaluation, build_args=build_args, facts=facts, image_name=lambda image: image.local)


def lowered(text: str, facts: Mapping[str, ImageFacts] = KNOWN, **build_args: str) -> list[str]:
    """The instructions after the first, where nothing is wrong."""
    result, problems = run(text, facts, **build_args)
    assert problems == ()
    return [one.text for one in result.instructions[1:]]


def in_stage(text: str, facts: Mapping[str, ImageFacts] = KNOWN, **build_args: str) -> str:
    """What becomes of the last of some instructions of a stage."""
    return lowered(f"FROM base:1\n{text}", facts, **build_args)[-1]


def problems_of(text: str) -> list[str]:
    return [f"{one.origin.line}: {one.message}: {one.change}" for one in run(text)[1]]


def script_of(text: str) -> list[str]:
    """The words of an instruction in exec form, as a builder reads them: continuation lines joined, then JSON."""
    joined = re.sub(r"(?<=[^\\])\\\n", "", text)
    assert "\n" not in joined
    words = json.loads(joined[joined.index("[") :])
    assert isinstance(words, list)
    return words


@pytest.mark.parametrize(
    "text",
    [
        "RUN echo $A ${B%x} \\$C 'd' \"e\" && [ -f x ]",
        'RUN ["echo", "$A"]',
        "RUN --mount=type=cache,target=/var/cache/apt pip install x",
        'ENV A=b C="d e" F=$A G=${A:-x}',
        "ENV A b c",
        "LABEL a.b=c",
        "ARG A",
        "ARG A=b C=d",
        "USER $A:1",
        "WORKDIR /a b",
        "STOPSIGNAL SIGTERM",
        "COPY a $A /x/",
        'COPY ["a b", "/c"]',
        "COPY --chown=$A --chmod=755 a b",
        "ADD a.tar.gz /",
        "CMD echo hi",
        'CMD ["a"]',
        "CMD []",
        "ENTRYPOINT echo $A",
        'SHELL ["/bin/sh", "-c"]',
        "HEALTHCHECK --interval=5s CMD curl -f http://localhost/ || exit 1",
        "HEALTHCHECK NONE",
        "ONBUILD RUN echo $A ${B#c}",
        "MAINTAINER me",
    ],
)
def test_what_every_builder_reads_alike_stays_as_it_is(text: str) -> None:
    assert in_stage(text) == text


def test_continuation_lines_are_joined() -> None:
    assert in_stage("RUN a && \\\n  # comment\n  b") == "RUN a &&   b"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # Forms that buildah 1.28 does not know
        ("ENV V=3.11\nENV A=${V%.*} B=x$V", "ENV A=3 B=x$V"),
        ("ENV V=a-b\nENV A=${V/-/+} B=${V//a/} C=${V-x} D=${W-x} E=${W+x}", 'ENV A=a+b B=-b C=a-b D=x E=""'),
        ("ENV A=$@ B=$1", 'ENV A="" B=""'),
        ("ENV A='$@ x' B=\"$\"", 'ENV A="\\$@ x" B="\\$"'),
        ("ENV A=${QUOTED-x}", 'ENV A="a\\"b\\$c\\\\d"'),
        ("ENV A b ${V-c  d}", 'ENV A="b c  d"'),
        ("LABEL a=${V-'b c'}", 'LABEL a="b c"'),
        ("ENV V=/a\nWORKDIR ${V#/}", "WORKDIR a"),
        ("USER ${V-me}", "USER me"),
        ("COPY ${V-a} b /c/", 'COPY ["a", "b", "/c/"]'),
        ('COPY ["${V-a b}", "/c/"]', 'COPY ["\\"a b\\"", "/c/"]'),
        ("COPY --chown=${V-me} a b", "COPY --chown=me a b"),
        ("RUN --mount=type=cache,target=${V-/c} x", "RUN --mount=type=cache,target=/c x"),
        # A backslash at the end
        ("ENV A=b\\\\", 'ENV A="b\\\\"'),
        # What an argument sees in its own instruction
        ("ARG A=1 B=$A", "ARG A=1 B=1"),
        ("ARG A=$LANG B=$A C", "ARG A=C.UTF-8 B=C.UTF-8 C"),
        # The same files
        ("COPY --link a b", "COPY a b"),
        ("COPY --link=true --chmod=1 a b", "COPY --chmod=1 a b"),
        ("RUN --network=default --security=sandbox x", "RUN x"),
        # What is not there cannot be fetched by mistake.
        ("ARG U=https://example.org/a\nADD $U /b", 'ADD ["https://example.org/a", "/b"]'),
        ("ARG W=/a\nWORKDIR $W", "WORKDIR /a"),
    ],
)
def test_what_builders_read_differently_is_written_out(text: str, expected: str) -> None:
    assert in_stage(text) == expected


def test_flags_keep_their_quotes() -> None:
    text = 'RUN --mount=type=cache,target="/a b" x'
    assert in_stage(text) == 'RUN --mount="type=cache,target=/a b" x'


def test_arguments_like_flags_stay_arguments() -> None:
    assert in_stage("RUN -- --x y") == "RUN -- --x y"


def test_the_escape_character_becomes_the_backslash() -> None:
    text = '# escape=`\nFROM base:1\nENV A=C:\\x B=`$A C="`"" D=e\nRUN dir `\n  c:\\x\nCOPY a\\b c:\\d\\\nUSER x'
    assert lowered(text) == [
        'ENV A="C:\\\\x" B="\\$A" C="\\"" D=e',
        "RUN dir   c:\\x",
        'COPY ["\\"a\\\\\\\\b\\"", "\\"c:\\\\\\\\d\\\\\\\\\\""]',
        "USER x",
    ]


def test_a_command_that_ends_in_a_backslash_is_given_to_its_shell_whole() -> None:
    assert in_stage("RUN echo a\\\\") == 'RUN ["/bin/sh", "-c", "echo a\\\\\\\\"]'
    assert in_stage("CMD echo a\\\\") == 'CMD ["/bin/sh", "-c", "echo a\\\\\\\\"]'


def test_an_array_with_something_behind_it_is_a_command_line() -> None:
    assert in_stage('RUN ["a"] && b') == 'RUN ["/bin/sh", "-c", "[\\"a\\"] && b"]'
    assert in_stage("RUN [ a = a ] && b") == "RUN [ a = a ] && b"


def test_commands_stand_behind_the_shell_that_was_set() -> None:
    text = 'SHELL ["/bin/bash", "-o", "pipefail", "-c"]\nRUN a\nCMD b\nENTRYPOINT ["c"]'
    assert lowered(f"FROM base:1\n{text}")[1:] == [
        "RUN a",
        'CMD ["/bin/bash", "-o", "pipefail", "-c", "b"]',
        'ENTRYPOINT ["c"]',
    ]


def test_the_shell_of_the_base_counts() -> None:
    facts = {BASE: ImageFacts(shell=("/bin/bash", "-c"))}
    assert in_stage("CMD a", facts) == 'CMD ["/bin/bash", "-c", "a"]'
    assert script_of(in_stage("RUN <<E\na\nE", facts)) == ["/bin/bash", "-c", "a\n"]


def test_a_shell_is_inherited_by_stages() -> None:
    text = 'FROM base:1 AS a\nSHELL ["x"]\nFROM a\nCMD y'
    assert lowered(text)[-1] == 'CMD ["x", "y"]'


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("RUN <<EOF\na $X\nEOF", "a $X\n"),
        ("RUN <<'EOF'\na $X\nEOF", "a $X\n"),
        ("RUN <<-EOF\n\ta\n\t\tb\n\tEOF", "a\nb\n"),
        ("RUN <<EOF\nEOF", ""),
        ("RUN <<EOF\n\n\nEOF", "\n\n"),
        ("RUN 3<<EOF\na\nEOF", "a\n"),
        ("RUN --mount=type=cache,target=/c <<EOF\na\nEOF", "a\n"),
        ("RUN <<EOF\n# a\n  # b\n\t# c\na \\\n  # d\n  b\nEOF", "# a\n  # b\n\t# c\na \\\n  # d\n  b\n"),
        ("RUN <<EOF\na\\\\\nb\\\nEOF", "a\\\\\nb\\\n"),
        ("RUN <<EOF\r\na\r\nEOF\r\n", "a\r\n"),
        ("RUN <<EOF\né 😀 \x1b \"'\nEOF", "é 😀 \x1b \"'\n"),
        ("RUN python3 <<EOF\na\nEOF", "python3 <<EOF\na\nEOF"),
        ("RUN <<EOF cat > /a\nb\nEOF", "<<EOF cat > /a\nb\nEOF"),
        ("RUN cat <<EOF >a && cat <<'B c' >b\nx\nEOF\ny\nB c", "cat <<EOF >a && cat <<'B c' >b\nx\nEOF\ny\nB c"),
        ("RUN <<EOF\n#!\nEOF", "#!\n"),
        (
            "RUN <<EOF\n#!/usr/bin/env python3\nprint(1)\nEOF",
            "exec /usr/bin/env python3 /dev/fd/3 3<<'EOF'\n#!/usr/bin/env python3\nprint(1)\nEOF",
        ),
        (
            "RUN <<A\n#! /bin/sh -e -x  \nEOF\nEOF1\nA",
            "exec /bin/sh '-e -x' /dev/fd/3 3<<'EOF2'\n#! /bin/sh -e -x  \nEOF\nEOF1\nEOF2",
        ),
    ],
)
def test_a_heredoc_of_run_becomes_what_its_shell_gets(text: str, script: str) -> None:
    written = in_stage(text)
    assert script_of(written) == ["/bin/sh", "-c", script]
    # Every line is where it was, so that an error names the right one.
    assert written.count("\n") == text.rstrip().count("\n")
    # No line is one that a builder takes for a comment, or for the end of the instruction.
    assert not any(line.lstrip().startswith("#") or not line.strip() for line in written.split("\n"))
    assert re.fullmatch(r"RUN( --mount=type=cache,target=/c)? \[.*", written.split("\n")[0])


@pytest.mark.parametrize("unit", ["a", "é", "\\\\ #", "\t", "# x"])
def test_no_line_is_longer_than_builders_read(unit: str) -> None:
    line = unit * (60_000 // len(unit.encode()))
    for text in (f"RUN <<E\n{line}\nE", f"RUN x{line}\\\nx{line}\\\n y"):
        written = in_stage(text)
        lines = written.split("\n")
        assert all(len(one.encode()) < 65_000 for one in lines)
        assert not any(re.match(r"\s*#|\s*$", one) for one in lines)
        if "<<" in text:
            assert script_of(written)[2] == f"{line}\n"
        else:
            assert re.sub(r"(?<=[^\\])\\\n", "", written) == re.sub(r"(?<=[^\\])\\\n", "", text)


def test_a_long_line_that_cannot_be_split_is_a_problem() -> None:
    line = "# " * 30_000
    assert script_of(in_stage(f"RUN <<E\n{line}\nE"))[2] == f"{line}\n"
    found = problems_of(f"FROM base:1\nRUN x{line}\\\nx{line}")
    assert found[0].startswith("2: `RUN` is too long for a line, and it cannot be split")


def test_a_script_that_no_process_can_be_given_is_a_problem() -> None:
    found = problems_of(f"FROM base:1\nRUN <<E\n{'a' * 60_000}\n{'a' * 60_000}\n{'a' * 60_000}\nE")
    assert found[0].startswith("2: the here-document has 180003 bytes; a command can have 131072")


def test_a_heredoc_of_run_with_a_program_really_runs(tmp_path: Path) -> None:
    script = script_of(in_stage('RUN <<"X Y"\n#!/bin/bash -e\nread -r a || echo "$1:$a:$FOO"\n[[ a ]]\nX Y'))
    done = subprocess.run(
        script, env={"FOO": "bar"}, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True
    )
    assert done.stdout == "::bar\n"


def test_heredocs_of_copy_become_files() -> None:
    text = 'ENV A=b\nARG C=$A\nCOPY --chmod=600 x <<one <<-"two" /d/\n$A-$C-$D-$LANG \\$A "\'\\z"\none\n\t$A\n\ttwo'
    result, problems = run(f"FROM base:1\n{text}")
    assert problems == ()
    paths = list(result.files)
    assert [path.rpartition("/")[2] for path in paths] == ["one", "two"]
    assert list(result.files.values()) == ['b-b--C.UTF-8 $A "\'z"\n', "$A\n"]
    expected = ", ".join(f'".pybuild-heredocs/{path}"' for path in paths)
    assert result.instructions[-1].text == f'COPY --chmod=600 ["x", {expected}, "/d/"]'


def test_other_content_is_another_file() -> None:
    first, second = (run(f"FROM base:1\nCOPY <<E /x\n{content}\nE")[0] for content in ("a", "b"))
    assert first.files.keys() != second.files.keys()
    assert first.instructions != second.instructions


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("COPY <<a/b /x\na/b", "2: the here-document `a/b` has a name that no file can have here"),
        ("COPY <<.. /x\n..", "2: the here-document `..` has a name"),
        ("COPY <<E /x\n${A\nE", "3: the here-document `E`: "),
        ("COPY --chmod=${M} a b", "2: `--chmod=${M}` is no octal number"),
        ("ARG M=u+x\nCOPY --chmod=$M a b", "3: `--chmod=$M` is no octal number"),
        ("ONBUILD RUN <<E\na\nE", "2: `ONBUILD` with a here-document"),
        ("HEALTHCHECK CMD a\\\\", "2: `HEALTHCHECK` ends in a backslash"),
        ("ARG A=${B?is}${C} D", "2: `ARG A=${B?is}${C} D`: `B`: is"),
        ("WORKDIR ${A?is needed}", "2: `WORKDIR ${A?is needed}`: `A`: is needed"),
        ("ARG W=/proc\nWORKDIR $W/x", "3: `/proc/x` is a directory of the kernel"),
        ("ARG S=http H=127.0.0.1\nADD $S://$H/ /x", "3: `ADD` cannot fetch from"),
        ('ENV U=http://localhost/\nADD ["${U}", "/x"]', "3: `ADD` cannot fetch from"),
        ("ARG D=..\nRUN --mount=type=cache,target=/c,id=a/$D/b x", "3: `--mount=type=cache` has a path that leads out"),
        ("ARG t=ssh\nRUN --mount=type=$t x", "3: `--mount=type=ssh` is not allowed by any policy"),
    ],
)
def test_what_cannot_be_put_in_older_words_is_a_problem(text: str, problem: str) -> None:
    found = problems_of(f"FROM base:1\n{text}")
    assert len(found) == 1
    assert found[0].startswith(problem)


def test_the_order_of_argument_and_variable_counts() -> None:
    assert in_stage("ENV A=1\nARG A=2\nLABEL b=${A-}") == "LABEL b=2"
    assert in_stage("ARG A=2\nENV A=1\nLABEL b=${A-}") == "LABEL b=1"


def test_arguments_come_from_the_build_from_before_the_stages_and_from_their_default() -> None:
    text = (
        "ARG G=g\nARG H=h\nFROM base:1\nARG A=a\nARG G\nARG H=i\nARG N\nARG TARGETARCH\nLABEL x=${A-}$G$H$N$TARGETARCH"
    )
    assert lowered(text, A="b")[-1] == "LABEL x=bgiamd64"
    # What is not declared in the stage is not there.
    assert lowered("ARG G=g\nFROM base:1\nLABEL x=${G-}")[-1] == 'LABEL x=""'


def test_arguments_before_the_stages_are_written_out_too() -> None:
    result, _ = run("ARG A=1.2\nARG B=${A%.*} C\nARG D=$A\nFROM base:$B", D="x\ny")
    assert [one.text for one in result.instructions][:3] == ["ARG A=1.2", "ARG B=1 C", "ARG D=$A"]


def test_arguments_before_the_stages_see_those_beside_them() -> None:
    result, _ = run("ARG A=1 B=${A}2 C\nFROM base:1", A="x")
    assert result.instructions[0].text == "ARG A B=x2 C"


def test_a_stage_hands_its_arguments_on() -> None:
    text = "FROM base:1 AS a\nARG X=1 Y N\nENV X=2\nARG Z='z z'\nARG W\nFROM a\nRUN x"
    assert lowered(text, Y="y", W="line\nend")[-3:] == ["FROM a", 'ARG Y Z="z z" W', "RUN x"]


def test_ports_and_volumes_are_declared_at_the_end() -> None:
    text = (
        "FROM base:1 AS other\nEXPOSE 1\nVOLUME /other\nFROM base:1 AS a\nENV V=/v P='80 81/udp'\nVOLUME $V\nEXPOSE $P\n"
        'FROM a\nCOPY --from=other x y\nVOLUME ["/v", "/w x", "/$V"]\nEXPOSE 53/udp 53/TCP 8000-8002 127.0.0.1:9:9\nRUN touch /v/x'
    )
    result, problems = run(text)
    assert problems == ()
    written = [(one.text, one.line) for one in result.instructions]
    assert written[-3:] == [
        ("RUN touch /v/x", 12),
        ("EXPOSE 80/tcp 81/udp 53/udp 53/tcp 8000/tcp 8001/tcp 8002/tcp 127.0.0.1:9:9", 7),
        ('VOLUME ["/v", "\\"/w x\\"", "//v"]', 6),
    ]
    assert sum("VOLUME" in one or "EXPOSE" in one for one, _ in written) == 2


def test_images_and_stages_get_their_new_names() -> None:
    text = (
        "FROM skipped\nFROM base:1\nFROM scratch AS Empty\nFROM r.example.org:1/x@sha256:"
        + "0" * 64
        + "\nCOPY --from=1 a b\n"
        "COPY --from=eMpty a b\nCOPY --from=busybox a b\nRUN --mount=type=bind,from=EMPTY,target=/e --mount=from=busybox,target=/b x"
    )
    result, _ = run(text)
    assert [one.text for one in result.instructions] == [
        f"FROM {BASE}",
        "FROM scratch AS empty",
        "FROM pybuild.invalid/r.example.org__1/x:sha256-" + "0" * 64,
        "COPY --from=0 a b",
        "COPY --from=empty a b",
        "COPY --from=pybuild.invalid/docker.io/library/busybox:latest a b",
        "RUN --mount=type=bind,from=empty,target=/e "
        "--mount=type=bind,from=pybuild.invalid/docker.io/library/busybox:latest,target=/b x",
    ]


@pytest.mark.parametrize(
    ("text", "awaits"),
    [
        ("RUN a $X", False),
        ("ENV A=/b:$PATH", False),
        ("ENV A=b\nLABEL c=${A%x}", False),
        ("LABEL c=${A%x}", True),
        # What is made of something unknown is unknown.
        ("ENV A=$PATH\nLABEL c=${A%x}", True),
        ("ENV A=$PATH\nENV A=b\nLABEL c=${A%x}", False),
        ("WORKDIR ${A:?not here}", True),
        ("EXPOSE $PORT", True),
        ("COPY <<E /a\n$PATH\nE", True),
        ("COPY <<'E' /a\n$PATH\nE", False),
        ("RUN <<E\na\nE", True),
        ('SHELL ["x"]\nRUN <<E\na\nE', False),
        ("CMD a", True),
        ('CMD ["a"]', False),
        ('SHELL ["x"]\nCMD a', False),
    ],
)
def test_what_depends_on_the_base_waits_for_it(text: str, awaits: bool) -> None:
    assert run(f"FROM base:1\n{text}", {})[0].awaits_images == awaits
    assert not run(f"FROM base:1\n{text}".replace(":?not here", ":-"), KNOWN)[0].awaits_images
    assert not run(f"FROM scratch\n{text}".replace(":?not here", ":-"), {})[0].awaits_images


def test_an_image_without_a_path_gets_the_usual_one() -> None:
    facts = {BASE: ImageFacts()}
    assert in_stage("LABEL p=${PATH%%:*}", facts) == "LABEL p=/usr/local/sbin"


def test_a_value_with_a_line_end_cannot_be_written() -> None:
    found = run("FROM base:1\nARG A\nLABEL b=${A%x}", A="a\nb")[1]
    assert [(one.origin.line, "line end" in one.message) for one in found] == [(3, True)]


def test_what_is_too_large_for_a_recipe_is_a_problem() -> None:
    lines = ["FROM base:1", *(f"COPY <<E{number} /x\n{'a' * 60_000}\nE{number}" for number in range(120))]
    assert problems_of("\n".join(lines))[0].startswith("1: with its variables, the file has")


def test_thousands_of_instructions_take_no_time() -> None:
    lines = ["FROM base:1", *(f"ENV A{number}=${{A{number - 1}%x}} B=$A{number - 1}" for number in range(1, 2_000))]
    started = time.process_time()
    run("\n".join(lines))
    # On any machine; what is not linear takes minutes.
    assert time.process_time() - started < 15


WORDS = st.text(alphabet="ab$@{}:-%#/\\\"'` <>[]=.\n\té", max_size=30)


@given(
    st.lists(
        st.tuples(st.sampled_from(["RUN", "ENV A=", "ENV", "ARG A=", "COPY", "LABEL x=", "CMD", "USER"]), WORDS),
        max_size=5,
    )
)
@example([("ENV", "$ :\t:")])
def test_nothing_that_can_be_parsed_is_too_much(parts: list[tuple[str, str]]) -> None:
    text = "FROM base:1\n" + "\n".join(f"{keyword} {rest}" for keyword, rest in parts)
    dockerfile, wrong = parse_dockerfile(text.encode(), path="Dockerfile")
    if wrong:
        return
    evaluation, _ = evaluate(dockerfile, build_args={}, target=Target(os="linux", arch="amd64"))
    result, problems = lower(dockerfile, evaluation, build_args={}, facts=KNOWN, image_name=lambda image: image.local)
    recipe = Recipe(dockerfile="Dockerfile", instructions=result.instructions)
    again, wrong = parse_dockerfile(recipe.render()[0].encode(), path="Dockerfile")
    if problems or evaluation.stages == ():
        return
    # What is written is a Dockerfile with the same instructions, none of which needs to be put in other words again.
    assert wrong == ()
    assert sorted(one.keyword for one in again.instructions) == sorted(one.keyword for one in result.instructions)
    evaluation, _ = evaluate(again, build_args={}, target=Target(os="linux", arch="amd64"))
    once_more, _ = lower(again, evaluation, build_args={}, facts=KNOWN, image_name=lambda image: image.written)
    assert [one.text for one in once_more.instructions if one.keyword not in ("FROM", "RUN")] == [
        one.text for one in result.instructions if one.keyword not in ("FROM", "RUN")
    ]
