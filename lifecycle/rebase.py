"""The rebase phase: another run image takes the place of the one below an app image, without a build (platform.md, "Rebase").

The layers of the application stay as they are. Where the new run image has another environment, what follows from that is made
anew: the environment in the image's config (docs/decisions/0002), and the launcher, which knows it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from lifecycle import __version__
from lifecycle.app_config import app_environment, base_environment, render_time
from lifecycle.cnb.api import ApiVersion
from lifecycle.cnb.errors import ConfigurationError
from lifecycle.cnb.jsontext import parse_json
from lifecycle.cnb.labels import (
    BUILD_LABEL,
    DISTRO_NAME_LABEL,
    DISTRO_VERSION_LABEL,
    LIFECYCLE_LABEL,
    REBASABLE_LABEL,
    LifecycleMetadata,
    RunImageRecord,
    parse_lifecycle_metadata,
    render_lifecycle_metadata,
)
from lifecycle.cnb.metadata import parse_build_label, render_build_label
from lifecycle.cnb.target import Target
from lifecycle.errors import RebaseError, RebaseRefused
from lifecycle.launch_facts import LAUNCH_BASE_LABEL, recall_base, recall_environments, render_launch_base
from lifecycle.launcher import Launch, launcher_filler
from lifecycle.oci.blob import write_layer_blob
from lifecycle.oci.config import ImageConfig
from lifecycle.oci.image import Image, Layer, make_image
from lifecycle.registry.manifest import LAYER_LIMIT
from lifecycle.run_image_names import is_named

# platform.md, "Rebase": these are the run image's, always
_BASE_LABELS = ("io.buildpacks.base.", "io.buildpacks.stack.")
_STACK_LABEL, _MIXINS_LABEL = "io.buildpacks.stack.id", "io.buildpacks.stack.mixins"
# What of a config says where an image runs, beside `os`, `architecture` and `variant`
_PLATFORM_KEYS = ("os.version", "os.features")
# The first Platform API with targets in the place of stacks
_TARGETS_API = ApiVersion(0, 12)


@dataclass(frozen=True, slots=True, kw_only=True)
class RebaseRequest:
    """Which image gets which run image, and where the blob of its launcher goes if it needs another one."""

    image: Image
    run_image: Image
    run_image_name: str | None
    """`None`: it has none that anyone could know it by."""
    run_image_reference: str
    """What identifies it exactly."""
    blobs_dir: Path
    force: bool = False
    """Whether it takes place although the run image may not fit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RebasedImage:
    """The image on its new run image; the very same as before where it stood on that already.

    `overridden` is what speaks against it, where it was forced: pairs of label and text.
    """

    image: Image
    metadata: LifecycleMetadata
    overridden: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Application:
    """What of an app image is not its run image's: `layers` are those above it."""

    layers: tuple[Layer, ...]
    metadata: LifecycleMetadata
    env: tuple[str, ...]
    labels: Mapping[str, str]


def read_app_metadata(config: ImageConfig) -> LifecycleMetadata:
    """Return what an app image tells of itself. Raises `RebaseError`."""
    label = config.labels.get(LIFECYCLE_LABEL)
    if label is None:
        raise RebaseError(
            message=f"it has no label `{LIFECYCLE_LABEL}`, so nobody knows where its run image ends",
            advice="only images that buildpacks made can be rebased; build one that a Dockerfile made anew",
        )
    try:
        return parse_lifecycle_metadata(label)
    except ConfigurationError as err:
        raise RebaseError(message=err.summary) from err


def is_known_as(name: str, record: RunImageRecord) -> bool:
    """Return whether `name` is that of the recorded run image or of one of its mirrors; digests do not count."""
    return is_named(name, [one for one in (record.image, *record.mirrors) if one])


