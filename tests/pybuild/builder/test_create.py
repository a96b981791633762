"""A builder, really made: mmdebstrap, bubblewrap, uv and a Debian mirror. Made once for the module, which takes half a minute."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from lifecycle.cnb.layer import remove_tree
from lifecycle.cnb.target import host_architecture
from lifecycle.oci.unpack import unpack_image
from pybuild.builder import Builder, default_definition_path, describe_builder, ensure_builder, read_definition
from pybuild.builder.bases import unpacked_run_base
from pybuild.builder.crew import Crew
from pybuild.builder.definition import Definition
from pybuild.builder.errors import AssemblyFailed, InterpreterMissing, ToolUnavailable
from pybuild.builder.inspect import render_description
from pybuild.builder.interpreter import Workplace, fetch_standalone, make_interpreter, read_interpreter
from pybuild.builder.poetry import make_poetry
from pybuild.builder.relocate import INTERPRETER_LAYER
from pybuild.builder.requested import ImageBase, PackageBase
from pybuild.engines.sandbox import Mount, Sandbox, run_sandboxed
from pybuild.store import store_directory
from tests.pybuild.recording_log import RecordingLog

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def definition() -> Definition:
    return read_definition(default_definition_path())


@pytest.fixture(scope="module")
def store(definition: Definition, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    directory = tmp_path_factory.mktemp("store")
    if os.geteuid() == 0:
        # Of the build base, the slowest part, tests/integration/test_reproducible.py shows as an ordinary user that it can be made.
        machine = ensure_builder(definition, store_directory(os.environ, Path.home()), RecordingLog())
        (directory / "bases").mkdir()
        (directory / "bases" / machine.build_base.directory.name).symlink_to(machine.build_base.directory)
    yield directory
    remove_tree(directory)


@pytest.fixture(scope="module")
def builder(definition: Definition, store: Path) -> Builder:
    """Made by two at once, of whom one waits."""
    logs = [RecordingLog(), RecordingLog()]
    made: list[Builder] = []
    threads = [
        threading.Thread(target=lambda log=log: made.append(ensure_builder(definition, store, log))) for log in logs
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first, second = made
    assert first == second
    lines = [line for log in logs for line in log.lines]
    assert lines.count("info run base: reading package lists") == 1
    assert lines.count("notice another process is making the builder; waiting for it") == 1
    return first


def run(builder: Builder, scratch: Path, *argv: str) -> str:
    """Output of a command in the build image."""
    for name in ("layers", "platform", "tmp", "workspace"):
        (scratch / name).mkdir(exist_ok=True)
    mounts = [
        Mount(source=scratch / name, target=PurePosixPath("/", name), writable=name != "platform")
        for name in ("layers", "platform", "tmp", "workspace")
    ]
    sandbox = Sandbox(
        rootfs=builder.rootfs,
        mounts=(*builder.mounts, *mounts),
        env={**builder.env, "CNB_PLATFORM_API": "0.15"},
        network=False,
        cwd=PurePosixPath("/workspace"),
    )
    result = run_sandboxed(sandbox, argv)
    assert result.status == 0, result.output
    return result.output


def test_the_build_image_has_the_tools(builder: Builder, tmp_path: Path) -> None:
    assert run(builder, tmp_path, "id", "-un").strip() == "pybuild"
    for command in ("uv", "git", "gcc", "make", "pkg-config", "curl"):
        run(builder, tmp_path, command, "--version")


def test_the_phases_start_in_the_build_image(builder: Builder, tmp_path: Path) -> None:
    for program in ("detector", "builder"):
        assert run(builder, tmp_path, f"/cnb/lifecycle/{program}", "-version").strip()


def test_buildpacks_find_their_library(builder: Builder, tmp_path: Path) -> None:
    run(builder, tmp_path, "true")
    (tmp_path / "workspace" / "requirements.txt").write_text("alpha\n")
    run(builder, tmp_path, "/cnb/lifecycle/detector")
    assert "pybuild/pip" in (tmp_path / "layers" / "group.toml").read_text()


def test_every_interpreter_works_where_layers_are(builder: Builder, tmp_path: Path) -> None:
    script = (
        "import ssl, sqlite3, ctypes, lzma, bz2, zlib, readline, uuid, sys, json, platform; "
        "print(sys.prefix, json.__cached__, platform.python_version())"
    )
    (tmp_path / "workspace").mkdir()
    source = tmp_path / "workspace" / "fast.c"
    source.write_text(
        '#include <Python.h>\nstatic struct PyModuleDef fast = {PyModuleDef_HEAD_INIT, "fast"};\n'
        "PyMODINIT_FUNC PyInit_fast(void) { return PyModule_Create(&fast); }\n"
    )
    for interpreter in builder.interpreters:
        tree = tmp_path / "layers" / INTERPRETER_LAYER.relative_to("/layers")
        tree.mkdir(parents=True)
        archive = builder.directory / "opt" / "interpreters" / interpreter.file
        assert hashlib.sha256(archive.read_bytes()).hexdigest() == interpreter.sha256
        subprocess.run(["tar", "xf", archive, "-C", tree], check=True)
        prefix, cached, version = run(builder, tmp_path, f"{INTERPRETER_LAYER}/bin/python", "-c", script).split()
        assert (prefix, version) == (str(INTERPRETER_LAYER), interpreter.version)
        assert (tmp_path / cached.lstrip("/")).is_file()
        compiler = f"cc -shared -fPIC $({INTERPRETER_LAYER}/bin/python3-config --includes) -o fast.so fast.c"
        run(builder, tmp_path, "sh", "-c", f"{compiler} && {INTERPRETER_LAYER}/bin/python -c 'import fast'")
        remove_tree(tmp_path / "layers")


def test_poetry_runs_in_the_build_image_with_its_plugins(builder: Builder, tmp_path: Path) -> None:
    assert "1.8.3" in run(builder, tmp_path, "poetry-1.8.3", "--version")
    assert "--with-credentials" in run(builder, tmp_path, "poetry-1.8.3", "export", "--help")
    script = "import sys; sys.path.insert(0, '/opt/pybuild/poetry/1.8.3'); import poetry_plugin_pypi_mirror"
    run(builder, tmp_path, "/usr/bin/python3", "-I", "-c", script)


def test_poetry_starts_from_bytecode(builder: Builder, tmp_path: Path) -> None:
    packages = builder.directory / "opt" / "poetry" / "1.8.3" / "poetry"
    sources = list(packages.rglob("*.py"))
    assert len(list(packages.rglob("*.pyc"))) == len(sources) > 100
    # Bytecode that does not fit its Python would not be used, without a word.
    script = (
        "import sys; sys.path.insert(0, '/opt/pybuild/poetry/1.8.3')\n"
        "import importlib.util as u, poetry.factory as f; print(open(f.__cached__, 'rb').read(4) == u.MAGIC_NUMBER)"
    )
    assert run(builder, tmp_path, "/usr/bin/python3", "-I", "-c", script).strip() == "True"


def test_the_run_base_has_a_user_a_shell_and_certificates(builder: Builder, tmp_path: Path) -> None:
    rootfs = tmp_path / "rootfs"
    unpack_image(builder.run_image, rootfs)
    for name in (
        "usr/bin/bash",
        "usr/bin/curl",
        "etc/ssl/certs/ca-certificates.crt",
        "usr/share/zoneinfo/Europe/Zurich",
    ):
        assert (rootfs / name).is_file(), name
    for name in ("gcc", "git", "apt", "python3", "uv"):
        assert not (rootfs / "usr/bin" / name).exists(), name
    assert "pybuild:x:1000:1000:" in (rootfs / "etc/passwd").read_text()
    config = builder.run_image.config
    assert (config.os, config.user) == ("linux", "1000:1000")
    assert "/usr/bin" in config.environment()["PATH"].split(":")
    assert config.labels["io.buildpacks.base.distro.name"] == "debian"
    # Nothing of the machine that made it
    assert (rootfs / "etc/resolv.conf").read_text() == ""
    assert (rootfs / "etc/hostname").read_text() == ""
    for line in (rootfs / "etc/apt/sources.list").read_text().splitlines():
        assert line.startswith("deb http://deb.debian.org/debian")
    assert not list((rootfs / "etc/apt/sources.list.d").iterdir())
    assert not (rootfs / "etc/apt/apt.conf.d/99mmdebstrap").exists()


def test_the_description_is_complete(builder: Builder) -> None:
    description = json.loads(json.dumps(describe_builder(builder)))
    assert {"bash", "libssl3"} <= {package["name"] for package in description["run"]["packages"]}
    assert {"git", "gcc"} <= {package["name"] for package in description["build"]["packages"]}
    assert description["interpreters"][-1]["version"].startswith("3.10.")
    assert description["tools"]["poetry"] == "1.8.3"


def test_what_is_there_is_not_made_again(builder: Builder, definition: Definition, store: Path) -> None:
    log = RecordingLog()
    assert ensure_builder(definition, store, log) == builder
    assert log.lines == []


def test_another_builder_shares_the_bases(builder: Builder, definition: Definition, store: Path) -> None:
    log = RecordingLog()
    other = ensure_builder(replace(definition, description="another"), store, log)
    assert other.key != builder.key
    assert (other.rootfs, other.run_image) == (builder.rootfs, builder.run_image)
    assert log.lines == ["step putting the builder together"]


def test_the_run_base_and_the_interpreter_are_the_same_when_made_again(
    builder: Builder, definition: Definition, store: Path, tmp_path: Path
) -> None:
    again = tmp_path / "store"
    again.mkdir()
    # The build base is taken as it is, and so are all interpreters but the default one.
    (again / "bases").mkdir()
    (again / "bases" / builder.build_base.directory.name).symlink_to(builder.build_base.directory)
    (again / "interpreters").mkdir()
    for kept in (store / "interpreters").iterdir():
        if not list(kept.glob("cpython-3.10.*")):
            (again / "interpreters" / kept.name).symlink_to(kept)
    for part in ("natives", "wheels"):
        (again / part).symlink_to(store / part)
    made = ensure_builder(definition, again, RecordingLog())
    assert made.run_image.digest == builder.run_image.digest
    assert made.interpreters == builder.interpreters
    assert not all(path.is_symlink() for path in (again / "interpreters").iterdir())
    assert made.key == builder.key
    assert contents(made.directory / "opt" / "poetry") == contents(builder.directory / "opt" / "poetry")
    remove_tree(again)


def contents(directory: Path) -> dict[str, str]:
    """Hashes of the files of a tree."""
    files = (path for path in directory.rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def unreachable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that does not reach python-build-standalone."""
    (tmp_path / "none.json").write_text("{}")
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS_JSON_URL", (tmp_path / "none.json").as_uri())


