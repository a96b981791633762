"""The example of docs/workspaces.md."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

DOCUMENT = Path(__file__).parents[3] / "docs" / "workspaces.md"


def test_the_examples_do_what_they_say(tmp_path: Path) -> None:
    examples = re.findall(r"^```python\n(.*?)^```$", DOCUMENT.read_text(encoding="utf-8"), re.M | re.S)
    assert examples
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", "\n".join(examples)], check=True, cwd=tmp_path, env=env)
