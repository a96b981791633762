from __future__ import annotations

import pytest

from lifecycle.cnb.group import GroupElement
from lifecycle.cnb.launch import Process
from lifecycle.cnb.metadata import read_build_metadata, render_build_label
from lifecycle.cnb.plan import Provider, Requirement, ResolvedEntry, ResolvedPlan, read_buildpack_plan
from lifecycle.errors import BuildOutputError, BuildpackApiUnsupported, BuildpackFailed
from lifecycle.progress import read_progress
from tests.lifecycle.world import World


def entry(name: str, *providers: GroupElement, count: int = 1) -> ResolvedEntry:
    return ResolvedEntry(
        providers=tuple(Provider(id=provider.id, version=provider.version) for provider in providers),
        requires=tuple(Requirement(name=name, metadata={"number": number}) for number in range(count)),
    )


def launch_toml(content: str) -> str:
    return f"cat > \"$CNB_LAYERS_DIR/launch.toml\" <<'EOF'\n{content}\nEOF"


def test_buildpacks_run_in_order_in_the_app_directory(world: World) -> None:
    first = world.add("example/a", build=f"echo $PWD $1 $2 >> {world.root}/runs; echo built")
    second = world.add("b", build=f"echo $CNB_LAYERS_DIR >> {world.root}/runs")
    world.build(first, second)
    assert (world.root / "runs").read_text().splitlines() == [
        f"{world.app} {world.layers}/example_a {world.root}/platform",
        f"{world.layers}/b",
    ]
    assert "built" in world.log.lines


def test_failure_stops_the_build_with_code_51(world: World) -> None:
    first = world.add("a", build="exit 9")
    second = world.add("b", build=f"touch {world.root}/ran")
    with pytest.raises(BuildpackFailed) as caught:
        world.build(first, second)
    assert (caught.value.exit_code, caught.value.status) == (51, 9)
    assert not (world.root / "ran").exists()
    assert not (world.layers / "config/metadata.toml").exists()


def test_buildpack_without_a_program_fails_like_one_that_gives_up(world: World) -> None:
    element = world.add("a")
    (world.buildpacks / "a/1.0.0/bin/build").unlink()
    with pytest.raises(BuildpackFailed, match="could not be started: No such file"):
        world.build(element)


def test_progress_names_the_buildpack_that_failed(world: World) -> None:
    first, second = world.add("a"), world.add("b", build="exit 1")
    with pytest.raises(BuildpackFailed):
        world.build(first, second)
    progress = read_progress(world.layers)
    assert (progress.started, progress.running) == ({"a": "1.0.0", "b": "1.0.0"}, "b")


def test_plan_goes_to_the_first_provider_and_what_it_leaves_to_the_next(world: World) -> None:
    keep_plan = f'cp "$CNB_BP_PLAN_PATH" {world.root}/$(basename "$CNB_LAYERS_DIR").plan'
    first = world.add("a", build=f'{keep_plan}; printf \'[[unmet]]\\nname = "y"\\n\' > "$1/build.toml"')
    second = world.add("b", build=keep_plan)
    third = world.add("c", build=keep_plan)
    plan = ResolvedPlan(entries=(entry("x", first, second, count=2), entry("y", first, second), entry("z", third)))
    world.build(first, second, third, plan=plan)
    given = {name: read_buildpack_plan(world.root / f"{name}.plan") for name in "abc"}
    assert [(one.name, one.metadata["number"]) for one in given["a"]] == [("x", 0), ("x", 1), ("y", 0)]
    assert [one.name for one in given["b"]] == ["y"]
    assert [one.name for one in given["c"]] == ["z"]


def test_unmet_name_that_is_not_in_the_plan_is_an_error(world: World) -> None:
    element = world.add("a", build='printf \'[[unmet]]\\nname = "y"\\n\' > "$1/build.toml"')
    with pytest.raises(BuildOutputError, match="`y` is unmet, which is not in its plan") as caught:
        world.build(element)
    assert caught.value.exit_code == 52


