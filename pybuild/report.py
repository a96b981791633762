"""What a build or a detection found out, for people and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lifecycle.app_layers import ExportedLayer
from lifecycle.cnb.identifier import BuildpackId
from lifecycle.cnb.jsontext import render_json
from lifecycle.cnb.plan import ResolvedPlan
from lifecycle.detection import Detection, Outcome, render_detection
from lifecycle.export import ExportedImage
from lifecycle.exporters import Written
from lifecycle.oci.image import Image
from lifecycle.oci.image_index import ImageIndex
from pybuild.base_images import FetchedImage
from pybuild.source import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseTime:
    """A phase and how long it took."""

    name: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildReport:
    """The result of a build."""

    source: Source
    builder: str
    """Key of the builder."""
    detection: Detection
    exported: ExportedImage
    phases: tuple[PhaseTime, ...]
    locks: Mapping[str, Mapping[str, str]]
    """What was resolved: the text of each lock file by its name, by the buildpack that resolved it."""
    bases: tuple[FetchedImage, ...] = ()
    """Images that a Dockerfile took."""
    outputs: tuple[str, ...]
    """Where the image is, each with its manifest's digest."""
    written: tuple[Written, ...] = ()
    """The same with what was transferred; empty where the image stays in the store."""

    @property
    def image(self) -> Image:
        """The image; `image.digest` is that of its manifest."""
        return self.exported.image

    def to_json(self) -> Mapping[str, object]:
        """The report as `--report` writes it; sizes are bytes of the compressed blob."""
        image = self.image
        return {
            "image": {
                "digest": str(image.digest),
                "id": str(image.manifest.config.digest),
                "outputs": list(self.outputs),
            },
            "transfers": [one.to_json() for one in self.written],
            "source": {
                "kind": self.source.kind,
                "location": self.source.location,
                "revision": self.source.revision,
                "subdirectory": self.source.subdirectory,
            },
            "builder": self.builder,
            "detection": json.loads(render_detection(self.detection)),
            "layers": [
                {
                    "name": layer.name,
                    "digest": str(layer.digest),
                    "diffID": str(layer.diff_id),
                    "size": layer.size,
                    "reused": layer.is_reused,
                    "seconds": round(layer.seconds, 3),
                }
                for layer in self.exported.layers
            ],
            "bases": [{"name": base.name, "digest": str(base.digest), "origin": base.origin} for base in self.bases],
            "locks": {buildpack: dict(locks) for buildpack, locks in self.locks.items()},
            "phases": [{"name": phase.name, "seconds": round(phase.seconds, 3)} for phase in self.phases],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexReport:
    """The result of a build for several platforms. `reports` by the names of these."""

    index: ImageIndex
    reports: Mapping[str, BuildReport]
    written: tuple[Written, ...]

    @property
    def outputs(self) -> tuple[str, ...]:
        """Where the index is; without outputs, where the images are."""
        return tuple(one.location for one in self.written) or tuple(
            output for report in self.reports.values() for output in report.outputs
        )

    def to_json(self) -> Mapping[str, object]:
        """The report as `--report` writes it: of the index, and of each image."""
        return {
            "index": {"digest": str(self.index.digest), "outputs": [one.location for one in self.written]},
            "transfers": [one.to_json() for one in self.written],
            "platforms": {name: report.to_json() for name, report in self.reports.items()},
        }


def render_report(report: BuildReport | IndexReport) -> list[str]:
    """Lines that tell a person what was built: layers with size and whether they were reused, seconds by phase."""
    if isinstance(report, IndexReport):
        return [line for name, one in report.reports.items() for line in _render(one, f" {name}")]
    return _render(report, "")


def _render(report: BuildReport, of: str) -> list[str]:
    lines = [f"===> IMAGE{of}"]
    layers = report.exported.layers
    width = max((len(layer.name) for layer in layers if layer.part_of is None), default=0)
    for layer in (layer for layer in layers if layer.part_of is None):
        parts = [layer, *(part for part in layers if part.part_of == layer.name)]
        size = _size(sum(part.size for part in parts))
        lines.append(f"  {layer.name:<{width}}  {size:>9}  {_describe_reuse(parts)}")
    times = ", ".join(f"{phase.name} {phase.seconds:.1f} s" for phase in report.phases)
    total = sum(phase.seconds for phase in report.phases)
    lines.append(f"Done in {total:.1f} s ({times})")
    return lines


def _describe_reuse(parts: Sequence[ExportedLayer]) -> str:
    """Whether a layer is new; of one in several parts, how many and how large they are that are."""
    new = [part for part in parts if not part.is_reused]
    if not new:
        return "reused"
    if len(parts) == 1:
        return "new"
    if len(new) == len(parts):
        return f"new, in {len(parts)} parts"
    return f"new: {len(new)} of {len(parts)} parts, {_size(sum(part.size for part in new))}"


def describe_detection(detection: Detection) -> list[str]:
    """A line for each buildpack that was tried: whether it would run, and why or why not."""
    chosen = {element.id for element in detection.group.elements} if detection.group else set()
    reasons = dict(detection.reasons())
    alternatives = dict(detection.alternatives())
    lines: dict[str, str] = {}
    for trial in detection.trials:
        for member in trial.members:
            would_run = member.id in chosen and member.outcome is Outcome.PASSED
            if would_run:
                reason = member.reason
            elif member.id in alternatives:
                reason = f"{choosing(member.id)} ({member.reason})"
            else:
                reason = reasons.get(member.id, member.reason or "its group does not fit")
            if would_run or member.id not in lines:
                lines[member.id] = f"{'yes' if would_run else 'no':<4}{member.id} {member.version}  {reason or ''}"
    return [line.rstrip() for line in lines.values()]


def describe_plan(plan: ResolvedPlan) -> list[str]:
    """A line for each name of the build plan, sorted: who provides it, and what is required of it."""
    lines = []
    for entry in sorted(plan.entries, key=lambda one: one.name):
        providers = ", ".join(str(provider.id) for provider in entry.providers)
        wishes = dict.fromkeys(render_json(one.metadata) for one in entry.requires if one.metadata)
        lines.append(f"{entry.name} from {providers}{''.join(f' {wish}' for wish in wishes)}")
    return lines or ["nothing is required of any buildpack"]


def choosing(buildpack: BuildpackId) -> str:
    """How to build with a buildpack that another was chosen before."""
    return f"would fit as well, after the one above: `--buildpack {buildpack.removeprefix('pybuild/')}` chooses it"


def _size(count: int) -> str:
    return f"{count / 2**20:.1f} MiB" if count >= 2**20 else f"{count / 2**10:.1f} KiB"
