"""How programs reach images: the flags that say where they are, and as which user the work is done."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lifecycle.analyze import RunImage
from lifecycle.cnb.errors import CnbError, InvalidValue
from lifecycle.cnb.reference import Reference
from lifecycle.cnb.report import ImageReport, write_report
from lifecycle.errors import AnalyzeError, ArgumentsError
from lifecycle.flags import Flag, Inputs
from lifecycle.images import FoundImage, Images
from lifecycle.log import StreamLog
from lifecycle.oci.archive import Owner
from lifecycle.oci.image import Image
from lifecycle.privileges import become, is_root, own
from lifecycle.registry.client import RegistryClient
from lifecycle.registry.machine import INSECURE_VARIABLE, find_ca_bundle, open_registries, read_proxies

USER = (
    Flag(name="uid", variable="CNB_USER_ID", default=""),
    Flag(name="gid", variable="CNB_GROUP_ID", default=""),
)
PLACE = (
    Flag(name="daemon", variable="CNB_USE_DAEMON", default="", is_switch=True),
    Flag(name="layout", variable="CNB_USE_LAYOUT", default="", is_switch=True),
    Flag(name="layout-dir", variable="CNB_LAYOUT_DIR", default=""),
    Flag(name="insecure-registry", variable=INSECURE_VARIABLE, default="", is_list=True),
    *USER,
)
CACHE_DIR = Flag(name="cache-dir", variable="CNB_CACHE_DIR", default="")
CACHE_IMAGE = Flag(name="cache-image", variable="CNB_CACHE_IMAGE", default="")
LAUNCH_CACHE = Flag(name="launch-cache", variable="CNB_LAUNCH_CACHE_DIR", default="")
PREVIOUS_IMAGE = Flag(name="previous-image", variable="CNB_PREVIOUS_IMAGE", default="")
REPORT = Flag(name="report", variable="CNB_REPORT_PATH", default="<layers>/report.toml")
RUN = Flag(name="run", variable="CNB_RUN_PATH", default="/cnb/run.toml")
RUN_IMAGE = Flag(name="run-image", variable="CNB_RUN_IMAGE", default="")
SKIP_LAYERS = Flag(name="skip-layers", variable="CNB_SKIP_LAYERS", default="", is_switch=True)
# What was before run.toml. Platforms that speak several versions may pass it, and it says nothing.
STACK = Flag(name="stack", variable="CNB_STACK_PATH", default="")
TAG = Flag(name="tag", variable="", default="", is_list=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What a program reaches images by. `scratch` is a directory that ends with it."""

    images: Images
    client: RegistryClient
    scratch: Path
    owner: Owner


@contextlib.contextmanager
def reaching(
    inputs: Inputs,
    env: Mapping[str, str],
    log: StreamLog,
    *,
    names: Sequence[str | None],
    directories: Sequence[Path],
    any_platform: bool = False,
) -> Iterator[Reach]:
    """Give what images are reached by. `names` are those that are known to be asked for, `directories` what is written to;
    with `any_platform`, images may be for other machines.

    A program that root has started reads credentials, lets the build's user have the directories and continues as that user;
    one that uses a Docker engine, which is root's, hands over what it has written at its end.

    Raises:
        ArgumentsError: the flags contradict each other.
    """
    uses_engine, uses_layout = inputs.is_on("daemon"), inputs.is_on("layout")
    if uses_engine and uses_layout:
        raise ArgumentsError(message="`-daemon` and `-layout` are two places, and images are in one")
    layout = inputs.optional_path("layout-dir")
    if uses_layout:
        check_experimental("`-layout`", env, log)
        if layout is None:
            raise ArgumentsError(message="`-layout` needs a directory: `-layout-dir`")
    owner = owner_of(inputs)
    client = open_registries(
        env,
        Path(env.get("HOME") or "/"),
        proxies=read_proxies(env),
        ca_bundle=find_ca_bundle(env),
        insecure=inputs.all("insecure-registry"),
    )
    client.on_wait = log.warning
    changes_user = is_root() and owner.user_id != 0
    if changes_user:
        own(directories, owner)
        if not uses_engine:
            for name in names:
                # Finds the credentials, which the other user may not be able to read.
                if name:
                    client.repository(Reference.parse(name))
            become(owner)
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lifecycle-")))
        stack.callback(client.close)
        if changes_user and uses_engine:
            stack.callback(own, directories, owner)
        yield Reach(
            images=_open(
                inputs, client, scratch / "images", env, layout if uses_layout else None, any_platform=any_platform
            ),
            client=client,
            scratch=scratch,
            owner=owner,
        )


