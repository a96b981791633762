"""What the system says of a place that cannot be written, said of that place."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from lifecycle.oci.errors import InvalidValue


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
    except OSError as err:
        if err.filename is not None or err.errno is None:
            raise
        raise OSError(err.errno, err.strerror, str(place)) from err
