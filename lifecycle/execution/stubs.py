"""Leaves out of buildah's layers what is its own and its storage's: what it put there to have something to mount on, as BuildKit
does, and the notes of the overlay file system.

Where a base has no `/etc/hosts`, say, buildah makes an empty file (of the odd mode 0755) that a command never sees, because the
sandbox's own is mounted on it, and that is part of the layer. An overlay that is mounted in a user namespace keeps its notes in
extended attributes that are anybody's (https://docs.kernel.org/filesystems/overlayfs.html, `userxattr`), and buildah 1.28 archives
them. Everything else of the archive stays as it is, to the byte.
"""

from __future__ import annotations

from lifecycle.execution.members import (
    Prefixes,
    RewrittenArchive,
    join,
    name_of,
    number_of,
    size_of,
    without_records,
)
from lifecycle.oci.tar import Readable

_FILES = frozenset({b"etc/hosts", b"etc/hostname", b"etc/resolv.conf", b"run/.containerenv"})
_DIRECTORY = b"run"
_MODE = 0o755
_NOTES = b"SCHILY.xattr.user.overlay."


class WithoutStubs(RewrittenArchive):
    """An archive without the stubs; read like any stream."""

    def __init__(self, stream: Readable) -> None:
        super().__init__(stream, self._change)
        # `run` is a stub if nothing comes in it, which the member after it tells.
        self._held = b""

    def _change(self, prefixes: Prefixes, header: bytes) -> bytes | None:
        name, kind = name_of(prefixes, header), header[156:157]
        if name in _FILES and kind in (b"0", b"\0") and size_of(header) == 0 and _is_stub(header):
            return None
        held = self._held if name.startswith(_DIRECTORY + b"/") else b""
        self._held = b""
        noted = any(_NOTES in content for _, content in prefixes)
        kept = without_records(prefixes, lambda record: record.startswith(_NOTES)) if noted else prefixes
        if name == _DIRECTORY and kind == b"5" and _is_stub(header):
            self._held = join(kept, header)
            return None
        return held + join(kept, header)


def _is_stub(header: bytes) -> bool:
    return number_of(header[100:108]) & 0o7777 == _MODE and number_of(header[108:116]) == 0 == number_of(
        header[116:124]
    )
