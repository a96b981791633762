from __future__ import annotations

import importlib.util
import os
import py_compile
import sys
from pathlib import Path

import pytest

from buildpacks.conda.bytecode import Interpreter, find_interpreter, settle_bytecode, settle_changes
from buildpacks.conda.prefix import link_tree
from buildpacks.installer.bytecode import Compiled
from buildpacks.installer.tools import identify_python
from tests.buildpacks.contexts import make_context

UNCHECKED = importlib.util.MAGIC_NUMBER + b"\1\0\0\0" + bytes(8)


@pytest.fixture
def interpreter(tmp_path: Path) -> Interpreter:
    """The interpreter of the tests, with a library of its own."""
    library = tmp_path / "prefix" / "lib" / "python3"
    library.mkdir(parents=True)
    python = identify_python(make_context(tmp_path), Path(sys.executable))
    return Interpreter(python=python, magic=importlib.util.MAGIC_NUMBER, library=library)


def settle(interpreter: Interpreter, root: Path) -> Compiled:
    return settle_bytecode(make_context(root), interpreter, store=root / "store")


def module(interpreter: Interpreter, name: str, text: str, *, shipped: bool = False) -> Path:
    source = interpreter.library / f"{name}.py"
    source.write_text(text)
    os.utime(source, (1_600_000_000, 1_600_000_000))
    if shipped:
        py_compile.compile(str(source), doraise=True)
    return source


def bytecode(source: Path) -> Path:
    return Path(importlib.util.cache_from_source(str(source)))


def test_bytecode_of_a_package_is_kept_and_names_no_time(interpreter: Interpreter, tmp_path: Path) -> None:
    source = module(interpreter, "shipped", "X = 1\n", shipped=True)
    body = bytecode(source).read_bytes()[16:]
    assert settle(interpreter, tmp_path) == Compiled(reused=0, compiled=0, impossible=0)
    assert bytecode(source).read_bytes() == UNCHECKED + body


def test_shipped_bytecode_is_not_edited_in_place(interpreter: Interpreter, tmp_path: Path) -> None:
    target = bytecode(module(interpreter, "shipped", "X = 1\n", shipped=True))
    shared = tmp_path / "shared.pyc"
    shared.hardlink_to(target)
    before = shared.read_bytes()
    settle(interpreter, tmp_path)
    assert shared.read_bytes() == before


def test_bytecode_of_a_source_that_has_changed_is_compiled_anew(interpreter: Interpreter, tmp_path: Path) -> None:
    source = module(interpreter, "replaced", "X = 'prefix'\n", shipped=True)
    source.write_text("X = 'longer prefix'\n")
    assert settle(interpreter, tmp_path).compiled == 1
    assert b"longer prefix" in bytecode(source).read_bytes()


def test_modules_without_bytecode_get_it_and_what_is_no_python_does_not(
    interpreter: Interpreter, tmp_path: Path
) -> None:
    good, bad = module(interpreter, "good", "X = 1\n"), module(interpreter, "bad", "print 'no'\n")
    assert settle(interpreter, tmp_path) == Compiled(reused=0, compiled=2, impossible=1)
    assert bytecode(good).read_bytes()[4:8] == b"\1\0\0\0"
    assert not bytecode(bad).exists()


def test_what_took_the_place_of_a_module_does_not_keep_its_bytecode(interpreter: Interpreter, tmp_path: Path) -> None:
    """pip replaces files; bytecode that is never checked would go on being used."""
    old, kept = module(interpreter, "old", "X = 1\n", shipped=True), module(interpreter, "kept", "X = 1\n")
    settle(interpreter, tmp_path)
    prefix, before = tmp_path / "prefix", tmp_path / "before"
    link_tree(prefix, before)
    times = bytecode(kept).stat().st_mtime_ns
    old.unlink()
    old.write_text("X = 'new'\n")
    new = module(interpreter, "new", "X = 1\n")
    context = make_context(tmp_path)
    done = settle_changes(context, interpreter, store=tmp_path / "store-pip", prefix=prefix, before=before)
    assert done == Compiled(reused=0, compiled=2, impossible=0)
    assert b"new" in bytecode(old).read_bytes()
    assert bytecode(new).exists()
    assert bytecode(kept).stat().st_mtime_ns == times


def test_an_environment_without_python_has_no_bytecode(tmp_path: Path) -> None:
    assert find_interpreter(make_context(tmp_path), tmp_path) is None
