"""Writes OCI image layouts. A layout is valid at every moment: blobs are renamed into their place before `index.json` is.

Processes that write to one layout wait for each other by a lock on its directory; readers need none.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from lifecycle.cnb.errors import InvalidValue
from lifecycle.cnb.toml import write_atomically
from lifecycle.oci.alone import open_alone
from lifecycle.oci.artifact import EMPTY_CONTENT, Artifact
from lifecycle.oci.descriptor import REF_NAME_ANNOTATION, Descriptor
from lifecycle.oci.document import parse_document
from lifecycle.oci.durable import sync_files
from lifecycle.oci.image import Image
from lifecycle.oci.image_index import Content, ImageIndex, images_of, render_index
from lifecycle.oci.layout import BLOBS_DIR, INDEX_FILE, LAYOUT_FILE, blob_path, read_index, referenced_digests
from lifecycle.oci.verify import read_document, verify_content, verify_stream

LAYOUT_CONTENT = b'{"imageLayoutVersion":"1.0.0"}'
_PARTIAL = ".partial-"


@contextlib.contextmanager
def open_layout(directory: Path, *, durable: bool = False) -> Iterator[LayoutWriter]:
    """The layout in `directory`, locked for this process until the context ends; made when there is none.

    What was added and not tagged when it ends is removed again, and so is a directory that was made for nothing. A `durable` one is
    valid after a power cut as well, at the cost of waiting for the disk.

    Raises:
        InvalidValue: the directory has other things in it.
        OSError: it cannot be made or locked.
    """
    is_new = not directory.exists()
    descriptor = open_alone(
        directory.resolve(), os.O_RDONLY | os.O_DIRECTORY, make=lambda: directory.mkdir(parents=True, exist_ok=True)
    )
    try:
        _remove_left_over(directory)
        if not (directory / LAYOUT_FILE).exists() and not _is_unused(directory):
            raise InvalidValue(str(directory), "is neither empty nor an OCI image layout", "name another directory")
        writer = LayoutWriter(directory, durable=durable)
        try:
            yield writer
        finally:
            writer.discard()
            if is_new and not (directory / INDEX_FILE).exists():
                _remove_empty(directory)
    finally:
        os.close(descriptor)


class LayoutWriter:
    """What `open_layout` gives."""

    def __init__(self, directory: Path, *, durable: bool) -> None:
        self._directory = directory
        self._is_durable = durable
        self._added: list[Path] = []

    def add(self, content: Content, *, on_progress: Callable[[int], object] | None = None) -> int:
        """Put the blobs of an image, or of all in an index, in their place, verified while they are copied; return the bytes of those
        that were not there.

        `on_progress` gets the number of bytes that were copied since it was last called. Raises `OciError`, `OSError`.
        """
        copied = sum(self._add_image(image, on_progress) for image in images_of(content))
        if isinstance(content, ImageIndex):
            self._add_content(content.descriptor, content.content)
        return copied

    def _add_image(self, image: Image, on_progress: Callable[[int], object] | None) -> int:
        copied = sum(self._add_file(layer.descriptor, layer.path, on_progress) for layer in image.layers)
        copied += self._add_content(image.manifest.config, image.config_bytes)
        self._add_content(image.descriptor, image.manifest_bytes)
        return copied

    def add_artifact(self, artifact: Artifact) -> None:
        """Put the manifest and the files of an artifact in their place. Raises `OciError`, `OSError`."""
        self._add_content(artifact.manifest.config, EMPTY_CONTENT)
        for file in artifact.files:
            self._add_content(file.descriptor, file.content)
        self._add_content(artifact.descriptor, artifact.manifest_bytes)

    def tag(self, image: Content | Artifact, tags: Sequence[str]) -> None:
        """Point `tags` at `image`, which was added; other tags stay. Without any, `image` is the one without a name.

        Raises `OciError`, `ConfigurationError`, `InvalidValue`, `OSError`.
        """
        kept: list[Mapping[str, object]] = []
        path = self._directory / INDEX_FILE
        if path.exists():
            replaced: set[str | None] = set(tags) or {None}
            kept = [
                table.values
                for table in parse_document(read_document(path), source=str(path)).tables("manifests")
                if table.table("annotations").optional_string(REF_NAME_ANNOTATION) not in replaced
            ]
        write_atomically(self._directory / LAYOUT_FILE, LAYOUT_CONTENT)
        if self._is_durable:
            sync_files([*self._added, self._directory / LAYOUT_FILE])
        write_atomically(path, render_index([*kept, *index_entries(image, tags)]), durable=self._is_durable)
        self._added.clear()

    def discard(self) -> None:
        """Remove the blobs that were added for nothing."""
        for path in self._added:
            path.unlink(missing_ok=True)
        self._added.clear()

    def remove_unreferenced(self) -> int:
        """Remove blobs that no entry of the index leads to; return how many bytes they had.

        Raises `OciError`, `ConfigurationError`, `InvalidValue`, `OSError`.
        """
        needed = referenced_digests(self._directory, read_index(self._directory))
        paths = {blob_path(self._directory, digest) for digest in needed}
        freed = 0
        for path in (self._directory / BLOBS_DIR).glob("*/*"):
            if path not in paths:
                freed += path.lstat().st_size
                path.unlink()
        return freed

    def _add_file(self, descriptor: Descriptor, source: Path, on_progress: Callable[[int], object] | None) -> int:
        target = blob_path(self._directory, descriptor.digest)
        if _has_size(target, descriptor.size):
            return 0
        with source.open("rb") as stream, self._new(target) as write:

            def copy(piece: bytes) -> None:
                write(piece)
                if on_progress is not None:
                    on_progress(len(piece))

            verify_stream(stream, descriptor, subject=str(source), write=copy)
        return descriptor.size

    def _add_content(self, descriptor: Descriptor, content: bytes) -> int:
        target = blob_path(self._directory, descriptor.digest)
        if _has_size(target, descriptor.size):
            return 0
        with self._new(target) as write:
            write(verify_content(content, descriptor, subject=str(target)))
        return descriptor.size

    @contextlib.contextmanager
    def _new(self, target: Path) -> Iterator[Callable[[bytes], object]]:
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=_PARTIAL, dir=target.parent)
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                # mkstemp makes files that only their owner reads
                os.fchmod(descriptor, 0o644)
                yield stream.write
            temporary.replace(target)
            self._added.append(target)
        finally:
            temporary.unlink(missing_ok=True)


def index_entries(image: Content | Artifact, tags: Sequence[str]) -> list[dict[str, object]]:
    """Return an entry for each tag, or one without a name."""
    descriptor = image.descriptor.render()
    if not tags:
        return [descriptor]
    return [{**descriptor, "annotations": {REF_NAME_ANNOTATION: tag}} for tag in dict.fromkeys(tags)]


def _has_size(path: Path, size: int) -> bool:
    # A blob that is there under its digest was whole when it was renamed; a crash of the machine may have emptied it since.
    return path.is_file() and not path.is_symlink() and path.stat().st_size == size


def _remove_left_over(directory: Path) -> None:
    """Remove what killed writers have left; whoever has the lock is the only one who writes."""
    temporary = (f".{LAYOUT_FILE}.*", f".{INDEX_FILE}.*", f"{BLOBS_DIR}/*/{_PARTIAL}*")
    for path in (found for pattern in temporary for found in directory.glob(pattern)):
        path.unlink(missing_ok=True)


def _is_unused(directory: Path) -> bool:
    """Whether there is nothing but what a killed writer, or one that writes blobs first, has left."""
    return all(path.name == BLOBS_DIR for path in directory.iterdir())


def _remove_empty(directory: Path) -> None:
    for path in (*directory.glob(f"{BLOBS_DIR}/*"), directory / BLOBS_DIR, directory / LAYOUT_FILE, directory):
        with contextlib.suppress(OSError):
            path.unlink() if path.is_file() else path.rmdir()
