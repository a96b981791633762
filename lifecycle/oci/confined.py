"""Unpacks a part of a layer into a directory of this machine, in this process: nothing that its names say leads out of the directory.

For trees that a lifecycle has archived itself: a cached layer, bills of materials. Every directory on the way to a member is opened
in turn and never through a link, and whiteouts mean nothing. Images of others are unpacked by `unpack`.
"""

# Names in layers are bytes, which Path does not take.

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from lifecycle.cnb.command import require_time
from lifecycle.cnb.deadline import NEVER, Deadline
from lifecycle.oci.compression import DamagedLayer, open_layer
from lifecycle.oci.errors import BrokenImage
from lifecycle.oci.extract import Hashed
from lifecycle.oci.image import Layer
from lifecycle.oci.tar import Member, MemberKind, Readable, TarReader

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MODE_BITS = 0o7777


def unpack_below(
    layers: Sequence[Layer], prefix: PurePosixPath, directory: Path, *, deadline: Deadline = NEVER
) -> None:
    """Put what `layers` have below `prefix` into `directory`, which exists; modes and times as they say, owned by the caller.

    Raises:
        BrokenImage: a layer is damaged, or has a member that would lie elsewhere.
        OSError: the disk is full, or something is in the way.
        CommandTimeout: `deadline` has passed.
    """
    root = os.open(directory, _DIRECTORY)
    # The owner must be able to fill a directory: its own mode comes when all is in it.
    directories: dict[bytes, Member] = {}
    try:
        for layer in layers:
            directories |= _unpack(layer, prefix, root, deadline)
        for path, member in sorted(directories.items(), reverse=True):
            with _open_parent(root, path.split(b"/"), os.fsdecode(path)) as (parent, name):
                descriptor = os.open(name, _DIRECTORY, dir_fd=parent)
                try:
                    os.utime(descriptor, (member.mtime, member.mtime))
                    os.fchmod(descriptor, member.mode & _MODE_BITS)
                finally:
                    os.close(descriptor)
    finally:
        os.close(root)


class _Timed:
    """A stream that is read until a deadline; it is asked for large pieces."""

    def __init__(self, stream: Readable, deadline: Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes. Raises `CommandTimeout`."""
        require_time(self._deadline, "unpacking")
        return self._stream.read(size)


def _unpack(layer: Layer, prefix: PurePosixPath, root: int, deadline: Deadline) -> dict[bytes, Member]:
    """The directories that were made, by path."""
    source = f"layer {layer.diff_id}"
    directories = {}
    try:
        with layer.path.open("rb") as blob:
            content = _Timed(open_layer(blob, layer.descriptor.media_type), deadline)
            hashed = Hashed(content, layer.diff_id.algorithm)
            reader = TarReader(hashed, source=source)
            for member in reader:
                way = _below(member.name, prefix, source)
                if way:
                    _extract(root, way, member, reader, source)
                    if member.kind is MemberKind.DIRECTORY:
                        directories[b"/".join(way)] = member
            diff_id = hashed.finish()
    except DamagedLayer as err:
        raise BrokenImage(source, f"is a damaged compressed file: {err}") from err
    if diff_id != layer.diff_id.hex:
        raise BrokenImage(source, f"has the diff id {diff_id}")
    return directories


def _below(name: bytes, prefix: PurePosixPath, source: str) -> list[bytes]:
    """The parts of a member's path below `prefix`; none for what is not below."""
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    if b".." in parts:
        raise BrokenImage(source, f"has a member outside of the layers: `{os.fsdecode(name)!a}`")
    start = [os.fsencode(part) for part in prefix.parts[1:]]
    return parts[len(start) :] if parts[: len(start)] == start else []


def _extract(root: int, way: list[bytes], member: Member, reader: TarReader, source: str) -> None:
    mode = member.mode & _MODE_BITS
    with _open_parent(root, way, source) as (parent, name):
        if member.kind is MemberKind.DIRECTORY:
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, mode | stat.S_IRWXU, dir_fd=parent)
        elif member.kind is MemberKind.SYMLINK:
            os.symlink(member.link, name, dir_fd=parent)
            os.utime(name, (member.mtime, member.mtime), dir_fd=parent, follow_symlinks=False)
        elif member.kind is MemberKind.FILE:
            descriptor = os.open(name, _CREATE, stat.S_IRUSR | stat.S_IWUSR, dir_fd=parent)
            with os.fdopen(descriptor, "wb") as stream:
                reader.copy(stream.write)
                stream.flush()
                os.fchmod(descriptor, mode)
                os.utime(descriptor, (member.mtime, member.mtime))
        else:
            raise BrokenImage(source, f"has a {member.kind.value} where there are files, directories and links only")


@contextlib.contextmanager
def _open_parent(root: int, way: list[bytes], source: str) -> Iterator[tuple[int, bytes]]:
    """The directory that the last part of `way` lies in, made where it is missing, and that part."""
    current = os.dup(root)
    try:
        for part in way[:-1]:
            try:
                below = os.open(part, _DIRECTORY, dir_fd=current)
            except FileNotFoundError:
                os.mkdir(part, 0o755, dir_fd=current)
                below = os.open(part, _DIRECTORY, dir_fd=current)
            except NotADirectoryError as err:
                raise BrokenImage(source, f"has a member below `{os.fsdecode(part)!a}`, which is no directory") from err
            os.close(current)
            current = below
        yield current, way[-1]
    finally:
        os.close(current)
