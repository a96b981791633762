from __future__ import annotations

import pytest

from buildpacks.dockerfile.commands import find_commands
from buildpacks.dockerfile.secret_values import holds_secret, is_secret
from buildpacks.dockerfile.warnings import find_warnings
from tests.buildpacks.dockerfile.dockerfiles import LINUX, instruction, read

UPDATE = "RUN apt-get update && "
CLEAN = " && rm -rf /var/lib/apt/lists/*"


def warnings_of(text: str, *, has_constraints: bool = False, build_args: dict[str, str] | None = None) -> list[str]:
    found = find_warnings(read(text), target=LINUX, build_args=build_args, has_constraints=has_constraints)
    assert all(advice.message and advice.change for advice in found)
    return [f"{advice.level} {advice.origin.line}: {advice.message}" for advice in found]


@pytest.mark.parametrize(
    "text",
    [
        "FROM python:3.12",
        "FROM python:3",
        "FROM python@sha256:" + "0" * 64,
        "FROM registry.example.org:5000/team/base:1 AS a\nFROM a",
        "FROM scratch",
        "FROM --platform=linux/amd64 base:1",
        "FROM --platform=$BUILDPLATFORM base:1",
        "ARG TAG=1\nFROM base:$TAG",
        "FROM base:$UNKNOWN",
        "FROM tensorflow/tensorflow:2.8.0",
        "FROM numpy:2.1",
        f"FROM base:1\n{UPDATE}apt-get install -y a{CLEAN}",
        f"FROM base:1\n{UPDATE}DEBIAN_FRONTEND=noninteractive sudo apt-get install -qq a{CLEAN}",
        f"FROM base:1\n{UPDATE}yes | apt-get install a; find /var/lib/apt/lists -delete",
        "FROM base:1\nRUN --mount=type=cache,target=/var/lib/apt apt-get update && apt-get -o A=b -t c install --yes a",
        "FROM base:1\nRUN <<EOF\napt-get update\napt-get install -y a\nrm -rf /var/lib/apt/lists/*\nEOF",
        "FROM base:1\nRUN echo apt-get install && apt-mark hold a",
        "FROM base:1\nRUN cd /a && b",
        "FROM base:1\nRUN [ -f /x ] && echo [y]",
        "FROM base:1\nENV GPG_KEY=0D96DF4D4110E5C43FBFB17F2D347EA6AA65421D TOKEN_FILE=/x PASSWORD= AUTH=false MONKEY=x",
        "FROM base:1\nARG VERSION\nLABEL key=value",
        "FROM base:1\nRUN pip install a",
        "FROM base:1\nRUN conda install a",
    ],
)
def test_there_is_nothing_to_say_of_good_ones(text: str) -> None:
    assert warnings_of(text) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM python", "warning 1: `FROM python` names no version, so it is another image every few weeks"),
        ("FROM host:5000/a", "warning 1: `FROM host:5000/a` names no version, so it is another image every few weeks"),
        ("FROM a:latest", "warning 1: `FROM a:latest` is another image every few weeks"),
        ("ARG T=latest\nFROM a:${T}", "warning 2: `FROM a:latest` is another image every few weeks"),
        (
            "FROM deepnote/python:3.7",
            "warning 1: `FROM deepnote/python:3.7` has Python 3.7, for which nobody mends faults any more",
        ),
        ("FROM python:2", "warning 1: `FROM python:2` has Python 2, for which nobody mends faults any more"),
        ("FROM a/lab-py39:1", "warning 1: `FROM a/lab-py39:1` has Python 3.9, for which nobody mends faults any more"),
        (
            "FROM a/b:x-python-3.8.6",
            "warning 1: `FROM a/b:x-python-3.8.6` has Python 3.8, for which nobody mends faults any more",
        ),
        (
            "FROM --platform=linux/arm64 a:1",
            "warning 1: `--platform=linux/arm64` is not the platform that is built for",
        ),
        ("# syntax=docker/dockerfile:1\nFROM a:1", "notice 1: `# syntax=docker/dockerfile:1` is not followed"),
        ("FROM a:1\nRUN a \\\n\n b", "warning 3: the line is blank, but the instruction goes on behind it"),
        (
            "FROM a:1\nENV A b",
            "notice 2: `ENV` without `=` is the old form, in which all that follows the name is the value",
        ),
        (
            "FROM a:1\nLABEL a b",
            "notice 2: `LABEL` without `=` is the old form, in which all that follows the name is the value",
        ),
        ("FROM a:1\nMAINTAINER me", "notice 2: `MAINTAINER` is deprecated"),
        ("FROM a:1\nRUN", "notice 2: `RUN` has no command"),
        ("FROM a:1\nCMD a\nCMD b", "warning 2: `CMD` has no effect, because line 3 has another"),
        ("FROM a:1\nEXPOSE 80:8080", "warning 2: `EXPOSE` takes a port of the container only; the rest has no effect"),
        (
            "FROM a:1\nCMD ['a', 'b']",
            "warning 2: `CMD ['a', 'b']` looks like a JSON array and is none, so a shell gets the brackets",
        ),
        (
            "FROM a:1\nRUN --mount=type=secret,id=a b",
            "warning 2: `--mount=type=secret`: a build has no secrets, so the file will not be there",
        ),
        ("FROM a:1\nRUN apt update -y", "warning 2: the package lists of apt stay in the image"),
        (
            f"FROM a:1\n{UPDATE}apt-get install a{CLEAN}",
            "warning 2: `apt-get install` asks whether to go on, and nobody answers",
        ),
        (
            f"FROM a:1\nRUN apt-get install -y a{CLEAN}",
            "warning 2: `apt-get install` without lists may ask for packages that the distribution has no more",
        ),
        ("FROM a:1\nRUN cd /a", "warning 2: `cd` has an effect on this `RUN` only, and nothing follows it there"),
        ("FROM a:1\nRUN bash -c 'apt-get update'", "warning 2: the package lists of apt stay in the image"),
        ('FROM a:1\nRUN ["/bin/sh", "-c", "apt-get update"]', "warning 2: the package lists of apt stay in the image"),
        (
            "FROM continuumio/miniconda3:1\nRUN conda install a",
            "warning 2: `conda` installs from Anaconda's own channels, which are not free for everybody",
        ),
        (
            "FROM a:1\nENV DB_PASSWORD=hunter2",
            "warning 2: `ENV DB_PASSWORD` looks like a secret, which everybody can read in the image's configuration",
        ),
        (
            "FROM a:1\nENV apiKey x1y2",
            "warning 2: `ENV apiKey` looks like a secret, which everybody can read in the image's configuration",
        ),
        (
            "FROM a:1\nARG TOKEN",
            "warning 2: `ARG TOKEN` looks like a secret, which everybody can read in the image's history",
        ),
        (
            "FROM a:1\nENV INDEX=https://me:hunter2@example.org/",
            "warning 2: `ENV INDEX` looks like a secret, which everybody can read in the image's configuration",
        ),
        (
            "FROM a:1\nRUN git clone https://me:hunter2@example.org/a",
            "warning 2: `RUN` holds what looks like a token or a password, which stays in the image's history",
        ),
    ],
)
def test_what_hurts_is_told_with_its_line(text: str, expected: str) -> None:
    assert expected in warnings_of(text)


