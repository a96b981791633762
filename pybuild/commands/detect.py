"""`pybuild detect`: which buildpacks would build a repository."""

from __future__ import annotations

import json
from pathlib import Path

import click

from lifecycle.detection import render_detection
from pybuild.build import detect_repository
from pybuild.commands.options import Selection, Session, selection_options, session_options
from pybuild.commands.printing import print_result
from pybuild.report import describe_detection


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the detection as JSON.")
@selection_options
@session_options
def detect(
    selection: Selection,
    session: Session,
    *,
    as_json: bool,
) -> None:
    """Say which buildpacks would build REPOSITORY, and why the others would not."""
    detection = detect_repository(selection.request(), session.store, selection.host_env, session.log)
    if as_json:
        print_result(json.dumps(json.loads(render_detection(detection)), indent=2))
    else:
        for line in describe_detection(detection):
            print_result(line)
    if detection.group is None:
        raise detection.error(app_dir=Path(selection.repository))