def check_experimental(feature: str, env: Mapping[str, str], log: StreamLog) -> None:
    """Raise `ArgumentsError` unless the platform allows what is an experiment (platform.md, "Experimental Features")."""
    mode = env.get("CNB_EXPERIMENTAL_MODE", "").lower()
    if mode == "warn":
        log.warning(f"{feature} is experimental")
    # The specification and the reference implementation disagree on the word.
    elif mode not in ("silent", "quiet"):
        raise ArgumentsError(message=f"{feature} is experimental: `CNB_EXPERIMENTAL_MODE` must be `warn` or `silent`")


def owner_of(inputs: Inputs) -> Owner:
    """Return the user and group that own what a build leaves: this process's where nobody says. Raises `ArgumentsError`."""
    try:
        return Owner(
            user_id=int(inputs.text("uid") or os.getuid()),
            group_id=int(inputs.text("gid") or os.getgid()),
        )
    except ValueError as err:
        message = f"`-uid {inputs.text('uid')}` and `-gid {inputs.text('gid')}` must be numbers"
        raise ArgumentsError(message=message) from err


def registry_of(name: str) -> str:
    """Return the registry of an image. Raises `InvalidValue`."""
    return Reference.parse(name).registry


def check_one_registry(names: Sequence[str]) -> None:
    """Raise `InvalidValue` unless all are in one registry."""
    registries = list(dict.fromkeys(map(registry_of, names)))
    if len(registries) > 1:
        raise InvalidValue(
            ", ".join(f"`{name}`" for name in names),
            f"are in several registries: {', '.join(registries)}",
            "give the image and all its tags names in one registry",
        )


def find_first(images: Images, names: Sequence[str]) -> FoundImage:
    """Return the run image by the first of its names that there is an image of.

    Raises:
        CnbError: there is none, or it cannot be had.
    """
    failures = []
    for name in names:
        try:
            found = images.find(name)
        except CnbError as err:
            failures.append(err)
            continue
        if found is not None:
            return found
    if failures:
        raise failures[0]
    message = (
        "there is no such image" if len(names) == 1 else f"neither it nor its mirrors are there: {', '.join(names)}"
    )
    raise AnalyzeError(image=names[0], message=message)


def as_run_image(found: FoundImage) -> RunImage:
    """Return what the analyze phase has to know of a run image."""
    return RunImage(
        name=found.name,
        reference=found.reference,
        os=found.os,
        architecture=found.architecture,
        variant=found.variant,
        labels=found.labels,
    )


def write_image_report(inputs: Inputs, image: Image, names: Sequence[str]) -> None:
    """Write report.toml. Raises `OSError`."""
    if inputs.is_on("daemon"):
        report = ImageReport(tags=names, image_id=str(image.id))
    else:
        report = ImageReport(tags=names, digest=str(image.digest), manifest_size=image.descriptor.size)
    write_report(inputs.path("report"), report)


def _open(
    inputs: Inputs,
    client: RegistryClient,
    scratch: Path,
    env: Mapping[str, str],
    layout: Path | None,
    *,
    any_platform: bool,
) -> Images:
    if layout is not None:
        from lifecycle.images.layouts import LayoutImages

        return LayoutImages(layout, client, env)
    if inputs.is_on("daemon"):
        from lifecycle.images.engine import EngineImages

        launch_cache = inputs.optional_path("launch-cache") if "launch-cache" in inputs.values else None
        return EngineImages(client, scratch, env, launch_cache)
    from lifecycle.images.registries import RegistryImages

    return RegistryImages(client, scratch, env, any_platform=any_platform)
