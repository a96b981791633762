"""The buildpacks of `tests/samples`, plain bash as other people write them: what each build of them must give."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from lifecycle.cnb.toml import read_table
from lifecycle.cnb.tomltext import render_toml
from tests.integration.command import CHECKOUT
from tests.integration.image_files import LayoutImage, iterate_files

SAMPLES = CHECKOUT / "tests" / "samples"
VERSION = "1.0.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A container of the image, and what it must say."""

    command: tuple[str, ...] = ()
    process: str | None = None
    """None: whatever the image starts by itself."""
    env: Mapping[str, str] = field(default_factory=dict)
    says: tuple[str, ...] = ()
    """All of its standard output."""
    status: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One row: an application, the buildpacks that are asked, and what comes of it."""

    name: str
    asked: tuple[str, ...] = ()
    """Empty: what the application itself names, which only `pybuild build` reads."""
    extensions: tuple[str, ...] = ()
    app: str = "plain"
    options: tuple[str, ...] = ()
    """Of `pybuild build`."""
    user_env: Mapping[str, str] = field(default_factory=dict)
    status: int = 0
    error: str = ""
    """What the message of a build that fails must mention."""
    group: tuple[str, ...] = ()
    """In their order; version and Buildpack API behind a name that is not among the samples."""
    plan: Mapping[str, tuple[tuple[str, ...], tuple[Mapping[str, object], ...]]] = field(default_factory=dict)
    """For each entry its providers, and the metadata of each requirement."""
    first: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """All that buildpacks say in the first build; who is not named says nothing."""
    second: Mapping[str, tuple[str, ...]] | None = None
    """The same in the second build; None: as in the first."""
    cleared: Mapping[str, tuple[str, ...]] | None = None
    """The same when the cache was cleared, and the image is still there; None: nothing is cached."""
    layers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Metadata of the layers in the image, by buildpack and layer."""
    processes: tuple[str, ...] = ()
    default: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str | None] = field(default_factory=dict)
    """Files of the image with their texts; None: there must be no such file."""
    runs: tuple[Run, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What a build left, whichever way it was started."""

    group: list[dict[str, str]]
    plan: list[dict[str, Any]]
    log: str
    image: LayoutImage


class Way(Protocol):
    """A way to build samples, with a cache and a place for images of its own."""

    def build(self, sample: Sample) -> Built:
        """One more build of it, which must succeed."""

    def fail(self, sample: Sample) -> str:
        """The message of a build that must end with the status of the sample."""

    def clear_cache(self) -> None:
        """Take away what is kept of layers, but for the images."""


def write_samples_builder(directory: Path) -> Path:
    """A builder.toml with all samples, each in a group of its own, on the bases of the default builder: these are there already."""
    values = dict(read_table(CHECKOUT / "builder.toml").values)
    found = sorted(path.parent for path in (SAMPLES / "buildpacks").glob("*/buildpack.toml"))
    extensions = sorted(path.parent for path in (SAMPLES / "extensions").glob("*/extension.toml"))
    own = dict(values["pybuild"])  # type: ignore[call-overload]
    own["interpreters"] = {"cpython": []}
    own["tools"] = {"pip": own["tools"]["pip"]}
    build = {**values["build"], "env": [{"name": "FROM_OPERATOR", "value": "operator"}]}  # type: ignore[dict-item]
    values |= {
        "buildpacks": [{"uri": str(path)} for path in found],
        "extensions": [{"uri": str(path)} for path in extensions],
        "order-extensions": [{"group": [{"id": f"example/{path.name}"} for path in extensions]}],
        "order": [{"group": [{"id": f"example/{path.name}"}]} for path in found],
        "build": build,
        "pybuild": own,
    }
    path = directory / "builder.toml"
    path.write_text(render_toml(values))
    return path


def build_repeatedly(sample: Sample, way: Way) -> Built:
    """The last of several builds; they must say and give what the sample says."""
    first = way.build(sample)
    expect_facts(first, sample)
    assert said_by(first.log) == sample.first, first.log
    second = way.build(sample)
    assert said_by(second.log) == (sample.first if sample.second is None else sample.second), second.log
    assert second.image.digest == first.image.digest
    if sample.cleared is None:
        return second
    way.clear_cache()
    third = way.build(sample)
    expect_facts(third, sample)
    assert said_by(third.log) == sample.cleared, third.log
    assert own_diff_ids(third.image) == own_diff_ids(first.image)
    return third


def expect_facts(built: Built, sample: Sample) -> None:
    """What the build wrote and the image say must be what the sample says."""
    group = [
        f"{element['id'].removeprefix('example/')} {element['version']} {element['api']}" for element in built.group
    ]
    expected = [name if " " in name else f"{name} {VERSION} {api_of(name)}" for name in sample.group]
    assert group == expected
    assert readable_plan(built.plan) == {
        name: ([f"example/{provider}" for provider in providers], list(metadata))
        for name, (providers, metadata) in sample.plan.items()
    }
    image, build = built.image, built.image.label("io.buildpacks.build.metadata")
    assert [element["id"] for element in build["buildpacks"]] == [element["id"] for element in built.group]
    assert tuple(process["type"] for process in build["processes"]) == sample.processes
    assert all(process["direct"] is True for process in build["processes"])
    written = read_in_image(image, "layers/config/metadata.toml")
    assert [process["type"] for process in written.get("processes", [])] == list(sample.processes)
    assert (written["buildpack-default-process-type"] or None) == sample.default
    lifecycle = image.label("io.buildpacks.lifecycle.metadata")
    assert {
        f"{element['key'].removeprefix('example/')}:{layer}": facts.get("data") or {}
        for element in lifecycle["buildpacks"]
        for layer, facts in element["layers"].items()
    } == sample.layers
    started = "/cnb/lifecycle/launcher" if sample.default is None else f"/cnb/process/{sample.default}"
    config = image.config["config"]
    assert config["Entrypoint"] == [started]
    assert not config.get("Cmd")
    assert config["WorkingDir"] == "/workspace"
    assert image.env["CNB_LAYERS_DIR"] == "/layers"
    assert image.env["CNB_APP_DIR"] == "/workspace"
    assert {name: config["Labels"].get(name) for name in sample.labels} == sample.labels
    expect_diff_ids(image, lifecycle)
    contents = {file.name: file.content.decode() for file in iterate_files(image) if file.name in sample.files}
    assert {name: contents.get(name) for name in sample.files} == sample.files


def expect_diff_ids(image: LayoutImage, lifecycle: Mapping[str, Any]) -> None:
    """All layers above the run image are named by the label, and nothing else is."""
    diff_ids = image.config["rootfs"]["diff_ids"]
    own = diff_ids[diff_ids.index(lifecycle["runImage"]["topLayer"]) + 1 :]
    named = [facts["sha"] for element in lifecycle["buildpacks"] for facts in element["layers"].values()]
    named += [part["sha"] for part in lifecycle["app"]]
    named += [
        lifecycle[key]["sha"] for key in ("launcher", "config", "process-types") if lifecycle.get(key, {}).get("sha")
    ]
    assert own == named


def api_of(name: str) -> str:
    """The Buildpack API of a sample's buildpack."""
    return read_table(SAMPLES / "buildpacks" / name / "buildpack.toml").string("api")


def readable_plan(plan: list[dict[str, Any]]) -> dict[str, tuple[list[str], list[dict[str, Any]]]]:
    """For each entry its providers, and the metadata of each requirement."""
    return {
        entry["requires"][0]["name"]: (
            [provider["id"] for provider in entry["providers"]],
            [required.get("metadata", {}) for required in entry["requires"]],
        )
        for entry in plan
    }


def read_in_image(image: LayoutImage, name: str) -> Mapping[str, Any]:
    """A TOML file of the image."""
    (found,) = [
        file.content for file in iterate_files(image) if file.name == name and file.entry.type == tarfile.REGTYPE
    ]
    path = image.layout.with_name("read.toml")
    path.write_bytes(found)
    return read_table(path).values


def said_by(log: str) -> dict[str, tuple[str, ...]]:
    """What each buildpack said while it built."""
    said: dict[str, list[str]] = {}
    speaker: list[str] | None = None
    for line in log.splitlines():
        if line.startswith("---> "):
            speaker = said.setdefault(line.split()[1].removeprefix("example/"), [])
        elif line.startswith("===> "):
            speaker = None
        elif speaker is not None:
            speaker.append(line)
    return {name: tuple(lines) for name, lines in said.items() if lines}


def own_diff_ids(image: LayoutImage) -> list[str]:
    """Diff IDs of the layers above the run image."""
    top = image.label("io.buildpacks.lifecycle.metadata")["runImage"]["topLayer"]
    diff_ids: list[str] = image.config["rootfs"]["diff_ids"]
    return diff_ids[diff_ids.index(top) + 1 :]


def comparable(built: Built) -> str:
    """What must be the same whichever way the sample was built, as JSON: all but where the run image is."""
    config = built.image.config["config"]
    labels = dict(config["Labels"])
    lifecycle = json.loads(labels.pop("io.buildpacks.lifecycle.metadata"))
    for key in ("runImage", "stack"):
        lifecycle.pop(key, None)
    facts = {
        "group": built.group,
        "plan": readable_plan(built.plan),
        "config": {name: config[name] for name in ("Entrypoint", "Env", "User", "WorkingDir")},
        "labels": {name: labels[name] for name in sorted(labels) if name != "io.buildpacks.project.metadata"},
        "lifecycle": lifecycle,
        "diff IDs": own_diff_ids(built.image),
    }
    return json.dumps(facts, indent=1, sort_keys=True)
