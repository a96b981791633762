"""Numbers of users for a sandbox that is root of its own: 0 is the caller, the others are numbers that nobody else has.

An ordinary user's are those that /etc/subuid and /etc/subgid give to him, and `newuidmap` and `newgidmap` put them in place
(https://man7.org/linux/man-pages/man5/subuid.5.html); root writes them itself (https://man7.org/linux/man-pages/man7/user_namespaces.7.html).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pybuild.errors import SandboxUnusable, SubordinateIdsMissing, ToolMissing
from pybuild.machine import user_name

# What images may use: https://www.freedesktop.org/wiki/Software/systemd/uids/ calls it the 16 bits of a container.
_COUNT = 1 << 16
# Above what systemd gives to containers (https://systemd.io/UIDS-GIDS/), below the numbers that some programs take for negative.
_ROOT_START = 0x70000000


@dataclass(frozen=True, slots=True)
class IdRange:
    """`count` numbers from `inside` on are those from `outside` on for the machine."""

    inside: int
    outside: int
    count: int

    def __str__(self) -> str:
        return f"{self.inside} {self.outside} {self.count}"


@dataclass(frozen=True, slots=True, kw_only=True)
class IdMaps:
    """The numbers of a sandbox."""

    users: tuple[IdRange, ...]
    groups: tuple[IdRange, ...]

    def write(self, process_id: int) -> None:
        """Give them to the new user namespace of a process. Raises `SandboxUnusable`, `ToolMissing`."""
        for name, ranges in (("uid", self.users), ("gid", self.groups)):
            if os.geteuid() == 0:
                _write_directly(Path(f"/proc/{process_id}/{name}_map"), ranges)
            else:
                _write_with_tool(f"new{name}map", process_id, ranges)


def find_id_maps() -> IdMaps:
    """Return the numbers that this process may give away.

    Raises:
        SubordinateIdsMissing: the machine has none for this user.
        ToolMissing: what puts them in place is not installed.
    """
    if os.geteuid() != 0:
        for tool in ("newuidmap", "newgidmap"):
            _find_tool(tool)
    return IdMaps(users=_find("uid", os.geteuid()), groups=_find("gid", os.getegid()))


def _find(kind: str, own: int) -> tuple[IdRange, ...]:
    ranges = read_subordinate_ids(Path(f"/etc/sub{kind}"), user_name(), os.geteuid())
    if not ranges and os.geteuid() == 0:
        ranges = (_roots_own(Path(f"/proc/self/{kind}_map").read_text()),)
    if sum(count for _, count in ranges) < _COUNT - 1:
        raise SubordinateIdsMissing(user=user_name(), file=f"/etc/sub{kind}")
    found = [IdRange(0, own, 1)]
    for start, count in ranges:
        found.append(IdRange(found[-1].inside + found[-1].count, start, count))
    return tuple(found)


def read_subordinate_ids(path: Path, user: str, user_id: int) -> tuple[tuple[int, int], ...]:
    """Return first number and count of each range that the file has for the user."""
    try:
        lines = path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return ()
    found = []
    for line in lines:
        name, _, rest = line.strip().partition(":")
        start, _, count = rest.partition(":")
        if name in (user, str(user_id)) and start.isdigit() and count.isdigit() and int(count) > 0:
            found.append((int(start), int(count)))
    return tuple(found)


def _roots_own(own_map: str) -> tuple[int, int]:
    """Numbers for a root that the machine has given none: such that belong to nobody, or in a container all that it has."""
    for line in own_map.splitlines():
        first, _, count = (int(word) for word in line.split())
        if first <= _ROOT_START and first + count >= _ROOT_START + _COUNT:
            return _ROOT_START, _COUNT
    first, _, count = (int(word) for word in own_map.splitlines()[0].split())
    return 1, min(first + count, _COUNT) - 1


def _write_directly(path: Path, ranges: Sequence[IdRange]) -> None:
    try:
        path.write_text("\n".join(str(one) for one in ranges) + "\n")
    except OSError as err:
        raise SandboxUnusable(f"writing {path} failed: {err.strerror}") from err


def _write_with_tool(tool: str, process_id: int, ranges: Sequence[IdRange]) -> None:
    command = [_find_tool(tool), str(process_id), *(word for one in ranges for word in str(one).split())]
    result = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if result.returncode != 0:
        raise SandboxUnusable(result.stderr.strip() or f"`{tool}` ended with status {result.returncode}")


def _find_tool(name: str) -> str:
    program = shutil.which(name)
    if program is None:
        raise ToolMissing(name, "uidmap", "to execute Dockerfiles as an ordinary user")
    return program
