"""Software bills of materials that buildpacks leave beside their layers (buildpack.md, "Bill-of-Materials").

A buildpack writes `<layer>.sbom.<ext>`, `launch.sbom.<ext>` and `build.sbom.<ext>`; the build phase collects them below
`<layers>/sbom/{launch,build,cache}/<buildpack>[/<layer>]/sbom.<ext>`, and the restore phase brings them back.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from lifecycle.cnb.errors import ConfigurationError
from lifecycle.cnb.layer import is_real_directory, is_real_subdirectory
from lifecycle.cnb.toml import read_regular_file

CYCLONEDX = "cdx.json"
# extension -> media type, as buildpack.toml declares it in `sbom-formats`
MEDIA_TYPES = {
    CYCLONEDX: "application/vnd.cyclonedx+json",
    "spdx.json": "application/spdx+json",
    "syft.json": "application/vnd.syft+json",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SbomFile:
    """One document. `subject` is a layer's name, `launch` or `build`; `extension` need not be a known one."""

    path: Path
    subject: str
    extension: str


def cyclonedx_path(buildpack_layers: Path, layer: str) -> Path:
    """Return where a buildpack writes the CycloneDX document of one of its layers."""
    return buildpack_layers / f"{layer}.sbom.{CYCLONEDX}"


def find_sbom_files(buildpack_layers: Path) -> tuple[SbomFile, ...]:
    """Return the documents in `<layers>/<buildpack>`, sorted by name. Links are left out: buildpacks are not trusted."""
    if not is_real_directory(buildpack_layers):
        return ()
    found = []
    for path in sorted(buildpack_layers.iterdir()):
        subject, mark, extension = path.name.partition(".sbom.")
        # The name of a layer ends at its first dot.
        if mark and "." not in subject and path.is_file() and not path.is_symlink():
            found.append(SbomFile(path=path, subject=subject, extension=extension))
    return tuple(found)


def restore_sbom_files(collected: Path, buildpack_layers: Path, layers: frozenset[str]) -> None:
    """Copy `<collected>/<layer>/sbom.<ext>` of these layers back to `<layers>/<buildpack>/<layer>.sbom.<ext>`."""
    for layer in sorted(layers):
        for extension in MEDIA_TYPES:
            source = collected / layer / f"sbom.{extension}"
            if is_real_directory(source.parent) and source.is_file() and not source.is_symlink():
                shutil.copyfile(source, buildpack_layers / f"{layer}.sbom.{extension}")


def read_collected_cyclonedx(layers_dir: Path, buildpack: str, layer: str) -> str | None:
    """Return the CycloneDX document of a launch layer as the build phase left it in `<layers>/sbom`; `None` where there is none that can
    be read. `buildpack` is the name of its directory.
    """
    way = ("sbom", "launch", buildpack, layer)
    if not is_real_subdirectory(layers_dir, *way):
        return None
    try:
        return read_regular_file(layers_dir.joinpath(*way, f"sbom.{CYCLONEDX}"), follow_links=False).decode()
    except (ConfigurationError, UnicodeDecodeError):
        return None
