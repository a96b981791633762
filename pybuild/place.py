"""Where a build takes place: for one platform its builder, what the store has of the application, and the build environment."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

from lifecycle.cnb.order import Order
from lifecycle.oci.descriptor import Platform, host_platform
from lifecycle.registry.manifest import name_of
from lifecycle.remote_cache import RemoteCache
from pybuild.builder import Builder, ensure_builder, read_definition
from pybuild.clock import Clock
from pybuild.environment import BuildEnvironment
from pybuild.host import read_host_settings
from pybuild.image_store import open_client
from pybuild.log import Log
from pybuild.machine import home_directory
from pybuild.request import BuildRequest
from pybuild.site import Site
from pybuild.source import source_identity
from pybuild.store import Application, in_use, open_application


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What the stages of a build work with. Made by `open_places`."""

    request: BuildRequest
    site: Site
    clock: Clock
    platform: Platform
    builder: Builder
    application: Application
    environment: BuildEnvironment
    order: Order
    """Which buildpacks are tried: the builder's order, until it is known what else is asked for."""

    @property
    def log(self) -> Log:
        """What people read."""
        return self.clock.log

    @property
    def is_foreign(self) -> bool:
        """Whether nothing of what is built can be executed here."""
        return self.platform.architecture != host_platform().architecture

    def open_remote_cache(self) -> RemoteCache | None:
        """The cache of the application as an image, if the request names one."""
        reference, insecure = self.request.cache_image, self.request.images.insecure_registries
        if reference is None:
            return None
        if self.is_foreign:
            # A tag for each platform: what is cached for one is of no use for another.
            reference = replace(reference, tag=f"{reference.tag}-{self.platform.architecture}")
        deadline = self.clock.deadline
        return RemoteCache(
            reference,
            open_client(self.site.host_env, insecure=insecure, deadline=deadline),
            work=self.application.work / "cache-image",
            log=self.log,
            platform=self.platform,
            deadline=deadline,
        )


@contextlib.contextmanager
def open_places(request: BuildRequest, site: Site, clock: Clock) -> Iterator[tuple[Place, ...]]:
    """A place for each platform, this machine's first; making builders the first time does not count towards the time limit."""
    with in_use(site.store, clock.log, deadline=clock.deadline), contextlib.ExitStack() as stack:
        definition = read_definition(request.builder)
        # In one order, whoever asks in which: two builds that wait for each other would wait for ever.
        platforms = sorted(request.platforms, key=lambda one: (one != host_platform(), name_of(one)))
        with clock.phase("builder"):
            builders = [
                ensure_builder(
                    definition,
                    site.store,
                    clock.log,
                    architecture=platform.architecture,
                    env=site.host_env,
                    deadline=clock.deadline,
                )
                for platform in platforms
            ]
        clock.start()
        places = []
        for platform, builder in zip(platforms, builders, strict=True):
            with clock.waiting():
                opening = _open_application(request, platform, builder, site, clock)
                application, environment = stack.enter_context(opening)
            places.append(
                Place(
                    request=request,
                    site=site,
                    clock=clock,
                    platform=platform,
                    builder=builder,
                    application=application,
                    environment=environment,
                    order=builder.order,
                )
            )
        yield tuple(places)


@contextlib.contextmanager
def _open_application(
    request: BuildRequest,
    platform: Platform,
    builder: Builder,
    site: Site,
    clock: Clock,
) -> Iterator[tuple[Application, BuildEnvironment]]:
    foreign = None if platform.architecture == host_platform().architecture else platform.architecture
    identity = source_identity(request.location)
    opening = open_application(site.store, identity, clock.log, foreign=foreign, deadline=clock.deadline)
    with opening as application:
        environment = BuildEnvironment(
            builder=builder,
            host=read_host_settings(site.host_env, home_directory(site.host_env)),
            work=application.work,
            archives=site.store / "archives",
            shared_layers=site.store / "layers",
            made_layers=site.store / "made",
            network=request.network,
            deadline=clock.deadline,
            volumes=request.volumes,
            exec_env=request.exec_env,
            engine=request.images.engine,
            machine_env=site.host_env,
        )
        environment.prepare(request.env)
        yield application, environment
