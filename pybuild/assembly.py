"""The end of a build: layers of buildpacks on a run image, or the image that a Dockerfile made alone."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from lifecycle.cache import Cache, Looked, describe_cache_layers
from lifecycle.cnb.analyzed import Analyzed
from lifecycle.cnb.group import Group
from lifecycle.cnb.labels import REBASABLE_LABEL
from lifecycle.cnb.locks import read_locks
from lifecycle.cnb.metadata import read_build_metadata
from lifecycle.export import ExportedImage, ExportRequest, export
from lifecycle.oci.archive import Owner
from lifecycle.oci.compression import Compression
from lifecycle.oci.image import Image
from lifecycle.remote_cache import RemoteCache, SavedCache
from lifecycle.restore import RestoreRequest, restore
from lifecycle.sbom_layer import restore_launch_sbom
from pybuild.archives import keep_archives, share_archives
from pybuild.clock import Clock
from pybuild.environment import LAYERS, BuildEnvironment
from pybuild.last_image import keep_last_image, last_image_blobs
from pybuild.log import Log
from pybuild.made_layers import MadeLayers
from pybuild.run_image import MadeImage
from pybuild.shared_layers import SharedLayers
from pybuild.source import Source
from pybuild.store import Application


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What the stages before have found: what is built, by whom, and on what."""

    source: Source
    group: Group
    run_image: Image
    is_made_here: bool
    """Whether the run image comes from a Dockerfile of the application, so that nothing else can be put in its place."""
    analyzed: Analyzed
    previous: Image | None
    run_image_mirrors: tuple[str, ...] = ()
    extended_from: Image | None = None
    """What the run image was before image extensions changed it."""


class LookingThroughCache:
    """Looks at every file of a cache, which takes its time, while a build waits for other things."""

    def __init__(self, cache: Cache) -> None:
        self.cache = cache
        executor = ThreadPoolExecutor(1)
        self._task = executor.submit(cache.look)
        # Of a build that ends before, nobody needs to wait: nothing is changed.
        executor.shutdown(wait=False)

    def finish(self) -> Looked:
        """What can be used of it."""
        return self._task.result()


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembled:
    """An image of layers, whole in the application's layout; `locks` are texts by file name, by buildpack."""

    exported: ExportedImage
    locks: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@contextlib.contextmanager
def assemble(
    ground: Ground,
    environment: BuildEnvironment,
    application: Application,
    clock: Clock,
    *,
    looking: LookingThroughCache,
    compression: Compression = Compression.GZIP,
    remote: RemoteCache | None = None,
) -> Iterator[Assembled]:
    """Yield the image, still in the phase `export`; when the context ends without an error, the cache is what this build left, here
    and in `remote`. `compression` is that of the layers that buildpacks make.

    Raises:
        lifecycle.cnb.errors.CnbError: the build failed; the cache is as it was.
    """
    log = clock.log
    cache = looking.cache
    with clock.phase("restore"):
        looked = looking.finish()
        if remote is not None and remote.restore(cache):
            looked = cache.look()
        sbom = ground.analyzed.previous.sbom
        if ground.previous is not None and sbom is not None:
            restore_launch_sbom(ground.previous, sbom, environment.layers_dir, log, layers_path=LAYERS)
        request = RestoreRequest(
            layers_dir=environment.layers_dir,
            group=ground.group,
            previous=ground.analyzed.previous,
            cache=cache,
            looked=looked,
            exec_env=environment.exec_env,
        )
        restore(request, log)
    shared = SharedLayers(directory=environment.shared_layers)
    shared.forget_damaged()
    is_first = cache.is_new
    with _kept(cache, environment, log):
        with clock.phase("build"):
            named = environment.run_build(log)
            locks = _share_archives(environment, ground.group)
        with clock.phase("export"), _exporting(remote, cache, ground, environment, log) as finish:
            exported = _export(ground, environment, application, shared, clock, compression=compression)
            if named is not None and is_first:
                first = ground.group.elements[0]
                buildpack = environment.builder.buildpack(first.id, first.version)
                shared.share(named, buildpack, LAYERS, exported, layers_dir=environment.layers_dir)
            shared.forget_unused()
            yield Assembled(exported=exported, locks=locks)
            saved = finish()
        cache.save(
            layers_dir=environment.layers_dir,
            group=ground.group,
            image=exported.metadata,
            log=log,
            exec_env=environment.exec_env,
            known=saved.facts,
            cache_image=saved.digest,
        )