@pytest.mark.usefixtures("unreachable")
def test_an_interpreter_that_can_be_had_nowhere_is_left_out_with_one_warning(
    builder: Builder, definition: Definition, store: Path
) -> None:
    log = RecordingLog()
    wanted = replace(definition, cpython_versions=("3.10", "3.98", "3.99"))
    made = ensure_builder(wanted, store, log)
    assert [interpreter.version for interpreter in made.interpreters] == [builder.interpreters[-1].version]
    assert set(made.left_out) == {"3.98", "3.99"}
    warnings = [line for line in log.lines if line.startswith("warning ")]
    assert len(warnings) == 1
    assert "the builder has no CPython 3.98, 3.99" in warnings[0]
    assert "CPython 3.99: could be had nowhere (python-build-standalone: " in render_description(describe_builder(made))
    # It is not looked for again, until that is asked for.
    log = RecordingLog()
    assert ensure_builder(wanted, store, log) == made
    assert log.lines == []


@pytest.mark.usefixtures("unreachable")
def test_the_default_interpreter_must_be_there(builder: Builder, definition: Definition, store: Path) -> None:
    for _ in range(2):
        with pytest.raises(InterpreterMissing, match=r"CPython 3\.97 cannot be had"):
            ensure_builder(replace(definition, cpython_versions=("3.97", "3.10")), store, RecordingLog())


