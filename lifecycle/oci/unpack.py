"""Unpacks an image into a directory. What the layers say is not trusted: the process that does it can write nothing else.

That process is bubblewrap's: the machine is read-only to it but for the directory, it has no network, one user and no
capability but the one to make the directory its root (chroot), which it does before it reads the first layer. So names, links
and whiteouts are resolved by the kernel inside the directory, as they will be in the running image; nothing has to be guessed
about `..` or links, and an attack on the reader of archives finds nothing to reach.
"""

from __future__ import annotations

import contextlib
import errno
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from lifecycle.cnb.command import require_time
from lifecycle.cnb.deadline import NEVER, Deadline
from lifecycle.oci.errors import BrokenImage, UnpackFailed, UnpackToolMissing
from lifecycle.oci.image import Image
from lifecycle.oci.user import ImageUser

_PACKAGE_ROOT = Path(__file__).parents[2]
_CHILD = "import sys; sys.path.insert(0, sys.argv[1]); from lifecycle.oci.extract import main; main()"
_SETUP_FAILED = "bwrap: "
_SHARED_MEMORY = "/dev/shm"  # noqa: S108 - only read, and a sandbox's own `/dev` has none of it
# An image is refused before it fills the disk with what compresses well.
_MOST_BYTES = 1 << 40
_MOST_FILES = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpacked:
    """What was unpacked. `skipped`: device nodes and the like, which an ordinary user cannot make."""

    files: int
    skipped: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Runnable:
    """What a sandbox must know to run commands in an unpacked image as the image's own user.

    The files are restricted to what the user may do with them; `directories` are modes that some directories (by relative
    path, the root being `.`) must show for the same purpose. On disk they are open to the caller, who can remove them.
    """

    user: ImageUser
    directories: Mapping[PurePosixPath, int]


def unpack_image(
    image: Image,
    directory: Path,
    *,
    most_files: int = _MOST_FILES,
    most_bytes: int = _MOST_BYTES,
    deadline: Deadline = NEVER,
) -> Unpacked:
    """Make `directory`, which must not exist or be empty, the root file system of `image`, unless that would be larger than allowed.

    Files belong to the caller, whatever the image says; permission bits stay, set-user-id and set-group-id do not, and every
    directory can be used by its owner. Each layer is checked against its diff id. Where it fails, `directory` holds a part.

    Raises:
        UnpackFailed: a layer is damaged or cannot be unpacked.
        UnpackToolMissing: bubblewrap is not installed or may not work here.
        OSError: the disk is full.
        CommandTimeout: `deadline` has passed.
    """
    answer = _unpack(image, directory, user=None, most_files=most_files, most_bytes=most_bytes, deadline=deadline)
    return Unpacked(files=int(str(answer["files"])), skipped=int(str(answer["skipped"])))


def unpack_runnable(image: Image, directory: Path, *, deadline: Deadline = NEVER) -> Runnable:
    """Make `directory` the root file system of `image` as `unpack_image` does, for commands of the image's own user.

    Raises:
        BrokenImage: the user of the image is not in its own list of users.
        UnpackFailed, UnpackToolMissing, OSError, CommandTimeout: as `unpack_image`.
    """
    answer = _unpack(image, directory, user=image.config.user or "", deadline=deadline)
    if "unknown_user" in answer:
        raise BrokenImage(f"image {image.digest}", answer["unknown_user"])
    user = answer["user"]
    return Runnable(
        user=ImageUser(
            user_id=user["user_id"],
            group_id=user["group_id"],
            group_ids=tuple(user["group_ids"]),
            home=user["home"],
        ),
        directories={PurePosixPath(path): mode for path, mode in answer["directories"]},
    )


def _unpack(
    image: Image,
    directory: Path,
    *,
    user: str | None,
    most_files: int = _MOST_FILES,
    most_bytes: int = _MOST_BYTES,
    deadline: Deadline,
) -> dict[str, Any]:
    directory.mkdir(parents=True, exist_ok=True)
    request = json.dumps(
        {
            "user": user,
            "most_files": most_files,
            "most_bytes": most_bytes,
            "layers": [
                {
                    "path": str(layer.path.resolve()),
                    "media_type": layer.descriptor.media_type,
                    "diff_id": layer.diff_id.hex,
                    "algorithm": layer.diff_id.algorithm,
                }
                for layer in image.layers
            ],
        }
    )
    answer = _run(_command(directory.resolve()), request, deadline)
    if answer.get("errno") in (errno.ENOSPC, errno.EDQUOT):
        raise OSError(answer["errno"], "No space left on device", str(directory))
    if "error" in answer:
        raise UnpackFailed(f"image {image.digest}", str(answer["error"]))
    return answer


def write_only_to(directory: Path) -> tuple[str, ...]:
    """Options of bubblewrap that show a process all files of this machine, of which it can change those in `directory`."""
    shared_memory = ("--ro-bind-try", _SHARED_MEMORY, _SHARED_MEMORY)
    return ("--ro-bind", "/", "/", "--dev", "/dev", *shared_memory, "--bind", str(directory), str(directory))


def _command(directory: Path) -> list[str]:
    program = shutil.which("bwrap")
    if program is None:
        raise UnpackToolMissing(
            "`bwrap` is not installed",
            "pybuild needs it to unpack images safely",
            "install the package `bubblewrap`, on Debian and Ubuntu: apt-get install bubblewrap",
        )
    confined = [program, *write_only_to(directory), "--unshare-all", "--die-with-parent", "--new-session"]
    # Inside its own user namespace the process is root without power: it can change its root directory and nothing else.
    confined += ["--uid", "0", "--gid", "0", "--cap-drop", "ALL", "--cap-add", "CAP_SYS_CHROOT", "--proc", "/proc"]
    return [*confined, "--", sys.executable, "-I", "-c", _CHILD, str(_PACKAGE_ROOT), str(directory)]


def _run(command: list[str], request: str, deadline: Deadline) -> dict[str, Any]:
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
    )
    try:
        # The process that reads the layers dies with bubblewrap.
        with deadline.ending(process.kill):
            output, errors = process.communicate(request)
    except BaseException:
        process.kill()
        with contextlib.suppress(OSError):
            process.wait()
        raise
    if process.returncode == -signal.SIGKILL:
        require_time(deadline, "unpacking")
    if process.returncode == 0:
        answer: dict[str, Any] = json.loads(output)
        return answer
    last = errors.strip().splitlines()[-1] if errors.strip() else f"ended with status {process.returncode}"
    if last.startswith(_SETUP_FAILED):
        raise UnpackToolMissing(
            "bubblewrap cannot make a sandbox here",
            last.removeprefix(_SETUP_FAILED),
            "allow user namespaces, or run as root",
        )
    raise UnpackFailed("the process that unpacks images", f"failed: {last}")
