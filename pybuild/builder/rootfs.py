"""Root file systems on disk: unpacking what mmdebstrap wrote, the places that the sandbox mounts on, the packages inside."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from pybuild.builder.crew import Crew
from pybuild.builder.errors import AssemblyFailed
from pybuild.builder.requested import User
from pybuild.builder.value import DebianPackage
from pybuild.errors import NoSpace

# What the sandbox puts its mounts on; the root file system is read-only then.
_MOUNT_DIRECTORIES = (
    "proc",
    "dev",
    "tmp",
    "workspace",
    "layers",
    "platform",
    "cnb",
    "opt/pybuild",
    "home/pybuild",
    "etc/ssl/certs",
)
_NETWORK_FILES = ("etc/resolv.conf", "etc/hosts")
_CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"


def unpack_archive(archive: Path, rootfs: Path, crew: Crew) -> None:
    """Unpack what mmdebstrap wrote, owned by this user; GNU tar takes a third of the time that Python does."""
    rootfs.mkdir()
    options = ["--no-same-owner", "--same-permissions", "--delay-directory-restore"]
    command = ["tar", "--extract", "--file", str(archive), "--directory", str(rootfs), *options]
    result = crew.run(command, env=crew.env)
    if result.status != 0:
        if "No space left" in result.output:
            raise NoSpace(rootfs)
        details = tuple(("tar", line) for line in result.output.strip().splitlines()[-3:])
        raise AssemblyFailed("the build base cannot be unpacked", details)
    for directory, names, files in os.walk(rootfs):
        for name in (*names, *files):
            path = Path(directory, name)
            mode = path.lstat().st_mode
            if mode & (stat.S_ISUID | stat.S_ISGID) and not stat.S_ISLNK(mode):
                # In a file of this user's, these bits would lend its rights to other users of the machine.
                path.chmod(stat.S_IMODE(mode) & 0o1777)


def add_mount_points(rootfs: Path) -> None:
    """Add what is missing of the places that the sandbox mounts on. `rootfs` may come from an image: no link is followed."""
    for name in _MOUNT_DIRECTORIES:
        _make_real_directory(rootfs, Path(name))
    for name in (*_NETWORK_FILES, _CERTIFICATES):
        path = rootfs / name
        if not _make_real_directory(rootfs, Path(name).parent):
            continue
        if path.is_symlink() and name in _NETWORK_FILES:
            # systemd's link to a file that only a running system has
            path.unlink()
        if not path.is_symlink():
            path.touch()


def add_user(rootfs: Path, user: User) -> str | None:
    """Let programs find the name and home of `user`, which git and ssh insist on, where an image does not know the number.

    Returns what /etc/passwd has now, `None` where it was left as it was.
    """
    passwd = rootfs / "etc" / "passwd"
    if not _make_real_directory(rootfs, Path("etc")) or passwd.is_symlink():
        return None
    lines = passwd.read_text(encoding="utf-8").splitlines() if passwd.is_file() else []
    if all(line.split(":")[2:3] != [str(user.id)] for line in lines):
        lines.append(f"{user.name}:x:{user.id}:{user.group_id}::/home/{user.name}:/bin/sh")
        content = "".join(f"{line}\n" for line in lines)
        passwd.write_text(content, encoding="utf-8")
        return content
    return None


def _make_real_directory(rootfs: Path, relative: Path) -> bool:
    """Whether `relative` is a directory that no link leads out of `rootfs`, which it is made to be where nothing is there."""
    path = rootfs
    for part in relative.parts:
        path /= part
        if path.is_symlink() or (path.exists() and not path.is_dir()):
            return False
        path.mkdir(exist_ok=True)
    return True


def read_inside(rootfs: Path, relative: Path) -> str:
    """A file of a root file system that is not trusted: empty where it is none, or a link leads away."""
    path = (rootfs / relative).resolve()
    if rootfs.resolve() not in path.parents or not path.is_file():
        return ""
    return path.read_text(encoding="utf-8", errors="replace")


def parse_packages(status: str) -> tuple[DebianPackage, ...]:
    """Packages of a dpkg status file (https://man7.org/linux/man-pages/man1/dpkg-query.1.html)."""
    found = []
    for paragraph in status.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in paragraph.splitlines() if ": " in line and line[:1] != " ")
        if fields.get("Status", "").endswith(" installed"):
            found.append(
                DebianPackage(
                    name=fields["Package"], version=fields["Version"], architecture=fields.get("Architecture", "")
                )
            )
    return tuple(sorted(found, key=lambda package: package.name))
