"""The build phase: the builder is started on a group and a plan (platform.md, "Build"; buildpack.md, "Phase #3: Build")."""

from __future__ import annotations

import pytest

from tests.conformance.kit import Lifecycle, entry, launch_toml, layer, plan, read_toml, write_file

pytestmark = pytest.mark.integration


def copy_plan(lifecycle: Lifecycle) -> str:
    """A bash program that keeps the plan of a buildpack as `plan-<id>`."""
    return f'cp "$3" "{lifecycle.root}/plan-$(basename "$CNB_LAYERS_DIR")"'


def given(lifecycle: Lifecycle, name: str) -> list[dict[str, object]]:
    """The entries of the plan that a buildpack was given."""
    entries: list[dict[str, object]] = read_toml(lifecycle.root / f"plan-{name}").get("entries", [])
    return entries


@pytest.mark.requirement("BLD-01")
def test_buildpacks_run_in_order_in_the_application_directory(lifecycle: Lifecycle) -> None:
    for name in "bca":
        lifecycle.world.add(name, build=f"{lifecycle.note(name)}; {lifecycle.note('$PWD')}")
    lifecycle.built("b", "c", "a")
    app = lifecycle.world.app
    assert lifecycle.noted == f"b {app} c {app} a {app}"


@pytest.mark.requirement("BLD-01")
@pytest.mark.parametrize("ending", ["exit 1", "exit 100", "kill -9 $$"])
def test_a_buildpack_that_fails_ends_the_build_with_51(lifecycle: Lifecycle, ending: str) -> None:
    lifecycle.world.add("a", build=lifecycle.note("a"))
    lifecycle.world.add("b", build=ending)
    lifecycle.world.add("c", build=lifecycle.note("c"))
    assert lifecycle.build("a", "b", "c").status == 51
    assert lifecycle.noted == "a"
    assert not (lifecycle.layers / "config/metadata.toml").exists()


@pytest.mark.requirement("BLD-02")
def test_a_plan_has_what_is_required_of_its_buildpack(lifecycle: Lifecycle) -> None:
    for name in ("a", "b"):
        lifecycle.world.add(name, build=copy_plan(lifecycle))
    metadata: list[dict[str, object]] = [{"version": "1", "nested": {"list": [1, 2.5, True]}}, {}, {"version": "2"}]
    lifecycle.built("a", "b", plan=[entry("x", "a", metadata=metadata), entry("y", "b"), entry("z", "a")])
    assert given(lifecycle, "a") == [
        {"name": "x", "metadata": metadata[0]},
        {"name": "x"},
        {"name": "x", "metadata": metadata[2]},
        {"name": "z"},
    ]
    assert given(lifecycle, "b") == [{"name": "y"}]


@pytest.mark.requirement("BLD-02")
def test_the_plan_of_detection_is_that_of_the_build(lifecycle: Lifecycle) -> None:
    lifecycle.world.add("a", detect=plan("+x +y"), build=copy_plan(lifecycle))
    lifecycle.world.add("b", detect=plan("-y -x"), build=copy_plan(lifecycle))
    lifecycle.detected("a b")
    assert lifecycle.start("builder").status == 0
    assert sorted(str(one["name"]) for one in given(lifecycle, "a")) == ["x", "y"]
    assert given(lifecycle, "b") == []


@pytest.mark.requirement("BLD-03")
def test_what_is_met_leaves_the_plan_and_what_is_unmet_goes_on(lifecycle: Lifecycle) -> None:
    unmet = write_file('"$CNB_LAYERS_DIR/build.toml"', '[[unmet]]\nname = "y"')
    lifecycle.world.add("a", build=f"{copy_plan(lifecycle)}\n{unmet}")
    lifecycle.world.add("b", build=copy_plan(lifecycle))
    lifecycle.world.add("c", build=copy_plan(lifecycle))
    lifecycle.built("a", "b", "c", plan=[entry("x", "a", "b", metadata=[{}, {}]), entry("y", "a", "b", "c")])
    assert [one["name"] for one in given(lifecycle, "a")] == ["x", "x", "y"]
    assert [one["name"] for one in given(lifecycle, "b")] == ["y"]
    assert given(lifecycle, "c") == []


