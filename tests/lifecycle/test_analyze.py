from __future__ import annotations

from pathlib import Path

import pytest

from lifecycle.analyze import PreviousImage, RunImage, analyze
from lifecycle.cnb.analyzed import read_analyzed, write_analyzed
from lifecycle.cnb.identifier import BuildpackId
from lifecycle.cnb.labels import (
    LIFECYCLE_LABEL,
    BuildpackRecord,
    LayerRecord,
    LifecycleMetadata,
    RunImageRecord,
    render_lifecycle_metadata,
)
from lifecycle.cnb.layer import LayerTypes
from lifecycle.cnb.target import Target
from lifecycle.errors import AnalyzeError
from tests.lifecycle.world import RecordingLog

RUN_IMAGE = RunImage(
    name="pybuild/run",
    reference="/run@sha256:1",
    os="linux",
    architecture="arm64",
    variant="v8",
    labels={"io.buildpacks.base.distro.name": "debian", "io.buildpacks.base.distro.version": "12"},
)
METADATA = LifecycleMetadata(
    app=("sha256:a", "sha256:b"),
    config="sha256:c",
    launcher="sha256:d",
    buildpacks=(
        BuildpackRecord(
            id=BuildpackId.parse("x/y"),
            version="1.0.0",
            layers={
                "venv": LayerRecord(sha="sha256:e", types=LayerTypes(launch=True), metadata={"n": 3, "t": {"u": []}})
            },
            store={"k": "v"},
        ),
        BuildpackRecord(id=BuildpackId.parse("z"), version="2.0.0"),
    ),
    run_image=RunImageRecord(top_layer="sha256:f", reference="r", image="pybuild/run", mirrors=("m/run",)),
)


def test_a_label_that_another_lifecycle_wrote_is_understood() -> None:
    # As Go's encoder writes a layer without metadata.
    label = """{"buildpacks": [{"key": "x/y", "version": "1", "layers": {"venv": {"sha": "sha256:e", "data": null, "launch": true}},
        "store": null}], "runImage": {"topLayer": "sha256:f", "mirrors": null}}"""
    analyzed = analyze(
        previous=PreviousImage(reference="r", labels={LIFECYCLE_LABEL: label}), run_image=RUN_IMAGE, log=RecordingLog()
    )
    assert analyzed.previous.layer(BuildpackId.parse("x/y"), "venv") == LayerRecord(
        sha="sha256:e", types=LayerTypes(launch=True)
    )
    assert analyzed.previous.run_image == RunImageRecord(top_layer="sha256:f")


def test_both_images_are_described(tmp_path: Path) -> None:
    previous = PreviousImage(reference="app@sha256:2", labels={LIFECYCLE_LABEL: render_lifecycle_metadata(METADATA)})
    analyzed = analyze(previous=previous, run_image=RUN_IMAGE, log=RecordingLog())
    assert analyzed.previous == METADATA
    assert analyzed.run_image is not None
    assert analyzed.run_image.target == Target(
        os="linux", arch="arm64", variant="v8", distro_name="debian", distro_version="12"
    )
    write_analyzed(tmp_path / "analyzed.toml", analyzed)
    assert read_analyzed(tmp_path / "analyzed.toml") == analyzed


def test_no_previous_image_is_no_problem(tmp_path: Path) -> None:
    analyzed = analyze(previous=None, run_image=RUN_IMAGE, log=RecordingLog())
    assert analyzed.previous == LifecycleMetadata()
    write_analyzed(tmp_path / "analyzed.toml", analyzed)
    assert read_analyzed(tmp_path / "analyzed.toml") == analyzed


@pytest.mark.parametrize("labels", [{}, {LIFECYCLE_LABEL: "{"}, {LIFECYCLE_LABEL: '{"app": 3}'}])
def test_previous_image_that_tells_nothing_counts_as_none(labels: dict[str, str]) -> None:
    log = RecordingLog()
    analyzed = analyze(previous=PreviousImage(reference="app@sha256:2", labels=labels), run_image=RUN_IMAGE, log=log)
    assert analyzed.previous_image is None
    assert analyzed.previous == LifecycleMetadata()
    assert log.lines[0].startswith("The previous image is not reused: ")


def test_run_image_must_say_what_it_runs_on() -> None:
    with pytest.raises(AnalyzeError) as caught:
        analyze(previous=None, run_image=RunImage(name="x", reference="y", os="", architecture=""), log=RecordingLog())
    assert caught.value.exit_code == 32


def test_label_has_sorted_keys_and_the_deprecated_copy_of_the_run_image() -> None:
    label = render_lifecycle_metadata(METADATA)
    assert label.startswith(
        '{"app":[{"sha":"sha256:a"},{"sha":"sha256:b"}],"buildpacks":[{"key":"x/y","layers":{"venv":'
    )
    assert '"stack":{"runImage":{"image":"pybuild/run","mirrors":["m/run"]}}' in label
    assert '"sbom"' not in label
