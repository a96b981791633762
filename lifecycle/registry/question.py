"""What registries are asked, and how often."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lifecycle.registry.answer import retry_after
from lifecycle.registry.errors import RegistryError
from lifecycle.registry.request import Body

# Those of containers/image: five attempts, two seconds at first, never more than a minute
ATTEMPTS = 5
FIRST_DELAY_S, _LONGEST_DELAY_S = 2.0, 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked of a repository. `path` is relative to `/v2/REPOSITORY/`; `what` is told when there is no such thing."""

    method: str
    path: str = ""
    url: str | None = None
    """Where the registry has said that this is asked, instead of `path`."""
    actions: tuple[str, ...] = ("pull",)
    source: str | None = None
    """Another repository of the registry, which is read meanwhile."""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Body | None = None
    takes_long: bool = False
    """The registry has much to do before it answers."""
    what: str = "image"
    limit: int | None = None
    """The answer is a document of so many bytes at most, and read at once; `None`: the caller reads it."""
    attempts: int = ATTEMPTS

    @property
    def is_push(self) -> bool:
        """Whether something is to be put there."""
        return "push" in self.actions


class PassingFailure(Exception):
    """An attempt failed, and the next may not. `error`: what it is if nobody tries again; `attempts`: how many are of use."""

    def __init__(
        self, error: RegistryError, reason: str, *, attempts: int = ATTEMPTS, wanted_wait: str | None = None
    ) -> None:
        super().__init__(reason)
        self.error = error
        self.reason = reason
        self.attempts = attempts
        self._wanted_wait = wanted_wait

    def wait_s(self, delay: float) -> float:
        """Return how long to wait: what the registry wants, or else `delay`."""
        return min(retry_after(self._wanted_wait, delay), _LONGEST_DELAY_S)
