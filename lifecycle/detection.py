"""What detection found, as values that can be printed: the chosen group, its plan, and why every rule passed or failed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from lifecycle.cnb.group import Group, parse_elements, render_elements
from lifecycle.cnb.identifier import BuildpackId
from lifecycle.cnb.jsontext import parse_json, render_json
from lifecycle.cnb.plan import ResolvedPlan, parse_resolved_plan, render_resolved_plan
from lifecycle.cnb.toml import Table
from lifecycle.errors import DetectionErrored, NothingDetected


class Outcome(str, Enum):
    """How a buildpack fared in a group. `failed`: not for it; `errored`: it could not answer; `skipped`: it was not asked."""

    PASSED = "passed"
    FAILED = "failed"
    ERRORED = "errored"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberTrial:
    """One buildpack of a group that was tried. `reason` is why, where it said so."""

    id: BuildpackId
    version: str
    optional: bool
    outcome: Outcome
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupTrial:
    """One group that was tried, composites expanded."""

    members: tuple[MemberTrial, ...]
    passed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """The result of the detect phase. `group` is `None` when none fits; `trials` are in the order in which they were made."""

    group: Group | None
    plan: ResolvedPlan
    trials: tuple[GroupTrial, ...]

    def reasons(self) -> tuple[tuple[str, str], ...]:
        """Return every buildpack that does not take part with the first reason found, in the order of the trials."""
        chosen = set() if self.group is None else {one.id for one in (*self.group.extensions, *self.group.elements)}
        reasons: dict[str, str] = {}
        for trial in self.trials[: self._winner]:
            for member in trial.members:
                # One that passed in a group that did not fit has nothing to answer for.
                refused = member.outcome is not Outcome.PASSED and member.id not in chosen
                if member.reason is not None and refused:
                    reasons.setdefault(member.id, member.reason)
        return tuple(reasons.items())

    def alternatives(self) -> tuple[tuple[BuildpackId, str | None], ...]:
        """Return what else would build the application: the last buildpack of each later group that fits, with its reason."""
        chosen = set() if self.group is None else {element.id for element in self.group.elements}
        found: dict[BuildpackId, str | None] = {}
        for trial in self.trials[self._winner :]:
            members = [member for member in trial.members if member.outcome is Outcome.PASSED]
            if trial.passed and members[-1].id not in chosen:
                found.setdefault(members[-1].id, members[-1].reason)
        return tuple(found.items())

    @property
    def _winner(self) -> int:
        """Number of trials up to the one that the group comes from, or of all."""
        return next((number for number, trial in enumerate(self.trials, start=1) if trial.passed), len(self.trials))

    def error(self, *, app_dir: Path) -> NothingDetected:
        """Return the error that says why no group fits."""
        errored = any(member.outcome is Outcome.ERRORED for trial in self.trials for member in trial.members)
        kind = DetectionErrored if errored else NothingDetected
        return kind(app_dir=app_dir, reasons=self.reasons())


def render_detection(detection: Detection) -> str:
    """Return the detection as JSON."""
    return render_json(
        {
            "group": None if detection.group is None else render_elements(detection.group.elements),
            "group-extensions": None if detection.group is None else render_elements(detection.group.extensions),
            "plan": render_resolved_plan(detection.plan),
            "trials": [_render_trial(trial) for trial in detection.trials],
        }
    )


def parse_detection(text: str, *, source: str) -> Detection:
    """Return what `render_detection` gave. Raises `ConfigurationError`."""
    document = parse_json(text, source=source)
    return Detection(
        group=_parse_group(document) if "group" in document else None,
        plan=parse_resolved_plan(document.tables("plan")),
        trials=tuple(
            GroupTrial(
                passed=trial.boolean("passed", default=False),
                members=tuple(_parse_member(member) for member in trial.tables("members")),
            )
            for trial in document.tables("trials")
        ),
    )


def _parse_group(document: Table) -> Group:
    return Group(
        elements=parse_elements(document.tables("group")),
        extensions=parse_elements(document.tables("group-extensions")),
    )


def _render_trial(trial: GroupTrial) -> Mapping[str, object]:
    members = [
        {
            "id": member.id,
            "version": member.version,
            "optional": member.optional,
            "outcome": member.outcome.value,
            "reason": member.reason,
        }
        for member in trial.members
    ]
    return {"passed": trial.passed, "members": members}


def _parse_member(table: Table) -> MemberTrial:
    return MemberTrial(
        id=table.parsed("id", BuildpackId.parse),
        version=table.string("version"),
        optional=table.boolean("optional", default=False),
        outcome=table.parsed("outcome", Outcome),
        reason=table.optional_string("reason"),
    )
