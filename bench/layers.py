"""Times how the tree of an environment becomes compressed layers with digests: pybuild's own code, its limit, and other tools.

Run as root from the checkout, on a quiet machine: `.venv/bin/python -m bench.layers --rounds 5`. See bench/README.md.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import uv

from bench.measure import Figures, Round, print_result, run_quietly, run_rounds, seconds_of
from bench.preparation import dockerfile_builders, remote_environment, unpacked_interpreter
from bench.ways import Builder
from lifecycle.cnb.layer import remove_tree
from lifecycle.oci.archive import Owner, TarWriter
from lifecycle.oci.blob import Blob, compress_layer_blob, write_layer_blobs
from lifecycle.oci.compression import Compression
from lifecycle.oci.image import Layer
from lifecycle.oci.tree import Tree, scan_tree
from lifecycle.parts import divide_layer
from lifecycle.recognition import Recognizable, describe_tree, find_made
from pybuild.host import read_host_settings
from pybuild.made_layers import MadeLayers
from pybuild.store import store_directory
from tests.integration.command import FIXTURES, Pybuild, expect_success

_CASE = "tree to layers"
_LIMIT = "limit"
_LAYER = "venv"
_PLACE = PurePosixPath("/layers/pybuild_pip", _LAYER)
_OWNER = Owner(user_id=1000, group_id=1000)


def archive_in_memory(tree: Path, blobs: Path) -> tuple[float, list[Blob]]:
    """The limit: the archive is there before the time begins, and only hashed and compressed."""
    pieces: list[bytes] = []
    writer = TarWriter(lambda piece: pieces.append(bytes(piece)))
    writer.tree(tree, _PLACE, _OWNER)
    writer.finish()
    content = io.BytesIO(b"".join(pieces))
    pieces.clear()
    since = time.monotonic()
    blob = compress_layer_blob(blobs, content)
    return time.monotonic() - since, [blob]


def archive_in_parts(tree: Path, blobs: Path, compression: Compression = Compression.GZIP) -> tuple[float, list[Blob]]:
    """What the exporter does with an environment."""
    since = time.monotonic()
    fills = [_filler(part) for part in _divide(tree).values()]
    written = write_layer_blobs(blobs, fills, compression=compression)
    return time.monotonic() - since, written


def recognize_parts(tree: Path, blobs: Path) -> tuple[float, list[Blob]]:
    """What the exporter does where another application of the machine has the same packages."""
    store = MadeLayers(directory=blobs / "made")
    described = _describe(tree)
    written = write_layer_blobs(blobs, [part.fill for part in described.values()])
    layers = [Layer(descriptor=blob.descriptor, diff_id=blob.diff_id, path=blob.path) for blob in written]
    store.keep({part.listing: layer for part, layer in zip(described.values(), layers, strict=True)})
    since = time.monotonic()
    found = find_made(_describe(tree), store.find)
    seconds = time.monotonic() - since
    if len(found) != len(layers):
        sys.exit(f"only {len(found)} of {len(layers)} parts are recognized")
    return seconds, written


def _divide(tree: Path) -> Mapping[str, Tree]:
    division = divide_layer(_LAYER, scan_tree(tree))
    if division is None:
        sys.exit(f"{tree} is not divided")
    return {**division.parts, _LAYER: division.rest}


def _describe(tree: Path) -> Mapping[str, Recognizable]:
    return {
        name: describe_tree(part, _PLACE, _OWNER, _filler(part), comes_back=False)
        for name, part in _divide(tree).items()
    }


def archive_whole(tree: Path, blobs: Path) -> tuple[float, list[Blob]]:
    """What the exporter does with another layer of that size."""
    since = time.monotonic()
    written = write_layer_blobs(blobs, [_filler(scan_tree(tree))])
    return time.monotonic() - since, written


def _filler(tree: Tree) -> Callable[[TarWriter], None]:
    return lambda archive: archive.entries(tree, _PLACE, _OWNER)


_OWN_WAYS: Mapping[str, Callable[[Path, Path], tuple[float, list[Blob]]]] = {
    _LIMIT: archive_in_memory,
    "pybuild, in parts": archive_in_parts,
    "pybuild, in parts, known": recognize_parts,
    "pybuild, whole": archive_whole,
    "pybuild, in parts, zstd": lambda tree, blobs: archive_in_parts(tree, blobs, Compression.ZSTD),
}


def run_way(name: str, tree: Path, blobs: Path) -> None:
    """Print what one of pybuild's own ways costs, measured in this process."""
    before = _peak()
    seconds, written = _OWN_WAYS[name](tree, blobs)
    size = sum(blob.descriptor.size for blob in written)
    answer = {"seconds": seconds, "peak": _peak(), "before": before, "size": size, "layers": len(written)}
    print(json.dumps(answer))


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What every measurement needs."""

    tree: Path
    scratch: Path
    env: Mapping[str, str]
    builders: tuple[Builder, ...]
    """Those that execute a Dockerfile; none without root."""

    def measure(self, number: int) -> Round:
        """Figures of one round; the ways take turns so that a change of the machine's mood meets them all."""
        figures = {name: self._measure_own(name, is_first=number == 1) for name in _OWN_WAYS}
        figures |= {name: Figures(seconds=way()) for name, way in self._peers().items()}
        return {way: {_CASE: one} for way, one in figures.items()}

    def _measure_own(self, name: str, *, is_first: bool) -> Figures:
        with self._directory() as blobs:
            command = [sys.executable, "-m", "bench.layers", "--way", name, str(self.tree), str(blobs)]
            os.sync()
            answer = json.loads(run_quietly(command, os.environ))
        if is_first:
            megabytes = {key: answer[key] / 1e6 for key in ("size", "before", "peak")}
            print(
                f"  {name}: {answer['layers']} layers of {megabytes['size']:.1f} MB;"
                f" memory {megabytes['before']:.0f} MB at the beginning, {megabytes['peak']:.0f} MB at most",
                flush=True,
            )
        return Figures(seconds=answer["seconds"], peak=None if name == _LIMIT else answer["peak"])

    def _peers(self) -> dict[str, Callable[[], float]]:
        peers: dict[str, Callable[[], float]] = {"umoci insert": self._umoci}
        if self.builders:
            peers |= {"buildah copy, commit": self._buildah}
            peers |= {f"{builder.name}, COPY": partial(self._copy, builder) for builder in self.builders}
        return peers

    def _umoci(self) -> float:
        with self._directory() as directory:
            layout = directory / "layout"
            self._run("umoci", "init", "--layout", str(layout))
            self._run("umoci", "new", "--image", f"{layout}:x")
            return seconds_of(
                lambda: self._run("umoci", "insert", "--image", f"{layout}:x", str(self.tree), str(_PLACE))
            )

    def _buildah(self) -> float:
        with self._directory() as directory:
            buildah = ("buildah", "--root", str(directory / "root"), "--runroot", str(directory / "run"))
            container = self._run(*buildah, "from", "scratch").strip()

            def copy_and_commit() -> None:
                self._run(*buildah, "copy", "--quiet", container, str(self.tree), str(_PLACE))
                options = ("--quiet", "--disable-compression=false")
                self._run(*buildah, "commit", *options, container, f"oci:{directory / 'layout'}:x")

            seconds = seconds_of(copy_and_commit)
            self._run(*buildah, "rm", container)
            return seconds

    def _copy(self, builder: Builder) -> float:
        builder.forget()
        return seconds_of(lambda: builder.build(self.tree.parent))

    def _run(self, *command: str) -> str:
        return run_quietly(command, self.env)

    @contextmanager
    def _directory(self) -> Iterator[Path]:
        directory = Path(tempfile.mkdtemp(dir=self.scratch))
        try:
            yield directory
        finally:
            remove_tree(directory)


