"""`pybuild fix`: corrects the files of a repository that keep it from being built."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from pybuild.commands.options import Selection, Session, selection_options, session_options
from pybuild.commands.printing import print_result
from pybuild.fix import write_fixes
from pybuild.library import find_fixes


@click.command()
@click.option("--diff", "diff_only", is_flag=True, help="Print the patch to standard output, and change nothing.")
@selection_options
@session_options
def fix(
    selection: Selection,
    session: Session,
    *,
    diff_only: bool,
) -> None:
    """Correct the files of REPOSITORY, a directory, that keep it from being built, where no decision is needed for it.

    The changes are shown as a patch; the names of the changed files go to standard output.
    """  # fmt: skip
    fixes = find_fixes(selection.request(), on_event=session.show, store=session.store, host_env=selection.host_env)
    if not fixes:
        session.log.info(f"nothing to correct in {selection.repository}")
    for found in fixes:
        if diff_only:
            sys.stdout.buffer.write(found.patch())
            continue
        for line in found.patch().decode("utf-8", "replace").splitlines():
            session.log.info(line)
    if diff_only:
        return
    write_fixes(Path(selection.repository), fixes)
    for found in fixes:
        session.log.info(f"corrected {found.name}")
        print_result(found.name)
