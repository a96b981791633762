"""`oci:DIR[:TAG]`: an OCI image layout, which may hold other images as well."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lifecycle.exporters.place import check_place, writing_to
from lifecycle.exporters.transfer import Commit, Progress, Transfer, size_of_blobs
from lifecycle.oci.durable import sync_files
from lifecycle.oci.image_index import Content
from lifecycle.oci.layout import INDEX_FILE
from lifecycle.oci.layout_writer import LayoutWriter, open_layout

# What skopeo and Docker take where nothing is said.
DEFAULT_TAG = "latest"


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutOutput:
    """A layout, and the names that the image gets in it."""

    directory: Path
    tags: tuple[str, ...] = ()

    @property
    def location(self) -> str:
        """`oci:DIR:TAG`."""
        return f"oci:{self.directory}:{self._names[0]}"

    @property
    def place(self) -> str:
        """What two outputs have in common that are one, because a layout is locked while it is written."""
        return str(self.directory.resolve())

    def check(self) -> None:
        """Find out before any work whether it can be written. Raises `InvalidValue`, `OSError`."""
        check_place(self.directory)

    @contextlib.contextmanager
    def prepare(self, image: Content, on_progress: Progress | None) -> Iterator[Commit]:
        """Add the blobs, which nothing refers to yet; the commit points the tags at the image."""
        with contextlib.ExitStack() as stack:
            with writing_to(self.directory):
                layout = stack.enter_context(open_layout(self.directory, durable=True))
                copied = layout.add(image, on_progress=on_progress)
            yield lambda: self._commit(layout, image, copied)

    def _commit(self, layout: LayoutWriter, image: Content, copied: int) -> Transfer:
        with writing_to(self.directory):
            layout.tag(image, self._names)
            sync_files([self.directory / INDEX_FILE])
        return Transfer(sent=copied, present=size_of_blobs(image) - copied)

    def merged(self, other: LayoutOutput) -> LayoutOutput:
        """Return the output that gives the image the names of both, which are of one directory."""
        return LayoutOutput(directory=self.directory, tags=tuple(dict.fromkeys([*self._names, *other._names])))

    @property
    def _names(self) -> tuple[str, ...]:
        return self.tags or (DEFAULT_TAG,)
