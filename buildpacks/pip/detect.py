"""Detection: the requirement files are there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from buildpacks.installer.entries import SITE_PACKAGES
from lifecycle.cnb.detecting import BuildPlan, DetectContext, NotDetected, Requirement

DEFAULT_FILE = "requirements.txt"
FILES_VARIABLE = "BP_PIP_REQUIREMENT"
_SEARCHED_DIRECTORIES = 2000
_SKIPPED = frozenset({".git", "node_modules", "venv", ".venv", "site-packages", "__pycache__"})


def detect(context: DetectContext) -> BuildPlan:
    """Return a plan that needs Python and gives its packages. Raises `NotDetected` when a requirement file is missing."""
    names = read_file_names(context.env)
    missing = [name for name in names if not (context.app_dir / name).is_file()]
    if missing:
        raise NotDetected(_explain(missing[0], context.app_dir, is_default=FILES_VARIABLE not in context.env))
    context.say(f"found {', '.join(f'`{name}`' for name in names)}")
    return BuildPlan(
        provides=(SITE_PACKAGES,),
        requires=(
            Requirement(name="python", metadata={"build": True, "launch": True}),
            Requirement(name=SITE_PACKAGES, metadata={"launch": True}),
        ),
    )


def read_file_names(env: Mapping[str, str]) -> tuple[str, ...]:
    """Return the requirement files that are looked for, relative to the app directory; never empty."""
    return tuple(env.get(FILES_VARIABLE, "").split()) or (DEFAULT_FILE,)


def _explain(name: str, app_dir: Path, *, is_default: bool) -> str:
    reason = f"no `{name}` in the app directory"
    if not is_default:
        return f"{reason} (`{FILES_VARIABLE}` names it)"
    near = _similar_file(app_dir)
    return f"{reason}, but there is `{near}`: name it with `{FILES_VARIABLE}`" if near else reason


def _similar_file(app_dir: Path) -> str | None:
    """A file that was perhaps meant: under a near name in the app directory, or under the right name further down."""
    for path in sorted(app_dir.iterdir()):
        lowered = path.name.lower()
        if path.is_file() and lowered.endswith((".txt", ".in")) and "requirement" in lowered:
            return path.name
    for count, (directory, names, files) in enumerate(os.walk(app_dir)):
        names[:] = sorted(name for name in names if name not in _SKIPPED)
        if DEFAULT_FILE in files:
            return (Path(directory) / DEFAULT_FILE).relative_to(app_dir).as_posix()
        if count >= _SEARCHED_DIRECTORIES:
            break
    return None
