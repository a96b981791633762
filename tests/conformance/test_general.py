"""What holds for all programs: versions, inputs, exit codes, output (platform.md, "Platform Interface")."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lifecycle.__main__ import PROGRAMS
from lifecycle.cnb.order import write_order
from tests.conformance.kit import BUILDPACK_APIS, PLATFORM_APIS, Lifecycle, entry, plan
from tests.lifecycle.world import order

pytestmark = pytest.mark.integration


@pytest.mark.requirement("GEN-01", "DIF-10")
@pytest.mark.parametrize(
    ("program", "api"),
    [*((program, "0.16") for program in PROGRAMS), *(("detector", api) for api in (None, "", "0.11", "1.0", "0", "x"))],
)
def test_the_platform_api_is_checked_before_anything_else(lifecycle: Lifecycle, program: str, api: str | None) -> None:
    ended = lifecycle.start(program, "-no-such-flag", "extra", api=api)
    assert (ended.status, ended.stdout) == (11, "")
    assert ended.stderr.startswith("error: ")


@pytest.mark.requirement("GEN-01", "GEN-03", "DET-05", "BLD-10")
@pytest.mark.parametrize("api", PLATFORM_APIS)
def test_every_supported_api_works_with_every_other(lifecycle: Lifecycle, api: str) -> None:
    names = []
    for buildpack_api in BUILDPACK_APIS:
        names.append(f"bp-{buildpack_api}")
        lifecycle.world.add(names[-1], api=buildpack_api, detect=plan("+x -x"), build=lifecycle.note("built"))
    assert lifecycle.detected(*[" ".join(names)], api=api) == " ".join(names)
    ended = lifecycle.start("builder", api=f"v{api}")
    assert (ended.status, ended.stderr) == (0, "")
    assert lifecycle.noted == "built built built"
    assert [one["api"] for one in lifecycle.metadata()["buildpacks"]] == list(BUILDPACK_APIS)


@pytest.mark.requirement("GEN-02")
def test_a_flag_wins_over_its_variable_and_that_over_the_default(lifecycle: Lifecycle) -> None:
    lifecycle.world.add("a", detect=f"pwd > {lifecycle.root}/cwd", build=f"pwd > {lifecycle.root}/cwd")
    for name in ("by-variable", "by-flag"):
        lifecycle.world.write(f"app-{name}/file")
        lifecycle.world.write(f"layers-{name}/order.toml")
        write_order(lifecycle.root / f"layers-{name}/order.toml", order("a"))
    variables = {
        "CNB_APP_DIR": "app-by-variable",
        "CNB_LAYERS_DIR": str(lifecycle.root / "layers-by-variable"),
        "CNB_NO_COLOR": "anything but true is false",
    }
    by_variable, by_flag = lifecycle.root / "layers-by-variable", lifecycle.root / "layers-by-flag"
    assert lifecycle.start("detector", env=variables).status == 0
    assert lifecycle.text("cwd") == f"{lifecycle.root}/app-by-variable\n", "relative paths are of the working directory"
    assert {path.name for path in by_variable.iterdir()} == {"order.toml", "group.toml", "plan.toml"}
    flags = ("-app", "app-by-flag", "--layers=layers-by-flag", "-no-color", "-log-level=error")
    for program in ("detector", "builder"):
        ended = lifecycle.start(program, *flags, env=variables)
        assert (ended.status, ended.stdout, ended.stderr) == (0, "", "")
        assert lifecycle.text("cwd") == f"{lifecycle.root}/app-by-flag\n"
    assert {path.name for path in by_flag.iterdir()} >= {"order.toml", "group.toml", "plan.toml", "a", "config"}
    assert not (by_variable / "config").exists()
    moved = ("-group", "other-group.toml", "-plan=other-plan.toml")
    assert lifecycle.start("detector", *flags, *moved).status == 0
    assert (lifecycle.root / "other-group.toml").exists()
    assert (lifecycle.root / "other-plan.toml").exists()


@pytest.mark.requirement("GEN-03")
@pytest.mark.parametrize("api", ["0.9", "0.13", "1.0"])
@pytest.mark.parametrize("program", ["detector", "builder"])
def test_a_buildpack_with_an_unsupported_api_gives_12(lifecycle: Lifecycle, program: str, api: str) -> None:
    lifecycle.world.add("good", detect=lifecycle.note("ran"), build=lifecycle.note("ran"))
    lifecycle.world.add("other", api=api)
    ended = lifecycle.detect("good", "other") if program == "detector" else lifecycle.build("good", "other")
    assert ended.status == 12
    assert "`other" in ended.stderr
    assert lifecycle.noted == "", "it is known before anything runs"


@pytest.mark.requirement("GEN-04")
@pytest.mark.parametrize("program", ["detector", "builder"])
def test_arguments_that_a_program_does_not_take_give_3(lifecycle: Lifecycle, program: str) -> None:
    lifecycle.world.add("a", detect=lifecycle.note("ran"), build=lifecycle.note("ran"))
    write_order(lifecycle.layers / "order.toml", order("a"))
    lifecycle.write_group("a")
    ended = lifecycle.start(program, "-log-level", "info", "extra")
    assert (ended.status, ended.stdout, lifecycle.noted) == (3, "", "")


@pytest.mark.requirement("GEN-05")
def test_information_is_on_stdout_and_errors_are_on_stderr(lifecycle: Lifecycle) -> None:
    lifecycle.world.add("a", detect="echo detecting", build="echo building; echo of it >&2; exit 3")
    detected = lifecycle.start("detector", env={"CNB_LOG_LEVEL": "debug"})
    assert (detected.status, detected.stdout) != (0, "")
    assert detected.stderr.startswith("error: ")
    write_order(lifecycle.layers / "order.toml", order("a"))
    detected = lifecycle.start("detector", env={"CNB_LOG_LEVEL": "debug"})
    assert (detected.status, detected.stderr) == (0, "")
    assert "detecting" in detected.stdout
    built = lifecycle.start("builder")
    assert built.status == 51
    assert "building" in built.stdout
    assert built.stderr.startswith("error: ")
    assert "building" not in built.stderr


@pytest.mark.requirement("GEN-06", "ENV-01")
def test_no_credentials_reach_a_buildpack(lifecycle: Lifecycle, tmp_path: Path) -> None:
    docker = tmp_path / "docker"
    docker.mkdir()
    (docker / "config.json").write_text(json.dumps({"auths": {"r.test": {"auth": "c2VjcmV0"}}}))
    variables = {
        "CNB_REGISTRY_AUTH": '{"r.test": "Basic c2VjcmV0"}',
        "DOCKER_CONFIG": str(docker),
        "AWS_SECRET_ACCESS_KEY": "secret",
        "MINE": "leaks through nowhere",
        "HOME": "/home/of-the-user",
        "HOSTNAME": "host",
        "https_proxy": "http://proxy.test",
    }
    lifecycle.world.add("a", detect=lifecycle.dump("at-detect"), build=lifecycle.dump("at-build"))
    assert lifecycle.detected("a", env=variables) == "a"
    assert lifecycle.start("builder", env=variables).status == 0
    for phase in ("at-detect", "at-build"):
        found = lifecycle.variables(phase)
        assert not {"CNB_REGISTRY_AUTH", "DOCKER_CONFIG", "AWS_SECRET_ACCESS_KEY", "MINE"} & found.keys()
        assert "c2VjcmV0" not in str(found)
        passed_on = {name: found[name] for name in ("HOME", "HOSTNAME", "https_proxy")}
        assert passed_on == {name: variables[name] for name in passed_on}


@pytest.mark.requirement("GEN-07")
def test_a_slash_in_an_id_is_an_underscore_in_paths_only(lifecycle: Lifecycle) -> None:
    lifecycle.world.add("example/deep/a", detect=plan("+x -x"), build=lifecycle.dump("env"))
    assert lifecycle.detected("example/deep/a") == "example/deep/a"
    assert lifecycle.plan() == {"x": ["example/deep/a"]}
    assert lifecycle.start("builder").status == 0
    env = lifecycle.variables("env")
    assert env["CNB_LAYERS_DIR"] == f"{lifecycle.layers}/example_deep_a"
    assert env["CNB_BUILDPACK_DIR"] == f"{lifecycle.world.buildpacks}/example_deep_a/1.0.0"
    assert [one["id"] for one in lifecycle.metadata()["buildpacks"]] == ["example/deep/a"]


@pytest.mark.requirement("GEN-08")
def test_the_order_of_the_layers_directory_is_preferred_to_the_builders(lifecycle: Lifecycle) -> None:
    # No machine that runs tests has a builder's order: the error names the path at which one was looked for.
    assert not Path("/cnb/order.toml").exists()
    lifecycle.world.add("a")
    ended = lifecycle.start("detector")
    assert ended.status != 0
    assert "/cnb/order.toml" in ended.stderr
    assert lifecycle.detected("a") == "a"
    write_order(lifecycle.root / "given.toml", order("b"))
    lifecycle.world.add("b")
    assert lifecycle.start("detector", "-order", "given.toml").status == 0
    assert lifecycle.group() == "b"


@pytest.mark.requirement("GEN-07", "BLD-02")
def test_a_plan_for_an_id_with_a_slash_reaches_its_buildpack(lifecycle: Lifecycle) -> None:
    lifecycle.world.add("example/a", build=f'cp "$CNB_BP_PLAN_PATH" {lifecycle.root}/plan')
    lifecycle.built("example/a", plan=[entry("x", "example/a")])
    assert 'name = "x"' in lifecycle.text("plan")
