"""The source stage: the repository is put into the application directory, and what its project.toml says takes effect."""

from __future__ import annotations

from dataclasses import replace

from lifecycle.cnb.metadata import write_project_metadata
from pybuild.brought import with_buildpacks
from pybuild.builder.buildpack_source import BuildpackFinder
from pybuild.order import OrderChoice
from pybuild.place import Place
from pybuild.project.descriptor import Project, read_project
from pybuild.source import Source, fetch_source


def fetch_application(place: Place) -> tuple[Source, Place]:
    """Where the application came from, and the place as it is now: with the order, buildpacks and variables that are asked for.

    What was said on the command line takes the place of what project.toml says.

    Raises:
        lifecycle.cnb.errors.CnbError: the repository cannot be had, or what it asks for.
    """
    request, environment, log = place.request, place.environment, place.log
    source = fetch_source(
        request.location,
        environment.app_dir,
        environment.scratch_dir,
        log,
        env=place.site.host_env,
        deadline=environment.deadline,
        project=None if request.descriptor is None else read_project(request.descriptor),
    )
    write_project_metadata(environment.layers_dir / "project-metadata.toml", source.project_metadata())
    for warning in source.project.warnings:
        log.warning(warning)
    if source.project.builder is not None:
        log.notice(
            f"{source.project.source}: names the builder `{source.project.builder}`, which is not the repository's to choose; "
            "`--builder` does"
        )
    for volume in request.volumes:
        log.info(f"volume {volume}")
    return source, _with_project(place, source.project)


def _with_project(place: Place, project: Project) -> Place:
    request, environment = place.request, place.environment
    env = {name: value for name, value in project.env(request.exec_env).items() if name not in request.env}
    if env:
        place.log.info(f"{project.source} sets {', '.join(env)}")
        environment.write_variables(env)
    choice = OrderChoice(
        order=place.builder.order,
        buildpacks=place.builder.buildpacks,
        finder=BuildpackFinder(
            store=place.site.store,
            log=place.log,
            env=place.site.host_env,
            insecure_registries=request.images.insecure_registries,
            deadline=environment.deadline,
        ),
        scratch=environment.scratch_dir / "buildpacks",
        trusts_project=request.trusts_project or place.builder.trusts_projects,
    )
    chosen = choice.choose(request.buildpacks, project, place.log)
    builder = with_buildpacks(place.builder, chosen.brought, environment.scratch_dir / "brought")
    return replace(
        place,
        request=replace(request, env={**env, **request.env}),
        builder=builder,
        environment=replace(environment, builder=builder),
        order=chosen.order,
    )
