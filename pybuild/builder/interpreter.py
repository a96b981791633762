"""The interpreters of the builder: relocatable CPython archives.

They are python-build-standalone's (https://github.com/astral-sh/python-build-standalone), installed by uv, whose settings for
mirrors hold. Where that host cannot be reached, an interpreter of this machine is packed into the same form. Those for another
architecture are never executed: bytecode, which is the same everywhere, is compiled by this machine's of the same minor version.

Store: `interpreters/<key>/`, with the archive and `interpreter.json`, or with `absent.txt`, the reason why there is none.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from lifecycle.cnb.target import host_architecture
from lifecycle.oci.archive import ROOT
from lifecycle.oci.blob import write_layer_blob
from pybuild.builder import inside
from pybuild.builder.crew import Crew
from pybuild.builder.elf import read_elf
from pybuild.builder.errors import InterpreterMissing, InterpreterUnusable
from pybuild.builder.installed import STANDALONE, InstalledPython, find_installed
from pybuild.builder.kept import content_key, make_directory
from pybuild.builder.relocate import INTERPRETER_LAYER, copy_interpreter, drop_modules, rewrite_paths
from pybuild.builder.tools import find_uv
from pybuild.builder.value import Interpreter
from pybuild.engines.sandbox import Mount, Sandbox, bubblewrap_command

# Another number when the same interpreter would be packed into other bytes.
_FORMAT = 2
_STANDALONE_SOURCE_HINT = (
    "let this machine reach https://github.com/astral-sh/python-build-standalone, or name a mirror of its releases in "
    "`UV_PYTHON_INSTALL_MIRROR` or `python-install-mirror` of uv.toml, or install that version on this machine, for example "
    "with pyenv"
)
_FOREIGN_SOURCE_HINT = (
    "let this machine reach https://github.com/astral-sh/python-build-standalone, or name a mirror of its releases in "
    "`UV_PYTHON_INSTALL_MIRROR` or `python-install-mirror` of uv.toml; an environment of conda packages needs none: build it with a "
    "builder.toml whose `cpython` is empty"
)
# OCI -> the names of the kernel and of uv
_UV_ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64"}
_VERSION = re.compile(r'^#define PY_VERSION\s+"([^"]+)"', re.MULTILINE)
# Without these, common packages fail in ways that nobody would trace back to the interpreter.
_NEEDED_MODULES = frozenset(
    {"_bz2", "_ctypes", "_hashlib", "_lzma", "_socket", "_sqlite3", "_ssl", "_uuid", "readline", "zlib"}
)
_SCRIPTS = PurePosixPath("/platform")
_ABSENCE = "absent.txt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What uv installed; without a prefix, why it could not."""

    prefix: Path | None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignRoot:
    """A run base for other machines than this one. `libraries`: names of the shared libraries that it has."""

    architecture: str
    libraries: frozenset[str]

    @staticmethod
    def at(rootfs: Path, architecture: str) -> ForeignRoot:
        """What the unpacked run base at `rootfs` has."""
        # Where the loader looks by itself, on Debian and elsewhere (https://man7.org/linux/man-pages/man8/ld.so.8.html).
        places = ("usr/lib", "usr/lib64", f"usr/lib/{_UV_ARCHITECTURES.get(architecture, architecture)}-linux-gnu")
        names = (path.name for place in places for path in (rootfs / place).glob("*.so*"))
        return ForeignRoot(architecture=architecture, libraries=frozenset(names))


@dataclass(frozen=True, slots=True, kw_only=True)
class Workplace:
    """Where interpreters are worked on: `build` has binutils and patchelf, `run` is what images of this machine are made on."""

    build: Path
    run: Path
    scratch: Path
    foreign: ForeignRoot | None = None


def interpreter_directory(requested: str, store: Path, architecture: str) -> Path:
    """Where the store has the interpreter for `requested` (`3.10` or `3.10.13`), made or not."""
    return store / "interpreters" / content_key(_FORMAT, requested, architecture, str(INTERPRETER_LAYER))