def rebase(request: RebaseRequest) -> RebasedImage:
    """Return the image on its new run image.

    Raises:
        RebaseError: nobody can tell what of the image is its run image, or there would be too many layers.
        RebaseRefused: the run image may not fit, and nobody forces it.
        OSError: the launcher cannot be written.
    """
    image, run_image = request.image, request.run_image
    application = _read_application(image)
    try:
        problems = tuple(_find_problems(request, application.metadata))
        if problems and not request.force:
            raise RebaseRefused(problems=problems)
        application = _relaunch(application, request)
    except ConfigurationError as err:
        raise RebaseError(message=err.summary) from err
    metadata = replace(application.metadata, run_image=_run_image_record(request, application.metadata.run_image))
    config = replace(
        image.config,
        architecture=run_image.config.architecture,
        os=run_image.config.os,
        variant=run_image.config.variant,
        created=render_time(None),
        env=application.env,
        labels={
            **_based_on(application.labels, run_image.config.labels),
            LIFECYCLE_LABEL: render_lifecycle_metadata(metadata),
        },
        history=run_image.config.history,
        other=_on_platform(image.config.other, run_image.config.other),
    )
    layers = (*run_image.layers, *application.layers)
    if len(layers) > LAYER_LIMIT:
        raise RebaseError(
            message=f"on this run image it would have {len(layers)} layers, and engines take {LAYER_LIMIT} at most",
            advice="build the application anew: that makes fewer layers of it",
        )
    rebased = make_image(config, layers, annotations=image.manifest.annotations)
    is_same = (rebased.config, rebased.manifest.layers) == (image.config, image.manifest.layers)
    return RebasedImage(image=image if is_same else rebased, metadata=metadata, overridden=problems)


def _read_application(image: Image) -> _Application:
    metadata = read_app_metadata(image.config)
    top = metadata.run_image.top_layer
    # Another layer of the run image may be the same as its last, one without files for example.
    places = [index for index, layer in enumerate(image.layers) if str(layer.diff_id) == top]
    if not places:
        where = (
            "does not say where its run image ends" if top is None else f"names a layer that it does not have: {top}"
        )
        raise RebaseError(message=f"its label `{LIFECYCLE_LABEL}` {where}")
    return _Application(
        layers=image.layers[places[-1] + 1 :],
        metadata=metadata,
        env=image.config.env,
        labels=image.config.labels,
    )


def _find_problems(request: RebaseRequest, metadata: LifecycleMetadata) -> Iterator[tuple[str, str]]:
    """What speaks against it, as pairs of label and text. Raises `ConfigurationError`."""
    config, base = request.image.config, request.run_image.config
    if config.labels.get(REBASABLE_LABEL) == "false":
        yield "rebasable", f"the label `{REBASABLE_LABEL}` of the image is `false`"
    if _has_target(config):
        wanted, found = _target(config), _target(base)
        if not found.supports(wanted):
            yield "target", f"the image is for {wanted}, the run image for {found}"
    else:
        yield from _find_stack_problems(config.labels, base.labels)
    record, name = metadata.run_image, request.run_image_name
    if name is None or not is_known_as(name, record):
        known = ", ".join(f"`{one}`" for one in (record.image, *record.mirrors) if one) or "of no name"
        yield "run image", f"the image was built on {known}, not on {f'`{name}`' if name else 'one without a name'}"


def _has_target(config: ImageConfig) -> bool:
    version = config.environment().get("CNB_PLATFORM_API")
    try:
        return version is not None and ApiVersion.parse(version) >= _TARGETS_API
    except ValueError as err:
        raise ConfigurationError("CNB_PLATFORM_API", str(err)) from err


