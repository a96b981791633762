"""Bytecode is the same each time, says where its source is, and outlives a change of times."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from pybuild.builder.inside import compile_bytecode

SOURCE = '''\
"""Constants that are stored in hash order, and names that interpreters share."""
WORDS = {"alpha", "beta", "gamma", "delta"}
def is_known(word):
    return word in {"alpha", "beta", "gamma", "delta", "epsilon", "zeta", 1, 2, None}
class Thing:
    alpha = "alpha"
    def beta(self, gamma="gamma"):
        return [gamma for delta in (self.alpha, "beta")]
'''


def compile_tree(directory: Path) -> dict[str, bytes]:
    """Compile what is in `directory`; the bytecode by name."""
    command = [sys.executable, "-s", compile_bytecode.__file__, str(directory)]
    subprocess.run(command, env={"PATH": os.defpath, "PYTHONHASHSEED": "0"}, check=True, stdout=subprocess.DEVNULL)
    return {path.name: path.read_bytes() for path in directory.rglob("*.pyc")}


def test_bytecode_is_the_same_each_time(tmp_path: Path) -> None:
    for number in range(8):
        (tmp_path / f"module{number}.py").write_text(SOURCE.replace("epsilon", f"epsilon{number}"))
    first = compile_tree(tmp_path)
    assert len(first) == 8
    assert compile_tree(tmp_path) == first


def test_bytecode_is_used_whatever_the_times_are(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text("print(__file__, (lambda: 0).__code__.co_filename)\n")
    compile_tree(tmp_path)
    # Not read any more: the bytecode is taken as it is.
    module.write_text("raise SystemExit('the source was compiled again')\n")
    os.utime(module, (0, 0))
    command = [sys.executable, "-c", "import module"]
    result = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    assert result.stdout.split() == [str(module), str(module)]


def test_a_module_that_does_not_compile_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("def (:\n")
    (tmp_path / "good.py").write_text("")
    compiled = compile_tree(tmp_path)
    assert list(compiled) == [Path(importlib.util.cache_from_source("good.py")).name]
