"""Image extensions in the program `detector`: who takes part, what is generated, and what becomes of plan and run image."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from lifecycle.__main__ import run_program
from lifecycle.cnb.analyzed import Analyzed, AnalyzedRunImage, read_analyzed, write_analyzed
from lifecycle.cnb.group import Group, read_group
from lifecycle.cnb.plan import Provider, read_resolved_plan
from lifecycle.cnb.target import Target
from tests.lifecycle.world import World

BASE = "ARG base_image\nFROM ${base_image}\n"
TARGET = Target(os="linux", arch="amd64", distro_name="debian", distro_version="12")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How the program ended."""

    status: int
    stdout: str
    stderr: str


def extend(world: World, name: str, *, detect: str | None = "", generate: str | None = "") -> Path:
    """Write an extension; a program is left out where its script is `None`."""
    directory = world.extensions / name.replace("/", "_") / "1.0.0"
    (directory / "bin").mkdir(parents=True)
    (directory / "extension.toml").write_text(f'api = "0.12"\n[extension]\nid = "{name}"\nversion = "1.0.0"\n')
    for program, script in (("detect", detect), ("generate", generate)):
        if script is not None:
            path = directory / "bin" / program
            path.write_text(f"#!/usr/bin/env bash\nset -eu\n{script}\n")
            path.chmod(0o755)
    return directory


def provides(name: str) -> str:
    return f'printf \'[[provides]]\\nname = "{name}"\\n\' > "$2"'


def requires(name: str) -> str:
    return f'printf \'[[requires]]\\nname = "{name}"\\n[requires.metadata]\\nwhy = "x"\\n\' > "$2"'


def writes(files: Mapping[str, str]) -> str:
    return "\n".join(f"cat > \"$CNB_OUTPUT_DIR/{name}\" <<'END'\n{text}END" for name, text in files.items())


def detect(
    world: World, *extensions: str, buildpacks: str = "main", api: str = "0.15", run_image: str = "run"
) -> Ended:
    """Run the program on one group of each."""
    text = "[[order]]\n" + "".join(f'[[order.group]]\nid = "{one}"\nversion = "1.0.0"\n' for one in buildpacks.split())
    for group in extensions:
        text += "[[order-extensions]]\n"
        text += "".join(f'[[order-extensions.group]]\nid = "{one}"\nversion = "1.0.0"\n' for one in group.split())
    world.write("layers/order.toml", text)
    analyzed = Analyzed(run_image=AnalyzedRunImage(reference="run@sha256:1", image=run_image, target=TARGET))
    write_analyzed(world.layers / "analyzed.toml", analyzed)
    env = {
        "PATH": os.environ["PATH"],
        "CNB_PLATFORM_API": api,
        "CNB_APP_DIR": str(world.app),
        "CNB_BUILDPACKS_DIR": str(world.buildpacks),
        "CNB_EXTENSIONS_DIR": str(world.extensions),
        "CNB_LAYERS_DIR": str(world.layers),
        "CNB_PLATFORM_DIR": str(world.root / "platform"),
        "CNB_RUN_PATH": str(world.root / "run.toml"),
        "CNB_REGISTRY_AUTH": '{"r": "Basic secret"}',
    }
    stdout, stderr = io.BytesIO(), io.BytesIO()
    with contextlib.redirect_stdout(io.TextIOWrapper(stdout)), contextlib.redirect_stderr(io.TextIOWrapper(stderr)):
        code = run_program(["/cnb/lifecycle/detector"], env)
        return Ended(status=code, stdout=stdout.getvalue().decode(), stderr=stderr.getvalue().decode())


def expect_success(result: Ended) -> None:
    assert result.status == 0, result.stdout + result.stderr


def group(world: World) -> Group:
    return read_group(world.layers / "group.toml")


def names(world: World) -> tuple[list[str], list[str]]:
    found = group(world)
    return [one.id for one in found.extensions], [one.id for one in found.elements]


def run_image(world: World) -> AnalyzedRunImage:
    found = read_analyzed(world.layers / "analyzed.toml").run_image
    assert found is not None
    return found


@pytest.mark.requirement("EXT-01")
def test_an_extension_that_requires_something_takes_no_part(world: World) -> None:
    world.add("main")
    extend(world, "greedy", detect=requires("x"))
    expect_success(detect(world, "greedy"))
    assert names(world) == ([], ["main"])
    static = extend(world, "static", detect=None)
    (static / "detect").mkdir()
    (static / "detect" / "plan.toml").write_text('[[provides]]\nname = "x"\n[[or]]\n[[or.requires]]\nname = "x"\n')
    result = detect(world, "static", buildpacks="main")
    expect_success(result)
    assert names(world) == ([], ["main"])


