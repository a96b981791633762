"""What the tags of an environment's repository say. A tag is put once, with one content, and stays, but for labels.

    7                                 version 7
    LABEL                             a label: a version that somebody has named so
    _v7.is.<digest>                   version 7 has this definition (sha256)
    _v7.<round>.<proposer>.prepare    somebody is about to propose what version 7 is (numbering.py)
    _v7.<round>.<proposer>.accept     proposes it
    _archived.7.<count>               version 7 was archived, where the highest count is odd; or is no longer
    _archived.all.<count>             so was the environment

So a list of tags, which every registry has, is enough to know all versions with their definitions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from lifecycle.cnb.digest import Digest
from pybuild.workspaces.errors import InvalidName

LATEST = "latest"
NAME_LIMIT = 100
CURATED_PREFIX = "curated-"
"""Of names that only the curated environments have."""
CATALOG = "pybuild-catalog"
"""A repository whose tags are the names of the environments: not every registry lists its repositories."""
_VERSION = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)
_STEP = re.compile(r"_v([1-9][0-9]{0,8})\.([1-9][0-9]{0,8})\.([0-9a-f]{16})\.(prepare|accept)", re.ASCII)
_DEFINITION = re.compile(r"_v([1-9][0-9]{0,8})\.is\.([0-9a-f]{64})", re.ASCII)
_ARCHIVED = re.compile(r"_archived\.([1-9][0-9]{0,8}|all)\.([1-9][0-9]{0,8})", re.ASCII)
# As repositories of registries are called, which `repository_name` gives
# (https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#pulling-manifests)
_NAME = re.compile(r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*", re.ASCII)
_LABEL = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,99}", re.ASCII)
# Of tags that pybuild gives to what belongs to builds, and that others give to what refers to it, such as signatures
# (https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#referrers-tag-schema)
_TAKEN_PREFIXES = ("build-", "image-", "sha256-")


class Step(str, Enum):
    """What a proposer has done."""

    PREPARE = "prepare"
    ACCEPT = "accept"


@dataclass(frozen=True, slots=True, order=True)
class Ballot:
    """An attempt to say what a version is. Later ones are greater; no two are equal, because no two proposers are."""

    round: int
    proposer: str

    def tag(self, version: int, step: Step) -> str:
        """Return the tag that says that the attempt has come so far."""
        return f"_v{version}.{self.round}.{self.proposer}.{step.value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tags:
    """What a list of tags says."""

    names: frozenset[str] = frozenset()
    versions: frozenset[int] = frozenset()
    definitions: Mapping[int, Digest] = field(default_factory=dict)
    """Of versions; some may be missing."""
    ballots: Mapping[tuple[int, Step], tuple[Ballot, ...]] = field(default_factory=dict)
    """Those that have come so far, for each version and step; the greatest first."""
    archivings: Mapping[int | None, int] = field(default_factory=dict)
    """How often a version was archived or restored; `None`: the environment."""

    @property
    def highest(self) -> int:
        """The highest version, 0 where there is none."""
        return max(self.versions, default=0)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, sorted."""
        return tuple(sorted(name for name in self.names if is_label(name)))

    def is_archived(self, version: int | None) -> bool:
        """Return whether a version, or with `None` the environment, is archived."""
        return self.archivings.get(version, 0) % 2 == 1

    def archiving_tag(self, version: int | None) -> str:
        """Return the tag that turns `is_archived` around."""
        count = self.archivings.get(version, 0) + 1
        return f"_archived.{'all' if version is None else version}.{count}"

    def greatest_ballot(self, version: int) -> Ballot | None:
        """Return the greatest ballot of a version."""
        return max((ballot for step in Step for ballot in self.ballots.get((version, step), ())), default=None)


def definition_tag(version: int, definition: Digest) -> str:
    """Return the tag that says what definition a version has."""
    return f"_v{version}.is.{definition.hex}"


def parse_tags(names: Iterable[str]) -> Tags:
    """Return what a list of tags says; tags that others have put there say nothing."""
    every = frozenset(names)
    definitions: dict[int, Digest] = {}
    ballots: dict[tuple[int, Step], list[Ballot]] = {}
    archivings: dict[int | None, int] = {}
    for name in every:
        if step := _STEP.fullmatch(name):
            ballots.setdefault((int(step[1]), Step(step[4])), []).append(Ballot(int(step[2]), step[3]))
        elif definition := _DEFINITION.fullmatch(name):
            definitions[int(definition[1])] = Digest("sha256", definition[2])
        elif archived := _ARCHIVED.fullmatch(name):
            which = None if archived[1] == "all" else int(archived[1])
            archivings[which] = max(int(archived[2]), archivings.get(which, 0))
    return Tags(
        names=every,
        # The definition is said after the version is there.
        versions=frozenset(int(name) for name in every if _VERSION.fullmatch(name)) | definitions.keys(),
        definitions=definitions,
        ballots={key: tuple(sorted(found, reverse=True)) for key, found in ballots.items()},
        archivings=archivings,
    )


def is_label(text: str) -> bool:
    """Return whether `text` can be a label that somebody gives."""
    return _LABEL.fullmatch(text) is not None and text != LATEST and not text.startswith(_TAKEN_PREFIXES)


def is_name(text: str) -> bool:
    """Return whether `text` can be the name of an environment."""
    name = repository_name(text)
    return text.isascii() and _NAME.fullmatch(name) is not None and len(text) <= NAME_LIMIT and name != CATALOG


def repository_name(name: str) -> str:
    """Return what the repository of the environment is called: equal for names that differ in case, which are one name."""
    return name.lower()


def check_name(text: str) -> str:
    """Return `text`, which can be the name of an environment. Raises `InvalidName`."""
    if is_name(text):
        return text
    if len(text) > NAME_LIMIT:
        raise InvalidName("name of an environment", text, f"it has more than {NAME_LIMIT} characters", "shorten it")
    if repository_name(text) == CATALOG:
        raise InvalidName("name of an environment", text, "pybuild has its own use for it", "choose another name")
    proposal = re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")
    raise InvalidName(
        "name of an environment",
        text,
        "names have letters and digits, with `.`, `_` and `-` between them",
        f"call it for example `{proposal or 'analysis'}`",
    )


def check_label(text: str) -> str:
    """Return `text`, which can be a label that somebody gives. Raises `InvalidName`."""
    if is_label(text):
        return text
    if text == LATEST:
        raise InvalidName(
            "label", text, "it always is the highest version that is not archived", "choose another label"
        )
    raise InvalidName(
        "label",
        text,
        "a label begins with a letter, has letters, digits, `.`, `_` and `-`, and none of the prefixes "
        + ", ".join(f"`{prefix}`" for prefix in _TAKEN_PREFIXES),
        "call it for example `stable`",
    )
