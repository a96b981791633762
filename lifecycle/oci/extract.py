"""The process that unpacks layers, inside the confinement that `unpack` makes; it reads its request from stdin.

Layers: https://github.com/opencontainers/image-spec/blob/v1.1.0/layer.md, also for whiteouts.
"""

# Names in layers are bytes, which Path does not take.
# ruff: noqa: PTH101, PTH102, PTH103, PTH106, PTH108, PTH208, PTH211

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from lifecycle.cnb.errors import CnbError
from lifecycle.oci.compression import DamagedLayer, open_layer
from lifecycle.oci.errors import BrokenImage
from lifecycle.oci.permissions import Owners
from lifecycle.oci.tar import Member, MemberKind, Readable, TarReader
from lifecycle.oci.user import find_user

_WHITEOUT, _OPAQUE = b".wh.", b".wh..wh..opq"
# Left by storage drivers that are gone (AUFS); they mean nothing in a layer.
_METADATA = b".wh..wh."
# More than any list of users has.
_TABLE_LIMIT = 1 << 20
_PIECE_SIZE = 1 << 20
_MODE_BITS = 0o1777
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# Something in the way, then a missing parent: no member needs more.
_ATTEMPTS = 3
_Result = TypeVar("_Result")


def main() -> None:
    """Unpack what stdin asks for into the directory of the second argument; the answer is JSON on stdout."""
    request = json.load(sys.stdin)
    with contextlib.ExitStack() as stack:
        # Before the root changes, since the blobs lie outside of it, and so do the modules that read them.
        streams = [
            open_layer(stack.enter_context(Path(layer["path"]).open("rb")), layer["media_type"])
            for layer in request["layers"]
        ]
        os.chroot(sys.argv[2])
        os.chdir("/")
        os.umask(0)
        owners = None if request["user"] is None else Owners()
        extraction = Extraction(owners, most_files=request["most_files"], most_bytes=request["most_bytes"])
        answer: dict[str, object] = {}
        try:
            for number, (layer, stream) in enumerate(zip(request["layers"], streams, strict=True), 1):
                unpack_layer(extraction, stream, layer, source=f"layer {number} of {len(streams)}")
            if owners is not None:
                answer = _permissions(owners, request["user"])
        except CnbError as err:
            json.dump({"error": err.summary}, sys.stdout)
            return
        except OSError as err:
            json.dump({"error": f"`{_shown(err.filename)}`: {err.strerror}", "errno": err.errno}, sys.stdout)
            return
    json.dump({"files": extraction.files, "skipped": extraction.skipped, **answer}, sys.stdout)


def _permissions(owners: Owners, text: str) -> dict[str, object]:
    """The user that the image names, and what directories must look like for it; files are restricted to it."""
    try:
        user = find_user(text, passwd=_read(b"/etc/passwd"), group=_read(b"/etc/group"))
    except ValueError as err:
        return {"unknown_user": str(err)}
    modes = {} if user.is_root else owners.apply(user)
    return {
        "user": {
            "user_id": user.user_id,
            "group_id": user.group_id,
            "group_ids": user.group_ids,
            "home": user.home,
        },
        "directories": [(os.fsdecode(path), mode) for path, mode in modes.items()],
    }


def _read(path: bytes) -> str:
    """The beginning of a file of the image; empty where there is none."""
    try:
        with open(path, "rb") as stream:  # noqa: PTH123 - bytes
            return stream.read(_TABLE_LIMIT).decode("utf-8", "replace")
    except OSError:
        return ""


def unpack_layer(extraction: Extraction, content: Readable, layer: dict[str, str], *, source: str) -> None:
    """Unpack one layer into the root directory, and check that it is what it was said to be."""
    hashed = Hashed(content, layer["algorithm"])
    extraction.begin_layer()
    reader = TarReader(hashed, source=source)
    try:
        for member in reader:
            extraction.extract(member, reader, source)
        diff_id = hashed.finish()
    except DamagedLayer as err:
        raise BrokenImage(source, f"is a damaged compressed file: {err}") from err
    if diff_id != layer["diff_id"]:
        raise BrokenImage(source, f"has the diff id {diff_id}, not {layer['diff_id']}")


