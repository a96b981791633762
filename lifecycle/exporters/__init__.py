"""Sinks for a finished image, in the words of skopeo: `oci:DIR[:TAG]`, `oci-archive:FILE`, `docker-archive:FILE`,
`docker://NAME`, `docker-daemon:NAME`.

An image goes to several at once: each is prepared beside its place first, and only when all are prepared are they put there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Protocol

from lifecycle.cnb.deadline import NEVER, Deadline
from lifecycle.cnb.errors import InvalidValue
from lifecycle.cnb.reference import Reference
from lifecycle.exporters.archive import ArchiveOutput
from lifecycle.exporters.daemon import NO_INDEX, DaemonExporter, DaemonOutput
from lifecycle.exporters.layout import LayoutOutput
from lifecycle.exporters.registry import RegistryExporter, RegistryOutput
from lifecycle.exporters.transfer import Commit, Progress, Transfer
from lifecycle.oci.image import Image
from lifecycle.oci.image_index import Content
from lifecycle.oci.location import DAEMON_PREFIX, REGISTRY_PREFIX, Transport, parse_location
from lifecycle.registry.client import RegistryClient

OUTPUTS = "oci:DIR[:TAG], oci-archive:FILE, docker-archive:FILE, docker://NAME or docker-daemon:NAME"


class Exporter(Protocol):
    """A place that an image can be put."""

    def check(self) -> None:
        """Find out before any work whether it can be written; nothing is left there. Raises `CnbError`, `OSError`."""

    def prepare(self, image: Content, on_progress: Progress | None) -> contextlib.AbstractContextManager[Commit]:
        """Bring everything there that is not seen yet; what the context gives puts it in place. Without that, nothing is seen.

        Raises `CnbError`, `OSError`.
        """


Output = LayoutOutput | ArchiveOutput | RegistryOutput | DaemonOutput


@dataclass(frozen=True, slots=True, kw_only=True)
class Connections:
    """What outputs are reached by that are not files. `mount_from`: references that the image's layers may come from.

    `env` is the machine's environment, which says where the Docker engine is.
    """

    client: RegistryClient
    env: Mapping[str, str]
    deadline: Deadline = NEVER
    mount_from: tuple[Reference, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """An output after the image was put there. `location`: as `parse_output` reads it, with the image's digest behind it.

    A Docker engine does not know that digest; behind its name is the image's id.

    Outputs that are one place share what was transferred.
    """

    location: str
    transfer: Transfer

    def to_json(self) -> Mapping[str, object]:
        """Return it as reports have it, in bytes."""
        return {"output": self.location, **asdict(self.transfer)}


def parse_output(text: str, *, tags: Sequence[str] = ()) -> Output:
    """Return the output that `text` names; `tags` are names of the image in it, except where its place is its name.

    Raises `InvalidValue`.
    """
    if text.startswith(REGISTRY_PREFIX):
        return RegistryOutput.make(text.removeprefix(REGISTRY_PREFIX))
    if text.startswith(DAEMON_PREFIX):
        return DaemonOutput.make(text.removeprefix(DAEMON_PREFIX), tags)
    if not text.startswith(tuple(f"{transport.value}:" for transport in Transport)):
        raise InvalidValue(f"`{text}`", "does not say what kind of place it is", f"write {OUTPUTS}")
    location = parse_location(text)
    if location.transport is Transport.OCI:
        names = [*([location.name] if location.name else []), *tags]
        return LayoutOutput(directory=location.path, tags=tuple(dict.fromkeys(names)))
    return ArchiveOutput.make(location, tuple(tags))


def check_outputs(outputs: Sequence[Output], connections: Connections) -> None:
    """Find out before a build whether its outputs can be written; nothing is left there.

    Raises:
        CnbError: two outputs are one file, something else is where one goes, a registry does not let this user write, or no Docker
            engine answers.
        OSError: a directory cannot be written.
    """
    for exporter in _open_all(_distinct(outputs), connections):
        exporter.check()


def refuse_index(outputs: Sequence[Output]) -> None:
    """Raise `InvalidValue` where an output has room for one image only, and an index of several is to go there."""
    for output in outputs:
        is_docker = isinstance(output, ArchiveOutput) and output.transport is Transport.DOCKER_ARCHIVE
        if is_docker or isinstance(output, DaemonOutput):
            raise InvalidValue(
                f"`{output.location}`",
                NO_INDEX,
                "write oci:DIR, oci-archive:FILE or docker://NAME, or name one platform",
            )


def write_outputs(
    image: Content,
    outputs: Sequence[Output],
    connections: Connections,
    *,
    show: Callable[[Output], contextlib.AbstractContextManager[Progress | None]] = lambda _: contextlib.nullcontext(),
    before_commit: Callable[[], None] = lambda: None,
) -> tuple[Written, ...]:
    """Put an image or an index into every output, or into none; return them in their order.

    `show` is entered while an output is prepared, and what it gives is told of the progress.
    `before_commit` is called when all are prepared and none is changed yet; what it raises leaves them so.

    Raises:
        CnbError, OSError: an output cannot be written; what was there before is as it was.
    """
    distinct = _distinct(outputs)
    with contextlib.ExitStack() as stack:
        prepared = []
        for output, exporter in zip(distinct, _open_all(distinct, connections), strict=True):
            with show(output) as on_progress:
                prepared.append((output, stack.enter_context(exporter.prepare(image, on_progress))))
        before_commit()
        # To rename a file goes wrong least, so it is done when nothing else can.
        prepared.sort(key=lambda one: isinstance(one[0], (LayoutOutput, ArchiveOutput)))
        transfers = {output.place: commit() for output, commit in prepared}
    return tuple(Written(location=_describe(output, image), transfer=transfers[output.place]) for output in outputs)


def _describe(output: Output, content: Content) -> str:
    if isinstance(output, DaemonOutput) and isinstance(content, Image):
        return f"{output.location}@{content.id}"
    return f"{output.location}@{content.digest}"


def _open_all(outputs: Sequence[Output], connections: Connections) -> list[Exporter]:
    exporters: list[Exporter] = []
    for output in outputs:
        if isinstance(output, RegistryOutput):
            exporters.append(
                RegistryExporter(output=output, client=connections.client, mount_from=connections.mount_from)
            )
            # Those that follow can have the blobs from there.
            connections = replace(connections, mount_from=(*connections.mount_from, output.references[0]))
        elif isinstance(output, DaemonOutput):
            exporters.append(DaemonExporter(output=output, env=connections.env, deadline=connections.deadline))
        else:
            exporters.append(output)
    return exporters


def _distinct(outputs: Sequence[Output]) -> list[Output]:
    """Outputs of one place become one."""
    found: dict[str, Output] = {}
    for output in outputs:
        known = found.get(output.place)
        found[output.place] = output if known is None else _merge(known, output)
    return list(found.values())


def _merge(known: Output, output: Output) -> Output:
    if isinstance(known, LayoutOutput) and isinstance(output, LayoutOutput):
        return known.merged(output)
    if isinstance(known, RegistryOutput) and isinstance(output, RegistryOutput):
        return known.merged(output)
    if isinstance(known, DaemonOutput) and isinstance(output, DaemonOutput):
        return known.merged(output)
    raise InvalidValue(output.place, "is named by two outputs", "give each output a place of its own")