def read_interpreter(directory: Path) -> Interpreter | None:
    """The interpreter that the store has in `directory`."""
    try:
        values = json.loads((directory / "interpreter.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return Interpreter(**values)


def read_absence(directory: Path) -> str | None:
    """Why the store has no interpreter in `directory` although it was looked for; None where it was not."""
    try:
        return (directory / _ABSENCE).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def note_absence(directory: Path, reason: str) -> None:
    """Remember that what belongs into `directory` can be had nowhere."""

    def write(making: Path) -> None:
        (making / _ABSENCE).write_text(reason, encoding="utf-8")

    make_directory(directory, write)


def fetch_standalone(requested: str, directory: Path, crew: Crew, architecture: str) -> Fetched:
    """python-build-standalone's newest `requested` for `architecture`, installed below `directory` by uv.

    Raises:
        InterpreterMissing: what was downloaded is not what uv knows it to be.
    """
    directory.mkdir(parents=True)
    # An unreachable host should not hold up a build: uv waits half a minute and tries four times by itself.
    impatient = {"UV_HTTP_TIMEOUT": "15", "UV_HTTP_CONNECT_TIMEOUT": "10", "UV_HTTP_RETRIES": "1"}
    env = {**impatient, **crew.env}
    foreign = f"cpython-{requested}-linux-{_UV_ARCHITECTURES.get(architecture, architecture)}-gnu"
    wanted = requested if architecture == host_architecture() else foreign
    command = [str(find_uv()), "python", "install", wanted, "--no-bin", "--no-progress", "--install-dir"]
    # Elsewhere than here, where a uv.toml or .python-version of a project may lie.
    result = crew.run([*command, str(directory)], env=env, cwd=directory)
    prefixes = [path for path in directory.glob("cpython-*") if path.is_dir() and not path.is_symlink()]
    if result.status == 0 and len(prefixes) == 1:
        return Fetched(prefix=prefixes[0])
    causes = [line.strip() for line in result.output.splitlines() if line.strip()]
    if "hash mismatch" in result.output.lower():
        start = next(index for index, line in enumerate(causes) if "hash mismatch" in line.lower())
        details = tuple(("uv", line.removeprefix("cause: ")) for line in causes[start:])
        raise InterpreterMissing(f"CPython {requested} was downloaded, but is not what it should be", details)
    # uv prints the chain of causes, the deepest last.
    return Fetched(prefix=None, reason=causes[-1].removeprefix("cause: ") if causes else "uv says nothing")


def make_interpreter(
    requested: str, fetched: Fetched, workplace: Workplace, store: Path, crew: Crew
) -> InstalledPython:
    """Put the interpreter for `requested` into the store, and return what it was: what was fetched, else one of this machine.

    Raises:
        InterpreterMissing: there is none, or none that runs on the run base.
    """
    if fetched.prefix is not None:
        candidates: tuple[InstalledPython, ...] = (InstalledPython.at(fetched.prefix, origin=STANDALONE),)
    else:
        candidates = find_installed(requested, crew.env)
    failures: list[tuple[str, str]] = [] if fetched.prefix is not None else [(STANDALONE, fetched.reason)]
    for candidate in candidates:
        try:
            make_directory(
                interpreter_directory(requested, store, host_architecture()),
                lambda directory, found=candidate: _pack(found, workplace, directory, crew),  # type: ignore[misc]
            )
        except InterpreterUnusable as err:
            failures.append((str(candidate.prefix), err.summary))
            continue
        return candidate
    raise InterpreterMissing(f"CPython {requested} cannot be had", tuple(failures), _STANDALONE_SOURCE_HINT)


def make_foreign_interpreter(
    requested: str, fetched: Fetched, compiler: Path | None, workplace: Workplace, store: Path, crew: Crew
) -> None:
    """Put the interpreter that was fetched for `requested` into the store. `workplace.run` is the run base of its architecture.

    `compiler`: the archive of this machine's interpreter for `requested`.

    Raises:
        InterpreterMissing: none was fetched, or not one for that architecture, or there is nothing to compile its bytecode.
    """
    foreign = workplace.foreign
    if foreign is None:
        raise ValueError("the work place is not one for another architecture")
    title = f"CPython {requested} for linux/{foreign.architecture}"
    if fetched.prefix is None:
        raise InterpreterMissing(f"{title} cannot be had", ((STANDALONE, fetched.reason),), _FOREIGN_SOURCE_HINT)
    if compiler is None:
        reason = "this machine has none of the same version, which compiles its bytecode"
        raise InterpreterMissing(f"{title} cannot be packed: {reason}", (), _STANDALONE_SOURCE_HINT)
    found = InstalledPython(prefix=fetched.prefix, version=_read_version(fetched.prefix, requested), origin=STANDALONE)
    try:
        make_directory(
            interpreter_directory(requested, store, foreign.architecture),
            lambda directory: _pack_foreign(found, compiler, workplace, foreign, directory, crew),
        )
    except InterpreterUnusable as err:
        raise InterpreterMissing(f"{title} cannot be had", ((str(found.prefix), err.summary),)) from err


def _pack_foreign(
    found: InstalledPython, compiler: Path, workplace: Workplace, foreign: ForeignRoot, directory: Path, crew: Crew
) -> None:
    with tempfile.TemporaryDirectory(prefix="interpreter-", dir=workplace.scratch) as scratch:
        tree = Path(scratch, "layers", *INTERPRETER_LAYER.parts[2:])
        bench = _Bench(tree=tree, scratch=Path(scratch), crew=crew)
        copy_interpreter(found.prefix, found.minor, bench.tree)
        rewrite_paths(bench.tree, found.prefix, found.minor)
        drop_modules(bench.tree, found.minor, _find_unloadable(bench.tree, foreign, found))
        _check_path_is_gone(bench.tree, found.prefix)
        unpacked = Path(scratch, "tmp", "python")
        unpacked.mkdir(parents=True)
        result = crew.run(["tar", "-xpzf", str(compiler), "-C", str(unpacked), "--no-same-owner"], env=crew.env)
        if result.status != 0:
            raise InterpreterUnusable(f"cannot unpack `{compiler}`: {result.output.strip()[-200:]}")
        library = f"{INTERPRETER_LAYER}/lib/python{found.minor}"
        program = f"/tmp/python/bin/python{found.minor}"  # noqa: S108 - the sandbox's own
        # Not -I: that ignores PYTHONHASHSEED.
        bench.run(workplace.run, [program, "-s", f"{_SCRIPTS}/compile_bytecode.py", library], "compile")
        _write_archive(bench.tree, found, foreign.architecture, directory)


def _read_version(prefix: Path, requested: str) -> str:
    """The exact version of an installation that cannot be asked. Raises `InterpreterMissing`."""
    for path in sorted(prefix.glob("include/python3.*/patchlevel.h")):
        match = _VERSION.search(path.read_text(encoding="utf-8", errors="replace"))
        if match is not None and (match[1] == requested or match[1].startswith(f"{requested}.")):
            return match[1]
    raise InterpreterMissing(f"what was downloaded for CPython {requested} is something else", (("in", prefix.name),))


def _find_unloadable(tree: Path, foreign: ForeignRoot, found: InstalledPython) -> frozenset[str]:
    """Names of modules that load libraries which the run base has not, and that one can do without.

    Raises:
        InterpreterUnusable: it is not for that architecture, or lacks what it must have.
    """
    files = {path: read_elf(path) for path in sorted(tree.rglob("*")) if path.is_file() and not path.is_symlink()}
    programs = {path: elf for path, elf in files.items() if elf is not None}
    others = {elf.architecture for elf in programs.values()} - {foreign.architecture}
    if others or not programs:
        raise InterpreterUnusable(
            f"it is for {', '.join(sorted(others)) or 'no machine'}, not for {foreign.architecture}"
        )
    own = {path.name for path in (tree / "lib").glob("*.so*")}
    missing = {
        path: sorted(name for name in elf.needed if name not in own and name not in foreign.libraries)
        for path, elf in programs.items()
    }
    modules = {path.name.split(".")[0]: names for path, names in missing.items() if names}
    directory = tree / "lib" / f"python{found.minor}" / "lib-dynload"
    unusable = {
        path.name.split(".")[0] if path.parent == directory else str(path.relative_to(tree)): names
        for path, names in missing.items()
        if names and (path.parent != directory or path.name.split(".")[0] in _NEEDED_MODULES)
    }
    # Tcl and Tk, which nothing else loads
    unusable = {
        name: names for name, names in unusable.items() if not re.match(r"lib/(lib)?(tcl|tk|itcl|thread)", name)
    }
    if unusable:
        details = "; ".join(f"`{name}` needs {', '.join(names)}" for name, names in unusable.items())
        raise InterpreterUnusable(f"CPython {found.version} does not work on the run base: {details}")
    return frozenset(modules)


def _pack(found: InstalledPython, workplace: Workplace, directory: Path, crew: Crew) -> None:
    """Write the archive and `interpreter.json` of an installed interpreter."""
    with tempfile.TemporaryDirectory(prefix="interpreter-", dir=workplace.scratch) as scratch:
        tree = Path(scratch, "layers", *INTERPRETER_LAYER.parts[2:])
        bench = _Bench(tree=tree, scratch=Path(scratch), crew=crew)
        copy_interpreter(found.prefix, found.minor, bench.tree)
        rewrite_paths(bench.tree, found.prefix, found.minor)
        if found.origin != STANDALONE:
            # python-build-standalone is relocatable and stripped already.
            bench.run(workplace.build, ["/bin/sh", f"{_SCRIPTS}/make_relocatable.sh", str(INTERPRETER_LAYER)], "pack")
        drop_modules(bench.tree, found.minor, _check(bench, workplace.run, found))
        _check_path_is_gone(bench.tree, found.prefix)
        library = f"{INTERPRETER_LAYER}/lib/python{found.minor}"
        # Not -I: that ignores PYTHONHASHSEED.
        bench.run(workplace.run, [_python(found.minor), "-s", f"{_SCRIPTS}/compile_bytecode.py", library], "compile")
        _write_archive(bench.tree, found, host_architecture(), directory)


def _write_archive(tree: Path, found: InstalledPython, architecture: str, directory: Path) -> None:
    blob = write_layer_blob(directory, lambda writer: writer.tree(tree, PurePosixPath("."), ROOT))
    name = f"cpython-{found.version}-linux-{architecture}.tar.gz"
    blob.path.rename(directory / name)
    interpreter = Interpreter(
        version=found.version,
        arch=architecture,
        file=name,
        sha256=blob.descriptor.digest.hex,
        origin=found.origin,
    )
    (directory / "interpreter.json").write_text(json.dumps(asdict(interpreter), indent=1), encoding="utf-8")


def _check(bench: _Bench, rootfs: Path, found: InstalledPython) -> frozenset[str]:
    """Names of modules that do not load on the run base and that one can do without.

    Raises:
        InterpreterUnusable: the interpreter does not run there, or not as it must.
    """
    output = bench.run(rootfs, [_python(found.minor), "-I", f"{_SCRIPTS}/check_interpreter.py"], "start")
    facts = json.loads(output.strip().splitlines()[-1])
    expected = {
        "version": found.version,
        "implementation": "cpython",
        "prefix": str(INTERPRETER_LAYER),
        "include": f"{INTERPRETER_LAYER}/include/python{found.minor}",
    }
    wrong = [f"{name} is {facts[name]!r}, not {value!r}" for name, value in expected.items() if facts[name] != value]
    problems: dict[str, str] = facts["problems"]
    wrong += [f"`{name}` does not load: {problem}" for name, problem in problems.items() if name in _NEEDED_MODULES]
    if wrong:
        raise InterpreterUnusable(f"CPython {found.version} does not work on the run base: {'; '.join(wrong)}")
    return frozenset(problems)


def _check_path_is_gone(tree: Path, prefix: Path) -> None:
    if prefix.parent in (Path("/usr"), Path("/")):
        return  # `/usr/local` stands in every CPython's documentation
    needle = os.fsencode(prefix) + b"/"
    for path in sorted(tree.rglob("*")):
        if path.is_file() and not path.is_symlink() and needle in path.read_bytes():
            raise InterpreterUnusable(f"`{path.relative_to(tree)}` still holds the path `{prefix}`")


def _python(minor: str) -> str:
    return f"{INTERPRETER_LAYER}/bin/python{minor}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bench:
    """A tree where it will be in images, in the sandbox."""

    tree: Path
    scratch: Path
    crew: Crew

    def run(self, rootfs: Path, argv: list[str], purpose: str) -> str:
        """Output of `argv`. Raises `InterpreterUnusable`."""
        (self.scratch / "tmp").mkdir(exist_ok=True)
        sandbox = Sandbox(
            rootfs=rootfs,
            mounts=(
                Mount(source=self.scratch / "layers", target=PurePosixPath("/layers"), writable=True),
                Mount(source=self.scratch / "tmp", target=PurePosixPath("/tmp"), writable=True),  # noqa: S108 - the sandbox's
                Mount(source=Path(inside.__file__).parent, target=_SCRIPTS),
            ),
            env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "PYTHONHASHSEED": "0"},
            network=False,
            cwd=PurePosixPath("/"),
        )
        result = self.crew.run(bubblewrap_command(sandbox, argv), env=sandbox.env)
        if result.status != 0:
            said = result.output.strip().splitlines()[-3:] or [f"status {result.status}"]
            raise InterpreterUnusable(f"cannot {purpose} it: {' / '.join(said)}")
        return result.output
