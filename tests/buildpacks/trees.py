"""What installations have left."""

from __future__ import annotations

from pathlib import Path


def tree(directory: Path) -> dict[str, bytes | str]:
    """Every file with its content, every link with its target."""
    found: dict[str, bytes | str] = {}
    for path in sorted(directory.rglob("*")):
        name = str(path.relative_to(directory))
        if path.is_symlink():
            found[name] = str(path.readlink())
        elif path.is_file():
            found[name] = path.read_bytes()
    return found
