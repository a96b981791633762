from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from lifecycle.cnb.plan import BuildPlan
from tests.buildpacks.conftest import Workbench


@pytest.fixture
def bench(workbench: Callable[[str], Workbench]) -> Workbench:
    return workbench("dockerfile")


def test_a_dockerfile_at_the_root_is_enough(bench: Workbench) -> None:
    bench.write({"Dockerfile": "FROM base:1\n"})
    run, plan = bench.detect()
    assert (run.status, run.stdout) == (0, "found `Dockerfile`\n")
    assert plan == BuildPlan()


def test_another_can_be_named(bench: Workbench) -> None:
    bench.write({"Dockerfile": "FROM base:1\n", "docker/gpu.Dockerfile": "FROM base:2\n"})
    bench.env["BP_DOCKERFILE"] = "./docker/gpu.Dockerfile"
    run, _ = bench.detect()
    assert (run.status, run.stdout) == (0, "found `docker/gpu.Dockerfile`\n")


def test_a_broken_one_is_not_passed_over(bench: Workbench) -> None:
    bench.write({"Dockerfile": "COPY x\n"})
    assert bench.detect()[0].status == 0


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"main.py": ""}, "no `Dockerfile` in the app directory"),
        ({"Dockerfile/x": ""}, "no `Dockerfile` in the app directory"),
        (
            {"dockerfile": ""},
            "no `Dockerfile` in the app directory, but there is `dockerfile`: name it with `BP_DOCKERFILE`",
        ),
        (
            {"Dockerfile.dev": "", "docker/Dockerfile": ""},
            "no `Dockerfile` in the app directory, but there is `Dockerfile.dev`: name it with `BP_DOCKERFILE`",
        ),
        (
            {".deepnote/Dockerfile": ""},
            "no `Dockerfile` in the app directory, but there is `.deepnote/Dockerfile`: name it with `BP_DOCKERFILE`",
        ),
    ],
)
def test_without_one_the_reason_says_what_there_is(bench: Workbench, files: dict[str, str], reason: str) -> None:
    bench.write(files)
    run, _ = bench.detect()
    assert (run.status, run.stdout) == (100, f"{reason}\n")


@pytest.mark.parametrize("name", ["missing", "file/below", "x" * 300])
def test_one_that_is_named_and_not_there_is_named_in_the_reason(bench: Workbench, name: str) -> None:
    bench.write({"Dockerfile": "FROM base:1\n", "file": ""})
    bench.env["BP_DOCKERFILE"] = name
    run, _ = bench.detect()
    assert (run.status, run.stdout) == (100, f"no `{name}` in the app directory (`BP_DOCKERFILE` names it)\n")


@pytest.mark.parametrize("name", ["/etc/hostname", "../Dockerfile", "a/../../b"])
def test_a_name_outside_of_the_repository_is_an_error(bench: Workbench, name: str) -> None:
    bench.env["BP_DOCKERFILE"] = name
    run, _ = bench.detect()
    assert run.status == 1
    assert run.stderr == (
        f"error: `BP_DOCKERFILE` cannot be `{name}`\n"
        "hint: set it to the path of a file in the repository, relative to its root\n"
    )


def test_a_link_inside_of_the_repository_is_followed(bench: Workbench) -> None:
    bench.write({"docker/Dockerfile": "FROM base:1\n"})
    (bench.app / "Dockerfile").symlink_to("docker/Dockerfile")
    assert bench.detect()[0].stdout == "found `Dockerfile`\n"


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("/etc/hostname", "is a symbolic link that leads out of the app directory"),
        ("../outside", "is a symbolic link that leads out of the app directory"),
        ("missing", "is a symbolic link that leads nowhere"),
        ("Dockerfile", "is a symbolic link that leads nowhere"),
        ("/proc/self/environ", "is a symbolic link that leads out of the app directory"),
    ],
)
def test_a_link_that_leads_elsewhere_is_told_and_not_read(bench: Workbench, target: str, reason: str) -> None:
    (bench.root / "outside").write_text("FROM base:1\n")
    (bench.app / "Dockerfile").symlink_to(target)
    run, _ = bench.detect()
    assert run.status == 0
    assert run.stdout == f"found `Dockerfile`, which cannot be used as it is: Dockerfile: {reason}\n"


def test_a_fifo_does_not_stop_detection(bench: Workbench) -> None:
    os.mkfifo(bench.app / "Dockerfile")
    run, _ = bench.detect()
    assert run.status == 0
    assert run.stdout == "found `Dockerfile`, which cannot be used as it is: Dockerfile: is not a regular file\n"
