"""Images for arm64, made on this machine: their base, their index in every place, and programs of them under an emulator."""

from __future__ import annotations

import json
import struct
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from lifecycle.cnb.layer import remove_tree
from lifecycle.cnb.target import host_architecture
from lifecycle.oci.descriptor import Platform
from lifecycle.oci.image import Image
from lifecycle.oci.layout import read_image
from lifecycle.oci.unpack import unpack_image
from pybuild.builder import Builder, default_definition_path, ensure_builder, inside, read_definition
from pybuild.builder.relocate import INTERPRETER_LAYER
from pybuild.builder.rootfs import add_mount_points, parse_packages
from tests.integration.arm64 import MINOR, make_downloads, run_emulated
from tests.integration.command import Pybuild, expect_error, expect_success, ordinary_environment
from tests.integration.package_index import PackageIndex, write_wheel
from tests.integration.registry import start_registry
from tests.integration.workplace import share_builder
from tests.pybuild.recording_log import RecordingLog

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(host_architecture() != "amd64", reason="what is foreign here is what this machine is"),
]
PLATFORMS = "linux/amd64,linux/arm64"
# Paths that name the architecture
_OF_ARCHITECTURE = ("x86_64", "aarch64", "amd64", "arm64", "x86-64", "usr/bin/i386")


