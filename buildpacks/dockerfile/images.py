"""Names of the images that a Dockerfile uses: as it writes them, spelled out, and as whoever executes the recipe knows them."""

from __future__ import annotations

import hashlib
import re

from lifecycle.cnb.errors import InvalidValue
from lifecycle.cnb.recipe import LOCAL_REGISTRY, RecipeImage
from lifecycle.cnb.reference import Reference
from lifecycle.cnb.target import Target, host_architecture

# `FROM scratch`: nothing (https://docs.docker.com/build/building/base-images/#create-a-minimal-base-image-using-scratch)
SCRATCH = "scratch"
_PLATFORM = re.compile(r"[a-z0-9_]+(?:/[a-z0-9_]+){0,2}", re.ASCII)
# https://github.com/containerd/platforms/blob/main/database.go
_ARCHITECTURES = {"x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "i386": "386", "i486": "386", "i586": "386"}
_DEFAULT_VARIANTS = {("arm64", "v8"), ("arm", "v7"), ("amd64", "v1")}
_SYSTEMS = {"linux", "windows", "darwin", "freebsd"}
# What a name may have between host and tag, and how long it may be (https://github.com/distribution/reference)
_PATH = re.compile(r"[a-z0-9]+(?:(?:[._]|__|-+|/)[a-z0-9]+)*", re.ASCII)
_LONGEST_NAME = 255
_LONGEST_TAG = 128


def make_image(written: str, *, line: int, platform: str | None = None) -> RecipeImage:
    """Return the image that `written` names; `platform` only where it is another than this machine's. Raises `InvalidValue`."""
    reference = Reference.parse(written).with_default_tag()
    return RecipeImage(
        name=str(reference), written=written, line=line, platform=platform, local=_local_name(reference, platform)
    )


def parse_platform(text: str, target: Target) -> str | None:
    """Return what `FROM --platform` asks for as `os/architecture[/variant]`; `None` where that is this machine. Raises `InvalidValue`."""
    lowered = text.lower()
    if _PLATFORM.fullmatch(lowered) is None:
        raise InvalidValue(f"`{text[:100]}`", "is no platform", "write `linux/amd64`")
    system, *others = lowered.split("/")
    if not others and system not in _SYSTEMS:
        system, others = "linux", [system]
    architecture = others[0] if others else (target.arch or "amd64")
    architecture = _ARCHITECTURES.get(architecture, architecture)
    variant = others[1] if len(others) > 1 else None
    if (architecture, variant) in _DEFAULT_VARIANTS:
        variant = None
    if (system, architecture, variant) == ("linux", host_architecture(), None):
        return None
    return "/".join(part for part in (system, architecture, variant) if part)


def default_platform(target: Target) -> str | None:
    """Return the platform of images that are taken for `target`; `None` where that is this machine's."""
    return target.platform if target.is_foreign else None


def _local_name(reference: Reference, platform: str | None) -> str:
    # No host has an underscore, so no other name becomes the same.
    path = reference.name.lower().replace(":", "__")
    if platform is not None:
        path = f"{platform.replace('/', '_')}/{path}"
    if _PATH.fullmatch(path) is None or len(LOCAL_REGISTRY) + 1 + len(path) > _LONGEST_NAME:
        path = f"named__{hashlib.sha256(path.encode()).hexdigest()}"
    if reference.digest is None:
        return f"{LOCAL_REGISTRY}/{path}:{reference.tag}"
    return f"{LOCAL_REGISTRY}/{path}:{f'{reference.digest.algorithm}-{reference.digest.hex}'[:_LONGEST_TAG]}"
