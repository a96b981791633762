"""The fingerprint of a tree: whether anything in it was changed since, without reading a file.

Names, kinds, modes, sizes and times of modification, as one hash. Not what changes by itself: making and removing other links
to a file (as uv does with its cache) touches the time of its inode, and a tree that was copied has other inodes.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path


def fingerprint_tree(directory: Path) -> str:
    """Return the fingerprint of what is in `directory`, itself and its place left out; links are not followed.

    Of a directory that cannot be read, its own entry counts. Raises `OSError`, for one that something else changes meanwhile.
    """
    total = hashlib.blake2b(digest_size=16)
    root = os.fsencode(directory)
    pending = [root]
    while pending:
        path = pending.pop()
        lines = []
        below = []
        for name, found in _entries(path, must_be_readable=path == root):
            is_directory = stat.S_ISDIR(found.st_mode)
            # How large a directory is, is up to the file system as well.
            size = 0 if is_directory else found.st_size
            lines.append(b"%b\0%o %d %d\n" % (name, found.st_mode, size, found.st_mtime_ns))
            if is_directory:
                below.append(path + b"/" + name)
        # The order of a directory is the file system's.
        lines.sort()
        pending += sorted(below)
        total.update(b"%b\0%d\n" % (path.removeprefix(root), len(lines)) + b"".join(lines))
    return total.hexdigest()


def _entries(path: bytes, *, must_be_readable: bool) -> list[tuple[bytes, os.stat_result]]:
    try:
        with os.scandir(path) as entries:
            return [(entry.name, entry.stat(follow_symlinks=False)) for entry in entries]
    except PermissionError:
        if must_be_readable:
            raise
        return []
