"""Makes conda packages that must be compiled: CPython itself from an installed one, a C library, a program and extensions with it.

Everything is stripped, linked and compiled in the builder's own build base, so that it runs where images run.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pybuild.builder import inside
from pybuild.builder.installed import InstalledPython, find_installed
from pybuild.builder.relocate import INTERPRETER_LAYER, copy_interpreter, drop_modules, rewrite_paths
from pybuild.builder.tools import find_uv
from pybuild.engines.sandbox import Mount, Sandbox, run_sandboxed
from tests.integration.conda_packages import PLACEHOLDER, TIMESTAMP_S, CondaPackage, Content, Symlink

_HERE = PurePosixPath("/workspace")
_SCRIPTS = PurePosixPath("/platform")

_LIBRARY = """
const char *tiny_prefix(void) { return TINY_PREFIX; }
int tiny_answer(void) { return 42; }
"""
_PROGRAM = """
#include <stdio.h>
const char *tiny_prefix(void);
int tiny_answer(void);
int main(void) { printf("%d %s\\n", tiny_answer(), tiny_prefix()); return 0; }
"""
_EXTENSION = """
#include <Python.h>
const char *tiny_prefix(void);
int tiny_answer(void);
static PyObject *prefix(PyObject *self, PyObject *args) { return PyUnicode_FromString(tiny_prefix()); }
static PyObject *answer(PyObject *self, PyObject *args) { return PyLong_FromLong(tiny_answer()); }
static PyMethodDef methods[] = {
    {"prefix", prefix, METH_NOARGS, ""}, {"answer", answer, METH_NOARGS, ""}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "tinyext", "", -1, methods};
PyMODINIT_FUNC PyInit_tinyext(void) { return PyModule_Create(&module); }
"""
_PKG_CONFIG = f"""prefix={PLACEHOLDER}
libdir=${{prefix}}/lib
Name: tiny
Description: a library of the tests
Version: 1.0
Libs: -L${{libdir}} -ltiny
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workbench:
    """A directory that the builder's compiler works in."""

    rootfs: Path
    """Of the builder's build base."""
    directory: Path

    def run(self, script: str) -> None:
        """Run a shell script in the directory; AssertionError with its output when it fails."""
        sandbox = Sandbox(
            rootfs=self.rootfs,
            mounts=(
                Mount(source=self.directory, target=_HERE, writable=True),
                Mount(source=Path(inside.__file__).parent, target=_SCRIPTS),
            ),
            env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "PYTHONHASHSEED": "0", "TMPDIR": str(_HERE)},
            network=False,
            cwd=_HERE,
        )
        result = run_sandboxed(sandbox, ["/bin/sh", "-euc", script])
        assert result.status == 0, f"{script}\n{result.output[-4000:]}"


def find_python(minor: str, scratch: Path) -> InstalledPython | None:
    """An installed CPython, or python-build-standalone's where that can be fetched; None where there is neither."""
    if found := find_installed(minor, os.environ):
        return found[0]
    command = [str(find_uv()), "python", "install", minor, "--no-bin", "--no-progress", "--install-dir", str(scratch)]
    impatient = {"UV_HTTP_TIMEOUT": "15", "UV_HTTP_CONNECT_TIMEOUT": "10", "UV_HTTP_RETRIES": "1"}
    subprocess.run(command, env={**impatient, **os.environ}, cwd=scratch, capture_output=True, check=False)
    prefixes = [path for path in scratch.glob("cpython-*") if path.is_dir() and not path.is_symlink()]
    return InstalledPython.at(prefixes[0], origin="python-build-standalone") if prefixes else None


