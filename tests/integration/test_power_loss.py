"""A machine that loses its power: what is on the disk then is whole, and what was said to be there is."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.command import Pybuild, expect_success
from tests.integration.kills import kill, spread, steps_of
from tests.integration.machine import mounted_disk
from tests.integration.test_killed import Place

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a disk"),
]
_CUTS = 5
_MIB = 1 << 20


@contextlib.contextmanager
def after_power_loss(disk: Path) -> Iterator[Path]:
    """What the file system of `disk` is after its journal, with what reached the disk and not what was in memory."""
    copy = disk.with_suffix(".copy")
    subprocess.run(["cp", "--sparse=always", str(disk), str(copy)], check=True)
    try:
        with mounted_disk(copy, disk.with_suffix(".after")) as directory:
            yield directory
    finally:
        copy.unlink()


def test_power_is_lost_at_any_step(offline_pybuild: Pybuild, repository: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.touch()
    os.truncate(disk, 400 * _MIB)
    subprocess.run(["mkfs.ext4", "-q", str(disk)], check=True)
    digests: list[str | None] = [None]
    with mounted_disk(disk, tmp_path / "place") as directory:
        place = Place(directory=directory)

        def after() -> set[str | None]:
            with after_power_loss(disk) as found:
                return Place(directory=found).digests()

        steps = 0
        for number in range(2):
            (repository / "main.py").write_text(f"print({number})\n")
            steps = steps_of(offline_pybuild, "build", repository, *place.outputs)
            # Nobody has asked the system to write anything down.
            assert after() == place.digests()
            digests += place.digests()
        for number, step in enumerate(spread(steps, _CUTS)):
            (repository / "main.py").write_text(f"print({number % 2})\n")
            kill(offline_pybuild, step, "build", repository, *place.outputs)
            assert after() <= set(digests), f"step {step}"
        expect_success(offline_pybuild("build", repository, *place.outputs))
        assert after() == place.digests() == {digests[1 + (_CUTS - 1) % 2]}
