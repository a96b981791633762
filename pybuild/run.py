"""Runs an image with the sandbox engine, so that a person without Docker sees it work."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from lifecycle.cnb.layer import remove_tree
from lifecycle.oci.image import Image
from lifecycle.oci.layout import read_image
from lifecycle.oci.unpack import unpack_image
from pybuild.engines.sandbox import IMAGE_USER_ID, Mount, Sandbox, bubblewrap_command
from pybuild.errors import UsageError
from pybuild.log import Log
from pybuild.store import locked

# The image's files stay as they are; what the command writes goes to a directory of its own. Overlays of an ordinary user
# need `userxattr` (https://docs.kernel.org/filesystems/overlayfs.html); where there are no overlays, a copy serves.
_OVERLAY = """
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work$3" "$2/root" 2>/dev/null ||
  cp -a --reflink=auto "$1/." "$2/root/" || exit 125
shift 3
exec "$@"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What to run, and how."""

    location: str
    """`oci:DIR[:TAG]`, `oci-archive:FILE` or `docker-archive:FILE`."""
    command: tuple[str, ...] = ()
    """After the image's entrypoint; empty: the image's own `Cmd`."""
    entrypoint: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    volumes: tuple[Mount, ...] = ()
    working_directory: PurePosixPath | None = None
    network: bool = True


def run_image(request: RunRequest, store: Path, log: Log) -> int:
    """Exit status of the command, which has the terminal of this process; what it writes to the image is thrown away.

    Raises:
        lifecycle.cnb.errors.CnbError: the image cannot be read or run.
    """
    with tempfile.TemporaryDirectory(prefix="pybuild-image-") as scratch:
        image = read_image(request.location, scratch=Path(scratch))
        rootfs = _unpacked(image, store, log)
    argv = _argv(image, request)
    with _scratch(store) as scratch_dir:
        sandbox = Sandbox(
            rootfs=scratch_dir / "root",
            mounts=request.volumes,
            env={**_environment(image, rootfs), **request.env},
            network=request.network,
            cwd=request.working_directory or PurePosixPath(image.config.working_dir or "/"),
            writable_root=True,
            interactive=sys.stdin.isatty(),
        )
        is_root = os.geteuid() == 0
        unshare = ["unshare", "--mount"] if is_root else ["unshare", "--user", "--map-root-user", "--mount"]
        overlay = ["sh", "-c", _OVERLAY, "sh", str(rootfs), str(scratch_dir), "" if is_root else ",userxattr"]
        command = [*unshare, *overlay, *bubblewrap_command(sandbox, argv)]
        return _exit_status(command, sandbox.env)


def _exit_status(command: list[str], env: Mapping[str, str]) -> int:
    process = subprocess.Popen(command, env={"PATH": os.defpath, **env})
    while True:
        try:
            status = process.wait()
        except KeyboardInterrupt:
            # The terminal has sent it to the command as well, which decides what it does with it.
            continue
        return status if status >= 0 else 128 - status


def _argv(image: Image, request: RunRequest) -> tuple[str, ...]:
    if request.entrypoint is not None:
        argv = (request.entrypoint, *request.command)
    else:
        argv = (*image.config.entrypoint, *(request.command or image.config.cmd))
    if not argv:
        raise UsageError("the image says no command to run", "give one after `--`: pybuild run IMAGE -- COMMAND")
    return argv


def _environment(image: Image, rootfs: Path) -> dict[str, str]:
    found = dict(entry.partition("=")[::2] for entry in image.config.env)
    found.setdefault("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    found.setdefault("HOME", _home_directory(rootfs))
    if os.environ.get("TERM"):
        found.setdefault("TERM", os.environ["TERM"])
    return found


def _home_directory(rootfs: Path) -> str:
    """Home of the sandbox's user, as the image's `/etc/passwd` has it."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        for line in (rootfs / "etc/passwd").read_text().splitlines():
            fields = line.split(":")
            if len(fields) > 5 and fields[2] == str(IMAGE_USER_ID):
                return fields[5]
    return "/"


def _unpacked(image: Image, store: Path, log: Log) -> Path:
    """Root file system of `image`, unpacked once and kept for the next run."""
    directory = store / "run" / image.digest.hex
    rootfs = directory / "rootfs"
    directory.mkdir(parents=True, exist_ok=True)
    with locked(directory / "lock", log, busy="another process is unpacking this image; waiting for it"):
        if not rootfs.exists():
            partial = directory / "partial"
            remove_tree(partial)
            with log.step("Unpacking the image"):
                unpack_image(image, partial)
            partial.rename(rootfs)
    return rootfs


@contextlib.contextmanager
def _scratch(store: Path) -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="scratch-", dir=store / "run"))
    for name in ("upper", "work", "root"):
        (directory / name).mkdir()
    try:
        yield directory
    finally:
        remove_tree(directory)
