"""The sandbox engine: a command in an unpacked root file system, kept in by bubblewrap (https://github.com/containers/bubblewrap).

The root file system is read-only; only what is mounted writable can change. The command sees one ordinary user, its own
processes, no capabilities and no environment but the one given. It works the same for root and for an ordinary user.

With `id_range` the command is root of a user namespace of its own, with the users that an image may name: it can mount, change
owners and become another user there, and has no more power over the machine than the caller without it.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from lifecycle.cnb.command import CommandResult, run_command
from lifecycle.cnb.deadline import NEVER, Deadline
from pybuild.engines.user_ids import IdMaps, find_id_maps
from pybuild.errors import SandboxUnusable, ToolMissing

# What a shell would do before the command: files of a build have the same modes whoever starts it, and no core dumps.
_PROLOGUE = 'umask 022; ulimit -c 0; exec "$@"'
# The user that builds and images run as, and its group.
IMAGE_USER_ID = IMAGE_GROUP_ID = 1000
# For bubblewrap to make its namespaces.
_PATIENCE_S = 30.0
_HOST_NETWORK_FILES = ("/etc/resolv.conf", "/etc/hosts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A directory or file of the machine shown inside the sandbox."""

    source: Path
    target: PurePosixPath
    """Absolute; it exists in the root file system or in an earlier mount."""
    writable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """A place to run commands in."""

    rootfs: Path
    mounts: tuple[Mount, ...] = ()
    """Made in this order, so a later one may lie inside an earlier one."""
    env: Mapping[str, str] = field(default_factory=dict)
    """The whole environment of the command."""
    network: bool
    """False: no interface but an unconnected loopback."""
    cwd: PurePosixPath
    user_id: int = IMAGE_USER_ID
    group_id: int = IMAGE_GROUP_ID
    writable_root: bool = False
    """True: the root file system itself may be changed (`pybuild run` gives it a throw-away copy)."""
    id_range: bool = False
    """True: root inside, which can be every user that an image may name; `user_id` and `group_id` do not count."""
    opened: tuple[PurePosixPath, ...] = ()
    """Directories of the root file system in which mounts may lie that have nothing to be mounted on, those above others first."""
    temporary: tuple[PurePosixPath, ...] = ()
    """Directories that are empty at first, that every user may write to, and that are gone with the command; they exist in the root
    file system or in `/dev`.
    """
    capabilities: tuple[str, ...] = ()
    """What the user may do beyond an ordinary one, over what is in the sandbox: names such as `CAP_CHOWN`."""
    interactive: bool = False
    """True: the command keeps the terminal. Then it could also type into it (TIOCSTI), so never for a build."""


def run_sandboxed(
    sandbox: Sandbox,
    argv: Sequence[str],
    *,
    on_line: Callable[[str], None] | None = None,
    deadline: Deadline = NEVER,
) -> CommandResult:
    """Result of `argv` run inside `sandbox`; its output goes line by line to `on_line`.

    Nothing that the command started outlives the call: the sandbox has its own process namespace.

    Raises:
        ToolMissing: bubblewrap is not installed.
        SandboxUnusable: bubblewrap may not make namespaces here.
        lifecycle.cnb.command.CommandTimeout: `deadline` has passed.
    """
    command = bubblewrap_command(sandbox, argv)
    # The environment is bubblewrap's own, which it hands on: in `--setenv` every user of the machine could read it.
    if sandbox.id_range:
        with _id_mapping() as mapping:
            result = run_command(
                [command[0], *mapping.options, *command[1:]],
                env=sandbox.env,
                on_line=on_line,
                deadline=deadline,
                descriptors=mapping.descriptors,
                on_start=mapping.complete,
            )
    else:
        result = run_command(command, env=sandbox.env, on_line=on_line, deadline=deadline)
    first_line = result.output.split("\n", 1)[0]
    if result.status == 1 and first_line.startswith("bwrap: "):
        raise SandboxUnusable(first_line.removeprefix("bwrap: "))
    return result


def bubblewrap_command(sandbox: Sandbox, argv: Sequence[str]) -> list[str]:
    """The command line that runs `argv` inside `sandbox`, to be started with `sandbox.env`; raises `ToolMissing`."""
    return [*bubblewrap_options(sandbox), "--", *prepared(argv)]


