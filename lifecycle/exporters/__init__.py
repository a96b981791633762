"""Sinks for a finished image, in the words of skopeo: `oci:DIR[:TAG]`, `oci-archive:FILE`, `docker-archive:FILE`.

An image goes to several at once: each is prepared beside its place first, and only when all are prepared are they put there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from lifecycle.cnb.errors import InvalidValue
from lifecycle.exporters.archive import ArchiveOutput
from lifecycle.exporters.layout import LayoutOutput
from lifecycle.oci.image import Image
from lifecycle.oci.location import Transport, parse_location

Progress = Callable[[int], None]
"""Gets the bytes that were written since it was last called."""


class Exporter(Protocol):
    """A place that an image can be put."""

    @property
    def location(self) -> str:
        """The place as `parse_output` reads it."""

    def check(self) -> None:
        """Find out before any work whether it can be written; changes nothing. Raises `InvalidValue`, `OSError`."""

    def prepare(
        self, image: Image, on_progress: Progress | None
    ) -> contextlib.AbstractContextManager[Callable[[], None]]:
        """Write everything that is not seen yet; what the context gives puts it in place. Without that, nothing is left.

        Raises `OciError`, `OSError`.
        """


Output = LayoutOutput | ArchiveOutput


def parse_output(text: str, *, tags: Sequence[str] = ()) -> Output:
    """Return the output that `text` names; `tags` are names of the image in it. Raises `InvalidValue`."""
    location = parse_location(text)
    if location.transport is Transport.OCI:
        names = [*([location.name] if location.name else []), *tags]
        return LayoutOutput(directory=location.path, tags=tuple(dict.fromkeys(names)))
    return ArchiveOutput.make(location, tuple(tags))


def check_outputs(outputs: Sequence[Output]) -> None:
    """Find out before a build whether its outputs can be written; changes nothing.

    Raises:
        InvalidValue: two outputs are one file, or something else is where one goes.
        OSError: a directory cannot be written.
    """
    for output in _distinct(outputs):
        output.check()


def write_outputs(
    image: Image,
    outputs: Sequence[Output],
    *,
    on_progress: Progress | None = None,
    before_commit: Callable[[], None] = lambda: None,
) -> tuple[str, ...]:
    """Put `image` into every output, or into none; return the locations with the image's digest.

    `before_commit` is called when all are prepared and none is changed yet; what it raises leaves them so.

    Raises:
        InvalidValue: two outputs are one file.
        OciError, OSError: an output cannot be written; what was there before is as it was.
    """
    with contextlib.ExitStack() as stack:
        commits = [stack.enter_context(output.prepare(image, on_progress)) for output in _distinct(outputs)]
        before_commit()
        for commit in commits:
            commit()
    return tuple(f"{output.location}@{image.digest}" for output in outputs)


def _distinct(outputs: Sequence[Output]) -> list[Exporter]:
    """Outputs of one layout become one, because a layout is locked while it is written."""
    layouts: dict[Path, LayoutOutput] = {}
    others: dict[Path, Exporter] = {}
    for output in outputs:
        if isinstance(output, LayoutOutput):
            place = output.directory.resolve()
            known = layouts.get(place)
            layouts[place] = output if known is None else known.merged(output)
        else:
            if output.file.resolve() in others:
                raise InvalidValue(str(output.file), "is named by two outputs", "give each output a file of its own")
            others[output.file.resolve()] = output
    return [*layouts.values(), *others.values()]
