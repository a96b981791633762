"""Detection: pyproject.toml has a table for Poetry."""

from __future__ import annotations

from lifecycle.cnb.kit import BuildPlan, DetectContext, NotDetected

# What this buildpack gives to others: packages on Python's path. Part of its public interface, as it is of the pip buildpack's.
SITE_PACKAGES = "site-packages"


def detect(context: DetectContext) -> BuildPlan:
    """Return a plan that needs Python and gives the packages. Raises `NotDetected` when the project is not Poetry's."""
    raise NotDetected(f"no `pyproject.toml` in {context.app_dir}")