def make_tree(python: Path, requirements: Path, directory: Path, env: Mapping[str, str]) -> Path:
    """A virtual environment with bytecode, alone in a directory with a Dockerfile that copies it."""
    tree = directory / "tree"
    program = uv.find_uv_bin()
    run_quietly([program, "venv", "--quiet", "--python", str(python), str(tree)], env)
    install = [program, "pip", "install", "--quiet", "--compile-bytecode", "--link-mode=copy"]
    run_quietly([*install, "--python", str(tree / "bin/python"), "--requirement", str(requirements)], env)
    (directory / "Dockerfile").write_text(f"FROM scratch\nCOPY tree {_PLACE}\n")
    return tree


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requirements", type=Path, default=FIXTURES / "pip_data_science" / "requirements.txt")
    parser.add_argument("--no-docker", action="store_true", help="without docker and buildah, which need root")
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("directories", nargs="*", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way is not None:
        run_way(arguments.way, *arguments.directories)
        return
    scratch = Path(tempfile.mkdtemp(prefix="pybuild-bench-"))
    env = remote_environment(read_host_settings(os.environ, Path.home()), scratch)
    store = store_directory(os.environ, Path.home())
    expect_success(Pybuild(env={**env, "XDG_CACHE_HOME": str(store.parent)})("builder", "create"))
    try:
        with ExitStack() as stack:
            python = stack.enter_context(unpacked_interpreter(store, scratch))
            context = scratch / "context"
            context.mkdir()
            tree = make_tree(python, arguments.requirements, context, {**env, "UV_CACHE_DIR": str(scratch / "uv")})
            scanned = scan_tree(tree)
            print(f"{len(scanned.entries)} entries, {scanned.size / 1e6:.0f} MB", flush=True)
            builders = stack.enter_context(dockerfile_builders(scratch, env, wanted=not arguments.no_docker))
            bench = Bench(tree=tree, scratch=scratch, env=env, builders=builders)
            rounds = run_rounds(arguments.rounds, bench.measure)
    finally:
        shutil.rmtree(scratch)
    print_result("layers", rounds, (_CASE,))


if __name__ == "__main__":
    main()
