"""`pybuild env`: environments with names and versions, in a workspace."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import click

from pybuild.builder import default_definition_path
from pybuild.commands.environments import Wanted, WantedType, print_table, workspace_options
from pybuild.commands.options import Session, builder_option, read_user_env, session_options
from pybuild.commands.printing import print_result
from pybuild.environments.curated import register_curated
from pybuild.environments.definition import Definition
from pybuild.environments.difference import describe_difference, describe_lock_difference
from pybuild.environments.environment import Environment
from pybuild.environments.lint import find_problems
from pybuild.environments.reading import SOURCES, read_environment
from pybuild.environments.registered import register_environment
from pybuild.environments.registered_build import EnvironmentBuild, build_registered, find_image_details
from pybuild.errors import UsageError
from pybuild.run_image import ImageSettings
from pybuild.workspaces.errors import NotBuilt
from pybuild.workspaces.tags import check_label
from pybuild.workspaces.version import RegisteredVersion
from pybuild.workspaces.workspace import EnvironmentSummary, Workspace


@click.group("env")
def env() -> None:
    """Environments with names and versions, in a workspace: a namespace of a registry or a directory.

    An environment is NAME for its latest version, NAME:VERSION or NAME@LABEL.
    """


@env.command("list")
@click.option("--all", "everything", is_flag=True, help="Archived ones too.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@workspace_options
@session_options
def env_list(session: Session, workspace: Workspace, *, everything: bool, as_json: bool) -> None:
    """List the environments of the workspace."""
    session.log.info(f"Workspace {workspace.location}")
    summaries = [one for one in workspace.describe_all() if everything or not one.is_archived]
    if as_json:
        print_result(json.dumps([_summary_to_json(one) for one in summaries], indent=2))
        return
    rows = [("NAME", "LATEST", "VERSIONS", "")]
    rows += [
        (one.name, str(one.latest or "none"), str(len(one.versions)), "archived" if one.is_archived else "")
        for one in summaries
    ]
    print_table(rows)


@env.command("show")
@click.argument("wanted", metavar="ENVIRONMENT", type=WantedType())
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.option(
    "--image", "of_image", is_flag=True, help="Show its image, as JSON: where it is, and of what it was made."
)
@click.option("--dockerfile", is_flag=True, help="Print a Dockerfile that makes the same environment without pybuild.")
@workspace_options
@session_options
def env_show(
    session: Session, workspace: Workspace, wanted: Wanted, *, as_json: bool, of_image: bool, dockerfile: bool
) -> None:
    """Show the versions of ENVIRONMENT, or what one of them says."""
    session.log.info(f"Workspace {workspace.location}")
    if of_image or dockerfile:
        details = find_image_details(wanted.get(workspace), workspace)
        if of_image:
            print_result(json.dumps(details.to_json(), indent=2))
        elif details.dockerfile is None:
            raise UsageError(
                f"there is no Dockerfile of `{wanted.name}`", "it is a repository that has its own: take that"
            )
        else:
            print_result(details.dockerfile.rstrip("\n"))
        return
    if wanted.version is not None or wanted.label is not None:
        found = wanted.get(workspace)
        if as_json:
            print_result(json.dumps(_version_to_json(found), indent=2))
            return
        facts = [("name", found.name), ("version", str(found.version)), ("created", found.created)]
        print_table([*facts, ("digest", str(found.digest)), *([("archived", "yes")] if found.is_archived else [])])
        print_result(_pretty(found.definition))
        return
    summary = workspace.describe(wanted.name)
    if as_json:
        print_result(json.dumps(_summary_to_json(summary), indent=2))
        return
    rows = [("VERSION", "DEFINITION", "LABELS")]
    for one in summary.versions:
        labels = ", ".join((*one.labels, *(("archived",) if one.is_archived else ())))
        rows.append((str(one.version), "not known" if one.digest is None else one.digest.hex[:12], labels))
    print_table(rows)


@env.command("register", help=f"""Register what FROM says under NAME, and print NAME:VERSION.

    FROM is {SOURCES}. What has a version already keeps it.
    """)  # fmt: skip
@click.argument("name")
@click.argument("source", metavar="FROM")
@click.option("--base-image", metavar="IMAGE", help="The image that it stands on, in place of the builder's run image.")
@click.option("--python-version", metavar="VERSION", help="The Python of packages that pip installs, such as 3.12.")
@click.option("--label", "labels", multiple=True, help="Let this label name the version; may be repeated.")
@workspace_options
@session_options
def env_register(
    session: Session,
    workspace: Workspace,
    name: str,
    source: str,
    base_image: str | None,
    python_version: str | None,
    labels: tuple[str, ...],
) -> None:
    """Register what FROM says under NAME."""
    for label in labels:
        check_label(label)
    environment = read_environment(name, source, base_image=base_image, python_version=python_version)
    for problem in find_problems(environment):
        if not problem.is_error:
            session.log.warning(f"{problem.message}; {problem.change}")
    session.log.info(f"Workspace {workspace.location}")
    registered = register_environment(environment, workspace)
    for label in labels:
        workspace.set_label(registered.name, label, registered.version)
    if not registered.is_new:
        session.log.notice(f"version {registered.version} says the same already, since {registered.created}")
    if registered.is_archived:
        session.log.notice(f"it is archived; `pybuild env restore {registered.name}:{registered.version}` changes that")
    print_result(f"{registered.name}:{registered.version}")


@env.command("curated")
@workspace_options
@session_options
def env_curated(session: Session, workspace: Workspace) -> None:
    """Register the environments that pybuild brings, under `curated-`, and print NAME:VERSION of each."""
    session.log.info(f"Workspace {workspace.location}")
    for registered in register_curated(workspace):
        print_result(f"{registered.name}:{registered.version}")


@env.command("label")
@click.argument("wanted", metavar="ENVIRONMENT", type=WantedType())
@click.argument("label")
@workspace_options
@session_options
def env_label(session: Session, workspace: Workspace, wanted: Wanted, label: str) -> None:
    """Let LABEL name the version ENVIRONMENT, and no other any more."""
    found = wanted.get(workspace)
    workspace.set_label(found.name, label, found.version)
    session.log.info(f"{found.name}@{label} is version {found.version}")


@env.command("archive")
@click.argument("wanted", metavar="NAME[:VERSION]", type=WantedType())
@workspace_options
@session_options
def env_archive(session: Session, workspace: Workspace, wanted: Wanted) -> None:
    """Archive a version, which is then not the latest any more, or all of NAME, which lists then leave out. Both can still be had."""
    workspace.archive(wanted.name, _version_alone(wanted))
    session.log.info("Archived")


@env.command("restore")
@click.argument("wanted", metavar="NAME[:VERSION]", type=WantedType())
@workspace_options
@session_options
def env_restore(session: Session, workspace: Workspace, wanted: Wanted) -> None:
    """Undo `archive`."""
    workspace.restore(wanted.name, _version_alone(wanted))
    session.log.info("Restored")


@env.command("build")
@click.argument("wanted", metavar="ENVIRONMENT", type=WantedType())
@click.option("--refresh", is_flag=True, help="Resolve what has no version anew, and say what has changed.")
@click.option("--json", "as_json", is_flag=True, help="Print what there is to say of the image as JSON.")
@click.option(
    "-e",
    "--env",
    "pairs",
    multiple=True,
    metavar="NAME[=VALUE]",
    help="Setting for the buildpacks; without a value it is taken from your environment.",
)
@builder_option
@workspace_options
@session_options
def env_build(
    session: Session,
    workspace: Workspace,
    wanted: Wanted,
    pairs: tuple[str, ...],
    builder: Path | None,
    *,
    refresh: bool,
    as_json: bool,
) -> None:
    """Build ENVIRONMENT into the workspace, and print where its image is. What was built before is not built again."""
    how = EnvironmentBuild(
        builder=builder or default_definition_path(),
        refresh=refresh,
        settings=read_user_env(pairs, ()),
        images=ImageSettings(insecure_registries=workspace.insecure_registries),
    )
    registered = wanted.get(workspace)
    details = build_registered(
        Environment.from_registered(registered), registered, workspace, how, on_event=session.show, store=session.store
    )
    for line in details.changes:
        session.log.info(line)
    if refresh and not details.changes:
        session.log.info("Everything is resolved as before")
    print_result(json.dumps(details.to_json(), indent=2) if as_json else details.image)


@env.command("diff")
@click.argument("before", type=WantedType())
@click.argument("after", type=WantedType())
@workspace_options
@session_options
def env_diff(session: Session, workspace: Workspace, before: Wanted, after: Wanted) -> None:
    """Show what AFTER says otherwise than BEFORE, and what else it has, where both were built."""
    versions = [one.get(workspace) for one in (before, after)]
    old, new = (Definition.parse(one.definition) for one in versions)
    lines = list(describe_difference(old, new))
    try:
        built = [find_image_details(one, workspace) for one in versions]
    except NotBuilt as err:
        session.log.notice(f"{err.summary}, so only what they say is compared; {err.hint}")
    else:
        resolved = describe_lock_difference(built[0].locks, built[1].locks)
        lines += ["resolved packages:", *(f"  {line}" for line in resolved)] if resolved else []
    if not lines:
        session.log.info("There is no difference")
    for line in lines:
        print_result(line)


@env.command("export")
@click.argument("wanted", metavar="ENVIRONMENT", type=WantedType())
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@click.option("--overwrite", is_flag=True, help="Replace what the directory has.")
@workspace_options
@session_options
def env_export(session: Session, workspace: Workspace, wanted: Wanted, directory: Path, *, overwrite: bool) -> None:
    """Write ENVIRONMENT into DIRECTORY, as files that people can edit and `pybuild env register` takes."""
    found = wanted.get(workspace)
    Environment.from_registered(found).save_to_directory(directory, overwrite=overwrite)
    session.log.info(f"Version {found.version}")
    print_result(str(directory))


def _version_alone(wanted: Wanted) -> int | None:
    if wanted.label is not None:
        raise UsageError(
            f"`{wanted.name}@{wanted.label}` may name another version at any time",
            "write NAME:VERSION, or NAME for all",
        )
    return wanted.version


def _summary_to_json(summary: EnvironmentSummary) -> Mapping[str, object]:
    return {
        "name": summary.name,
        "latest": summary.latest,
        "archived": summary.is_archived,
        "versions": [
            {
                "version": one.version,
                "digest": None if one.digest is None else str(one.digest),
                "labels": list(one.labels),
                "archived": one.is_archived,
            }
            for one in summary.versions
        ],
    }


def _version_to_json(found: RegisteredVersion) -> Mapping[str, object]:
    return {
        "name": found.name,
        "version": found.version,
        "created": found.created,
        "digest": str(found.digest),
        "archived": found.is_archived,
        "definition": json.loads(found.definition),
    }


def _pretty(definition: bytes) -> str:
    return json.dumps(json.loads(definition), indent=2, ensure_ascii=False)