def _find_stack_problems(labels: Mapping[str, str], base: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """What spoke against a run image before Platform API 0.12."""
    wanted, found = (one.get(_STACK_LABEL) for one in (labels, base))
    if wanted is None or wanted != found:
        yield "stack", f"the image is for the stack `{wanted}`, the run image for `{found}`"
    missing = sorted(_mixins(labels) - _mixins(base))
    if missing:
        yield "mixins", f"the run image lacks {', '.join(f'`{mixin}`' for mixin in missing)}"


def _mixins(labels: Mapping[str, str]) -> frozenset[str]:
    text = f'{{"mixins":{labels.get(_MIXINS_LABEL) or "[]"}}}'
    return frozenset(parse_json(text, source=f"label {_MIXINS_LABEL}").strings("mixins"))


def _target(config: ImageConfig) -> Target:
    return Target(
        os=config.os,
        arch=config.architecture,
        variant=config.variant,
        distro_name=config.labels.get(DISTRO_NAME_LABEL) or None,
        distro_version=config.labels.get(DISTRO_VERSION_LABEL) or None,
    )


def _relaunch(application: _Application, request: RebaseRequest) -> _Application:
    """The application with what follows from the environment of its run image. Raises `ConfigurationError`, `OSError`."""
    labels, env = application.labels, request.image.config.environment()
    before, after = recall_base(labels), base_environment(request.run_image.config)
    # Other lifecycles leave it to their launcher, which looks when it starts.
    if before is None or before == after:
        return application
    app, layers_dir = (PurePosixPath(env.get(name, "/")) for name in ("CNB_APP_DIR", "CNB_LAYERS_DIR"))
    environments = recall_environments(labels, application.metadata.buildpacks, layers_dir=layers_dir)
    exported = app_environment(after, environments, app=app, layers_dir=layers_dir)
    given = app_environment(before, environments, app=app, layers_dir=layers_dir)
    # Whoever made an image from the app image may have set variables of their own.
    own = {name: value for name, value in env.items() if not name.startswith("CNB_") and given.get(name) != value}
    launcher = application.metadata.launcher
    if launcher not in {str(layer.diff_id) for layer in application.layers}:
        raise ConfigurationError(
            f"label {LIFECYCLE_LABEL}", f"names a launcher that the image does not have: {launcher}"
        )
    build = parse_build_label(labels.get(BUILD_LABEL, "{}"))
    launch = Launch(processes=build.processes, layers=environments, base=after, exported=exported, app_dir=app)
    blob = write_layer_blob(request.blobs_dir, launcher_filler(launch))
    return replace(
        application,
        layers=tuple(
            replace(layer, descriptor=blob.descriptor, diff_id=blob.diff_id, path=blob.path)
            if str(layer.diff_id) == launcher and layer.diff_id != blob.diff_id
            else layer
            for layer in application.layers
        ),
        metadata=replace(application.metadata, launcher=str(blob.diff_id)),
        env=tuple(f"{name}={value}" for name, value in {**exported, **own}.items()),
        labels={
            **labels,
            BUILD_LABEL: render_build_label(build, launcher={"version": __version__}),
            LAUNCH_BASE_LABEL: render_launch_base(after),
        },
    )


def _run_image_record(request: RebaseRequest, known: RunImageRecord) -> RunImageRecord:
    base, name = request.run_image, request.run_image_name
    record = replace(
        known,
        top_layer=str(base.layers[-1].diff_id) if base.layers else None,
        reference=request.run_image_reference,
    )
    is_known = name is not None and is_known_as(name, known)
    return record if is_known else replace(record, image=name, mirrors=())


def _based_on(labels: Mapping[str, str], base: Mapping[str, str]) -> Mapping[str, str]:
    """Labels of the image, with those of its new run image where they tell of it."""
    kept = {key: value for key, value in labels.items() if not key.startswith(_BASE_LABELS)}
    return {**kept, **{key: value for key, value in base.items() if key.startswith(_BASE_LABELS)}}


def _on_platform(other: Mapping[str, object], base: Mapping[str, object]) -> Mapping[str, object]:
    kept = {key: value for key, value in other.items() if key not in _PLATFORM_KEYS}
    return {**kept, **{key: base[key] for key in _PLATFORM_KEYS if key in base}}