def test_layers_without_a_type_are_put_out_of_the_way(world: World) -> None:
    script = """
    mkdir "$1/kept" "$1/untyped" "$1/undeclared" "$1/old.ignore"
    echo -e '[types]\\nlaunch = true' > "$1/kept.toml"
    echo -e '[types]\\nlaunch = false' > "$1/untyped.toml"
    """
    world.build(world.add("a", build=script))
    directories = sorted(path.name for path in (world.layers / "a").iterdir() if path.is_dir())
    assert directories == ["kept", "old.ignore", "undeclared.ignore", "untyped.ignore"]


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("layer.toml", "launch = true"),
        ("layer.toml", "[types]\nlaunch = 1"),
        ("layer.toml", "no toml"),
        ("launch.toml", '[[processes]]\ntype = "a"\ncommand = "x"'),
        ("launch.toml", '[[processes]]\ntype = "a"\ncommand = ["x"]\ndirect = true'),
        ("launch.toml", '[[processes]]\ntype = "a b"\ncommand = ["x"]'),
        ("launch.toml", '[[processes]]\ntype = "a"\ncommand = []'),
        ("launch.toml", '[[processes]]\ntype = "a"\ncommand = ["x"]\n[[processes]]\ntype = "a"\ncommand = ["x"]'),
        (
            "launch.toml",
            '[[processes]]\ntype="a"\ncommand=["x"]\ndefault=true\n[[processes]]\ntype="b"\ncommand=["x"]\ndefault=true',
        ),
        ("launch.toml", '[[labels]]\nkey = "k"\nvalue = "1"\n[[labels]]\nkey = "k"\nvalue = "2"'),
        ("build.toml", '[[unmet]]\nnam = "x"'),
        ("layer.sbom.cdx.json", "{}"),
        ("layer.sbom.xml", "{}"),
    ],
)
def test_output_that_the_contract_does_not_allow(world: World, file: str, content: str) -> None:
    element = world.add("a", build=f"cat > \"$1/{file}\" <<'EOF'\n{content}\nEOF")
    with pytest.raises(BuildOutputError) as caught:
        world.build(element)
    assert caught.value.exit_code == 52
    assert file in caught.value.summary


def test_link_in_place_of_a_layer_file_is_refused(world: World) -> None:
    secret = world.write("secret.toml", "[types]\nlaunch = true")
    element = world.add("a", build=f'ln -s {secret} "$1/layer.toml"')
    with pytest.raises(BuildOutputError, match="cannot be read"):
        world.build(element)


def test_processes_are_merged_and_the_last_default_wins(world: World) -> None:
    first = world.add(
        "a",
        build=launch_toml(
            '[[processes]]\ntype = "web"\ncommand = ["old"]\ndefault = true\n'
            '[[processes]]\ntype = "job"\ncommand = ["j"]\nargs = ["1"]\nworking-dir = "/w"'
        ),
    )
    second = world.add("b", build=launch_toml('[[processes]]\ntype = "web"\ncommand = ["new"]\ndefault = true'))
    metadata = world.build(first, second)
    assert metadata.processes == (
        Process(type="job", command=("j",), args=("1",), working_dir="/w", buildpack=first.id),
        Process(type="web", command=("new",), buildpack=second.id),
    )
    assert metadata.default_process == "web"
    assert read_build_metadata(world.layers / "config/metadata.toml") == metadata


def test_redefinition_that_is_no_default_takes_the_default_away(world: World) -> None:
    first = world.add("a", build=launch_toml('[[processes]]\ntype = "web"\ncommand = ["x"]\ndefault = true'))
    second = world.add("b", build=launch_toml('[[processes]]\ntype = "web"\ncommand = ["y"]'))
    assert world.build(first, second).default_process is None
    assert "redefines the default process `web`" in world.log.warnings[0]


def test_labels_and_slices_are_kept_in_build_order(world: World) -> None:
    one = '[[labels]]\nkey = "k"\nvalue = "{}"\n[[slices]]\npaths = ["{}/*"]'
    first = world.add("a", build=launch_toml(one.format(1, "x")))
    second = world.add("b", build=launch_toml(one.format(2, "y")))
    metadata = world.build(first, second)
    assert [label.value for label in metadata.labels] == ["1", "2"]
    assert [part.paths for part in metadata.slices] == [("x/*",), ("y/*",)]
    assert read_build_metadata(world.layers / "config/metadata.toml") == metadata


