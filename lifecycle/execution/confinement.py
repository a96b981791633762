"""Takes away from this process what it could undo of its sandbox.

Who made the mounts of a sandbox may also change them: make a read-only one writable, or take it away to see what is below. A user
namespace inside of the first, with the same users, has every other right, but has those mounts only as they are
(https://man7.org/linux/man-pages/man7/mount_namespaces.7.html, "Restrictions on mount namespaces").
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_CLONE_NEWNS, _CLONE_NEWUSER = 0x00020000, 0x10000000
_MS_NOSUID, _MS_REMOUNT, _MS_BIND = 0x2, 0x20, 0x1000


def lock_mounts() -> None:
    """Continue in namespaces whose mounts are locked; this process must be root in its own, and have one thread. Raises `OSError`."""
    maps = {name: _identity(Path(f"/proc/self/{name}_map").read_text()) for name in ("uid", "gid")}
    libc = ctypes.CDLL(None, use_errno=True)
    # Buildah shows `/dev` to commands, and may do so with the flags that it means only if no more are locked. There are no device
    # nodes in it but those that are mounts of their own.
    _check(libc.mount(None, b"/dev", None, _MS_REMOUNT | _MS_BIND | _MS_NOSUID, None), "mount")
    me = os.getpid()
    entered, enter = os.pipe()
    # Only a process of the outer namespace may say which users the inner one has.
    helper = os.fork()
    if helper == 0:
        _write_maps(me, maps, entered, enter)
    os.close(entered)
    try:
        _check(libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNS), "unshare")
        os.write(enter, b"1")
    finally:
        os.close(enter)
        _, status = os.waitpid(helper, 0)
    if status != 0:
        raise PermissionError(1, "the users of the sandbox cannot be handed on")


def _check(status: int, call: str) -> None:
    if status != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")


def _write_maps(process_id: int, maps: dict[str, str], entered: int, enter: int) -> None:
    """What the helper does; it ends without what the interpreter does at its end, which is the other process's."""
    status = 1
    try:
        os.close(enter)
        if os.read(entered, 1):
            for name, text in maps.items():
                Path(f"/proc/{process_id}/{name}_map").write_text(text)
            status = 0
    finally:
        os._exit(status)


def _identity(text: str) -> str:
    """The map that leaves every number what it is in a namespace with the map `text`."""
    ranges = [line.split() for line in text.splitlines()]
    return "".join(f"{first} {first} {count}\n" for first, _, count in ranges)
