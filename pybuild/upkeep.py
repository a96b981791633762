"""What `import pybuild` does with builders and the store."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lifecycle.cnb.deadline import Cancellation
from pybuild import builder_creation, prune, usage
from pybuild.builder_creation import BuilderReport, BuilderRequest
from pybuild.events import OnEvent, ignore_event
from pybuild.prune import Pruned, PruneRequest
from pybuild.site import open_site
from pybuild.usage import StoreUsage


def create_builder(
    request: BuilderRequest,
    *,
    on_event: OnEvent = ignore_event,
    cancellation: Cancellation | None = None,
    store: Path | None = None,
    host_env: Mapping[str, str] | None = None,
) -> BuilderReport:
    """The builder, which is in the store and in its outputs then. Builds make it by themselves where it is missing.

    `on_event` gets what happens, one event at a time; `cancellation` ends the work from any thread. `store` is the directory of what is
    kept, by default `$XDG_CACHE_HOME/pybuild`; `host_env` the machine's environment variables, by default those of this process.

    Raises:
        CnbError: it cannot be made, or not be put there; nothing half made is left.
    """
    with open_site(on_event, cancellation, store, host_env) as site:
        return builder_creation.create_builder(request, site)


def measure_store(*, store: Path | None = None, host_env: Mapping[str, str] | None = None) -> StoreUsage:
    """What the store holds now, in bytes; builds may go on meanwhile.

    `store` is the directory of what is kept, by default `$XDG_CACHE_HOME/pybuild`; `host_env` the machine's environment variables, by
    default those of this process.
    """
    with open_site(ignore_event, None, store, host_env) as site:
        return usage.measure_store(site.store)


def prune_store(
    request: PruneRequest,
    *,
    on_event: OnEvent = ignore_event,
    store: Path | None = None,
    host_env: Mapping[str, str] | None = None,
) -> Pruned:
    """What was removed of the store; what running builds use stays.

    `on_event` gets what happens, one event at a time. `store` is the directory of what is kept, by default `$XDG_CACHE_HOME/pybuild`;
    `host_env` the machine's environment variables, by default those of this process.

    Raises:
        UsageError: nothing is kept of an application that is named; then nothing was removed.
        CnbError: something cannot be removed; what was until then is gone.
    """
    with open_site(on_event, None, store, host_env) as site:
        return prune.prune_store(request, site.store, site.log)