def test_metadata_says_also_that_there_is_no_default_process(world: World) -> None:
    world.build(world.add("a"))
    assert 'buildpack-default-process-type = ""\n' in (world.layers / "config/metadata.toml").read_text()


def test_metadata_lists_buildpacks_that_did_nothing_too(world: World) -> None:
    metadata = world.build(world.add("a"), world.add("b", api="0.10"))
    text = (world.layers / "config/metadata.toml").read_text()
    assert [str(element) for element in metadata.buildpacks] == ["a@1.0.0", "b@1.0.0"]
    assert 'api = "0.10"' in text
    label = render_build_label(metadata, launcher={"version": "1"})
    assert '"buildpacks":[{"api":"0.12","id":"a","version":"1.0.0"}' in label


def test_process_that_is_not_restricted_says_so(world: World) -> None:
    world.build(world.add("a", build=launch_toml('[[processes]]\ntype = "web"\ncommand = ["x"]')))
    text = (world.layers / "config/metadata.toml").read_text()
    assert '"*"' in text
    assert "direct = true" in text


def test_build_layers_change_the_environment_of_later_buildpacks_only(world: World) -> None:
    script = f"""
    env > {world.root}/a.env
    for layer in one two; do
        mkdir -p "$1/$layer/bin" "$1/$layer/lib" "$1/$layer/include" "$1/$layer/pkgconfig" "$1/$layer/env.build"
        echo -e '[types]\\nbuild = true' > "$1/$layer.toml"
        printf %s $layer > "$1/$layer/env.build/NAME"
    done
    mkdir -p "$1/other/bin" "$1/other/env"
    echo -e '[types]\\nlaunch = true' > "$1/other.toml"
    printf x > "$1/other/env/HIDDEN"
    """
    first = world.add("a", build=script)
    second = world.add("b", build=f"env > {world.root}/b.env")
    world.build(first, second, env={"PATH": "/usr/bin:/bin"})
    layers = world.layers / "a"
    env = dict(line.split("=", 1) for line in (world.root / "b.env").read_text().splitlines())
    assert env["PATH"] == f"{layers}/two/bin:{layers}/one/bin:/usr/bin:/bin"
    assert env["LD_LIBRARY_PATH"] == env["LIBRARY_PATH"] == f"{layers}/two/lib:{layers}/one/lib"
    assert env["CPATH"] == f"{layers}/two/include:{layers}/one/include"
    assert env["PKG_CONFIG_PATH"] == f"{layers}/two/pkgconfig:{layers}/one/pkgconfig"
    assert env["NAME"] == "two"
    assert "HIDDEN" not in env
    assert "CPATH=" not in (world.root / "a.env").read_text()


def test_bills_of_materials_are_collected_by_what_their_layer_is_for(world: World) -> None:
    script = """
    for layer in app tool; do mkdir "$1/$layer"; echo "{}" > "$1/$layer.sbom.cdx.json"; done
    echo "{}" > "$1/launch.sbom.cdx.json"; echo "{}" > "$1/build.sbom.spdx.json"
    echo -e '[types]\\nlaunch = true\\ncache = true' > "$1/app.toml"
    echo -e '[types]\\nbuild = true' > "$1/tool.toml"
    """
    formats = 'sbom-formats = ["application/vnd.cyclonedx+json", "application/spdx+json"]'
    world.write("layers/sbom/launch/stale/sbom.cdx.json")
    world.build(world.add("x/a", build=script, keys=formats))
    collected = sorted(str(path.relative_to(world.layers / "sbom")) for path in (world.layers / "sbom").rglob("*.json"))
    assert collected == [
        "build/x_a/sbom.spdx.json",
        "build/x_a/tool/sbom.cdx.json",
        "cache/x_a/app/sbom.cdx.json",
        "launch/x_a/app/sbom.cdx.json",
        "launch/x_a/sbom.cdx.json",
    ]


def test_unsupported_api_is_refused_before_anything_runs(world: World) -> None:
    first = world.add("a", build=f"touch {world.root}/ran")
    second = world.add("b", api="0.13")
    with pytest.raises(BuildpackApiUnsupported):
        world.build(first, second)
    assert not (world.root / "ran").exists()
