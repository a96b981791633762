"""The example of docs/workspaces.md."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.documents import program_of
from tests.interpreter import ROOT

DOCUMENT = ROOT / "docs" / "workspaces.md"


def test_the_examples_do_what_they_say(tmp_path: Path) -> None:
    examples = program_of(DOCUMENT)
    assert examples
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", examples], check=True, cwd=tmp_path, env=env)
