"""Images are exported from what tiny buildpacks left, and looked at with other code than pybuild's."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from lifecycle.cnb.digest import Digest
from lifecycle.cnb.labels import BUILD_LABEL, LIFECYCLE_LABEL, PROJECT_LABEL, ProjectMetadata
from lifecycle.cnb.launch import Slice
from lifecycle.cnb.toml import parse_toml
from lifecycle.errors import ExportError
from lifecycle.export import ExportedImage
from lifecycle.launch_facts import LAUNCH_FACTS_LABEL
from lifecycle.oci.compression import Compression
from lifecycle.oci.errors import ArchiveError
from lifecycle.oci.image import make_image
from lifecycle.slices import assign_slices
from tests.lifecycle.exporting import (
    BY_PACKAGES,
    LARGE,
    LAYER,
    REUSED,
    Exporter,
    by_name,
    make_environment,
    make_exporter,
    parts_in,
)
from tests.lifecycle.oci.images import content_of, file_layer, names_in
from tests.lifecycle.world import World

PROCESSES = """
cat > "$CNB_LAYERS_DIR/launch.toml" <<'END'
[[processes]]
type = "web"
command = ["tool"]
args = ["--port", "80"]
default = true
[[processes]]
type = "worker"
command = ["tool"]
[[labels]]
key = "org.example"
value = "x"
END
"""


@pytest.fixture
def exporter(world: World) -> Exporter:
    return make_exporter(world)


def label(exported: ExportedImage, name: str) -> Any:
    return json.loads(exported.image.config.labels[name])


def test_layers_come_in_the_order_of_the_contract(exporter: Exporter) -> None:
    second = exporter.world.add("other/b", build=LAYER.replace("venv", "a") + LAYER.replace("venv", "B"))
    first = exporter.world.add("x/a", build=LAYER + PROCESSES)
    exported = exporter.export(first, second)
    assert [layer.name for layer in exported.layers] == [
        "run image", "x/a:venv", "other/b:B", "other/b:a", "application", "launcher", "config", "process types",
    ]  # fmt: skip
    assert [entry.created_by for entry in exported.image.config.history] == [
        "test",
        "Layer: 'venv', Created by buildpack: x/a@1.0.0",
        "Layer: 'B', Created by buildpack: other/b@1.0.0",
        "Layer: 'a', Created by buildpack: other/b@1.0.0",
        "Application Layer",
        "Buildpacks Application Launcher",
        "Buildpacks Launcher Config",
        "Buildpacks Process Types",
    ]
    layers = by_name(exported)
    assert names_in(layers["x/a:venv"])[:4] == ["layers/", "layers/x_a/", "layers/x_a/venv/", "layers/x_a/venv/bin/"]
    assert names_in(layers["application"]) == ["workspace/", "workspace/main.py"]
    assert names_in(layers["launcher"]) == ["cnb/", "cnb/lifecycle/", "cnb/lifecycle/launcher"]
    assert names_in(layers["process types"]) == ["cnb/", "cnb/process/", "cnb/process/web", "cnb/process/worker"]
    metadata: Any = parse_toml(content_of(layers["config"], "layers/config/metadata.toml"), source="metadata.toml")
    assert [process["type"] for process in metadata["processes"]] == ["web", "worker"]


def test_the_config_is_the_run_image_s_with_what_the_contract_sets(exporter: Exporter) -> None:
    config = exporter.export(exporter.world.add("x/a", build=LAYER + PROCESSES)).image.config
    assert config.entrypoint == ("/cnb/process/web",)
    assert config.cmd == ()
    assert (config.user, config.working_dir, config.exposed_ports) == ("1000:1000", "/workspace", ("80/tcp",))
    assert config.environment() == {
        "PATH": "/cnb/process:/cnb/lifecycle:/layers/x_a/venv/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "FLAG": "yes",
        "CNB_APP_DIR": "/workspace",
        "CNB_LAYERS_DIR": "/layers",
        "CNB_PLATFORM_API": "0.15",
        "CNB_DEPRECATION_MODE": "quiet",
    }
    assert config.created == "1980-01-01T00:00:01Z"
    assert {entry.created for entry in config.history[1:]} == {"1980-01-01T00:00:01Z"}
    assert config.labels["org.example"] == "x"
    assert config.labels["io.buildpacks.base.distro.name"] == "debian"
    assert config.labels["io.buildpacks.rebasable"] == "true"


def test_the_labels_say_what_is_in_the_image(exporter: Exporter) -> None:
    project = ProjectMetadata(source_type="git", source_version={"commit": "abc"})
    exported = exporter.export(
        exporter.world.add("x/a", build=LAYER + PROCESSES + "printf '[metadata]\\nkept = 1\\n' > \"$1/store.toml\""),
        exporter.world.add("x/b"),
        project=project,
        run_image_mirrors=("mirror/run:1",),
    )
    lifecycle = label(exported, LIFECYCLE_LABEL)
    shas = {name: str(layer.diff_id) for name, layer in by_name(exported).items()}
    assert lifecycle["app"] == [{"sha": shas["application"]}]
    assert lifecycle["launcher"] == {"sha": shas["launcher"]}
    assert lifecycle["config"] == {"sha": shas["config"]}
    assert lifecycle["process-types"] == {"sha": shas["process types"]}
    assert "sbom" not in lifecycle
    venv = {"sha": shas["x/a:venv"], "data": {"lock": "1"}, "launch": True, "build": False, "cache": False}
    assert lifecycle["buildpacks"] == [
        {"key": "x/a", "version": "1.0.0", "layers": {"venv": venv}, "store": {"metadata": {"kept": 1}}},
        {"key": "x/b", "version": "1.0.0", "layers": {}},
    ]
    assert lifecycle["runImage"] == {
        "topLayer": shas["run image"],
        "reference": "run@digest",
        "image": "docker.io/library/run:1",
        "mirrors": ["mirror/run:1"],
    }
    build = label(exported, BUILD_LABEL)
    assert [process["type"] for process in build["processes"]] == ["web", "worker"]
    assert [buildpack["id"] for buildpack in build["buildpacks"]] == ["x/a", "x/b"]
    assert build["launcher"]["version"]
    assert label(exported, PROJECT_LABEL) == {"source": {"type": "git", "version": {"commit": "abc"}}}


def test_a_second_build_gives_the_same_image_and_reuses_every_layer(exporter: Exporter) -> None:
    buildpack = exporter.world.add("x/a", build=LAYER + PROCESSES)
    first = exporter.export(buildpack)
    assert [layer.is_reused for layer in first.layers] == [True] + [False] * 5
    os.utime(exporter.world.app / "main.py", (1, 1))
    second = exporter.export(buildpack)
    assert second.image.manifest_bytes == first.image.manifest_bytes
    assert all(layer.is_reused for layer in second.layers)


def test_a_layer_without_directory_is_taken_from_the_previous_image(exporter: Exporter) -> None:
    world = exporter.world
    first = exporter.export(world.add("x/a", build=LAYER + PROCESSES))
    second = exporter.export(world.add("x/a", build=REUSED + PROCESSES, version="2.0.0"))
    assert by_name(second)["x/a:venv"].descriptor == by_name(first)["x/a:venv"].descriptor
    assert label(second, LIFECYCLE_LABEL)["buildpacks"][0]["layers"]["venv"]["data"] == {"lock": "2"}
    assert second.image.config.env == first.image.config.env, "its environment is known without its directory"
    launchers = [content_of(by_name(image)["launcher"], "cnb/lifecycle/launcher") for image in (first, second)]
    assert launchers[0] == launchers[1]
    third = exporter.export(world.add("x/a", build=REUSED + PROCESSES, version="3.0.0"))
    assert third.image.config.env == first.image.config.env


def test_the_environment_of_a_layer_that_another_lifecycle_made_is_read_from_it(exporter: Exporter) -> None:
    world = exporter.world
    first = exporter.export(world.add("x/a", build=LAYER + PROCESSES))
    labels = {name: text for name, text in first.image.config.labels.items() if name != LAUNCH_FACTS_LABEL}
    exporter.previous = make_image(replace(first.image.config, labels=labels), first.image.layers)
    second = exporter.export(world.add("x/a", build=REUSED + PROCESSES, version="2.0.0"))
    assert second.image.config.env == first.image.config.env
    assert label(second, LAUNCH_FACTS_LABEL) == label(first, LAUNCH_FACTS_LABEL)


@pytest.mark.parametrize(
    ("types", "message"),
    [("launch = true", "has no directory"), ("launch = true\\ncache = true", "launch and cache layer")],
)
def test_a_layer_that_is_nowhere_is_an_error(exporter: Exporter, types: str, message: str) -> None:
    build = f"printf '[types]\\n{types}\\n' > \"$CNB_LAYERS_DIR/venv.toml\""
    with pytest.raises(ExportError, match=message) as caught:
        exporter.export(exporter.world.add("x/a", build=build))
    assert caught.value.exit_code == 62


def test_a_previous_image_without_the_blob_is_an_error(exporter: Exporter) -> None:
    exporter.export(exporter.world.add("x/a", build=LAYER))
    assert exporter.previous is not None
    exporter.previous = replace(exporter.previous, layers=())
    with pytest.raises(ExportError, match="lacks its blob"):
        exporter.export(exporter.world.add("x/a", build=REUSED, version="2.0.0"))


def test_only_launch_layers_are_in_the_image(exporter: Exporter) -> None:
    build = "".join(
        f'mkdir -p "$1/{name}"; printf "[types]\\n{types}\\n" > "$1/{name}.toml"\n'
        for name, types in (("b", "build = true"), ("c", "cache = true"), ("none", ""))
    )
    exported = exporter.export(exporter.world.add("x/a", build=build + 'mkdir "$1/no-file"'))
    assert [layer.name for layer in exported.layers] == ["run image", "application", "launcher", "config"]
    assert exported.image.config.entrypoint == ("/cnb/lifecycle/launcher",)


def test_the_entrypoint_is_the_type_that_is_asked_for(exporter: Exporter) -> None:
    buildpack = exporter.world.add("x/a", build=PROCESSES)
    exported = exporter.export(buildpack, process_type="worker")
    assert exported.image.config.entrypoint == ("/cnb/process/worker",)
    with pytest.raises(ExportError, match="no process type `nope`; the buildpacks declared: `web`, `worker`"):
        exporter.export(buildpack, process_type="nope")


def test_the_time_of_the_image_can_be_chosen_and_that_of_files_not(exporter: Exporter) -> None:
    exported = exporter.export(exporter.world.add("x/a"), source_date_epoch=1_700_000_000)
    assert exported.image.config.created == "2023-11-14T22:13:20Z"
    with pytest.raises(ExportError, match="SOURCE_DATE_EPOCH"):
        exporter.export(exporter.world.add("x/b"), source_date_epoch=2**70)


def test_bills_of_materials_get_a_layer(exporter: Exporter) -> None:
    world = exporter.world
    buildpack = world.add(
        "x/a", keys='sbom-formats = ["application/vnd.cyclonedx+json"]', build='echo {} > "$1/launch.sbom.cdx.json"'
    )
    exported = exporter.export(buildpack)
    layer = by_name(exported)["sbom"]
    assert "layers/sbom/launch/x_a/sbom.cdx.json" in names_in(layer)
    assert label(exported, LIFECYCLE_LABEL)["sbom"] == {"sha": str(layer.diff_id)}


def digests(exported: ExportedImage) -> dict[str, Digest]:
    return {name: layer.descriptor.digest for name, layer in parts_in(exported).items()}


def test_a_layer_of_packages_is_divided_and_the_union_is_the_same(exporter: Exporter) -> None:
    build = make_environment(exporter, LARGE)
    divided = exporter.export(exporter.world.add("x/a", build=build))
    whole = exporter.export(exporter.world.add("x/a", build=build.replace(BY_PACKAGES, ""), version="2.0.0"))
    parts = parts_in(divided)
    assert list(parts) == [
        "x/a:venv.package-numpy", "x/a:venv.package-pandas", "x/a:venv.packages-00", "x/a:venv",
    ]  # fmt: skip
    names = [set(names_in(part)) for part in parts.values()]
    (layer,) = parts_in(whole).values()
    assert set().union(*names) == set(names_in(layer))
    assert divided.image.config.env == whole.image.config.env
    assert "FLAG=yes" in divided.image.config.env
    launch = label(divided, LIFECYCLE_LABEL)["buildpacks"][0]["layers"]
    assert {name: launch[name]["sha"] for name in launch} == {
        name.removeprefix("x/a:"): str(part.diff_id) for name, part in parts.items()
    }
    beside = ["venv.package-numpy", "venv.package-pandas", "venv.packages-00"]
    assert launch["venv"]["data"] == {"lock": "1", "pybuild-parts": beside}
    assert all(launch[name]["launch"] for name in beside)


def test_a_changed_package_leaves_the_other_parts_as_they_were(exporter: Exporter) -> None:
    first = exporter.export(exporter.world.add("x/a", build=make_environment(exporter, LARGE)))
    build = make_environment(exporter, {**LARGE, "tiny": 11})
    second = exporter.export(exporter.world.add("x/a", build=build, version="2.0.0"))
    reused = {layer.name: layer.is_reused for layer in second.layers if layer.name.startswith("x/a:")}
    assert reused == {
        "x/a:venv.package-numpy": True, "x/a:venv.package-pandas": True, "x/a:venv.packages-00": False, "x/a:venv": True,
    }  # fmt: skip
    assert {layer.part_of for layer in second.layers if layer.name.startswith("x/a:venv.")} == {"x/a:venv"}
    shared = parts_in(first)["x/a:venv.package-numpy"].descriptor
    assert shared == parts_in(second)["x/a:venv.package-numpy"].descriptor
    assert "Adding layer `x/a:venv` in 4 parts, 1 of them new" in exporter.world.log.lines


def test_a_divided_layer_without_directory_is_taken_with_all_its_parts(exporter: Exporter) -> None:
    world = exporter.world
    first = exporter.export(world.add("x/a", build=make_environment(exporter, LARGE)))
    second = exporter.export(world.add("x/a", build=REUSED, version="2.0.0"))
    assert digests(second) == digests(first)
    # As a lifecycle restores it and the kit declares it: the parts are layers of their own.
    declared = REUSED + "".join(
        f"printf '[types]\\nlaunch = true\\n' > \"$CNB_LAYERS_DIR/{name.removeprefix('x/a:')}.toml\"\n"
        for name in parts_in(first)
        if name != "x/a:venv"
    )
    names = json.dumps([name.removeprefix("x/a:") for name in parts_in(first) if name != "x/a:venv"])
    declared += f"printf 'pybuild-parts = %s\\n' '{names}' >> \"$CNB_LAYERS_DIR/venv.toml\"\n"
    third = exporter.export(world.add("x/a", build=declared, version="3.0.0"))
    assert digests(third) == digests(first)
    metadata = [label(image, LIFECYCLE_LABEL)["buildpacks"][0]["layers"]["venv"]["data"] for image in (second, third)]
    assert metadata[0] == metadata[1]


def test_a_divided_layer_is_not_reused_without_one_of_its_parts(exporter: Exporter) -> None:
    first = exporter.export(exporter.world.add("x/a", build=make_environment(exporter, LARGE)))
    missing = parts_in(first)["x/a:venv.package-numpy"]
    kept = [layer for layer in first.image.layers if layer != missing]
    exporter.previous = make_image(replace(first.image.config, history=()), kept)
    with pytest.raises(ExportError, match=f"lacks its blob {missing.diff_id}"):
        exporter.export(exporter.world.add("x/a", build=REUSED, version="2.0.0"))


def test_an_image_has_no_more_layers_than_engines_take(exporter: Exporter) -> None:
    blobs = exporter.world.root / "many"
    many = [file_layer(blobs, {f"etc/{number}": str(number)}) for number in range(95)]
    exporter.run_image = make_image(exporter.run_image.config, many)
    build = make_environment(exporter, {f"p{number}": 2 << 20 for number in range(40)})
    exported = exporter.export(exporter.world.add("x/a", build=build))
    assert len(parts_in(exported)) > 4
    assert len(exported.image.layers) <= 110


def test_a_layer_of_packages_that_is_cached_stays_whole(exporter: Exporter) -> None:
    build = make_environment(exporter, LARGE).replace("launch = true", "launch = true\\ncache = true")
    exported = exporter.export(exporter.world.add("x/a", build=build))
    assert list(parts_in(exported)) == ["x/a:venv"]


@pytest.mark.parametrize("first", list(Compression))
def test_the_compression_of_earlier_builds_does_not_matter(exporter: Exporter, first: Compression) -> None:
    world = exporter.world
    made = exporter.export(world.add("x/a", build=LAYER + PROCESSES), compression=first)
    reused = world.add("x/a", build=REUSED + PROCESSES, version="2.0.0")
    for compression in Compression:
        again = exporter.export(reused, compression=compression)
        base, *own = again.image.layers
        assert {layer.descriptor.media_type for layer in own} == {compression.media_type}
        assert base == exporter.run_image.layers[0]
        assert own[0].diff_id == made.image.layers[1].diff_id
        assert again.image.config.env == made.image.config.env
        same = exporter.export(reused, compression=compression)
        assert same.image.manifest_bytes == again.image.manifest_bytes
        assert all(layer.is_reused for layer in same.layers)


def test_the_environment_of_a_layer_compressed_with_zstd_is_read_from_it(exporter: Exporter) -> None:
    world = exporter.world
    first = exporter.export(world.add("x/a", build=LAYER + PROCESSES), compression=Compression.ZSTD)
    labels = {name: text for name, text in first.image.config.labels.items() if name != LAUNCH_FACTS_LABEL}
    exporter.previous = make_image(replace(first.image.config, labels=labels), first.image.layers)
    second = exporter.export(world.add("x/a", build=REUSED + PROCESSES, version="2.0.0"))
    assert second.image.config.env == first.image.config.env


def slices(*parts: Sequence[str]) -> str:
    tables = "\n".join(f"[[slices]]\npaths = {json.dumps(list(paths))}" for paths in parts)
    return f"cat > \"$1/launch.toml\" <<'END'\n{tables}\nEND\n"


def test_slices_divide_the_application(exporter: Exporter) -> None:
    app = exporter.world.app
    for path in (
        "a/x.txt",
        "a/y.py",
        "a/sub/z.txt",
        ".hidden.txt",
        "top.txt",
        "data/big",
        "data/deep/er",
        "empty/keep",
    ):
        (app / path).parent.mkdir(parents=True, exist_ok=True)
        (app / path).write_text(path)
    (app / "empty/keep").unlink()
    (app / "link").symlink_to("data")
    build = slices(["*.txt", "a/*.txt"], ["nothing-like-it", "../outside", "/etc/*"], ["data/", "a", "link/*"])
    exported = exporter.export(exporter.world.add("x/a", build=build))
    layers = by_name(exported)
    contents = {
        name: {path.removeprefix("workspace/") for path in names_in(layers[name]) if not path.endswith("/")}
        for name in ("slice 1", "slice 3", "application")
    }
    assert contents["slice 1"] == {".hidden.txt", "top.txt", "a/x.txt"}
    assert contents["slice 3"] == {"data/big", "data/deep/er", "a/y.py", "a/sub/z.txt"}
    assert contents["application"] == {"main.py", "link"}
    assert "workspace/empty/" in names_in(layers["application"])
    assert "slice 2" not in layers
    assert len(label(exported, LIFECYCLE_LABEL)["app"]) == 3


@pytest.mark.parametrize("pattern", ["[", "a[", "[]", "[a-]", "[-a]", "a\\\\"])
def test_a_malformed_pattern_is_an_error(exporter: Exporter, pattern: str) -> None:
    build = f'cat > "$1/launch.toml" <<\'END\'\n[[slices]]\npaths = ["{pattern}"]\nEND\n'
    with pytest.raises(ExportError, match="is not a pattern"):
        exporter.export(exporter.world.add("x/a", build=build))


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("?", {"a", "-", "*", "s", "s/t"}),
        ("[a-c]x", {"ax", "bx"}),
        ("[^a]x", {"bx", "]x"}),
        ("[\\]]x", {"]x"}),
        ("\\*", {"*"}),
        ("**", {"a", "-", "ax", "bx", "]x", "*", "s", "s/t"}),
        ("s/*", {"s/t"}),
        ("/workspace/a", {"a"}),
        ("../workspace/a", set()),
        ("[c-a]x", set()),
        ("s*t", set()),
    ],
)
def test_patterns_mean_what_they_mean_in_go(tmp_path: Path, pattern: str, names: set[str]) -> None:
    (tmp_path / "s").mkdir()
    for name in ("a", "-", "ax", "bx", "]x", "*", "s/t"):
        (tmp_path / name).touch()
    assigned = assign_slices(tmp_path, PurePosixPath("/workspace"), [Slice(paths=(pattern,))])
    assert {path.decode() for path in assigned} == names


def test_an_application_that_no_image_can_hold_is_named(exporter: Exporter) -> None:
    (exporter.world.app / ".wh.x").touch()
    with pytest.raises(ArchiveError, match=r"\.wh\.x"):
        exporter.export(exporter.world.add("x/a"))


def test_an_empty_application_is_an_empty_directory(exporter: Exporter) -> None:
    (exporter.world.app / "main.py").unlink()
    assert names_in(by_name(exporter.export(exporter.world.add("x/a")))["application"]) == ["workspace/"]


def test_what_is_no_file_is_left_out_with_a_warning(exporter: Exporter) -> None:
    os.mkfifo(exporter.world.app / "fifo")
    exported = exporter.export(exporter.world.add("x/a"))
    assert names_in(by_name(exported)["application"]) == ["workspace/", "workspace/main.py"]
    assert any("fifo" in line for line in exporter.world.log.warnings)


def test_another_directory_gives_the_same_image(exporter: Exporter, tmp_path: Path) -> None:
    buildpack = exporter.world.add("x/a", build=LAYER + PROCESSES)
    first = exporter.export(buildpack)
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("workspace", "layers", "buildpacks"):
        (tmp_path / name).rename(moved / name)
    again = Exporter(world=World(moved, exporter.world.log), run_image=exporter.run_image)
    assert again.export(buildpack).image.digest == first.image.digest


def test_the_mode_of_the_volume_that_the_application_is_on_does_not_count(exporter: Exporter) -> None:
    element = exporter.world.add("x/a")
    exporter.world.app.chmod(0o755)
    first = exporter.export(element)
    exporter.world.app.chmod(0o2777)
    assert exporter.export(element).image.digest == first.image.digest
