"""What phases that run elsewhere, in a sandbox, are told, and what they say when they fail."""

from __future__ import annotations

import contextlib
from pathlib import Path

from lifecycle.cnb.command import CommandResult
from lifecycle.cnb.errors import ConfigurationError
from lifecycle.cnb.failure import read_failure
from pybuild.errors import PACKAGE_FAILURES, PhaseFailed

PLATFORM_API = "0.15"
API_VARIABLE, ERROR_VARIABLE = "CNB_PLATFORM_API", "PYBUILD_ERROR_PATH"
_OUTPUT_SHOWN = 2000


def phase_failure(
    path: Path, result: CommandResult, *, phase: str, exit_code: int, said: bool = False, own: Path | None = None
) -> PhaseFailed:
    """The error that the phase left at `path`; where it left none, one with `exit_code` that says how it ended.

    `said`: whether its output has the error already. `own`: where the buildpack that ended the phase may have left what it knows better.
    """
    if not path.exists():
        summary = f"the phase `{phase}` ended with status {result.status} and did not say why"
        output = result.output[-_OUTPUT_SHOWN:].strip()
        return PhaseFailed(
            code="phase-failed", exit_code=exit_code, summary=summary, facts=(("output", output),), said=False
        )
    failure = read_failure(path, source=phase)
    code = failure.exit_code or result.status
    if own is not None and said and own.exists():
        # Whatever a buildpack writes there, its error is shown above.
        with contextlib.suppress(ConfigurationError, OSError):
            failure = read_failure(own, source=phase)
    kind = PACKAGE_FAILURES.get(failure.code or "", PhaseFailed)
    return kind(
        code=failure.code or "phase-failed",
        exit_code=code,
        summary=failure.summary,
        facts=failure.facts,
        hint=failure.hint,
        said=said,
    )
