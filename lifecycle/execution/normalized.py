"""Layers of extensions as an image has them: nothing that the platform has put into its own directories, and one time for all files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from lifecycle.execution.members import Prefixes, RewrittenArchive, join, name_of, with_fields, without_records
from lifecycle.oci.archive import FILE_TIME
from lifecycle.oci.tar import Readable

_TIMES = (b"mtime=", b"atime=", b"ctime=")


class NormalizedLayer(RewrittenArchive):
    """An archive whose members have the time of every file of an image, without those below `excluded`."""

    def __init__(self, stream: Readable, excluded: Sequence[PurePosixPath] = ()) -> None:
        super().__init__(stream, self._change)
        self._excluded = tuple(bytes(path).strip(b"/") + b"/" for path in excluded)

    def _change(self, prefixes: Prefixes, header: bytes) -> bytes | None:
        if (name_of(prefixes, header).removeprefix(b"./") + b"/").startswith(self._excluded):
            return None
        kept = without_records(prefixes, lambda record: record.startswith(_TIMES))
        return join(kept, with_fields(header, {136: b"%011o\0" % FILE_TIME}))
