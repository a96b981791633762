"""What is wrong with instructions, all of it at once and before anything is fetched."""

from __future__ import annotations

import pytest

from buildpacks.dockerfile.errors import InvalidDockerfile
from lifecycle.cnb.errors import render_error
from tests.buildpacks.dockerfile.dockerfiles import problems_of, read


@pytest.mark.parametrize(
    ("text", "message", "change"),
    [
        ("FORM x", "`FORM` is no instruction", "write `FROM`"),
        ("Runn x", "`Runn` is no instruction", "write `RUN`"),
        ("RUN\u00a0a b", "`RUN\u00a0a` holds U+00A0, which looks like a space or like nothing", "type it again, with an ordinary space"),
        ("{% if x %}", "`{%` is of a template that is not filled in", "commit the Dockerfile that the template gives"),
        ("RUN", None, None),
        ("RUN []", "`RUN` has no command", "write it as `RUN command`"),
        ('RUN ["a", 1]', "`RUN` has an array that holds more than strings", "write it as `RUN command`"),
        ("RUN --mount=type=cache,target=/x --mont=a b", "`RUN` knows no `--mont`", "write `--mount`"),
        ("RUN --network=lan a", "`--network` cannot be `lan`", "write `default` or `none` or `host`"),
        ("RUN --network a", "`--network` has no value", "write `--network=…`, without spaces"),
        ("RUN --mount=type=disk a", "`--mount` knows no type `disk`", "write it as in `--mount=type=cache,target=/var/cache/apt`"),
        ("RUN --mount=type=cache a", "`--mount=type=cache` needs a `target`, a directory other than `/`", None),
        ("RUN --mount=type=bind,target=/x,bind-propagation=shared a", "`--mount` knows no `bind-propagation`", None),
        ("RUN --mount=type=bind,target=/x,from=$x a", "`--mount` takes no variable in `from`", None),
        ("RUN --mount=type=tmpfs,target=/x,sharing=locked a", "`--mount=type=tmpfs` knows no `sharing`", None),
        ("RUN <<EOF\nx", "`<<EOF` opens a here-document that nothing ends", None),
        ("RUN echo $(( x << 2 ))", "`<<2` opens a here-document that nothing ends", None),
        ("RUN echo $((x<<2))", None, None),
        ("CMD --x a", "`CMD` knows no `--x`", "`CMD` has no flags: what begins with `--` cannot come first"),
        ("ENV", "`ENV` names nothing", 'write it as `ENV NAME="value"`'),
        ("ENV A", "`ENV` gives `A` no value", 'write it as `ENV NAME="value"`'),
        ("ENV A=1 B", "`ENV` has `B` without `=`", 'write it as `ENV NAME="value"`'),
        ("ENV =1", "`ENV` has a value without a name", 'write it as `ENV NAME="value"`'),
        ("ENV A=it's", "`ENV` a single quote is not closed", 'write it as `ENV NAME="value"`'),
        ("ENV A=${B", "`ENV` `${B` is not closed with `}`", 'write it as `ENV NAME="value"`'),
        ("ENV A=${B:?set}", None, None),
        ("ARG", "`ARG` names nothing", "write it as `ARG NAME` or `ARG NAME=value`"),
        ("ARG --x", "`ARG` names nothing", "write it as `ARG NAME` or `ARG NAME=value`"),
        ("LABEL a", "`LABEL` gives `a` no value", 'write it as `LABEL name="value"`'),
        ("COPY a", "`COPY` needs a source and a destination", "write it as `COPY source… destination`"),
        ('COPY ["a"]', "`COPY` needs a source and a destination", "write it as `COPY source… destination`"),
        ("COPY a <<EOF\nEOF", "`COPY` has a here-document where the destination belongs", "write it as `COPY source… destination`"),
        ("COPY --form=x a b", "`COPY` knows no `--form`", "write `--from`"),
        ("COPY --from=$x a b", "`--from` takes no variable", None),
        ("COPY --link=maybe a b", "`--link` cannot be `maybe`", "write `--link` or leave it out"),
        ("COPY --chown=a --chown=b a b", "`--chown` is there twice", "keep one of the two"),
        ("ADD a", "`ADD` needs a source and a destination", "write it as `ADD source… destination`"),
        ("WORKDIR", "`WORKDIR` says nothing", "write it as `WORKDIR /path`"),
        ("USER", "`USER` says nothing", "write it as `USER name`"),
        ("VOLUME []", "`VOLUME` names no directory", 'write it as `VOLUME ["/data"]`'),
        ("EXPOSE", "`EXPOSE` names no port", "write it as `EXPOSE 8080` or `EXPOSE 8080/udp`"),
        ("EXPOSE 80 99999", "`EXPOSE` has `99999`, which is no port", "write it as `EXPOSE 8080` or `EXPOSE 8080/udp`"),
        ("EXPOSE 80/ftp", "`EXPOSE` has `80/ftp`, which is no port", "write it as `EXPOSE 8080` or `EXPOSE 8080/udp`"),
        ("EXPOSE 90-80", "`EXPOSE` has `90-80`, which is no port", "write it as `EXPOSE 8080` or `EXPOSE 8080/udp`"),
        ("EXPOSE 80 $PORT \"81\" 8000-8010/UDP 127.0.0.1:80:8080", None, None),
        ("STOPSIGNAL SIGNOTHING", "`STOPSIGNAL` knows no signal `SIGNOTHING`", "write it as `STOPSIGNAL SIGTERM`"),
        ("STOPSIGNAL sigterm", None, None),
        ("STOPSIGNAL RTMIN+3", None, None),
        ("STOPSIGNAL 9", None, None),
        ("STOPSIGNAL $S", None, None),
        ("SHELL /bin/bash -c", "`SHELL` needs a JSON array with a program in it", 'write it as `SHELL ["/bin/bash", "-c"]`'),
        ("SHELL []", "`SHELL` needs a JSON array with a program in it", 'write it as `SHELL ["/bin/bash", "-c"]`'),
        ("HEALTHCHECK", "`HEALTHCHECK` says nothing", "write it as `HEALTHCHECK CMD command` or `HEALTHCHECK NONE`"),
        ("HEALTHCHECK a", "`HEALTHCHECK` has `a` instead of `CMD`", None),
        ("HEALTHCHECK NONE a", "`HEALTHCHECK` takes nothing after `NONE`", None),
        ("HEALTHCHECK CMD", "`HEALTHCHECK` has no command after `CMD`", None),
        ("HEALTHCHECK CMD []", "`HEALTHCHECK` has no command after `CMD`", None),
        ("HEALTHCHECK --interval=5 CMD a", "`HEALTHCHECK` cannot have `--interval=5`, which is no time such as `30s`", None),
        ("HEALTHCHECK --timeout=1us CMD a", "`HEALTHCHECK` cannot have `--timeout=1us`, which is less than a millisecond", None),
        ("HEALTHCHECK --retries=-1 CMD a", "`HEALTHCHECK` cannot have `--retries=-1`, which is no number", None),
        ("HEALTHCHECK --interval=1h2m.5s --timeout=0 --retries=3 cmd a", None, None),
        ("ONBUILD", "`ONBUILD` says nothing", "write it as `ONBUILD RUN command`"),
        ("ONBUILD ONBUILD RUN a", "`ONBUILD` cannot put off `ONBUILD`", "remove the line"),
        ("ONBUILD FROM a", "`ONBUILD` cannot put off `FROM`", "remove the line"),
        ("ONBUILD COPPY a b", "`COPPY` is no instruction", "write `COPY`"),
        ("ONBUILD ENV A", "`ENV` gives `A` no value", 'write it as `ENV NAME="value"`'),
        ("MAINTAINER", "`MAINTAINER` says nothing", 'write it as `LABEL org.opencontainers.image.authors="name"`'),
        ("FROM", "`FROM` names no image", "write it as `FROM image` or `FROM image AS name`"),
        ("FROM a b", "`FROM` has more than the name of an image, and `AS` with the name of a stage", None),
        ("FROM a AS 1a", "`FROM` cannot call a stage `1a`: names begin with a letter, and have letters, digits, `-`, `_` and `.`", None),
        ("FROM {{ base }}", "`{{` is of a template that is not filled in", "commit the Dockerfile that the template gives"),
        ("FROM a AS b\nFROM c as B", "a stage is called `b` already, at line 2", "give every stage a name of its own"),
        # These take back what the base has.
        ("CMD", None, None),
        ("ENTRYPOINT []", None, None),
    ],
)  # fmt: skip
def test_each_mistake_has_its_message(text: str, message: str | None, change: str | None) -> None:
    problems = problems_of(f"FROM base:1\n{text}\n")
    assert [problem.message for problem in problems] == ([] if message is None else [message])
    for problem in problems:
        assert change is None or problem.change == change
        assert problem.origin.line == 2 + text.startswith("FROM a AS b")


