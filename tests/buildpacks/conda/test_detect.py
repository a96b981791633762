from __future__ import annotations

from collections.abc import Callable

import pytest

from lifecycle.cnb.plan import BuildPlan, Requirement
from tests.buildpacks.conftest import Workbench

PLAN = BuildPlan(
    provides=("conda-environment",),
    requires=(Requirement(name="conda-environment", metadata={"launch": True}),),
)
GOOD = "channels: [conda-forge, nodefaults]\ndependencies: [python=3.11]\n"


@pytest.fixture
def bench(workbench: Callable[[str], Workbench]) -> Workbench:
    return workbench("conda")


@pytest.mark.parametrize("name", ["environment.yml", "environment.yaml"])
def test_an_environment_file_gives_an_environment(bench: Workbench, name: str) -> None:
    bench.write({name: GOOD})
    run, plan = bench.detect()
    assert (run.status, run.stdout, run.stderr) == (0, f"found `{name}`\n", "")
    assert plan == PLAN


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("name: base\n", "`environment.yml` installs nothing (no `dependencies:`)"),
        ("", "`environment.yml` installs nothing (no `dependencies:`)"),
        (
            "name: base\nchannels: [defaults]\ndependencies:\n# add packages here\nprefix: /opt/conda\n",
            "`environment.yml` installs nothing (there is a `dependencies:` without packages)",
        ),
        (
            "dependencies:\n  - pip:\n",
            "`environment.yml` installs nothing (there is a `dependencies:` without packages)",
        ),
    ],
)
def test_a_file_that_installs_nothing_is_passed_over_with_the_reason(
    bench: Workbench, content: str, reason: str
) -> None:
    bench.write({"environment.yml": content})
    run, plan = bench.detect()
    assert (run.status, run.stdout) == (100, f"{reason}\n")
    assert plan == BuildPlan()


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"main.py": ""}, "no `environment.yml` in the app directory"),
        (
            {"binder/environment.yml": GOOD},
            "no `environment.yml` in the app directory, but there is `binder/environment.yml`:"
            " name it with `BP_CONDA_ENVIRONMENT`",
        ),
        (
            {"Environment.yml": GOOD},
            "no `environment.yml` in the app directory, but there is `Environment.yml`: name it with `BP_CONDA_ENVIRONMENT`",
        ),
    ],
)
def test_an_absent_file_is_explained(bench: Workbench, files: dict[str, str], reason: str) -> None:
    bench.write(files)
    run, _ = bench.detect()
    assert (run.status, run.stdout) == (100, f"{reason}\n")


def test_a_named_file_that_is_absent_is_explained(bench: Workbench) -> None:
    bench.write({"environment.yml": GOOD})
    bench.env["BP_CONDA_ENVIRONMENT"] = "envs/prod.yml"
    run, _ = bench.detect()
    assert (run.status, run.stdout) == (
        100,
        "no `envs/prod.yml` in the app directory (`BP_CONDA_ENVIRONMENT` names it)\n",
    )


@pytest.mark.parametrize(
    "content",
    [
        "channels: [defaults]\ndependencies: [numpy]\n",
        "dependencies: [numpy\n",
        "steps: []\n",
        b"\xff\xfe\xff",
        "dependencies:\n  - 3.9\n",
    ],
)
def test_a_broken_or_forbidden_file_is_not_left_to_another_buildpack(bench: Workbench, content: str | bytes) -> None:
    bench.write({"environment.yml": content, "requirements.txt": "numpy\n"})
    run, plan = bench.detect()
    assert run.status == 0
    assert "found `environment.yml`" in run.stdout
    assert plan == PLAN


@pytest.mark.parametrize("target", ["/etc/passwd", "missing.yml"])
def test_a_link_that_cannot_be_followed_is_not_left_to_another_buildpack(bench: Workbench, target: str) -> None:
    (bench.app / "environment.yml").symlink_to(target)
    run, plan = bench.detect()
    assert run.status == 0
    assert "cannot be used as it is" in run.stdout
    assert plan == PLAN


def test_the_file_that_is_passed_over_is_named(bench: Workbench) -> None:
    bench.write({"environment.yml": GOOD, "environment.yaml": GOOD})
    run, _ = bench.detect()
    assert run.status == 0
    assert "notice: `environment.yaml` is not read, because there is `environment.yml`" in run.stdout


def test_a_lock_alone_gives_an_environment(bench: Workbench) -> None:
    bench.write({"conda-lock.yml": "version: 1\n"})
    run, plan = bench.detect()
    assert (run.status, run.stdout) == (0, "found the lock `conda-lock.yml`\n")
    assert plan == PLAN


def test_a_lock_that_is_refused_gives_none(bench: Workbench) -> None:
    bench.write({"conda-lock.yml": "version: 1\n"})
    bench.env["BP_CONDA_LOCK"] = "none"
    run, _ = bench.detect()
    assert run.status == 100


def test_a_setting_that_means_nothing_is_an_error(bench: Workbench) -> None:
    bench.write({"environment.yml": GOOD})
    bench.env["BP_CONDA_NODEFAULTS"] = "off"
    run, _ = bench.detect()
    assert run.status == 1
    assert "error: `BP_CONDA_NODEFAULTS` cannot be `off`" in run.stderr


def test_the_explicit_lock_of_the_target_is_the_one_that_counts(workbench: Callable[[str], Workbench]) -> None:
    bench = workbench("conda")
    bench.write({"conda-linux-aarch64.lock": "@EXPLICIT\nhttps://conda.anaconda.org/conda-forge/noarch/a-1-0.conda\n"})
    assert bench.detect()[0].status == 100
    bench.env["CNB_TARGET_ARCH"] = "arm64"
    assert bench.detect()[0].status == 0