def test_poetry_that_cannot_be_downloaded_is_an_error_that_names_the_index(
    builder: Builder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wheels").mkdir()
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("UV_NO_INDEX", "1")
    with pytest.raises(ToolUnavailable, match=r"Poetry 1\.8\.3 cannot be downloaded") as caught:
        make_poetry("1.8.3", builder.rootfs, tmp_path / "store" / "poetry", Crew())
    assert caught.value.facts
    assert list((tmp_path / "store").iterdir()) == []


def test_a_builder_can_do_without_poetry(builder: Builder, definition: Definition, store: Path) -> None:
    made = ensure_builder(replace(definition, poetry_version=None), store, RecordingLog())
    assert "poetry" not in made.tools
    assert not (made.directory / "opt" / "poetry").exists()


def test_an_image_can_be_a_run_base(builder: Builder, definition: Definition, store: Path) -> None:
    image = ImageBase(location=f"oci:{builder.run_base.directory / 'image'}")
    made = ensure_builder(replace(definition, run_base=image), store, RecordingLog())
    assert made.run_image.layers[0].diff_id == builder.run_image.layers[0].diff_id
    assert made.run_base.packages == builder.run_base.packages
    assert made.run_image.config.user == "1000:1000"


def test_a_package_that_does_not_exist_is_named_and_nothing_is_left(
    builder: Builder, definition: Definition, tmp_path: Path
) -> None:
    build = ImageBase(location=f"oci:{builder.run_base.directory / 'image'}")
    run_base = PackageBase(suite="bookworm", packages=("no-such-package",))
    with pytest.raises(AssemblyFailed) as caught:
        ensure_builder(replace(definition, build_base=build, run_base=run_base), tmp_path, RecordingLog())
    assert any("no-such-package" in value for _, value in caught.value.facts)
    assert caught.value.hint == "correct the package names in `[pybuild.run]` of builder.toml"
    assert len(list((tmp_path / "bases").iterdir())) == 1
    assert not list(tmp_path.glob("making-*"))


@pytest.fixture
def workplace(builder: Builder, tmp_path: Path) -> Iterator[Workplace]:
    with unpacked_run_base(builder.run_base, tmp_path) as run_rootfs:
        yield Workplace(build=builder.rootfs, run=run_rootfs, scratch=tmp_path)


@pytest.fixture
def mirror(builder: Builder, tmp_path: Path) -> Path:
    """A downloads.json for uv that names an archive in the form of python-build-standalone's."""
    tree = tmp_path / "mirror" / "python"
    tree.mkdir(parents=True)
    archive = builder.directory / "opt" / "interpreters" / builder.interpreters[-1].file
    subprocess.run(["tar", "xf", archive, "-C", tree], check=True)
    for path in tree.rglob("*"):
        if path.is_file() and not path.is_symlink():
            content = path.read_bytes()
            if b"\0" not in content:
                path.write_bytes(content.replace(str(INTERPRETER_LAYER).encode(), b"/install"))
    packed = tmp_path / "mirror" / "cpython.tar.gz"
    with tarfile.open(packed, "w:gz") as writer:
        writer.add(tree, "python")
    version = builder.interpreters[-1].version
    major, minor, patch = (int(part) for part in version.split("."))
    entry = {
        "name": "cpython",
        "arch": {"family": os.uname().machine, "variant": None},
        "os": "linux",
        "libc": "gnu",
        "major": major,
        "minor": minor,
        "patch": patch,
        "prerelease": "",
        "url": packed.as_uri(),
        "sha256": hashlib.sha256(packed.read_bytes()).hexdigest(),
        "variant": None,
        "build": None,
    }
    path = tmp_path / "mirror" / "downloads.json"
    path.write_text(json.dumps({f"cpython-{version}-linux-{os.uname().machine}-gnu": entry}))
    return path


def test_a_standalone_interpreter_is_fetched_from_a_mirror(
    mirror: Path, workplace: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS_JSON_URL", mirror.as_uri())
    fetched = fetch_standalone("3.10", tmp_path / "fetched", Crew(), host_architecture())
    assert fetched.prefix is not None
    assert make_interpreter("3.10", fetched, workplace, tmp_path / "store", Crew()).prefix == fetched.prefix
    interpreter = read_interpreter(next((tmp_path / "store" / "interpreters").iterdir()))
    assert interpreter is not None
    assert interpreter.origin == "python-build-standalone"


def test_a_download_that_is_not_what_it_should_be_is_refused(
    mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = json.loads(mirror.read_text())
    next(iter(document.values()))["sha256"] = "0" * 64
    mirror.write_text(json.dumps(document))
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS_JSON_URL", mirror.as_uri())
    with pytest.raises(InterpreterMissing, match="is not what it should be"):
        fetch_standalone("3.10", tmp_path / "fetched", Crew(), host_architecture())


def test_a_version_that_nobody_has_is_an_error_with_every_attempt(
    workplace: Workplace, tmp_path: Path, unreachable: None
) -> None:
    fetched = fetch_standalone("3.99", tmp_path / "fetched", Crew(), host_architecture())
    with pytest.raises(InterpreterMissing) as caught:
        make_interpreter("3.99", fetched, workplace, tmp_path / "store", Crew())
    assert [label for label, _ in caught.value.facts] == ["python-build-standalone"]
    assert "UV_PYTHON_INSTALL_MIRROR" in (caught.value.hint or "")


@pytest.mark.parametrize(("tool", "package"), [("bwrap", "bubblewrap"), ("mmdebstrap", "mmdebstrap")])
def test_a_missing_tool_is_named_with_its_package(tool: str, package: str, tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for directory in ("/usr/bin", "/usr/sbin"):
        for path in Path(directory).iterdir():
            if path.name != tool and not (programs / path.name).exists():
                (programs / path.name).symlink_to(path)
    # mmdebstrap is looked for in sbin as well; nothing there has that name.
    script = (
        "import sys; from pathlib import Path\n"
        "from lifecycle.cnb.errors import CnbError, render_error\n"
        "from pybuild.builder import *\n"
        "from tests.pybuild.recording_log import RecordingLog\n"
        "try: ensure_builder(read_definition(default_definition_path()), Path(sys.argv[1]), RecordingLog())\n"
        "except CnbError as error: print(render_error(error)); sys.exit(error.exit_code)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "store")],
        env={"PATH": str(programs), "HOME": str(tmp_path)},
        cwd=default_definition_path().parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 4, result.stderr
    assert f"`{tool}` is not installed" in result.stdout
    assert f"apt-get install {package}" in result.stdout
