"""Which stages and images a Dockerfile needs, by the rules of BuildKit."""

from __future__ import annotations

import time

import pytest

from buildpacks.dockerfile.evaluate import Evaluation, evaluate
from buildpacks.dockerfile.parser import parse_dockerfile
from lifecycle.cnb.target import Target, host_architecture

AMD64 = Target(os="linux", arch="amd64")
FOREIGN = Target(os="linux", arch="arm64" if host_architecture() == "amd64" else "amd64")


def run(
    text: str, /, *, stage: str | None = None, target: Target = AMD64, **build_args: str
) -> tuple[Evaluation, list[str]]:
    dockerfile, wrong = parse_dockerfile(text.encode(), path="Dockerfile")
    assert wrong == ()
    evaluation, problems = evaluate(dockerfile, build_args=build_args, target=target, stage_name=stage)
    return evaluation, [f"{problem.origin.line}: {problem.message}: {problem.change}" for problem in problems]


def images(text: str, **build_args: str) -> list[str]:
    evaluation, problems = run(text, stage=None, target=AMD64, **build_args)
    assert problems == []
    return [image.name for image in evaluation.images]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM a", "docker.io/library/a:latest"),
        ("FROM a/b:c AS d", "docker.io/a/b:c"),
        ("ARG V=3.11\nFROM python:$V", "docker.io/library/python:3.11"),
        ("ARG A=x\nARG B=${A}y\nFROM $B", "docker.io/library/xy:latest"),
        ("ARG A=x B=${A}y\nFROM $B", "docker.io/library/xy:latest"),
        ("FROM ${A:-alpine}", "docker.io/library/alpine:latest"),
        ("ARG V=3.11.4-slim\nFROM python:${V%%-*}", "docker.io/library/python:3.11.4"),
        ("ARG V\nFROM python${V:+:$V}", "docker.io/library/python:latest"),
        # BuildKit warns of the variable only.
        ("FROM python$SUFFIX", "docker.io/library/python:latest"),
        ("ARG A=one\nARG A=two\nFROM $A", "docker.io/library/two:latest"),
        ("FROM x-$TARGETARCH", "docker.io/library/x-amd64:latest"),
        ("FROM localhost:5000/a", "localhost:5000/a:latest"),
        ("# escape=`\nARG A=b\nFROM a`\n$A", "docker.io/library/ab:latest"),
    ],
)
def test_the_base_is_spelled_out(text: str, expected: str) -> None:
    assert images(text) == [expected]


def test_a_build_argument_wins_over_its_default_and_gives_what_has_none() -> None:
    assert images("ARG A=x\nARG B\nFROM $A-$B", A="y", B="z") == ["docker.io/library/y-z:latest"]


def test_a_build_argument_counts_only_where_it_is_declared() -> None:
    _, problems = run("FROM $A", A="x")
    assert problems == [
        "1: `FROM $A` names no image: `A` is not set: "
        "write `ARG A=…` before the first `FROM`, or set it with `--build-arg A=…`"
    ]


