"""`extender`: what image extensions have generated is executed on the build image or the run image (platform.md, "extender")."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from lifecycle.cnb.analyzed import Analyzed, read_analyzed
from lifecycle.cnb.api import ApiVersion
from lifecycle.cnb.generated import Kind, read_generated
from lifecycle.cnb.group import read_group
from lifecycle.commands.images import USER
from lifecycle.commands.inputs import EXECUTION, EXTENDED, GENERATED, open_log
from lifecycle.errors import ArgumentsError
from lifecycle.execution.errors import ExtendError
from lifecycle.extend import Extended, ExtendRequest, extend
from lifecycle.extended_build import BuilderCall, run_builder
from lifecycle.extended_run_image import write_extended
from lifecycle.extension_bases import EXTENSION_CACHE, read_base
from lifecycle.flags import Flag, Inputs

FLAGS = (
    *EXECUTION,
    GENERATED,
    EXTENSION_CACHE,
    EXTENDED,
    Flag(name="kind", variable="CNB_EXTEND_KIND", default="build"),
    # Layers of earlier builds are kept as long as builds use them.
    Flag(name="kaniko-cache-ttl", variable="CNB_KANIKO_CACHE_TTL", default=""),
    *USER,
)
_STORAGE, _WORK = "storage", "work"


def run(inputs: Inputs, api: ApiVersion, env: Mapping[str, str]) -> None:
    """Write the layout of the extended run image, or run the build phase in the extended build image."""
    try:
        kind = Kind(inputs.text("kind"))
    except ValueError as err:
        raise ArgumentsError(message=f"`-kind {inputs.text('kind')}` is neither `build` nor `run`") from err
    log = open_log(inputs)
    cache = inputs.path("kaniko-dir")
    base = read_base(cache, _reference(read_analyzed(inputs.path("analyzed")), kind), kind)
    group = read_group(inputs.path("group"))
    (cache / _STORAGE).mkdir(parents=True, exist_ok=True)
    # On the file system of the cache: `/tmp` may be small.
    with tempfile.TemporaryDirectory(prefix=f"{_WORK}-", dir=cache) as scratch:
        request = ExtendRequest(
            kind=kind,
            generated=read_generated(inputs.path("generated"), group.extensions, kind, api),
            base=base,
            app_dir=inputs.path("app"),
            excluded=tuple(PurePosixPath(inputs.path(name)) for name in ("app", "layers", "platform")),
            storage_dir=cache / _STORAGE,
            scratch_dir=Path(scratch),
            env=env,
        )
        extended = extend(request, log)
        if kind is Kind.RUN:
            log.info(f"Extended run image: {write_extended(inputs.path('extended'), extended.image, base)}")
        else:
            _build(extended, inputs, api, env)
        extended.forget_unused()


def _reference(analyzed: Analyzed, kind: Kind) -> str:
    found = analyzed.build_image if kind is Kind.BUILD else analyzed.run_image and analyzed.run_image.reference
    if not found:
        raise ExtendError(
            message=f"analyzed.toml names no {kind.value} image",
            advice="start `restorer` with `-build-image` before" if kind is Kind.BUILD else "start `analyzer` before",
        )
    return found


def _build(extended: Extended, inputs: Inputs, api: ApiVersion, env: Mapping[str, str]) -> None:
    if not (inputs.text("uid").isdigit() and inputs.text("gid").isdigit()):
        raise ArgumentsError(message="`-uid` and `-gid` must be the numbers of the user that builds")
    call = BuilderCall(
        arguments={flag.name: inputs.text(flag.name) for flag in EXECUTION if not flag.is_switch},
        app_dir=inputs.path("app"),
        directories=tuple(inputs.path(name) for name in ("app", "layers", "platform")),
        user=f"{inputs.text('uid')}:{inputs.text('gid')}",
        platform_api=api,
        env=env,
    )
    run_builder(extended, call)
