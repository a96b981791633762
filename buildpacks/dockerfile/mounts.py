"""The value of `RUN --mount`: https://docs.docker.com/reference/dockerfile/#run---mount."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass

from buildpacks.dockerfile.arguments import InvalidWord

TYPES = ("bind", "cache", "tmpfs", "secret", "ssh")
_NAMES = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly", "rw": "readwrite"}
_KEYS = frozenset(
    {"type", "from", "source", "target", "readonly", "readwrite", "required", "size", "id", "sharing"}
    | {"mode", "uid", "gid", "env"}
)
_SWITCHES = frozenset({"readonly", "readwrite", "required"})
# Which types know a key that not all of them know.
_ONLY_FOR = {
    "size": ("tmpfs",),
    "required": ("secret", "ssh"),
    "sharing": ("cache",),
    "mode": ("cache", "secret", "ssh"),
    "uid": ("cache", "secret", "ssh"),
    "gid": ("cache", "secret", "ssh"),
}
# strconv.ParseBool, strconv.ParseUint, units.RAMInBytes
_TRUTH = re.compile(r"1|t|T|TRUE|true|True|0|f|F|FALSE|false|False")
_VALUES = {
    "readonly": _TRUTH,
    "readwrite": _TRUTH,
    "required": _TRUTH,
    "sharing": re.compile(r"shared|private|locked", re.IGNORECASE),
    "mode": re.compile(r"[0-7]{1,11}"),
    "uid": re.compile(r"[0-9]{1,10}"),
    "gid": re.compile(r"[0-9]{1,10}"),
    "size": re.compile(r"[0-9]+(\.[0-9]*)? ?([kmgtp]?i?b?)", re.IGNORECASE),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A mount, as written: values may hold variables."""

    type: str
    options: tuple[tuple[str, str | None], ...]
    """Every option but the type in its order, by its long name; a switch alone is `None`."""

    def option(self, name: str) -> str | None:
        """Return the last value of an option."""
        return next((value for key, value in reversed(self.options) if key == name), None)


def parse_mount(value: str) -> Mount:
    """Return the mount that `--mount=value` asks for. Raises `InvalidWord`."""
    kind = "bind"
    options: list[tuple[str, str | None]] = []
    for part in _split(value):
        name, equals, text = part.partition("=")
        key = _NAMES.get(name.lower(), name.lower())
        if not equals and key not in _SWITCHES:
            raise InvalidWord(reason=f"`--mount` has `{part}`, which is no `key=value`")
        if key not in _KEYS:
            raise InvalidWord(reason=f"`--mount` knows no `{name}`")
        if key == "type":
            kind = text.lower()
        else:
            options.append((key, text if equals else None))
    if "$" not in kind and kind not in TYPES:
        raise InvalidWord(reason=f"`--mount` knows no type `{kind}`")
    mount = Mount(type=kind, options=tuple(options))
    _check(mount)
    return mount


def _split(value: str) -> list[str]:
    try:
        rows = list(csv.reader([value], strict=True))
    except csv.Error as err:
        raise InvalidWord(reason=f"`--mount={value}` has quotes that do not fit") from err
    if len(rows) != 1 or not rows[0]:
        raise InvalidWord(reason="`--mount` has no value")
    return rows[0]


def _check(mount: Mount) -> None:
    for key, value in mount.options:
        types = _ONLY_FOR.get(key)
        if types and "$" not in mount.type and mount.type not in types:
            raise InvalidWord(reason=f"`--mount=type={mount.type}` knows no `{key}`")
        rule = _VALUES.get(key)
        if rule and value is not None and "$" not in value and not rule.fullmatch(value):
            raise InvalidWord(reason=f"`--mount` cannot have `{key}={value}`")
        if key == "from" and value and "$" in value[:-1]:
            raise InvalidWord(reason="`--mount` takes no variable in `from`")
    if mount.type in ("bind", "cache", "tmpfs"):
        target = mount.option("target") or ""
        if not target or not target.strip("/."):
            raise InvalidWord(reason=f"`--mount=type={mount.type}` needs a `target`, a directory other than `/`")
    if mount.type == "secret":
        given = {key for key, value in mount.options if value}
        if not given & {"source", "target", "id"}:
            raise InvalidWord(reason="`--mount=type=secret` needs an `id`")
        if "from" in given or {"source", "id"} <= given:
            raise InvalidWord(reason="`--mount=type=secret` has options that do not fit together")
