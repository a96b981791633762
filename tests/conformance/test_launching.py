"""The launcher of an exported image, started in the image's files (platform.md, "Launch"; buildpack.md, "Launch")."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.containers import Container, unpack
from tests.conformance.images import Platform, push_run_image
from tests.conformance.kit import launch_toml, layer, make_lifecycle
from tests.lifecycle.registry.fake_registry import FakeRegistry

pytestmark = pytest.mark.integration

SHOW = "#!/bin/sh\nprintf '%s\\n' \"$@\"\n"
# Writes to file descriptor 3 what it sees.
EXEC_D = """#!/bin/sh
printf 'FROM_FIRST = "one, %s"\\n' "$OF_BASE" >&3
printf 'OVERRIDDEN = "by exec.d"\\nEXEC_D_DIRECTORY = "%s"\\n' "$PWD" >&3
printf 'ORDER = "%sa"\\n' "$ORDER" >&3
if [ -n "$FAIL" ]; then exit 3; fi
if [ -n "$BREAK" ]; then echo 'A = 3' >&3; fi
"""
SECOND_EXEC_D = """#!/bin/sh
printf 'SECOND = "after %s"\\nORDER = "%sb"\\n' "$FROM_FIRST" "$ORDER" >&3
"""
EXEC_D_OF_WEB = """#!/bin/sh
printf 'OF_WEB = "yes"\\nORDER = "%sW"\\n' "$ORDER" >&3
"""
PROCESSES = """
[[processes]]
type = "web"
command = ["show", "fixed"]
args = ["default 1", "default 2"]
default = true
[[processes]]
type = "only"
command = ["show"]
args = ["default"]
[[processes]]
type = "there"
command = ["pwd"]
working-dir = "sub"
[[processes]]
type = "absolute"
command = ["sh", "-c", "pwd; echo $EXEC_D_DIRECTORY"]
working-dir = "/usr"
[[processes]]
type = "environment"
command = ["sh", "-c", "echo $OF_WEB-$OF_LAYER-$ORDER"]
[[processes]]
type = "environment-of-web"
command = ["sh", "-c", "echo $OF_WEB-$OF_LAYER-$ORDER"]
[[processes]]
type = "for-tests"
command = ["show", "ran"]
exec-env = ["test", "ci"]
[[processes]]
type = "for-all"
command = ["show", "ran"]
exec-env = ["*"]
"""
FIRST = {
    "bin/show": SHOW,
    "lib/x": "",
    "include/x": "",
    "pkgconfig/x": "",
    "env/APPENDED.append": "1",
    "env/PREPENDED.prepend": "1",
    "env/OVERRIDDEN": "1",
    "env/LATER": "1",
    "env/DEFAULT.default": "1",
    "env/DELIMITED.append": "1",
    "env/DELIMITED.delim": ":",
    "env/OF_LAYER": "env",
    "env/VERBATIM": "$HOME `x` 'quoted'\n",
    "env/WITHIN.append": "env",
    "env.launch/WITHIN.append": "+launch",
    "env.build/WITHIN.append": "+build",
    "env.build/BUILD_ONLY": "x",
    "env.launch/environment-of-web/OF_LAYER": "of its type",
    "env/X.unknown": "1",
    "exec.d/10-first": EXEC_D,
    "exec.d/environment-of-web/first": EXEC_D_OF_WEB,
    "profile.d/first.sh": 'export PROFILE="first in $PWD"',
}
SECOND = {
    "bin/x": "",
    "lib/x": "",
    "env/APPENDED.append": "2",
    "env/PREPENDED.prepend": "2",
    "env/LATER": "2",
    "env/DEFAULT.default": "2",
    "env/DELIMITED.append": "2",
    "env/DELIMITED.delim": ":",
    "exec.d/10-second": SECOND_EXEC_D,
    "profile.d/second.sh": 'export PROFILE="$PROFILE, second"',
}


@pytest.fixture(scope="module")
def container(tmp_path_factory: pytest.TempPathFactory, programs: Path) -> Container:
    lifecycle = make_lifecycle(tmp_path_factory.mktemp("launching"), programs)
    world = lifecycle.world
    world.write("workspace/sub/file")
    world.write("workspace/.profile", 'export PROFILE="$PROFILE, application"')
    world.add("x/first", build=layer("a", "launch", files=FIRST) + "\n" + launch_toml(PROCESSES))
    # Launch layers need not be build layers, and the other way round.
    other = layer("other", "build", files={"bin/y": "", "env/OF_BUILD_LAYER": "x"})
    world.add(
        "y",
        build=layer("a", "launch", "build", files=SECOND)
        + "\n"
        + layer("b", "launch", files={"bin/x": ""})
        + "\n"
        + other,
    )
    with FakeRegistry() as registry:
        push_run_image(registry)
        image = Platform(lifecycle, registry).build("x/first y")
    return unpack(image, world.root / "rootfs")


@pytest.mark.requirement("LCH-01", "LCH-02")
def test_the_program_s_name_is_the_type_and_arguments_replace_the_default_ones(container: Container) -> None:
    assert container.run().stdout.splitlines() == ["fixed", "default 1", "default 2"]
    assert container.run("a b", "$c'\"").stdout.splitlines() == ["fixed", "a b", "$c'\""]
    assert container.run(entrypoint="/cnb/process/only").stdout == "default\n"
    assert container.run("mine", entrypoint="/cnb/process/only").stdout == "mine\n"


@pytest.mark.requirement("LCH-03")
def test_a_command_is_run_by_bash_after_the_profiles_or_directly(container: Container) -> None:
    app = container.image.config["WorkingDir"]
    profiles = f"first in {app}, second, application"
    assert container.launch('echo "$PROFILE"; echo and more').stdout == f"{profiles}\nand more\n"
    assert container.launch("show", "$PROFILE", "*", "a  b").stdout.splitlines() == [profiles, "*", "a  b"]
    assert container.launch("--", "show", "$PROFILE", "*").stdout.splitlines() == ["$PROFILE", "*"]
    assert "PROFILE" not in container.variables()
    ended = container.launch('test "$0" = /cnb/lifecycle/launcher || echo "$0"')
    assert ended.stdout == ""


@pytest.mark.requirement("LCH-04")
def test_the_working_directory_is_that_of_the_process(container: Container) -> None:
    app = container.image.config["WorkingDir"]
    assert container.run(entrypoint="/cnb/process/there").stdout == f"{app}/sub\n"
    assert container.run(entrypoint="/cnb/process/absolute").stdout == f"/usr\n{app}\n"
    assert container.launch("--", "pwd").stdout == f"{app}\n"
    assert container.launch("pwd").stdout == f"{app}\n"


@pytest.mark.requirement("LCH-05")
def test_the_lifecycle_s_own_variables_are_gone(container: Container) -> None:
    env = container.variables()
    assert not [name for name in env if name.startswith("CNB_")]
    assert not {"/cnb/process", "/cnb/lifecycle"} & set(env["PATH"].split(":"))
    ended = container.run("x", env={"CNB_PROCESS_TYPE": "only"})
    assert ended.stdout.splitlines() == ["fixed", "x"]
    assert "CNB_PROCESS_TYPE" in ended.stderr
    assert "CNB_PROCESS_TYPE" not in container.variables(env={"CNB_PROCESS_TYPE": "only"})


@pytest.mark.requirement("LCH-06")
def test_programs_of_exec_d_set_variables_for_those_after_them(container: Container) -> None:
    env = container.variables()
    assert env["FROM_FIRST"] == "one, x"
    assert env["SECOND"] == "after one, x"
    assert env["OVERRIDDEN"] == "by exec.d"
    assert env["EXEC_D_DIRECTORY"] == container.image.config["WorkingDir"]


@pytest.mark.requirement("LCH-06")
@pytest.mark.parametrize("how", ["FAIL", "BREAK"])
def test_a_program_of_exec_d_that_fails_ends_the_launch(container: Container, how: str) -> None:
    for ended in (container.run(env={how: "1"}), container.launch("--", "echo", "x", env={how: "1"})):
        assert 80 <= ended.status <= 89
        assert ended.stdout == ""
        assert "10-first" in ended.stderr


@pytest.mark.requirement("LCH-07", "DIF-02")
def test_what_is_of_a_process_type_is_for_it_only(container: Container) -> None:
    # Programs of all layers come before those of the type.
    of_web = container.run(entrypoint="/cnb/process/environment-of-web").stdout
    assert of_web == "yes-of its type-abW\n"
    assert container.run(entrypoint="/cnb/process/environment").stdout == "-env-ab\n"
    assert container.launch("--", "sh", "-c", "echo $OF_WEB-$OF_LAYER-$ORDER").stdout == "-env-ab\n"


@pytest.mark.requirement("LCH-08", "DIF-27")
def test_a_process_starts_in_its_execution_environments_only(container: Container) -> None:
    for env, starts in (({}, False), ({"CNB_EXEC_ENV": "test"}, True), ({"CNB_EXEC_ENV": "development"}, False)):
        ended = container.run(entrypoint="/cnb/process/for-tests", env=env)
        assert (ended.stdout == "ran\n") is starts
        assert (ended.status == 0) if starts else (80 <= ended.status <= 89)
        assert container.run(entrypoint="/cnb/process/for-all", env=env).stdout == "ran\n"
        assert container.run("x", env=env).stdout == "fixed\nx\n", "a process without restriction"


@pytest.mark.requirement("LCH-09")
def test_the_process_takes_the_place_of_the_launcher(container: Container) -> None:
    assert container.launch("--", "sh", "-c", "echo $$; exit 7").stdout == "1\n"
    assert container.launch("--", "sh", "-c", "exit 7").status == 7
    assert container.launch("exit 9").status == 9
    script = "trap 'echo got it; exit 5' TERM; (kill -TERM 1) & wait; sleep 5"
    ended = container.launch("--", "sh", "-c", script)
    assert (ended.status, ended.stdout) == (5, "got it\n")


@pytest.mark.requirement("LCH-10")
@pytest.mark.parametrize("arguments", [(), ("--",), ("--", "no-such-program"), ("--", "./no-such-program")])
def test_what_cannot_be_started_gives_80_to_89(container: Container, arguments: tuple[str, ...]) -> None:
    ended = container.launch(*arguments)
    assert 80 <= ended.status <= 89
    assert ended.stderr.startswith("ERROR: ")


@pytest.mark.requirement("GEN-01")
@pytest.mark.parametrize("api", [None, "", "0.11", "1.0"])
def test_the_launcher_checks_the_platform_api_first(container: Container, api: str | None) -> None:
    ended = container.launch(env={"CNB_PLATFORM_API": api})
    assert (ended.status, ended.stdout) == (11, "")


@pytest.mark.requirement("GEN-01")
@pytest.mark.parametrize("api", ["0.12", "0.13", "0.14", "0.15"])
def test_the_launcher_supports_the_platform_apis_of_the_programs(container: Container, api: str) -> None:
    assert container.run("x", env={"CNB_PLATFORM_API": api}).stdout == "fixed\nx\n"


@pytest.mark.requirement("ENV-06", "ENV-11")
def test_files_of_layers_change_variables_at_launch(container: Container) -> None:
    env = container.variables(env={"DEFAULT": None})
    expected = {
        "APPENDED": "12",
        "PREPENDED": "21",
        "LATER": "2",
        "DEFAULT": "1",
        "DELIMITED": "1:2",
        "VERBATIM": "$HOME `x` 'quoted'\n",
        "WITHIN": "env+launch",
        "OF_BASE": "x",
    }
    assert {name: env.get(name) for name in expected} == expected
    assert not {"X", "BUILD_ONLY", "OF_BUILD_LAYER"} & env.keys()


@pytest.mark.requirement("ENV-06")
def test_files_of_layers_are_applied_to_what_a_container_is_started_with(container: Container) -> None:
    given = {"APPENDED": "u", "PREPENDED": "u", "LATER": "u", "DEFAULT": "u", "DELIMITED": "u", "NEW": "u"}
    env = container.variables(env=given)
    expected = {"APPENDED": "u12", "PREPENDED": "21u", "LATER": "2", "DEFAULT": "u", "DELIMITED": "u:1:2", "NEW": "u"}
    assert {name: env.get(name) for name in given} == expected


@pytest.mark.requirement("ENV-08", "ENV-09", "DIF-01")
def test_directories_of_launch_layers_are_put_on_paths(container: Container) -> None:
    layers = container.image.env["CNB_LAYERS_DIR"]
    env = container.variables()
    bins = [f"{layers}/{name}/bin" for name in ("y/b", "y/a", "x_first/a")]
    assert env["PATH"] == ":".join([*bins, "/usr/local/bin:/usr/bin:/bin"])
    assert env["LD_LIBRARY_PATH"] == f"{layers}/y/a/lib:{layers}/x_first/a/lib"
    assert not {"LIBRARY_PATH", "CPATH", "PKG_CONFIG_PATH"} & env.keys()
    changed = container.variables(env={"PATH": "/mine:/usr/bin:/bin"})
    assert changed["PATH"] == ":".join([*bins, "/mine:/usr/bin:/bin"])
