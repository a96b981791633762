"""Reads what BuildKit says while it builds (`--progress=plain`): which instruction runs, what it wrote, how it failed.

It counts what makes something of a stage: `FROM`, `RUN`, `COPY`, `ADD` and `WORKDIR`; stages are built side by side.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from lifecycle.execution.following import Failure
from lifecycle.execution.steps import Stage, Step, find_triggers

_LINE = re.compile(r"#(\d+) ?(.*)")
_VERTEX = re.compile(r"\[(?:(.+) )?(\d+)/\d+\] (.*)")
_OUTPUT = re.compile(r"\d+\.\d+ (.*)|\d+\.\d+")
_END = re.compile(r"DONE \d+\.\d+s|ERROR: .*")
_STATUS = re.compile(r"exit code: (\d+)")
_PARSE_ERROR = re.compile(r"(?:parse error(?: on)?|Dockerfile parse error) line (\d+): (.*)")
_COUNTED = frozenset({"RUN", "COPY", "ADD", "WORKDIR"})
_TAIL_LENGTH = 200


class BuildKitFollower:
    """Follows a build line by line. `on_step` gets a step that begins or goes on, `on_cached` one that need not run."""

    def __init__(
        self,
        stages: Sequence[Stage],
        triggers: Mapping[str, Sequence[str]],
        *,
        on_step: Callable[[Step], None],
        on_cached: Callable[[Step], None],
        on_line: Callable[[str], None],
    ) -> None:
        self._steps = _count_steps(stages, triggers)
        self._on_step = on_step
        self._on_cached = on_cached
        self._on_line = on_line
        self._vertices: dict[str, Step] = {}
        self._shown: str | None = None
        self._tails: dict[str, deque[str]] = {}
        self._failed: str | None = None
        self._said: deque[str] = deque(maxlen=_TAIL_LENGTH)
        self._message = ""

    def feed(self, line: str) -> None:
        """Take the next line."""
        found = _LINE.fullmatch(line)
        if found is None:
            if line.strip():
                self._said.append(line)
            return
        vertex, text = found[1], found[2]
        named = _VERTEX.fullmatch(text)
        if named is not None:
            step = self._steps.get((named[1] or "", int(named[2])))
            if step is not None:
                self._vertices.setdefault(vertex, step)
                self._show(vertex)
            return
        if text.startswith("ERROR: "):
            self._failed, self._message = vertex, text.removeprefix("ERROR: ")
        elif text == "CACHED" and vertex in self._vertices:
            self._show(vertex)
            self._on_cached(self._vertices[vertex])
        else:
            self._take_output(vertex, text)

    def _take_output(self, vertex: str, text: str) -> None:
        output = _OUTPUT.fullmatch(text)
        if output is None or vertex not in self._vertices:
            return
        # What a command writes last may have no end of its line.
        line, mark, end = (output[1] or "").rpartition(f"#{vertex} ")
        is_last = mark and _END.fullmatch(end)
        line = line if is_last else output[1] or ""
        self._show(vertex)
        self._tails.setdefault(vertex, deque(maxlen=_TAIL_LENGTH)).append(line)
        self._on_line(line)
        if is_last:
            self.feed(f"#{vertex} {end}")

    def _show(self, vertex: str) -> None:
        if self._shown != vertex:
            self._shown = vertex
            self._on_step(self._vertices[vertex])

    @property
    def parse_error(self) -> tuple[int, str] | None:
        """Line of what was executed, and the problem, where BuildKit could not read it."""
        found = [match for match in map(_PARSE_ERROR.search, (*self._said, self._message)) if match is not None]
        return (int(found[-1][1]), found[-1][2]) if found else None

    def failure(self) -> Failure:
        """Return how the build failed."""
        step = None if self._failed is None else self._vertices.get(self._failed)
        message = self._message or (self._said[-1] if self._said else "")
        status = _STATUS.search(message) if step is not None and step.instruction.keyword == "RUN" else None
        tail = self._tails.get(self._failed or "", ()) if step is not None else self._said
        return Failure(
            step=step,
            status=None if status is None else int(status[1]),
            message=message,
            tail=tuple(tail),
        )


def _count_steps(stages: Sequence[Stage], triggers: Mapping[str, Sequence[str]]) -> dict[tuple[str, int], Step]:
    """The steps by what BuildKit calls their stage, and their number in it."""
    found = {}
    for index, stage in enumerate(stages):
        # A stage that is another one continued, or begins with nothing, has no step for its beginning.
        parent_names = {(one.name or "").lower() for one in stages[:index]} - {""}
        has_image = stage.base != "scratch" and stage.base.lower() not in parent_names
        first = stage.steps[0]
        brought = (text.split()[0].upper() for text in find_triggers(stages, index, triggers))
        steps = [
            *([first] if has_image else []),
            *(Step(instruction=first.instruction, is_trigger=True) for word in brought if word in _COUNTED),
            *(one for one in stage.steps[1:] if one.instruction.keyword in _COUNTED),
        ]
        names = {(stage.name or f"stage-{index}").lower(), *([""] if len(stages) == 1 else [])}
        found.update({(name, number): step for number, step in enumerate(steps, 1) for name in names})
    return found
