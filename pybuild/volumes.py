"""Files of this machine that a build is shown: `--volume HOST:CONTAINER[:ro|rw]`, as `pack` and `docker run` have it.

Whatever a build reads so is not in the repository, so what it gives cannot be made again from that alone.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lifecycle.cnb.layer import is_real_directory
from pybuild.engines.sandbox import Mount
from pybuild.errors import UsageError
from pybuild.machine import expand_home, home_directory, machine_env

_FORM = "write HOST:CONTAINER, or HOST:CONTAINER:rw where the build may write there"
# Whose content the build, the lifecycle or the kernel answers for, and what a person would rather do.
_REFUSED = {
    "/cnb": "the lifecycle and the buildpacks are there; `--buildpack PATH` brings one along",
    "/layers": "what buildpacks make is there, and goes into the image",
    "/workspace": "the application is there; mount beside it, or put the files into the repository",
    "/opt/pybuild": "the tools of the builder are there",
    "/platform/env": "the variables are there; `--env NAME=VALUE` and `--env-file` set them",
    "/platform/archives": "what applications share is there",
    "/platform/layers": "what applications share is there",
    "/proc": "it belongs to the kernel",
    "/sys": "it belongs to the kernel",
    "/dev": "it belongs to the kernel",
}
# Directories that would hide one of these.
_ABOVE = ("/", "/opt", "/platform", "/tmp", "/etc", "/usr", "/bin", "/lib", "/lib64", "/sbin")  # noqa: S108 - the sandbox's


_PLATFORM = PurePosixPath("/platform")
# Made anew for each build, so there is room.
_OWN = ("/platform", "/tmp")  # noqa: S108 - the sandbox's


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """A directory or file of this machine, and where a build sees it. Made by `parse`."""

    source: Path
    target: PurePosixPath
    writable: bool = False

    @classmethod
    def parse(cls, text: str, *, cwd: Path, home: Path | None = None) -> Volume:
        """Return the volume that a text of `--volume` names; `~` in it is `home`, else that of the process. Raises `UsageError`."""
        parts = text.split(":")
        if len(parts) not in (2, 3) or not all(parts):
            raise UsageError(f"`--volume {text}` does not say what is to be seen where", _FORM)
        options = set(parts[2].split(",")) if len(parts) == 3 else set()
        if options - {"ro", "rw"} or len(options) > 1:
            raise UsageError(
                f"`--volume {text}`: `{parts[2]}` is not known here", "it is `ro`, which is the default, or `rw`"
            )
        if "/" not in parts[0] and not parts[0].startswith("."):
            raise UsageError(
                f"`--volume {text}`: `{parts[0]}` would be the name of a volume of a Docker engine, which builds have none of",
                f"write the path of a directory, such as `./{parts[0]}`",
            )
        source = (cwd / expand_home(parts[0], home or home_directory(machine_env(None)))).resolve()
        if not source.exists():
            raise UsageError(f"`--volume {text}`: there is no `{source}`", "make it, or correct the path")
        return cls(source=source, target=_target(parts[1], text), writable=options == {"rw"})

    def __str__(self) -> str:
        return f"{self.source} at {self.target} ({'writable' if self.writable else 'read-only'})"

    @property
    def mount(self) -> Mount:
        """As a sandbox has it."""
        return Mount(source=self.source, target=self.target, writable=self.writable)


def parse_volumes(texts: Sequence[str], *, cwd: Path) -> tuple[Volume, ...]:
    """Return the volumes that the texts of `--volume` name, those above others first. Raises `UsageError`."""
    volumes = sorted((Volume.parse(text, cwd=cwd) for text in texts), key=lambda one: len(one.target.parts))
    targets = [one.target for one in volumes]
    for target in targets:
        if targets.count(target) > 1:
            raise UsageError(f"two volumes are for `{target}`", "give each a place of its own")
        if any(other in target.parents for other in targets):
            raise UsageError(f"the volume for `{target}` lies inside of another one", "give each a place of its own")
    return tuple(volumes)


def directories_to_open(volumes: Sequence[Volume], rootfs: Path) -> tuple[PurePosixPath, ...]:
    """Return the directories of `rootfs` in which something must be made for the volumes to be mounted on, those above others first.

    Raises `UsageError` for a place that cannot be mounted on.
    """
    opened = set()
    for volume in volumes:
        if not any(PurePosixPath(one) in volume.target.parents for one in _OWN) and not _is_there(rootfs, volume):
            opened.add(next(path for path in volume.target.parents if is_real_directory(_below(rootfs, path))))
    return tuple(sorted(opened, key=lambda path: len(path.parts)))


def make_places(volumes: Sequence[Volume], platform_dir: Path) -> None:
    """Make what volumes below `/platform`, which is `platform_dir` on this machine, are mounted on."""
    for volume in volumes:
        if _PLATFORM in volume.target.parents:
            place = platform_dir / volume.target.relative_to(_PLATFORM)
            if volume.source.is_dir():
                place.mkdir(parents=True, exist_ok=True)
            else:
                place.parent.mkdir(parents=True, exist_ok=True)
                place.touch()


def _target(text: str, volume: str) -> PurePosixPath:
    # Two slashes at the beginning would stay two, which mean one (POSIX 4.13).
    target = PurePosixPath(os.path.normpath(re.sub("^/+", "/", text)))
    if not target.is_absolute() or ".." in PurePosixPath(text).parts:
        raise UsageError(f"`--volume {volume}`: `{text}` is not an absolute path without `..`", "such as `/data`")
    for refused, reason in _REFUSED.items():
        if PurePosixPath(refused) in (target, *target.parents):
            raise UsageError(
                f"`--volume {volume}`: nothing can be mounted at `{target}`: {reason}",
                "take another place, such as `/data`",
            )
    if str(target) in _ABOVE:
        raise UsageError(
            f"`--volume {volume}`: `{target}` would hide what the build needs there",
            "take a place of its own, such as `/data`",
        )
    return target


def _below(root: Path, path: PurePosixPath) -> Path:
    return root / path.relative_to("/")


def _is_there(rootfs: Path, volume: Volume) -> bool:
    """Whether the root file system has something that it can be mounted on, which no link leads to."""
    path = _below(rootfs, volume.target)
    if path.resolve() != rootfs.resolve() / volume.target.relative_to("/"):
        raise UsageError(f"a link leads to `{volume.target}` in the builder", "take another place, such as `/data`")
    if path.exists() and path.is_dir() != volume.source.is_dir():
        raise UsageError(
            f"the builder has another kind of file at `{volume.target}`", "take another place, such as `/data`"
        )
    return path.exists()
