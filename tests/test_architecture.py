"""The map of docs/architecture.md is one of this tree: it names every package, and nothing that is not there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
MAP = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").split("```")[1]
PACKAGES = ("pybuild", "lifecycle")


def test_every_module_of_the_map_is_there() -> None:
    named = set(re.findall(r"\b\w+\.py\b", MAP))
    there = {path.name for package in (*PACKAGES, "buildpacks") for path in (ROOT / package).rglob("*.py")}
    assert "build.py" in named
    assert named - there == set()


def test_every_package_is_on_the_map() -> None:
    named = set(re.findall(r"(\w+)/ ", MAP))
    there = {path.parent.name for package in PACKAGES for path in (ROOT / package).glob("*/__init__.py")}
    assert there - named == set()
