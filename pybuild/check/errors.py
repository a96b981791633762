"""What can go wrong with profiles.

CnbError
├── ProfileNotMet         6   an image lacks something that a profile asks for
└── UsageError            2
    └── UnknownProfile    2   nobody has defined a profile of that name
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from lifecycle.cnb.errors import CnbError
from pybuild.check.report import CheckReport, Verdict
from pybuild.errors import UsageError


@dataclass(eq=False, kw_only=True)
class ProfileNotMet(CnbError):
    """An image lacks something that a profile asks for; `location` is what the user calls the image."""

    exit_code: ClassVar[int] = 6
    location: str
    report: CheckReport

    @property
    def summary(self) -> str:
        """Which image, which profile."""
        return f"`{self.location}` does not meet the profile `{self.report.profile.name}`"

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """Every requirement that is not met, and what was found instead."""
        return tuple(
            (finding.requirement, finding.found)
            for finding in self.report.findings
            if finding.verdict is not Verdict.HOLDS
        )

    @property
    def hint(self) -> str | None:
        """What would help, for each of them."""
        hints = dict.fromkeys(finding.hint for finding in self.report.findings if finding.hint is not None)
        return "\n".join(hints) or None


class UnknownProfile(UsageError):
    """Nobody has defined a profile of that name."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        self.name = name
        super().__init__(
            f"there is no profile `{name}`",
            f"known are {', '.join(f'`{one}`' for one in known)}; others are defined in `[pybuild.profiles.NAME]` of builder.toml",
        )
