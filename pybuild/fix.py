"""Files of a repository that its buildpacks want to be otherwise: found in a copy, written back into the directory.

What ran on the copy read what strangers wrote, so nothing of it is trusted but the content of files that were there before.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lifecycle.cnb.mask import mask_credentials
from lifecycle.cnb.patch import render_patch
from lifecycle.cnb.toml import read_regular_file
from pybuild.errors import SourceError

_BYTE_ORDER_MARKS = (b"\xff\xfe", b"\xfe\xff")
# (inode, size, time of the last change in ns): enough to see which files were written, without reading all of them.
FileStates = Mapping[str, tuple[int, int, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fix:
    """A file that is to be changed. `name` is relative to the repository."""

    name: str
    before: bytes
    after: bytes

    def patch(self) -> bytes:
        """The change as a patch; empty when both mean the same text."""
        before, after = (_decode(content) for content in (self.before, self.after))
        return render_patch(self.name, before, after).encode("utf-8", "surrogateescape")


def check_directory(repository: str) -> Path:
    """The directory that `repository` names. Raises `SourceError` for everything else that can be built."""
    path = Path(repository)
    if path.is_dir():
        return path
    if path.exists() or "://" in repository or repository.startswith("git@"):
        raise SourceError(
            f"`{mask_credentials(repository)}` is not a directory, and only files in a directory can be corrected",
            "clone or unpack it, and give that directory; `pybuild fix --diff` prints the patch for it",
        )
    raise SourceError(f"`{repository}` does not exist", "give the directory of a repository")


def describe_files(directory: Path) -> FileStates:
    """The regular files below `directory`, by their names relative to it. Links are not followed."""
    return dict(_states(directory, PurePosixPath()))


def _states(directory: Path, relative: PurePosixPath) -> Iterator[tuple[str, tuple[int, int, int]]]:
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _states(Path(entry.path), relative / entry.name)
            elif entry.is_file(follow_symlinks=False):
                found = entry.stat(follow_symlinks=False)
                yield str(relative / entry.name), (found.st_ino, found.st_size, found.st_mtime_ns)


def read_fixes(repository: Path, copy: Path, before: FileStates, *, since_ns: int) -> tuple[Fix, ...]:
    """The files of `repository` that are otherwise in its copy, which was as `before` says when it was made; by name.

    `since_ns` is `time.time_ns()` from before the copy was made.

    Raises:
        SourceError: a file of the repository cannot be read, or was written since: the copy may not hold that.
    """
    found = []
    for name, state in sorted(describe_files(copy).items()):
        if name not in before or before[name] == state:
            continue
        after = read_regular_file(copy / name, follow_links=False)
        with _opened_parent(repository, name) as (directory, base):
            content, stated = _read(directory, base, name)
        if stated.st_ctime_ns > since_ns:
            raise _changed_meanwhile(name)
        if content != after:
            found.append(Fix(name=name, before=content, after=after))
    return tuple(found)


def write_fixes(repository: Path, fixes: Sequence[Fix]) -> None:
    """Write the changed files, each at once or not at all, with the mode and the owner that they have.

    Raises:
        SourceError: a file is not any more what the fix was made for, or cannot be written; those before it are written.
    """
    for fix in fixes:
        with _opened_parent(repository, fix.name) as (directory, base):
            content, found = _read(directory, base, fix.name)
            if content != fix.before:
                raise _changed_meanwhile(fix.name)
            _replace(directory, base, fix, found)


def _changed_meanwhile(name: str) -> SourceError:
    return SourceError(f"`{name}` was changed meanwhile", "run `pybuild fix` again")


def _replace(directory: int, base: str, fix: Fix, found: os.stat_result) -> None:
    temporary = f".{base[:200]}.{secrets.token_hex(6)}"
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=directory)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(fix.after)
                # Root may be at work in somebody's directory; for others the owner is the same anyway.
                with contextlib.suppress(PermissionError):
                    os.fchown(stream.fileno(), found.st_uid, found.st_gid)
                os.fchmod(stream.fileno(), stat.S_IMODE(found.st_mode))
                stream.flush()
                os.fsync(stream.fileno())
            os.rename(temporary, base, src_dir_fd=directory, dst_dir_fd=directory)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=directory)
            raise
    except OSError as err:
        raise SourceError(f"cannot write `{fix.name}`: {err.strerror}", "look at its directory's permissions") from err


@contextlib.contextmanager
def _opened_parent(repository: Path, name: str) -> Iterator[tuple[int, str]]:
    """A descriptor of the directory of a file, reached without following a link below the repository, and the file's base name."""
    *parents, base = PurePosixPath(name).parts
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    try:
        descriptor = os.open(repository, flags)
        try:
            for parent in parents:
                below = os.open(parent, flags | os.O_NOFOLLOW, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = below
        except BaseException:
            os.close(descriptor)
            raise
    except OSError as err:
        raise SourceError(f"the directory of `{name}` cannot be read: {err.strerror}") from err
    try:
        yield descriptor, base
    finally:
        os.close(descriptor)


def _read(directory: int, base: str, name: str) -> tuple[bytes, os.stat_result]:
    try:
        descriptor = os.open(base, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    except OSError as err:
        raise SourceError(f"cannot read `{name}`: {err.strerror}", "it was there when the copy was made") from err
    with os.fdopen(descriptor, "rb") as stream:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise SourceError(f"`{name}` is not a regular file any more", "run `pybuild fix` again")
        return stream.read(), found


def _decode(content: bytes) -> str:
    encoding = "utf-16" if content.startswith(_BYTE_ORDER_MARKS) else "utf-8"
    return content.decode(encoding, "surrogateescape" if encoding == "utf-8" else "replace")