@pytest.mark.requirement("BLD-03")
def test_an_unmet_name_that_was_not_asked_for_is_an_error(lifecycle: Lifecycle) -> None:
    lifecycle.world.add("a", build=write_file('"$CNB_LAYERS_DIR/build.toml"', '[[unmet]]\nname = "other"'))
    ended = lifecycle.build("a", plan=[entry("x", "a")])
    assert ended.status == 52
    assert "other" in ended.stderr


@pytest.mark.requirement("BLD-04", "DIF-18")
def test_layers_without_a_type_are_put_out_of_the_way(lifecycle: Lifecycle) -> None:
    untyped = write_file('"$CNB_LAYERS_DIR/untyped.toml"', "[types]\nlaunch = false\nbuild = false\ncache = false")
    lifecycle.world.add("a", build=f'{layer("kept", "cache")}\n{untyped}\nmkdir "$1/untyped" "$1/without-file"')
    lifecycle.built("a")
    names = {path.name for path in (lifecycle.layers / "a").iterdir() if path.is_dir()}
    assert names == {"kept", "untyped.ignore", "without-file.ignore"}


@pytest.mark.requirement("BLD-05")
@pytest.mark.parametrize("key", ["launch", "build", "cache"])
def test_types_outside_of_their_table_are_refused(lifecycle: Lifecycle, key: str) -> None:
    lifecycle.world.add("a", build=write_file('"$CNB_LAYERS_DIR/x.toml"', f"{key} = true"))
    ended = lifecycle.build("a")
    assert ended.status == 52
    assert "x.toml" in ended.stderr


@pytest.mark.requirement("BLD-06")
def test_the_last_definition_of_a_process_wins(lifecycle: Lifecycle) -> None:
    lifecycle.world.add(
        "a",
        build=launch_toml(
            '[[processes]]\ntype = "web"\ncommand = ["old"]\nargs = ["old"]\ndefault = true\n'
            '[[processes]]\ntype = "other"\ncommand = ["x"]'
        ),
    )
    lifecycle.world.add(
        "b", build=launch_toml('[[processes]]\ntype = "web"\ncommand = ["new", "fixed"]\ndefault = true')
    )
    made = lifecycle.built("a", "b")
    web = next(one for one in made["processes"] if one["type"] == "web")
    assert (web["command"], web.get("args", []), web["buildpack-id"]) == (["new", "fixed"], [], "b")
    assert [one["type"] for one in made["processes"]] == ["other", "web"]
    assert made["buildpack-default-process-type"] == "web"


@pytest.mark.requirement("BLD-06")
def test_a_default_process_is_none_after_a_redefinition_that_is_not(lifecycle: Lifecycle) -> None:
    lifecycle.world.add("a", build=launch_toml('[[processes]]\ntype = "web"\ncommand = ["x"]\ndefault = true'))
    lifecycle.world.add("b", build=launch_toml('[[processes]]\ntype = "web"\ncommand = ["y"]'))
    ended = lifecycle.build("a", "b")
    assert ended.status == 0
    assert "web" in ended.stderr, "it is a warning"
    assert not lifecycle.metadata().get("buildpack-default-process-type")
    lifecycle.world.add("c", build=launch_toml('[[processes]]\ntype = "task"\ncommand = ["z"]\ndefault = true'))
    assert lifecycle.built("a", "c", "b")["buildpack-default-process-type"] == "task"


@pytest.mark.requirement("BLD-07")
def test_two_defaults_of_one_buildpack_are_an_error(lifecycle: Lifecycle) -> None:
    process = '[[processes]]\ntype = "{}"\ncommand = ["x"]\ndefault = true\n'
    lifecycle.world.add("a", build=launch_toml(process.format("one") + process.format("two")))
    ended = lifecycle.build("a")
    assert ended.status == 52
    assert "default" in ended.stderr


