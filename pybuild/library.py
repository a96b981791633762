"""What `import pybuild` does: the way of a build and its parts.

Nothing here writes to standard output or standard error, ends the process, or changes its directory, its environment or its signals;
any number of threads may be in it. What is said meanwhile are the events of `pybuild.events`. The command calls these same functions.

Each takes, beside what it is to do:

    on_event   gets every event, one at a time, in whichever thread it comes from; what it raises ends the work
    store      directory of what is kept between builds; `None`: `$XDG_CACHE_HOME/pybuild`, else `~/.cache/pybuild`
    host_env   what the machine says of indexes, proxies, certificates and credentials, as environment variables; `None`: those of this
               process
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from lifecycle.cnb.plan import ResolvedPlan
from lifecycle.detection import Detection
from lifecycle.exporters import Output, Written
from lifecycle.oci.image_index import Content
from pybuild import way
from pybuild.delivery import Delivery
from pybuild.errors import UsageError
from pybuild.events import EventLog, OnEvent, ignore_event
from pybuild.fix import Fix
from pybuild.place import Site
from pybuild.report import BuildReport, IndexReport
from pybuild.request import BuildRequest, read_outputs
from pybuild.store import in_use, store_directory


def build(
    request: BuildRequest,
    *,
    on_event: OnEvent = ignore_event,
    store: Path | None = None,
    host_env: Mapping[str, str] | None = None,
) -> BuildReport:
    """What was built, after every output is whole.

    Raises:
        UsageError: it is for several platforms.
        CnbError: the build failed; no output was touched.
    """
    if len(request.platforms) != 1:
        raise UsageError("what is built for several platforms is an index", "call `pybuild.build_index`")
    return way.build_image(request, _site(on_event, store, host_env))


def build_index(
    request: BuildRequest,
    *,
    on_event: OnEvent = ignore_event,
    store: Path | None = None,
    host_env: Mapping[str, str] | None = None,
) -> IndexReport:
    """What was built for the platforms of the request, after every output has the index of it.

    Raises:
        CnbError: the build failed; no output was touched.
    """
    return way.build_index(request, _site(on_event, store, host_env))


def detect(
    request: BuildRequest,
    *,
    on_event: OnEvent = ignore_event,
    store: Path | None = None,
    host_env: Mapping[str, str] | None = None,
) -> Detection:
    """Which buildpacks would build the repository, and why the others would not: `group` is `None` where none would.

    Raises:
        CnbError: it could not be found out.
    """
    return way.detect_repository(request, _site(on_event, store, host_env))


def plan(
    request: BuildRequest,
    *,
    on_event: OnEvent = ignore_event,
    store: Path | None = None,
    host_env: Mapping[str, str] | None = None,
) -> ResolvedPlan:
    """The build plan of the group that would build the repository: what is required, and who provides it.

    Raises:
        CnbError: nothing would build it, or it could not be found out.
    """
    detection = detect(request, on_event=on_event, store=store, host_env=host_env)
    if detection.group is None:
        raise detection.error(app_dir=Path(request.repository))
    return detection.plan


def export(
    image: Content,
    outputs: Sequence[Output | str],
    *,
    insecure_registries: tuple[str, ...] = (),
    on_event: OnEvent = ignore_event,
    store: Path | None = None,
    host_env: Mapping[str, str] | None = None,
) -> tuple[Written, ...]:
    """Put the image or index of a report, which is in the store until its repository is built again, into further outputs.

    Raises:
        CnbError: an output cannot be written; none was touched.
    """
    site = _site(on_event, store, host_env)
    delivery = Delivery(outputs=read_outputs(outputs), env=site.host_env, insecure_registries=insecure_registries)
    with in_use(site.store, site.log):
        delivery.check(site.log)
        return delivery.deliver(image, site.log)


def find_fixes(
    request: BuildRequest,
    *,
    on_event: OnEvent = ignore_event,
    store: Path | None = None,
    host_env: Mapping[str, str] | None = None,
) -> tuple[Fix, ...]:
    """What the buildpacks that would build the directory change in its files; nothing is written there.

    Raises:
        CnbError: there is no such directory, nothing would build it, or a buildpack could not.
    """
    return way.find_fixes(request, _site(on_event, store, host_env))


def _site(on_event: OnEvent, store: Path | None, host_env: Mapping[str, str] | None) -> Site:
    env = dict(os.environ if host_env is None else host_env)
    return Site(store=store or store_directory(env, Path.home()), host_env=env, log=EventLog(on_event))
