"""Exit codes of phases for errors that know nothing of phases (platform.md, "Exit Codes")."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from lifecycle.cnb.errors import CnbError
from lifecycle.errors import ArgumentsError, FileProblem, PhaseError

# Of errors that mean the same in every phase: the command line, and versions of the API
_GENERAL = frozenset({2, 11, 12})


@contextlib.contextmanager
def failing_with(code: int) -> Iterator[None]:
    """Give errors the exit code of a phase that have one of another phase, or none of any."""
    try:
        yield
    except ArgumentsError:
        raise
    except CnbError as err:
        if err.exit_code in _GENERAL or err.exit_code // 10 == code // 10:
            raise
        raise PhaseError(error=err, status=code) from err
    except OSError as err:
        raise PhaseError(error=FileProblem(path=err.filename, reason=err.strerror or str(err)), status=code) from err
