"""The detect phase: which group of buildpacks fits the application (platform.md, "Detection"; buildpack.md, "Phase #1").

Reads the order and the buildpacks; runs their `bin/detect`, those of one group side by side and none of them twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from lifecycle.catalogue import read_catalogue
from lifecycle.cnb.api import (
    EXEC_ENV_BUILDPACK_API,
    EXEC_ENV_PLATFORM_API,
    PLATFORM_APIS,
    ApiVersion,
    fits_exec_env,
)
from lifecycle.cnb.buildpack import Descriptor
from lifecycle.cnb.group import Group, GroupElement
from lifecycle.cnb.order import GroupMember, Order, System
from lifecycle.cnb.plan import BuildPlan, ResolvedPlan
from lifecycle.detection import Detection, GroupTrial, MemberTrial, Outcome
from lifecycle.log import PhaseLog
from lifecycle.programs import Answer, Surroundings, run_detect_program
from lifecycle.resolve import Candidate, Resolution, resolve_plans

__all__ = ["DetectRequest", "Detection", "detect"]

_UNRESOLVED = Resolution(chosen=None, plan=ResolvedPlan(), misfits={})


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectRequest:
    """What detection needs. `env` is what the lifecycle passes on of its own environment; `system` what an operator adds."""

    order: Order
    buildpacks_dir: Path
    extensions_dir: Path
    surroundings: Surroundings
    env: Mapping[str, str]
    system: System = field(default_factory=System)
    platform_api: ApiVersion = PLATFORM_APIS[-1]
    looks_further: bool = False
    """Whether the groups after the one that fits are asked as well, so that a person learns what else could be built."""


class _Standing(Enum):
    """How a member stands in an expanded group before anyone is asked."""

    ASKED = "asked"
    RESTRICTED = "not made for this execution environment: as if it were not there"
    UNSUPPORTED = "optional, and not made for this target"
    MISPLACED = "required, and not made for this target: the group cannot pass"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Placed:
    member: GroupMember
    descriptor: Descriptor
    standing: _Standing = _Standing.ASKED
    reason: str | None = None


def detect(request: DetectRequest, log: PhaseLog) -> Detection:
    """Return the first group of the order that fits, or a detection without a group; all trials are in it either way.

    What buildpacks of later groups say does not matter any more, not even that they cannot answer.

    Raises `MissingBuildpack`, `BuildpackApiUnsupported`, `CompositeCycle` and `ConfigurationError` before anything runs.
    """
    order = request.system.surround(request.order)
    catalogue = read_catalogue(order, request.buildpacks_dir, request.extensions_dir)
    # platform.md, "Detection": with extensions first, and as if there were none where no order of theirs fits.
    groups: Iterable[tuple[_Placed, ...]] = (
        placed
        for group in order.groups
        for extensions in (*order.extensions, ())
        for placed in _expand((*extensions, *group), (), request, catalogue)
    )
    known: dict[str, Answer] = {}
    if request.looks_further:
        # All will be asked, so none need wait for another.
        groups = tuple(groups)
        known = _ask([one for placed in groups for one in placed], known, request)
    answers: dict[str, Answer] = {}
    trials: list[GroupTrial] = []
    chosen: Group | None = None
    plan = ResolvedPlan()
    for placed in groups:
        known |= _ask(placed, known, request)
        for name, answer in ((one.descriptor.key, known.get(one.descriptor.key)) for one in placed):
            if answer is not None and name not in answers:
                answers[name] = answer
                is_grave = answer.outcome is Outcome.ERRORED and chosen is None
                _show(name, answer, log.info if is_grave else log.detail)
        resolution = _resolve(placed, answers)
        trials.append(_describe(placed, answers, resolution))
        if chosen is None and resolution.chosen is not None:
            chosen = Group(
                elements=tuple(_element(one, catalogue) for one in resolution.chosen if not one.is_extension),
                extensions=tuple(_element(one, catalogue) for one in resolution.chosen if one.is_extension),
            )
            plan = resolution.plan
            if not request.looks_further:
                break
    if chosen is None:
        _show_failures(answers, log)
    return Detection(group=chosen, plan=plan, trials=tuple(trials))


def _expand(
    members: Sequence[GroupMember],
    done: tuple[_Placed, ...],
    request: DetectRequest,
    catalogue: Mapping[str, Descriptor],
) -> Iterator[tuple[_Placed, ...]]:
    """Yield the groups without composites that `members` stands for after `done`, in the order of the specification:
    depth first, from left to right. Lazily: a group is only looked at when all before it failed.
    """
    for index, member in enumerate(members):
        if any(_is_same(placed, member) and placed.standing is not _Standing.RESTRICTED for placed in done):
            continue  # the first version of a buildpack wins
        placed = _place(member, catalogue[member.key], request)
        order = placed.descriptor.order
        if order is not None and placed.standing is not _Standing.RESTRICTED:
            others = members[index + 1 :]
            for group in order.groups:
                yield from _expand((*group, *others), done, request, catalogue)
            if member.optional:
                yield from _expand(others, done, request, catalogue)
            return
        done += (placed,)
    yield done


def _is_same(placed: _Placed, member: GroupMember) -> bool:
    return (placed.member.id, placed.member.is_extension) == (member.id, member.is_extension)


def _place(member: GroupMember, descriptor: Descriptor, request: DetectRequest) -> _Placed:
    restriction = _find_restriction(member, descriptor, request)
    if restriction:
        reason = f"is for execution environment {' or '.join(restriction)}"
        return _Placed(member=member, descriptor=descriptor, standing=_Standing.RESTRICTED, reason=reason)
    target = request.surroundings.target
    if descriptor.supports(target):
        return _Placed(member=member, descriptor=descriptor)
    supported = " or ".join(str(declared) for declared in descriptor.targets)
    standing = _Standing.UNSUPPORTED if member.optional else _Standing.MISPLACED
    reason = f"supports {supported}; the image is {target}"
    return _Placed(member=member, descriptor=descriptor, standing=standing, reason=reason)


def _find_restriction(member: GroupMember, descriptor: Descriptor, request: DetectRequest) -> tuple[str, ...] | None:
    """Return the execution environments that keep this buildpack out of the one of this build."""
    if request.platform_api < EXEC_ENV_PLATFORM_API:
        return None
    own = descriptor.exec_env if descriptor.api >= EXEC_ENV_BUILDPACK_API else ()
    exec_env = request.surroundings.exec_env
    return next((allowed for allowed in (member.exec_env, own) if not fits_exec_env(allowed, exec_env)), None)


def _ask(placed: Sequence[_Placed], known: Mapping[str, Answer], request: DetectRequest) -> dict[str, Answer]:
    """Return the answers of those that were not asked before, by their keys; they are asked side by side."""
    asked = {one.descriptor.key: one.descriptor for one in placed if one.standing is _Standing.ASKED}
    missing = {name: descriptor for name, descriptor in asked.items() if name not in known}
    if not missing:
        return {}
    with ThreadPoolExecutor(max_workers=len(missing)) as pool:
        found = pool.map(
            lambda descriptor: run_detect_program(descriptor, request.surroundings, request.env), missing.values()
        )
        return dict(zip(missing, found, strict=True))


def _resolve(placed: tuple[_Placed, ...], answers: Mapping[str, Answer]) -> Resolution:
    candidates: list[Candidate] = []
    for one in placed:
        plan = answers[one.descriptor.key].plan if one.standing is _Standing.ASKED else None
        if plan is not None:
            candidates.append(_candidate(one.member, plan))
        elif one.standing is _Standing.MISPLACED or (one.standing is _Standing.ASKED and not one.member.optional):
            return _UNRESOLVED
    return resolve_plans(candidates) if candidates else _UNRESOLVED


def _candidate(member: GroupMember, plan: BuildPlan) -> Candidate:
    return Candidate(
        id=member.id,
        version=member.version,
        optional=member.optional,
        plan=plan,
        is_extension=member.is_extension,
    )


def _describe(placed: tuple[_Placed, ...], answers: Mapping[str, Answer], resolution: Resolution) -> GroupTrial:
    members = []
    for one in placed:
        outcome, reason = _judge(one, answers, resolution)
        member = one.member
        members.append(
            MemberTrial(
                id=member.id,
                version=member.version,
                optional=member.optional,
                outcome=outcome,
                reason=reason,
            )
        )
    return GroupTrial(members=tuple(members), passed=resolution.chosen is not None)


def _judge(placed: _Placed, answers: Mapping[str, Answer], resolution: Resolution) -> tuple[Outcome, str | None]:
    if placed.standing is _Standing.MISPLACED:
        return Outcome.ERRORED, placed.reason
    if placed.standing is not _Standing.ASKED:
        return Outcome.SKIPPED, placed.reason
    if placed.member.key in resolution.misfits:
        return Outcome.FAILED, resolution.misfits[placed.member.key]
    answer = answers[placed.descriptor.key]
    return answer.outcome, answer.reason


def _element(candidate: Candidate, catalogue: Mapping[str, Descriptor]) -> GroupElement:
    descriptor = catalogue[candidate.key]
    return GroupElement(id=candidate.id, version=candidate.version, api=descriptor.api, homepage=descriptor.homepage)


def _show_failures(answers: Mapping[str, Answer], log: PhaseLog) -> None:
    """Show what stayed hidden while there was hope: everything that the programs of the failed groups wrote."""
    for name, answer in answers.items():
        if answer.outcome is not Outcome.ERRORED:
            _show(name, answer, log.info)


def _show(name: str, answer: Answer, show: Callable[[str], None]) -> None:
    if answer.output.strip():
        show(f"======== Output: {name} ========")
        for line in answer.output.splitlines():
            show(line)
