"""What is asked of a server by HTTP."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from lifecycle.registry.reach import Reach


class Body(Protocol):
    """What is sent in pieces. Each time it is sent, it is gone through from its beginning."""

    def __len__(self) -> int:
        """Bytes of all pieces."""

    def __iter__(self) -> Iterator[bytes]:
        """The pieces; what this raises, `Http.open` raises."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked. `registry` is the one in whose name: its certificates and rules count. `most`: how near the address may be."""

    method: str
    url: str
    registry: str
    headers: Mapping[str, str]
    body: bytes | Body | None = None
    most: Reach | None = None
    takes_long: bool = False
    """The answer may come late: the other side has to store what it was sent."""
