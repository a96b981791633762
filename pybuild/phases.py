"""What phases that run elsewhere, in a sandbox, are told, and what they say when they fail."""

from __future__ import annotations

from pathlib import Path

from lifecycle.cnb.command import CommandResult
from lifecycle.cnb.jsontext import parse_json
from lifecycle.cnb.toml import read_regular_file
from pybuild.errors import PhaseFailed

PLATFORM_API = "0.15"
API_VARIABLE, ERROR_VARIABLE = "CNB_PLATFORM_API", "PYBUILD_ERROR_PATH"
_OUTPUT_SHOWN = 2000


def read_failure(path: Path, result: CommandResult, *, phase: str, exit_code: int, said: bool = False) -> PhaseFailed:
    """The error that the phase left at `path`; where it left none, one with `exit_code` that says how it ended.

    `said`: whether its output has the error already.
    """
    if not path.exists():
        summary = f"the phase `{phase}` ended with status {result.status} and did not say why"
        output = result.output[-_OUTPUT_SHOWN:].strip()
        return PhaseFailed(
            code="phase-failed", exit_code=exit_code, summary=summary, facts=(("output", output),), said=False
        )
    document = parse_json(read_regular_file(path, follow_links=False).decode("utf-8", "replace"), source=phase)
    return PhaseFailed(
        code=document.optional_string("code") or "phase-failed",
        exit_code=document.optional_integer("exit-code") or result.status,
        summary=document.string("summary"),
        facts=tuple((one.string("label"), one.optional_string("value") or "") for one in document.tables("facts")),
        hint=document.optional_string("hint"),
        said=said,
    )
