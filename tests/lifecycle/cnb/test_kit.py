"""Buildpacks written with the kit, run as programs by the real phases."""

from __future__ import annotations

import os
import shlex
import sys
import textwrap
from pathlib import Path

import pytest

from lifecycle.cnb.failure import own_failure_path, read_failure
from lifecycle.cnb.group import GroupElement
from lifecycle.cnb.launch import Process, read_launch_file, read_unmet
from lifecycle.cnb.layer import LayerFile, LayerTypes, read_layer_file
from lifecycle.cnb.locks import read_locks
from lifecycle.cnb.plan import Provider, Requirement, ResolvedEntry, ResolvedPlan
from lifecycle.cnb.toml import read_toml
from lifecycle.detection import Outcome
from lifecycle.errors import BuildpackFailed
from tests.interpreter import ISOLATED, ROOT
from tests.lifecycle.world import World, order


def program(function: str, body: str) -> str:
    """A bash line that runs `body`, which defines `function`, as a Python program."""
    text = (
        f"import sys\nsys.path[:0] = {[str(ROOT), *sys.path]!r}\n"
        "from lifecycle.cnb.kit import *\n"
        f"{textwrap.dedent(body)}\nsys.exit(run_{function}({function}))"
    )
    return f"exec {shlex.join(ISOLATED)} - <<'PROGRAM'\n{text}\nPROGRAM"


def add(world: World, build: str) -> GroupElement:
    return world.add("kit/a", build=program("build", build))


def test_detect_writes_its_plan(world: World) -> None:
    body = """
    def detect(context):
        assert context.app_dir.name == "workspace" and context.env["BP_X"] == "1"
        assert (context.target.os, context.target.distro_version) == ("linux", "12")
        context.say("found it")
        return BuildPlan(
            provides=("python", "site-packages"),
            requires=(Requirement(name="python", metadata={"version": "3.10"}), Requirement(name="site-packages")),
            alternatives=(BuildPlan(provides=("x",)),),
        )
    """
    world.write("platform/env/BP_X", "1")
    world.add("a", detect=program("detect", body))
    detection = world.detect(order("a"))
    assert detection.group is not None
    assert detection.plan.entries[0].requires == (Requirement(name="python", metadata={"version": "3.10"}),)
    assert "found it" in world.log.details


@pytest.mark.parametrize(
    ("statement", "outcome", "reason"),
    [
        ("raise NotDetected('no `x` here')", Outcome.FAILED, "no `x` here"),
        ("raise Known()", Outcome.ERRORED, "`bin/detect` exited with status 1: error: x.toml is broken"),
        ("raise RuntimeError('bug')", Outcome.ERRORED, "`bin/detect` exited with status 1: RuntimeError: bug"),
    ],
)
def test_detect_that_does_not_pass(world: World, statement: str, outcome: Outcome, reason: str) -> None:
    body = f"""
    class Known(BuildpackError):
        summary = "x.toml is broken"
    def detect(context):
        {statement}
    """
    world.add("a", detect=program("detect", body))
    member = world.detect(order("a")).trials[0].members[0]
    assert (member.outcome, member.reason) == (outcome, reason)


def test_build_writes_what_it_returns(world: World) -> None:
    body = """
    def build(context):
        assert [(entry.name, entry.metadata) for entry in context.plan] == [("python", {"version": "3"})]
        assert context.restored("venv") is None and context.store == {}
        venv = context.layer_dir("venv")
        (venv / "bin").mkdir()
        return BuildResult(
            layers=(
                Layer(
                    name="venv",
                    types=LayerTypes(launch=True, build=True),
                    metadata={"lock": "abc"},
                    env={"VIRTUAL_ENV": str(venv)},
                    launch_env={"PATH.prepend": "/x", "PATH.delim": ":", "web/PORT": "80"},
                    build_env={"CC": "gcc"},
                ),
                Layer(name="reused", types=LayerTypes(launch=True), metadata={"n": 1}, env={"X": "unused"}),
            ),
            processes=(Process(type="web", command=("python",), args=("app.py",), default=True),),
            labels=(Label(key="k", value="v"),),
            slices=(Slice(paths=("static/**",)),),
            unmet=("python",),
            store={"since": 1},
        )
    """
    element = add(world, body)
    entry = ResolvedEntry(
        providers=(Provider(id=element.id, version=element.version),),
        requires=(Requirement(name="python", metadata={"version": "3"}),),
    )
    world.build(element, plan=ResolvedPlan(entries=(entry,)))
    own = world.layers / "kit_a"
    assert read_layer_file(own / "venv.toml") == LayerFile(
        types=LayerTypes(launch=True, build=True), metadata={"lock": "abc"}
    )
    files = {str(path.relative_to(own)): path.read_text() for path in own.rglob("*") if path.is_file()}
    assert files["venv/env/VIRTUAL_ENV"] == f"{own}/venv"
    assert files["venv/env.launch/PATH.delim"] == ":"
    assert files["venv/env.launch/web/PORT"] == "80"
    assert files["venv/env.build/CC"] == "gcc"
    assert not (own / "reused").exists()
    launch = read_launch_file(own / "launch.toml")
    assert launch.processes == (Process(type="web", command=("python",), args=("app.py",), default=True),)
    assert read_unmet(own / "build.toml") == ("python",)
    assert read_toml(own / "store.toml") == {"metadata": {"since": 1}}


