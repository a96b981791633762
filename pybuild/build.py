"""The way of a build: source, analyze, detect, restore, build, export, each stage a value for the next."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lifecycle.analyze import PreviousImage, RunImage, analyze
from lifecycle.cache import Cache
from lifecycle.cnb.analyzed import Analyzed, write_analyzed
from lifecycle.cnb.buildpack import Descriptor
from lifecycle.cnb.errors import CnbError
from lifecycle.cnb.group import Group
from lifecycle.cnb.locks import read_locks
from lifecycle.cnb.metadata import read_build_metadata, write_project_metadata
from lifecycle.detection import Detection
from lifecycle.export import ExportedImage, ExportRequest, SharedLayer, export
from lifecycle.exporters import Output, check_outputs, write_outputs
from lifecycle.oci.archive import Owner
from lifecycle.oci.image import Image
from lifecycle.oci.layout import read_image
from lifecycle.oci.layout_writer import open_layout
from lifecycle.restore import RestoreRequest, restore
from pybuild.archives import keep_archives, share_archives
from pybuild.builder import Builder, ensure_builder, read_definition
from pybuild.clock import Clock
from pybuild.environment import LAYERS, BuildEnvironment
from pybuild.fix import Fix, check_directory, describe_files, read_fixes
from pybuild.host import read_host_settings
from pybuild.log import Log
from pybuild.report import BuildReport, choosing
from pybuild.shared_layers import SharedLayers
from pybuild.source import Source, fetch_source, source_identity
from pybuild.store import Application, open_application

_STORED_TAG = "latest"


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """What to build, and how."""

    repository: str
    builder: Path
    """A `builder.toml`."""
    outputs: tuple[Output, ...] = ()
    """Empty: the image stays in the store."""
    env: Mapping[str, str] = field(default_factory=dict)
    """The user's variables for the buildpacks."""
    buildpacks: tuple[str, ...] = ()
    """Ids that take the place of the builder's order."""
    timeout_s: float = 3600
    network: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stages:
    """What export needs of the stages before it."""

    previous: Image | None
    analyzed: Analyzed
    group: Group
    find_shared: Callable[[str], SharedLayer | None]


def build_image(request: BuildRequest, store: Path, host_env: Mapping[str, str], log: Log) -> BuildReport:
    """What was built, after every output is whole.

    Raises:
        lifecycle.cnb.errors.CnbError: the build failed; no output was touched.
    """
    check_outputs(request.outputs)
    clock = Clock(log=log, limit_s=request.timeout_s)
    builder = _make_builder(request, store, clock)
    with _open(request, builder, store, host_env, clock) as (application, environment):
        with clock.phase("source"):
            source = _fetch(request, environment, log)
        with clock.phase("analyze"):
            previous, analyzed = _analyze(environment, application, log)
        with clock.phase("detect"):
            detection, group = _detect(request, environment, log)
        cache = Cache(directory=application.cache)
        with clock.phase("restore"):
            restore(
                RestoreRequest(layers_dir=environment.layers_dir, group=group, previous=analyzed.previous, cache=cache),
                log,
            )
        shared = SharedLayers(directory=environment.shared_layers)
        shared.forget_damaged()
        is_first = cache.is_new
        with _kept(cache, environment, log):
            with clock.phase("build"):
                named = environment.run_build(log)
                locks = _share_archives(environment, group)
            with clock.phase("export"):
                stages = _Stages(previous=previous, analyzed=analyzed, group=group, find_shared=shared.find)
                exported = _export(environment, application, source, stages, log)
                if named is not None and is_first:
                    shared.share(named, _first_buildpack(builder, group), LAYERS, exported)
                shared.forget_unused()
                outputs = write_outputs(exported.image, request.outputs)
            cache.save(layers_dir=environment.layers_dir, group=group, image=exported.metadata, log=log)
    return BuildReport(
        source=source,
        builder=builder.key,
        detection=detection,
        exported=exported,
        phases=tuple(clock.times),
        locks=locks,
        outputs=outputs or (f"oci:{application.image}:{_STORED_TAG}@{exported.image.digest}",),
    )


def detect_repository(request: BuildRequest, store: Path, host_env: Mapping[str, str], log: Log) -> Detection:
    """Which buildpacks would build the repository, and why the others would not; nothing is built.

    Raises:
        lifecycle.cnb.errors.CnbError: it could not be found out.
    """
    clock = Clock(log=log, limit_s=request.timeout_s)
    builder = _make_builder(request, store, clock)
    with _open(request, builder, store, host_env, clock) as (application, environment):
        with clock.phase("source"):
            _fetch(request, environment, log)
        with clock.phase("analyze"):
            _analyze(environment, application, log)
        with clock.phase("detect"):
            return environment.run_detect(request.buildpacks, log)


def find_fixes(request: BuildRequest, store: Path, host_env: Mapping[str, str], log: Log) -> tuple[Fix, ...]:
    """What the buildpacks that would build the directory `request.repository` change in its files; nothing is written there.

    Raises:
        lifecycle.cnb.errors.CnbError: there is no such directory, nothing would build it, or a buildpack could not.
    """
    repository = check_directory(request.repository)
    clock = Clock(log=log, limit_s=request.timeout_s)
    builder = _make_builder(request, store, clock)
    with _open(request, builder, store, host_env, clock) as (application, environment):
        with clock.phase("source"):
            since_ns = time.time_ns()
            _fetch(request, environment, log)
            before = describe_files(environment.app_dir)
        with clock.phase("analyze"):
            _analyze(environment, application, log)
        with clock.phase("detect"):
            _detect(request, environment, log)
        with clock.phase("fix"):
            environment.run_fix(log)
            return read_fixes(repository, environment.app_dir, before, since_ns=since_ns)


