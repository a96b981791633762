"""An installed CPython becomes a tree that knows only its place in images."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from pybuild.builder.errors import InterpreterUnusable
from pybuild.builder.relocate import INTERPRETER_LAYER, copy_interpreter, drop_modules, rewrite_paths

LIBRARY = "lib/python3.10"
DATA = "_sysconfigdata__linux_x86_64-linux-gnu.py"


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """An installation in small, in a directory whose name ends in the version as pyenv's do."""
    prefix = tmp_path / "home" / "versions" / "3.10.13"
    files = {
        "bin/python3.10": b"\x7fELF" + str(prefix).encode() + b"\0 (main)\0",
        "bin/python3.10-config": f'#!/bin/sh\nprefix="{prefix}"\n'.encode(),
        "bin/pip3.10": f"#!{prefix}/bin/python3.10\n".encode(),
        "lib/libpython3.10.so.1.0": b"\x7fELF" + str(prefix).encode() + b"\0",
        "lib/pkgconfig/python-3.10.pc": f"prefix={prefix}\n".encode(),
        "lib/unrelated.so": b"",
        f"{LIBRARY}/os.py": b"",
        f"{LIBRARY}/test/test_os.py": b"",
        f"{LIBRARY}/ctypes/test/test_it.py": b"",
        f"{LIBRARY}/unittest/__init__.py": b"",
        f"{LIBRARY}/idlelib/idle.py": b"",
        f"{LIBRARY}/tkinter/__init__.py": b"",
        f"{LIBRARY}/turtle.py": b"",
        f"{LIBRARY}/EXTERNALLY-MANAGED": b"",
        f"{LIBRARY}/__pycache__/os.cpython-310.pyc": b"",
        f"{LIBRARY}/site-packages/pip/__init__.py": b"",
        f"{LIBRARY}/lib-dynload/_ssl.cpython-310-x86_64-linux-gnu.so": b"",
        f"{LIBRARY}/lib-dynload/_tkinter.cpython-310-x86_64-linux-gnu.so": b"",
        f"{LIBRARY}/lib-dynload/_testcapi.cpython-310-x86_64-linux-gnu.so": b"",
        f"{LIBRARY}/config-3.10/Makefile": f"prefix={prefix}\nabs_srcdir=/tmp/build.1/Python-3.10.13\n".encode(),
        f"{LIBRARY}/config-3.10/libpython3.10.a": b"",
        f"{LIBRARY}/{DATA}": (
            "build_time_vars = {'CFLAGS': '-Wall -g -O3 -ggdb',\n"
            " 'abs_srcdir': '/tmp/build.1/Python-3.10.13',\n"
            f" 'LDSHARED': 'gcc -L{prefix}/lib -Wl,-rpath,{prefix}/lib '\n             '-shared',\n"
            f" 'NEIGHBOUR': '{prefix}.1/lib',\n"
            " 'HAVE_FORK': 1}\n"
        ).encode(),
        "include/python3.10/Python.h": b"",
    }
    for name, content in files.items():
        (prefix / name).parent.mkdir(parents=True, exist_ok=True)
        (prefix / name).write_bytes(content)
    (prefix / "bin/python3.10").chmod(0o700)
    (prefix / "lib/libpython3.10.so").symlink_to("libpython3.10.so.1.0")
    return prefix


@pytest.fixture
def tree(prefix: Path, tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    copy_interpreter(prefix, "3.10", tree)
    rewrite_paths(tree, prefix, "3.10")
    return tree


def test_the_tree_holds_what_programs_need_and_nothing_else(tree: Path) -> None:
    found = {str(path.relative_to(tree)) for path in tree.rglob("*") if not path.is_dir()}
    assert found == {
        "bin/python",
        "bin/python3",
        "bin/python3-config",
        "bin/python3.10",
        "bin/python3.10-config",
        "include/python3.10/Python.h",
        "lib/libpython3.10.so",
        "lib/libpython3.10.so.1.0",
        "lib/pkgconfig/python-3.10.pc",
        f"{LIBRARY}/{DATA}",
        f"{LIBRARY}/config-3.10/Makefile",
        f"{LIBRARY}/lib-dynload/_ssl.cpython-310-x86_64-linux-gnu.so",
        f"{LIBRARY}/lib-dynload/_tkinter.cpython-310-x86_64-linux-gnu.so",
        f"{LIBRARY}/os.py",
        f"{LIBRARY}/tkinter/__init__.py",
        f"{LIBRARY}/turtle.py",
        f"{LIBRARY}/unittest/__init__.py",
    }
    assert (tree / LIBRARY / "site-packages").is_dir()
    assert (tree / "bin/python3.10").stat().st_mode & 0o777 == 0o755


def test_no_path_of_the_machine_is_left(tree: Path, prefix: Path) -> None:
    allowed = f"{prefix}.1/lib".encode()
    for path in tree.rglob("*"):
        if path.is_file():
            content = path.read_bytes().replace(allowed, b"")
            assert str(prefix).encode() not in content, path
            assert b"/tmp/build.1" not in content, path


def test_build_variables_speak_of_the_layer(tree: Path, prefix: Path) -> None:
    text = (tree / LIBRARY / DATA).read_text()
    variables = ast.literal_eval(text.split("build_time_vars = ", 1)[1])
    assert variables == {
        "CFLAGS": "-Wall -g0 -O3 -ggdb",
        "abs_srcdir": "/usr/src/python",
        "LDSHARED": f"gcc -L{INTERPRETER_LAYER}/lib -shared",
        "NEIGHBOUR": f"{prefix}.1/lib",
        "HAVE_FORK": 1,
    }


def test_binaries_keep_their_length_and_the_tail_that_strings_share(tree: Path, prefix: Path) -> None:
    old = (prefix / "bin/python3.10").read_bytes()
    new = (tree / "bin/python3.10").read_bytes()
    assert len(new) == len(old)
    assert new.endswith(b"/3.10.13\0 (main)\0")


def test_what_does_not_load_is_dropped_with_what_needs_it(tree: Path) -> None:
    drop_modules(tree, "3.10", frozenset({"_tkinter"}))
    library = tree / LIBRARY
    assert not (library / "tkinter").exists()
    assert not (library / "turtle.py").exists()
    assert [path.name.split(".")[0] for path in (library / "lib-dynload").iterdir()] == ["_ssl"]


def test_a_directory_without_an_installation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InterpreterUnusable, match=r"does not hold CPython 3\.10"):
        copy_interpreter(tmp_path, "3.10", tmp_path / "tree")
