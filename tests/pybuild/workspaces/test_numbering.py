"""Versions are given once, whatever the order in which several processes do each single step, and wherever one of them is killed."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.cnb.digest import Digest
from lifecycle.oci.artifact import Artifact
from pybuild.workspaces.numbering import Numbered, Numbering
from pybuild.workspaces.tags import parse_tags
from pybuild.workspaces.version import definition_of, make_version

CREATED = "2026-01-01T00:00:00Z"
_STEP_LIMIT = 10_000


class Killed(BaseException):
    """The process is no more."""


@dataclass
class Registry:
    """What all processes see. A tag that was put keeps its content, or the test fails."""

    tags: dict[str, Artifact] = field(default_factory=dict)
    listed: set[str] = field(default_factory=set)
    """Of these, some are not there yet: Distribution lists a tag before it can be had."""
    contradictions: list[str] = field(default_factory=list)

    def put(self, artifact: Artifact, tag: str) -> None:
        self.listed.add(tag)
        if self.tags.setdefault(tag, artifact).digest != artifact.digest:
            self.contradictions.append(tag)


class Process:
    """Registers one definition, one step at a time: each exchange with the registry waits until it is told to happen."""

    def __init__(self, registry: Registry, definition: bytes) -> None:
        self.definition = definition
        self.result: Numbered | None = None
        self.late: tuple[Artifact, str] | None = None
        """What was on its way when the process was killed."""
        self._registry = registry
        self._may_go, self._has_stopped = threading.Semaphore(0), threading.Semaphore(0)
        self._is_killed = False
        self.is_over = False
        self._thread = threading.Thread(target=self._run, args=(definition,), daemon=True)
        self._thread.start()
        self._has_stopped.acquire()

    def step(self, *, kill: bool = False) -> None:
        """Let the next exchange happen, or let the process be killed instead."""
        if not self.is_over:
            self._is_killed = kill
            self._may_go.release()
            self._has_stopped.acquire()
        if self.is_over:
            self._thread.join()

    @property
    def location(self) -> str:
        return "docker://registry.example/team/analysis"

    def tags(self) -> frozenset[str]:
        self._wait()
        return frozenset(self._registry.listed)

    def get(self, tag: str) -> Artifact | None:
        self._wait()
        return self._registry.tags.get(tag)

    def put(self, artifact: Artifact, tag: str) -> None:
        self.late = (artifact, tag)
        self._wait()
        self._registry.listed.add(tag)
        self._wait()
        self._registry.put(artifact, tag)
        self.late = None

    @contextlib.contextmanager
    def alone(self) -> Iterator[bool]:
        yield False

    def pause(self, seconds: float) -> None:
        """Others go on or not, as the test has it."""

    def _wait(self) -> None:
        self._has_stopped.release()
        self._may_go.acquire()
        if self._is_killed:
            raise Killed

    def _run(self, definition: bytes) -> None:
        try:
            make = lambda version: make_version("analysis", version, definition, CREATED)  # noqa: E731  # of one use
            self.result = Numbering(self, Digest.of(definition), make).run()
        except Killed:
            pass
        finally:
            self.is_over = True
            self._has_stopped.release()


def finish(process: Process) -> None:
    for _ in range(_STEP_LIMIT):
        if process.is_over:
            return
        process.step()
    raise AssertionError("a process that is left alone comes to an end")


def check(registry: Registry, processes: list[Process]) -> None:
    tags = parse_tags(registry.tags)
    assert not registry.contradictions
    assert tags.versions == frozenset(range(1, tags.highest + 1)), "there are gaps"
    definitions = {version: definition_of(registry.tags[str(version)]) for version in tags.versions}
    assert len(set(definitions.values())) == len(definitions), "one definition has two versions"
    for process in processes:
        if process.result is not None:
            assert definitions[process.result.version] == Digest.of(process.definition)


@settings(max_examples=200, deadline=None)
@given(
    definitions=st.lists(st.sampled_from([b"1", b"2", b"3"]), min_size=2, max_size=4),
    schedule=st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["step"] * 12 + ["kill", "late"])), max_size=120),
)
def test_versions_are_given_once_in_every_order(definitions: list[bytes], schedule: list[tuple[int, str]]) -> None:
    registry = Registry()
    processes = [Process(registry, definition) for definition in definitions]
    on_their_way: list[tuple[Artifact, str]] = []
    for number, what in schedule:
        process = processes[number % len(processes)]
        if what == "late" and on_their_way:
            # What a killed process had sent arrives long after it.
            registry.put(*on_their_way.pop())
        process.step(kill=what == "kill")
        if what == "kill" and process.late is not None:
            on_their_way.append(process.late)
            process.late = None
    for process in processes:
        finish(process)
    check(registry, processes)
    for late in on_their_way:
        registry.put(*late)
    # Whoever comes then finds everything in order, and gets the next number.
    last = Process(registry, b"last")
    finish(last)
    check(registry, [*processes, last])
    assert last.result == Numbered(version=parse_tags(registry.tags).highest, is_new=True)


def test_a_version_that_its_proposer_could_not_settle_is_settled_by_the_next() -> None:
    registry = Registry()
    killed, following = Process(registry, b"killed"), None
    while not any(tag.endswith(".accept") for tag in registry.tags):
        killed.step()
    killed.step(kill=True)
    following = Process(registry, b"following")
    finish(following)
    assert following.result == Numbered(version=2, is_new=True)
    assert definition_of(registry.tags["1"]) == Digest.of(b"killed")
    again = Process(registry, b"killed")
    finish(again)
    assert again.result == Numbered(version=1, is_new=False)


def test_versions_do_not_change_where_a_retention_rule_leaves_their_numbers_alone() -> None:
    registry = Registry()
    for definition in (b"1", b"2"):
        finish(Process(registry, definition))
    registry.tags = {tag: artifact for tag, artifact in registry.tags.items() if not tag.startswith("_")}
    registry.listed = set(registry.tags)
    results = []
    for definition in (b"2", b"3", b"1"):
        process = Process(registry, definition)
        finish(process)
        results.append(process.result)
    assert results == [
        Numbered(version=2, is_new=False),
        Numbered(version=3, is_new=True),
        Numbered(version=1, is_new=False),
    ]