@pytest.mark.requirement("BLD-08")
@pytest.mark.parametrize("api", ["0.10", "0.11", "0.12"])
@pytest.mark.parametrize("keys", ['command = "x"', 'command = ["x"]\ndirect = true', 'command = ["x"]\ndirect = false'])
def test_commands_are_lists_and_direct_is_no_key(lifecycle: Lifecycle, keys: str, api: str) -> None:
    lifecycle.world.add("a", api=api, build=launch_toml(f'[[processes]]\ntype = "web"\n{keys}'))
    ended = lifecycle.build("a")
    assert ended.status == 52
    assert "launch.toml" in ended.stderr


@pytest.mark.requirement("BLD-09")
@pytest.mark.parametrize(
    ("file", "formats", "status"),
    [
        ("launch.sbom.cdx.json", "application/vnd.cyclonedx+json", 0),
        ("x.sbom.spdx.json", "application/spdx+json", 0),
        ("build.sbom.syft.json", "application/vnd.syft+json", 0),
        ("launch.sbom.cdx.json", "application/spdx+json", 52),
        ("x.sbom.syft.json", "", 52),
        ("launch.sbom.other.json", "application/vnd.cyclonedx+json", 52),
    ],
)
def test_sboms_have_a_declared_format(lifecycle: Lifecycle, file: str, formats: str, status: int) -> None:
    keys = f'sbom-formats = ["{formats}"]' if formats else ""
    lifecycle.world.add("a", keys=keys, build=f"{layer('x', 'launch')}\necho '{{}}' > \"$1/{file}\"")
    ended = lifecycle.build("a")
    assert ended.status == status
    assert status == 0 or file in ended.stderr


@pytest.mark.requirement("BLD-09")
def test_sboms_are_collected_by_what_their_layers_are_for(lifecycle: Lifecycle) -> None:
    files = ["launch", "build", "of-launch", "of-build", "of-cache"]
    sboms = "\n".join(f'echo \'{{"of": "{name}"}}\' > "$1/{name}.sbom.cdx.json"' for name in files)
    layers = "\n".join([layer("of-launch", "launch"), layer("of-build", "build"), layer("of-cache", "cache")])
    lifecycle.world.write("layers/sbom/launch/stale")
    lifecycle.world.add(
        "example/a", keys='sbom-formats = ["application/vnd.cyclonedx+json"]', build=f"{layers}\n{sboms}"
    )
    lifecycle.built("example/a")
    directory = lifecycle.layers / "sbom"
    found = {path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()}
    assert found == {
        "launch/example_a/sbom.cdx.json",
        "launch/example_a/of-launch/sbom.cdx.json",
        "build/example_a/sbom.cdx.json",
        "build/example_a/of-build/sbom.cdx.json",
        "build/example_a/of-cache/sbom.cdx.json",
        "cache/example_a/of-cache/sbom.cdx.json",
    }


@pytest.mark.requirement("BLD-10")
def test_metadata_has_all_buildpacks_processes_labels_and_slices(lifecycle: Lifecycle) -> None:
    lifecycle.world.add("silent", api="0.10", keys='homepage = "https://silent.test"')
    lifecycle.world.add(
        "a",
        build=launch_toml(
            '[[labels]]\nkey = "k"\nvalue = "1"\n[[slices]]\npaths = ["static/*", "*.css"]\n'
            '[[processes]]\ntype = "web"\ncommand = ["serve", "fixed"]\nargs = ["--port", "80"]\nworking-dir = "/sub"\n'
            'exec-env = ["production", "test"]\n'
        ),
    )
    lifecycle.world.add("b", build=launch_toml('[[labels]]\nkey = "k"\nvalue = "2"\n[[slices]]\npaths = ["x"]'))
    made = lifecycle.built("silent", "a", "b")
    assert made["buildpacks"] == [
        {"id": "silent", "version": "1.0.0", "api": "0.10"},
        {"id": "a", "version": "1.0.0", "api": "0.12"},
        {"id": "b", "version": "1.0.0", "api": "0.12"},
    ]
    (web,) = made["processes"]
    assert web == {
        "type": "web",
        "command": ["serve", "fixed"],
        "args": ["--port", "80"],
        "direct": True,
        "working-dir": "/sub",
        "exec-env": ["production", "test"],
        "buildpack-id": "a",
    }
    assert made["labels"] == [{"key": "k", "value": "1"}, {"key": "k", "value": "2"}]
    assert made["slices"] == [{"paths": ["static/*", "*.css"]}, {"paths": ["x"]}]


