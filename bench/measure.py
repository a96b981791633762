"""What every benchmark does: rounds of cases, their figures, and tables of them."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What one build cost. Bytes; `None` where it was not measured."""

    seconds: float
    pushed: int | None = None
    """That a registry stores since, and did not before."""
    peak: int | None = None
    """Most memory that pybuild's own process has had."""


Round = Mapping[str, Mapping[str, Figures]]
"""Figures of each way of building, for each case that it has."""


def seconds_of(action: Callable[[], object]) -> float:
    """Seconds that `action` takes."""
    # What the step before has written must not be this step's burden.
    os.sync()
    since = time.monotonic()
    action()
    return time.monotonic() - since


def run_quietly(command: Sequence[str], env: Mapping[str, str]) -> str:
    """Standard output of a program that must succeed."""
    result = subprocess.run(command, env=dict(env), capture_output=True, text=True, check=False)
    if result.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {result.returncode}:\n{result.stdout}\n{result.stderr}")
    return result.stdout


def run_rounds(count: int, measure: Callable[[int], Round]) -> list[Round]:
    """Figures of so many rounds, with a line of progress before each."""
    rounds = []
    for number in range(1, count + 1):
        print(f"round {number} of {count}, load {os.getloadavg()[0]:.1f}", flush=True)
        rounds.append(measure(number))
    return rounds


def print_phases(way: str, case: str, report: Path) -> None:
    """Print what the phases of a build took, as its report says."""
    phases = json.loads(report.read_text())["phases"]
    print(f"  {way}, {case}: " + ", ".join(f"{phase['name']} {phase['seconds']:.1f}" for phase in phases), flush=True)


def print_result(title: str, rounds: Sequence[Round], cases: Sequence[str]) -> None:
    """Print the tables of what was measured; ratios are to the way that comes first."""
    ways = tuple(rounds[0])
    machine = f"{os.cpu_count()} cores, {platform.platform()}"
    print(f"\n{title}, {len(rounds)} rounds, median (least–most), {machine}\n")
    print(f"A ratio is the figure over that of {ways[0]} in the same row: above 1, {ways[0]} is better.\n")
    print("\n".join(_table("seconds", rounds, ways, cases, lambda figures: figures.seconds)))
    for name, read in (("MB pushed", _pushed), ("MB of memory, own process", _peak)):
        measured = [way for way in ways if any(read(figures) is not None for figures in rounds[0][way].values())]
        if measured:
            print("\n" + "\n".join(_table(name, rounds, measured, cases, read)))


def _pushed(figures: Figures) -> float | None:
    return None if figures.pushed is None else figures.pushed / 1e6


def _peak(figures: Figures) -> float | None:
    return None if figures.peak is None else figures.peak / 1e6


def _table(
    name: str,
    rounds: Sequence[Round],
    ways: Sequence[str],
    cases: Sequence[str],
    read: Callable[[Figures], float | None],
) -> list[str]:
    """Markdown: the median of every way in every case, and how many times that of the first way it is."""
    lines = [f"| {name} | {' | '.join(ways)} |", f"|---|{'---|' * len(ways)}"]
    for case in cases:
        values = {way: [read(each[way][case]) for each in rounds if case in each[way]] for way in ways}
        found = {way: [value for value in values[way] if value is not None] for way in ways}
        own = statistics.median(found[ways[0]])
        cells = [_cell(found[way], own, is_first=way == ways[0]) for way in ways]
        lines.append(f"| {case} | {' | '.join(cells)} |")
    return lines


def _cell(values: Sequence[float], own: float, *, is_first: bool) -> str:
    if not values:
        return "–"
    median = statistics.median(values)
    ratio = f" = **{median / own:.2f}x**" if not is_first and own else ""
    return f"{median:.2f}{ratio} ({min(values):.2f}–{max(values):.2f})"
