"""Root of a sandbox cannot undo its mounts any more, and can do everything else that buildah needs."""

from __future__ import annotations

import sys
from pathlib import Path, PurePosixPath

import pytest

from pybuild.engines.sandbox import Mount, Sandbox, run_sandboxed

pytestmark = pytest.mark.integration

CHECKOUT = Path(__file__).parents[3]
_ATTEMPTS = """
mount -o remount,rw,bind / && echo remounted root
mount -o remount,rw,bind /srv && echo remounted mount
umount /srv && echo unmounted
umount -l /srv && echo detached
touch /srv/added
mount -t tmpfs none /media && mount --bind /mnt /opt && echo mounted
mkdir /mnt/l /mnt/u /mnt/w /mnt/m
mount -t overlay overlay -o lowerdir=/mnt/l,upperdir=/mnt/u,workdir=/mnt/w,userxattr /mnt/m && echo overlaid
touch /mnt/a && chown 33:65535 /mnt/a && stat -c %u:%g /mnt/a
mount -o remount,bind,ro,nosuid,noexec /dev && echo dev
"""


@pytest.mark.parametrize("is_locked", [False, True])
def test_mounts_are_locked(tmp_path: Path, is_locked: bool) -> None:
    readable, writable = tmp_path / "readable", tmp_path / "writable"
    readable.mkdir()
    writable.mkdir()
    sandbox = Sandbox(
        rootfs=Path("/"),
        mounts=(
            Mount(source=readable, target=PurePosixPath("/srv")),
            Mount(source=writable, target=PurePosixPath("/mnt"), writable=True),
        ),
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": str(CHECKOUT), "PYTHONDONTWRITEBYTECODE": "1"},
        network=False,
        cwd=PurePosixPath("/"),
        id_range=True,
    )
    lock = "from lifecycle.execution.confinement import lock_mounts; lock_mounts(); " if is_locked else ""
    program = f"{lock}import os, sys; os.execvp('sh', ['sh', '-c', sys.argv[1]])"
    result = run_sandboxed(sandbox, [sys.executable, "-c", program, _ATTEMPTS])
    said = [line for line in result.output.splitlines() if not line.startswith((" ", "mount:", "umount:", "touch:"))]
    allowed = ["mounted", "overlaid", "33:65535", "dev"]
    # Without the lock the first attempt succeeds, which is why it is there.
    assert said == allowed if is_locked else "remounted mount" in said, result.output
    assert not (is_locked and list(readable.iterdir()))