def test_what_is_said_of_several_lines_is_said_once() -> None:
    found = find_warnings(read("FROM a:1\nENV A b\nENV C d\nENV E f\n"), target=LINUX)
    assert [advice.text for advice in found] == [
        "Dockerfile:2: `ENV` without `=` is the old form, in which all that follows the name is the value (also lines 3, 4): "
        'write `ENV NAME="value"`'
    ]


def test_lists_of_an_earlier_run_may_be_old() -> None:
    found = warnings_of("FROM a:1\nRUN apt-get update\nRUN apt-get install -y b\n")
    assert found == [
        "warning 2: the package lists of apt stay in the image",
        "warning 3: `apt-get install` with the lists of line 2 may ask for packages that the distribution has no more",
    ]


def test_lists_of_another_stage_do_not_count() -> None:
    found = warnings_of("FROM a:1\nRUN apt-get update\nFROM a:1\nRUN apt-get install -y b\n")
    assert "warning 4: `apt-get install` without lists may ask for packages that the distribution has no more" in found


def test_build_arguments_decide_what_an_image_is_called() -> None:
    assert warnings_of("ARG TAG=latest\nFROM a:$TAG\n", build_args={"TAG": "1"}) == []
    assert len(warnings_of("ARG TAG=1\nFROM a:$TAG\n", build_args={"TAG": "latest"})) == 1


