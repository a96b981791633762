"""What can go wrong before Poetry is asked, for the person who can put it right.

kit.BuildpackError
  InvalidProject           pyproject.toml cannot be used as it is; all that is wrong with it at once, before anything is downloaded

`buildpacks.installer.errors` has those of the settings and of the installation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from buildpacks.installer.errors import Origin
from buildpacks.installer.problems import InvalidFiles

PYPROJECT = "pyproject.toml"

# What kind of mistake a problem is, for reports and tests; the message says it to people.
ProblemKind = Literal[
    "file",
    "encoding",
    "toml",
    # what Poetry's own check says
    "missing-key",
    "unknown-key",
    "invalid",
    "constraint",
    "python",
    "dependency",
    "group",
    "script",
    "source",
    "outside",
    # what only Poetry 2 reads
    "needs-newer-poetry",
    # what a package must have
    "no-package",
    "no-readme",
]

# What mends problems of a kind all together; what a problem itself says to do is the other way.
_REMEDIES: Mapping[ProblemKind, str] = {
    "needs-newer-poetry": "build with Poetry 2, which reads it: `BP_POETRY_VERSION=2.x`",
    "no-package": "set `package-mode = false` in `[tool.poetry]` if only the dependencies are wanted",
    "no-readme": "set `package-mode = false` in `[tool.poetry]` if only the dependencies are wanted",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something to change in pyproject.toml."""

    origin: Origin
    kind: ProblemKind
    message: str
    """What is wrong, in one line."""
    change: str
    """What to do, in one line."""


class InvalidProject(InvalidFiles[Problem]):
    """A pyproject.toml, or what belongs to it, cannot be used as it is."""

    @property
    def hint(self) -> str | None:
        """What mends several problems at once, and what to do about the only one."""
        remedies = list(dict.fromkeys(_REMEDIES[item.kind] for item in self.problems if item.kind in _REMEDIES))
        if len(self.problems) == 1:
            remedies.append(f"or {self.problems[0].change}" if remedies else self.problems[0].change)
        return "\n".join(remedies) or None
