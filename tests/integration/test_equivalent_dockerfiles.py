"""Dockerfiles of built environments, built by Docker: the same distributions in the same versions, conda's packages among them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from pybuild.builder import default_definition_path, read_definition
from pybuild.builder.tools import pip_wheel_path
from tests.integration.command import Pybuild, expect_success
from tests.integration.conda_build import CondaBuilds, write_environment
from tests.integration.engine import DockerEngine
from tests.integration.package_index import PackageIndex

pytestmark = pytest.mark.engine

_BASE = "base:1"
# Distributions as `pip list` has them, and the names of conda's records: name, version and build of each package
_PROGRAM = """
import importlib.metadata, json, pathlib, sys
records = pathlib.Path(sys.prefix, "conda-meta").glob("*.json")
found = sorted((one.metadata["Name"], one.version) for one in importlib.metadata.distributions())
print(json.dumps({"prefix": sys.prefix, "found": found, "conda": sorted(one.name for one in records)}))
"""
_PYTHON = ("python", "-I", "-c", _PROGRAM)


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """What an image holds."""

    prefix: str
    distributions: dict[str, str]
    conda: list[str]

    @classmethod
    def parse(cls, printed: str) -> Holding:
        values = json.loads(printed)
        return cls(prefix=values["prefix"], distributions=dict(values["found"]), conda=values["conda"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """An environment that pybuild has built."""

    image: str
    holding: Holding
    dockerfile: str


def build(command: Pybuild, name: str, source: Path, *settings: str) -> Built:
    """What `pybuild env` makes of a file."""
    expect_success(command("env", "register", name, source))
    image = expect_success(command("env", "build", name, *settings)).stdout.strip()
    listed = expect_success(command("run", image, "--", *_PYTHON)).stdout
    dockerfile = expect_success(command("env", "show", "--dockerfile", name)).stdout
    return Built(image=image, holding=Holding.parse(listed), dockerfile=dockerfile)


def make(engine: DockerEngine, dockerfile: str, directory: Path, **arguments: str) -> Holding:
    """What Docker makes of a Dockerfile alone."""
    directory.mkdir()
    (directory / "Dockerfile").write_text(dockerfile)
    options = [word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")]
    engine("build", "--quiet", "--network", "host", *options, "--tag", directory.name, str(directory))
    return Holding.parse(engine("run", "--rm", "--network", "none", "--entrypoint", "", directory.name, *_PYTHON))


def write_poetry(directory: Path, index: PackageIndex) -> Path:
    """A project that depends on `beta`."""
    directory.mkdir()
    project = directory / "pyproject.toml"
    project.write_text(
        f"""
[tool.poetry]
name = "own"
version = "1.0"
description = ""
authors = []

[tool.poetry.dependencies]
python = "~3.10"
beta = "*"

[[tool.poetry.source]]
name = "lab"
url = "{index.url}/"
"""
    )
    return project


def test_docker_makes_the_same_distributions(
    conda: CondaBuilds, engine: DockerEngine, index: PackageIndex, machine_store: Path, tmp_path: Path
) -> None:
    command = conda.pybuild.with_env(PYBUILD_WORKSPACE=f"oci:{tmp_path / 'workspace'}")
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("beta\ngamma\n")
    of_pip = build(command, "of-pip", requirements)
    of_poetry = build(command, "of-poetry", write_poetry(tmp_path / "poetry", index))
    packages = ("python=3.10", "pip", "tiny-tool", "tinyext")
    of_conda = build(
        command,
        "of-conda",
        write_environment(tmp_path / "conda", packages, pip=["beta"]) / "environment.yml",
        *conda.options(),
    )

    # In the place of the public base images, which cannot be had everywhere, is one with Python and pip.
    archive = tmp_path / "base.tar"
    copy = ["skopeo", "copy", "--quiet", of_pip.image.partition("@")[0], f"docker-archive:{archive}:{_BASE}"]
    subprocess.run(copy, check=True)
    engine.load(archive)
    # What the Dockerfiles take from PyPI: pip of the version that the images have, and rattler
    shutil.copy(pip_wheel_path(read_definition(default_definition_path()).pip_version, machine_store), index.directory)
    rattler = next(line for line in of_conda.dockerfile.split() if line.startswith("py-rattler=="))
    download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(index.directory)]
    subprocess.run([*download, rattler], check=True)

    for name, built in (("made-of-pip", of_pip), ("made-of-poetry", of_poetry)):
        assert "ARG BASE=docker.io/library/python:3.10" in built.dockerfile
        assert "--require-hashes" in built.dockerfile
        made = make(engine, built.dockerfile, tmp_path / name, BASE=_BASE, PIP_INDEX_URL=index.url)
        assert made.distributions == built.holding.distributions
        assert made.distributions.items() >= {"beta": "1.0", "alpha": "1.0"}.items()
        assert (made.prefix, made.conda) == ("/opt/environment", [])

    images = {"INSTALLER": _BASE, "BASE": _BASE, "PIP_INDEX_URL": index.url, **conda.settings}
    conda.server.requests.clear()
    made = make(engine, of_conda.dockerfile, tmp_path / "made-of-conda", **images)
    assert len(conda.server.packages) == len(made.conda)
    assert made.conda == of_conda.holding.conda
    assert made.distributions == of_conda.holding.distributions
    assert made.distributions.items() >= {"beta": "1.0", "alpha": "1.0", "tiny-tool": "2.0"}.items()
    assert made.prefix == "/opt/environment"
