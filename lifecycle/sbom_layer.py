"""Brings back the bills of materials of the previous image, which are a layer of it (platform.md, "Analysis")."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from lifecycle.cnb.errors import CnbError
from lifecycle.log import PhaseLog
from lifecycle.oci.confined import unpack_below
from lifecycle.oci.image import Image, Layer


def restore_launch_sbom(
    image: Image,
    sha: str,
    layers_dir: Path,
    log: PhaseLog,
    *,
    layers_path: PurePosixPath,
    fetch: Callable[[Sequence[Layer]], None] = lambda _: None,
) -> None:
    """Put what layer `sha` of an image has below `<layers>/sbom` there, as far as it can be had: nothing depends on it.

    `layers_path` is what the layers directory is called in the image; `fetch` brings layers to this machine.
    """
    layers = [layer for layer in image.layers if str(layer.diff_id) == sha]
    target = layers_dir / "sbom"
    try:
        fetch(layers)
        target.mkdir(parents=True, exist_ok=True)
        unpack_below(layers, layers_path / "sbom", target)
    except (CnbError, OSError) as err:
        reason = err.summary if isinstance(err, CnbError) else err.strerror or str(err)
        log.warning(f"The bills of materials of the previous image are not restored: {reason}")
