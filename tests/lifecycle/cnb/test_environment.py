from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from lifecycle.cnb.environment import (
    LayerEnvironment,
    launch_environment,
    parse_layer_environment,
    read_env_files,
    read_layer_environment,
    start_environment,
    with_build_config,
    with_build_layer,
    with_platform_environment,
)
from lifecycle.cnb.errors import ConfigurationError
from lifecycle.cnb.identifier import BuildpackId
from lifecycle.cnb.jsontext import parse_json, render_json


def layer(name: str, files: dict[str, str] | None = None, *directories: str, buildpack: str = "a") -> LayerEnvironment:
    return LayerEnvironment(
        buildpack=BuildpackId.parse(buildpack),
        name=name,
        path=PurePosixPath("/layers", buildpack, name),
        directories=directories,
        files=files or {},
    )


def test_only_listed_variables_of_the_lifecycle_are_passed_on() -> None:
    env = {
        "HOME": "/h",
        "https_proxy": "p",
        "PATH": "/bin",
        "CPATH": "/i",
        "PIP_INDEX_URL": "secret",
        "CNB_REGISTRY_AUTH": "x",
    }
    assert start_environment(env) == {"HOME": "/h", "https_proxy": "p", "PATH": "/bin", "CPATH": "/i"}


def test_platform_variables_override_and_paths_are_prepended() -> None:
    env = with_platform_environment(
        {"PATH": "/bin", "A": "old"},
        {"PATH": "/user", "CPATH": "/i", "A": "new\n", "B.append": "whole name", "X=Y": ""},
    )
    assert env == {"PATH": "/user:/bin", "CPATH": "/i", "A": "new\n", "B.append": "whole name"}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"X": "c"}, "v"),  # a bare name of the operator is a default
        ({"X.default": "c"}, "v"),
        ({"X.override": "c"}, "c"),
        ({"X.append": "c"}, "vc"),
        ({"X.append": "c", "X.delim": "-"}, "v-c"),
        ({"X.prepend": "c", "X.delim": "-"}, "c-v"),
        ({"X.append.foo": "c", "X.other": "c", "X.delim": "-"}, "v"),
        ({"X.append": "1", "X.prepend": "2", "X.override": "3", "X.delim": ":"}, "2:3"),
    ],
)
def test_suffixes(files: dict[str, str], expected: str) -> None:
    assert with_build_config({"X": "v"}, files)["X"] == expected


@pytest.mark.parametrize("suffix", ["append", "prepend", "default", "override"])
@pytest.mark.parametrize("env", [{}, {"X": ""}])
def test_suffixes_on_an_empty_variable_add_no_delimiter(suffix: str, env: dict[str, str]) -> None:
    assert with_build_config(env, {f"X.{suffix}": "c", "X.delim": "-"}) == {"X": "c"}


def test_bare_name_in_a_layer_overrides() -> None:
    assert with_build_layer({"X": "v"}, layer("l", {"env/X": "c"}))["X"] == "c"


def test_default_delimiter_is_empty_even_for_path() -> None:
    assert with_build_layer({"PATH": "/bin"}, layer("l", {"env/PATH.append": "/x"}))["PATH"] == "/bin/x"


def test_delimiter_of_the_directory_wins_over_that_of_env() -> None:
    one = layer(
        "l", {"env/X.delim": ":", "env.launch/X.append": "c", "env.launch/Y.append": "d", "env.launch/Y.delim": ";"}
    )
    assert launch_environment([one], {"X": "v", "Y": "w"}) == {"X": "v:c", "Y": "w;d"}


def test_build_sees_env_then_env_build_and_not_env_launch() -> None:
    one = layer("l", {"env/X": "1", "env.build/X.append": "2", "env.launch/X.append": "3"})
    assert with_build_layer({}, one)["X"] == "12"


def test_launch_sees_env_then_env_launch_then_that_of_the_process() -> None:
    one = layer(
        "l", {"env/X": "1", "env.build/X.append": "2", "env.launch/X.append": "3", "env.launch/web/X.append": "4"}
    )
    assert launch_environment([one], {})["X"] == "13"
    assert launch_environment([one], {}, process_type="web")["X"] == "134"
    assert launch_environment([one], {}, process_type="job")["X"] == "13"


def test_later_buildpacks_come_first_on_the_path() -> None:
    layers = [layer("x", {}, "bin", "lib", "include"), layer("y", {}, "bin"), layer("z", {}, "bin", buildpack="b")]
    env = launch_environment(layers, {"PATH": "/bin"})
    assert env["PATH"] == "/layers/b/z/bin:/layers/a/y/bin:/layers/a/x/bin:/bin"
    assert env["LD_LIBRARY_PATH"] == "/layers/a/x/lib"
    assert "CPATH" not in env
    assert "LIBRARY_PATH" not in env


def test_paths_of_all_layers_of_a_buildpack_come_before_its_files() -> None:
    layers = [layer("x", {"env/PATH.prepend": "/first:"}), layer("y", {}, "bin")]
    assert launch_environment(layers, {"PATH": "/bin"})["PATH"] == "/first:/layers/a/y/bin:/bin"


def test_order_of_buildpacks_decides_between_their_files() -> None:
    layers = [
        layer("x", {"env/A.append": "1", "env/P.prepend": "1", "env/O": "1", "env/D.default": "1"}),
        layer("x", {"env/A.append": "2", "env/P.prepend": "2", "env/O": "2", "env/D.default": "2"}, buildpack="b"),
    ]
    assert launch_environment(layers, {}) == {"A": "12", "P": "21", "O": "2", "D": "1"}


def test_layer_is_read_as_it_lies(tmp_path: Path) -> None:
    for path, content in {
        "env/X": b"trailing\n",
        "env/sub/IGNORED": b"",
        "env.build/BYTES": b"\xff",
        "env.launch/Y": b"y",
        "env.launch/web/Z": b"z",
        "bin/tool": b"",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
    found = read_layer_environment(
        tmp_path, buildpack=BuildpackId.parse("a"), name="l", path=PurePosixPath("/layers/a/l")
    )
    assert found.directories == ("bin",)
    assert found.files == {
        "env/X": "trailing\n",
        "env.build/BYTES": "\udcff",
        "env.launch/Y": "y",
        "env.launch/web/Z": "z",
    }


def test_facts_of_a_layer_survive_json() -> None:
    one = layer("l", {"env/X": "1", "env.launch/web/Y": "2"}, "bin")
    table = parse_json(render_json(one.render()), source="test")
    assert parse_layer_environment(table, buildpack=one.buildpack, name="l", path=one.path) == one


def test_value_that_no_variable_can_hold_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "X").write_bytes(b"a\0b")
    with pytest.raises(ConfigurationError, match="NUL"):
        read_env_files(tmp_path)


def test_links_are_followed_only_in_the_platform_directory(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("value")
    (tmp_path / "env").mkdir()
    (tmp_path / "env/X").symlink_to(tmp_path / "real")
    assert read_env_files(tmp_path / "env", follow_links=True) == {"X": "value"}
    assert read_env_files(tmp_path / "env") == {}
    assert read_env_files(tmp_path / "absent") == {}
