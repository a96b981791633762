"""analyzed.toml: what is known of the previous image and of the run image (platform.md, "analyzed.toml (TOML)")."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from lifecycle.cnb.api import DEFAULT_EXEC_ENV
from lifecycle.cnb.labels import (
    LifecycleMetadata,
    RunImageRecord,
    parse_buildpack_records,
    render_buildpack_records,
)
from lifecycle.cnb.target import Target
from lifecycle.cnb.toml import Table, read_table, write_toml


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalyzedRunImage:
    """The image that the app image will stand on. `reference` identifies it exactly, `image` is its name."""

    reference: str
    image: str
    target: Target = field(default_factory=Target)
    extend: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Analyzed:
    """The result of the analyze phase. `previous_image` is an exact reference; `previous` what its label says."""

    previous_image: str | None = None
    previous: LifecycleMetadata = field(default_factory=LifecycleMetadata)
    run_image: AnalyzedRunImage | None = None
    build_image: str | None = None


def read_analyzed(path: Path, *, follow_links: bool = True) -> Analyzed:
    """Return analyzed.toml. Raises `ConfigurationError`."""
    document = read_table(path, follow_links=follow_links)
    build_image = document.table("build-image").optional_string("reference")
    return Analyzed(
        previous_image=document.table("image").optional_string("reference") or None,
        previous=_parse_metadata(document.table("metadata")),
        run_image=_parse_run_image(document.table("run-image")) if "run-image" in document else None,
        build_image=build_image or None,
    )


def write_analyzed(path: Path, analyzed: Analyzed) -> None:
    """Write analyzed.toml."""
    values = {
        "image": {"reference": analyzed.previous_image or ""},
        "metadata": _render_metadata(analyzed.previous),
        "run-image": None if analyzed.run_image is None else _render_run_image(analyzed.run_image),
        "build-image": None if analyzed.build_image is None else {"reference": analyzed.build_image},
    }
    write_toml(path, values)


def _parse_metadata(table: Table) -> LifecycleMetadata:
    run_image = table.table("run-image")
    return LifecycleMetadata(
        app=tuple(part.string("sha") for part in table.tables("app")),
        sbom=table.table("sbom").optional_string("sha") or None,
        config=table.table("config").optional_string("sha") or None,
        launcher=table.table("launcher").optional_string("sha") or None,
        process_types=table.table("process-types").optional_string("sha") or None,
        buildpacks=parse_buildpack_records(table, data_key="metadata"),
        run_image=RunImageRecord(
            top_layer=run_image.optional_string("top-layer") or None,
            reference=run_image.optional_string("reference") or None,
            image=run_image.optional_string("image") or None,
            mirrors=run_image.strings("mirrors"),
        ),
        exec_env=table.optional_string("exec-env") or DEFAULT_EXEC_ENV,
    )


def _render_metadata(metadata: LifecycleMetadata) -> dict[str, object]:
    run_image = metadata.run_image
    shas = {
        "sbom": metadata.sbom,
        "config": metadata.config,
        "launcher": metadata.launcher,
        "process-types": metadata.process_types,
    }
    return {
        "app": [{"sha": sha} for sha in metadata.app],
        **{key: {"sha": sha} for key, sha in shas.items() if sha is not None},
        "buildpacks": render_buildpack_records(metadata.buildpacks, data_key="metadata"),
        "run-image": {
            "top-layer": run_image.top_layer,
            "reference": run_image.reference,
            "image": run_image.image,
            "mirrors": run_image.mirrors or None,
        },
        "exec-env": metadata.exec_env,
    }


def _parse_run_image(table: Table) -> AnalyzedRunImage:
    target = table.table("target")
    distro = target.table("distro")
    return AnalyzedRunImage(
        reference=table.optional_string("reference") or "",
        image=table.optional_string("image") or "",
        extend=table.boolean("extend", default=False),
        target=Target(
            os=target.optional_string("os") or None,
            arch=target.optional_string("arch") or None,
            variant=target.optional_string("variant") or target.optional_string("arch-variant") or None,
            distro_name=distro.optional_string("name") or None,
            distro_version=distro.optional_string("version") or None,
        ),
    )


def _render_run_image(run_image: AnalyzedRunImage) -> dict[str, object]:
    target = run_image.target
    distro = {"name": target.distro_name, "version": target.distro_version}
    return {
        "reference": run_image.reference,
        "image": run_image.image,
        "extend": True if run_image.extend else None,
        "target": {
            "os": target.os,
            "arch": target.arch,
            # The specification and the reference implementation disagree on the name of this key.
            "variant": target.variant,
            "arch-variant": target.variant,
            "distro": distro if any(distro.values()) else None,
        },
    }
