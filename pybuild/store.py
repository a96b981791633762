"""The store: what pybuild keeps on the machine between builds.

`$XDG_CACHE_HOME/pybuild` (https://specifications.freedesktop.org/basedir-spec/) holds `bases/`, `interpreters/`, `natives/`,
`poetry/`, `wheels/`, `buildpacks/` and `builders/`, which `pybuild.builder` keeps, `archives/`, `layers/`, `made/` and `images/`, which
applications share, `run/` and `checks/`, of images that were run and checked, a `lock` that everyone holds who uses any of it, and
`apps/<key>/` for each application that was built here:

    lock        held while a build of this application runs
    repository  what was built, for people
    cache/      the CNB cache of the application
    extension/  what executing a Dockerfile keeps from build to build
    image/      an OCI image layout with the last image, which the next build reuses layers of
    work/       the build that runs now; what a killed build left is removed by the next
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lifecycle.cnb.command import CommandTimeout
from lifecycle.cnb.deadline import NEVER, Deadline
from lifecycle.cnb.layer import remove_tree
from lifecycle.cnb.mask import mask_credentials
from lifecycle.cnb.toml import write_atomically
from pybuild.log import Log

STORE_NAME = "pybuild"
_POLL_S = 0.05


def store_directory(env: Mapping[str, str], home: Path) -> Path:
    """Directory of the store; it need not exist."""
    named = env.get("XDG_CACHE_HOME", "")
    # A relative XDG_CACHE_HOME is invalid and to be ignored, says the specification.
    return (Path(named) if named.startswith("/") else home / ".cache") / STORE_NAME


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """What the store keeps of one application."""

    directory: Path

    @property
    def lock(self) -> Path:
        """Held while a build of it runs."""
        return self.directory / "lock"

    @property
    def repository(self) -> Path:
        """File that says what was built, without credentials."""
        return self.directory / "repository"

    @property
    def cache(self) -> Path:
        """Directory of the CNB cache."""
        return self.directory / "cache"

    @property
    def image(self) -> Path:
        """OCI image layout of the last image."""
        return self.directory / "image"

    @property
    def extension(self) -> Path:
        """What executing the Dockerfile keeps; its files belong to several users."""
        return self.directory / "extension"

    @property
    def work(self) -> Path:
        """Directory of the build that runs now."""
        return self.directory / "work"


def application_of(store: Path, identity: str, *, foreign: str | None = None) -> Application:
    """The application that `identity` names, whether anything is kept of it or not.

    `foreign`: the architecture that it is built for, where that is not this machine's; what is kept for one is of no use for another.
    """
    key = hashlib.sha256(identity.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return Application(directory=store / "apps" / (key if foreign is None else f"{key}-{foreign}"))


@contextlib.contextmanager
def open_application(
    store: Path, identity: str, log: Log, *, foreign: str | None = None, deadline: Deadline = NEVER
) -> Iterator[Application]:
    """The application that `identity` names, for this process alone until the context ends. `foreign` as in `application_of`.

    Two builds of one application would need the same cache at once: the second waits, and says so.
    """
    application = application_of(store, identity, foreign=foreign)
    shown = mask_credentials(identity) + ("" if foreign is None else f" for {foreign}")
    busy = "another build of this application is running; waiting for it to end"
    with locked(application.lock, log, busy=busy, deadline=deadline):
        remove_tree(application.work)
        application.work.mkdir()
        write_atomically(application.repository, os.fsencode(shown))
        try:
            yield application
        finally:
            remove_tree(application.work)


@contextlib.contextmanager
def in_use(store: Path, log: Log, *, deadline: Deadline = NEVER) -> Iterator[None]:
    """Nothing that applications share is pruned until the context ends."""
    busy = "unused parts of the store are being removed; waiting for it to end"
    with locked(store / "lock", log, busy=busy, shared=True, deadline=deadline):
        yield


@contextlib.contextmanager
def locked(path: Path, log: Log, *, busy: str, shared: bool = False, deadline: Deadline = NEVER) -> Iterator[None]:
    """Hold the lock of `path` until the context ends, alone or with others who share it.

    While somebody else has it, another process or another thread of this one, say `busy` and wait.

    Raises:
        lifecycle.cnb.command.CommandTimeout: `deadline` came first.
    """
    operation = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    descriptor = None
    while descriptor is None:
        descriptor = _lock(path, operation, lambda: log.notice(busy), deadline)
    try:
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked_if_free(path: Path) -> Iterator[bool]:
    """Hold the lock of `path` until the context ends; False where another process has it."""
    try:
        descriptor = _lock(path, fcntl.LOCK_EX, _give_up, NEVER)
    except BlockingIOError:
        descriptor = None
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _lock(path: Path, operation: int, when_busy: Callable[[], object], deadline: Deadline) -> int | None:
    """A descriptor that has the lock; `None` when the file was removed by the one who had it before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # The kernel drops a flock with its holder, however that ends: there are no stale locks.
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:  # so was its directory, just now
        return None
    try:
        try:
            fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
        except BlockingIOError:
            when_busy()
            _wait_for(descriptor, operation, deadline)
        if _is_at(descriptor, path):
            return descriptor
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def _wait_for(descriptor: int, operation: int, deadline: Deadline) -> None:
    """Have the lock. The kernel would wait without an end; so it is asked again and again, where there is one."""
    if deadline == NEVER:
        fcntl.flock(descriptor, operation)
        return
    while not deadline.has_passed():
        try:
            fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_POLL_S)
        else:
            return
    raise CommandTimeout(argv=("lock",), elapsed_s=0, output="")


def _give_up() -> None:
    raise BlockingIOError


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        found = path.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(found, os.fstat(descriptor))