def python_packages(python: InstalledPython, bench: Workbench) -> list[CondaPackage]:
    """The package `python` of an installed CPython, and `tinyext`, compiled for it."""
    minor = python.minor
    tree = bench.directory / f"python-{minor}"
    copy_interpreter(python.prefix, minor, tree)
    rewrite_paths(tree, python.prefix, minor)
    # The programs that images run on have no Tk.
    drop_modules(tree, minor, frozenset({"_tkinter"}))
    _speak_of_placeholder(tree)
    for path in [tree, *tree.rglob("*")]:
        os.utime(path, (TIMESTAMP_S, TIMESTAMP_S), follow_symlinks=False)
    interpreter = f"{_HERE}/{tree.name}/bin/python{minor}"
    bench.run(f"/bin/sh {_SCRIPTS}/make_relocatable.sh {_HERE}/{tree.name}")
    # conda-build compiles at its own long prefix, so that stands in the code objects.
    bench.run(
        f"{interpreter} -s -m compileall -q -s {_HERE}/{tree.name} -p {PLACEHOLDER} {_HERE}/{tree.name}/lib/python{minor}"
    )
    tag = f"cp{minor.replace('.', '')}"
    package = CondaPackage(
        name="python",
        version=python.version,
        build_prefix=f"h{tag}",
        depends=("__glibc >=2.17,<3.0.a0",),
        constrains=(f"python_abi {minor}.* *_{tag}",),
        files=_files(tree),
    )
    return [package, _extension(minor, tag, bench)]


def library_packages(bench: Workbench) -> list[CondaPackage]:
    """`libtiny`, whose library and program know the prefix of their environment, and find each other by `$ORIGIN`."""
    (bench.directory / "tiny.c").write_text(_LIBRARY)
    (bench.directory / "tiny-cli.c").write_text(_PROGRAM)
    bench.run(
        f"gcc -O1 -shared -fPIC -DTINY_PREFIX='\"{PLACEHOLDER}\"' -Wl,-soname,libtiny.so.1 -o libtiny.so.1.0 tiny.c\n"
        "ln -s libtiny.so.1.0 libtiny.so.1; ln -s libtiny.so.1 libtiny.so\n"
        "gcc -O1 -o tiny-cli tiny-cli.c -L. -ltiny -Wl,-rpath,'$ORIGIN/../lib'; strip tiny-cli libtiny.so.1.0"
    )
    files: dict[str, Content] = {
        "lib/libtiny.so.1.0": (bench.directory / "libtiny.so.1.0").read_bytes(),
        "lib/libtiny.so.1": Symlink(target="libtiny.so.1.0"),
        "lib/libtiny.so": Symlink(target="libtiny.so.1"),
        "lib/pkgconfig/tiny.pc": _PKG_CONFIG,
        "bin/tiny-cli": (bench.directory / "tiny-cli").read_bytes(),
    }
    return [CondaPackage(name="libtiny", build_prefix="h1", depends=("__glibc >=2.17",), files=files)]


def _extension(minor: str, tag: str, bench: Workbench) -> CondaPackage:
    """Needs `library_packages` to have been made in the same workbench."""
    (bench.directory / "tinyext.c").write_text(_EXTENSION)
    name = f"tinyext.cpython-{tag.removeprefix('cp')}-x86_64-linux-gnu.so"
    bench.run(
        f"gcc -O1 -shared -fPIC -Ipython-{minor}/include/python{minor} -o {name} tinyext.c -L. -ltiny "
        f"-Wl,-rpath,'$ORIGIN/../..'; strip {name}"
    )
    following = f"{minor.split('.')[0]}.{int(minor.split('.')[1]) + 1}"
    return CondaPackage(
        name="tinyext",
        build_prefix=f"py{tag.removeprefix('cp')}h1",
        depends=("libtiny >=1.0,<2.0a0", f"python >={minor},<{following}.0a0"),
        files={f"lib/python{minor}/site-packages/{name}": (bench.directory / name).read_bytes()},
    )


def _speak_of_placeholder(tree: Path) -> None:
    layer, placeholder = str(INTERPRETER_LAYER).encode(), PLACEHOLDER.encode()
    for path in sorted(tree.rglob("*")):
        if path.is_file() and not path.is_symlink() and layer in (content := path.read_bytes()):
            assert b"\0" not in content, path
            path.write_bytes(content.replace(layer, placeholder))


def _files(tree: Path) -> Mapping[str, Content]:
    files: dict[str, Content] = {}
    for path in sorted(tree.rglob("*")):
        name = path.relative_to(tree).as_posix()
        if path.is_symlink():
            files[name] = Symlink(target=os.readlink(path))
        elif path.is_file():
            files[name] = path.read_bytes()
    return files
