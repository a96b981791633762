from __future__ import annotations

from collections.abc import Callable

import pytest

from lifecycle.cnb.plan import BuildPlan, Requirement
from tests.buildpacks.conftest import Workbench


@pytest.fixture
def bench(workbench: Callable[[str], Workbench]) -> Workbench:
    return workbench("pip")


def test_a_requirement_file_needs_python(bench: Workbench) -> None:
    bench.write({"requirements.txt": ""})
    run, plan = bench.detect()
    assert run.status == 0
    assert plan == BuildPlan(
        provides=("site-packages",),
        requires=(
            Requirement(name="python", metadata={"build": True, "launch": True}),
            Requirement(name="site-packages", metadata={"launch": True}),
        ),
    )


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"main.py": ""}, "no `requirements.txt` in the app directory"),
        (
            {"course/requirements.txt": ""},
            "no `requirements.txt` in the app directory, but there is `course/requirements.txt`: name it with `BP_PIP_REQUIREMENT`",
        ),
        (
            {"Requirements_dev.txt": "", "course/requirements.txt": ""},
            "no `requirements.txt` in the app directory, but there is `Requirements_dev.txt`: name it with `BP_PIP_REQUIREMENT`",
        ),
        ({"requirements.txt/x": "", ".venv/requirements.txt": ""}, "no `requirements.txt` in the app directory"),
    ],
)
def test_without_one_the_reason_says_what_there_is(bench: Workbench, files: dict[str, str], reason: str) -> None:
    bench.write(files)
    run, _ = bench.detect()
    assert (run.status, run.stdout) == (100, f"{reason}\n")


def test_other_names_can_be_given_and_all_must_be_there(bench: Workbench) -> None:
    bench.env["BP_PIP_REQUIREMENT"] = "a.txt reqs/b.txt"
    bench.write({"a.txt": ""})
    run, _ = bench.detect()
    assert (run.status, run.stdout) == (100, "no `reqs/b.txt` in the app directory (`BP_PIP_REQUIREMENT` names it)\n")
    bench.write({"reqs/b.txt": ""})
    assert bench.detect()[0].status == 0
