"""What the system says of a place that cannot be written, said of that place."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from lifecycle.cnb.errors import InvalidValue


@contextlib.contextmanager
def writing_to(place: Path) -> Iterator[None]:
    """Name `place` in errors of the system until the context ends: a write that fails says only that it failed.

    Raises:
        InvalidValue: nothing can be at `place`, because a part of its path is a file.
        OSError: it cannot be written; its `filename` is set.
    """
    try:
        yield
    except (NotADirectoryError, FileExistsError) as err:
        blocking = next((parent for parent in (place, *place.parents) if parent.is_file()), place)
        raise InvalidValue(str(place), f"cannot be made: `{blocking}` is a file", "name another place") from err
    except FileNotFoundError as err:
        # Where directories are made as they are needed, this is a file system that lets nobody make any, such as /proc.
        raise InvalidValue(str(place), "cannot be made there", "name another place") from err
    except OSError as err:
        if err.filename is not None or err.errno is None:
            raise
        raise OSError(err.errno, err.strerror, str(place)) from err


def check_place(place: Path) -> None:
    """Find out before any work whether something can be made at `place`; changes nothing.

    Raises:
        InvalidValue: a part of its path is a file.
        OSError: its directory cannot be written; `filename` is set.
    """
    nearest = next(parent for parent in (place, *place.absolute().parents) if parent.exists())
    if nearest != place and not nearest.is_dir():
        raise InvalidValue(str(place), f"cannot be made: `{nearest}` is a file", "name another place")
    directory = nearest if nearest.is_dir() else nearest.absolute().parent
    if not os.access(directory, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(directory))
