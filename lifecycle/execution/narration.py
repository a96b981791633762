"""Tells people of a recipe that is executed: each instruction with its place in the Dockerfile, what it writes, why it failed."""

from __future__ import annotations

from dataclasses import dataclass

from lifecycle.cnb.errors import CnbError
from lifecycle.cnb.recipe import Recipe
from lifecycle.execution.errors import ExtendError, InstructionFailed
from lifecycle.execution.failure import find_advice
from lifecycle.execution.following import Failure
from lifecycle.execution.steps import Step, Wording
from lifecycle.log import PhaseLog

_TAIL_SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Narrator:
    """Tells of one execution. What it says of instructions is as they were written, without the values of secrets."""

    recipe: Recipe
    wording: Wording
    log: PhaseLog
    network: bool
    """Whether commands have one, for what is said when they fail."""

    def step(self, step: Step) -> None:
        """Tell that an instruction is executed."""
        if step.is_own:
            return
        text = self.wording.shortened(step.instruction)
        what = f"ONBUILD of the image of `{text}`" if step.is_trigger else text
        self.log.info(f"---> {self.recipe.dockerfile}:{step.instruction.line} {what}")

    def cached(self, step: Step) -> None:
        """Tell that it need not be."""
        if not step.is_own:
            self.log.info("     Using the layer of an earlier build")

    def line(self, line: str) -> None:
        """Tell what a command writes; of a line that it wrote over, as progress bars do, the last state."""
        self.log.info(self.wording.clean(line.rstrip("\r").rpartition("\r")[2]))

    def syntax_error(self, line: int, problem: str) -> CnbError:
        """Return the error of a recipe that whoever executes it cannot read, in a `line` of the Dockerfile."""
        instruction = max((one for one in self.recipe.instructions if one.line <= line), key=lambda one: one.line)
        return InstructionFailed(
            dockerfile=self.recipe.dockerfile,
            line=line,
            instruction=self.wording.shortened(instruction),
            reason=self.wording.clean(problem),
        )

    def error(self, failure: Failure) -> CnbError:
        """Return the error of an execution that failed."""
        message = self.wording.clean(failure.message)
        text = "" if failure.step is None else failure.step.instruction.text
        advice = find_advice(
            status=failure.status, text=text, output=(*failure.tail, failure.message), network=self.network
        )
        if failure.step is None:
            tail = "\n".join(self.wording.clean(line) for line in failure.tail[-_TAIL_SHOWN:])
            return ExtendError(message=f"the recipe cannot be executed: {message}", output=tail, advice=advice)
        return InstructionFailed(
            dockerfile=self.recipe.dockerfile,
            line=failure.step.instruction.line,
            instruction=self.wording.shortened(failure.step.instruction),
            status=failure.status,
            reason=None if failure.status is not None else message,
            advice=advice,
        )
