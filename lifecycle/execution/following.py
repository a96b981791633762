"""Reads what buildah says while it builds: which instruction runs, what it wrote, which images it used."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lifecycle.execution.steps import Stage, Step

# Before any of these may stand what a command wrote last, without an end of its line.
_STEP = re.compile(r"(.*?)(?:\[\d+/\d+\] )?STEP (\d+)/(\d+): ([A-Za-z]+)\b(.*)")
_COMMIT = re.compile(r"(.*?)(?:\[\d+/\d+\] )?COMMIT")
_IMAGE = re.compile(r"(.*?)--> (Using cache )?([0-9a-f]{11,64})")
# What buildah tells of arguments that pybuild gives it, or that the parser has told already, and of bases for what is built for.
_NOISE = re.compile(
    r'time="[^"]*" level=warning msg="missing \\"|\[Warning\] one or more build args were not consumed'
    r"|WARNING: image platform \("
)
_STATUS = re.compile(r"exit status (\d+)$")
_SUBPROCESS = re.compile(r"subprocess exited with status \d+")
_TAIL_LENGTH = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """How a build ended that did: in which step, with what status or message, after which last lines."""

    step: Step | None
    status: int | None
    message: str
    tail: tuple[str, ...]


class Follower:
    """Follows a build line by line. `on_step` gets a step that begins, `on_cached` one that did not need to run, `on_line` its output.

    What a command writes may look like what buildah says: a step is believed only where it is the one that comes next.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        *,
        on_step: Callable[[Step], None],
        on_cached: Callable[[Step], None],
        on_line: Callable[[str], None],
    ) -> None:
        self._stages = stages
        self._on_step = on_step
        self._on_cached = on_cached
        self._on_line = on_line
        self._stage = -1
        self._number = 0
        self._step: Step | None = None
        self._tail: deque[str] = deque(maxlen=_TAIL_LENGTH)
        self.used: set[str] = set()
        """Ids, some shortened, of the images that the build made or took from its cache."""

    def feed(self, line: str) -> None:
        """Take the next line."""
        if self._begins_step(line) or _NOISE.match(line):
            return
        image, commit = _IMAGE.fullmatch(line), _COMMIT.fullmatch(line)
        if image is not None:
            self._write_rest(image[1])
            self.used.add(image[3])
            if image[2] and self._step is not None:
                self._on_cached(self._step)
        elif commit is not None:
            self._write_rest(commit[1])
        else:
            self._write(line)

    def _write_rest(self, line: str) -> None:
        if line:
            self._write(line)

    def _write(self, line: str) -> None:
        self._tail.append(line)
        if not _SUBPROCESS.fullmatch(line) and not line.startswith("Error: building at STEP"):
            self._on_line(line)

    def failure(self) -> Failure:
        """Return how the build failed."""
        tail = [line for line in self._tail if not _SUBPROCESS.fullmatch(line)]
        message = tail.pop() if tail else ""
        said, _, reason = message.removeprefix("Error: ").partition('": ')
        status = _STATUS.search(message)
        # `exit status` is a command's own; everything else is buildah's reason.
        is_command = said.startswith('building at STEP "RUN') and status is not None
        return Failure(
            step=self._step,
            status=int(status[1]) if is_command and status is not None else None,
            message=reason or message.removeprefix("Error: "),
            tail=tuple(tail),
        )

    def _begins_step(self, line: str) -> bool:
        found = _STEP.fullmatch(line)
        if found is None:
            return False
        number, total, keyword = int(found[2]), int(found[3]), found[4].upper()
        stage = self._stage + 1 if number == 1 else self._stage
        if not 0 <= stage < len(self._stages) or number not in (1, self._number + 1):
            return False
        step = self._stages[stage].step(number, total)
        if step is None or not (step.is_trigger or step.instruction.keyword == keyword):
            return False
        # Nothing else would tell the beginning of a stage from what a command wrote.
        if number == 1 and step.instruction.text.split()[1:] != found[5].split():
            return False
        self._write_rest(found[1])
        self._stage, self._number, self._step = stage, number, step
        self._tail.clear()
        self._on_step(step)
        return True
