"""`extender`: what image extensions have generated is executed on the build image or the run image (platform.md, "extender")."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from lifecycle.cnb.analyzed import Analyzed, read_analyzed
from lifecycle.cnb.api import ApiVersion
from lifecycle.cnb.generated import Kind, read_generated
from lifecycle.cnb.group import read_group
from lifecycle.commands.failing import failing_with
from lifecycle.commands.images import USER
from lifecycle.commands.inputs import EXECUTION, EXTENDED, GENERATED, open_log
from lifecycle.errors import ArgumentsError
from lifecycle.execution.errors import ExtendError
from lifecycle.extend import Extended, ExtendRequest, extend
from lifecycle.extended_build import BuilderCall, run_builder
from lifecycle.extended_run_image import write_extended
from lifecycle.extension_bases import EXTENSION_CACHE, read_base
from lifecycle.flags import Flag, Inputs
from lifecycle.oci.alone import open_alone

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
# Errors of this program that have no code of their own.
_CODE = 100


def run(inputs: Inputs, api: ApiVersion, env: Mapping[str, str]) -> None:
    """Write the layout of the extended run image, or run the build phase in the extended build image."""
    try:
        kind = Kind(inputs.text("kind"))
    except ValueError as err:
        raise ArgumentsError(message=f"`-kind {inputs.text('kind')}` is neither `build` nor `run`") from err
    with contextlib.ExitStack() as stack:
        with failing_with(_CODE):
            # On the file system of the images: `/tmp` may be small.
            storage = stack.enter_context(_alone(inputs.path(EXTENSION_CACHE.name) / kind.value))
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="work-", dir=storage)))
            extended = _extend(kind, storage, scratch, inputs, api, env)
        if kind is Kind.BUILD:
            _build(extended, inputs, api, env)
        extended.forget_unused()


@contextlib.contextmanager
def _alone(storage: Path) -> Iterator[Path]:
    """A directory for one process at a time: several builds may share it."""
    storage.mkdir(parents=True, exist_ok=True)
    descriptor = open_alone(storage, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield storage
    finally:
        os.close(descriptor)


def _extend(
    kind: Kind, storage: Path, scratch: Path, inputs: Inputs, api: ApiVersion, env: Mapping[str, str]
) -> Extended:
    log = open_log(inputs)
    cache = inputs.path(EXTENSION_CACHE.name)
    base = read_base(cache, _reference(read_analyzed(inputs.path("analyzed")), kind), kind)
    request = ExtendRequest(
        kind=kind,
        generated=read_generated(inputs.path("generated"), read_group(inputs.path("group")).extensions, kind, api),
        base=base,
        app_dir=inputs.path("app"),
        excluded=tuple(PurePosixPath(inputs.path(name)) for name in ("app", "layers", "platform")),
        storage_dir=storage,
        scratch_dir=scratch,
        env=env,
    )
    extended = extend(request, log)
    if kind is Kind.RUN:
        log.info(f"Extended run image: {write_extended(inputs.path('extended'), extended.image, base)}")
    return extended


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
