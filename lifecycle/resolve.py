"""Which buildpacks of a group fit together: the trials over their build plans (buildpack.md, "Phase #1: Detection").

Pure. A requirement must be provided by its own buildpack or one before it, whatever is provided must be required by its own
buildpack or one after it; an optional buildpack for which that does not hold is dropped, and everything is looked at again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

from lifecycle.cnb.identifier import BuildpackId
from lifecycle.cnb.order import member_key
from lifecycle.cnb.plan import BuildPlan, Provider, Requirement, ResolvedEntry, ResolvedPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A buildpack or an image extension whose `bin/detect` passed, with its plan."""

    id: BuildpackId
    version: str
    optional: bool
    plan: BuildPlan
    is_extension: bool = False

    @property
    def key(self) -> str:
        """What tells it from every other, as that of `GroupMember` does."""
        return member_key(f"{self.id}@{self.version}", is_extension=self.is_extension)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """The outcome of the trials. `chosen` is a part of the candidates in their order, `None` when no trial succeeded;
    `misfits` says of the others, or of those that spoilt the last trial, why, by their keys.
    """

    chosen: tuple[Candidate, ...] | None
    plan: ResolvedPlan
    misfits: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Choice:
    """A candidate with the one of its plans that a trial looks at, and whether this trial may drop it."""

    candidate: Candidate
    plan: BuildPlan
    may_drop: bool


@dataclass(slots=True, kw_only=True)
class _Entry:
    """One name during a trial: who offered it and waits for a requirement, who provides it, what is required."""

    pending: list[_Choice] = field(default_factory=list)
    providers: list[_Choice] = field(default_factory=list)
    requires: list[Requirement] = field(default_factory=list)


def resolve_plans(candidates: Sequence[Candidate]) -> Resolution:
    """Return the outcome of the first trial that succeeds, or of the last one. Alternatives of later candidates are tried first."""
    resolution = Resolution(chosen=None, plan=ResolvedPlan(), misfits={})
    for choices in product(*(tuple(_choices(candidate)) for candidate in candidates)):
        resolution = _try_choices(choices)
        if resolution.chosen is not None:
            break
    return resolution


def _choices(candidate: Candidate) -> Iterator[_Choice]:
    # The specification would let every trial drop an optional buildpack; the reference implementation first tries all of its
    # alternatives, which is what buildpacks in the wild are written for.
    plans = (candidate.plan, *candidate.plan.alternatives)
    for index, plan in enumerate(plans):
        is_last = index == len(plans) - 1
        yield _Choice(candidate=candidate, plan=plan, may_drop=candidate.optional and is_last)


def _try_choices(choices: tuple[_Choice, ...]) -> Resolution:
    dropped: dict[str, str] = {}
    while True:
        remaining = [choice for choice in choices if choice.candidate.key not in dropped]
        entries = _collect(remaining)
        misfits = dict(_find_misfits(remaining, entries))
        # Extensions alone build nothing.
        is_empty = all(choice.candidate.is_extension for choice in remaining)
        if is_empty or any(not choice.may_drop for choice in remaining if choice.candidate.key in misfits):
            return Resolution(chosen=None, plan=ResolvedPlan(), misfits={**dropped, **misfits})
        if not misfits:
            plan = ResolvedPlan(entries=tuple(_resolve_entry(entry) for entry in entries.values()))
            return Resolution(chosen=tuple(choice.candidate for choice in remaining), plan=plan, misfits=dropped)
        dropped |= misfits


def _collect(choices: Sequence[_Choice]) -> Mapping[str, _Entry]:
    """Return the entries in the order in which their names first occur."""
    entries: dict[str, _Entry] = {}
    for choice in choices:
        for name in choice.plan.provides:
            entries.setdefault(name, _Entry()).pending.append(choice)
        for requirement in choice.plan.requires:
            entry = entries.setdefault(requirement.name, _Entry())
            entry.providers += entry.pending
            entry.pending = []
            if entry.providers:
                entry.requires.append(requirement)
    return entries


def _find_misfits(choices: Sequence[_Choice], entries: Mapping[str, _Entry]) -> Iterator[tuple[str, str]]:
    for choice in choices:
        pending = [name for name in choice.plan.provides if choice in entries[name].pending]
        if pending:
            yield choice.candidate.key, f"provides `{pending[0]}`, which no buildpack after it requires"
    offered: set[str] = set()
    for choice in choices:
        offered.update(choice.plan.provides)
        missing = [requirement.name for requirement in choice.plan.requires if requirement.name not in offered]
        if missing:
            yield choice.candidate.key, f"requires `{missing[0]}`, which no buildpack before it provides"


def _resolve_entry(entry: _Entry) -> ResolvedEntry:
    providers = (
        Provider(id=one.id, version=one.version, is_extension=one.is_extension)
        for one in (choice.candidate for choice in entry.providers)
    )
    return ResolvedEntry(
        providers=tuple(dict.fromkeys(providers)),
        requires=tuple(entry.requires),
    )