@contextlib.contextmanager
def assemble_whole(made: MadeImage, application: Application, clock: Clock) -> Iterator[Assembled]:
    """Yield the image that a Dockerfile made, as it is, still in the phase `export`."""
    with clock.phase("export"):
        keep_last_image(application, made.image)
        yield Assembled(exported=made.as_exported())


@contextlib.contextmanager
def _kept(cache: Cache, environment: BuildEnvironment, log: Log) -> Iterator[None]:
    """What the cache lent is taken back when the build does not come to its end."""
    try:
        yield
    except BaseException:
        cache.take_back(layers_dir=environment.layers_dir, log=log)
        raise


def _exporting(
    remote: RemoteCache | None, cache: Cache, ground: Ground, environment: BuildEnvironment, log: Log
) -> contextlib.AbstractContextManager[Callable[[], SavedCache]]:
    if remote is None:
        return _describing(cache, ground, environment, log)
    return remote.exporting(
        cache,
        layers_dir=environment.layers_dir,
        group=ground.group,
        owner=_owner(environment),
        exec_env=environment.exec_env,
    )


@contextlib.contextmanager
def _describing(
    cache: Cache, ground: Ground, environment: BuildEnvironment, log: Log
) -> Iterator[Callable[[], SavedCache]]:
    """Looks at every file that will be cached, while the image is exported."""
    with ThreadPoolExecutor(1) as executor:
        task = executor.submit(describe_cache_layers, environment.layers_dir, ground.group, cache.recall(), log)

        def finish() -> SavedCache:
            try:
                return SavedCache(facts=task.result())
            except OSError:
                # Who saves the cache looks again, and says what is wrong.
                return SavedCache()

        yield finish


def _owner(environment: BuildEnvironment) -> Owner:
    return Owner(user_id=environment.builder.user_id, group_id=environment.builder.group_id)


def _share_archives(environment: BuildEnvironment, group: Group) -> Mapping[str, Mapping[str, str]]:
    """The locks of the build, by buildpack, after what it downloaded was made known to other applications."""
    share_archives(environment.layers_dir, environment.archives)
    found = {str(one.id): read_locks(environment.layers_dir / one.id.directory_name) for one in group.elements}
    locks = {buildpack: files for buildpack, files in found.items() if files}
    keep_archives(environment.archives, (text for files in locks.values() for text in files.values()))
    return locks


def _export(
    ground: Ground,
    environment: BuildEnvironment,
    application: Application,
    shared: SharedLayers,
    clock: Clock,
    *,
    compression: Compression,
) -> ExportedImage:
    made = MadeLayers(directory=environment.made_layers)
    request = ExportRequest(
        layers_dir=environment.layers_dir,
        app_dir=environment.app_dir,
        group=ground.group,
        build=read_build_metadata(environment.layers_dir / "config" / "metadata.toml"),
        analyzed=ground.analyzed,
        project=ground.source.project_metadata(),
        exec_env=environment.exec_env,
        run_image=ground.run_image,
        run_image_mirrors=ground.run_image_mirrors,
        extended_from=ground.extended_from,
        previous=ground.previous,
        find_shared=shared.find,
        find_made=made.find,
        blobs_dir=last_image_blobs(application),
        compression=compression,
        owner=_owner(environment),
        labels={REBASABLE_LABEL: "false"} if ground.is_made_here else {},
        check=clock.check,
    )
    exported = export(request, clock.log)
    keep_last_image(application, exported.image)
    made.keep(exported.made)
    made.forget_unused()
    return exported
