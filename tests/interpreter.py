"""The interpreter of the tests, for programs that they start: the machine's need not have what those import."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Bytecode that they share from run to run, as they have it in a builder; without it most of their time goes into compiling.
_BYTECODE = ROOT / ".pytest_cache" / "bytecode"
ISOLATED = (sys.executable, "-I", "-X", f"pycache_prefix={_BYTECODE}")
"""The beginning of a command: nothing of the environment or of a home changes what is run."""
