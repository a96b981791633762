"""run.toml: the run images that an operator offers (platform.md, "run.toml (TOML)")."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lifecycle.cnb.toml import read_table


@dataclass(frozen=True, slots=True, kw_only=True)
class RunImageNames:
    """A run image, and the other registries that have it."""

    image: str
    mirrors: tuple[str, ...] = ()


def read_run_images(path: Path) -> tuple[RunImageNames, ...]:
    """Return the run images in the order of preference; none where there is no such file. Raises `ConfigurationError`."""
    if not path.exists():
        return ()
    return tuple(
        RunImageNames(image=table.string("image"), mirrors=table.strings("mirrors"))
        for table in read_table(path).tables("images")
    )