@pytest.fixture(scope="module")
def definition(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default builder with one interpreter, of the version that there is for arm64 here."""
    default = default_definition_path()
    text = default.read_text().replace('uri = "', f'uri = "{default.parent}/')
    lines = [f'cpython = ["{MINOR}"]' if line.startswith("cpython = ") else line for line in text.splitlines()]
    path = tmp_path_factory.mktemp("definition") / "builder.toml"
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(scope="module")
def cache_home(machine_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store with the machine's builder, to which interpreters are added that are no machine's."""
    made = share_builder(machine_store, tmp_path_factory.mktemp("platforms") / "cache-home")
    for name in ("interpreters", "builders"):
        directory = made / "pybuild" / name
        directory.unlink()
        directory.mkdir()
        for entry in (machine_store / name).iterdir():
            (directory / entry.name).symlink_to(entry)
    yield made
    remove_tree(made)


@pytest.fixture(scope="module")
def pybuild(machine_store: Path, cache_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pybuild]:
    """The command with an index of one package, and with a mirror of interpreters for arm64."""
    build_root = next((machine_store / "bases").glob("*/rootfs"))
    directory = tmp_path_factory.mktemp("mirror")
    with PackageIndex(directory / "index") as index:
        write_wheel(index.directory, "alpha", "1.0", files={"alpha.py": "VERSION = '1.0'\n"})
        downloads = make_downloads(directory, build_root).as_uri()
        settings = {**index.settings(), "UV_PYTHON_DOWNLOADS_JSON_URL": downloads}
        yield Pybuild(env=ordinary_environment(cache_home)).with_env(**settings)


@pytest.fixture
def app(tmp_path: Path) -> Path:
    directory = tmp_path / "app"
    directory.mkdir()
    (directory / "requirements.txt").write_text("alpha\n")
    (directory / ".python-version").write_text(MINOR)
    return directory


def machine_builder(cache_home: Path, architecture: str) -> Builder:
    """The default builder, without interpreters."""
    definition = replace(read_definition(default_definition_path()), cpython_versions=())
    return ensure_builder(definition, cache_home / "pybuild", RecordingLog(), architecture=architecture)


def read_layer(builder: Builder) -> dict[str, tuple[tarfile.TarInfo, bytes]]:
    """The files of a run base by their names."""
    (layer,) = builder.run_image.layers
    with tarfile.open(layer.path) as archive:
        streams = ((member, archive.extractfile(member) if member.isreg() else None) for member in archive)
        return {
            member.name.removeprefix("./"): (member, b"" if stream is None else stream.read())
            for member, stream in streams
        }


def test_an_index_leads_each_platform_to_an_image_that_runs_there(
    pybuild: Pybuild, definition: Path, app: Path, tmp_path: Path
) -> None:
    layout, report = tmp_path / "layout", tmp_path / "report.json"
    with start_registry(tmp_path / "registry") as registry:
        name = f"docker://{registry.host}/team/app:1"
        outputs = ["--output", f"oci:{layout}", "--output", name, "--insecure-registry", registry.host]
        options = ["--builder", str(definition), "--platform", PLATFORMS, *outputs, "--report", str(report)]
        finished = expect_success(pybuild("build", app, *options))
        document = json.loads(report.read_text())
        digest = document["index"]["digest"]
        assert finished.stdout.splitlines() == [f"oci:{layout}:latest@{digest}", f"{name}@{digest}"]
        for arch in ("amd64", "arm64"):
            options = ["--override-arch", arch, "--tls-verify=false", "--format", "{{.Architecture}}"]
            shown = subprocess.run(["skopeo", "inspect", *options, name], capture_output=True, text=True, check=True)
            assert shown.stdout.strip() == arch
    images = {
        arch: read_image(f"oci:{layout}", platform=Platform(os="linux", architecture=arch))
        for arch in ("amd64", "arm64")
    }
    for arch, image in images.items():
        assert image.config.architecture == arch
        assert document["platforms"][f"linux/{arch}"]["image"]["digest"] == str(image.digest)
    expect_success(pybuild("run", f"oci:{layout}", "--", "python", "-c", "import alpha"))
    assert_runs_on_arm64(images["arm64"], tmp_path / "root")

    alone = ["--platform", "linux/arm64", "--output", f"oci:{tmp_path}/alone"]
    again = expect_success(pybuild("build", app, "--builder", definition, *alone))
    assert again.stdout.strip() == f"oci:{tmp_path}/alone:latest@{images['arm64'].digest}"
    expect_error(pybuild("run", f"oci:{tmp_path}/alone"), 3, "is for linux/arm64, and this machine is linux/amd64")
    rebased = expect_success(pybuild("rebase", f"oci:{tmp_path}/alone", "--builder", definition))
    assert "the image stands on this run image already" in rebased.stderr


def assert_runs_on_arm64(image: Image, root: Path) -> None:
    unpack_image(image, root)
    add_mount_points(root)
    env = image.config.environment()
    script = "import alpha, platform; print(alpha.VERSION, platform.machine(), alpha.__cached__)"
    version, machine, bytecode = run_emulated(
        root, "/layers/pybuild_pip/venv/bin/python", "-c", script, env=env
    ).split()
    assert (version, machine) == ("1.0", "aarch64")
    # It was compiled here, and is what is loaded there: an interpreter that finds it stale would say so.
    assert (root / bytecode.lstrip("/")).is_file()
    said = run_emulated(root, "/layers/pybuild_pip/venv/bin/python", "-v", "-c", "import alpha", env=env)
    assert f"code object from '{bytecode}'" in said
    assert_interpreter_is_whole(root, f"{INTERPRETER_LAYER}/bin/python3", env)


def assert_interpreter_is_whole(root: Path, python: str, env: Mapping[str, str]) -> None:
    """Every compiled module loads, as in the interpreters of this machine, which are tried while a builder is made."""
    program = Path(inside.__file__).with_name("check_interpreter.py").read_text()
    (root / "check.py").write_text(program)
    facts = json.loads(run_emulated(root, python, "-I", "/check.py", env=env))
    assert facts["problems"] == {}
    assert facts["prefix"] == str(INTERPRETER_LAYER)


def test_an_index_does_not_go_where_there_is_room_for_one_image(pybuild: Pybuild, app: Path, tmp_path: Path) -> None:
    output = f"docker-archive:{tmp_path}/image.tar"
    finished = pybuild("build", app, "--platform", PLATFORMS, "--output", output)
    expect_error(finished, 2, "has room for an image of one platform")


def test_a_dockerfile_takes_the_image_of_the_architecture_and_nothing_of_it_runs(
    pybuild: Pybuild, definition: Path, tmp_path: Path
) -> None:
    app, layout = tmp_path / "app", tmp_path / "layout"
    app.mkdir()
    base = read_definition(definition).run_images[0].image
    options = ["--builder", str(definition), "--platform", "linux/arm64", "--output", f"oci:{layout}"]
    (app / "Dockerfile").write_text(f"FROM {base}\nENV HERE=there\n")
    expect_success(pybuild("build", app, *options))
    config = read_image(f"oci:{layout}", platform=Platform(os="linux", architecture="arm64")).config
    assert (config.architecture, config.environment()["HERE"]) == ("arm64", "there")
    (app / "Dockerfile").write_text(f"FROM {base}\nRUN true\n")
    expect_error(pybuild("build", app, *options), 91, "Dockerfile:2: `RUN` would run programs of linux/arm64")


def test_the_run_base_is_the_one_that_a_machine_of_that_architecture_makes(
    cache_home: Path,
) -> None:
    here, there = (read_layer(machine_builder(cache_home, one)) for one in ("amd64", "arm64"))

    def is_of_architecture(name: str) -> bool:
        return any(word in name for word in _OF_ARCHITECTURE) or name in ("lib64", "usr/lib64")

    assert {name for name in here if not is_of_architecture(name)} == {
        name for name in there if not is_of_architecture(name)
    }
    different = []
    for name in sorted(here.keys() & there.keys()):
        (member, content), (other, other_content) = here[name], there[name]
        facts = (member.type, member.mode, member.uid, member.gid, member.mtime)
        assert facts == (other.type, other.mode, other.uid, other.gid, other.mtime), name
        is_program = content.startswith(b"\x7fELF") and other_content.startswith(b"\x7fELF")
        if (content, member.linkname) != (other_content, other.linkname) and not is_program:
            different.append(name)
    # What is made of libraries, scripts that name the machine, and what dpkg and apt know of packages.
    assert [name for name in different if not name.startswith("var/lib/dpkg/info/")] == [
        "etc/ld.so.cache",
        "usr/bin/bashbug",
        "usr/bin/ld.so",
        "usr/bin/ldd",
        "var/lib/apt/extended_states",
        "var/lib/dpkg/arch",
        "var/lib/dpkg/status",
    ]
    packages, others = (parse_packages(files["var/lib/dpkg/status"][1].decode()) for files in (here, there))
    assert [one.name for one in packages] == [one.name for one in others]
    assert {one.architecture for one in others} == {"all", "arm64"}
    stanzas, other_stanzas = (
        {
            stanza
            for stanza in files["var/lib/dpkg/status"][1].decode().split("\n\n")
            if "\nArchitecture: all\n" in stanza
        }
        for files in (here, there)
    )
    assert stanzas == other_stanzas


def test_libraries_are_found_where_ldconfig_finds_them(cache_home: Path, tmp_path: Path) -> None:
    root, workspace = tmp_path / "root", tmp_path / "workspace"
    unpack_image(machine_builder(cache_home, "arm64").run_image, root)
    add_mount_points(root)
    workspace.mkdir()
    run_emulated(root, "/usr/sbin/ldconfig", "-X", "-C", "/workspace/ld.so.cache", workspace=workspace)
    made = read_cache((root / "etc/ld.so.cache").read_bytes())
    assert made == read_cache((workspace / "ld.so.cache").read_bytes())
    assert "libssl.so.3 (libc6,AArch64) => /lib/aarch64-linux-gnu/libssl.so.3" in run_emulated(
        root, "/usr/sbin/ldconfig", "-p"
    )


def read_cache(content: bytes) -> list[tuple[int, str, str]]:
    """Kind, name and path of each library, in their order."""
    (count,) = struct.unpack_from("<I", content, 20)
    entries = [struct.unpack_from("<iIIIQ", content, 48 + 24 * number) for number in range(count)]

    def text(position: int) -> str:
        return content[position : content.index(b"\0", position)].decode()

    return [(kind, text(name), text(path)) for kind, name, path, _, _ in entries]
