"""Detection: any application may have Python; whether one needs it, the buildpacks after this one say."""

from __future__ import annotations

from lifecycle.cnb.kit import BuildPlan, DetectContext

# The plan entry that other buildpacks require. Its metadata may hold `version`, asked for when the repository asks for none.
PYTHON = "python"


def detect(context: DetectContext) -> BuildPlan:  # noqa: ARG001 - the kit's signature
    """Return a plan that provides `python`."""
    return BuildPlan(provides=(PYTHON,))
