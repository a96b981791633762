"""What `import pybuild` does: the way of a build and its parts.

Nothing here writes to standard output or standard error, ends the process, or changes its directory, its environment or its signals;
any number of threads may be in it. What is said meanwhile are the events of `pybuild.events`. The command calls these same functions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from lifecycle.cnb.deadline import Cancellation, Deadline
from lifecycle.cnb.errors import CnbError
from lifecycle.cnb.plan import ResolvedPlan
from lifecycle.detection import Detection
from lifecycle.exporters import Output, Written
from lifecycle.oci.errors import ImageNotFound
from lifecycle.oci.image import Image
from lifecycle.oci.image_index import Content
from pybuild import way
from pybuild.delivery import Delivery, read_outputs
from pybuild.errors import UsageError
from pybuild.events import OnEvent, ignore_event
from pybuild.fix import Fix
from pybuild.report import BuildReport, IndexReport
from pybuild.request import BuildRequest
from pybuild.site import open_site
from pybuild.store import in_use


def build(
    request: BuildRequest,
    *,
    on_event: OnEvent = ignore_event,
    cancellation: Cancellation | None = None,
    store: Path | None = None,
    host_env: Mapping[str, str] | None = None,
) -> BuildReport:
    """What was built, after every output is whole.

    `on_event` gets what happens, one event at a time; `cancellation` ends the work from any thread. `store` is the directory of what is
    kept, by default `$XDG_CACHE_HOME/pybuild`; `host_env` the machine's environment variables, by default those of this process.

    Raises:
        UsageError: it is for several platforms.
        CnbError: the build failed; no output was touched.
    """
    if len(request.platforms) != 1:
        raise UsageError("what is built for several platforms is an index", "call `pybuild.build_index`")
    with open_site(on_event, cancellation, store, host_env) as site:
        return way.build_image(request, site)


def build_index(
    request: BuildRequest,
    *,
    on_event: OnEvent = ignore_event,
    cancellation: Cancellation | None = None,
    store: Path | None = None,
    host_env: Mapping[str, str] | None = None,
) -> IndexReport:
    """What was built for the platforms of the request, after every output has the index of it.

    `on_event` gets what happens, one event at a time; `cancellation` ends the work from any thread. `store` is the directory of what is
    kept, by default `$XDG_CACHE_HOME/pybuild`; `host_env` the machine's environment variables, by default those of this process.

    Raises:
        CnbError: the build failed; no output was touched.
    """
    with open_site(on_event, cancellation, store, host_env) as site:
        return way.build_index(request, site)


def detect(
    request: BuildRequest,
    *,
    on_event: OnEvent = ignore_event,
    cancellation: Cancellation | None = None,
    store: Path | None = None,
    host_env: Mapping[str, str] | None = None,
) -> Detection:
    """Which buildpacks would build the repository, and why the others would not: `group` is `None` where none would.

    `on_event` gets what happens, one event at a time; `cancellation` ends the work from any thread. `store` is the directory of what is
    kept, by default `$XDG_CACHE_HOME/pybuild`; `host_env` the machine's environment variables, by default those of this process.

    Raises:
        CnbError: it could not be found out.
    """
    with open_site(on_event, cancellation, store, host_env) as site:
        return way.detect_repository(request, site)


def plan(
    request: BuildRequest,
    *,
    on_event: OnEvent = ignore_event,
    cancellation: Cancellation | None = None,
    store: Path | None = None,
    host_env: Mapping[str, str] | None = None,
) -> ResolvedPlan:
    """The build plan of the group that would build the repository: what is required, and who provides it.

    `on_event` gets what happens, one event at a time; `cancellation` ends the work from any thread. `store` is the directory of what is
    kept, by default `$XDG_CACHE_HOME/pybuild`; `host_env` the machine's environment variables, by default those of this process.

    Raises:
        CnbError: nothing would build it, or it could not be found out.
    """
    detection = detect(request, on_event=on_event, cancellation=cancellation, store=store, host_env=host_env)
    if detection.group is None:
        raise detection.error(app_dir=Path(request.repository))
    return detection.plan


def export(
    image: Content,
    outputs: Sequence[Output | str],
    *,
    insecure_registries: tuple[str, ...] = (),
    on_event: OnEvent = ignore_event,
    cancellation: Cancellation | None = None,
    store: Path | None = None,
    host_env: Mapping[str, str] | None = None,
) -> tuple[Written, ...]:
    """Put the image or index of a report, which is in the store until its repository is built again, into further outputs.

    `on_event` gets what happens, one event at a time; `cancellation` ends the work from any thread. `store` is the directory of what is
    kept, by default `$XDG_CACHE_HOME/pybuild`; `host_env` the machine's environment variables, by default those of this process.

    Raises:
        CnbError: an output cannot be written; none was touched.
    """
    with open_site(on_event, cancellation, store, host_env) as site:
        delivery = Delivery(outputs=read_outputs(outputs), env=site.host_env, insecure_registries=insecure_registries)
        deadline = Deadline(cancellation=cancellation)
        with in_use(site.store, site.log, deadline=deadline):
            delivery.check(site.log, deadline=deadline)
            try:
                return delivery.deliver(image, site.log, deadline=deadline)
            except (CnbError, OSError):
                # Whatever else that looked like.
                _check_is_there(image)
                raise


def _check_is_there(image: Content) -> None:
    images = (image,) if isinstance(image, Image) else image.images
    if not all(layer.path.is_file() for one in images for layer in one.layers):
        raise ImageNotFound(
            str(image.digest),
            "layers of the image are no longer in the store: its repository was built again, or the store was pruned",
            "build it with these outputs, or export it before the next build",
        )


def find_fixes(
    request: BuildRequest,
    *,
    on_event: OnEvent = ignore_event,
    cancellation: Cancellation | None = None,
    store: Path | None = None,
    host_env: Mapping[str, str] | None = None,
) -> tuple[Fix, ...]:
    """What the buildpacks that would build the directory change in its files; nothing is written there.

    `on_event` gets what happens, one event at a time; `cancellation` ends the work from any thread. `store` is the directory of what is
    kept, by default `$XDG_CACHE_HOME/pybuild`; `host_env` the machine's environment variables, by default those of this process.

    Raises:
        CnbError: there is no such directory, nothing would build it, or a buildpack could not.
    """
    with open_site(on_event, cancellation, store, host_env) as site:
        return way.find_fixes(request, site)