def test_every_mistake_of_a_file_is_found_at_once() -> None:
    problems = problems_of("# escape=x\nARG A\nENV B=1\nFROM a b\nEXPOSE\nRUN --mount=type=cache a\nCOPY x\nFOO\n")
    assert [(problem.origin.line, problem.kind, problem.instruction) for problem in problems] == [
        (1, "directive", None),
        (3, "before-from", "ENV"),
        (4, "arguments", "FROM"),
        (5, "arguments", "EXPOSE"),
        (6, "flag", "RUN"),
        (7, "arguments", "COPY"),
        (8, "unknown-instruction", "FOO"),
    ]
    assert render_error(InvalidDockerfile(problems=problems)).splitlines()[:2] == [
        "error: 7 problems in `Dockerfile`",
        "  Dockerfile:1:  `# escape=x` is neither a backslash nor a backtick: write `# escape=\\` or `# escape=``, or remove the line",
    ]


def test_a_single_mistake_is_the_summary() -> None:
    error = InvalidDockerfile(problems=problems_of("FROM base:1\nCOPY x\n"))
    assert render_error(error) == (
        "error: Dockerfile:2: `COPY` needs a source and a destination\nhint: write it as `COPY source… destination`"
    )


@pytest.mark.parametrize("text", ["", "# only comments\n\n", "\n\n"])
def test_a_file_without_instructions_has_no_line_to_blame(text: str) -> None:
    (problem,) = problems_of(text)
    assert (problem.kind, problem.origin.line) == ("no-from", None)
    assert problem.message == "the file has no instructions"


