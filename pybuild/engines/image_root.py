"""An image that commands are run in: its unpacked files, as the image's own user may use them, under a throw-away copy.

Store: `run/<digest>/`, where `image-1/` holds `rootfs/` and `access.json`, kept for the next time, and `run/scratch-…` for what a
command writes. What the image holds is not trusted, nor is its configuration: bubblewrap makes mount points by names in the
image without looking for links, so links are followed here first, and the image's variables never reach a program outside.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath

from lifecycle.cnb.deadline import NEVER, Deadline
from lifecycle.cnb.layer import remove_tree
from lifecycle.execution.inside import SEARCH_PATH, is_program, on_disk, resolve_inside
from lifecycle.oci.errors import BrokenImage
from lifecycle.oci.image import Image
from lifecycle.oci.unpack import Runnable, unpack_runnable
from lifecycle.oci.user import ImageUser
from pybuild.engines.sandbox import Sandbox, bubblewrap_options, prepared
from pybuild.errors import ToolMissing
from pybuild.log import Log
from pybuild.store import locked

# Another number when the same image would be unpacked into other files.
_UNPACKED = "image-1"
_SCRATCH = "scratch-"
# What Docker leaves to root in a container, as far as it is about files, processes and owners.
_ROOT_CAPABILITIES = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_NET_BIND_SERVICE",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
)
# The image's files stay as they are; what the command writes goes to a directory of its own. Overlays of an ordinary user
# need `userxattr` (https://docs.kernel.org/filesystems/overlayfs.html); where there are no overlays, a copy serves. Descriptor 9
# has bubblewrap's options: in its arguments every user of the machine could read the environment of the command.
_OVERLAY = """
umask 022
ulimit -c 0
[ -z "$4" ] || echo $$ > "$4" || exit 125
if ! mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work$3" "$2/root" 2>/dev/null; then
  [ -e "$2/copied" ] || {
    cp -a --reflink=auto "$1/." "$2/root/" && cp -a --remove-destination "$2/upper/." "$2/root/" && : > "$2/copied"
  } || exit 125
fi
exec 9< "$2/options"
shift 4
exec "$@"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRoot:
    """An image with its unpacked files, which nothing changes."""

    image: Image
    rootfs: Path
    runnable: Runnable

    @property
    def environment(self) -> Mapping[str, str]:
        """Variables of a command in the image."""
        found = {name: value for name, value in self.image.config.environment().items() if name}
        return {"PATH": SEARCH_PATH, "HOME": self.runnable.user.home, **found}


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageCopy:
    """A copy of the files that commands can change, one after the other; `directory` holds what they change."""

    root: ImageRoot
    directory: Path

    def sandbox(self, *, network: bool) -> Sandbox:
        """The sandbox of a command as the image wants it."""
        user = self.root.runnable.user
        return Sandbox(
            rootfs=self.directory / "root",
            env=self.root.environment,
            network=network,
            cwd=PurePosixPath("/", self.root.image.config.working_dir or ""),
            user_id=user.user_id,
            group_id=user.group_id,
            capabilities=_ROOT_CAPABILITIES if user.is_root else (),
            writable_root=True,
        )

    def command(
        self,
        sandbox: Sandbox,
        argv: Sequence[str],
        *,
        by_shell: bool,
        limits: Sequence[str] = (),
        control_group: Path | None = None,
    ) -> list[str]:
        """The command line that runs `argv` in `sandbox`, to be started with `outer_environment()` in `/`.

        `by_shell`: where the image has a shell, that starts `argv`, and its status tells a program that is not there. `limits` is
        a command that limits bubblewrap, `control_group` a file that takes the process's number for the same purpose.

        Raises:
            BrokenImage: the image's files or configuration do not let anything run.
            ToolMissing: bubblewrap is not installed.
        """
        rootfs = self.root.rootfs
        texts = (*argv, str(sandbox.cwd), *sandbox.env, *sandbox.env.values())
        if any("\0" in text for text in texts):
            # It would end one of bubblewrap's options and begin another.
            raise self._broken("has a NUL byte in its configuration")
        mounts = tuple(replace(mount, target=self._target(mount.target)) for mount in sandbox.mounts)
        cwd = resolve_inside(rootfs, sandbox.cwd)
        if cwd is None or (on_disk(rootfs, cwd).exists() and not on_disk(rootfs, cwd).is_dir()):
            raise self._broken(f"has the working directory `{sandbox.cwd}`, which is none")
        self._prepare(cwd, network=sandbox.network)
        program, *options = bubblewrap_options(replace(sandbox, mounts=mounts, cwd=cwd))
        words = [*options, "--clearenv"]
        for name, value in sandbox.env.items():
            words += ["--setenv", name, value]
        _write_private(self.directory / "options", "".join(f"{word}\0" for word in words))
        is_root = os.geteuid() == 0
        unshare = [_find("unshare"), *(() if is_root else ("--user", "--map-root-user")), "--mount"]
        places = [str(rootfs), str(self.directory), "" if is_root else ",userxattr", str(control_group or "")]
        inner = prepared(argv) if by_shell and is_program(rootfs, PurePosixPath("/bin/sh")) else list(argv)
        return [*unshare, "/bin/sh", "-c", _OVERLAY, "sh", *places, *limits, program, "--args", "9", "--", *inner]

    def _target(self, target: PurePosixPath) -> PurePosixPath:
        if target.parts[1:2] in (("dev",), ("proc",)):
            # The sandbox's own, not the image's.
            return target
        resolved = resolve_inside(self.root.rootfs, target)
        if resolved is None:
            raise self._broken(f"has links without an end at `{target}`")
        return resolved

    def _prepare(self, cwd: PurePosixPath, *, network: bool) -> None:
        """Let the upper directory of the overlay have what the sandbox mounts on, and directories as the user may use them."""
        upper, rootfs = self.directory / "upper", self.root.rootfs
        if (self.directory / "prepared").exists():
            return
        is_root = self.root.runnable.user.is_root
        modes = {PurePosixPath("/", path): mode for path, mode in self.root.runnable.directories.items()}
        for wanted in (PurePosixPath("/proc"), PurePosixPath("/dev"), PurePosixPath("/etc"), cwd):
            for path in (wanted, *wanted.parents):
                place = on_disk(rootfs, path)
                if place.is_symlink() or (place.exists() and not place.is_dir()):
                    raise self._broken(
                        f"has something at `{path}` that is no directory; pybuild does not run such images"
                    )
                known = stat.S_IMODE(place.lstat().st_mode) if place.exists() else 0o755 if is_root else 0o555
                modes.setdefault(path, known)
        for path in sorted(modes):
            on_disk(upper, path).mkdir(mode=0o700, exist_ok=True)
        if network:
            for name in ("resolv.conf", "hosts"):
                place = rootfs / "etc" / name
                if place.is_symlink() or not place.is_file():
                    (upper / "etc" / name).touch()
        for path in sorted(modes, reverse=True):
            on_disk(upper, path).chmod(modes[path])
        (self.directory / "prepared").touch()

    def _broken(self, message: str) -> BrokenImage:
        return BrokenImage(f"image {self.root.image.digest}", message)


