"""Dockerfiles that make what a build has resolved; that Docker builds them is shown in the tests with an engine."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pybuild.environments import conda_program
from pybuild.environments.definition import CondaPackages, Definition, PipPackages
from pybuild.environments.difference import describe_difference, describe_lock_difference
from pybuild.environments.equivalent import PREFIX, Resolved, render_equivalent

PROGRAM = Path(conda_program.__file__).read_text()
HASH = "sha256:" + "0" * 64
PIP_LOCK = (
    f"# A comment.\nalpha==2.0 ; python_version < '3.11' \\\n    --hash={HASH}\nbeta==1.0 \\\n    --hash={HASH}\n"
)
CONDA_LOCK = f"# platform: linux-64\n@EXPLICIT\nhttps://conda.example/linux-64/python-3.12.1-h1.conda#{HASH}\n"


def equivalent(definition: Definition, *, conda: str | None = None, pip: str | None = PIP_LOCK) -> str:
    texts = {"conda-explicit.lock": conda, "requirements.lock": pip}
    locks = {name: text for name, text in texts.items() if text is not None}
    text = render_equivalent("analysis:1", definition, Resolved(locks=locks, python="3.10.13", pip="26.3"))
    assert text is not None
    return text


def written(dockerfile: str, path: str) -> str:
    """What a shell writes into a file."""
    lines = []
    for instruction in dockerfile.replace("\\\n", " ").splitlines():
        if instruction.endswith(f">> {path}"):
            lines += shlex.split(instruction.removeprefix("RUN "))[2:-2]
    return "\n".join(lines)


def of_pip(*lines: str, **others: object) -> Definition:
    return Definition(packages=PipPackages.of(requirements=lines), **others)  # type: ignore[arg-type]


def test_pips_lock_is_installed_with_its_hashes() -> None:
    text = equivalent(of_pip("alpha", "--index-url https://index.example/simple", variables={"A": 'x "$y"'}))
    assert "ARG BASE=docker.io/library/python:3.10.13-slim-bookworm\nFROM ${BASE}\n" in text
    assert written(text, "/tmp/requirements.lock").splitlines() == [
        "--index-url https://index.example/simple",
        f"alpha==2.0 ; python_version < '3.11' --hash={HASH}",
        f"beta==1.0 --hash={HASH}",
    ]
    assert "--no-deps --require-hashes" in text
    assert "pip==26.3" in text
    assert 'ENV A="x \\"\\$y\\""\n' in text


def test_hashes_are_left_out_where_one_package_can_have_none() -> None:
    text = equivalent(of_pip("alpha"), pip=f"{PIP_LOCK}gamma @ git+https://git.example/gamma@0123\n/workspace/own\n")
    assert "--hash" not in text
    assert "gamma @ git+https" in text
    assert "# not here, because its files are not: /workspace/own" in text


def test_a_long_lock_is_written_in_parts() -> None:
    lock = "".join(f"p{number}==1.0 " + " ".join([f"--hash={HASH}"] * 20) + "\n" for number in range(200))
    text = equivalent(of_pip("alpha"), pip=lock)
    # https://www.man7.org/linux/man-pages/man2/execve.2.html: MAX_ARG_STRLEN
    assert max(map(len, text.replace("\\\n", " ").splitlines())) < 128 * 1024
    assert len(written(text, "/tmp/requirements.lock").splitlines()) == 200


def of_conda(**others: object) -> Definition:
    packages = CondaPackages.of(channels=["conda-forge"], packages=["python"], pip=["alpha"])
    return Definition(packages=packages, **others)  # type: ignore[arg-type]


def test_condas_lock_is_installed_in_a_stage_and_pips_on_top() -> None:
    text = equivalent(of_conda(variables={"A": "1"}), conda=CONDA_LOCK)
    assert "ARG INSTALLER=docker.io/library/python:3.12-slim-bookworm\nARG BASE=docker.io/library/debian:" in text
    assert written(text, "/tmp/conda-explicit.lock").splitlines() == CONDA_LOCK.splitlines()[1:]
    # The program comes through the shell as it is.
    assert written(text, "/tmp/install.py") == PROGRAM[PROGRAM.index("import asyncio") :].rstrip("\n")
    stage, image = text.split("FROM ${BASE}\n")
    assert f"python3 /tmp/install.py /tmp/conda-explicit.lock {PREFIX}" in stage
    assert image.startswith('ENV A="1"\nUSER root\n')
    assert f"COPY --from=pybuild-conda-packages {PREFIX} {PREFIX}" in image
    assert f"RUN {PREFIX}/bin/python -m pip install" in image
    assert "ARG PIP_INDEX_URL" in image
    assert "-m venv" not in text


def test_condas_packages_stand_on_what_somebody_elses_dockerfile_makes() -> None:
    given = """# syntax=docker/dockerfile:1
