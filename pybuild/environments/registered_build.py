"""Builds registered environments, once for what they are made of, and keeps the records beside them in the workspace."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from lifecycle.cnb.deadline import Cancellation
from lifecycle.cnb.digest import Digest
from lifecycle.cnb.jsontext import parse_json
from lifecycle.cnb.labels import LIFECYCLE_LABEL
from lifecycle.oci.descriptor import host_platform
from lifecycle.oci.image import Image
from lifecycle.registry.manifest import name_of
from pybuild.builder import default_definition_path, ensure_builder, read_definition
from pybuild.environments.building import build_contents
from pybuild.environments.contents import EnvironmentContents
from pybuild.environments.context import DOCKERFILE_BUILDPACK
from pybuild.environments.definition import Definition
from pybuild.environments.details import ImageDetails
from pybuild.environments.equivalent import Resolved, render_equivalent
from pybuild.events import OnEvent, ignore_event
from pybuild.library import export
from pybuild.report import BuildReport
from pybuild.run_image import ImageSettings
from pybuild.site import open_site
from pybuild.store import in_use
from pybuild.workspaces.built import BuildKey, BuildRecord, built_tag, make_record, read_record
from pybuild.workspaces.errors import NotBuilt
from pybuild.workspaces.repository import Repository
from pybuild.workspaces.version import RegisteredVersion
from pybuild.workspaces.workspace import Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentBuild:
    """How an environment is built."""

    builder: Path = field(default_factory=default_definition_path)
    """A `builder.toml`."""
    refresh: bool = False
    """Whether what has no version is resolved again."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Variables of the buildpacks."""
    images: ImageSettings = field(default_factory=ImageSettings)


def build_registered(
    env: EnvironmentContents,
    registered: RegisteredVersion,
    workspace: Workspace,
    how: EnvironmentBuild | None = None,
    *,
    on_event: OnEvent = ignore_event,
    cancellation: Cancellation | None = None,
    store: Path | None = None,
    host_env: Mapping[str, str] | None = None,
) -> ImageDetails:
    """Return the image of `env`, whose version is `registered`, after it is in the workspace; what was built before with this builder
    is not built again.

    `on_event` gets what happens, one event at a time; `cancellation` ends the work from any thread. `store` is the directory of what is
    kept, by default `$XDG_CACHE_HOME/pybuild`; `host_env` the machine's environment variables, by default those of this process.

    Raises:
        CnbError: it cannot be built, or not be put there.
    """
    how = how or EnvironmentBuild()
    repository = workspace.repository(registered.name)
    with (
        open_site(on_event, cancellation, store, host_env) as site,
        in_use(site.store, site.log, deadline=site.deadline),
    ):
        log = site.log
        definition = read_definition(how.builder)
        insecure = how.images.insecure_registries
        builder = ensure_builder(
            definition, site.store, log, insecure_registries=insecure, env=site.host_env, deadline=site.deadline
        ).key
        before = _find(repository, built_tag(registered.version, builder))
        if before is not None and not how.refresh:
            log.info(f"{registered.name}:{registered.version} was built by this builder at {before.created}")
            return ImageDetails.of(registered, before, repository.location)
        report = build_contents(
            env,
            builder=how.builder,
            settings={**how.settings, **({"BP_REFRESH": "1"} if how.refresh else {})},
            images=how.images,
            on_event=on_event,
            cancellation=cancellation,
            store=store,
            host_env=host_env,
        )
        record = _describe(registered, report)
        known = _find(repository, record.key.record_tag)
        if known is None:
            # The name says what the image is made of, which is known only now.
            export(
                report.image,
                [f"{repository.location}:{record.key.image_tag}"],
                insecure_registries=workspace.insecure_registries,
                on_event=on_event,
                cancellation=cancellation,
                store=store,
                host_env=host_env,
            )
    artifact = make_record(known or record)
    # Last: what it names is there.
    for tag in (record.key.record_tag, built_tag(registered.version, builder), built_tag(registered.version)):
        repository.put(artifact, tag)
    return ImageDetails.of(registered, known or record, repository.location, before=before, is_new=known is None)


def find_image_details(registered: RegisteredVersion, workspace: Workspace) -> ImageDetails:
    """Return the image that was built last of a version. Raises `NotBuilt`, `CnbError`."""
    repository = workspace.repository(registered.name)
    record = _find(repository, built_tag(registered.version))
    if record is None:
        raise NotBuilt(registered.name, registered.version)
    return ImageDetails.of(registered, record, repository.location)


def _find(repository: Repository, tag: str) -> BuildRecord | None:
    """The record with that tag, if its image is still there."""
    artifact = repository.get(tag)
    if artifact is None:
        return None
    record = read_record(artifact, source=f"{repository.location}:{tag}")
    return record if repository.find_digest(record.key.image_tag) == record.image else None


def _describe(registered: RegisteredVersion, report: BuildReport) -> BuildRecord:
    definition = Definition.parse(registered.definition)
    facts = _Facts.of(report.image)
    is_whole = bool(definition.files or definition.repository)
    key = BuildKey(
        locks=report.locks,
        base=" ".join((facts.base, *(str(base.digest) for base in report.bases))).strip(),
        builder=report.builder,
        platform=name_of(host_platform()),
        # A lock says all of packages, and nothing of what else there is.
        other=str((definition if is_whole else replace(definition, packages=None)).digest),
    )
    if is_whole and report.source.revision is not None:
        key = replace(key, other=f"{key.other} {report.source.revision}")
    texts = {name: text for locks in report.locks.values() for name, text in locks.items()}
    group = report.detection.group
    resolved = Resolved(
        locks=texts,
        python=facts.python,
        pip=facts.pip,
        stands_on_more=group is not None
        and bool(group.extensions or any(one.id == DOCKERFILE_BUILDPACK for one in group.elements)),
    )
    title = f"{registered.name}:{registered.version}"
    return BuildRecord(
        key=key,
        image=report.image.digest,
        sbom=facts.sbom,
        dockerfile=render_equivalent(title, definition, resolved),
        created=datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Facts:
    """What an image says of itself (platform.md, `io.buildpacks.lifecycle.metadata`)."""

    base: str
    sbom: Digest | None
    python: str | None
    pip: str | None

    @classmethod
    def of(cls, image: Image) -> _Facts:
        table = parse_json(image.config.labels.get(LIFECYCLE_LABEL, "{}"), source=LIFECYCLE_LABEL)
        found: dict[str, str] = {}
        for buildpack in table.tables("buildpacks"):
            layers = buildpack.table("layers")
            for name in layers.values:
                data = layers.table(name).table("data")
                for key in ("python", "pip"):
                    value = data.values.get(key)
                    if isinstance(value, str) and value:
                        found[key] = value.split()[0]
        sbom = table.table("sbom").optional_string("sha")
        return cls(
            base=table.table("runImage").optional_string("reference") or "",
            sbom=next((layer.descriptor.digest for layer in image.layers if str(layer.diff_id) == sbom), None),
            python=found.get("python"),
            pip=found.get("pip"),
        )
