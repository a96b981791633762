"""The environment of buildpacks, as they see it (buildpack.md, "Environment"; platform.md, "User-Provided Variables")."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.conformance.kit import DEBIAN, Lifecycle, layer

pytestmark = pytest.mark.integration


def seen(lifecycle: Lifecycle, *layers: str, api: str = "0.12", keys: str = "") -> Mapping[str, str]:
    """The environment of a buildpack that stands after one for each of `layers`, which are bash programs."""
    names = [f"before-{index}" for index in range(len(layers))]
    for name, script in zip(names, layers, strict=True):
        lifecycle.world.add(name, build=script)
    lifecycle.world.add("dump", build=lifecycle.dump("env"), api=api, keys=keys)
    lifecycle.built(*names, "dump")
    return lifecycle.variables("env")


@pytest.mark.requirement("ENV-01")
def test_only_listed_variables_of_the_lifecycle_reach_buildpacks(lifecycle: Lifecycle) -> None:
    passed_on = {
        "HOME": "/home/x",
        "HOSTNAME": "h",
        "CNB_STACK_ID": "s",
        "HTTP_PROXY": "1",
        "HTTPS_PROXY": "2",
        "NO_PROXY": "3",
        "http_proxy": "4",
        "https_proxy": "5",
        "no_proxy": "6",
        "PATH": "/own/bin:/usr/bin:/bin",
        "LD_LIBRARY_PATH": "/own/lib",
        "LIBRARY_PATH": "/own/library",
        "CPATH": "/own/include",
        "PKG_CONFIG_PATH": "/own/pkgconfig",
    }
    dropped = {"LANG": "C", "MINE": "x", "CNB_USER_ID": "7", "CNB_REGISTRY_AUTH": "{}", "PYTHONPATH": "/p"}
    for phase in ("detect", "build"):
        lifecycle.world.add(f"at-{phase}", **{phase: lifecycle.dump(phase)})
    lifecycle.detected("at-detect at-build", env={**passed_on, **dropped})
    assert lifecycle.start("builder", env={**passed_on, **dropped}).status == 0
    for phase in ("detect", "build"):
        env = lifecycle.variables(phase)
        assert {name: env.get(name) for name in passed_on} == passed_on
        # Those of bash itself.
        rest = {name for name in env if not name.startswith("CNB_")} - {"PWD", "SHLVL", "_", "OLDPWD"}
        assert rest == passed_on.keys() - {"CNB_STACK_ID"}


@pytest.mark.requirement("ENV-02", "ENV-05")
def test_the_users_variables_win_and_those_of_paths_are_put_in_front(lifecycle: Lifecycle) -> None:
    given = {
        "HOME": "/home/given",
        "NEW": "  spaces, $VARIABLES and\nlines stay\n",
        "EMPTY": "",
        "PATH": "/user/bin",
        "CPATH": "/user/include",
        "HAS.DOT": "the whole name",
    }
    for name, value in given.items():
        lifecycle.world.write(f"platform/env/{name}", value)
    lifecycle.world.write("platform/env/BYTES", b"\xff\xfe")
    lifecycle.world.write("platform/env/directory/NOT_ONE", "x")
    lifecycle.world.write("platform/linked", "by a link")
    (lifecycle.root / "platform/env/LINKED").symlink_to("../linked")
    lifecycle.world.add("a", detect=lifecycle.dump("detect"), build=lifecycle.dump("build"))
    lifecycle.detected("a", env={"HOME": "/home/x"})
    assert lifecycle.start("builder", env={"HOME": "/home/x"}).status == 0
    for phase in ("detect", "build"):
        env = lifecycle.variables(phase)
        expected = {**given, "PATH": "/user/bin:/bin:/usr/bin", "LINKED": "by a link", "BYTES": "\udcff\udcfe"}
        assert {name: env.get(name) for name in expected} == expected
        assert not {"NOT_ONE", "directory"} & env.keys()


@pytest.mark.requirement("ENV-03")
@pytest.mark.parametrize("keys", ["clear-env = true", "clear-env = false"])
def test_clear_env_hides_the_users_variables_and_not_the_operators(lifecycle: Lifecycle, keys: str) -> None:
    lifecycle.world.write("platform/env/OF_USER", "x")
    lifecycle.world.write("build-config/env/OF_OPERATOR", "y")
    lifecycle.world.add("a", keys=keys, detect=lifecycle.dump("detect"), build=lifecycle.dump("build"))
    lifecycle.detected("a")
    assert lifecycle.start("builder").status == 0
    for phase in ("detect", "build"):
        env = lifecycle.variables(phase)
        assert env["OF_OPERATOR"] == "y"
        assert ("OF_USER" in env) is (keys == "clear-env = false")
    assert (lifecycle.root / "platform/env/OF_USER").exists(), "the file itself is there for those who look"


@pytest.mark.requirement("ENV-04", "ENV-05", "DIF-19")
def test_the_operators_variables_are_applied_last(lifecycle: Lifecycle) -> None:
    for name in ("BARE", "DEFAULT", "OVERRIDE", "APPEND", "PREPEND", "BOTH"):
        lifecycle.world.write(f"platform/env/{name}", "user")
    files = {
        "BARE": "operator",
        "BARE_NEW": "operator\n",
        "DEFAULT.default": "operator",
        "DEFAULT_NEW.default": "operator",
        "OVERRIDE.override": "operator",
        "APPEND.append": "operator",
        "PREPEND.prepend": "operator",
        "BOTH.append": "after",
        "BOTH.prepend": "before",
        "BOTH.delim": ":",
        "LATE.override": "operator",
    }
    for name, content in files.items():
        lifecycle.world.write(f"build-config/env/{name}", content)
    env = seen(lifecycle, layer("x", "build", files={"env/LATE": "layer", "env/BARE_OF_LAYER": "layer"}))
    expected = {
        "BARE": "user",
        "BARE_NEW": "operator\n",
        "DEFAULT": "user",
        "DEFAULT_NEW": "operator",
        "OVERRIDE": "operator",
        "APPEND": "useroperator",
        "PREPEND": "operatoruser",
        "BOTH": "before:user:after",
        "LATE": "operator",
        "BARE_OF_LAYER": "layer",
    }
    assert {name: env.get(name) for name in expected} == expected


@pytest.mark.requirement("ENV-05", "ENV-06")
def test_files_of_layers_change_variables_by_their_suffix(lifecycle: Lifecycle) -> None:
    first = {
        "env/APPENDED.append": "1",
        "env/PREPENDED.prepend": "1",
        "env/OVERRIDDEN.override": "1",
        "env/BARE": "1 with a newline\n",
        "env/DEFAULT.default": "1",
        "env/WITH_DELIM.append": "1",
        "env/WITH_DELIM.delim": "-",
        "env/IN_FRONT.prepend": "1",
        "env/IN_FRONT.delim": "-",
        "env/ALL": "bare",
        "env/ALL.append": "+a",
        "env/ALL.default": "not used",
        "env/ALL.override": "override",
        "env/ALL.prepend": "p+",
        "env/PATH.append": "/appended",
    }
    second = {
        "env/APPENDED.append": "2",
        "env/PREPENDED.prepend": "2",
        "env/OVERRIDDEN.override": "2",
        "env/DEFAULT.default": "2",
        "env/WITH_DELIM.append": "2",
        "env/WITH_DELIM.delim": ", ",
        "env/IN_FRONT.prepend": "2",
        "env/IN_FRONT.delim": ", ",
    }
    env = seen(lifecycle, layer("x", "build", files=first), layer("y", "build", files=second))
    expected = {
        "APPENDED": "12",
        "PREPENDED": "21",
        "OVERRIDDEN": "2",
        "BARE": "1 with a newline\n",
        "DEFAULT": "1",
        "WITH_DELIM": "1, 2",
        "IN_FRONT": "2, 1",
        # In the order of the names: bare, append, default, override, prepend.
        "ALL": "p+override",
        # The delimiter is empty by default, also for paths.
        "PATH": "/bin:/usr/bin/appended",
    }
    assert {name: env.get(name) for name in expected} == expected


@pytest.mark.requirement("ENV-06", "DIF-25")
def test_within_a_layer_env_build_is_applied_after_env(lifecycle: Lifecycle) -> None:
    files = {
        "env/X.append": "env",
        "env.build/X.append": "build",
        "env/Y": "env",
        "env.build/Y": "build",
        "env/Z.delim": "-",
        "env/Z.append": "env",
        "env.build/Z.append": "build",
        "env.launch/X.append": "launch",
    }
    env = seen(lifecycle, layer("x", "build", files=files))
    # The delimiter of `env` holds in the whole layer, as the specification says.
    assert (env["X"], env["Y"], env["Z"]) == ("envbuild", "build", "env-build")


@pytest.mark.requirement("ENV-07")
def test_only_later_buildpacks_see_only_build_layers(lifecycle: Lifecycle) -> None:
    files = {"env/VALUE": "x", "env.build/BUILD_VALUE": "x", "bin/tool": "#!/bin/sh\necho ran\n"}
    own = f"{layer('yes', 'build', files=files)}\n{lifecycle.dump('own')}"
    other = {"env/CACHE_VALUE": "x", "env.launch/LAUNCH_VALUE": "x", "bin/other": "#!/bin/sh\n"}
    no = "\n".join(layer(types.replace(" ", "-"), *types.split(), files=other) for types in ("cache", "launch cache"))
    env = seen(lifecycle, own, no)
    assert "VALUE" not in lifecycle.variables("own")
    assert (env["VALUE"], env["BUILD_VALUE"]) == ("x", "x")
    assert not {"CACHE_VALUE", "LAUNCH_VALUE"} & env.keys()
    assert env["PATH"] == f"{lifecycle.layers}/before-0/yes/bin:/bin:/usr/bin"


@pytest.mark.requirement("ENV-08", "ENV-09", "DIF-01")
def test_directories_of_build_layers_are_put_on_paths(lifecycle: Lifecycle) -> None:
    directories = {f"{name}/x": "" for name in ("bin", "lib", "include", "pkgconfig")}
    two = "\n".join(layer(name, "build", files=directories) for name in ("a", "b"))
    env = seen(lifecycle, two, layer("a", "build", files=directories))
    first, second = (lifecycle.layers / f"before-{index}" for index in range(2))
    # The last layer of a buildpack is the first, as in the reference lifecycle.
    order = (second / "a", first / "b", first / "a")
    assert env["PATH"] == ":".join([*(f"{path}/bin" for path in order), "/bin:/usr/bin"])
    for directory, names in {
        "lib": ("LD_LIBRARY_PATH", "LIBRARY_PATH"),
        "include": ("CPATH",),
        "pkgconfig": ("PKG_CONFIG_PATH",),
    }.items():
        for name in names:
            assert env[name] == ":".join(f"{path}/{directory}" for path in order)


@pytest.mark.requirement("ENV-10")
@pytest.mark.parametrize("api", ["0.10", "0.11", "0.12"])
def test_target_and_execution_environment_are_given_where_they_are_known(lifecycle: Lifecycle, api: str) -> None:
    lifecycle.world.write("platform/env/CNB_TARGET_ARCH", "forged")
    lifecycle.world.write("platform/env/CNB_TARGET_ARCH_VARIANT", "forged")
    lifecycle.world.write("platform/env/CNB_EXEC_ENV", "forged")
    lifecycle.world.add("a", api=api, detect=lifecycle.dump("detect"), build=lifecycle.dump("build"))
    lifecycle.write_analyzed(DEBIAN)
    lifecycle.detected("a")
    assert lifecycle.start("builder", "-exec-env", "test").status == 0
    known = {
        "CNB_TARGET_OS": "linux",
        "CNB_TARGET_ARCH": "amd64",
        "CNB_TARGET_DISTRO_NAME": "debian",
        "CNB_TARGET_DISTRO_VERSION": "12",
    }
    for phase, exec_env in {"detect": "production", "build": "test"}.items():
        env = lifecycle.variables(phase)
        assert {name: env.get(name) for name in known} == known
        assert "CNB_TARGET_ARCH_VARIANT" not in env
        assert env.get("CNB_EXEC_ENV") == (exec_env if api == "0.12" else None)


@pytest.mark.requirement("ENV-10")
def test_the_variant_is_given_where_there_is_one(lifecycle: Lifecycle) -> None:
    lifecycle.write_analyzed({"os": "linux", "arch": "arm", "variant": "v7"})
    lifecycle.world.add("a", build=lifecycle.dump("env"))
    lifecycle.built("a")
    env = lifecycle.variables("env")
    assert (env["CNB_TARGET_ARCH"], env["CNB_TARGET_ARCH_VARIANT"]) == ("arm", "v7")


@pytest.mark.requirement("ENV-11")
def test_unknown_suffixes_and_directories_are_ignored(lifecycle: Lifecycle) -> None:
    files = {
        "env/X.append.old": "1",
        "env/Y.unknown": "1",
        "env/Z.": "1",
        "env/directory/V": "1",
        "env/SEEN": "1",
        "env.build/directory/W": "1",
    }
    for name, content in {"A.other": "1", "directory/B": "1"}.items():
        lifecycle.world.write(f"build-config/env/{name}", content)
    env = seen(lifecycle, layer("x", "build", files=files))
    assert env["SEEN"] == "1"
    assert not {name.partition(".")[0] for name in env} & {"A", "B", "V", "W", "X", "Y", "Z", "directory"}