def test_nothing_is_an_image_too() -> None:
    evaluation, problems = run("FROM scratch\nCOPY a /")
    assert (evaluation.images, problems) == ((), [])
    assert evaluation.stages[0].base.image is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("FROM a\nARG B=c\nFROM $B", "3: `FROM $B` names no image: `B` is not set"),
        ("ARG B\nFROM python:$B", "2: `FROM python:$B` names no image: `B` is not set"),
        ('FROM "${X:+x}"', '1: `FROM "${X:+x}"` names no image: `X` is not set'),
        ("ARG A=''\nFROM $A", "2: `FROM $A` names no image: what it stands for is empty"),
        ("FROM Python", "1: `FROM Python`: `Python`: is not an image reference"),
        ("FROM a AS Build\nFROM Build", "2: `FROM Build`: `Build`: is not an image reference"),
        ("FROM a@sha256:12", "1: `FROM a@sha256:12`: `sha256:12`: is not a digest"),
        ("FROM --platform=$X a", "1: `--platform=$X`: what it stands for is empty"),
        ("FROM --platform=a/b/c/d a", "1: `--platform=a/b/c/d`"),
        ("FROM a\nCOPY --from=0 x y", "2: `COPY --from=0` names the stage that it is in"),
        ("FROM a AS b\nCOPY --from=B x y", "2: `COPY --from=B` names the stage that it is in"),
        ("FROM a\nCOPY --from=c x y\nFROM b AS c", "2: `COPY --from=c` names a stage that comes later"),
        ("FROM a\nCOPY --from=1 x y\nFROM b", "2: `COPY --from=1` names a stage that comes later"),
        ("FROM a\nCOPY --from=7 x y", "2: `COPY --from=7` names a stage that there is not"),
        (f"FROM a\nCOPY --from={'9' * 5000} x y", "2: `COPY --from=999"),
        ("FROM a\nCOPY --from=A_? x y", "2: `COPY --from=A_?`: `A_?`: is not an image reference"),
        ("FROM a AS b\nRUN --mount=from=b,target=/x y", "2: `RUN --mount=from=b` names the stage that it is in"),
        (
            "FROM a\nRUN \\\n --mount=from=c,target=/x y\nFROM b AS c",
            "3: `RUN --mount=from=c` names a stage that comes later",
        ),
        ('ARG A="${B:?must be given}"\nFROM a', "1: `ARG A="),
    ],
)
def test_what_cannot_be_known_is_a_problem_with_its_line(text: str, problem: str) -> None:
    _, problems = run(text)
    assert len(problems) == 1
    assert problems[0].startswith(problem)


def test_a_stage_written_large_is_named_as_it_is_known() -> None:
    _, problems = run("FROM a AS Build\nFROM Build")
    assert problems[0].endswith("write `FROM build`")


def test_all_problems_come_at_once() -> None:
    _, problems = run("FROM $A\nCOPY --from=5 a b\nFROM $B\nCOPY --from=Z! a b")
    assert [problem.partition(":")[0] for problem in problems] == ["1", "2", "3", "4"]


def test_only_what_the_last_stage_needs_is_kept() -> None:
    evaluation, problems = run(
        "FROM a AS one\nFROM b AS two\nFROM c AS three\nCOPY --from=two x y\nFROM d AS four\nFROM three\nCOPY --from=e x y"
    )
    assert problems == []
    assert [stage.index for stage in evaluation.stages] == [1, 2, 4]
    assert [image.written for image in evaluation.images] == ["b", "c", "e"]
    assert [image.line for image in evaluation.images] == [2, 3, 7]


def test_another_stage_can_be_the_one_to_build() -> None:
    text = "FROM a AS Base\nFROM b\nFROM base AS last"
    assert [stage.index for stage in run(text, stage="BASE")[0].stages] == [0]
    assert run(text, stage="nope")[0].stages == ()
    # A name cannot be a number, and stages are not counted here.
    assert run(text, stage="1")[0].stages == ()


def test_problems_of_stages_that_are_not_needed_count() -> None:
    assert len(run("FROM $A AS x\nFROM b")[1]) == 1


def test_a_name_of_a_stage_hides_an_image() -> None:
    assert images("FROM a AS debian\nFROM debian\nCOPY --from=debian x y") == ["docker.io/library/a:latest"]


def test_a_stage_sees_only_names_above_it() -> None:
    assert images("FROM debian AS debian\nRUN x") == ["docker.io/library/debian:latest"]


def test_mounts_and_copies_take_stages_by_number_name_and_image() -> None:
    evaluation, problems = run(
        "FROM a\nFROM b AS two\nFROM c\nCOPY --from=0 x y\n"
        'RUN --mount=type=bind,from=Two,target=/t --mount="type=cache,target=/c,from=d" x\nCOPY --from=scratch x y'
    )
    assert problems == []
    sources = evaluation.stages[-1].sources
    assert (sources["0"].stage, sources["Two"].stage) == (0, 1)
    assert (sources["d"].image is not None, sources["scratch"].image) == (True, None)


def test_images_are_counted_once_with_their_first_line() -> None:
    evaluation, _ = run(
        "FROM a:1 AS x\nFROM a:1\nCOPY --from=a:1 x y\nCOPY --from=docker.io/library/a:1 x y\nCOPY --from=x a b"
    )
    assert [(image.name, image.line) for image in evaluation.images] == [("docker.io/library/a:1", 1)]