@pytest.mark.parametrize(
    ("command", "is_told"),
    [
        ("pip install a", True),
        ("python3 -m pip install a", True),
        ("uv pip install a", True),
        ("/opt/venv/bin/pip3.11 install a", True),
        ("pip install --isolated a", True),
        ("pip install -c c.txt a", False),
        ("pip install --constraint=c.txt a", False),
        ("pip download a", False),
        ("pipx install a", False),
        ("echo pip install", False),
    ],
)
def test_pip_should_name_the_constraints_that_are_configured(command: str, is_told: bool) -> None:
    text = f"FROM a:1\nRUN {command}\n"
    assert bool(warnings_of(text, has_constraints=True)) == is_told
    assert warnings_of(text) == []


@pytest.mark.parametrize(
    ("text", "commands"),
    [
        ("RUN a 'b c' && d|e;f\\ g", [("a", "b c"), ("d",), ("e",), ("f g",)]),
        ('RUN A=1 sudo /usr/bin/a "b\\"c"', [("a", 'b"c')]),
        ("RUN if [ -f x ]; then a; fi", [("[", "-f", "x", "]"), ("a",), ("fi",)]),
        ("RUN (cd a && b) # c && d", [("cd", "a"), ("b",)]),
        ('RUN ["bash", "-ec", "a b; c"]', [("a", "b"), ("c",)]),
        ("RUN bash <<EOF\na\n# b\nc d\nEOF", [("bash", "<<EOF"), ("a",), ("c", "d")]),
        ("RUN python3 <<EOF\nimport a\nEOF", [("python3", "<<EOF")]),
        ("RUN <<EOF\n#!/usr/bin/env python3\nimport a\nEOF", [("<<EOF",)]),
        ("RUN echo 'not closed", [("echo", "not", "closed")]),
    ],
)
def test_commands_are_told_apart(text: str, commands: list[tuple[str, ...]]) -> None:
    assert list(find_commands(instruction(text))) == commands


@pytest.mark.parametrize(
    "name", ["TOKEN", "GITHUB_TOKEN", "db_password", "AWS_SECRET_ACCESS_KEY", "apiKey", "API_KEY", "MyPassword", "AUTH"]
)
def test_names_of_secrets(name: str) -> None:
    assert is_secret(name, "x")
    assert is_secret(name, None)
    assert not is_secret(name, "")


@pytest.mark.parametrize(
    "name",
    [
        "PATH",
        "KEYBOARD",
        "MONKEY",
        "TOKENIZERS_PARALLELISM",
        "PUBLIC_KEY",
        "PASSWORD_FILE",
        "GPG_KEY",
        "AUTHOR",
        "KEY_ID",
    ],
)
def test_names_of_other_things(name: str) -> None:
    assert not is_secret(name, "x")


@pytest.mark.parametrize(
    "value",
    [
        "ghp_" + "a" * 36,
        "glpat-" + "a" * 20,
        "AKIA" + "A" * 16,
        "sk-" + "a" * 24,
        "hf_" + "a" * 34,
        "xoxb-1234567890-a",
        "-----BEGIN RSA PRIVATE KEY-----",
        "https://user:pass@example.org/x",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.x",
    ],
)
def test_values_that_are_secrets_whatever_their_name(value: str) -> None:
    assert is_secret("X", value)


@pytest.mark.parametrize(
    "value",
    ["https://example.org/a", "https://user@example.org", "https://$USER:$PASSWORD@example.org", "sk-1", "a@b:c"],
)
def test_values_that_are_not(value: str) -> None:
    assert not holds_secret(value)
