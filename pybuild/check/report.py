"""What a check found out, for people and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from lifecycle.cnb.digest import Digest
from lifecycle.cnb.errors import printable
from pybuild.check.profile import Profile


class Verdict(str, Enum):
    """Whether a requirement is met."""

    HOLDS = "holds"
    FAILS = "fails"
    NOT_TRIED = "not tried"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A requirement and what was found. `found` is one line without control characters; `hint` says what would help."""

    requirement: str
    verdict: Verdict
    found: str
    hint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """A whole check; `findings` are in the order of the profile's requirements."""

    image: Digest
    profile: Profile
    findings: tuple[Finding, ...]

    @property
    def holds(self) -> bool:
        """Whether every requirement is met."""
        return all(finding.verdict is Verdict.HOLDS for finding in self.findings)

    def to_json(self) -> Mapping[str, object]:
        """The report as `pybuild check --json` prints it."""
        return {
            "image": str(self.image),
            "profile": self.profile.name,
            "holds": self.holds,
            "requirements": [
                {
                    "requirement": finding.requirement,
                    "verdict": finding.verdict.value,
                    "found": finding.found,
                    "hint": finding.hint,
                }
                for finding in self.findings
            ],
        }


def describe_report(report: CheckReport) -> list[str]:
    """A table for a person: a line for each requirement, and below it what would help."""
    verdicts = max((len(finding.verdict.value) for finding in report.findings), default=0)
    width = max((len(finding.requirement) for finding in report.findings), default=0)
    lines = [f"profile {report.profile.name}, image {report.image}"]
    for finding in report.findings:
        lines.append(
            f"  {finding.verdict.value:<{verdicts}}  {finding.requirement:<{width}}  {printable(finding.found)}"
        )
        if finding.hint is not None:
            lines.append(f"  {'':<{verdicts}}  {'':<{width}}  hint: {printable(finding.hint)}")
    return [line.rstrip() for line in lines]
