"""What `import pybuild` does with images that are there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lifecycle.cnb.deadline import Cancellation
from pybuild import check, push, rebase
from pybuild.builder import Definition, default_definition_path, read_definition
from pybuild.check import CheckReport, CheckRequest, Profile, UnknownProfile
from pybuild.errors import UsageError
from pybuild.events import OnEvent, ignore_event
from pybuild.image_location import open_image
from pybuild.push import PushReport, PushRequest
from pybuild.rebase import RebaseReport, RebaseRequest
from pybuild.site import open_site


def push_image(
    request: PushRequest,
    *,
    on_event: OnEvent = ignore_event,
    cancellation: Cancellation | None = None,
    store: Path | None = None,
    host_env: Mapping[str, str] | None = None,
) -> PushReport:
    """What was pushed, after every name is that of the image.

    `on_event` gets what happens, one event at a time; `cancellation` ends the work from any thread. `store` is the directory of what is
    kept, by default `$XDG_CACHE_HOME/pybuild`; `host_env` the machine's environment variables, by default those of this process.

    Raises:
        CnbError: it cannot be done; names that were there are as they were.
    """
    with open_site(on_event, cancellation, store, host_env) as site:
        return push.push_image(request, site)


def rebase_image(
    request: RebaseRequest,
    *,
    on_event: OnEvent = ignore_event,
    cancellation: Cancellation | None = None,
    store: Path | None = None,
    host_env: Mapping[str, str] | None = None,
) -> RebaseReport:
    """The image on another run image, after every output is whole.

    `on_event` gets what happens, one event at a time; `cancellation` ends the work from any thread. `store` is the directory of what is
    kept, by default `$XDG_CACHE_HOME/pybuild`; `host_env` the machine's environment variables, by default those of this process.

    Raises:
        CnbError: it cannot be done; no output was touched.
    """
    with open_site(on_event, cancellation, store, host_env) as site:
        return rebase.rebase_image(request, site)


def check_image(
    location: str,
    profile: str | None = None,
    *,
    builder: Path | None = None,
    timeout_s: float = 60,
    insecure_registries: tuple[str, ...] = (),
    on_event: OnEvent = ignore_event,
    cancellation: Cancellation | None = None,
    store: Path | None = None,
    host_env: Mapping[str, str] | None = None,
) -> CheckReport:
    """What the image at `location` (`oci:DIR`, `docker://NAME`, …) has of a profile, by default the one that the builder.toml requires.

    `timeout_s`: seconds for each program that is run. `holds` of the report says whether it has all of it.

    `on_event` gets what happens, one event at a time; `cancellation` ends the work from any thread. `store` is the directory of what is
    kept, by default `$XDG_CACHE_HOME/pybuild`; `host_env` the machine's environment variables, by default those of this process.

    Raises:
        UsageError: there is no such profile, or the builder requires none.
        CnbError: the image cannot be had, unpacked or run at all.
    """
    with open_site(on_event, cancellation, store, host_env) as site:
        wanted = _find_profile(read_definition(builder or default_definition_path()), profile)
        with open_image(location, site, insecure=insecure_registries) as image:
            request = CheckRequest(image=image, profile=wanted, timeout_s=timeout_s, deadline=site.deadline)
            return check.check_image(request, site.store, site.log)


def _find_profile(definition: Definition, name: str | None) -> Profile:
    if name is not None and name not in definition.profiles:
        raise UnknownProfile(name, sorted(definition.profiles))
    found = definition.required_profile if name is None else definition.profiles[name]
    if found is None:
        known = ", ".join(f"`{one}`" for one in sorted(definition.profiles))
        raise UsageError(
            "no profile is named, and the builder requires none", f"give `--profile NAME`; known are {known}"
        )
    return found