ARG TAG=1
FROM tools:$TAG AS tools
RUN <<END
FROM not-a-stage
END
RUN echo "select \\
FROM table"
FROM base:$TAG
COPY --from=0 /a /a
"""
    text = equivalent(of_conda(dockerfile=given), conda=CONDA_LOCK)
    head, rest = text.split("ARG INSTALLER=")
    assert head == "# syntax=docker/dockerfile:1\nARG TAG=1\n"
    begin, image = rest.split("FROM base:$TAG\n")
    assert [line for line in begin.splitlines() if line.startswith("FROM")] == [
        "FROM tools:$TAG AS tools",
        "FROM not-a-stage",
        'FROM table"',
        "FROM ${INSTALLER} AS pybuild-conda-packages",
    ]
    # What it takes by number is still what it was.
    assert image.startswith("COPY --from=0 /a /a\nUSER root\nCOPY --from=pybuild-conda-packages")
    assert equivalent(of_conda(image="base:1"), conda=CONDA_LOCK).startswith("ARG INSTALLER=")


def test_what_comes_by_git_needs_an_image_that_has_it() -> None:
    lock = "gamma @ git+https://git.example/gamma@0123\n"
    assert "python:3.10.13-bookworm\n" in equivalent(of_pip("gamma"), pip=lock)
    assert "ARG BASE=docker.io/library/buildpack-deps:bookworm-scm\n" in equivalent(
        of_conda(), conda=CONDA_LOCK, pip=lock
    )


def test_what_stands_on_an_image_keeps_standing_on_it() -> None:
    assert "\nFROM base:1\n" in f"\n{equivalent(of_pip('alpha', image='base:1'))}"
    managed = Definition(dockerfile="FROM base:1\nRUN true\n", user_managed=True, variables={"A": "1"})
    assert equivalent(managed, pip=None) == 'FROM base:1\nRUN true\nENV A="1"\n'
    # Backslashes do not continue lines where the Dockerfile says that another character does.
    escaped = equivalent(of_pip("alpha", dockerfile="# escape=`\nFROM base:1\n"))
    assert not [line for line in escaped.splitlines() if line.endswith("\\")]


@pytest.mark.parametrize(
    "repository", [{"repository": "https://git.example/x"}, {"files": {"requirements.txt": "alpha\n"}}]
)
def test_of_a_repository_there_is_what_is_locked(repository: dict[str, Any]) -> None:
    definition = Definition(**repository)
    text = equivalent(definition)
    assert "# The files of the repository are not here: COPY them\n" in text
    assert "alpha==2.0" in written(text, "/tmp/requirements.lock")
    # Its own Dockerfile makes more than what is locked.
    locked = Resolved(locks={"requirements.lock": PIP_LOCK}, python=None, pip=None)
    assert render_equivalent("analysis:1", definition, replace(locked, stands_on_more=True)) is None
    assert render_equivalent("analysis:1", definition, replace(locked, locks={})) is None


def test_differences_of_locks_name_packages_and_versions() -> None:
    before = {"pybuild/conda": {"conda-explicit.lock": CONDA_LOCK, "requirements.lock": PIP_LOCK}}
    after = {
        "pybuild/conda": {
            "conda-explicit.lock": CONDA_LOCK.replace("3.12.1-h1", "3.12.2-h1"),
            "requirements.lock": PIP_LOCK.replace("beta==1.0", "gamma==1.0").replace("alpha==2.0", "alpha==2.1"),
        }
    }
    assert describe_lock_difference(before, after) == (
        "~ alpha 2.0 -> 2.1",
        "- beta 1.0",
        "+ gamma 1.0",
        "~ python (conda) 3.12.1 h1 -> 3.12.2 h1",
    )
    assert describe_lock_difference(before, before) == ()


def test_differences_of_definitions_say_where_they_are() -> None:
    before = of_pip("alpha", image="base:1", variables={"A": "1"})
    after = of_pip("alpha", "beta", dockerfile="FROM base:1\n", variables={"A": "2"})
    assert describe_difference(before, after) == (
        "base image:",
        "  - base:1",
        "Dockerfile:",
        "  + FROM base:1",
        "variables:",
        "  - A=1",
        "  + A=2",
        "pip packages:",
        "  + beta",
    )
    assert describe_difference(before, before) == ()