@pytest.mark.requirement("EXT-01", "DIF-15")
def test_directories_stand_in_for_programs(world: World) -> None:
    world.add("main", detect=requires("tool"))
    static = extend(world, "sta/tic", detect=None, generate=None)
    for name in ("detect", "generate/context.run/deep"):
        (static / name).mkdir(parents=True)
    (static / "detect" / "plan.toml").write_text('[[provides]]\nname = "tool"\n')
    (static / "generate" / "run.Dockerfile").write_text(f"{BASE}RUN true\n")
    (static / "generate" / "context.run" / "deep" / "file").write_text("x")
    world.write("layers/generated/sta_tic/build.Dockerfile", "of an earlier build")
    expect_success(detect(world, "sta/tic"))
    assert names(world) == (["sta/tic"], ["main"])
    generated = world.layers / "generated" / "sta_tic"
    assert (generated / "run.Dockerfile").read_text() == f"{BASE}RUN true\n"
    assert (generated / "context.run" / "deep" / "file").read_text() == "x"
    assert not (generated / "build.Dockerfile").exists()
    assert run_image(world).extend


def test_extensions_come_first_and_none_of_them_is_needed(world: World) -> None:
    world.add("main", detect=requires("tool"))
    world.add("tool", detect=provides("tool"))
    extend(world, "no", detect="exit 100")
    extend(world, "broken", detect="exit 3")
    extend(world, "unused", detect=provides("nothing"))
    extend(world, "yes", detect=provides("tool"))
    expect_success(detect(world, "no broken unused", "yes"))
    assert names(world) == (["yes"], ["main"])
    # Without any, the group is tried as it is.
    expect_success(detect(world, "no broken unused", buildpacks="tool main"))
    assert names(world) == ([], ["tool", "main"])


@pytest.mark.requirement("DET-04")
def test_a_group_of_extensions_alone_builds_nothing(world: World) -> None:
    world.add("main", detect="exit 100")
    extend(world, "yes")
    assert detect(world, "yes", buildpacks="main").status == 20


def test_an_extension_and_a_buildpack_may_have_one_name(world: World) -> None:
    world.add("same", detect=requires("tool"))
    extend(world, "same", detect=provides("tool"))
    expect_success(detect(world, "same", buildpacks="same"))
    assert names(world) == (["same"], ["same"])


@pytest.mark.requirement("EXT-04")
def test_what_extensions_provide_is_met_for_those_after_them(world: World) -> None:
    world.add("main", detect=requires("tool") + f"\n{requires('other').replace('> ', '>> ')}")
    world.add("other", detect=provides("other"))
    record = 'cp "$CNB_BP_PLAN_PATH" "$CNB_OUTPUT_DIR/plan"; [ "$1 $2 $3" = "$CNB_OUTPUT_DIR $CNB_PLATFORM_DIR $CNB_BP_PLAN_PATH" ]'
    extend(world, "first", detect=provides("tool"), generate=f"{record}; env > $CNB_OUTPUT_DIR/env; pwd")
    extend(world, "second", detect=provides("tool"), generate=record)
    result = detect(world, "first second", buildpacks="other main")
    expect_success(result)
    assert str(world.app) in result.stdout.splitlines()
    plan = read_resolved_plan(world.layers / "plan.toml")
    assert [entry.name for entry in plan.entries] == ["other"]
    assert plan.entries[0].providers == (Provider(id=group(world).elements[0].id, version="1.0.0"),)
    generated = world.layers / "generated"
    assert (generated / "first/plan").read_text().count('name = "tool"') == 1
    assert (generated / "second/plan").read_text() == ""
    env = dict(line.partition("=")[::2] for line in (generated / "first/env").read_text().splitlines())
    assert env["CNB_EXTENSION_DIR"] == str(world.extensions / "first/1.0.0")
    assert (env["CNB_TARGET_OS"], env["CNB_TARGET_DISTRO_NAME"]) == ("linux", "debian")
    assert not {"CNB_BUILDPACK_DIR", "CNB_REGISTRY_AUTH", "CNB_LAYERS_DIR"} & env.keys()


@pytest.mark.requirement("EXT-02")
@pytest.mark.parametrize("kind", ["build", "run"])
def test_a_dockerfile_that_does_not_keep_to_the_contract_ends_the_phase(world: World, kind: str) -> None:
    world.add("main")
    extend(world, "wrong", generate=writes({f"{kind}.Dockerfile": f"{BASE}FROM scratch\n"}))
    result = detect(world, "wrong")
    assert result.status == 92
    assert (
        f"extension `wrong` left something that cannot be used: {world.layers}/generated/wrong/{kind}.Dockerfile:3"
        in (result.stderr)
    )


