"""`pybuild cache`: what pybuild keeps on this machine, and how to be rid of it."""

from __future__ import annotations

import json
import time

import click

from pybuild.commands.options import Duration, Session, session_options
from pybuild.commands.printing import print_result
from pybuild.errors import UsageError
from pybuild.prune import PruneRequest, prune_store
from pybuild.usage import PARTS, ApplicationUsage, measure_store

_UNITS = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
_DAY_S = 24 * 3600


@click.group("cache")
def cache() -> None:
    """What pybuild keeps on this machine from build to build: lists it, measures it, removes it."""


@cache.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON, sizes in bytes.")
@session_options
def cache_list(session: Session, *, as_json: bool) -> None:
    """List the applications that were built here, the last one first, and what is kept of each."""
    applications = measure_store(session.store).applications
    if as_json:
        print_result(json.dumps([one.to_json() for one in applications], indent=2))
        return
    rows = [("KEY", "LAST USED", "CACHE", "IMAGE", "DOCKERFILE", "REPOSITORY"), *map(_describe, applications)]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        print_result("  ".join([*cells, row[-1]]))


@cache.command("size")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON, in bytes.")
@session_options
def cache_size(session: Session, *, as_json: bool) -> None:
    """Print how much room everything takes, by kind."""
    usage = measure_store(session.store)
    if as_json:
        print_result(json.dumps(usage.to_json(), indent=2))
        return
    count = len(usage.applications)
    applications = f"{count} application" if count == 1 else f"{count} applications"
    rows = [(name, usage.parts[name], what) for name, what in PARTS.items()]
    rows += [("apps", sum(one.size for one in usage.applications), applications), ("total", usage.size, "")]
    for name, size, what in rows:
        print_result(f"{name:<13} {_size(size):>8}  {what}".rstrip())


@cache.command("prune")
@click.argument("applications", metavar="[APPLICATION]...", nargs=-1)
@click.option(
    "--older-than",
    type=Duration(),
    metavar="TIME",
    help="Remove what nobody has used for so long, for example 30d.",
)
@click.option("--all", "everything", is_flag=True, help="Remove everything.")
@session_options
def cache_prune(session: Session, applications: tuple[str, ...], older_than: float | None, *, everything: bool) -> None:
    """Remove what is kept of each APPLICATION, a repository or a key of `pybuild cache list`, or of all of them and what they share.

    What running builds use stays.
    """
    if sum((bool(applications), older_than is not None, everything)) != 1:
        raise UsageError(
            "what to remove is not clear", "name applications, or give `--older-than TIME` or `--all`, one of the three"
        )
    request = PruneRequest(applications=applications or None, older_than_s=older_than or 0.0)
    done = prune_store(request, session.store, session.log)
    for line in done.in_use:
        session.log.notice(f"in use, and left: {line}")
    for line in done.removed:
        print_result(f"removed {line}")
    print_result(f"freed {_size(done.freed)}")


def _describe(one: ApplicationUsage) -> tuple[str, ...]:
    sizes = (_size(one.cache), _size(one.image), _size(one.extension))
    return (one.key, _age(time.time() - one.last_used), *sizes, one.repository or "not known")


def _size(size: int) -> str:
    for unit, name in _UNITS:
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} B"


def _age(seconds: float) -> str:
    days = int(seconds // _DAY_S)
    return "today" if days < 1 else "1 day ago" if days == 1 else f"{days} days ago"
