"""The way of a build: source, analyze, detect, restore, build, export, each stage a value for the next."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from packaging.specifiers import SpecifierSet

from lifecycle.analyze import PreviousImage, RunImage, analyze
from lifecycle.cache import Cache
from lifecycle.cnb.analyzed import Analyzed, write_analyzed
from lifecycle.cnb.group import Group
from lifecycle.cnb.labels import LIFECYCLE_LABEL
from lifecycle.detection import Detection
from lifecycle.oci.image import Image
from lifecycle.oci.image_index import make_index
from lifecycle.registry.manifest import name_of
from lifecycle.remote_cache import RemoteCache
from pybuild.assembly import Ground, LookingThroughCache, assemble, assemble_whole
from pybuild.builder import Builder, read_definition
from pybuild.builder.dockerfile import POLICY_VARIABLE
from pybuild.check import CheckRequest, Profile, require_profile
from pybuild.clock import Clock
from pybuild.delivery import Deliver, Delivery, read_outputs
from pybuild.environment import BuildEnvironment
from pybuild.errors import SettingsError
from pybuild.extensions import choose_run_image, extend_build_image, refuse_extensions
from pybuild.fetch import fetch_application
from pybuild.fix import Fix, check_directory, describe_files, read_fixes
from pybuild.last_image import last_image_location, read_last_image
from pybuild.place import Place, open_places
from pybuild.report import BuildReport, IndexReport, choosing, describe_plan
from pybuild.request import BuildRequest
from pybuild.run_image import Kitchen, MadeImage, builder_run_image
from pybuild.site import Site

# Where a Dockerfile brings its own interpreter, nobody has made sure yet that it is there.
_OWN_PYTHON = Profile(name="user-managed dependencies", python=SpecifierSet())


def build_image(request: BuildRequest, site: Site) -> BuildReport:
    """What was built for the one platform of the request, after every output is whole.

    Raises:
        lifecycle.cnb.errors.CnbError: the build failed; no output was touched.
    """
    delivery, clock = _open_delivery(request, site), site.open_clock(request.timeout_s)
    delivery.check(site.log, deadline=clock.deadline)
    with open_places(request, site, clock) as (place,):
        return _build(place, delivery.deliver)


def build_index(request: BuildRequest, site: Site) -> IndexReport:
    """What was built for each platform of the request, one image after the other, each from its own cache; then all went to the
    outputs at once.

    Raises:
        lifecycle.cnb.errors.CnbError: the build failed; no output was touched.
    """
    delivery, clock = _open_delivery(request, site), site.open_clock(request.timeout_s)
    delivery.refuse_index()
    delivery.check(site.log, deadline=clock.deadline)
    with open_places(request, site, clock) as places:
        reports = _build_each(places, clock)
        index = make_index([report.image for report in reports.values()])
        origins = [base.origin for report in reports.values() for base in report.bases]
        with clock.phase("export"):
            written = delivery.deliver(index, clock.log, origins=origins, deadline=clock.deadline)
        return IndexReport(index=index, reports=reports, written=written)


def _open_delivery(request: BuildRequest, site: Site) -> Delivery:
    delivery = Delivery(
        outputs=read_outputs(request.outputs),
        env=site.host_env,
        insecure_registries=request.images.insecure_registries,
    )
    delivery.refuse_names(read_definition(request.builder).image_names)
    return delivery


def _build_each(places: Sequence[Place], clock: Clock) -> Mapping[str, BuildReport]:
    """The reports by the names of the platforms."""
    reports: dict[str, BuildReport] = {}
    for place in places:
        place.log.info(f"Building for {name_of(place.platform)}")
        clock.times.clear()
        report = _build(place, lambda *_, **__: ())
        if any(report.source != other.source for other in reports.values()):
            repository = place.request.location
            raise SettingsError(
                f"`{repository}` has changed while it was built for several platforms", "build it once more"
            )
        reports[name_of(place.platform)] = report
    return reports


def _build(place: Place, deliver: Deliver) -> BuildReport:
    application, clock = place.application, place.clock
    looking = LookingThroughCache(Cache(directory=application.cache, target=str(place.builder.target)))
    with clock.phase("source"):
        source, place = fetch_application(place)
    builder, environment = place.builder, place.environment
    with clock.phase("analyze"):
        previous = read_last_image(application, place.log)
        analyzed = _analyze(place, previous, builder_run_image(builder))
    with clock.phase("detect"):
        detection, group = _detect(place)
    made = _make_image(place, group, previous)
    remote: RemoteCache | None = None
    if made is not None and made.recipe.whole_image:
        if place.request.cache_image is not None:
            place.log.notice("a Dockerfile alone leaves nothing for the cache image: no layer of it is a buildpack's")
        assembly = assemble_whole(made, application, clock)
    else:
        environment = _extend_environment(place, group)
        ground = _find_ground(
            place,
            Ground(
                source=source,
                group=group,
                run_image=builder.run_image,
                run_image_mirrors=builder.run_image_mirrors,
                is_made_here=False,
                analyzed=analyzed,
                previous=previous,
            ),
            made,
        )
        remote = place.open_remote_cache()
        assembly = assemble(
            ground,
            environment,
            application,
            clock,
            looking=looking,
            compression=place.request.compression,
            remote=remote,
        )
    with contextlib.nullcontext() if remote is None else contextlib.closing(remote), assembly as assembled:
        image = assembled.exported.image
        for profile in _required_profiles(builder, group, made):
            check = CheckRequest(image=image, profile=profile, deadline=clock.deadline)
            require_profile(check, last_image_location(application), place.site.store, place.log)
        origins = [] if made is None else [base.origin for base in made.bases]
        written = deliver(image, place.log, origins=origins, deadline=clock.deadline)
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


def _find_ground(place: Place, plain: Ground, made: MadeImage | None) -> Ground:
    """What layers go on: `plain`, or what a Dockerfile of the application or image extensions make of it."""
    if made is not None:
        analyzed = _analyze(place, plain.previous, made.as_run_image())
        return replace(plain, run_image=made.image, run_image_mirrors=(), is_made_here=True, analyzed=analyzed)
    if not plain.group.extensions:
        return plain
    chosen = choose_run_image(_open_kitchen(place), plain.group, place.clock)
    return replace(
        plain,
        run_image=chosen.image,
        extended_from=chosen.base,
        run_image_mirrors=plain.run_image_mirrors if chosen.origin is None else (),
        analyzed=_analyze(place, plain.previous, chosen.as_run_image()),
    )


def _extend_environment(place: Place, group: Group) -> BuildEnvironment:
    """Where the group builds, as image extensions have changed it."""
    extended = extend_build_image(_open_kitchen(place), group, place.clock) if group.extensions else None
    return replace(place.environment, extended=extended)


def detect_repository(request: BuildRequest, site: Site) -> Detection:
    """Which buildpacks would build the repository, and why the others would not; nothing is built.

    Raises:
        lifecycle.cnb.errors.CnbError: it could not be found out.
    """
    clock = site.open_clock(request.timeout_s)
    with open_places(request, site, clock) as (place,):
        with clock.phase("source"):
            _, place = fetch_application(place)
        with clock.phase("analyze"):
            _analyze(place, read_last_image(place.application, place.log), builder_run_image(place.builder))
        with clock.phase("detect"):
            return place.environment.run_detect(place.order, place.log)


def find_fixes(request: BuildRequest, site: Site) -> tuple[Fix, ...]:
    """What the buildpacks that would build the directory `request.repository` change in its files; nothing is written there.

    Raises:
        lifecycle.cnb.errors.CnbError: there is no such directory, nothing would build it, or a buildpack could not.
    """
    repository = check_directory(request.location)
    clock = site.open_clock(request.timeout_s)
    with open_places(request, site, clock) as (place,):
        with clock.phase("source"):
            since_ns = time.time_ns()
            _, place = fetch_application(place)
            environment = place.environment
            before = describe_files(environment.app_dir)
        with clock.phase("analyze"):
            _analyze(place, read_last_image(place.application, place.log), builder_run_image(place.builder))
        with clock.phase("detect"):
            _detect(place)
        with clock.phase("fix"):
            environment.run_fix(place.log)
            return read_fixes(repository, environment.app_dir, before, since_ns=since_ns)


def _analyze(place: Place, previous: Image | None, run_image: RunImage) -> Analyzed:
    """What the previous image and the run image say; written to `analyzed.toml`."""
    known = None
    # An image that a Dockerfile made alone says nothing of layers, and need not.
    if previous is not None and LIFECYCLE_LABEL in previous.config.labels:
        known = PreviousImage(reference=str(previous.digest), labels=previous.config.labels)
    analyzed = analyze(previous=known, run_image=run_image, log=place.log)
    write_analyzed(place.environment.layers_dir / "analyzed.toml", analyzed)
    return analyzed


def _detect(place: Place) -> tuple[Detection, Group]:
    detection = place.environment.run_detect(place.order, place.log)
    if detection.group is None:
        raise detection.error(app_dir=Path(place.request.location))
    for element in detection.group.elements:
        place.log.info(f"{element.id} {element.version}")
    for line in describe_plan(detection.plan):
        (place.log.info if place.request.shows_plan else place.log.detail)(f"plan: {line}")
    for buildpack, reason in detection.reasons():
        place.log.info(f"not {buildpack}: {reason}")
    for alternative, found in detection.alternatives():
        place.log.info(f"{alternative} {choosing(alternative)}" + (f" ({found})" if found else ""))
    return detection, detection.group


def _make_image(place: Place, group: Group, previous: Image | None) -> MadeImage | None:
    """The image that a buildpack of the group makes of its own, if one does."""
    if not place.environment.makes_image(group):
        return None
    if place.request.volumes:
        place.log.notice("the commands of the Dockerfile see no volumes: those are for buildpacks")
    if POLICY_VARIABLE in place.request.env:
        policy = place.builder.dockerfile.policy.value
        place.log.warning(f"`{POLICY_VARIABLE}` is for the operator to set: the policy of this builder is `{policy}`")
    refuse_extensions(place.environment, group)
    return _open_kitchen(place).make(group, previous, place.clock)


def _open_kitchen(place: Place) -> Kitchen:
    return Kitchen(
        environment=place.environment,
        application=place.application,
        store=place.site.store,
        settings=place.request.images,
        user_env=place.request.env,
        host_env=place.site.host_env,
    )


def _required_profiles(builder: Builder, group: Group, made: MadeImage | None) -> tuple[Profile, ...]:
    brings_python = made is not None and not made.recipe.whole_image and len(group.elements) == 1
    return tuple(
        profile for profile in (_OWN_PYTHON if brings_python else None, builder.required_profile) if profile is not None
    )
