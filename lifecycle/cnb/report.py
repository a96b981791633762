"""report.toml: what became of the image (platform.md, "report.toml (TOML)")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lifecycle.cnb.toml import write_toml


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageReport:
    """An image that was written. An engine knows an id only, all else a digest; `manifest_size`: bytes."""

    tags: Sequence[str]
    digest: str | None = None
    manifest_size: int | None = None
    image_id: str | None = None


def write_report(path: Path, report: ImageReport) -> None:
    """Write report.toml."""
    image = {
        "tags": report.tags,
        "image-id": report.image_id,
        "digest": report.digest,
        "manifest-size": report.manifest_size,
    }
    write_toml(path, {"image": image})
