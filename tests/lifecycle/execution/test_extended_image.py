"""The image that comes of what an engine made."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lifecycle.cnb.errors import CnbError
from lifecycle.execution.errors import ExtendError
from lifecycle.execution.extended_image import Origin, make_extended_image
from lifecycle.execution.steps import plan_stages
from lifecycle.oci.config import History
from lifecycle.oci.image import Image, Layer, make_image
from tests.lifecycle.execution.recipes import local_name, recipe_of
from tests.lifecycle.oci.images import file_layer, image_of, validate_image

DECLARED = ["PIP_CONFIG_FILE pybuild_base_01"]
TEXT = """
FROM {a:1} AS one
RUN one
FROM one
ENV A=1
RUN echo \\
  s3cr3t
COPY --from={a:1} /x /x
"""
OWN: list[Mapping[str, Any]] = [
    {"created_by": "/bin/sh -c #(nop) ARG PIP_CONFIG_FILE pybuild_base_01", "empty_layer": True, "comment": "FROM x"},
    {"created_by": "|1 PIP_CONFIG_FILE=/dev/pybuild/pip.conf /bin/sh -c one"},
    {"created_by": "/bin/sh -c #(nop) ARG PIP_CONFIG_FILE pybuild_base_01", "empty_layer": True},
    {"created_by": "/bin/sh -c #(nop) ENV A=1", "empty_layer": True, "created": "2026-01-02T03:04:05Z"},
    {
        "created_by": "|2 PIP_CONFIG_FILE=/dev/pybuild/pip.conf TOKEN=s3cr3t /bin/sh -c echo s3cr3t",
        "created": "2026-01-02T03:04:06Z",
    },
    {"created_by": "/bin/sh -c #(nop) COPY dir:0123 in /x"},
]


def base_image(blobs: Path, *, onbuild: Sequence[str] = ()) -> Image:
    image = image_of(file_layer(blobs, {"base": "x"}))
    return make_image(replace(image.config, other_in_config={"OnBuild": list(onbuild)}), image.layers)


def origin_of(base: Image, text: str = TEXT) -> Origin:
    recipe = recipe_of(text, images=["a:1"], build_args={"TOKEN": "s3cr3t"}, secret_args=["TOKEN"])
    images = {local_name("a:1"): base}
    return Origin(recipe=recipe, stages=plan_stages(recipe, DECLARED), images=images, architecture="arm64")


def extended(
    base: Image, blobs: Path, *, own: Sequence[Mapping[str, Any]] = OWN, text: str = TEXT, **config: Any
) -> Image:
    layers = [
        *base.layers,
        *(file_layer(blobs, {f"own{number}": "x"}) for number in range(sum(not one.get("empty_layer") for one in own))),
    ]
    document = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [str(layer.diff_id) for layer in layers]},
        "history": [*({"created_by": one.created_by} for one in base.config.history), *own],
        **config,
    }
    known: dict[Any, Layer] = {layer.diff_id: layer for layer in layers}
    image = make_extended_image(json.dumps(document).encode(), origin_of(base, text), known)
    validate_image(image)
    return image


def test_history_is_that_of_the_dockerfile(tmp_path: Path) -> None:
    image = extended(base_image(tmp_path), tmp_path)
    assert image.config.history == (
        History(created_by="test"),
        History(created_by="RUN one"),
        History(created_by="ENV A=1", empty_layer=True, created="2026-01-02T03:04:05Z"),
        History(created_by="RUN echo ***", created="2026-01-02T03:04:06Z"),
        History(created_by="COPY --from=a:1 /x /x"),
    )
    assert [layer.history and layer.history.created_by for layer in image.layers] == [
        "test",
        "RUN one",
        "RUN echo ***",
        "COPY --from=a:1 /x /x",
    ]


def test_what_begins_with_nothing_is_for_what_it_is_built_for(tmp_path: Path) -> None:
    base = base_image(tmp_path)
    assert extended(base, tmp_path).config.architecture == "amd64"
    text = "\nFROM scratch\nCOPY --from={a:1} /x /x\n"
    assert extended(base, tmp_path, own=OWN[-1:], text=text).config.architecture == "arm64"


def test_triggers_of_the_base_are_its_own(tmp_path: Path) -> None:
    base = base_image(tmp_path, onbuild=["RUN trigger", "ENV T=1"])
    triggers: list[Mapping[str, Any]] = [
        {"created_by": "/bin/sh -c trigger"},
        {"created_by": "/bin/sh -c #(nop) ENV T=1", "empty_layer": True},
    ]
    image = extended(base, tmp_path, own=[*triggers, *OWN])
    assert [entry.created_by for entry in image.config.history][1:4] == ["RUN trigger", "ENV T=1", "RUN one"]


@pytest.mark.parametrize("missing", range(len(OWN)))
def test_a_history_that_is_counted_otherwise_says_nothing(tmp_path: Path, missing: int) -> None:
    image = extended(base_image(tmp_path), tmp_path, own=[*OWN[:missing], *OWN[missing + 1 :]])
    said = [entry.created_by for entry in image.config.history]
    assert said == ["test", *["Dockerfile"] * (len(OWN) - 1)]
    assert b"s3cr3t" not in image.config_bytes


def test_traces_of_the_engine_are_left_out(tmp_path: Path) -> None:
    healthcheck = {"Test": ["CMD", "true"]}
    image = extended(
        base_image(tmp_path),
        tmp_path,
        config={
            "Hostname": "0123456789ab",
            "Image": "sha256:0123",
            "AttachStdin": False,
            "ArgsEscaped": True,
            "OnBuild": None,
            "Healthcheck": healthcheck,
            "Shell": ["/bin/bash", "-c"],
            "StopSignal": "SIGINT",
            "User": "",
            "Labels": {},
        },
        container="0123",
        container_config={"Hostname": "x"},
        docker_version="20.10.24",
        parent="sha256:0123",
        id="0123",
        created="2026-01-02T03:04:05Z",
    )
    document = json.loads(image.config_bytes)
    assert document["config"] == {"Healthcheck": healthcheck, "Shell": ["/bin/bash", "-c"], "StopSignal": "SIGINT"}
    assert set(document) == {"architecture", "os", "config", "rootfs", "history", "created"}


def test_layers_of_the_base_are_its_blobs(tmp_path: Path) -> None:
    base = base_image(tmp_path)
    assert extended(base, tmp_path).layers[0].descriptor == base.layers[0].descriptor


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"architecture":"amd64","os":"linux","rootfs":{"diff_ids":["x"]}}']
)
def test_a_config_that_makes_no_sense_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(CnbError):
        make_extended_image(content, origin_of(base_image(tmp_path)), {})


def test_a_layer_that_was_not_given_is_an_error(tmp_path: Path) -> None:
    base = base_image(tmp_path)
    with pytest.raises(ExtendError) as caught:
        make_extended_image(base.config_bytes, origin_of(base), {})
    assert str(base.layers[0].diff_id) in caught.value.summary
