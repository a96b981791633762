"""Of the process that it is in, the library reads and changes nothing that its caller cannot set: threads have one process together."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import pybuild
from pybuild.errors import ToolMissing

ROOT = Path(__file__).parent.parent
# The environment and the home directory; the directory and the signals of the process
STATE = {
    "os.environ",
    "os.environb",
    "os.getenv",
    "os.path.expanduser",
    "os.path.expandvars",
    "Path.home",
    "expanduser",
    "getpass.getuser",
    "os.chdir",
    "os.fchdir",
    "os.putenv",
    "os.umask",
    "signal.signal",
}
# Whole programs; and the one place that knows what holds where the caller says nothing.
PROGRAMS = {
    "pybuild/__main__.py",
    "pybuild/commands",
    "pybuild/environments/conda_program.py",  # what equivalent Dockerfiles have in them
    "pybuild/run.py",  # `pybuild run` hands the terminal and its signals to the command; the library has no such function
    "lifecycle/__main__.py",
    "lifecycle/commands",
    "lifecycle/privileges.py",  # of these programs, when root starts them
    "lifecycle/cnb/kit.py",  # `bin/detect` and `bin/build` of a buildpack
    "lifecycle/cnb/detecting.py",
    "lifecycle/oci/extract.py",  # the process that unpacks an image
}
OWNER = "pybuild/machine.py"


def uses(path: Path) -> Iterator[str]:
    text = path.read_text(encoding="utf-8")
    if not any(name.rpartition(".")[2] in text for name in STATE):
        return  # to parse all of them takes a second
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute):
            used = {ast.unparse(node), node.attr} & STATE
        elif isinstance(node, ast.ImportFrom):
            used = {f"{node.module}.{alias.name}" for alias in node.names} & STATE
        else:
            continue
        yield from (f"{path.relative_to(ROOT)}:{node.lineno} {name}" for name in used)


def test_only_programs_and_one_module_look_at_the_process() -> None:
    paths = [path for top in ("pybuild", "lifecycle") for path in sorted((ROOT / top).rglob("*.py"))]
    names = {path: str(path.relative_to(ROOT)) for path in paths}
    library = [path for path in paths if not any(f"{names[path]}/".startswith(f"{one}/") for one in (*PROGRAMS, OWNER))]
    assert len(library) > 100
    assert [use for path in library for use in uses(path)] == []
    # What this test looks for is what the one module does.
    assert {use.rpartition(" ")[2] for use in uses(ROOT / OWNER)} == {"os.environ", "expanduser"}


@pytest.mark.integration
def test_the_builder_is_made_with_what_the_caller_says(tmp_path: Path) -> None:
    """The machine that the tests run on has the tool."""
    with pytest.raises(ToolMissing, match="mmdebstrap"):
        pybuild.create_builder(pybuild.BuilderRequest(), store=tmp_path / "store", host_env={"PATH": str(tmp_path)})
