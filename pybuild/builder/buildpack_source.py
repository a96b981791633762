"""Buildpacks from where a person says that they are: a directory, an archive of one, or a buildpackage, which is an image or a `.cnb`
file (https://github.com/buildpacks/spec/blob/main/distribution.md).

What archives and images hold is unpacked by a process that can write nothing else, once for each content, into `buildpacks/` of the
store. It is read outside of any sandbox afterwards, so nothing of it may be a link to something else.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from lifecycle.cnb.buildpack import Descriptor, read_descriptor
from lifecycle.cnb.deadline import NEVER, Deadline
from lifecycle.cnb.errors import CnbError
from lifecycle.cnb.jsontext import parse_json
from lifecycle.cnb.layer import is_real_directory, is_real_subdirectory
from lifecycle.cnb.reference import Reference
from lifecycle.oci.descriptor import Platform, host_platform
from lifecycle.oci.image import Image
from lifecycle.oci.layout import read_image
from lifecycle.oci.location import REGISTRY_PREFIX, Location, Transport, parse_location
from lifecycle.oci.tar import TarReader
from lifecycle.oci.unpack import unpack_image
from pybuild.builder.kept import content_key, forget_unused, make_directory, mark_used
from pybuild.errors import SettingsError
from pybuild.image_store import ImageStore, open_client
from pybuild.log import Log
from pybuild.machine import expand_home, home_directory
from pybuild.source.archive import extract_archive
from pybuild.store import locked

BUILDPACKAGE_LABEL = "io.buildpacks.buildpackage.metadata"
KINDS_OF_SOURCES = (
    "a directory, an archive (.tgz, .tar.gz, .tar, .zip), a buildpackage file (.cnb), docker://NAME, oci:DIR[:TAG], "
    "oci-archive:FILE[:TAG] or docker-archive:FILE[:NAME]"
)
REMOTE_PREFIXES = (REGISTRY_PREFIX, "http:", "https:", "urn:")
LOCAL_IMAGE_PREFIXES = tuple(f"{transport.value}:" for transport in Transport)
SOURCE_PREFIXES = (*REMOTE_PREFIXES, *LOCAL_IMAGE_PREFIXES, "file:")
"""What a text begins with that is certainly not the name of a buildpack."""
# Another number when the same source would be unpacked differently.
_FORMAT = 1
# The largest buildpacks carry interpreters and offline dependencies; what is larger is a mistake or an attack.
_MOST_BYTES = 8 * 2**30
_MOST_FILES = 500_000
_READ_BYTES = 32 * 2**20
_KEPT_S = 30 * 24 * 3600
_DESCRIPTORS = ("buildpack.toml", "extension.toml")
_LAYOUT_MARKER = b"oci-layout"
_GZIP_MAGIC, _ZIP_MAGIC = b"\x1f\x8b", b"PK"


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundBuildpacks:
    """What a text names: the buildpack that is meant first, behind it what else came in the same image, which it may be made of.

    Of an extension there is no buildpack, but the directory that has its `extension.toml`, the one that is meant first as well.
    """

    origin: str
    buildpacks: tuple[Descriptor, ...]
    extensions: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildpackFinder:
    """Finds buildpacks; images are for `platform`."""

    store: Path
    log: Log
    env: Mapping[str, str]
    insecure_registries: tuple[str, ...] = ()
    platform: Platform = field(default_factory=host_platform)
    deadline: Deadline = NEVER

    def find(self, text: str, *, relative_to: Path) -> FoundBuildpacks:
        """What `text` names, one of `KINDS_OF_SOURCES`; also a `file:` URL.

        Raises:
            pybuild.errors.SettingsError: it is none of these, or nothing is there.
            lifecycle.cnb.errors.CnbError: what is there is damaged, cannot be had, reaches out of itself or is no buildpack.
        """
        if text.startswith((REGISTRY_PREFIX, *LOCAL_IMAGE_PREFIXES)):
            return self._find_image(text, relative_to)
        path = _path_of(text, relative_to, home_directory(self.env))
        if path.is_dir():
            return _read_directory(path, text)
        if not path.is_file():
            raise SettingsError(f"there is no buildpack at `{path}`", f"name {KINDS_OF_SOURCES}")
        if _is_layout(path):
            return self._find_file(Location(transport=Transport.OCI_ARCHIVE, path=path), text)
        root = self._keep(_file_key(path), lambda directory: self._extract(path, directory))
        return _read_directory(_only_directory(root), text)

    def _find_image(self, text: str, relative_to: Path) -> FoundBuildpacks:
        if text.startswith(REGISTRY_PREFIX):
            reference = Reference.parse(text.removeprefix(REGISTRY_PREFIX))
            opened = open_client(self.env, insecure=self.insecure_registries, deadline=self.deadline)
            with contextlib.closing(opened) as client:
                image = ImageStore(self.store, client, self.log).pull(reference, self.platform).image
            return self._unpack(image, text)
        place = parse_location(text)
        place = Location(transport=place.transport, path=relative_to / place.path, name=place.name)
        if place.transport is Transport.OCI:
            return self._unpack(read_image(place, platform=self.platform), text)
        return self._find_file(place, text)

    def _find_file(self, place: Location, text: str) -> FoundBuildpacks:
        """What is in an archive of an image; the archive is read once."""

        def take(directory: Path) -> None:
            with tempfile.TemporaryDirectory(prefix="image-", dir=directory.parent) as scratch:
                image = read_image(place, scratch=Path(scratch), platform=self.platform)
                self._take(image, directory, text)

        return _read_package(self._keep(_file_key(place.path, place.name or ""), take), text)

    def _unpack(self, image: Image, text: str) -> FoundBuildpacks:
        key = content_key(_FORMAT, str(image.digest))
        return _read_package(self._keep(key, lambda directory: self._take(image, directory, text)), text)

    def _take(self, image: Image, directory: Path, text: str) -> None:
        with self.log.step(f"unpacking the buildpacks of {text}"):
            unpack_image(
                image,
                directory / "root",
                most_bytes=_MOST_BYTES,
                most_files=_MOST_FILES,
                deadline=self.deadline,
            )
        (directory / "label.json").write_text(image.config.labels.get(BUILDPACKAGE_LABEL, "{}"), encoding="utf-8")
        for path in _packaged(directory / "root"):
            _make_plain(path, text)

    def _extract(self, path: Path, directory: Path) -> None:
        found = extract_archive(
            path,
            directory / "root",
            self.log,
            deadline=self.deadline,
            most_bytes=_MOST_BYTES,
            most_files=_MOST_FILES,
        )
        _make_plain(found, str(path))

    def _keep(self, key: str, make: Callable[[Path], None]) -> Path:
        """The directory of the store that `make` fills, now or when the same was wanted before."""
        parent = self.store.absolute() / "buildpacks"
        directory = parent / key
        busy = "another process is unpacking buildpacks; waiting"
        with locked(self.store / "buildpacks.lock", self.log, busy=busy, deadline=self.deadline):
            if not directory.is_dir():
                make_directory(directory, make)
                forget_unused(parent, _KEPT_S)
            mark_used(directory)
        return directory


def _path_of(text: str, relative_to: Path, home: Path) -> Path:
    url = urlsplit(text)
    if url.scheme == "file":
        return Path(unquote(url.path))
    if url.scheme in ("http", "https"):
        raise SettingsError(
            f"`{text}` is the address of a file, and buildpacks are not downloaded",
            "download it, check it, and give its path; or name an image in a registry with docker://NAME",
        )
    if url.scheme == "urn":
        raise SettingsError(
            f"`{text}`: pybuild asks no registry of buildpacks", "name the image of the buildpack with docker://NAME"
        )
    return relative_to / expand_home(text, home)


def _file_key(path: Path, *others: str) -> str:
    """Name for what a file holds; a large one is not read for it."""
    try:
        found = path.stat()
        if found.st_size <= _READ_BYTES:
            return content_key(_FORMAT, hashlib.sha256(path.read_bytes()).hexdigest(), *others)
    except OSError as err:
        raise SettingsError(f"cannot read `{path}`: {err.strerror}") from err
    return content_key(
        _FORMAT, str(path.resolve()), found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, *others
    )


def _is_layout(path: Path) -> bool:
    """Whether a file is an image: an archive of an OCI layout, which is not compressed."""
    with path.open("rb") as stream:
        if stream.read(2) in (_GZIP_MAGIC, _ZIP_MAGIC):
            return False
        stream.seek(0)
        try:
            return any(member.name.removeprefix(b"./") == _LAYOUT_MARKER for member in TarReader(stream, source=""))
        except CnbError:
            return False


def _only_directory(kept: Path) -> Path:
    """Where an archive has its files: at its top, or in the only directory there."""
    root = kept / "root"
    entries = list(root.iterdir())
    return entries[0] if len(entries) == 1 and is_real_directory(entries[0]) else root


def _read_directory(directory: Path, text: str) -> FoundBuildpacks:
    if (directory / "extension.toml").is_file() and not (directory / "buildpack.toml").is_file():
        return FoundBuildpacks(origin=text, buildpacks=(), extensions=(directory.resolve(),))
    if not (directory / "buildpack.toml").is_file():
        raise SettingsError(
            f"`{text}` is not a buildpack: it has no file `buildpack.toml`",
            "name the directory or the archive that has this file at its top",
        )
    return FoundBuildpacks(origin=text, buildpacks=(read_descriptor(directory.resolve()),))


def _read_package(kept: Path, text: str) -> FoundBuildpacks:
    """What is in the unpacked image of a buildpackage."""
    directories = tuple(_packaged(kept / "root"))
    buildpacks = [read_descriptor(path) for path in directories if (path / "buildpack.toml").is_file()]
    extensions = [path for path in directories if not (path / "buildpack.toml").is_file()]
    label = parse_json((kept / "label.json").read_text(encoding="utf-8"), source=f"label {BUILDPACKAGE_LABEL}")
    meant = None if "id" not in label else (label.string("id"), label.string("version"))
    place = None if meant is None else (meant[0].replace("/", "_"), meant[1])
    if not directories:
        raise SettingsError(f"the image `{text}` has no buildpack in /cnb/buildpacks", "name an image of a buildpack")
    if place is not None and any((path.parent.name, path.name) == place for path in extensions):
        extensions.sort(key=lambda path: (path.parent.name, path.name) != place)
        return FoundBuildpacks(origin=text, buildpacks=tuple(buildpacks), extensions=tuple(extensions))
    if meant is None and len(buildpacks) != 1:
        meant = _whole_of(buildpacks)
    if meant is not None:
        buildpacks.sort(key=lambda one: (one.id, one.version) != meant)
    if meant is not None and (not buildpacks or (buildpacks[0].id, buildpacks[0].version) != meant):
        raise SettingsError(f"the image `{text}` says it is the buildpack {meant[0]}@{meant[1]}, which is not in it")
    if not buildpacks or (meant is None and len(buildpacks) > 1):
        there = ", ".join(f"`{one}`" for one in buildpacks) or "none"
        raise SettingsError(
            f"the image `{text}` does not say which of its buildpacks is meant; there are: {there}",
            f"name an image with the label `{BUILDPACKAGE_LABEL}`, as `pack buildpack package` makes it",
        )
    return FoundBuildpacks(origin=text, buildpacks=tuple(buildpacks), extensions=tuple(extensions))


def _whole_of(buildpacks: Sequence[Descriptor]) -> tuple[str, str] | None:
    """The only buildpack that no other of them is made of."""
    parts = {
        (one.id, one.version) for whole in buildpacks if whole.order for group in whole.order.groups for one in group
    }
    tops = [one for one in buildpacks if (one.id, one.version) not in parts]
    return (tops[0].id, tops[0].version) if len(tops) == 1 else None


def _packaged(root: Path) -> Iterator[Path]:
    """Directories of the buildpacks and extensions in an unpacked image, sorted, none of them reached through a link."""
    for kind, descriptor in zip(("buildpacks", "extensions"), _DESCRIPTORS, strict=True):
        if not is_real_subdirectory(root, "cnb", kind):
            continue
        for path in sorted((root / "cnb" / kind).glob("*/*")):
            if is_real_subdirectory(path.parent.parent, path.parent.name, path.name) and _is_file(path / descriptor):
                yield path


def _is_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def refuse_links_out(directory: Path, text: str) -> None:
    """Raise `SettingsError` where a link in the buildpack at `directory`, which `text` names, leads out of it."""
    root = directory.resolve()
    for above, names, files in os.walk(directory):
        for path in (Path(above, name) for name in (*names, *files)):
            if path.is_symlink() and (path.readlink().is_absolute() or not path.resolve().is_relative_to(root)):
                raise SettingsError(
                    f"`{text}` has a link that leads out of the buildpack: `{path.relative_to(directory)}` to `{path.readlink()}`",
                    "package the buildpack with the files themselves, or with relative links between them",
                )


def _make_plain(directory: Path, text: str) -> None:
    """Give the files of an unpacked buildpack the modes that git would. Raises `SettingsError` for a link that leads out of it."""
    refuse_links_out(directory, text)
    directory.chmod(0o755)
    for above, names, files in os.walk(directory):
        for path in (Path(above, name) for name in (*names, *files)):
            mode = path.lstat().st_mode
            if not stat.S_ISLNK(mode):
                path.chmod(0o755 if stat.S_ISDIR(mode) or mode & 0o100 else 0o644)