def test_a_layer_keeps_its_bill_of_materials_while_it_gets_no_other(world: World) -> None:
    body = """
    def build(context):
        restored = context.restored("venv")
        layer = Layer(name="venv", types=LayerTypes(launch=True, cache=True))
        if restored is None:
            context.layer_dir("venv")
            layer = replace(layer, sbom="{}")
        else:
            assert restored.has_sbom
        return BuildResult(layers=(layer,))
    """
    keys = 'sbom-formats = ["application/vnd.cyclonedx+json"]'
    element = world.add(
        "kit/a", keys=keys, build=program("build", "from dataclasses import replace\n" + textwrap.dedent(body))
    )
    for _ in range(2):
        world.build(element)
        assert (world.layers / "kit_a" / "venv.sbom.cdx.json").read_text() == "{}"
        assert (world.layers / "sbom" / "launch" / "kit_a" / "venv" / "sbom.cdx.json").read_text() == "{}"


def test_locks_are_for_the_platform_and_go_with_the_build_that_made_them(world: World) -> None:
    element = add(
        world,
        """
        def build(context):
            return BuildResult(locks={"requirements.lock": "a==1\\n"} if context.env.get("BP_X") else {})
        """,
    )
    world.write("platform/env/BP_X", "1")
    world.build(element)
    assert read_locks(world.layers / "kit_a") == {"requirements.lock": "a==1\n"}
    (world.root / "platform/env/BP_X").unlink()
    world.build(element)
    assert read_locks(world.layers / "kit_a") == {}


def test_restored_layers(world: World) -> None:
    own = "layers/kit_a"
    world.write(f"{own}/kept.toml", "[metadata]\nn = 1\n")
    world.write(f"{own}/kept/old")
    world.write(f"{own}/kept/env/STALE", "x")
    world.write(f"{own}/fresh.toml", "[metadata]\nn = 2\n")
    world.write(f"{own}/fresh/old")
    world.write(f"{own}/known.toml", "[metadata]\nn = 3\n")
    world.write(f"{own}/store.toml", "[metadata]\nkept = true\n")
    body = """
    def build(context):
        assert context.store == {"kept": True}
        assert context.restored("known").path is None and context.restored("known").metadata == {"n": 3}
        assert context.restored("kept").path == context.layer_dir("kept", keep=True)
        context.layer_dir("fresh")
        cache = LayerTypes(cache=True)
        return BuildResult(layers=(Layer(name="kept", types=cache), Layer(name="fresh", types=cache)))
    """
    world.build(add(world, body))
    assert (world.layers / "kit_a/kept/old").exists()
    assert not (world.layers / "kit_a/kept/env").exists()
    assert not (world.layers / "kit_a/fresh/old").exists()
    assert read_toml(world.layers / "kit_a/store.toml") == {"metadata": {"kept": True}}


RESTORED_IN_PARTS = """
[metadata]
n = 3
pybuild-parts = ["venv.package-a", "venv.packages-00"]
"""


def test_a_restored_layer_is_reused_with_all_its_parts(world: World) -> None:
    own = "layers/kit_a"
    world.write(f"{own}/venv.toml", RESTORED_IN_PARTS)
    for part in ("package-a", "packages-00"):
        world.write(f"{own}/venv.{part}.toml", "")
    body = """
    def build(context):
        restored = context.restored("venv")
        assert restored.metadata == {"n": 3} and restored.path is None
        return BuildResult(layers=(Layer(name="venv", types=LayerTypes(launch=True), metadata=restored.metadata),))
    """
    world.build(add(world, body))
    declared = {path.name: read_layer_file(path) for path in (world.layers / "kit_a").glob("venv*.toml")}
    assert {name: file.types.launch for name, file in declared.items()} == {
        "venv.toml": True, "venv.package-a.toml": True, "venv.packages-00.toml": True,
    }  # fmt: skip
    parts = ["venv.package-a", "venv.packages-00"]
    assert declared["venv.toml"].metadata == {"n": 3, "pybuild-parts": parts}


def test_a_layer_that_is_made_anew_leaves_its_old_parts(world: World) -> None:
    own = "layers/kit_a"
    world.write(f"{own}/venv.toml", RESTORED_IN_PARTS)
    for part in ("package-a", "packages-00"):
        world.write(f"{own}/venv.{part}.toml", "")
    body = """
    def build(context):
        context.layer_dir("venv")
        return BuildResult(layers=(Layer(name="venv", types=LayerTypes(launch=True), by_packages=True),))
    """
    world.build(add(world, body))
    directory = world.layers / "kit_a"
    assert read_layer_file(directory / "venv.toml") == LayerFile(types=LayerTypes(launch=True), by_packages=True)
    assert not read_layer_file(directory / "venv.package-a.toml").types


