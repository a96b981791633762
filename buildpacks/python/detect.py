"""Detection: any application may have Python; whether one needs it, the buildpacks after this one say."""

from __future__ import annotations

from lifecycle.cnb.detecting import BuildPlan, DetectContext

# The plan entry that other buildpacks require. Its metadata may hold `version`, asked for when the repository asks for none.
PYTHON = "python"


def detect(context: DetectContext) -> BuildPlan:
    """Return a plan that provides `python`."""
    context.say("gives Python to the buildpacks that need it")
    return BuildPlan(provides=(PYTHON,))
