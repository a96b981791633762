"""Why there is nothing to install on another architecture: what uv says of wheels that do not fit, or that may not be built."""

from __future__ import annotations

import re
from collections.abc import Callable

from buildpacks.installer.errors import InstallationFailed
from buildpacks.installer.foreign import Foreign

# How an error ends where an index has a package as source code alone.
ONLY_SOURCE = "comes as source code alone, and what it builds here would be for this machine"
_NAME = r"([A-Za-z0-9][A-Za-z0-9._-]*)"
# A package with a version, and perhaps with its marker between the two.
_ASKED = rf"{_NAME}(?:\{{[^}}\n]*\}})?[=<>!~]\S*"
# The built wheel `lib-1-cp311-cp311-linux_x86_64.whl` is not compatible with the target Python 3.11 on Linux aarch64
_BUILT = re.compile(r"[Tt]he built wheel `([^`]+\.whl)` is not compatible")
_DISABLED = re.compile(rf"Building source distributions for `{_NAME}` is disabled")
_NO_PLATFORM = re.compile(rf"{_ASKED} has no wheels? with a matching platform")
_NO_WHEEL = re.compile(rf"{_ASKED} has no usable wheels?")
_ANY_NO_WHEEL = re.compile(rf"Wheels are required for `{_NAME}`")
_AVAILABLE = re.compile(r"hint: Wheels are available for `[^`]+` \([^)]*\) on the following platforms?: ([^\n]+)")


def explain_foreign(text: str, foreign: Foreign, place: Callable[[str], str]) -> InstallationFailed | None:
    """Return the error when there is no file for the platform of the image, else `None`. `place` gives what stands before a
    message about a package: where it is asked for.
    """
    elsewhere = f"build the image on a {foreign.platform} machine"
    built = _BUILT.search(text)
    if built is not None:
        name = built[1].partition("-")[0].replace("_", "-").lower()
        return InstallationFailed(
            problem=f"{place(name)}`{name}` is built for this machine, and the image is for {foreign.platform}",
            details=(("built", built[1]),),
            change=f"commit a wheel of it for {foreign.platform} and name that; or {elsewhere}",
        )
    lacking = _NO_PLATFORM.search(text)
    if lacking is not None:
        name, available = lacking[1], _AVAILABLE.search(text)
        return InstallationFailed(
            problem=f"{place(name)}`{name}` has no wheel for {foreign.platform} in a version that fits",
            details=() if available is None else (("there is", available[1].replace("`", "")),),
            change=f"ask for a version that has one: https://pypi.org/project/{name}/#files lists PyPI's; or {elsewhere}",
        )
    source = _NO_WHEEL.search(text) or _DISABLED.search(text) or _ANY_NO_WHEEL.search(text)
    if source is None:
        return None
    name = source[1]
    return InstallationFailed(
        problem=f"{place(name)}`{name}` {ONLY_SOURCE}",
        details=(("the image", f"is for {foreign.platform}"),),
        change=(
            f"ask for a version that has a wheel; if `{name}` is nothing but Python, write `--no-binary {name}` on a line of the "
            f"file, so that its wheel is built here; or {elsewhere}"
        ),
    )
