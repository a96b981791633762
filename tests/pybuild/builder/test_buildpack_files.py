"""Buildpacks as a build image has them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lifecycle.cnb.buildpack import read_descriptor
from pybuild.builder.buildpack_files import copy_buildpack

_DESCRIPTOR = 'api = "0.12"\n[buildpack]\nid = "acme/one"\nversion = "1.0.0"\n'
_DETECT = """
from answers import ANSWER
from lifecycle.cnb.kit import BuildPlan


def detect(context):
    context.say(f"{ANSWER} of {context.buildpack_dir.name}")
    return BuildPlan(provides=("answer",))
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    directory = tmp_path / "one"
    directory.mkdir()
    (directory / "buildpack.toml").write_text(_DESCRIPTOR)
    return directory


def test_functions_become_programs_that_need_nothing_but_python(source: Path, tmp_path: Path) -> None:
    (source / "detect.py").write_text(_DETECT)
    (source / "build.py").write_text("def build(context): ...\n")
    (source / "answers.py").write_text("ANSWER = 42\n")
    target = tmp_path / "target"
    copy_buildpack(read_descriptor(source), target)
    plan, platform = tmp_path / "plan.toml", tmp_path / "platform"
    env = {"CNB_BUILDPACK_DIR": str(target), "CNB_BUILD_PLAN_PATH": str(plan), "CNB_PLATFORM_DIR": str(platform)}
    # The interpreter of the tests, because that of the machine may be too old; -S: without what is installed beside it.
    command = [sys.executable, "-ISB", str(target / "bin" / "detect")]
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "42 of target\n"
    assert plan.read_text() == '[[provides]]\nname = "answer"\n'
    assert all(os.access(target / "bin" / phase, os.X_OK) for phase in ("detect", "build"))


def test_a_buildpack_with_programs_is_copied_as_it_is(source: Path, tmp_path: Path) -> None:
    (source / "bin").mkdir()
    for phase in ("detect", "build"):
        (source / "bin" / phase).write_text("#!/bin/sh\n")
        (source / f"{phase}.py").write_text("its own affair\n")
    (source / "bin" / "link").symlink_to("build")
    copy_buildpack(read_descriptor(source), tmp_path / "target")
    found = {str(path.relative_to(tmp_path / "target")) for path in (tmp_path / "target").rglob("*")}
    assert found == {"bin", "bin/build", "bin/detect", "bin/link", "build.py", "buildpack.toml", "detect.py"}
    assert (tmp_path / "target" / "bin" / "link").readlink() == Path("build")