@pytest.mark.requirement("EXT-02")
def test_an_instruction_that_extensions_should_not_use_is_a_warning(world: World) -> None:
    world.add("main")
    extend(world, "odd", generate=writes({"run.Dockerfile": f"{BASE}EXPOSE 80\n"}))
    result = detect(world, "odd")
    expect_success(result)
    assert "odd: run.Dockerfile:3: `EXPOSE`" in result.stderr


@pytest.mark.requirement("EXT-04")
def test_a_context_of_both_kinds_ends_the_phase(world: World) -> None:
    world.add("main")
    script = writes({"run.Dockerfile": BASE}) + "\nmkdir $CNB_OUTPUT_DIR/context $CNB_OUTPUT_DIR/context.run"
    extend(world, "wrong", generate=script)
    result = detect(world, "wrong")
    assert result.status == 92
    assert "`context` cannot stand beside `context.run`" in result.stderr


def test_a_program_that_fails_ends_the_phase(world: World) -> None:
    world.add("main")
    extend(world, "broken", generate="echo reason; exit 1")
    extend(world, "after", generate="touch $CNB_OUTPUT_DIR/ran")
    result = detect(world, "broken after")
    assert result.status == 91
    assert "extension `broken` 1.0.0 could not generate: `bin/generate` exited with status 1" in result.stderr
    assert "reason" in result.stdout
    assert not (world.layers / "generated/after/ran").exists()


@pytest.mark.requirement("EXT-03")
def test_the_last_image_that_is_named_is_the_run_image(world: World) -> None:
    world.add("main")
    world.write("run.toml", '[[images]]\nimage = "known"\n')
    extend(world, "a", generate=writes({"run.Dockerfile": f"{BASE}RUN true\n"}))
    extend(world, "b", generate=writes({"run.Dockerfile": "FROM other\nRUN true\n"}))
    extend(world, "c", generate=writes({"run.Dockerfile": "FROM known\n"}))
    extend(world, "d", generate=writes({"run.Dockerfile": BASE}))
    result = detect(world, "a b c d")
    expect_success(result)
    assert run_image(world) == AnalyzedRunImage(reference="known", image="known", extend=False)
    assert "run.toml" not in result.stderr
    there = {one.parent.name: one.name for one in (world.layers / "generated").glob("*/run.*")}
    assert there == {
        "a": "run.Dockerfile.ignore",
        "b": "run.Dockerfile.ignore",
        "c": "run.Dockerfile",
        "d": "run.Dockerfile",
    }


@pytest.mark.parametrize(
    ("dockerfiles", "image", "extends"),
    [
        ((f"{BASE}RUN true\n",), "run", True),
        ((BASE,), "run", False),
        (("FROM run\nRUN true\n",), "run", True),
        (("FROM other\nRUN true\n",), "other", True),
        (("FROM other\n", f"{BASE}RUN true\n"), "other", True),
        ((f"{BASE}RUN true\n", "FROM other\n"), "other", False),
    ],
)
@pytest.mark.requirement("EXT-03", "DIF-13")
def test_the_run_image_is_extended_where_something_is_left_to_execute(
    world: World, dockerfiles: tuple[str, ...], image: str, *, extends: bool
) -> None:
    world.add("main")
    for number, text in enumerate(dockerfiles):
        extend(world, f"e{number}", generate=writes({"run.Dockerfile": text}))
    result = detect(world, " ".join(f"e{number}" for number in range(len(dockerfiles))))
    expect_success(result)
    found = run_image(world)
    assert (found.image, found.extend) == (image, extends)
    if image == "run":
        assert (found.reference, found.target) == ("run@sha256:1", TARGET)
    else:
        assert (found.reference, found.target) == (image, Target())
        assert f"`{image}` is not in run.toml" in result.stderr


@pytest.mark.requirement("DIF-14")
def test_an_older_platform_finds_dockerfiles_by_kind(world: World) -> None:
    world.add("main")
    files = {"run.Dockerfile": f"{BASE}RUN true\n", "build.Dockerfile": BASE, "extend-config.toml": ""}
    extend(world, "a/b", generate=writes(files))
    expect_success(detect(world, "a/b", api="0.12"))
    generated = world.layers / "generated"
    assert sorted(str(path.relative_to(generated)) for path in generated.rglob("*") if path.is_file()) == [
        "build/a_b/Dockerfile",
        "build/a_b/extend-config.toml",
        "run/a_b/Dockerfile",
        "run/a_b/extend-config.toml",
    ]
    assert run_image(world).extend
