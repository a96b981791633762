"""Bytecode of the environment: what packages bring is kept where Python would use it, the rest is compiled.

The bytecode in packages names the time of its source, which is not kept in images; Python would compile every module anew in
every container. So its header is made to say "unchecked hash" (https://peps.python.org/pep-0552/), which holds no time.
What follows the header is the package's own and the same in every build.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from buildpacks.installer.bytecode import Compiled, compile_sources
from buildpacks.installer.errors import MissingTool
from buildpacks.installer.tools import Python, identify_python
from lifecycle.cnb.kit import BuildContext

# The first version whose bytecode can do without the time of its source.
_FIRST_VERSION = (3, 7)
_HEADER_SIZE = 16
_TIMED = (0).to_bytes(4, "little")
_UNCHECKED = (1).to_bytes(4, "little") + bytes(8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """The Python of a prefix, as far as bytecode is concerned."""

    python: Python
    magic: bytes
    """The first four bytes of its bytecode files."""
    library: Path
    """`lib/python3.10`, with the standard library and `site-packages`."""


def find_interpreter(context: BuildContext, prefix: Path) -> Interpreter | None:
    """Return the Python of the prefix, which can be run; `None` where there is none, or one of before 3.7. Raises `MissingTool`."""
    executable = prefix / "bin" / "python"
    if not executable.exists():
        return None
    python = identify_python(context, executable)
    if tuple(int(part) for part in python.minor.split(".")) < _FIRST_VERSION:
        return None
    question = "import importlib.util, os; print(importlib.util.MAGIC_NUMBER.hex(), os.path.dirname(os.__file__))"
    done = context.run([str(executable), "-IS", "-c", question], echo=False, quiet=True)
    magic, _, library = done.output.strip().partition(" ")
    if done.status != 0 or not library:
        raise MissingTool(tool="python", looked_in=f"{executable}, which does not run: {done.output.strip()[-200:]}")
    return Interpreter(python=python, magic=bytes.fromhex(magic), library=prefix / "lib" / Path(library).name)


def settle_bytecode(context: BuildContext, interpreter: Interpreter, *, store: Path) -> Compiled:
    """Give every module of a prefix that conda packages were installed into its bytecode.

    `store` remembers what was compiled. Raises `CompilationFailed` and `DiskFull`.
    """
    return _settle(context, interpreter, store, lambda source, target: _keep_shipped(source, target, interpreter.magic))


def settle_changes(
    context: BuildContext, interpreter: Interpreter, *, store: Path, prefix: Path, before: Path
) -> Compiled:
    """Give the modules their bytecode that are not the files of the tree `before` any more, to which `prefix` was linked.

    Python would believe bytecode that is never checked, and a package of pip's may have taken the place of one of conda's.
    """

    def is_old(source: Path, target: Path) -> bool:
        return all(_is_same_file(path, before / path.relative_to(prefix)) for path in (source, target))

    return _settle(context, interpreter, store, is_old)


def _settle(
    context: BuildContext, interpreter: Interpreter, store: Path, is_settled: Callable[[Path, Path], bool]
) -> Compiled:
    missing = []
    for source in _sources(interpreter.library):
        target = source.parent / "__pycache__" / f"{source.stem}.{interpreter.python.cache_tag}.pyc"
        if not is_settled(source, target):
            target.unlink(missing_ok=True)
            missing.append(source)
    return compile_sources(context, missing, store=store, python=interpreter.python)


def _sources(library: Path) -> Iterator[Path]:
    """Python files below `library` in a fixed order."""
    for directory, names, files in os.walk(library):
        names[:] = sorted(name for name in names if name != "__pycache__")
        for name in sorted(files):
            if name.endswith(".py"):
                yield Path(directory, name)


def _keep_shipped(source: Path, target: Path, magic: bytes) -> bool:
    """Whether there is bytecode that belongs to the source as it is in the prefix; it is rewritten to hold no time."""
    try:
        content = target.read_bytes()
    except OSError:
        return False
    status = source.stat()
    times = int(status.st_mtime) & 0xFFFFFFFF, status.st_size & 0xFFFFFFFF
    expected = magic + _TIMED + b"".join(number.to_bytes(4, "little") for number in times)
    if content[:_HEADER_SIZE] != expected:
        return False
    # A new file, not the old one edited: that shares its content with the cache.
    target.unlink()
    with open(target, "xb", buffering=0, opener=_open_readable) as stream:
        stream.write(magic + _UNCHECKED + content[_HEADER_SIZE:])
    return True


def _open_readable(path: str, flags: int) -> int:
    descriptor = os.open(path, flags, 0o644)
    os.fchmod(descriptor, 0o644)  # whatever the umask says
    return descriptor


def _is_same_file(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except OSError:
        return False
