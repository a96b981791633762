"""Bytecode of an environment: reproducible, and compiled once for each source.

The cache layer keeps it by source, path and interpreter; a new environment gets hard links to what is known already.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from buildpacks.installer.errors import DiskFull
from buildpacks.installer.tools import Python
from lifecycle.cnb.kit import BuildContext, BuildpackError
from lifecycle.cnb.layer import remove_tree

_WORKER = Path(__file__).with_name("compile_worker.py")
# Compiling its hundreds of modules takes longer than installing most environments. Who installs by hand waits for a network
# anyway, not for Python to compile those of them that it loads.
_NOT_COMPILED = "pip"


@dataclass(eq=False, kw_only=True)
class CompilationFailed(BuildpackError):
    """The worker ended without having done its work: it had no memory, or was killed."""

    output: str

    @property
    def summary(self) -> str:
        """That bytecode could not be written, and the last that was said."""
        last = (self.output.strip().splitlines() or ["it was killed, perhaps for want of memory"])[-1]
        return f"compiling the packages to bytecode failed: {last[:300]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """How many files of the environment have bytecode now."""

    reused: int
    compiled: int
    impossible: int
    """Files that are no valid Python for the interpreter."""


def compile_environment(context: BuildContext, venv: Path, *, store: Path, python: Python) -> None:
    """Give the packages of a virtual environment their bytecode, and say so. Raises as `compile_modules`."""
    context.say("Compiling to bytecode")
    done = compile_modules(
        context, venv / "lib" / f"python{python.minor}" / "site-packages", store=store, python=python
    )
    context.say(f"Bytecode: {done.compiled} files compiled, {done.reused} from the cache")


def compile_modules(context: BuildContext, library: Path, *, store: Path, python: Python) -> Compiled:
    """Give every module below `library` but pip's its bytecode, with `store` as memory; what `store` holds beside that is removed.

    `python` compiles, and is in the environment that `library` belongs to. Raises `CompilationFailed` and `DiskFull`.
    """
    return compile_sources(context, tuple(_sources(library)), store=store, python=python)


def compile_sources(context: BuildContext, files: Sequence[Path], *, store: Path, python: Python) -> Compiled:
    """Give these modules, which have none, their bytecode, as `compile_modules` does."""
    directory = store / python.abi
    directory.mkdir(parents=True, exist_ok=True)
    for other in store.iterdir():
        if other != directory:
            remove_tree(other)
    for unfinished in directory.glob("*.tmp"):
        unfinished.unlink()
    known = {entry.name for entry in os.scandir(directory)}
    sources = [(source, _key(source)) for source in files]
    jobs = {key: source for source, key in sources if key not in known}
    if jobs:
        _compile(context, jobs, directory, python)
    impossible = sum(not _link(directory / key, source, python) for source, key in sources)
    for key in known - {key for _, key in sources}:
        (directory / key).unlink()
    return Compiled(reused=len(sources) - len(jobs), compiled=len(jobs), impossible=impossible)


def _sources(library: Path) -> Iterator[Path]:
    """Python files below `library` in a fixed order. Bytecode that came with a package is removed: it holds times."""
    for directory, names, files in os.walk(library):
        if "__pycache__" in names:
            names.remove("__pycache__")
            remove_tree(Path(directory, "__pycache__"))
        if Path(directory) == library and _NOT_COMPILED in names:
            names.remove(_NOT_COMPILED)
        names.sort()
        for name in sorted(files):
            if name.endswith(".py"):
                yield Path(directory, name)


def _key(source: Path) -> str:
    digest = hashlib.sha256(os.fsencode(source) + b"\0")
    digest.update(source.read_bytes())
    return digest.hexdigest()


def _compile(context: BuildContext, jobs: dict[str, Path], directory: Path, python: Python) -> None:
    job_file = directory / "jobs.tmp"
    words = [word for key, source in jobs.items() for word in (source, source, directory / key)]
    job_file.write_bytes(b"".join(os.fsencode(word) + b"\0" for word in words))
    argv = [str(python.executable), "-sSB", str(_WORKER), str(job_file)]
    # -I would ignore PYTHONHASHSEED; so the environment holds nothing else that Python listens to.
    env = {"PATH": context.env.get("PATH", ""), "PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8"}
    if "LD_LIBRARY_PATH" in context.env:
        env["LD_LIBRARY_PATH"] = context.env["LD_LIBRARY_PATH"]
    done = context.run(argv, env=env, echo=False, quiet=True)
    job_file.unlink()
    if f"[Errno {errno.ENOSPC}]" in done.output or f"[Errno {errno.EDQUOT}]" in done.output:
        raise DiskFull(path=str(directory))
    if done.status != 0:
        raise CompilationFailed(output=done.output)


def _link(kept: Path, source: Path, python: Python) -> bool:
    """Whether there is bytecode; it shares its content with the cache."""
    if kept.stat().st_size == 0:
        return False
    target = source.parent / "__pycache__" / f"{source.stem}.{python.cache_tag}.pyc"
    try:
        target.hardlink_to(kept)
    except FileNotFoundError:
        target.parent.mkdir()
        target.hardlink_to(kept)
    return True
