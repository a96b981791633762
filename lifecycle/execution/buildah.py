"""Buildah, as the extender uses it: configured by files of its own, its storage in one directory, no registry, no daemon.

https://github.com/containers/buildah/tree/v1.28.2/docs; containers-storage.conf(5), containers.conf(5), containers-policy.json(5).
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lifecycle.cnb.command import CommandResult, run_command
from lifecycle.cnb.jsontext import parse_json
from lifecycle.cnb.layer import remove_tree
from lifecycle.execution.errors import ExtendError
from lifecycle.log import PhaseLog

_POLICY = '{"default":[{"type":"insecureAcceptAnything"}]}'
_NO_REGISTRIES = "unqualified-search-registries = []\nshort-name-mode = 'disabled'\n"
_OUTPUT_SHOWN = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredImage:
    """An image in the storage."""

    id: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Buildah:
    """Buildah with a storage. Made by `open_buildah`."""

    storage: Path
    """The part of the storage that the driver has for itself."""
    configuration: Path
    env: Mapping[str, str]

    def images(self) -> tuple[StoredImage, ...]:
        """Return the images of the storage, those between instructions as well. Raises `ExtendError`."""
        said = self.run("images", "--all", "--json", "--no-trunc").output
        document = parse_json(f'{{"images":{said or "null"}}}', source="buildah images")
        return tuple(
            StoredImage(id=table.string("id").removeprefix("sha256:"), names=table.strings("names"))
            for table in document.tables("images")
        )

    def load(self, directory: Path, name: str) -> None:
        """Put the image of a `dir:` directory into the storage, under a name. Raises `ExtendError`."""
        self.run("pull", "--quiet", *self.policy(), f"dir:{directory}")
        self.tag(manifest_image_id(directory), name)

    def tag(self, image: str, name: str) -> None:
        """Give a stored image a name, which no other has then. Raises `ExtendError`."""
        self.run("tag", image, name)

    def remove(self, images: Sequence[str]) -> None:
        """Remove images, whatever their names; those that others are made from stay as long as these."""
        if images:
            self._start(("rmi", "--force", *images), None)

    def remove_containers(self) -> None:
        """Remove the working containers that an interrupted build left."""
        self.run("rm", "--all")

    def build(self, arguments: Sequence[str], on_line: Callable[[str], None], env: Mapping[str, str]) -> CommandResult:
        """Return how `buildah build` ended."""
        options = ("--isolation", "chroot", "--format", "docker", "--layers", "--pull-never", "--identity-label=false")
        return self._start(("build", *self.policy(), *options, *arguments), on_line, env)

    def config_of(self, image: str) -> str:
        """Return the config of an image as it is stored. Raises `ExtendError`, `ConfigurationError`."""
        said = self.run("inspect", "--type", "image", image).output
        return parse_json(said, source="buildah inspect").string("Config")

    @contextlib.contextmanager
    def opened(self, image: str) -> Iterator[Path]:
        """The root file system of a stored image, to be read; an empty directory where it has no layers. Raises `ExtendError`.

        Not that of a working container: `buildah from` executes the triggers (`ONBUILD`) that the image has for others.
        """
        directory = self.configuration / "opened"
        directory.mkdir(exist_ok=True)
        driver = self.storage.name
        store = self.storage / "store"
        text = (store / f"{driver}-images" / "images.json").read_text("utf-8")
        tables = parse_json(f'{{"images":{text}}}', source="images.json").tables("images")
        layer = next((one.optional_string("layer") for one in tables if one.string("id") == image), None)
        if layer is None:
            yield directory
        elif driver == "vfs":
            yield store / "vfs" / "dir" / layer
        else:
            with _overlaid(store / driver, layer, directory):
                yield directory

    def _export(self, image: str, layout: Path, diff_ids: Sequence[str]) -> Mapping[str, Path]:
        """Add the layers of an image to an OCI layout, as gzip files; return where those of `diff_ids` are, base first.

        A file of the layout that is named by a diff id stays as it is. Raises `ExtendError`, `ConfigurationError`.
        """
        # Layouts get compressed layers whatever is asked for. Whoever reads these compresses them with something faster.
        compression = ("--compression-format", "gzip", "--compression-level", "0")
        digest = layout / "digest"
        options = (*self.policy(), "--quiet", *compression, "--digestfile", str(digest))
        self.run("push", *options, image, f"oci:{layout}:result")
        blobs = layout / "blobs"
        manifest = parse_json(
            (blobs / digest.read_text("ascii").strip().replace(":", "/")).read_text(), source="manifest"
        )
        digests = [table.string("digest") for table in manifest.tables("layers")]
        return {diff_id: blobs / digest.replace(":", "/") for diff_id, digest in zip(diff_ids, digests, strict=True)}

    def export_new(self, image: str, layout: Path, config: str, known: Sequence[str]) -> Mapping[str, Path]:
        """Return where the layers of an image with that `config` are whose diff ids are not `known`, in an OCI layout that is made.

        Raises `ExtendError`, `ConfigurationError`.
        """
        for diff_id in known:
            # Buildah does not write what is there; nobody reads these.
            path = layout / "blobs" / diff_id.replace(":", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        diff_ids = parse_json(config, source="config").table("rootfs").strings("diff_ids")
        return {one: path for one, path in self._export(image, layout, diff_ids).items() if one not in known}

    def run(self, *arguments: str) -> CommandResult:
        """Return the result of a command that must succeed. Raises `ExtendError`."""
        # Only what it says on stdout is an answer.
        process = subprocess.run(
            ["buildah", *arguments], env=dict(self.env), capture_output=True, check=False, stdin=subprocess.DEVNULL
        )
        if process.returncode != 0:
            said = process.stderr.decode("utf-8", "replace").strip()
            raise ExtendError(message=f"`buildah {arguments[0]}` failed", output=said[-_OUTPUT_SHOWN:])
        return CommandResult(status=0, output=process.stdout.decode("utf-8", "surrogateescape"))

    def run_attached(self, *arguments: str) -> int:
        """Return the status of a command that writes to where this process writes."""
        command = ["buildah", *arguments]
        return subprocess.run(command, env=dict(self.env), check=False, stdin=subprocess.DEVNULL).returncode

    def _start(
        self, arguments: Sequence[str], on_line: Callable[[str], None] | None, env: Mapping[str, str] | None = None
    ) -> CommandResult:
        return run_command(["buildah", *arguments], env={**self.env, **(env or {})}, on_line=on_line)

    def policy(self) -> tuple[str, str]:
        """Return the options of commands that read images."""
        return ("--signature-policy", str(self.configuration / "policy.json"))


def check_storage(buildah: Buildah, log: PhaseLog) -> tuple[StoredImage, ...]:
    """The images in the storage, which is emptied where it cannot be used any more."""
    try:
        stored = buildah.images()
        if any((buildah.storage / "store").glob("*-containers/*/*")):
            buildah.remove_containers()
    except ExtendError as err:
        log.warning(f"notice: the layers of earlier builds are damaged and not reused: {err.output or err.message}")
        remove_tree(buildah.storage / "store")
        return ()
    return stored


def manifest_image_id(directory: Path) -> str:
    """Return the id that the image of a `dir:` directory has in a storage. Raises `ConfigurationError`."""
    document = parse_json((directory / "manifest.json").read_text("utf-8"), source="manifest.json")
    return document.table("config").string("digest").removeprefix("sha256:")


def open_buildah(storage: Path, scratch: Path, env: Mapping[str, str]) -> Buildah:
    """Return a buildah that keeps everything below `storage`, and what is for now below `scratch`."""
    configuration = scratch / "buildah"
    configuration.mkdir(parents=True, exist_ok=True)
    driver = "overlay" if _can_overlay(storage) else "vfs"
    own = storage / driver
    own.mkdir(parents=True, exist_ok=True)
    # The cache of `RUN --mount=type=cache` is below this (pkg/parse of buildah, `getTempDir`).
    temporary = storage / "temporary"
    temporary.mkdir(exist_ok=True)
    (configuration / "policy.json").write_text(_POLICY)
    (configuration / "registries.conf").write_text(_NO_REGISTRIES)
    (configuration / "containers.conf").write_text("")
    (configuration / "storage.conf").write_text(
        f"[storage]\ndriver = {json.dumps(driver)}\n"
        f"graphroot = {json.dumps(str(own / 'store'))}\nrunroot = {json.dumps(str(scratch / 'run'))}\n"
    )
    return Buildah(
        storage=own,
        configuration=configuration,
        env={
            "PATH": env.get("PATH", os.defpath),
            "HOME": str(scratch),
            "TMPDIR": str(temporary),
            "CONTAINERS_CONF": str(configuration / "containers.conf"),
            "CONTAINERS_REGISTRIES_CONF": str(configuration / "registries.conf"),
            "CONTAINERS_STORAGE_CONF": str(configuration / "storage.conf"),
            # The sandbox has made the namespaces already.
            "_CONTAINERS_USERNS_CONFIGURED": "done",
        },
    )


@contextlib.contextmanager
def _overlaid(layers: Path, layer: str, directory: Path) -> Iterator[None]:
    """Mount a layer and those below it, as buildah's storage names them, at `directory`."""
    below = layers / layer / "lower"
    lower = [f"{layer}/diff", *(below.read_text("ascii").strip().split(":") if below.exists() else ())]
    # One directory is no overlay; the last has what none of them is: an empty one.
    (empty := directory.with_name("empty")).mkdir(exist_ok=True)
    options = f"ro,userxattr,lowerdir={':'.join((*lower, str(empty)))}"
    # Relative, because all of the names together have to fit into a page.
    command = ["mount", "-t", "overlay", "overlay", "-o", options, str(directory)]
    mounted = subprocess.run(command, capture_output=True, check=False, cwd=layers)
    if mounted.returncode != 0:
        said = mounted.stderr.decode("utf-8", "replace").strip()
        raise ExtendError(message="the built image cannot be mounted", output=said[-_OUTPUT_SHOWN:])
    try:
        yield
    finally:
        subprocess.run(["umount", str(directory)], capture_output=True, check=True)


def _can_overlay(storage: Path) -> bool:
    """Whether the kernel lays directories of `storage` over one another for this process; where not, layers are whole copies."""
    with tempfile.TemporaryDirectory(dir=storage) as directory:
        for name in ("lower", "upper", "work", "merged"):
            Path(directory, name).mkdir()
        options = f"lowerdir={directory}/lower,upperdir={directory}/upper,workdir={directory}/work,userxattr"
        mount = ["mount", "-t", "overlay", "overlay", "-o", options, f"{directory}/merged"]
        if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
            return False
        subprocess.run(["umount", f"{directory}/merged"], capture_output=True, check=True)
    return True
