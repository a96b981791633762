"""`pybuild detect`: which buildpacks would build a repository."""

from __future__ import annotations

import json
from pathlib import Path

import click

from lifecycle.detection import render_detection
from pybuild.commands.options import Selection, Session, selection_options, session_options
from pybuild.commands.printing import print_result
from pybuild.library import detect as detect_repository
from pybuild.report import describe_detection, describe_plan


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the detection as JSON, the build plan among it.")
@click.option(
    "--plan", "with_plan", is_flag=True, help="Print the build plan as well: what is required, and who provides it."
)
@selection_options
@session_options
def detect(
    selection: Selection,
    session: Session,
    *,
    as_json: bool,
    with_plan: bool,
) -> None:
    """Say which buildpacks would build REPOSITORY, and why the others would not."""
    detection = detect_repository(
        selection.request(), on_event=session.show, store=session.store, host_env=selection.host_env
    )
    if as_json:
        print_result(json.dumps(json.loads(render_detection(detection)), indent=2))
    else:
        for line in describe_detection(detection):
            print_result(line)
        for line in describe_plan(detection.plan) if with_plan and detection.group is not None else ():
            print_result(f"plan: {line}")
    if detection.group is None:
        raise detection.error(app_dir=Path(selection.repository))
