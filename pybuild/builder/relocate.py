"""Turns an installed CPython into a tree that works at one fixed place: the interpreter layer of every image.

The tree holds what programs need: no tests, no IDLE, no static libraries, nothing that was installed into it, and no path of the
machine that it came from.
"""

from __future__ import annotations

import ast
import os
import pprint
import re
import shutil
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from pybuild.builder.errors import InterpreterUnusable

# Where the layer is at build and at run time: layers keep their absolute path.
INTERPRETER_LAYER = PurePosixPath("/layers/pybuild_python/cpython")
_BUILD_DIRECTORY = "/usr/src/python"
_DROPPED = frozenset(
    {
        "__pycache__",
        "site-packages",
        "test",
        "tests",
        "idlelib",
        "turtledemo",
        "idle_test",
        "EXTERNALLY-MANAGED",
    }
)
_DROPPED_MODULE = re.compile(r"(_test\w*|_ctypes_test|_xxtestfuzz|xxlimited\w*|_xxsubinterpreters_test)\..*\.so")
# Tcl and Tk, which python-build-standalone brings along
_TK_LIBRARIES = ("tcl*", "tk*", "itcl*", "thread*", "libtcl*", "libtk*")
_ELF = b"\x7fELF"


def copy_interpreter(prefix: Path, minor: str, tree: Path) -> None:
    """Copy what belongs to CPython `minor` (`3.10`) from `prefix`, which may hold other things, to `tree`.

    Raises:
        InterpreterUnusable: it is not an installation with a prefix of its own.
    """
    library = prefix / "lib" / f"python{minor}"
    program = prefix / "bin" / f"python{minor}"
    if not (library / "os.py").is_file() or not program.exists():
        raise InterpreterUnusable(f"`{prefix}` does not hold CPython {minor}")
    (tree / "bin").mkdir(parents=True)
    shutil.copy(program.resolve(), tree / "bin" / program.name)
    for name in ("python3", "python"):
        (tree / "bin" / name).symlink_to(program.name)
    config_script = prefix / "bin" / f"python{minor}-config"
    if config_script.is_file():
        shutil.copy(config_script, tree / "bin")
        (tree / "bin" / "python3-config").symlink_to(config_script.name)
    (tree / "lib" / "pkgconfig").mkdir(parents=True)
    shutil.copytree(library, tree / "lib" / library.name, symlinks=True, ignore=_ignore)
    (tree / "lib" / library.name / "site-packages").mkdir()
    for pattern in (f"libpython{minor}*.so*", "libpython3.so", *_TK_LIBRARIES):
        for path in sorted((prefix / "lib").glob(pattern)):
            _copy(path, tree / "lib" / path.name)
    for path in sorted((prefix / "lib" / "pkgconfig").glob(f"python-{minor}*.pc")):
        _copy(path, tree / "lib" / "pkgconfig" / path.name)
    for path in sorted((prefix / "include").glob(f"python{minor}*")):
        _copy(path, tree / "include" / path.name)
    _fix_modes(tree)


def rewrite_paths(tree: Path, prefix: Path, minor: str) -> None:
    """Make the configuration of the interpreter speak of `INTERPRETER_LAYER` instead of `prefix`, and its binaries of neither."""
    library = tree / "lib" / f"python{minor}"
    build_directories: set[str] = set()
    for path in sorted(library.glob("_sysconfigdata*.py")):
        build_directories |= _rewrite_build_variables(path, prefix)
    replace = _replacement(prefix, build_directories)
    texts = [
        *library.glob("config-*/*"),
        *(tree / "lib" / "pkgconfig").glob("*.pc"),
        *(tree / "bin").glob("*-config"),
    ]
    for path in texts:
        if path.is_file() and not path.is_symlink() and not path.read_bytes().startswith(_ELF):
            path.write_text(replace(path.read_text(encoding="utf-8")), encoding="utf-8")
    for path in sorted(tree.rglob("*")):
        if path.is_file() and not path.is_symlink():
            _blank_prefix(path, prefix)


