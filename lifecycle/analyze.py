"""The analyze phase: what the previous image and the run image say of themselves (platform.md, "Analysis").

Pure: whoever can read the images reads their configs and passes on what is in them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lifecycle.cnb.analyzed import Analyzed, AnalyzedRunImage
from lifecycle.cnb.errors import ConfigurationError
from lifecycle.cnb.labels import (
    DISTRO_NAME_LABEL,
    DISTRO_VERSION_LABEL,
    LIFECYCLE_LABEL,
    LifecycleMetadata,
    parse_lifecycle_metadata,
)
from lifecycle.cnb.target import Target
from lifecycle.errors import AnalyzeError
from lifecycle.log import PhaseLog


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviousImage:
    """An image that may be there: `reference` identifies it exactly, `labels` are those of its config."""

    reference: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunImage:
    """The image to build on: its name, what identifies it exactly, and what its config says."""

    name: str
    reference: str
    os: str
    architecture: str
    variant: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def target(self) -> Target:
        """What it runs on."""
        return Target(
            os=self.os,
            arch=self.architecture,
            variant=self.variant or None,
            distro_name=self.labels.get(DISTRO_NAME_LABEL) or None,
            distro_version=self.labels.get(DISTRO_VERSION_LABEL) or None,
        )


def analyze(*, previous: PreviousImage | None, run_image: RunImage, log: PhaseLog) -> Analyzed:
    """Return what is known of both images. A previous image that tells nothing usable counts as none.

    Raises `AnalyzeError` when the run image does not say what it runs on.
    """
    if not run_image.os or not run_image.architecture:
        raise AnalyzeError(image=run_image.name, message="its config does not say `os` and `architecture`")
    metadata = _read_metadata(previous, log)
    return Analyzed(
        previous_image=previous.reference if previous is not None and metadata is not None else None,
        previous=metadata or LifecycleMetadata(),
        run_image=AnalyzedRunImage(reference=run_image.reference, image=run_image.name, target=run_image.target),
    )


def _read_metadata(previous: PreviousImage | None, log: PhaseLog) -> LifecycleMetadata | None:
    if previous is None:
        return None
    label = previous.labels.get(LIFECYCLE_LABEL)
    if not label:
        log.info(f"The previous image is not reused: it has no label `{LIFECYCLE_LABEL}`")
        return None
    try:
        return parse_lifecycle_metadata(label)
    except ConfigurationError as err:
        log.info(f"The previous image is not reused: {err.summary}")
        return None