@pytest.mark.requirement("BLD-10", "DIF-08")
def test_a_process_without_restriction_says_so(lifecycle: Lifecycle) -> None:
    lifecycle.world.add("a", build=launch_toml('[[processes]]\ntype = "web"\ncommand = ["x"]'))
    assert lifecycle.built("a")["processes"][0]["exec-env"] == ["*"]


@pytest.mark.requirement("BLD-11")
@pytest.mark.parametrize("api", ["0.10", "0.11", "0.12"])
def test_arguments_and_variables_are_both_given(lifecycle: Lifecycle, api: str) -> None:
    for phase in ("detect", "build"):
        script = f"{lifecycle.dump(phase)}; printf '%s\\n' \"$#\" \"$@\" > '{lifecycle.root}/{phase}-argv'"
        lifecycle.world.add(f"for-{phase}", api=api, **{phase: script})
    lifecycle.detected("for-detect for-build")
    assert lifecycle.start("builder").status == 0
    env = lifecycle.variables("detect")
    assert lifecycle.text("detect-argv").split() == ["2", env["CNB_PLATFORM_DIR"], env["CNB_BUILD_PLAN_PATH"]]
    assert env["CNB_BUILDPACK_DIR"] == f"{lifecycle.world.buildpacks}/for-detect/1.0.0"
    assert not {"CNB_LAYERS_DIR", "CNB_BP_PLAN_PATH"} & env.keys()
    env = lifecycle.variables("build")
    paths = [env[name] for name in ("CNB_LAYERS_DIR", "CNB_PLATFORM_DIR", "CNB_BP_PLAN_PATH")]
    assert lifecycle.text("build-argv").split() == ["3", *paths]
    assert "CNB_BUILD_PLAN_PATH" not in env


@pytest.mark.requirement("DIF-26")
@pytest.mark.parametrize(
    ("process_type", "status"), [("a.B_c-9", 0), ("two words", 52), ("a/b", 52), ("ä", 52), ("", 52)]
)
def test_process_types_have_few_characters(lifecycle: Lifecycle, process_type: str, status: int) -> None:
    lifecycle.world.add("a", build=launch_toml(f'[[processes]]\ntype = "{process_type}"\ncommand = ["x"]'))
    assert lifecycle.build("a").status == status


@pytest.mark.requirement("DIF-08")
@pytest.mark.parametrize(("api", "kept"), [("0.12", ["all", "mine"]), ("0.11", ["all", "mine", "other"])])
def test_a_layer_for_another_execution_environment_counts_as_one_without_types(
    lifecycle: Lifecycle, api: str, kept: list[str]
) -> None:
    files = {"env/SEEN.append": "x"}
    restrictions = {"all": '["*"]', "mine": '["test", "production"]', "other": '["test"]'}
    script = "\n".join(
        layer(name, "launch", "build", files=files, metadata=f"exec-env = {restriction}\nmine = 1")
        for name, restriction in restrictions.items()
    )
    lifecycle.world.add("a", api=api, build=script)
    lifecycle.world.add("b", build=lifecycle.dump("env"))
    lifecycle.built("a", "b")
    own = lifecycle.layers / "a"
    assert sorted(path.name for path in own.iterdir() if path.is_dir() and path.suffix != ".ignore") == kept
    assert lifecycle.variables("env")["SEEN"] == "x" * len(kept)
    # An exporter must not look for it.
    written = read_toml(own / "other.toml")
    assert written["metadata"] == {"exec-env": ["test"], "mine": 1}
    assert bool(written.get("types", {}).get("launch")) is ("other" in kept)