def drop_modules(tree: Path, minor: str, names: frozenset[str]) -> None:
    """Remove compiled modules that cannot be loaded, and what is of no use without them."""
    library = tree / "lib" / f"python{minor}"
    for name in names:
        for path in (library / "lib-dynload").glob(f"{name}.*so"):
            path.unlink()
    if "_tkinter" in names:
        shutil.rmtree(library / "tkinter", ignore_errors=True)
        (library / "turtle.py").unlink(missing_ok=True)
    if not (library / "tkinter").is_dir():
        for pattern in _TK_LIBRARIES:
            for path in (tree / "lib").glob(pattern):
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _ignore(directory: str, names: list[str]) -> list[str]:
    # lib2to3/tests and the like; but the package `unittest` keeps its name
    del directory
    return [name for name in names if name in _DROPPED or name.endswith(".a") or _DROPPED_MODULE.fullmatch(name)]


def _copy(source: Path, target: Path) -> None:
    if source.is_symlink() and not source.readlink().is_absolute():
        target.symlink_to(source.readlink())
    elif source.is_dir():
        shutil.copytree(source, target, symlinks=True, ignore=_ignore)
    else:
        shutil.copy(source, target)


def _fix_modes(tree: Path) -> None:
    """Modes as with the umask 022, whatever the machine had."""
    for path in (tree, *tree.rglob("*")):
        if not path.is_symlink():
            is_program = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(0o755 if is_program else 0o644)


def _rewrite_build_variables(path: Path, prefix: Path) -> set[str]:
    """Rewrite `_sysconfigdata*.py`; the directories that the interpreter was compiled in."""
    # The file is one assignment of a literal, with long strings split over lines.
    module = ast.parse(path.read_text(encoding="utf-8"))
    assignment = next(node for node in module.body if isinstance(node, ast.Assign))
    variables: dict[str, object] = ast.literal_eval(assignment.value)
    directories = {
        value
        for name in ("abs_builddir", "abs_srcdir")
        if isinstance(value := variables.get(name), str) and Path(value).is_absolute()
    }
    replace = _replacement(prefix, directories)
    rewritten = {
        name: _rewrite_flags(replace(value)) if isinstance(value, str) else value for name, value in variables.items()
    }
    text = pprint.pformat(rewritten, width=100)
    path.write_text(
        f"# system configuration generated and used by the sysconfig module\nbuild_time_vars = {text}\n",
        encoding="utf-8",
    )
    return directories


def _rewrite_flags(value: str) -> str:
    """Compiler flags without debug information, whose paths would differ from build to build, and without fixed libraries."""
    layer = re.escape(str(INTERPRETER_LAYER))
    # The layer's own libraries are found through the interpreter; a search path fixed in an extension module would only hide
    # a later move.
    value = re.sub(rf"\s*-Wl,-rpath(?:,|=){layer}/lib(?=\s|$)", "", value)
    return re.sub(r"(?<!\S)-g(?!\S)", "-g0", value)


def _replacement(prefix: Path, build_directories: set[str]) -> Callable[[str], str]:
    """What replaces the machine's directories by the ones in the image, whole path components only."""
    pairs = {str(prefix): str(INTERPRETER_LAYER), **dict.fromkeys(build_directories, _BUILD_DIRECTORY)}
    pattern = re.compile("|".join(rf"{re.escape(path)}(?![\w.+-])" for path in sorted(pairs, key=len, reverse=True)))
    return lambda text: pattern.sub(lambda match: pairs[match[0]], text)


def _blank_prefix(path: Path, prefix: Path) -> None:
    """Replace the prefix inside a binary by as many other characters: the interpreter finds its home from where it stands.

    The last component stays: linkers merge a string with the tail of another, and a prefix such as `…/versions/3.10.13` ends
    in what `sys.version` begins with.
    """
    old = os.fsencode(prefix)
    if prefix.parent in (Path("/usr"), Path("/")):
        return  # says nothing of the machine, and is too short to be told from other text
    content = path.read_bytes()
    if not content.startswith(_ELF) or old not in content:
        return
    tail = b"/" + os.fsencode(prefix.name)
    start = b"/install"[: len(old) - len(tail)]
    mode = path.stat().st_mode
    path.write_bytes(content.replace(old, start.ljust(len(old) - len(tail), b"/") + tail))
    path.chmod(mode)
