"""Reads Dockerfiles for tests."""

from __future__ import annotations

from buildpacks.dockerfile.errors import Problem
from buildpacks.dockerfile.instruction import Dockerfile, Instruction
from buildpacks.dockerfile.parser import parse_dockerfile
from lifecycle.cnb.target import Target

LINUX = Target(os="linux", arch="amd64")


def read(text: str | bytes) -> Dockerfile:
    """A Dockerfile without mistakes."""
    dockerfile, problems = parse_dockerfile(text if isinstance(text, bytes) else text.encode(), path="Dockerfile")
    assert problems == ()
    return dockerfile


def problems_of(text: str | bytes) -> tuple[Problem, ...]:
    _, problems = parse_dockerfile(text if isinstance(text, bytes) else text.encode(), path="Dockerfile")
    assert all(problem.message and problem.change for problem in problems)
    return problems


def instruction(text: str) -> Instruction:
    """The instruction that follows a `FROM`."""
    return read(f"FROM base:1\n{text}\n").instructions[1]
