"""The store: what pybuild keeps on the machine between builds.

`$XDG_CACHE_HOME/pybuild` (https://specifications.freedesktop.org/basedir-spec/) holds `bases/`, `interpreters/`, `wheels/` and
`builders/`, which `pybuild.builder` keeps, `archives/`, `layers/` and `images/`, which applications share, `run/` and `checks/`, of images
that were run and checked, and `apps/<key>/` for each application that was built here:

    lock        held while a build of this application runs
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
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lifecycle.cnb.layer import remove_tree
from pybuild.log import Log

STORE_NAME = "pybuild"


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


@contextlib.contextmanager
def open_application(store: Path, identity: str, log: Log) -> Iterator[Application]:
    """The application that `identity` names, for this process alone until the context ends.

    Two builds of one application would need the same cache at once: the second waits, and says so.
    """
    key = hashlib.sha256(identity.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    application = Application(directory=store / "apps" / key)
    application.directory.mkdir(parents=True, exist_ok=True)
    busy = "another build of this application is running; waiting for it to end"
    with locked(application.directory / "lock", log, busy=busy):
        remove_tree(application.work)
        application.work.mkdir()
        try:
            yield application
        finally:
            remove_tree(application.work)


@contextlib.contextmanager
def locked(path: Path, log: Log, *, busy: str) -> Iterator[None]:
    """Hold the lock of `path` until the context ends; while another process has it, say `busy` and wait."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # The kernel drops a flock with its holder, however that ends: there are no stale locks.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.notice(busy)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
