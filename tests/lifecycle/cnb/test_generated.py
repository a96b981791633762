"""What image extensions generate: which Dockerfiles keep to the contract, and what is said of the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from lifecycle.cnb.api import ApiVersion
from lifecycle.cnb.errors import ConfigurationError
from lifecycle.cnb.generated import Kind, parse_instructions, read_arguments, read_dockerfile, read_generated
from lifecycle.cnb.group import GroupElement
from lifecycle.cnb.identifier import BuildpackId

BASE = "ARG base_image\nFROM ${base_image}\n"
LATEST = ApiVersion(0, 15)
EXTENSION = GroupElement(id=BuildpackId.parse("a/b"), version="1.0.0", api=ApiVersion(0, 12))


def write(directory: Path, kind: str, text: str) -> Path:
    path = directory / f"{kind}.Dockerfile"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "line", "mentions"),
    [
        ("RUN true\n", None, "has no `FROM`"),
        ("", None, "has no `FROM`"),
        (f"{BASE}FROM scratch\n", 3, "second `FROM`"),
        ("FROM ${base_image}\n", 1, "exactly one `ARG`"),
        ("ARG base_image\nARG other\nFROM ${base_image}\n", 2, "exactly one `ARG`"),
        ("ARG base_image other\nFROM ${base_image}\n", 1, "exactly one `ARG`"),
        ("ARG other\nFROM ${base_image}\n", 1, "`ARG base_image`"),
        ("ARG base_image\nFROM debian\n", 2, "not `FROM debian`"),
        ("ARG base_image\nFROM $base_image\n", 2, "not `FROM $base_image`"),
    ],
)
@pytest.mark.requirement("EXT-02")
def test_a_build_dockerfile_begins_with_the_base_image(
    tmp_path: Path, text: str, line: int | None, mentions: str
) -> None:
    with pytest.raises(ConfigurationError, match=r"build\.Dockerfile") as caught:
        read_dockerfile(write(tmp_path, "build", text), Kind.BUILD)
    assert caught.value.line == line
    assert mentions in caught.value.message


@pytest.mark.parametrize(
    ("text", "mentions"),
    [
        ("RUN true\n", "has no `FROM`"),
        ("FROM a\nFROM b\n", "second `FROM`"),
        ("FROM ${base_image}\n", "needs `ARG base_image`"),
        ("ARG other=debian\nFROM ${other}\n", "not `${other}`"),
    ],
)
@pytest.mark.requirement("EXT-02")
def test_a_run_dockerfile_begins_with_an_image_that_is_known(tmp_path: Path, text: str, mentions: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_dockerfile(write(tmp_path, "run", text), Kind.RUN)
    assert mentions in caught.value.message


@pytest.mark.parametrize(
    ("text", "base", "extends"),
    [
        (BASE, None, False),
        (f"{BASE}RUN true\n", None, True),
        ("ARG base_image=scratch\nFROM --platform=linux/amd64 ${base_image} AS name\nUSER 1\n", None, True),
        ("# syntax=docker/dockerfile:1\n\nfrom debian:12 \\\n  # comment\n  AS x\n", "debian:12", False),
        ("ARG base_image\nFROM host:5000/debian@sha256:0\nENV A=B\n", "host:5000/debian@sha256:0", True),
    ],
)
def test_a_run_dockerfile_extends_an_image_or_takes_another(
    tmp_path: Path, text: str, base: str | None, *, extends: bool
) -> None:
    found = read_dockerfile(write(tmp_path, "run", text), Kind.RUN)
    assert (found.base, found.extends, found.unexpected) == (base, extends, ())


@pytest.mark.requirement("EXT-02")
def test_instructions_that_extensions_should_not_use_are_named_with_their_lines(tmp_path: Path) -> None:
    text = f"{BASE}RUN true\nEXPOSE 80\nHEALTHCHECK NONE\n"
    found = read_dockerfile(write(tmp_path, "build", text), Kind.BUILD)
    assert [(one.keyword, one.line) for one in found.unexpected] == [("EXPOSE", 4), ("HEALTHCHECK", 5)]


def test_instructions_are_read_with_continuations_comments_escapes_and_heredocs() -> None:
    text = (
        "# escape=`\n# a comment\nARG a `\n\n # in between\n b\nRUN <<ONE cat && <<-'TWO' sh\nFROM here\nONE\n"
        "FROM there\n\tTWO\nRUN c:\\dir\\\ncopy . .\n"
    )
    assert [(one.keyword, one.rest, one.line, one.last_line) for one in parse_instructions(text)] == [
        ("ARG", "a b", 3, 6),
        ("RUN", "<<ONE cat && <<-'TWO' sh", 7, 11),
        ("RUN", "c:\\dir\\", 12, 12),
        ("COPY", ". .", 13, 13),
    ]


def test_arguments_belong_to_one_kind(tmp_path: Path) -> None:
    path = tmp_path / "extend-config.toml"
    assert read_arguments(path, Kind.RUN) == ()
    path.write_text('[[build.args]]\nname = "a"\nvalue = "1"\n[[run.args]]\nname = "b"\nvalue = ""\n')
    assert read_arguments(path, Kind.BUILD) == (("a", "1"),)
    assert read_arguments(path, Kind.RUN) == (("b", ""),)


@pytest.mark.parametrize("name", ["build_id", "user_id", "group_id"])
@pytest.mark.requirement("EXT-04")
def test_arguments_that_the_lifecycle_gives_cannot_be_set(tmp_path: Path, name: str) -> None:
    path = tmp_path / "extend-config.toml"
    path.write_text(f'[[run.args]]\nname = "{name}"\nvalue = "1"\n')
    with pytest.raises(ConfigurationError, match=f"`run.args\\[0\\].name` must not be `{name}`"):
        read_arguments(path, Kind.RUN)


@pytest.mark.parametrize(
    ("contexts", "build", "run"),
    [
        ((), None, None),
        (("context",), "context", "context"),
        (("context.build",), "context.build", None),
        (("context.build", "context.run"), "context.build", "context.run"),
    ],
)
def test_a_context_is_for_both_kinds_or_for_one(
    tmp_path: Path, contexts: tuple[str, ...], build: str | None, run: str | None
) -> None:
    directory = tmp_path / "a_b"
    for name in ("", *contexts):
        (directory / name).mkdir()
    for kind, wanted in ((Kind.BUILD, build), (Kind.RUN, run)):
        write(directory, kind.value, BASE)
        (found,) = read_generated(tmp_path, (EXTENSION,), kind, LATEST)
        assert found.context == (None if wanted is None else directory / wanted)


@pytest.mark.requirement("EXT-04")
def test_a_context_for_both_cannot_stand_beside_one_for_one_kind(tmp_path: Path) -> None:
    directory = tmp_path / "a_b"
    for name in ("", "context", "context.build"):
        (directory / name).mkdir()
    write(directory, "run", BASE)
    with pytest.raises(ConfigurationError, match=r"`context` cannot stand beside `context\.build`"):
        read_generated(tmp_path, (EXTENSION,), Kind.RUN, LATEST)


def test_what_an_older_platform_gave_lies_elsewhere(tmp_path: Path) -> None:
    directory = tmp_path / "run" / "a_b"
    directory.mkdir(parents=True)
    (directory / "Dockerfile").write_text(BASE)
    (found,) = read_generated(tmp_path, (EXTENSION,), Kind.RUN, ApiVersion(0, 12))
    assert found.extension == "a/b"
    assert read_generated(tmp_path, (EXTENSION,), Kind.RUN, LATEST) == ()