@pytest.mark.parametrize(
    ("flag", "platform"),
    [
        ("linux/amd64", None),
        ("LINUX/AMD64", None),
        ("linux/x86_64", None),
        ("linux", None),
        ("amd64", None),
        ("$BUILDPLATFORM", None),
        ("$TARGETPLATFORM", None),
        ("linux/arm64", "linux/arm64"),
        ("linux/aarch64/v8", "linux/arm64"),
        ("linux/arm/v6", "linux/arm/v6"),
    ],
)
def test_only_another_platform_is_said(flag: str, platform: str | None) -> None:
    evaluation, problems = run(f"FROM --platform={flag} a")
    assert problems == []
    assert evaluation.images[0].platform == platform


def test_images_are_those_of_the_architecture_that_is_built_for_and_its_programs_do_not_run() -> None:
    text = (
        "FROM a AS x\nRUN one\nFROM --platform=$BUILDPLATFORM b AS y\nRUN two\nFROM y AS z\nRUN three\n"
        "FROM x\nENV A=$TARGETARCH\nRUN four\nCOPY --from=z a b\nCOPY --from=c a b"
    )
    evaluation, problems = run(text, target=FOREIGN)
    assert [(image.name, image.platform) for image in evaluation.images] == [
        ("docker.io/library/a:latest", FOREIGN.platform),
        ("docker.io/library/b:latest", None),
        ("docker.io/library/c:latest", FOREIGN.platform),
    ]
    assert [problem.partition(" would")[0] for problem in problems] == ["2: `RUN`", "9: `RUN`"]
    assert (
        f"programs of {FOREIGN.platform}, which this machine cannot: build on a {FOREIGN.platform} machine"
        in problems[0]
    )
    _, problems = run("FROM a\nENV A=1\nCOPY a b\nWORKDIR /c", target=FOREIGN)
    assert problems == []


def test_one_image_for_two_platforms_is_two_images() -> None:
    evaluation, _ = run("FROM --platform=linux/arm64 a AS x\nFROM a\nCOPY --from=x a b")
    assert len({image.local for image in evaluation.images}) == 2


@pytest.mark.parametrize(
    ("written", "local"),
    [
        ("python:3.11", "docker.io/library/python:3.11"),
        ("localhost:5000/a/b", "localhost__5000/a/b:latest"),
        ("Registry.Example.org/a", "registry.example.org/a:latest"),
        (f"a:1@sha256:{'0' * 64}", f"docker.io/library/a:sha256-{'0' * 64}"),
        (f"a@sha512:{'0' * 128}", f"docker.io/library/a:sha512-{'0' * 121}"),
        ("[::1]:5000/a", None),
        ("registry.example.org/" + "a" * 230, None),
    ],
)
def test_local_names_are_names_that_no_registry_has(written: str, local: str | None) -> None:
    from lifecycle.cnb.reference import Reference

    found = run(f"FROM {written}")[0].images[0].local
    assert local is None or found == f"pybuild.invalid/{local}"
    assert str(Reference.parse(found)) == found
    assert len(found.rpartition(":")[0]) <= 255


def test_variables_cannot_fill_the_memory() -> None:
    lines = ["ARG A0=aaaaaaaaaaaaaaaa", *(f"ARG A{n + 1}=" + f"${{A{n}}}" * 16 for n in range(12)), "FROM a:$A12"]
    _, problems = run("\n".join(lines))
    assert "too long" in problems[0] or "longer than" in problems[0]


def test_many_stages_take_no_longer_than_their_number() -> None:
    lines = ["FROM a AS s0"]
    for number in range(1, 1_500):
        lines += [f"FROM s{number - 1} AS s{number}", f"COPY --from={number - 1} x y", f"COPY --from={number} x y"]
    started = time.process_time()
    evaluation, problems = run("\n".join(lines))
    assert (len(evaluation.stages), len(problems)) == (1_500, 1_499)
    # On any machine; what is not linear takes minutes.
    assert time.process_time() - started < 15
