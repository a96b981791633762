"""The layers that buildpacks make which install Python packages: an environment, and a cache beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from buildpacks.installer.entries import SITE_PACKAGES
from lifecycle.cnb.kit import BuildContext, Layer, LayerTypes

VENV_LAYER = "venv"
CACHE_LAYER = "cache"
CACHE = Layer(name=CACHE_LAYER, types=LayerTypes(cache=True))
Differences = Callable[[Mapping[str, object], Mapping[str, object]], tuple[str, ...]]


def make_venv_layer(context: BuildContext, fingerprint: Mapping[str, object]) -> Layer:
    """Return the layer of a virtual environment; other buildpacks can ask for it in the build."""
    is_for_build = any(entry.name == SITE_PACKAGES and entry.metadata.get("build") for entry in context.plan)
    return Layer(
        name=VENV_LAYER,
        # Without the cache a layer that others build with would have to be made for every build.
        types=LayerTypes(launch=True, build=is_for_build, cache=is_for_build),
        metadata=fingerprint,
        by_packages=True,
        env={"VIRTUAL_ENV": str(context.layers_dir / VENV_LAYER)},
    )


def is_unchanged(context: BuildContext, layer: Layer, differences: Differences) -> bool:
    """Whether the layer of the last image, or of the cache, is what this build would make; says why not.

    `differences` gives one line for each between the metadata of then and now.
    """
    restored = context.restored(layer.name)
    if restored is None or (layer.types.build and restored.path is None):
        return False
    found = differences(restored.metadata, layer.metadata)
    if not found and not restored.has_sbom:
        # One of a buildpack that wrote none yet: made of the files, which are not here.
        found = ("it has no bill of materials",)
    if not found:
        context.say("Using the environment of the last build: nothing has changed")
        return True
    context.say("Discarding the environment of the last build since:")
    for difference in found:
        context.say(f"  {difference}")
    return False
