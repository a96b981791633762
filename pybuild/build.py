"""The way of a build: source, analyze, detect, restore, build, export, each stage a value for the next."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from packaging.specifiers import SpecifierSet

from lifecycle.analyze import PreviousImage, RunImage, analyze
from lifecycle.cache import Cache
from lifecycle.cnb.analyzed import Analyzed, write_analyzed
from lifecycle.cnb.group import Group
from lifecycle.cnb.labels import LIFECYCLE_LABEL
from lifecycle.cnb.metadata import write_project_metadata
from lifecycle.cnb.reference import Reference
from lifecycle.detection import Detection
from lifecycle.exporters import Output
from lifecycle.oci.compression import Compression
from lifecycle.oci.descriptor import Platform
from lifecycle.oci.image import Image
from lifecycle.oci.image_index import make_index
from lifecycle.registry.manifest import name_of
from pybuild.assembly import Ground, LookingThroughCache, assemble, assemble_whole
from pybuild.builder import Builder, ensure_builder, read_definition
from pybuild.builder.dockerfile import POLICY_VARIABLE
from pybuild.check import CheckRequest, Profile, require_profile
from pybuild.clock import Clock
from pybuild.delivery import Deliver, Delivery
from pybuild.environment import BuildEnvironment
from pybuild.errors import SettingsError
from pybuild.fix import Fix, check_directory, describe_files, read_fixes
from pybuild.host import read_host_settings
from pybuild.image_store import host_platform, open_client
from pybuild.last_image import last_image_location, read_last_image
from pybuild.log import Log
from pybuild.remote_cache import RemoteCache
from pybuild.report import BuildReport, IndexReport, choosing
from pybuild.run_image import ImageSettings, Kitchen, MadeImage, builder_run_image
from pybuild.source import Source, fetch_source, source_identity
from pybuild.store import Application, in_use, open_application

# Where a Dockerfile brings its own interpreter, nobody has made sure yet that it is there.
_OWN_PYTHON = Profile(name="user-managed dependencies", python=SpecifierSet())


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
    images: ImageSettings = field(default_factory=ImageSettings)
    compression: Compression = Compression.GZIP
    """Of the layers that buildpacks make."""
    cache_image: Reference | None = None
    """Where the cache of the application is as an image, beside the one in the store."""
    platforms: tuple[Platform, ...] = field(default_factory=lambda: (host_platform(),))
    """What to build it for, at least one and each once; the images of several become one index."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where an application is built for one platform."""

    platform: Platform
    builder: Builder
    application: Application
    environment: BuildEnvironment

    @property
    def is_foreign(self) -> bool:
        """Whether nothing of what is built can be executed here."""
        return self.platform.architecture != host_platform().architecture


def build_image(request: BuildRequest, store: Path, host_env: Mapping[str, str], log: Log) -> BuildReport | IndexReport:
    """What was built, after every output is whole.

    Raises:
        lifecycle.cnb.errors.CnbError: the build failed; no output was touched.
    """
    delivery = Delivery(outputs=request.outputs, env=host_env, insecure_registries=request.images.insecure_registries)
    delivery.refuse_names(read_definition(request.builder).image_names)
    if len(request.platforms) > 1:
        delivery.refuse_index()
    delivery.check(log)
    clock = Clock(log=log, limit_s=request.timeout_s)
    with _open(request, store, host_env, clock) as places:
        if len(places) == 1:
            return _build(request, places[0], store, host_env, clock, deliver=delivery.deliver)
        return _build_index(request, places, store, host_env, clock, delivery)


def _build_index(
    request: BuildRequest,
    places: Sequence[_Place],
    store: Path,
    host_env: Mapping[str, str],
    clock: Clock,
    delivery: Delivery,
) -> IndexReport:
    """Build one image after the other, each from its own cache; then all go to the outputs at once."""
    reports: dict[str, BuildReport] = {}
    for place in places:
        clock.log.info(f"Building for {name_of(place.platform)}")
        clock.times.clear()
        report = _build(request, place, store, host_env, clock, deliver=lambda *_, **__: ())
        if any(report.source != other.source for other in reports.values()):
            raise SettingsError(
                f"`{request.repository}` has changed while it was built for several platforms", "build it once more"
            )
        reports[name_of(place.platform)] = report
    index = make_index([report.exported.image for report in reports.values()])
    origins = [base.origin for report in reports.values() for base in report.bases]
    with clock.phase("export"):
        written = delivery.deliver(index, clock.log, origins=origins, deadline=clock.deadline)
    return IndexReport(index=index, reports=reports, written=written)