def test_without_from_there_is_one_problem_not_one_for_each_line() -> None:
    (problem,) = problems_of("ARG A=1\nRUN a\nENV A=2\n")
    assert (problem.kind, str(problem.origin)) == ("no-from", "Dockerfile:1")


def test_a_missing_backslash_is_suspected_where_a_command_begins_a_line() -> None:
    (problem,) = problems_of("FROM base:1\nRUN a && \\\n  b &&\n  # then\n  /opt/c --d\n")
    assert problem.message == "`/opt/c` is no instruction"
    assert problem.change == "if it belongs to `RUN`, end line 3 with a backslash"
    (problem,) = problems_of("FROM base:1\nRUN a\n\n/opt/c --d\n")
    assert problem.change == "begin every line with an instruction, or a comment with `#`"


def test_every_marker_of_a_merge_conflict_is_named() -> None:
    problems = problems_of("<<<<<<< HEAD\nFROM a:1\n=======\nFROM b:1\n>>>>>>> branch\nRUN a \\\n<<<<<<< HEAD\n")
    assert [(problem.kind, problem.origin.line, problem.instruction) for problem in problems] == [
        ("merge-conflict", 1, "<<<<<<<"),
        ("merge-conflict", 3, "======="),
        ("merge-conflict", 5, ">>>>>>>"),
        ("merge-conflict", 7, "<<<<<<<"),
    ]


@pytest.mark.parametrize("text", ["# escape=`\n# escape=\\\n", "# syntax=a\n# Syntax=b\n"])
def test_a_directive_cannot_be_there_twice(text: str) -> None:
    (problem,) = problems_of(f"{text}FROM base:1\n")
    assert (problem.kind, problem.origin.line) == ("directive", 2)


def test_a_line_that_no_builder_reads_is_a_problem() -> None:
    (problem,) = problems_of("FROM base:1\nRUN a\n# " + "x" * 65_534 + "\n")
    assert (problem.kind, problem.origin.line) == ("too-large", 3)
    read("FROM base:1\nRUN a\n# " + "x" * 65_533 + "\n")


def test_a_command_that_no_shell_takes_is_a_problem() -> None:
    (problem,) = problems_of("FROM base:1\nRUN a " + f"{'a' * 100}\\\n" * 10_001)
    assert (problem.kind, problem.origin.line) == ("too-large", 2)


def test_a_file_that_is_none_is_not_read_to_its_end() -> None:
    assert len(problems_of("import os\n" * 10_000)) == 1000
