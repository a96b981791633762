"""Exported images, as a registry has them (platform.md, "Export"; buildpack.md, "Layer Types")."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conformance.images import ARCHITECTURE, BASE_LABELS, GROUP, USER, Platform, ReadImage, push_run_image
from tests.conformance.kit import Lifecycle, launch_toml, layer, make_lifecycle, read_toml, write_toml
from tests.lifecycle.registry.fake_registry import FakeRegistry

pytestmark = pytest.mark.integration

SBOM_KEYS = 'sbom-formats = ["application/vnd.cyclonedx+json", "application/spdx+json"]'
COMBINATIONS = ("", "launch", "build", "cache", "launch build", "launch cache", "build cache", "launch build cache")
FILES = """
cd "$1/of-launch"
mkdir -p empty private deep/er
chmod 700 private
chmod 1777 empty
echo program > program; chmod 755 program
echo secret > secret; chmod 600 secret
ln -s program relative
ln -s /no/such/place broken
ln -s deep directory-link
ln secret hard
echo x > "deep/er/name with spaces and é"
"""
SBOMS = """
for name in launch build layer; do echo '{"bomFormat": "CycloneDX"}' > "$1/$name.sbom.cdx.json"; done
mv "$1/layer.sbom.cdx.json" "$1/of-launch-build.sbom.spdx.json"
echo '{}' > "$1/of-build-cache.sbom.cdx.json"
"""
LAUNCH = """
[[labels]]
key = "of.both"
value = "first"
[[labels]]
key = "of.first"
value = ""
[[processes]]
type = "web"
command = ["serve", "fixed"]
args = ["--port", "80"]
default = true
working-dir = "sub"
[[processes]]
type = "task"
command = ["run"]
exec-env = ["test"]
[[slices]]
paths = ["static/*.css", "*.txt", "link"]
"""
SECOND_LAUNCH = """
[[labels]]
key = "of.both"
value = "second"
[[slices]]
paths = ["static", ".hid*", "x[0-9]", "x[^0-9]", "../outside", "/etc/*", "**/deeper.py", "nothing-*"]
[[processes]]
type = "zeta"
command = ["z"]
"""
APPLICATION = (
    "main.py",
    "a.txt",
    "sub/b.txt",
    "static/a.css",
    "static/b.js",
    "static/deep/c.css",
    ".hidden",
    ".hidden-directory/file",
    "x1",
    "xy",
    "x12",
    "one/two/deeper.py",
    "one/deeper.py",
)
PROJECT = {"source": {"type": "git", "version": {"commit": "abc", "number": 3}, "metadata": {"branch": "main"}}}


def layer_name(types: str) -> str:
    """Some types alone would be reserved names."""
    return f"of-{types.replace(' ', '-') or 'none'}"


@dataclass(frozen=True, slots=True)
class Built:
    """An exported image, and what it was made of."""

    platform: Platform
    image: ReadImage
    layers: str
    app: str

    def layer_id(self, name: str) -> str:
        """The diff id of a layer of the first buildpack."""
        return str(self.image.label("lifecycle")["buildpacks"][0]["layers"][name]["sha"])

    def application(self) -> list[dict[str, tarfile.TarInfo]]:
        """What is below the application directory in each of its layers, by relative path."""
        found = []
        for one in self.image.label("lifecycle")["app"]:
            members = self.image.members(one["sha"])
            prefix = f"{self.app}/"
            found.append({path.removeprefix(prefix): info for path, info in members.items() if path.startswith(prefix)})
        return found


def write_application(lifecycle: Lifecycle) -> None:
    for name in APPLICATION:
        lifecycle.world.write(f"workspace/{name}", name)
    (lifecycle.world.app / "empty").mkdir()
    (lifecycle.world.app / "link").symlink_to("/etc/passwd")
    lifecycle.world.write("outside", "not of the application")


def write_buildpacks(lifecycle: Lifecycle) -> None:
    layers = "\n".join(
        layer(layer_name(types), *types.split(), files={"file": types}, metadata=f'of = "{types}"')
        for types in COMBINATIONS
    )
    store = "printf '[metadata]\\nkept = [1]\\n' > \"$1/store.toml\""
    first = "\n".join([layers, FILES, SBOMS, store, launch_toml(LAUNCH)])
    lifecycle.world.add("example/first", keys=f'{SBOM_KEYS}\nhomepage = "https://first.test"', build=first)
    lifecycle.world.add("second", api="0.10", build=launch_toml(SECOND_LAUNCH))
    lifecycle.world.add("silent", api="0.11")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, programs: Path) -> Iterator[Built]:
    lifecycle = make_lifecycle(tmp_path_factory.mktemp("exporting"), programs)
    write_application(lifecycle)
    write_buildpacks(lifecycle)
    write_toml(lifecycle.root / "project-metadata.toml", PROJECT)
    with FakeRegistry() as registry:
        push_run_image(registry)
        platform = Platform(lifecycle, registry)
        flags = ("-project-metadata", str(lifecycle.root / "project-metadata.toml"))
        image = platform.build("example/first second silent", flags=flags)
        yield Built(platform, image, str(lifecycle.layers), str(lifecycle.world.app))


@pytest.fixture
def small(platform: Platform) -> Platform:
    """A platform with a run image and one buildpack of one process."""
    push_run_image(platform.registry)
    processes = '[[processes]]\ntype = "web"\ncommand = ["x"]\n[[processes]]\ntype = "task"\ncommand = ["y"]\n'
    platform.lifecycle.world.add("a", build=f"{layer('x', 'launch')}\n{launch_toml(processes)}")
    return platform


@pytest.mark.requirement("LYR-01")
def test_all_entries_have_one_time_and_owners_without_names(built: Built) -> None:
    base = 2
    for diff_id in built.image.diff_ids[base:]:
        for path, info in built.image.members(diff_id).items():
            assert info.mtime == 315532801, path
            assert (info.uname, info.gname) == ("", ""), path
            inside = path.startswith((f"{built.layers}/example_first/", f"{built.app}/"))
            if inside:
                assert (info.uid, info.gid) == (USER, GROUP), path
    for path in ("/cnb/lifecycle/launcher", "/cnb/process/web"):
        info = built.image.files()[path]
        assert (info.uid, info.gid) == (0, 0)


@pytest.mark.requirement("LYR-02")
def test_files_of_layers_are_as_they_were(built: Built) -> None:
    members = built.image.members(built.layer_id("of-launch"))
    root = f"{built.layers}/example_first/of-launch"
    modes = {"": None, "empty": 0o1777, "private": 0o700, "program": 0o755, "secret": 0o600}
    for name, mode in modes.items():
        info = members[f"{root}/{name}".rstrip("/")]
        assert mode is None or info.mode == mode, name
    assert members[f"{root}/empty"].isdir()
    for name, target in {"relative": "program", "broken": "/no/such/place", "directory-link": "deep"}.items():
        assert members[f"{root}/{name}"].issym()
        assert members[f"{root}/{name}"].linkname == target
    assert f"{root}/directory-link/er" not in members
    assert f"{root}/deep/er/name with spaces and é" in members
    assert members[f"{root}/hard"].isreg()
    assert built.image.read(f"{root}/hard") == b"secret\n"
    outside = [path for path in members if not f"{path}/".startswith(f"{root}/")]
    assert all(f"{root}/".startswith(f"{path}/") and members[path].isdir() for path in outside)


@pytest.mark.requirement("LYR-06")
def test_only_launch_layers_are_in_the_image(built: Built) -> None:
    launch = {layer_name(types) for types in COMBINATIONS if "launch" in types}
    prefix = f"{built.layers}/example_first/"
    found = {path.removeprefix(prefix).partition("/")[0] for path in built.image.files() if path.startswith(prefix)}
    assert found == launch
    assert set(built.image.label("lifecycle")["buildpacks"][0]["layers"]) == launch


@pytest.mark.requirement("LYR-07")
def test_slices_are_the_application_together_and_disjoint(built: Built) -> None:
    parts = [{path for path, info in part.items() if not info.isdir()} for part in built.application()]
    assert len(parts) == 3
    first, second, rest = parts
    assert first == {"static/a.css", "a.txt", "link"}
    assert second == {
        "static/b.js",
        "static/deep/c.css",
        ".hidden",
        ".hidden-directory/file",
        "x1",
        "xy",
        "one/deeper.py",
    }
    assert rest == {*APPLICATION, "link"} - first - second
    directories = {path for part in built.application() for path, info in part.items() if info.isdir()}
    assert "empty" in directories
    assert len([path for part in parts for path in part]) == len(APPLICATION) + 1


@pytest.mark.requirement("LYR-08")
def test_patterns_of_slices_are_those_of_one_directory_level(built: Built) -> None:
    _, second, rest = (set(part) for part in built.application())
    # `**` is as good as `*`: it does not go down.
    assert "one/deeper.py" in second
    assert "one/two/deeper.py" in rest
    assert {".hidden", ".hidden-directory/file", "x1", "xy"} <= second
    assert "x12" in rest
    assert "sub/b.txt" in rest
    paths = set(built.image.files())
    assert not {path for path in paths if path.endswith("/outside")}
    assert "/etc/passwd" not in paths


@pytest.mark.requirement("LYR-08")
def test_a_malformed_pattern_is_an_error(small: Platform) -> None:
    small.lifecycle.world.add("b", build=launch_toml('[[slices]]\npaths = ["a["]'))
    small.prepare("b")
    assert small.lifecycle.start("builder").status == 0
    assert small.export().status == 62


@pytest.mark.requirement("EXP-01", "EXP-12")
def test_the_lifecycle_label_says_what_each_layer_is(built: Built) -> None:
    label, image = built.image.label("lifecycle"), built.image
    in_order = [
        image.label("lifecycle")["buildpacks"][0]["layers"][name]["sha"]
        for name in sorted(label["buildpacks"][0]["layers"])
    ]
    in_order += [label["sbom"]["sha"], *(one["sha"] for one in label["app"])]
    in_order += [label[name]["sha"] for name in ("launcher", "config", "process-types")]
    assert image.diff_ids[2:] == in_order
    assert [(one["key"], one["version"]) for one in label["buildpacks"]] == [
        ("example/first", "1.0.0"),
        ("second", "1.0.0"),
        ("silent", "1.0.0"),
    ]
    first, second, silent = label["buildpacks"]
    assert first["layers"]["of-launch-cache"] == {
        "sha": first["layers"]["of-launch-cache"]["sha"],
        "data": {"of": "launch cache"},
        "build": False,
        "launch": True,
        "cache": True,
    }
    assert first["store"] == {"metadata": {"kept": [1]}}
    assert (second["layers"], silent["layers"]) == ({}, {})
    assert "store" not in second
    assert label["exec-env"] == "production"
    assert image.labels["io.buildpacks.exec-env"] == "production"


@pytest.mark.requirement("EXP-02", "DIF-09")
def test_the_build_label_has_processes_and_buildpacks(built: Built) -> None:
    label = built.image.label("build")
    assert [(one["id"], one["version"], one["api"]) for one in label["buildpacks"]] == [
        ("example/first", "1.0.0", "0.12"),
        ("second", "1.0.0", "0.10"),
        ("silent", "1.0.0", "0.11"),
    ]
    assert label["buildpacks"][0]["homepage"] == "https://first.test"
    processes = {one["type"]: one for one in label["processes"]}
    assert list(processes) == ["task", "web", "zeta"]
    assert processes["web"] == {
        "type": "web",
        "command": ["serve", "fixed"],
        "args": ["--port", "80"],
        "direct": True,
        "working-dir": "sub",
        "buildpackID": "example/first",
    }
    assert processes["task"]["exec-env"] == ["test"]
    assert processes["zeta"]["buildpackID"] == "second"
    assert label["launcher"]["version"]
    assert "bom" not in label


@pytest.mark.requirement("EXP-03")
def test_the_project_label_is_the_project_s_metadata(built: Built, small: Platform) -> None:
    assert built.image.label("project") == PROJECT
    assert small.build("a").label("project") == {}


@pytest.mark.requirement("EXP-04")
def test_labels_of_buildpacks_are_set_and_the_last_wins(built: Built) -> None:
    assert built.image.labels["of.both"] == "second"
    assert built.image.labels["of.first"] == ""


@pytest.mark.requirement("EXP-05")
def test_the_entrypoint_is_the_default_process(built: Built) -> None:
    assert built.image.config["Entrypoint"] == ["/cnb/process/web"]
    assert not built.image.config.get("Cmd")


@pytest.mark.requirement("EXP-05")
def test_the_entrypoint_is_the_launcher_or_the_type_that_is_asked_for(small: Platform) -> None:
    assert small.build("a").config["Entrypoint"] == ["/cnb/lifecycle/launcher"]
    assert small.build("a", flags=("-process-type", "task")).config["Entrypoint"] == ["/cnb/process/task"]
    assert small.export(env={"CNB_PROCESS_TYPE": "web"}).status == 0
    assert small.read().config["Entrypoint"] == ["/cnb/process/web"]
    ended = small.export("-process-type", "other")
    assert ended.status == 62
    assert "other" in ended.stderr


@pytest.mark.requirement("EXP-06", "DIF-04")
def test_the_environment_and_the_working_directory_are_set(built: Built) -> None:
    env = built.image.env
    assert env["CNB_LAYERS_DIR"] == built.layers
    assert env["CNB_APP_DIR"] == built.app
    assert env["PATH"].split(":")[:2] == ["/cnb/process", "/cnb/lifecycle"]
    assert env["PATH"].endswith(":/usr/local/bin:/usr/bin:/bin")
    assert env["CNB_PLATFORM_API"] == "0.15"
    assert "CNB_PROCESS_TYPE" not in env
    assert built.image.config["WorkingDir"] == built.app


@pytest.mark.requirement("EXP-07", "DIF-03")
def test_the_run_image_is_kept(built: Built) -> None:
    config = built.image.config
    base = built.platform.read("team/run:1")
    assert built.image.diff_ids[:2] == base.diff_ids
    assert built.image.manifest["layers"][:2] == base.manifest["layers"]
    assert config["User"] == "1001:1001"
    assert config["ExposedPorts"] == {"8080/tcp": {}}
    assert config["Volumes"] == {"/data": {}}
    assert config["StopSignal"] == "SIGINT"
    assert built.image.env["OF_BASE"] == "x"
    assert BASE_LABELS.items() <= built.image.labels.items()
    assert (built.image.document["os"], built.image.document["architecture"]) == ("linux", ARCHITECTURE)
    assert built.image.labels["io.buildpacks.rebasable"] == "true"


@pytest.mark.requirement("EXP-08")
def test_there_is_a_link_to_the_launcher_for_each_process(built: Built) -> None:
    types = built.image.members(built.image.label("lifecycle")["process-types"]["sha"])
    links = {path: info.linkname for path, info in types.items() if not info.isdir()}
    assert links == {f"/cnb/process/{name}": "/cnb/lifecycle/launcher" for name in ("task", "web", "zeta")}
    assert built.image.files()["/cnb/lifecycle/launcher"].mode == 0o755


@pytest.mark.requirement("EXP-09")
def test_sboms_for_launch_are_in_the_image(built: Built) -> None:
    sboms = built.image.members(built.image.label("lifecycle")["sbom"]["sha"])
    root = f"{built.layers}/sbom/launch/"
    found = {path.removeprefix(root) for path, info in sboms.items() if info.isreg()}
    assert {"example_first/sbom.cdx.json", "example_first/of-launch-build/sbom.spdx.json"} <= found
    assert {path for path in found if not path.startswith("buildpacksio_")} == {
        "example_first/sbom.cdx.json",
        "example_first/of-launch-build/sbom.spdx.json",
    }
    assert not [path for path in built.image.files() if "/sbom/build" in path or "/sbom/cache" in path]


@pytest.mark.requirement("EXP-10", "LYR-03")
def test_two_builds_give_one_image(small: Platform) -> None:
    world = small.lifecycle.world
    for name in APPLICATION:
        world.write(f"workspace/{name}")
    first = small.build("a")
    assert first.document["created"] == "1980-01-01T00:00:01Z"
    assert {one["created"] for one in first.document["history"][2:]} == {"1980-01-01T00:00:01Z"}
    for number, name in enumerate(reversed(APPLICATION)):
        path = world.app / name
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)
        os.utime(path, (number * 1e6, number * 1e6))
    # Neither a cache nor a previous image.
    small.registry.manifests.pop("team/app:1")
    again = small.lifecycle
    for path in small.cache.iterdir():
        path.rename(small.lifecycle.root / f"old-{path.name}")
    assert small.build("a").digest == first.digest
    # With both.
    assert small.build("a").digest == first.digest
    assert again.layers.exists()


@pytest.mark.requirement("EXP-10")
def test_the_image_says_the_time_that_it_is_told(small: Platform) -> None:
    image = small.build("a", env={"SOURCE_DATE_EPOCH": "1000000000"})
    assert image.document["created"] == "2001-09-09T01:46:40Z"
    assert image.document["history"][-1]["created"] == "2001-09-09T01:46:40Z"
    assert {info.mtime for info in image.members(image.diff_ids[-1]).values()} == {315532801}
    ended = small.export(env={"SOURCE_DATE_EPOCH": "yesterday"})
    assert (ended.status, small.read().document["created"]) == (0, "1980-01-01T00:00:01Z")
    assert "SOURCE_DATE_EPOCH" in ended.stderr


@pytest.mark.requirement("EXP-11", "DIF-30")
def test_all_tags_are_one_image_and_the_report_says_which(small: Platform) -> None:
    other = f"{small.registry.host}/team/app:2"
    image = small.build("a", flags=("-report", str(small.lifecycle.root / "own-report.toml"), other))
    assert small.read("team/app:2").digest == image.digest
    report = read_toml(small.lifecycle.root / "own-report.toml")["image"]
    assert sorted(report["tags"]) == sorted([small.app, other])
    assert report["digest"] == image.digest
    content, _ = small.registry.manifests["team/app:1"]
    assert report["manifest-size"] == len(content)
    assert small.export().status == 0
    assert read_toml(small.lifecycle.layers / "report.toml")["image"]["digest"] == image.digest


@pytest.mark.requirement("EXP-12")
def test_the_label_says_which_run_image_it_is(small: Platform) -> None:
    mirrors = ["other.test/team/run:1", "third.test/x"]
    write_toml(
        small.lifecycle.root / "run.toml",
        {"images": [{"image": "x.test/other"}, {"image": small.run, "mirrors": mirrors}]},
    )
    image = small.build("a", env={"CNB_RUN_PATH": str(small.lifecycle.root / "run.toml")})
    base = small.read("team/run:1")
    assert image.label("lifecycle")["runImage"] == {
        "topLayer": base.diff_ids[-1],
        "reference": f"{small.registry.host}/team/run@{base.digest}",
        "image": small.run,
        "mirrors": mirrors,
    }
    assert image.label("lifecycle")["stack"] == {"runImage": {"image": small.run, "mirrors": mirrors}}


@pytest.mark.requirement("LYR-03", "LYR-04")
def test_a_launch_layer_without_a_directory_is_that_of_the_previous_image(small: Platform) -> None:
    make = layer("x", "launch", files={"file": "content"}, metadata="build = 1")
    again = "printf '[types]\\nlaunch = true\\n[metadata]\\nbuild = 2\\n' > \"$1/x.toml\""
    small.lifecycle.world.add("b", build=f'if [ -e "$1/x.toml" ]; then\n{again}\nelse\n{make}\nfi')
    first = small.build("b")
    second = small.build("b")
    one, two = (image.label("lifecycle")["buildpacks"][0]["layers"]["x"] for image in (first, second))
    assert one["sha"] == two["sha"]
    assert (one["data"], two["data"]) == ({"build": 1}, {"build": 2})
    assert second.read(f"{small.lifecycle.layers}/b/x/file") == b"content"


@pytest.mark.requirement("LYR-05")
@pytest.mark.parametrize("types", ["launch = true", "launch = true\ncache = true"])
def test_a_launch_layer_that_is_nowhere_gives_62(small: Platform, types: str) -> None:
    script = f"cat > \"$1/x.toml\" <<'END'\n[types]\n{types}\nEND"
    small.lifecycle.world.add("b", build=script)
    small.prepare("b")
    assert small.lifecycle.start("builder").status == 0
    ended = small.export()
    assert ended.status == 62
    assert "b:x" in ended.stderr or "`x`" in ended.stderr


@pytest.mark.requirement("LYR-05")
def test_a_cache_layer_must_be_there_also_when_the_previous_image_has_it(small: Platform) -> None:
    make = layer("x", "launch", "cache", files={"file": "content"})
    gone = 'rm -rf "$1/x"; printf \'[types]\\nlaunch = true\\ncache = true\\n\' > "$1/x.toml"'
    small.lifecycle.world.add("b", build=f'if [ -e "$1/x" ]; then\n{gone}\nelse\n{make}\nfi')
    small.build("b")
    small.lifecycle.forget()
    small.prepare("b")
    assert small.lifecycle.start("builder").status == 0
    assert small.export().status == 62


@pytest.mark.requirement("LYR-09")
def test_the_cache_has_what_the_next_build_restores(built: Built) -> None:
    lifecycle, platform = built.platform.lifecycle, built.platform
    lifecycle.forget()
    lifecycle.write_group("example/first")
    # Without an image, all that comes back is of the cache.
    other = f"{platform.registry.host}/team/nothing:1"
    assert lifecycle.start("analyzer", "-run-image", platform.run, other).status == 0
    assert lifecycle.start("restorer", "-cache-dir", str(built.platform.cache)).status == 0
    own = lifecycle.layers / "example_first"
    cached = {layer_name(types) for types in COMBINATIONS if "cache" in types}
    assert {path.name for path in own.iterdir() if path.is_dir()} == cached
    assert read_toml(own / "of-build-cache.toml") == {"metadata": {"of": "build cache"}}
    assert (own / "of-build-cache" / "file").read_text() == "build cache"
    assert (own / "of-build-cache.sbom.cdx.json").read_text() == "{}\n"


@pytest.mark.requirement("GEN-03")
def test_a_buildpack_with_an_unsupported_api_is_not_exported(small: Platform) -> None:
    small.prepare("a")
    assert small.lifecycle.start("builder").status == 0
    group = small.lifecycle.layers / "group.toml"
    group.write_text(group.read_text().replace("0.12", "0.9"))
    assert small.export().status == 12


@pytest.mark.requirement("GEN-04")
def test_the_exporter_wants_a_name(small: Platform) -> None:
    small.prepare("a")
    assert small.lifecycle.start("builder").status == 0
    assert small.lifecycle.start("exporter").status == 3


@pytest.mark.requirement("GEN-07")
def test_ids_in_labels_have_their_slashes(built: Built) -> None:
    assert built.image.label("lifecycle")["buildpacks"][0]["key"] == "example/first"
    assert f"{built.layers}/example_first/of-launch/program" in built.image.files()


@pytest.mark.requirement("DIF-21", "DIF-22")
def test_patterns_may_be_absolute_and_empty_slices_are_no_layers(small: Platform) -> None:
    app = small.lifecycle.world.app
    for name in ("one/file", "two/file"):
        small.lifecycle.world.write(f"workspace/{name}")
    paths = ["nothing", f"{app}/one"]
    slices = "\n".join(f'[[slices]]\npaths = ["{path}"]' for path in paths)
    small.lifecycle.world.add("b", build=launch_toml(slices))
    image = small.build("b")
    layers = [image.members(one["sha"]) for one in image.label("lifecycle")["app"]]
    assert [f"{app}/one/file" in members for members in layers] == [True, False]
    assert [f"{app}/two/file" in members for members in layers] == [False, True]
