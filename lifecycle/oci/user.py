"""Who an image runs as: `config.User` by the image's own /etc/passwd and /etc/group, in the way of Docker's engine.

Specification: https://github.com/opencontainers/image-spec/blob/v1.1.0/config.md#properties (`User`). A part of the process that
unpacks images, so it needs nothing but what is loaded when that has lost sight of the machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

# The kernel's (uid_t)-1 means "no change", and bubblewrap takes no more than 31 bits.
_LIMIT = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageUser:
    """A user as the kernel knows one. `group_ids`: those beside `group_id`; `home` is absolute."""

    user_id: int
    group_id: int
    group_ids: tuple[int, ...] = ()
    home: str = "/"

    @property
    def is_root(self) -> bool:
        """Whether permissions mean nothing to the user."""
        return self.user_id == 0

    def is_in(self, group_id: int) -> bool:
        """Whether the user has the rights of the group."""
        return group_id == self.group_id or group_id in self.group_ids


def find_user(text: str, *, passwd: str, group: str) -> ImageUser:
    """The user that `text` names: empty (root), `name`, `number`, each with or without `:group`.

    A number need not be in `passwd`; its group is then root's. `ValueError` says which name is not known.
    """
    name, _, group_name = text.partition(":")
    entry = _find(passwd, name or "0", fields=7)
    user_id = _number(name or "0" if entry is None else entry[2])
    if user_id is None:
        raise ValueError(f"the user `{name}` is not in the image's /etc/passwd")
    group_id = 0 if entry is None else _number(entry[3])
    group_ids = () if entry is None else _groups_of(group, entry[0])
    if group_name:
        found = _find(group, group_name, fields=4)
        group_id, group_ids = _number(group_name if found is None else found[2]), ()
    if group_id is None:
        raise ValueError(f"the group `{group_name or name}` is not in the image's /etc/group")
    home = "/" if entry is None or not entry[5].startswith("/") else entry[5]
    return ImageUser(user_id=user_id, group_id=group_id, group_ids=group_ids, home=home)


def _find(table: str, wanted: str, *, fields: int) -> list[str] | None:
    """The first line whose name or number is `wanted`."""
    number = _number(wanted)
    for entry in _entries(table, fields):
        if entry[0] == wanted or (number is not None and _number(entry[2]) == number):
            return entry
    return None


def _entries(table: str, fields: int) -> Iterator[list[str]]:
    for line in table.split("\n"):
        entry = line.split(":")
        if len(entry) >= fields and entry[0] and _number(entry[2]) is not None:
            yield entry


def _groups_of(group: str, user_name: str) -> tuple[int, ...]:
    numbers = (_number(entry[2]) for entry in _entries(group, 4) if user_name in entry[3].split(","))
    return tuple(number for number in numbers if number is not None)


def _number(text: str) -> int | None:
    if not text.isascii() or not text.isdigit() or len(text) > 10:
        return None
    return int(text) if int(text) <= _LIMIT else None
