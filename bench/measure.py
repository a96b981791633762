"""What every benchmark does: take times, and show them in a table."""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

# Seconds of each way of building, for each case that it has.
Times = dict[str, dict[str, float]]


def seconds_of(action: Callable[[], object]) -> float:
    """Seconds that `action` takes."""
    # What the step before has written must not be this step's burden.
    os.sync()
    since = time.monotonic()
    action()
    return time.monotonic() - since


def print_phases(case: str, report: Path) -> None:
    """Print what the phases of a build took, as its report says."""
    phases = json.loads(report.read_text())["phases"]
    print(f"  pybuild, {case}: " + ", ".join(f"{phase['name']} {phase['seconds']:.1f}" for phase in phases), flush=True)


def render_table(rounds: Sequence[Times], ways: Sequence[str], cases: Sequence[str]) -> list[str]:
    """Markdown: the median seconds of every way in every case, and how many times those of the first way they are."""
    ways = [way for way in ways if way in rounds[0]]
    lines = [f"| build | {' | '.join(ways)} |", f"|---|{'---|' * len(ways)}"]
    for case in cases:
        own = statistics.median(times[ways[0]][case] for times in rounds)
        cells = []
        for way in ways:
            measured = [times[way][case] for times in rounds if case in times[way]]
            if not measured:
                cells.append("–")
                continue
            median = statistics.median(measured)
            ratio = "" if way == ways[0] else f" = **{median / own:.2f}x**"
            cells.append(f"{median:.2f} s{ratio} ({min(measured):.2f}–{max(measured):.2f})")
        lines.append(f"| {case} | {' | '.join(cells)} |")
    return lines