def _make_builder(request: BuildRequest, store: Path, clock: Clock) -> Builder:
    """The builder; making it the first time does not count towards the time limit."""
    with clock.phase("builder"):
        builder = ensure_builder(read_definition(request.builder), store, clock.log)
    clock.start()
    return builder


@contextlib.contextmanager
def _open(
    request: BuildRequest, builder: Builder, store: Path, host_env: Mapping[str, str], clock: Clock
) -> Iterator[tuple[Application, BuildEnvironment]]:
    with open_application(store, source_identity(request.repository), clock.log) as application:
        environment = BuildEnvironment(
            builder=builder,
            host=read_host_settings(host_env, Path.home()),
            work=application.work,
            archives=store / "archives",
            shared_layers=store / "layers",
            network=request.network,
            deadline=clock.deadline,
        )
        environment.prepare(request.env)
        yield application, environment


def _fetch(request: BuildRequest, environment: BuildEnvironment, log: Log) -> Source:
    source = fetch_source(
        request.repository, environment.app_dir, environment.scratch_dir, log, deadline=environment.deadline
    )
    write_project_metadata(environment.layers_dir / "project-metadata.toml", source.project_metadata())
    return source


def _analyze(environment: BuildEnvironment, application: Application, log: Log) -> tuple[Image | None, Analyzed]:
    """The previous image, and what it and the run image say; written to `analyzed.toml`."""
    previous = _read_previous(application, log)
    run_image = environment.builder.run_image
    analyzed = analyze(
        previous=None
        if previous is None
        else PreviousImage(reference=str(previous.digest), labels=previous.config.labels),
        run_image=RunImage(
            name=environment.builder.run_image_name,
            reference=str(run_image.digest),
            os=run_image.config.os,
            architecture=run_image.config.architecture,
            variant=run_image.config.variant,
            labels=run_image.config.labels,
        ),
        log=log,
    )
    write_analyzed(environment.layers_dir / "analyzed.toml", analyzed)
    return previous, analyzed


def _read_previous(application: Application, log: Log) -> Image | None:
    if not (application.image / "index.json").exists():
        return None
    try:
        return read_image(f"oci:{application.image}:{_STORED_TAG}")
    except CnbError as err:
        log.notice(f"the image of the last build is damaged and not reused: {err.summary}")
        # What is put into the layout now must not meet an index that says something else.
        (application.image / "index.json").unlink(missing_ok=True)
        return None


def _detect(request: BuildRequest, environment: BuildEnvironment, log: Log) -> tuple[Detection, Group]:
    detection = environment.run_detect(request.buildpacks, log)
    if detection.group is None:
        raise detection.error(app_dir=Path(request.repository))
    for element in detection.group.elements:
        log.info(f"{element.id} {element.version}")
    for buildpack, reason in detection.reasons():
        log.info(f"not {buildpack}: {reason}")
    for alternative, found in detection.alternatives():
        log.info(f"{alternative} {choosing(alternative)}" + (f" ({found})" if found else ""))
    return detection, detection.group


@contextlib.contextmanager
def _kept(cache: Cache, environment: BuildEnvironment, log: Log) -> Iterator[None]:
    """What the cache lent is taken back when the build does not come to its end."""
    try:
        yield
    except BaseException:
        cache.take_back(layers_dir=environment.layers_dir, log=log)
        raise


def _first_buildpack(builder: Builder, group: Group) -> Descriptor:
    first = group.elements[0]
    return next(one for one in builder.buildpacks if (one.id, one.version) == (first.id, first.version))


def _share_archives(environment: BuildEnvironment, group: Group) -> Mapping[str, Mapping[str, str]]:
    """The locks of the build, by buildpack, after what it downloaded was made known to other applications."""
    share_archives(environment.layers_dir, environment.archives)
    found = {str(one.id): read_locks(environment.layers_dir / one.id.directory_name) for one in group.elements}
    locks = {buildpack: files for buildpack, files in found.items() if files}
    keep_archives(environment.archives, (text for files in locks.values() for text in files.values()))
    return locks


def _export(
    environment: BuildEnvironment, application: Application, source: Source, stages: _Stages, log: Log
) -> ExportedImage:
    """The image, whole in the application's layout, which holds the last image only."""
    request = ExportRequest(
        layers_dir=environment.layers_dir,
        app_dir=environment.app_dir,
        group=stages.group,
        build=read_build_metadata(environment.layers_dir / "config" / "metadata.toml"),
        analyzed=stages.analyzed,
        project=source.project_metadata(),
        run_image=environment.builder.run_image,
        previous=stages.previous,
        find_shared=stages.find_shared,
        blobs_dir=application.image / "blobs" / "sha256",
        owner=Owner(user_id=environment.builder.user_id, group_id=environment.builder.group_id),
    )
    request.blobs_dir.mkdir(parents=True, exist_ok=True)
    exported = export(request, log)
    with open_layout(application.image) as layout:
        layout.add(exported.image)
        layout.tag(exported.image, [_STORED_TAG])
        layout.remove_unreferenced()
    return exported
