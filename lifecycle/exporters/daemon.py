"""`docker-daemon:NAME`: a Docker engine, where the image may have several names."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from lifecycle.cnb.deadline import Deadline
from lifecycle.cnb.digest import Digest
from lifecycle.cnb.errors import CnbError, InvalidValue
from lifecycle.cnb.reference import Reference
from lifecycle.daemon.engine import DockerEngine, open_engine
from lifecycle.daemon.errors import EngineFailed, EngineUnusable
from lifecycle.daemon.feed import Write
from lifecycle.exporters.archive import write_archive
from lifecycle.exporters.transfer import Commit, Progress, Transfer, size_of_blobs
from lifecycle.oci.archive import TarWriter
from lifecycle.oci.image import Image
from lifecycle.oci.image_index import Content, ImageIndex
from lifecycle.oci.location import DAEMON_PREFIX, Transport

NO_INDEX = "has room for an image of one platform, and this is an index of several"
_INSTEAD = "no engine is needed for `--output oci:DIR`, `--output docker-archive:FILE`, or `--tag NAME --publish`"
# An engine that does not answer keeps what has no name; a build that was cancelled does not wait for it.
_CLEANUP_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonOutput:
    """The names that the image gets, each with a tag; at least one. Made by `make`."""

    references: tuple[Reference, ...]

    @classmethod
    def make(cls, name: str, tags: Sequence[str]) -> DaemonOutput:
        """Return the output for `name`, which may be empty, and `tags`. Raises `InvalidValue`."""
        references = [Reference.parse(text) for text in (*([name] if name else []), *tags)]
        for reference in references:
            if reference.digest is not None:
                raise InvalidValue(f"`{reference}`", "has a digest, which nobody can give an image in a Docker engine")
        if not references:
            raise InvalidValue(
                f"`{DAEMON_PREFIX}`", "lacks a name", f"write `{DAEMON_PREFIX}NAME`, or give the image a `--tag`"
            )
        return cls(references=tuple(dict.fromkeys(reference.with_default_tag() for reference in references)))

    @property
    def location(self) -> str:
        """`docker-daemon:NAME:TAG`, the first."""
        return f"{DAEMON_PREFIX}{self.references[0]}"

    @property
    def place(self) -> str:
        """What two outputs have in common that are one: there is one engine."""
        return DAEMON_PREFIX

    def merged(self, other: DaemonOutput) -> DaemonOutput:
        """Return the output that gives the image the names of both."""
        return DaemonOutput(references=tuple(dict.fromkeys([*self.references, *other.references])))


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonExporter:
    """Puts images into the engine that `env` names, by the time of `deadline`."""

    output: DaemonOutput
    env: Mapping[str, str]
    deadline: Deadline

    def check(self) -> None:
        """Find out before any work whether there is an engine that answers. Raises `EngineUnusable`."""
        try:
            with open_engine(self.env, deadline=self.deadline):
                pass
        except EngineUnusable as err:
            raise replace(err, instead=_INSTEAD) from err

    @contextlib.contextmanager
    def prepare(self, image: Content, on_progress: Progress | None) -> Iterator[Commit]:
        """Load the image, without a name; the commit gives it its names. Layers that the engine has are not sent."""
        if isinstance(image, ImageIndex):
            raise InvalidValue(f"`{self.output.location}`", NO_INDEX)
        with open_engine(self.env, deadline=self.deadline) as engine:
            before = _find(engine, image)
            sent = 0 if before is not None else _load(engine, image, on_progress)
            identity = before or _find(engine, image)
            if identity is None:
                raise EngineFailed(
                    address=engine.address, doing="loading the image", reason="it says it has, and has not"
                )

        def commit() -> Transfer:
            # From here on it is too late to end it.
            with open_engine(self.env) as engine:
                for reference in self.output.references:
                    engine.tag(identity, reference)
            return Transfer(sent=sent, present=size_of_blobs(image) - sent)

        try:
            yield commit
        finally:
            if before is None:
                # Where no name was given. What went wrong before is what is to be told.
                with (
                    contextlib.suppress(CnbError),
                    open_engine(self.env, deadline=Deadline.after(_CLEANUP_S)) as engine,
                ):
                    engine.remove_nameless(identity)


def _find(engine: DockerEngine, image: Image) -> Digest | None:
    """The id of the image in the engine: that of its config, or of its manifest where the engine keeps blobs."""
    return next((identity for identity in (image.id, image.digest) if engine.has(identity)), None)


def _load(engine: DockerEngine, image: Image, on_progress: Progress | None) -> int:
    """Bytes of the blobs that were sent."""
    known = engine.count_layers([layer.diff_id for layer in image.layers])
    try:
        return _send(engine, image, known, on_progress)
    except EngineFailed:
        if known == 0:
            raise
        # Somebody may have removed the image meanwhile that had them, and not every engine can do without.
        return _send(engine, image, 0, on_progress)


def _send(engine: DockerEngine, image: Image, known: int, on_progress: Progress | None) -> int:
    omitted = {layer.descriptor.digest: layer.descriptor.size for layer in image.layers[:known]}
    # The same content may be needed once more, above.
    for layer in image.layers[known:]:
        omitted.pop(layer.descriptor.digest, None)

    def write_all(write: Write) -> None:
        writer = TarWriter(write)
        write_archive(writer, image, Transport.DOCKER_ARCHIVE, (), on_progress=on_progress, omitted=omitted)
        writer.finish()

    engine.load(write_all)
    return size_of_blobs(image) - sum(omitted.values())
