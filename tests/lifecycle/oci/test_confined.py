from __future__ import annotations

import threading
import time
from pathlib import Path, PurePosixPath

import pytest

from lifecycle.cnb.command import CommandTimeout
from lifecycle.cnb.deadline import Cancellation, Deadline
from lifecycle.oci.confined import unpack_below
from tests.lifecycle.oci.images import endless_layer


def test_unpacking_ends_when_nobody_waits_any_more(tmp_path: Path) -> None:
    cancellation = Cancellation()
    threading.Timer(0.1, cancellation.cancel).start()
    since = time.monotonic()
    with pytest.raises(CommandTimeout):
        unpack_below(
            [endless_layer(tmp_path / "blobs", 16 << 30)],
            PurePosixPath("/layers"),
            tmp_path,
            deadline=Deadline(cancellation=cancellation),
        )
    assert time.monotonic() - since < 3
