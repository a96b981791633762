"""Imports point downhill: pybuild -> lifecycle -> lifecycle.exporters -> lifecycle.registry -> lifecycle.daemon ->
lifecycle.connections -> lifecycle.oci -> lifecycle.cnb; a buildpack imports only `lifecycle.cnb`, the library
`buildpacks.installer` and itself.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
# Highest first: a module may import what is on its own level or below.
LEVELS = (
    "pybuild",
    "lifecycle",
    "lifecycle.exporters",
    "lifecycle.registry",
    "lifecycle.daemon",
    "lifecycle.connections",
    "lifecycle.oci",
    "lifecycle.cnb",
)
# What the build image has beside its own Python, for code that runs there.
IN_BUILD_IMAGE = {"fastjsonschema", "packaging", "poetry", "rattler", "tomli", "yaml"}
# The only one that is no buildpack, but what several share.
LIBRARY = "buildpacks.installer"


def imported_modules(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            yield node.module


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def level(module: str) -> int | None:
    """Index in `LEVELS` of the package that holds `module`; None for what is not ours."""
    fitting = [index for index, package in enumerate(LEVELS) if f"{module}.".startswith(f"{package}.")]
    return max(fitting, default=None)


def test_imports_point_downhill() -> None:
    wrong = []
    for top in ("pybuild", "lifecycle"):
        for path in sorted((ROOT / top).rglob("*.py")):
            own = level(module_name(path))
            assert own is not None
            for module in imported_modules(path):
                other = level(module)
                if module.startswith("buildpacks") or (other is not None and other < own):
                    wrong.append(f"{path.relative_to(ROOT)} imports {module}")
    assert wrong == []


def test_a_buildpack_imports_only_the_contract_and_itself() -> None:
    wrong = []
    for path in sorted((ROOT / "buildpacks").rglob("*.py")):
        if path.parent.parent.name != "buildpacks":
            continue
        own = f"buildpacks.{path.parent.name}"
        for module in imported_modules(path):
            top = module.partition(".")[0]
            ours = top in ("pybuild", "lifecycle", "buildpacks")
            if ours and not f"{module}.".startswith((f"{own}.", "lifecycle.cnb.", f"{LIBRARY}.")):
                wrong.append(f"{path.relative_to(ROOT)} imports {module}")
    assert wrong == []


def test_what_runs_in_the_build_image_needs_nothing_that_is_not_there() -> None:
    import sys

    wrong = []
    paths = [*(ROOT / "buildpacks").rglob("*.py"), *(ROOT / "lifecycle" / "cnb").rglob("*.py")]
    for path in sorted(paths):
        for module in imported_modules(path):
            top = module.partition(".")[0]
            known = top in sys.stdlib_module_names or top in IN_BUILD_IMAGE
            if not known and top not in ("lifecycle", "buildpacks", "tomllib"):
                wrong.append(f"{path.relative_to(ROOT)} imports {module}")
    assert wrong == []


def test_programs_that_only_run_buildpacks_load_nothing_that_talks_to_registries_and_engines() -> None:
    reached: set[str] = set()
    pending = {"lifecycle.__main__", *(f"lifecycle.commands.{program}" for program in ("detector", "builder", "fixer"))}
    while pending:
        module = pending.pop()
        reached.add(module)
        place = ROOT.joinpath(*module.split("."))
        path = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
        pending |= {one for one in imported_modules(path) if one.startswith("lifecycle.")} - reached
    assert "lifecycle.cnb.plan" in reached
    assert [
        module for module in sorted(reached) if module.split(".")[1] in ("registry", "daemon", "exporters", "oci")
    ] == []
