"""Brings back the bills of materials of the previous image, which are a layer of it (platform.md, "Analysis")."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from lifecycle.cnb.errors import CnbError
from lifecycle.images import Images
from lifecycle.log import PhaseLog
from lifecycle.oci.confined import unpack_below


def restore_launch_sbom(images: Images, reference: str, sha: str, layers_dir: Path, log: PhaseLog) -> None:
    """Put what layer `sha` of an image has below `<layers>/sbom` there, as far as it can be had: nothing depends on it."""
    try:
        image = images.read(reference)
        layers = [layer for layer in image.layers if str(layer.diff_id) == sha]
        images.fetch(layers)
        target = layers_dir / "sbom"
        target.mkdir(parents=True, exist_ok=True)
        unpack_below(layers, PurePosixPath(layers_dir) / "sbom", target)
    except (CnbError, OSError) as err:
        reason = err.summary if isinstance(err, CnbError) else err.strerror or str(err)
        log.warning(f"The bills of materials of the previous image are not restored: {reason}")
