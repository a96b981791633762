"""Software bills of materials that buildpacks leave beside their layers (buildpack.md, "Bill-of-Materials").

A buildpack writes `<layer>.sbom.<ext>`, `launch.sbom.<ext>` and `build.sbom.<ext>`; the build phase collects them below
`<layers>/sbom/{launch,build,cache}/<buildpack>[/<layer>]/sbom.<ext>`, and the restore phase brings them back.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from lifecycle.cnb.layer import is_real_directory

# extension -> media type, as buildpack.toml declares it in `sbom-formats`
MEDIA_TYPES = {
    "cdx.json": "application/vnd.cyclonedx+json",
    "spdx.json": "application/spdx+json",
    "syft.json": "application/vnd.syft+json",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SbomFile:
    """One document. `subject` is a layer's name, `launch` or `build`; `extension` need not be a known one."""

    path: Path
    subject: str
    extension: str


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