def test_a_restored_layer_that_misses_a_part_is_lost(world: World) -> None:
    world.write("layers/kit_a/venv.toml", RESTORED_IN_PARTS)
    world.write("layers/kit_a/venv.package-a.toml", "")
    body = """
    def build(context):
        assert context.restored("venv") is None
        return BuildResult()
    """
    world.build(add(world, body))


def test_commands_are_echoed_and_streamed_without_secrets(world: World) -> None:
    body = """
    def build(context):
        context.notice("old")
        shown = context.run(["sh", "-c", "echo https://u:secret@h/x; pwd; exit 4"])
        assert shown.status == 4 and "secret" in shown.output
        hidden = context.run(["sh", "-c", "echo $X"], env={"X": "quiet", "PATH": "/bin"}, quiet=True, echo=False)
        assert hidden.output == "quiet\\n"
        return BuildResult()
    """
    world.build(add(world, body))
    assert world.log.lines[1:] == [
        "notice: old",
        "Running `sh -c 'echo https://***@h/x; pwd; exit 4'`",
        "  https://***@h/x",
        f"  {world.app}",
    ]


def test_foreseen_problem_is_shown_without_a_traceback(world: World) -> None:
    body = """
    class Known(BuildpackError):
        summary = "requirements.txt:3: `nump` does not exist"
        hint = "did you mean `numpy`?"
    def build(context):
        raise Known()
    """
    with pytest.raises(BuildpackFailed) as caught:
        world.build(add(world, body))
    assert caught.value.status == 1
    failure = read_failure(own_failure_path(world.layers / "kit_a"), source="kit/a")
    assert (failure.code, failure.summary) == ("known", "requirements.txt:3: `nump` does not exist")
    assert world.log.lines[1:] == ["error: requirements.txt:3: `nump` does not exist", "hint: did you mean `numpy`?"]


def test_layer_that_outlives_a_failure_says_so_until_the_build_is_through(world: World) -> None:
    body = """
    def build(context):
        context.layer_dir("cache", keep=True)
        layer = Layer(name="cache", types=LayerTypes(cache=True), metadata={"n": 1})
        context.keep_on_failure(layer)
        if context.env.get("BP_FAIL"):
            raise RuntimeError("later")
        return BuildResult(layers=(layer,))
    """
    element = add(world, body)
    world.write("platform/env/BP_FAIL", "1")
    with pytest.raises(BuildpackFailed):
        world.build(element)
    file = world.layers / "kit_a/cache.toml"
    assert read_layer_file(file) == LayerFile(types=LayerTypes(cache=True), metadata={"n": 1}, outlives_failure=True)
    (world.root / "platform/env/BP_FAIL").unlink()
    world.build(element)
    assert not read_layer_file(file).outlives_failure


def test_program_started_by_hand_says_what_is_missing(world: World) -> None:
    from lifecycle.cnb.command import run_command

    world.add("a", detect=program("detect", "def detect(context): ..."))
    result = run_command([str(world.buildpacks / "a/1.0.0/bin/detect")], env={"PATH": os.environ["PATH"]})
    assert result.status == 1
    assert "`CNB_PLATFORM_DIR` is not set" in result.output


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        (
            {"CNB_BUILDPACK_DIR": "/b", "PYBUILD_RECIPE_PATH": "/o/recipe.json", "PYBUILD_WHOLE_IMAGE": "false"},
            "/b /o /o/recipe.json False",
        ),
        # Another lifecycle runs it as an image extension.
        ({"CNB_EXTENSION_DIR": "/e"}, "/e /o None True"),
    ],
)
def test_generate_is_told_where_what_goes(tmp_path: Path, own: dict[str, str], expected: str) -> None:
    body = """
    def generate(context):
        assert context.target.arch == "arm64" and context.app_dir.is_dir()
        context.warning("hurts")
        context.say(f"{context.buildpack_dir} {context.output_dir} {context.recipe_path} {context.whole_image}")
    """
    from lifecycle.cnb.command import run_command

    env = {
        "PATH": os.environ["PATH"],
        "CNB_PLATFORM_DIR": "/p",
        "CNB_OUTPUT_DIR": "/o",
        "CNB_TARGET_ARCH": "arm64",
        **own,
    }
    result = run_command(["bash", "-c", program("generate", body)], env=env, cwd=tmp_path)
    assert (result.status, result.output) == (0, f"warning: hurts\n{expected}\n")


def test_generate_shows_a_foreseen_problem(tmp_path: Path) -> None:
    body = """
    class Known(BuildpackError):
        summary = "Dockerfile:1: no"
    def generate(context):
        raise Known()
    """
    from lifecycle.cnb.command import run_command

    env = {"PATH": os.environ["PATH"], "CNB_PLATFORM_DIR": "/p", "CNB_OUTPUT_DIR": "/o", "CNB_BUILDPACK_DIR": "/b"}
    result = run_command(["bash", "-c", program("generate", body)], env=env, cwd=tmp_path)
    assert (result.status, result.output) == (1, "error: Dockerfile:1: no\n")