def _find(tool: str) -> str:
    program = shutil.which(tool)
    if program is None:
        raise ToolMissing(tool, "util-linux", "to run images")
    return program


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(text.encode("utf-8", "surrogateescape"))


def outer_environment() -> Mapping[str, str]:
    """Environment of the programs around the sandbox: nothing of the image, which could steer them, or of the caller, which a
    command could read."""
    return {"PATH": os.defpath}


@contextlib.contextmanager
def open_image_root(
    image: Image, store: Path, log: Log, *, keep: bool, deadline: Deadline = NEVER
) -> Iterator[ImageRoot]:
    """The files of `image`, unpacked once; with `keep` they stay in the store for the next time.

    Raises:
        lifecycle.cnb.errors.CnbError: they cannot be unpacked, or not by `deadline`, or the image's user is not known to it.
    """
    directory = store / "run" / image.digest.hex
    kept = directory / _UNPACKED
    if not keep and not kept.exists():
        with _scratch(store, log) as scratch:
            yield _unpack(image, scratch / _UNPACKED, log, deadline)
        return
    directory.mkdir(parents=True, exist_ok=True)
    busy = "another process is unpacking this image; waiting for it"
    with locked(directory / "lock", log, busy=busy, deadline=deadline):
        if not kept.exists():
            partial = directory / "partial"
            remove_tree(partial)
            _unpack(image, partial, log, deadline)
            partial.rename(kept)
    yield ImageRoot(image=image, rootfs=kept / "rootfs", runnable=_read_access(kept))


@contextlib.contextmanager
def open_copy(root: ImageRoot, store: Path, log: Log) -> Iterator[ImageCopy]:
    """A copy of the files that can be changed, for as long as the context lasts."""
    with _scratch(store, log) as directory:
        for name in ("upper", "work", "root"):
            (directory / name).mkdir()
        yield ImageCopy(root=root, directory=directory)


def _unpack(image: Image, directory: Path, log: Log, deadline: Deadline) -> ImageRoot:
    directory.mkdir()
    with log.step("Unpacking the image"):
        runnable = unpack_runnable(image, directory / "rootfs", deadline=deadline)
    access = {
        "user": asdict(runnable.user),
        "directories": [(str(path), mode) for path, mode in runnable.directories.items()],
    }
    (directory / "access.json").write_text(json.dumps(access), encoding="utf-8")
    return ImageRoot(image=image, rootfs=directory / "rootfs", runnable=runnable)


def _read_access(directory: Path) -> Runnable:
    values = json.loads((directory / "access.json").read_text(encoding="utf-8"))
    user = values["user"]
    return Runnable(
        user=ImageUser(**{**user, "group_ids": tuple(user["group_ids"])}),
        directories={PurePosixPath(path): mode for path, mode in values["directories"]},
    )


@contextlib.contextmanager
def _scratch(store: Path, log: Log) -> Iterator[Path]:
    """A new directory that is removed at the end; those of processes that were killed are removed now."""
    parent = store / "run"
    parent.mkdir(parents=True, exist_ok=True)
    with locked(parent / "scratch.lock", log, busy="another process is cleaning up; waiting for it"):
        for path in parent.glob(f"{_SCRATCH}*"):
            if not _is_held(path):
                remove_tree(path)
        directory = Path(tempfile.mkdtemp(prefix=_SCRATCH, dir=parent))
        # The kernel drops it with this process, however that ends.
        held = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(held, fcntl.LOCK_EX)
    try:
        yield directory
    finally:
        remove_tree(directory)
        os.close(held)


def _is_held(directory: Path) -> bool:
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