def _build(
    request: BuildRequest,
    place: _Place,
    store: Path,
    host_env: Mapping[str, str],
    clock: Clock,
    *,
    deliver: Deliver,
) -> BuildReport:
    builder, application, environment, log = place.builder, place.application, place.environment, clock.log
    looking = LookingThroughCache(Cache(directory=application.cache, target=str(builder.target)))
    with clock.phase("source"):
        source = _fetch(request, environment, log)
    with clock.phase("analyze"):
        previous = read_last_image(application, log)
        analyzed = _analyze(environment, previous, builder_run_image(builder), log)
    with clock.phase("detect"):
        detection, group = _detect(request, environment, log)
    made = None
    if environment.makes_image(group):
        _warn_of_policy(request, builder, log)
        made = Kitchen(
            environment=environment,
            application=application,
            store=store,
            settings=request.images,
            user_env=request.env,
            host_env=host_env,
        ).make(group, previous, clock)
    if made is not None and made.recipe.whole_image:
        if request.cache_image is not None:
            log.notice("a Dockerfile alone leaves nothing for the cache image: no layer of it is a buildpack's")
        assembly = assemble_whole(made, application, clock)
    else:
        if made is not None:
            analyzed = _analyze(environment, previous, made.as_run_image(), log)
        ground = Ground(
            source=source,
            group=group,
            run_image=builder.run_image if made is None else made.image,
            is_made_here=made is not None,
            analyzed=analyzed,
            previous=previous,
        )
        remote = _open_remote_cache(request, place, host_env, clock)
        assembly = assemble(
            ground,
            environment,
            application,
            clock,
            looking=looking,
            compression=request.compression,
            remote=remote,
        )
    with assembly as assembled:
        image = assembled.exported.image
        for profile in _required_profiles(builder, group, made):
            check = CheckRequest(image=image, profile=profile, deadline=clock.deadline)
            require_profile(check, last_image_location(application), store, log)
        origins = [] if made is None else [base.origin for base in made.bases]
        written = deliver(image, log, origins=origins, deadline=clock.deadline)
    return BuildReport(
        source=source,
        builder=builder.key,
        detection=detection,
        exported=assembled.exported,
        bases=() if made is None else made.bases,
        phases=tuple(clock.times),
        locks=assembled.locks,
        outputs=tuple(one.location for one in written) or (f"{last_image_location(application)}@{image.digest}",),
        written=written,
    )


def detect_repository(request: BuildRequest, store: Path, host_env: Mapping[str, str], log: Log) -> Detection:
    """Which buildpacks would build the repository, and why the others would not; nothing is built.

    Raises:
        lifecycle.cnb.errors.CnbError: it could not be found out.
    """
    clock = Clock(log=log, limit_s=request.timeout_s)
    with _open(request, store, host_env, clock) as (place,):
        builder, application, environment = place.builder, place.application, place.environment
        with clock.phase("source"):
            _fetch(request, environment, log)
        with clock.phase("analyze"):
            _analyze(environment, read_last_image(application, log), builder_run_image(builder), log)
        with clock.phase("detect"):
            return environment.run_detect(request.buildpacks, log)


def find_fixes(request: BuildRequest, store: Path, host_env: Mapping[str, str], log: Log) -> tuple[Fix, ...]:
    """What the buildpacks that would build the directory `request.repository` change in its files; nothing is written there.

    Raises:
        lifecycle.cnb.errors.CnbError: there is no such directory, nothing would build it, or a buildpack could not.
    """
    repository = check_directory(request.repository)
    clock = Clock(log=log, limit_s=request.timeout_s)
    with _open(request, store, host_env, clock) as (place,):
        builder, application, environment = place.builder, place.application, place.environment
        with clock.phase("source"):
            since_ns = time.time_ns()
            _fetch(request, environment, log)
            before = describe_files(environment.app_dir)
        with clock.phase("analyze"):
            _analyze(environment, read_last_image(application, log), builder_run_image(builder), log)
        with clock.phase("detect"):
            _detect(request, environment, log)
        with clock.phase("fix"):
            environment.run_fix(log)
            return read_fixes(repository, environment.app_dir, before, since_ns=since_ns)


