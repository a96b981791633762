"""What the user of an unpacked image may do with its files, although all of them belong to the caller.

Everything that was unpacked has one owner, whom the sandbox shows as the image's user. So that this user may do no more than in
a container, the owner's permission bits are made those of the class (owner, group, others) that the user is in by the owner that
the layer names. The user could change them back; nothing but a program that means to deceive does.
"""

from __future__ import annotations

import os
import stat

from lifecycle.oci.errors import BrokenImage
from lifecycle.oci.tar import Member
from lifecycle.oci.user import ImageUser

_ROOT = (0, 0)
# Each is remembered until the image is removed; a real one has some ten thousand.
_DIRECTORY_LIMIT = 500_000


class Owners:
    """Owners of what is unpacked, by path, the last that was put at a path counting."""

    def __init__(self) -> None:
        self._found: dict[bytes, tuple[int, int]] = {}
        self._same: dict[tuple[int, int], tuple[int, int]] = {}

    def note(self, path: bytes, member: Member) -> None:
        """Remember who owns what was unpacked to `path`."""
        owner = (member.user_id, member.group_id)
        # The order is that of unpacking: one place may have several paths, by links.
        self._found.pop(path, None)
        self._found[path] = self._same.setdefault(owner, owner)

    def apply(self, user: ImageUser) -> dict[bytes, int]:
        """Restrict files to what `user` may do, and return the modes that directories had to have, by relative path.

        Directories are left as they are, so that whoever keeps the tree can remove it. The modes are of all those that differ
        and of the directories above them. The root directory of this process is that of the image.
        """
        by_inode: dict[int, tuple[int, int]] = {}
        for path, owner in self._found.items():
            try:
                by_inode[os.lstat(path).st_ino] = owner
            except OSError:  # a later layer has removed it
                continue
        modes: dict[bytes, int] = {}
        for directory, _, names in os.walk(b"/", topdown=False):
            for name in names:
                _restrict(directory.rstrip(b"/") + b"/" + name, by_inode, user)
            facts = os.lstat(directory)
            # Directories that no layer names are root's in a container.
            mode = _restricted(facts.st_mode, by_inode.get(facts.st_ino, _ROOT), user)
            if mode != stat.S_IMODE(facts.st_mode):
                modes[directory.strip(b"/")] = mode
        for path in list(modes):
            while path:
                path = path.rpartition(b"/")[0]
                if path in modes:
                    break
                modes[path] = stat.S_IMODE(os.lstat(b"/" + path).st_mode)
        if len(modes) > _DIRECTORY_LIMIT:
            raise BrokenImage("the image", f"has more than {_DIRECTORY_LIMIT} directories")
        return modes


def _restrict(path: bytes, by_inode: dict[int, tuple[int, int]], user: ImageUser) -> None:
    facts = os.lstat(path)
    owner = by_inode.get(facts.st_ino)
    if owner is None or not stat.S_ISREG(facts.st_mode):
        return
    mode = _restricted(facts.st_mode, owner, user)
    if mode != stat.S_IMODE(facts.st_mode):
        os.chmod(path, mode)  # noqa: PTH101 - bytes


def _restricted(mode: int, owner: tuple[int, int], user: ImageUser) -> int:
    """`mode` with the bits in the owner's place that count for `user`."""
    mode = stat.S_IMODE(mode)
    if owner[0] == user.user_id:
        return mode
    bits = mode >> 3 if user.is_in(owner[1]) else mode
    return (mode & ~stat.S_IRWXU) | ((bits & stat.S_IRWXO) << 6)
