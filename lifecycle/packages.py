"""Which files of an environment belong to which installed package, as the packages themselves say.

Reads `*.dist-info/RECORD` (https://packaging.python.org/en/latest/specifications/recording-installed-packages/) and
`conda-meta/*.json`. Whoever makes packages writes these files, so they are read with care; a wrong claim only puts a file into
another part of its layer.
"""

from __future__ import annotations

import contextlib
import csv
import os
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from packaging.utils import canonicalize_name

from lifecycle.cnb.errors import ConfigurationError
from lifecycle.cnb.jsontext import parse_json
from lifecycle.cnb.toml import read_regular_file
from lifecycle.oci.tree import Tree

_RECORD = b".dist-info/RECORD"
_BYTECODE_DIRECTORY = b"__pycache__"
_NOT_IN_NAMES = re.compile(r"[^a-z0-9-]+")
_NAME_LIMIT = 100


def find_owners(tree: Tree) -> Mapping[bytes, str]:
    """Return for each file and link that a package claims the name of that package, of lower-case letters, digits and `-`.

    Bytecode goes with its source. Of several packages that claim a file conda's come first, then those first by name.
    """
    leaves = {entry.path for entry in tree.entries if not entry.is_directory}
    owners: dict[bytes, str] = {}
    conda = sorted(path for path in leaves if path.endswith(b".json") and _directory_name(path) == b"conda-meta")
    records = sorted(path for path in leaves if path.endswith(_RECORD) and _is_in_site_packages(path))
    for claims in (
        *(_read_conda(tree.root, path) for path in conda),
        *(_read_record(tree.root, path) for path in records),
    ):
        for path, name in claims:
            if path in leaves:
                owners.setdefault(path, name)
    for path in leaves:
        if path.endswith(b".pyc") and _directory_name(path) == _BYTECODE_DIRECTORY and path not in owners:
            owner = owners.get(_source_of(path))
            if owner is not None:
                owners[path] = owner
    return owners


def _is_in_site_packages(record: bytes) -> bool:
    # Packages that others carry along (`setuptools/_vendor`) are part of those.
    return posixpath.basename(posixpath.dirname(posixpath.dirname(record))) == b"site-packages"


def _read_record(root: Path, record: bytes) -> Iterator[tuple[bytes, str]]:
    metadata = posixpath.dirname(record)
    name = _normalize(os.fsdecode(posixpath.basename(metadata)).removesuffix(".dist-info").partition("-")[0])
    try:
        lines = read_regular_file(root / os.fsdecode(record), follow_links=False).decode("utf-8", "surrogateescape")
        claimed = [row[0] for row in csv.reader(lines.splitlines()) if row]
    except (ConfigurationError, csv.Error):
        claimed = []
    # Files that the installer wrote beside those of the package need not be in its RECORD.
    yield record, name
    yield from _below(posixpath.dirname(metadata), claimed, name)


def _read_conda(root: Path, path: bytes) -> Iterator[tuple[bytes, str]]:
    try:
        text = read_regular_file(root / os.fsdecode(path), follow_links=False).decode()
        document = parse_json(text, source=os.fsdecode(path))
        name, files = _normalize(document.string("name")), document.strings("files")
    except (ConfigurationError, UnicodeDecodeError):
        return
    yield path, name
    yield from _below(posixpath.dirname(posixpath.dirname(path)), files, name)


def _below(directory: bytes, names: Iterable[str], package: str) -> Iterator[tuple[bytes, str]]:
    """The claims as paths of the tree; what points out of it is the path of nothing there."""
    above = directory + b"/" if directory else b""
    for name in names:
        if name.startswith("/"):
            continue
        with contextlib.suppress(UnicodeEncodeError):
            joined = above + name.encode("utf-8", "surrogateescape")
            # Most paths are normal already, and there are tens of thousands.
            yield posixpath.normpath(joined) if b"./" in joined or b"//" in joined else joined, package


def _normalize(name: str) -> str:
    # It becomes part of the name of a file.
    return _NOT_IN_NAMES.sub("-", canonicalize_name(name))[:_NAME_LIMIT]


def _source_of(bytecode: bytes) -> bytes:
    """Path of the module that `<directory>/__pycache__/<module>.<tag>[.opt-<level>].pyc` was compiled from."""
    directory, _, name = bytecode.rpartition(b"/")
    module = name.removesuffix(b".pyc").rpartition(b".")
    if module[2].startswith(b"opt-"):
        module = module[0].rpartition(b".")
    return posixpath.join(posixpath.dirname(directory), module[0] + b".py")


def _directory_name(path: bytes) -> bytes:
    return posixpath.basename(posixpath.dirname(path))