@contextlib.contextmanager
def _open(
    request: BuildRequest, store: Path, host_env: Mapping[str, str], clock: Clock
) -> Iterator[tuple[_Place, ...]]:
    """A place for each platform, in their order; making builders the first time does not count towards the time limit."""
    with in_use(store, clock.log), contextlib.ExitStack() as stack:
        definition = read_definition(request.builder)
        # In one order, whoever asks in which: two builds that wait for each other would wait for ever.
        platforms = sorted(request.platforms, key=lambda one: (one != host_platform(), name_of(one)))
        with clock.phase("builder"):
            builders = [
                ensure_builder(definition, store, clock.log, architecture=platform.architecture)
                for platform in platforms
            ]
        clock.start()
        yield tuple(
            stack.enter_context(_open_place(request, platform, builder, store, host_env, clock))
            for platform, builder in zip(platforms, builders, strict=True)
        )


@contextlib.contextmanager
def _open_place(
    request: BuildRequest,
    platform: Platform,
    builder: Builder,
    store: Path,
    host_env: Mapping[str, str],
    clock: Clock,
) -> Iterator[_Place]:
    foreign = None if platform.architecture == host_platform().architecture else platform.architecture
    identity = source_identity(request.repository)
    with open_application(store, identity, clock.log, foreign=foreign) as application:
        environment = BuildEnvironment(
            builder=builder,
            host=read_host_settings(host_env, Path.home()),
            work=application.work,
            archives=store / "archives",
            shared_layers=store / "layers",
            made_layers=store / "made",
            network=request.network,
            deadline=clock.deadline,
        )
        environment.prepare(request.env)
        yield _Place(platform=platform, builder=builder, application=application, environment=environment)


def _open_remote_cache(
    request: BuildRequest, place: _Place, host_env: Mapping[str, str], clock: Clock
) -> RemoteCache | None:
    if request.cache_image is None:
        return None
    insecure = request.images.insecure_registries
    client = open_client(host_env, Path.home(), insecure=insecure, deadline=clock.deadline)
    reference = request.cache_image
    if place.is_foreign:
        # A tag for each platform: what is cached for one is of no use for another.
        reference = replace(reference, tag=f"{reference.tag}-{place.platform.architecture}")
    return RemoteCache(
        reference,
        client,
        work=place.application.work / "cache-image",
        log=clock.log,
        platform=place.platform,
    )


def _fetch(request: BuildRequest, environment: BuildEnvironment, log: Log) -> Source:
    source = fetch_source(
        request.repository, environment.app_dir, environment.scratch_dir, log, deadline=environment.deadline
    )
    write_project_metadata(environment.layers_dir / "project-metadata.toml", source.project_metadata())
    return source


def _analyze(environment: BuildEnvironment, previous: Image | None, run_image: RunImage, log: Log) -> Analyzed:
    """What the previous image and the run image say; written to `analyzed.toml`."""
    known = None
    # An image that a Dockerfile made alone says nothing of layers, and need not.
    if previous is not None and LIFECYCLE_LABEL in previous.config.labels:
        known = PreviousImage(reference=str(previous.digest), labels=previous.config.labels)
    analyzed = analyze(
        previous=known,
        run_image=run_image,
        log=log,
    )
    write_analyzed(environment.layers_dir / "analyzed.toml", analyzed)
    return analyzed


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


def _warn_of_policy(request: BuildRequest, builder: Builder, log: Log) -> None:
    if POLICY_VARIABLE in request.env:
        policy = builder.dockerfile.policy.value
        log.warning(f"`{POLICY_VARIABLE}` is for the operator to set: the policy of this builder is `{policy}`")


def _required_profiles(builder: Builder, group: Group, made: MadeImage | None) -> tuple[Profile, ...]:
    brings_python = made is not None and not made.recipe.whole_image and len(group.elements) == 1
    return tuple(
        profile for profile in (_OWN_PYTHON if brings_python else None, builder.required_profile) if profile is not None
    )
