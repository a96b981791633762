"""Contexts of builds, for functions that a buildpack is made of."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from lifecycle.cnb.kit import BuildContext
from lifecycle.cnb.target import Target


def make_context(root: Path, env: Mapping[str, str] | None = None) -> BuildContext:
    """A context whose layers are in `root/layers`."""
    for name in ("app", "layers"):
        (root / name).mkdir(exist_ok=True)
    return BuildContext(
        app_dir=root / "app",
        layers_dir=root / "layers",
        platform_dir=root,
        buildpack_dir=root,
        env={"PATH": os.environ["PATH"], "HOME": str(root), **(env or {})},
        target=Target(os="linux", arch="amd64"),
        plan=(),
        store={},
    )