def prepared(argv: Sequence[str]) -> list[str]:
    """The command that runs `argv` by the shell of the root file system, so that umask and core dumps are as they should be."""
    return ["/bin/sh", "-c", _PROLOGUE, "sh", *argv]


def bubblewrap_options(sandbox: Sandbox) -> list[str]:
    """Bubblewrap and its options for `sandbox`, without the environment and the command; raises `ToolMissing`."""
    program = shutil.which("bwrap")
    if program is None:
        raise ToolMissing("bwrap", "bubblewrap", "to run builds and images in a sandbox")
    options = [program, "--unshare-all"]
    options += ["--share-net"] if sandbox.network else []
    if sandbox.id_range:
        # `--unshare-all` asks for a user namespace only where one can be had; the numbers need it.
        options += ["--unshare-user", "--uid", "0", "--gid", "0", "--cap-add", "ALL"]
    else:
        options += ["--uid", str(sandbox.user_id), "--gid", str(sandbox.group_id), "--cap-drop", "ALL"]
    for capability in sandbox.capabilities:
        options += ["--cap-add", capability]
    options += ["--die-with-parent", "--hostname", "pybuild"]
    options += [] if sandbox.interactive else ["--new-session"]
    if PurePosixPath("/") not in sandbox.opened:
        options += ["--bind" if sandbox.writable_root else "--ro-bind", str(sandbox.rootfs), "/"]
    for directory in sandbox.opened:
        options += _opened(sandbox.rootfs, directory)
    options += ["--proc", "/proc", "--dev", "/dev"]
    if sandbox.network:
        for path in _HOST_NETWORK_FILES:
            options += ["--ro-bind-try", path, path]
    for directory in sandbox.temporary:
        options += ["--perms", "1777", "--tmpfs", str(directory)]
    for mount in sandbox.mounts:
        options += ["--bind" if mount.writable else "--ro-bind", str(mount.source), str(mount.target)]
    for directory in sandbox.opened:
        options += ["--remount-ro", str(directory)]
    return [*options, "--chdir", str(sandbox.cwd)]


def _opened(rootfs: Path, directory: PurePosixPath) -> list[str]:
    """Options for a directory of bubblewrap's own, where it can make what is needed, with everything that the root file system has."""
    # The root directory is one until something is put there.
    options = [] if directory == PurePosixPath("/") else ["--perms", "0755", "--tmpfs", str(directory)]
    for entry in sorted((rootfs / directory.relative_to("/")).iterdir()):
        target = str(directory / entry.name)
        options += (
            ["--symlink", str(entry.readlink()), target] if entry.is_symlink() else ["--ro-bind", str(entry), target]
        )
    return options


class _IdMapping:
    """Gives a bubblewrap that is being started its numbers: it says who it is, waits, and is told to go on."""

    def __init__(self, maps: IdMaps) -> None:
        self._maps = maps
        self._said, say = os.pipe()
        wait, self._go_on = os.pipe()
        self._open = {self._said, say, wait, self._go_on}
        self.descriptors = (say, wait)
        self.options = ("--info-fd", str(say), "--userns-block-fd", str(wait))

    def complete(self) -> None:
        """To be called when bubblewrap runs. Where it ends before it says anything, its own message tells why."""
        # Otherwise the end of bubblewrap would not be seen.
        self.close(*self.descriptors)
        said = b""
        while not said.rstrip().endswith(b"}"):
            ready, _, _ = select.select([self._said], [], [], _PATIENCE_S)
            piece = os.read(self._said, 4096) if ready else b""
            if not piece:
                return
            said += piece
        self._maps.write(json.loads(said)["child-pid"])
        with contextlib.suppress(BrokenPipeError):
            os.write(self._go_on, b"1")

    def close(self, *descriptors: int) -> None:
        for descriptor in self._open & set(descriptors or self._open):
            self._open.remove(descriptor)
            os.close(descriptor)


@contextlib.contextmanager
def _id_mapping() -> Iterator[_IdMapping]:
    mapping = _IdMapping(find_id_maps())
    try:
        yield mapping
    finally:
        mapping.close()
