"""The caches of a build as programs have them: a directory, an image in a registry, or both."""

from __future__ import annotations

from lifecycle.cnb.analyzed import Analyzed
from lifecycle.cnb.api import DEFAULT_EXEC_ENV, EXEC_ENV_PLATFORM_API, ApiVersion
from lifecycle.cnb.reference import Reference
from lifecycle.cnb.target import Target
from lifecycle.commands.images import Reach
from lifecycle.flags import Inputs
from lifecycle.log import StreamLog
from lifecycle.remote_cache import RemoteCache


def cache_target(analyzed: Analyzed) -> str:
    """Return what a cache is for: what was made for another run image is not used."""
    return str(Target() if analyzed.run_image is None else analyzed.run_image.target)


def gated_exec_env(inputs: Inputs, api: ApiVersion) -> str:
    """Return the execution environment; before Platform API 0.15 there was one."""
    return inputs.text("exec-env") if api >= EXEC_ENV_PLATFORM_API else DEFAULT_EXEC_ENV


def open_remote_cache(name: str, reach: Reach, log: StreamLog) -> RemoteCache:
    """Return the cache image of that name. Raises `InvalidValue`."""
    return RemoteCache(Reference.parse(name), reach.client, work=reach.scratch / "cache-image", log=log)
