"""The fix phase: which programs run, what they are given, and what becomes of their failures."""

from __future__ import annotations

import shlex
import sys

import pytest

from lifecycle.cnb.group import Group, GroupElement
from lifecycle.errors import BuildpackFailed
from lifecycle.fix import FixRequest, fix
from tests.interpreter import ISOLATED, ROOT
from tests.lifecycle.world import World


def add(world: World, name: str, program: str) -> GroupElement:
    element = world.add(name)
    path = world.buildpacks / element.id.directory_name / element.version / "bin" / "fix"
    path.write_text(program)
    path.chmod(0o755)
    return element


def run(world: World, *elements: GroupElement) -> None:
    request = FixRequest(
        group=Group(elements=elements),
        buildpacks_dir=world.buildpacks,
        surroundings=world.surroundings(),
        env={"PATH": "/usr/bin:/bin"},
    )
    fix(request, world.log)


def test_the_programs_run_in_the_order_of_the_group_and_those_without_one_are_passed_over(world: World) -> None:
    first = add(world, "first", '#!/bin/sh\necho "$BP_X" > file\n')
    second = world.add("second")
    third = add(world, "third", "#!/bin/sh\necho 3 >> file\necho did it\n")
    world.write("platform/env/BP_X", "of the user")
    run(world, first, second, third)
    assert (world.app / "file").read_text() == "of the user\n3\n"
    assert world.log.lines == ["---> first 1.0.0", "---> third 1.0.0", "did it"]


def test_a_program_that_fails_ends_the_phase(world: World) -> None:
    first = add(world, "first", "#!/bin/sh\necho error: no >&2\nexit 1\n")
    second = add(world, "second", "#!/bin/sh\ntouch file\n")
    with pytest.raises(BuildpackFailed) as caught:
        run(world, first, second)
    assert caught.value.summary == "buildpack `first` 1.0.0 could not fix: `bin/fix` exited with status 1"
    assert "error: no" in world.log.lines
    assert not (world.app / "file").exists()


def test_a_program_that_cannot_be_started_is_said(world: World) -> None:
    broken = add(world, "broken", "#!/nowhere\n")
    with pytest.raises(BuildpackFailed) as caught:
        run(world, broken)
    assert caught.value.status is None


def test_a_program_that_is_written_with_the_kit(world: World) -> None:
    text = f"""#!/bin/sh
exec {shlex.join(ISOLATED)} - <<'PROGRAM'
import shlex
import sys
sys.path[:0] = {[str(ROOT), *sys.path]!r}
from lifecycle.cnb.kit import *
class No(BuildpackError):
    summary = "the file is empty"
def fix(context):
    assert (context.target.os, context.env["BP_X"]) == ("linux", "1")
    context.say(context.app_dir.name)
    context.notice("look")
    if not (context.app_dir / "file").read_text():
        raise No
    (context.app_dir / "file").write_text("right")
sys.exit(run_fix(fix))
PROGRAM
"""
    element = add(world, "kit", text)
    world.write("platform/env/BP_X", "1")
    file = world.write("workspace/file", "wrong")
    run(world, element)
    assert file.read_text() == "right"
    assert world.log.lines[1:] == ["workspace", "notice: look"]
    file.write_text("")
    with pytest.raises(BuildpackFailed):
        run(world, element)
    assert world.log.lines[-1] == "error: the file is empty"
