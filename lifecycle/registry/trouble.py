"""What comes instead of an answer, in a few kinds, whichever library said it."""

from __future__ import annotations

import re
from enum import Enum

from lifecycle.registry.reach import Reach

_PYTHON_DETAILS = re.compile(r"^<[^>]*>: |\(_ssl\.c:\d+\)|^\[[A-Z0-9_: ]+\] |\[Errno -?\d+\] ")


class TroubleKind(Enum):
    """What came instead of an answer."""

    UNREACHABLE = "unreachable"
    """No connection was made: nothing has been asked."""
    BROKEN = "broken"
    """The connection broke, or nothing came for too long."""
    CERTIFICATE = "certificate"
    """The other side cannot prove who it is."""
    NOT_TLS = "not TLS"
    """The other side does not speak TLS."""
    FORBIDDEN = "forbidden"
    """The address is not one to be sent to."""


class Trouble(Exception):
    """No answer, or not all of it."""

    def __init__(self, kind: TroubleKind, reason: str, *, host: str | None = None) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason
        self.host = host


def is_retried(err: Trouble) -> bool:
    """Return whether another attempt may help."""
    return err.kind in (TroubleKind.UNREACHABLE, TroubleKind.BROKEN)


def forbidden(reach: Reach) -> Trouble:
    """Return what it is when an address is not one to be sent to."""
    return Trouble(TroubleKind.FORBIDDEN, f"is at {reach.description} address")


def words_of(err: Exception) -> str:
    """Return what an exception says, without what only says where in Python it was raised."""
    text = err.strerror if isinstance(err, OSError) and err.strerror else str(err)
    return _PYTHON_DETAILS.sub("", text).strip().lower() or type(err).__name__
