"""`restorer`: what the last build left, for this one (platform.md, "restorer")."""

from __future__ import annotations

from collections.abc import Mapping

from lifecycle.cache import Cache
from lifecycle.cnb.analyzed import Analyzed, read_analyzed, write_analyzed
from lifecycle.cnb.api import ApiVersion
from lifecycle.cnb.group import read_group
from lifecycle.commands.bases import find_bases
from lifecycle.commands.caches import cache_target, gated_exec_env, open_remote_cache
from lifecycle.commands.failing import failing_with
from lifecycle.commands.images import (
    CACHE_DIR,
    CACHE_IMAGE,
    PLACE,
    RUN,
    SKIP_LAYERS,
    reaching,
)
from lifecycle.commands.inputs import ANALYZED, EXEC_ENV, GENERATED, GROUP, LAYERS, LOGGING, open_log
from lifecycle.extension_bases import EXTENSION_CACHE, bases_dir
from lifecycle.flags import Flag, Inputs
from lifecycle.restore import RestoreRequest, restore

CODE = 42
FLAGS = (
    *LOGGING,
    *PLACE,
    ANALYZED,
    Flag(name="build-image", variable="CNB_BUILD_IMAGE", default=""),
    CACHE_DIR,
    CACHE_IMAGE,
    EXEC_ENV,
    EXTENSION_CACHE,
    GENERATED,
    GROUP,
    LAYERS,
    RUN,
    SKIP_LAYERS,
)
# Since then the restorer makes sure that the run image is still there.
_RUN_IMAGE_API = ApiVersion(0, 14)


def run(inputs: Inputs, api: ApiVersion, env: Mapping[str, str]) -> None:
    """Prepare the layers directory."""
    log = open_log(inputs)
    with failing_with(CODE):
        group = read_group(inputs.path("group"))
        path = inputs.path("analyzed")
        analyzed = read_analyzed(path) if path.exists() else Analyzed()
        layers_dir, cache_dir = inputs.path("layers"), inputs.optional_path("cache-dir")
        cache_image = inputs.optional("cache-image")
        run_image = analyzed.run_image
        names = (cache_image, None if run_image is None else run_image.image, inputs.optional("build-image"))
        is_registry = not (inputs.is_on("daemon") or inputs.is_on("layout"))
        # Only where something is kept: who extends nothing need not have the directory.
        is_extended = run_image is not None and run_image.extend
        keeps = group.extensions and (is_extended or inputs.optional("build-image") is not None)
        bases = bases_dir(inputs.path(EXTENSION_CACHE.name)) if keeps else None
        if bases is not None:
            bases.mkdir(parents=True, exist_ok=True)
        directories = [one for one in (layers_dir, cache_dir, bases) if one is not None]
        with reaching(
            inputs, env, log, names=names if is_registry else (cache_image,), directories=directories
        ) as reach:
            if group.extensions:
                analyzed = find_bases(analyzed, group, reach.images, inputs, api, log)
                run_image = analyzed.run_image
                write_analyzed(path, analyzed)
            if api >= _RUN_IMAGE_API and run_image is not None and run_image.reference and not inputs.is_on("daemon"):
                # Whoever took it away since would be found out after the build only.
                reach.images.read(run_image.reference)
            cache = None
            if cache_dir is not None or cache_image is not None:
                # One that an image brings lasts until the layers have it.
                directory = cache_dir or reach.scratch / "cache"
                cache = Cache(directory=directory, target=cache_target(analyzed), copies=True)
                if cache_image is not None and not inputs.is_on("skip-layers"):
                    open_remote_cache(cache_image, reach, log).restore(cache)
            request = RestoreRequest(
                layers_dir=layers_dir,
                group=group,
                previous=analyzed.previous,
                cache=cache,
                skip_layers=inputs.is_on("skip-layers"),
                exec_env=gated_exec_env(inputs, api),
                platform_api=api,
            )
            restore(request, log)
