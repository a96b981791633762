"""The files that an image has when all of its layers lie upon each other, and its config, whichever tool made it.

Only the standard library reads them: an opinion independent of the product's.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import json
import posixpath
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, cast

from tests.integration.image_files import read_layout

_KINDS = {
    tarfile.REGTYPE: "file",
    tarfile.AREGTYPE: "file",
    tarfile.DIRTYPE: "directory",
    tarfile.SYMTYPE: "link",
    tarfile.FIFOTYPE: "fifo",
    tarfile.CHRTYPE: "character device",
    tarfile.BLKTYPE: "block device",
}
_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"
_GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that counts of a file system entry, but for its times."""

    kind: str
    mode: int
    owner: tuple[int, int]
    target: str = ""
    """Of a symbolic link."""
    size: int = 0
    sha256: str = ""
    device: tuple[int, int] = (0, 0)
    xattrs: tuple[tuple[str, str], ...] = ()
    other_names: tuple[str, ...] = ()
    """Hard links to the same file, itself among them; empty where there is one name."""

    def __str__(self) -> str:
        parts = [self.kind, f"{self.mode:04o}", f"{self.owner[0]}:{self.owner[1]}"]
        parts += [f"-> {self.target}"] if self.kind == "link" else []
        parts += [f"{self.size} bytes {self.sha256[:12]}"] if self.kind == "file" else []
        parts += [f"= {', '.join(self.other_names)}"] if self.other_names else []
        parts += [f"{name}={value!r}" for name, value in self.xattrs]
        return " ".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageContents:
    """What an image is."""

    files: Mapping[str, Facts] = field(repr=False)
    """By path without a leading slash."""
    config: Mapping[str, Any] = field(repr=False)
    """The whole image config."""
    layers: tuple[Mapping[str, Facts], ...] = field(repr=False)
    """What each layer itself holds, base first; whiteouts are entries of the kind "whiteout"."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """What containers are started with: Env, Cmd and so on."""
        return cast("Mapping[str, Any]", self.config.get("config") or {})


@dataclass(slots=True)
class _Inode:
    facts: Facts
    names: set[str] = field(default_factory=set)


def contents_of_layout(layout: Path, tag: str | None = None) -> ImageContents:
    """Contents of an image in an OCI image layout."""
    image = read_layout(layout, tag)
    return _contents(image.config, [_opener(path) for path in image.layers])


def contents_of_docker_archive(archive: Path) -> ImageContents:
    """Contents of the only image of an archive as `docker save` writes it."""
    with tarfile.open(archive) as reader:
        members = {posixpath.normpath(member.name): member for member in reader}

        def read(name: str) -> IO[bytes]:
            member = members[name]
            if member.issym():
                # Layers that are there twice.
                member = members[posixpath.normpath(posixpath.join(posixpath.dirname(name), member.linkname))]
            return cast("IO[bytes]", reader.extractfile(member))

        (described,) = json.load(read("manifest.json"))
        config = json.load(read(described["Config"]))
        return _contents(config, [functools.partial(read, name) for name in described["Layers"]])


def _opener(path: Path) -> Callable[[], IO[bytes]]:
    return lambda: path.open("rb")


def _contents(config: Mapping[str, Any], layers: list[Callable[[], IO[bytes]]]) -> ImageContents:
    tree: dict[str, _Inode] = {}
    own = []
    for open_layer in layers:
        with open_layer() as stream:
            own.append(_lay_upon(tree, stream))
    return ImageContents(files=_all_facts(tree), config=config, layers=tuple(own))


def _lay_upon(tree: dict[str, _Inode], stream: IO[bytes]) -> Mapping[str, Facts]:
    """Put a layer upon `tree`; what the layer itself holds."""
    # Whiteouts are for what lies below, wherever they stand in their layer.
    fresh: dict[str, _Inode] = {}
    hidden: set[str] = set()
    emptied: set[str] = set()
    for path, entry, content in _entries(stream):
        parent, name = posixpath.split(path)
        if name == _OPAQUE:
            emptied.add(parent)
        elif name.startswith(_WHITEOUT):
            hidden.add(posixpath.join(parent, name[len(_WHITEOUT) :]))
        elif entry.islnk():
            target = _normal(entry.linkname)
            inode = fresh.get(target) or tree[target]
            fresh[path] = inode
        else:
            fresh[path] = _Inode(facts=_facts(entry, content))
    for path in [
        path for path in tree if _is_below(path, hidden, itself=True) or _is_below(path, emptied, itself=False)
    ]:
        del tree[path]
    for path, inode in fresh.items():
        if inode.facts.kind != "directory":
            for gone in [other for other in tree if other.startswith(f"{path}/")]:
                del tree[gone]
        tree[path] = inode
    removed = Facts(kind="whiteout", mode=0, owner=(0, 0))
    return {**_all_facts(fresh), **dict.fromkeys(hidden, removed), **{f"{path}/*": removed for path in emptied}}


def _entries(stream: IO[bytes]) -> Iterator[tuple[str, tarfile.TarInfo, bytes]]:
    start = stream.read(2)
    stream.seek(0)
    plain = cast("IO[bytes]", gzip.GzipFile(fileobj=stream)) if start == _GZIP_MAGIC else stream
    with tarfile.open(fileobj=plain, mode="r|") as archive:
        for entry in archive:
            reader = archive.extractfile(entry) if entry.isreg() else None
            yield _normal(entry.name), entry, reader.read() if reader is not None else b""


def _normal(path: str) -> str:
    return posixpath.normpath(f"/{path}").lstrip("/")


def _facts(entry: tarfile.TarInfo, content: bytes) -> Facts:
    prefix = "SCHILY.xattr."
    xattrs = {name[len(prefix) :]: value for name, value in entry.pax_headers.items() if name.startswith(prefix)}
    kind = _KINDS[entry.type]
    return Facts(
        kind=kind,
        # The mode of a symbolic link says nothing, and writers differ.
        mode=0 if kind == "link" else entry.mode & 0o7777,
        owner=(entry.uid, entry.gid),
        target=entry.linkname if kind == "link" else "",
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest() if kind == "file" else "",
        device=(entry.devmajor, entry.devminor) if "device" in kind else (0, 0),
        xattrs=tuple(sorted(xattrs.items())),
    )


def _is_below(path: str, directories: set[str], *, itself: bool) -> bool:
    if itself and path in directories:
        return True
    parts = path.split("/")
    return any("/".join(parts[:number]) in directories for number in range(len(parts)))


def _all_facts(tree: Mapping[str, _Inode]) -> dict[str, Facts]:
    names: dict[int, list[str]] = {}
    for path in sorted(tree):
        names.setdefault(id(tree[path]), []).append(path)
    facts = {}
    for path, inode in tree.items():
        others = tuple(names[id(inode)])
        facts[path] = replace(inode.facts, other_names=others if len(others) > 1 else ())
    return facts
