"""Which channels an environment may use: the rule of `nodefaults`, and what its lines say instead.

Anaconda's own channels are refused in every spelling (`buildpacks.conda.anaconda`), because their limits and licence break
builds; so is what is not fetched over a safe way. Source: the section "Channels" of README.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from buildpacks.conda.anaconda import channel_identity, forbidden_url
from buildpacks.conda.correction import Correction, correct, plan_channels
from buildpacks.conda.errors import ChannelPolicyViolation, Problem, ProblemKind
from buildpacks.conda.foreign import find_foreign
from buildpacks.conda.rules import CONDA_FORGE, NODEFAULTS, Rules, judge_channel, judge_dependency
from buildpacks.conda.settings import DEFAULT_CHANNEL_ALIAS, Mirror, Nodefaults
from buildpacks.conda.specification import Entry, EnvironmentFile, Origin
from lifecycle.cnb.kit import mask_credentials

__all__ = ["ChannelDecision", "channel_identity", "check_channels", "forbidden_url"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelDecision:
    """The channels and specifications that the environment is solved with."""

    channels: tuple[str, ...]
    """As the file spells them, in its order, not empty; without `nodefaults`. They may hold credentials: mask them."""
    dependencies: tuple[Entry, ...]
    """conda's, with the place that each has in the file; other than the file's only where it was rewritten."""
    notices: tuple[str, ...]
    """What was read otherwise than it is written."""
    patch: str | None
    """What makes the file say what it is read as, without secrets; `None` where it does."""


def check_channels(
    file: EnvironmentFile,
    mode: Nodefaults,
    *,
    alias: str = DEFAULT_CHANNEL_ALIAS,
    mirrors: tuple[Mirror, ...] = (),
) -> ChannelDecision:
    """Return what to solve with. Packages of other systems are judged here too, because one patch puts everything right.

    Raises:
        ChannelPolicyViolation: with every line that has to change; `mode` says which of them are read as if they were right.
    """
    rules = Rules.of(alias, mirrors)
    problems = find_problems(file, rules)
    if not problems:
        return _decide(file, None)
    correction = correct(file, rules, drop_build_strings=False)
    remaining = find_problems(correction.file, rules)
    if remaining or any(problem.kind not in _TOLERATED[mode] for problem in problems):
        raise violation(file, problems, correction, is_complete=not remaining)
    return _decide(correction.file, correction)


_TOLERATED: Mapping[Nodefaults, frozenset[ProblemKind]] = {
    "enforce": frozenset(),
    "inject": frozenset({"nodefaults"}),
    "rewrite": frozenset({"nodefaults", "defaults"}),
}


def violation(
    file: EnvironmentFile, problems: tuple[Problem, ...], correction: Correction, *, is_complete: bool
) -> ChannelPolicyViolation:
    """Return the error that shows the problems with what corrects them."""
    return ChannelPolicyViolation(
        name=file.name,
        problems=problems,
        patch=mask_credentials(correction.diff(file.name)) if correction.changes else None,
        beside=correction.beside,
        is_complete=is_complete,
    )


def find_problems(file: EnvironmentFile, rules: Rules) -> tuple[Problem, ...]:
    """Return everything that the policy has against the file, in the order of its lines."""
    plan = plan_channels(file, rules)
    found = []
    for entry, planned in zip(file.channels or (), plan.changes, strict=True):
        judgement = judge_channel(entry.text, rules)
        if judgement is not None:
            # Which line gives way to conda-forge depends on the others.
            change = judgement.change or (f"write `{CONDA_FORGE}`" if planned == CONDA_FORGE else "remove this line")
            found.append(_problem(entry.origin, judgement.kind, judgement.message, change))
    found.extend(_find_missing(file))
    listed = frozenset(channel_identity(entry.text, alias=rules.alias) for entry in file.channels or ())
    for entry in file.dependencies:
        judgement = judge_dependency(entry.text, listed, rules)
        if judgement is not None:
            found.append(_problem(entry.origin, judgement.kind, judgement.message, judgement.change))
    foreign = find_foreign(file)
    for entry in foreign.windows:
        found.append(_problem(entry.origin, "windows-package", f"`{entry.text}` exists for Windows only", _REMOVE))
    for entry in foreign.macos:
        found.append(_problem(entry.origin, "macos-package", f"`{entry.text}` exists for macOS only", _REMOVE))
    return tuple(sorted(found, key=_place))


_REMOVE = "remove this line; images are Linux"


def _find_missing(file: EnvironmentFile) -> list[Problem]:
    """What the list of channels lacks."""
    if not file.channels:
        message = "`channels` is missing, so conda would take every package from Anaconda's channels"
        change = f"add `channels:` with `{CONDA_FORGE}` and `{NODEFAULTS}`"
        return [_problem(None, "nodefaults", message, change)]
    names = [entry.text.casefold() for entry in file.channels]
    # To be added after the last.
    place = file.channels[-1].origin
    if NODEFAULTS not in names:
        message = f"`channels` does not list `{NODEFAULTS}`, which keeps conda from adding Anaconda's channels"
        return [_problem(place, "nodefaults", message, f"add `- {NODEFAULTS}`")]
    if all(name == NODEFAULTS for name in names):
        message = f"`channels` lists no channel that packages could come from beside `{NODEFAULTS}`"
        return [_problem(place, "channel", message, f"add `- {CONDA_FORGE}`")]
    return []


def _problem(origin: Origin | None, kind: ProblemKind, message: str, change: str) -> Problem:
    return Problem(origin=origin, kind=kind, message=message, change=change)


def _place(problem: Problem) -> tuple[int, int]:
    return (problem.origin.line, problem.origin.column) if problem.origin else (0, 0)


def _decide(file: EnvironmentFile, correction: Correction | None) -> ChannelDecision:
    channels = tuple(entry.text for entry in file.channels or () if entry.text.casefold() != NODEFAULTS)
    changes = () if correction is None else correction.changes
    patch = None if correction is None else mask_credentials(correction.diff(file.name))
    return ChannelDecision(
        channels=channels,
        dependencies=file.dependencies,
        notices=tuple(f"`{file.name}` is read as if it were corrected, which {change}" for change in changes),
        patch=patch,
    )