class Extraction:
    """Layers being unpacked into the root directory of this process, the lowest first."""

    def __init__(self, owners: Owners | None, *, most_files: int, most_bytes: int) -> None:
        self._owners = owners
        self._most_files = most_files
        self._most_bytes = most_bytes
        self.files = 0
        self.skipped = 0
        self._size = 0
        self._added: set[bytes] = set()

    def begin_layer(self) -> None:
        """Start a layer: its whiteouts are about what was there before."""
        self._added = set()

    def extract(self, member: Member, reader: TarReader, source: str) -> None:
        """Unpack a member. Raises `OciError`, `OSError`."""
        path = _clean(member.name, source)
        self.files += 1
        self._size += member.size
        if self.files > self._most_files or self._size > self._most_bytes:
            size = f"{self._most_bytes / 2**30:g} GiB"
            raise BrokenImage(source, f"is too large: more than {self._most_files} files or {size}")
        directory, _, name = path.rpartition(b"/")
        if name.startswith(_WHITEOUT):
            self._whiteout(directory, name, source)
            return
        mode = member.mode & _MODE_BITS
        self._added.add(path)
        if self._owners is not None and member.kind in (MemberKind.DIRECTORY, MemberKind.FILE):
            self._owners.note(path, member)
        if member.kind is MemberKind.DIRECTORY:
            _place(path, lambda: _make_directory(path, mode | stat.S_IRWXU))
        elif member.kind is MemberKind.SYMLINK:
            _place(path, lambda: os.symlink(member.link, path))
        elif member.kind is MemberKind.HARD_LINK:
            target = _clean(member.link, source)
            if target != path:
                _place(path, lambda: os.link(target, path, follow_symlinks=False))
        elif member.kind is MemberKind.FILE:
            descriptor = _place(path, lambda: os.open(path, _CREATE, mode))
            try:
                reader.copy(lambda piece: _write(descriptor, piece))
                # Python's own bytecode caches in a base image are only valid for the time of their source.
                os.utime(descriptor, (member.mtime, member.mtime))
            finally:
                os.close(descriptor)
        else:
            self.skipped += 1

    def _whiteout(self, directory: bytes, name: bytes, source: str) -> None:
        if name == _OPAQUE:
            for child in _children(directory or b"/"):
                self._remove_lower(directory + b"/" + child)
            return
        hidden = name.removeprefix(_WHITEOUT)
        if name.startswith(_METADATA):
            return
        if hidden in (b"", b".", b".."):
            raise BrokenImage(source, f"has the whiteout `{_shown(name)}`, which names no file")
        self._remove_lower(directory + b"/" + hidden)

    def _remove_lower(self, path: bytes) -> None:
        """Remove what lower layers have at `path`; what this layer has added stays."""
        try:
            is_directory = stat.S_ISDIR(os.lstat(path).st_mode)
        except (FileNotFoundError, NotADirectoryError):
            return
        if is_directory:
            for child in _children(path):
                self._remove_lower(path + b"/" + child)
            if path not in self._added:
                with contextlib.suppress(OSError):  # something of this layer is in it
                    os.rmdir(path)
        elif path not in self._added:
            os.unlink(path)


class Hashed:
    """A stream whose bytes are hashed on their way, read in large pieces."""

    def __init__(self, stream: Readable, algorithm: str) -> None:
        self._stream = stream
        self._digest = hashlib.new(algorithm, usedforsecurity=False)
        self._piece = b""
        self._position = 0

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes."""
        if self._position == len(self._piece):
            self._piece = self._stream.read(_PIECE_SIZE)
            self._position = 0
            self._digest.update(self._piece)
        content = self._piece[self._position : self._position + size]
        self._position += len(content)
        return content

    def finish(self) -> str:
        """Read what follows the end of the archive, which is part of the diff id, and return the digest."""
        while piece := self._stream.read(_PIECE_SIZE):
            self._digest.update(piece)
        return self._digest.hexdigest()


def _clean(name: bytes, source: str) -> bytes:
    """Absolute path of a member; a leading `/` or `./` makes no difference, as every reader of layers has it."""
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    if b".." in parts:
        raise BrokenImage(source, f"has a member outside of the image: `{_shown(name)}`")
    return b"/" + b"/".join(parts)


def _place(path: bytes, make: Callable[[], _Result]) -> _Result:
    """Result of `make`, which makes `path`, after what is in its way was removed and what it needs was made."""
    for _ in range(_ATTEMPTS):
        try:
            return make()
        except FileExistsError:
            _remove(path)
        except FileNotFoundError:
            parent = path.rpartition(b"/")[0]
            if parent == b"" or os.path.lexists(parent):
                raise
            # Only the last directory gets the mode of makedirs, those above it what the umask leaves.
            os.umask(0o022)
            os.makedirs(parent, exist_ok=True)
            os.umask(0)
    return make()


def _make_directory(path: bytes, mode: int) -> None:
    try:
        os.mkdir(path, mode)
    except FileExistsError:
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            raise
        os.chmod(path, mode)


def _remove(path: bytes) -> None:
    if stat.S_ISDIR(os.lstat(path).st_mode):
        shutil.rmtree(path)
    else:
        os.unlink(path)


def _children(path: bytes) -> Iterator[bytes]:
    # As a list: entries are removed meanwhile.
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        yield from os.listdir(path)


def _write(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def _shown(name: object) -> str:
    # Not by a codec: the modules of codecs are outside of the root directory by now.
    return ascii(os.fsdecode(name))[1:-1] if isinstance(name, (bytes, str)) else ""
