"""Where the image brings its own Python and packages: as Azure ML has it, `user_managed_dependencies` and `interpreter_path`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from buildpacks.installer.errors import InvalidSetting

SWITCH_VARIABLE = "BP_USER_MANAGED_DEPENDENCIES"
INTERPRETER_VARIABLE = "BP_INTERPRETER_PATH"
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"", "0", "false", "no", "off"})


@dataclass(frozen=True, slots=True, kw_only=True)
class UserManaged:
    """Whose the Python of the image is."""

    is_on: bool
    """Whether it is the application's own, and nobody adds packages to it."""
    interpreter: PurePosixPath | None
    """That Python; `None`: what is called `python` in the image."""


def read_user_managed(env: Mapping[str, str]) -> UserManaged:
    """Return what the user chose. Raises `InvalidSetting`."""
    switch = env.get(SWITCH_VARIABLE, "").strip().lower()
    if switch not in _TRUE | _FALSE:
        raise InvalidSetting(variable=SWITCH_VARIABLE, value=switch, allowed="`true` or `false`")
    return UserManaged(is_on=switch in _TRUE, interpreter=_read_interpreter(env.get(INTERPRETER_VARIABLE, "").strip()))


def _read_interpreter(text: str) -> PurePosixPath | None:
    if not text:
        return None
    path = PurePosixPath(text)
    # A colon would end a part of `PATH`.
    is_path = path.is_absolute() and path.name and ".." not in path.parts and text.isprintable() and ":" not in text
    if not is_path or text.endswith("/"):
        allowed = "the absolute path of a Python in the image, such as `/opt/venv/bin/python`"
        raise InvalidSetting(variable=INTERPRETER_VARIABLE, value=text, allowed=allowed)
    return path
