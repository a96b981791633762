"""The restore phase: what the last build left for this one (platform.md, "Restore"; buildpack.md, "Layer Types").

Reads the previous image's label and the cache; writes `<layers>/<buildpack>/{store.toml,<layer>.toml,<layer>.sbom.*}` and brings
cached trees to `<layers>/<buildpack>/<layer>`. A layer comes back with metadata and files that belong together, or not at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lifecycle.cache import Cache, Looked
from lifecycle.cache_contents import CacheContents, CachedLayer
from lifecycle.cnb.api import BUILDPACK_APIS, DEFAULT_EXEC_ENV, PLATFORM_APIS, ApiVersion
from lifecycle.cnb.buildpack import BuildpackId
from lifecycle.cnb.group import Group
from lifecycle.cnb.labels import LayerRecord, LifecycleMetadata
from lifecycle.cnb.layer import LayerFile, is_layer_name, remove_tree, write_layer_file
from lifecycle.cnb.sbom import restore_sbom_files
from lifecycle.cnb.toml import write_toml
from lifecycle.errors import BuildpackApiUnsupported, RestoreError
from lifecycle.log import PhaseLog

# Since then a layer of image and cache that the previous image lacks may come from the cache alone.
_CACHE_ALONE_API = ApiVersion(0, 14)


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreRequest:
    """What to restore. `previous` is what the previous image's label says; `cache` `None`: nothing is cached."""

    layers_dir: Path
    group: Group
    previous: LifecycleMetadata
    cache: Cache | None = None
    looked: Looked | None = None
    """What `cache.look` has said, where it was asked before."""
    skip_layers: bool = False
    exec_env: str = DEFAULT_EXEC_ENV
    platform_api: ApiVersion = field(default=PLATFORM_APIS[-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Restored:
    """A layer to bring back; `cached` is `None` for metadata alone."""

    name: str
    record: LayerRecord
    cached: CachedLayer | None = None


def restore(request: RestoreRequest, log: PhaseLog) -> None:
    """Prepare the layers directory for the build. Raises `BuildpackApiUnsupported` and `RestoreError`."""
    for element in request.group.elements:
        if element.api not in BUILDPACK_APIS:
            raise BuildpackApiUnsupported(buildpack=str(element), requested=element.api)
    cached = _usable_cache(request, log)
    try:
        for element in request.group.elements:
            own_layers = request.layers_dir / element.id.directory_name
            own_layers.mkdir(parents=True, exist_ok=True)
            _restore_store(element.id, own_layers, request.previous)
            chosen = () if request.skip_layers else tuple(_choose_layers(element.id, request, cached, log))
            names = {layer.name for layer in chosen if _restore_layer(layer, own_layers, request.cache, log)}
            _restore_sboms(element.id, frozenset(names), request, cached)
        remove_tree(request.layers_dir / "sbom")
    except OSError as err:
        raise RestoreError(path=request.layers_dir, message=err.strerror or str(err)) from err


def _usable_cache(request: RestoreRequest, log: PhaseLog) -> CacheContents:
    if request.cache is None or request.skip_layers:
        return CacheContents()
    looked = request.looked or request.cache.look()
    for problem in looked.problems:
        log.info(problem)
    contents = looked.contents
    if contents.exec_env != request.exec_env:
        # buildpack.md, "Execution Environments": what was made for another one should not come back.
        log.info(f"The cache is not used: it was made for execution environment `{contents.exec_env}`")
        return CacheContents()
    return contents


def _restore_store(buildpack: BuildpackId, own_layers: Path, previous: LifecycleMetadata) -> None:
    record = previous.buildpack(buildpack)
    if record is not None and record.store is not None:
        write_toml(own_layers / "store.toml", {"metadata": record.store})


def _choose_layers(
    buildpack: BuildpackId, request: RestoreRequest, cached: CacheContents, log: PhaseLog
) -> Iterator[_Restored]:
    """Yield what comes back of one buildpack: layers of the image first, then those that only the cache has."""
    from_image = request.previous.buildpack(buildpack) if request.previous.exec_env == request.exec_env else None
    image_layers = {} if from_image is None else from_image.layers
    for name, record in sorted(image_layers.items()):
        if not is_layer_name(name) or not record.types.launch:
            continue
        if not record.types.cache:
            if not record.types.build:
                yield _Restored(name=name, record=record)
            continue
        layer = cached.layer(buildpack, name)
        if layer is None or not layer.record.types.cache:
            continue
        if record.sha is not None and layer.record.sha == record.sha:
            yield _Restored(name=name, record=record, cached=layer)
        else:
            log.info(f"Cached layer `{buildpack}:{name}` is not used: the previous image has another one")
    for layer in cached.layers:
        types = layer.record.types
        if layer.buildpack != buildpack or not types.cache or (types.launch and layer.name in image_layers):
            continue
        if not types.launch or request.platform_api >= _CACHE_ALONE_API:
            yield _Restored(name=layer.name, record=layer.record, cached=layer)


def _restore_layer(layer: _Restored, own_layers: Path, cache: Cache | None, log: PhaseLog) -> bool:
    """Return whether the layer came back."""
    file = own_layers / f"{layer.name}.toml"
    # Without types: a buildpack that does not ask for the layer again loses it.
    write_layer_file(file, LayerFile(metadata=layer.record.metadata))
    if layer.cached is None or cache is None:
        return True
    try:
        cache.lend(layer.cached.tree, own_layers / layer.name)
    except OSError as err:
        file.unlink()
        log.info(f"Cached layer `{layer.cached.buildpack}:{layer.name}` is not used: {err.strerror or err}")
        return False
    return True


def _restore_sboms(
    buildpack: BuildpackId, names: frozenset[str], request: RestoreRequest, cached: CacheContents
) -> None:
    own_layers = request.layers_dir / buildpack.directory_name
    if request.cache is not None and cached.sbom is not None:
        restore_sbom_files(request.cache.tree_path(cached.sbom) / buildpack.directory_name, own_layers, names)
    restore_sbom_files(request.layers_dir / "sbom" / "launch" / buildpack.directory_name, own_layers, names)
