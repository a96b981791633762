"""Gives versions: the next number, never one twice, to equal definitions the number that they have.

A registry cannot be asked to put a tag only where there is none. So what version 7 is, is agreed on by Paxos over tags, each of which is
put once: a proposer says that it comes (prepare), looks whether others have come farther, proposes its own version or theirs (accept),
and looks again. Whoever is killed in the midst of it leaves nothing that others wait for. docs/decisions/0021 has the proof.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from lifecycle.cnb.digest import Digest
from lifecycle.cnb.errors import CnbError
from lifecycle.oci.artifact import Artifact
from pybuild.workspaces.errors import ListBehind
from pybuild.workspaces.repository import TaggedArtifacts
from pybuild.workspaces.tags import Ballot, Step, Tags, definition_tag, parse_tags
from pybuild.workspaces.version import check_version, definition_of

# Longer than caches of lists of tags live, where there are any
_PATIENCE_S, _FIRST_PAUSE_S = 30.0, 0.05
_MOST_DOUBLINGS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbered:
    """The version that a definition has; whether it has it since now."""

    version: int
    is_new: bool


class Numbering:
    """Gives the definition `definition` its version. `make` makes the artifact of a version."""

    def __init__(self, repository: TaggedArtifacts, definition: Digest, make: Callable[[int], Artifact]) -> None:
        self._repository = repository
        self._definition = definition
        self._make = make
        self._proposer = secrets.token_hex(8)
        self._fetched: dict[int, Artifact] = {}
        self._lost = 0
        """How often in a row another was faster."""

    def run(self) -> Numbered:
        """Return the version, when it is there for everyone.

        Raises:
            CnbError: the repository cannot be read or written, or is none that versions can be given in. The definition may have got
                its version nevertheless; to register it again finds that.
        """
        with self._repository.alone() as is_alone:
            while True:
                tags = self._read()
                version, is_known = self._look(tags)
                if is_known:
                    return Numbered(version=version, is_new=False)
                if is_alone:
                    self._settle(version, self._make(version))
                    return Numbered(version=version, is_new=True)
                began = time.monotonic()
                settled = self._propose(version, tags)
                if settled is None:
                    self._give_way(time.monotonic() - began)
                elif definition_of(settled) == self._definition:
                    return Numbered(version=version, is_new=True)

    def _look(self, tags: Tags) -> tuple[int, bool]:
        """The version that the definition has, and true; else the one to propose it for."""
        following = tags.highest + 1
        # The highest first: where it is somebody else's tag, such as a date, that is said at once.
        for version in range(tags.highest, 0, -1):
            definition = tags.definitions.get(version)
            if definition is None:
                # Its proposer was killed before it could say so, or the list is older than that.
                found = self._fetch(version)
                if found is None and version == tags.highest:
                    # A list may have a version that is only about to be there; where its proposer was killed, for ever. Of a lower
                    # one somebody has seen that it was there: it was removed.
                    following = version
                definition = None if found is None else definition_of(found)
            if definition == self._definition:
                return version, True
        return following, False

    def _is_settled(self, version: int, tags: Tags) -> bool:
        """Whether the version is there, which a number in a list of tags does not say."""
        return version in tags.definitions or (version in tags.versions and self._fetch(version) is not None)

    def _fetch(self, version: int) -> Artifact | None:
        """A version; `None` where it is not there yet, or was removed. Raises `UnsupportedImage` where the tag is somebody else's."""
        if version not in self._fetched:
            found = self._repository.get(str(version))
            if found is None:
                return None
            check_version(found, version, source=f"{self._repository.location}:{version}")
            self._fetched[version] = found
        return self._fetched[version]

    def _propose(self, version: int, tags: Tags) -> Artifact | None:
        """What the version now is for everyone; `None` where another is about to say it."""
        before = tags.greatest_ballot(version)
        ballot = Ballot(1 if before is None else before.round + 1, self._proposer)
        own = self._make(version)
        tags = self._put(own, ballot.tag(version, Step.PREPARE))
        if self._is_settled(version, tags) or _is_overtaken(ballot, version, tags):
            return None
        chosen = self._find_accepted(version, tags) or own
        tags = self._put(chosen, ballot.tag(version, Step.ACCEPT))
        if self._is_settled(version, tags) or _is_overtaken(ballot, version, tags):
            return None
        self._settle(version, chosen)
        return chosen

    def _find_accepted(self, version: int, tags: Tags) -> Artifact | None:
        """What was proposed last. Its proposer may have settled it, and been killed before it could say so."""
        for ballot in tags.ballots.get((version, Step.ACCEPT), ()):
            found = self._repository.get(ballot.tag(version, Step.ACCEPT))
            # What the list has and is not there yet was not settled, and will not be: its proposer sees this one's `prepare`.
            if found is not None:
                return found
        return None

    def _settle(self, version: int, chosen: Artifact) -> None:
        """Say it where it is looked for. Whoever does so, for whatever reason how late, says the same."""
        self._put_once(chosen, str(version))
        definition = definition_of(chosen)
        if definition is not None:
            self._put_once(chosen, definition_tag(version, definition))

    def _put_once(self, artifact: Artifact, tag: str) -> None:
        try:
            self._repository.put(artifact, tag)
        except CnbError:
            # Some registries are told to take no tag twice; another may have settled the same.
            found = self._repository.get(tag)
            if found is None or found.digest != artifact.digest:
                raise

    def _put(self, artifact: Artifact, tag: str) -> Tags:
        """The tags, after `tag` was put; it is one of them."""
        self._repository.put(artifact, tag)
        deadline, pause = time.monotonic() + _PATIENCE_S, _FIRST_PAUSE_S
        while True:
            tags = self._read()
            if tag in tags.names:
                return tags
            if time.monotonic() > deadline:
                raise ListBehind(self._repository.location, tag, _PATIENCE_S)
            self._repository.pause(pause)
            pause *= 2

    def _read(self) -> Tags:
        return parse_tags(self._repository.tags())

    def _give_way(self, seconds: float) -> None:
        """Wait a random time: who proposes at the same moment waits another. `seconds`: how long a proposal takes here."""
        self._lost += 1
        most = seconds * 2 ** min(self._lost, _MOST_DOUBLINGS)
        self._repository.pause(most * secrets.randbelow(1000) / 1000)


def _is_overtaken(ballot: Ballot, version: int, tags: Tags) -> bool:
    greatest = tags.greatest_ballot(version)
    return greatest is not None and greatest > ballot
