"""Assembles the root file system of a run base for another architecture than this machine's. Nothing of that architecture is executed.

mmdebstrap unpacks the packages of the other architecture and leaves their maintainer scripts alone. What those would make does not
depend on the architecture: users, certificates, links of alternatives, answers of debconf. It is taken from a base of this machine that
is made of the same packages; there, everything that no package ships was made by a script.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import posixpath
import re
import shutil
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from lifecycle.cnb.target import host_architecture
from lifecycle.oci.archive import FILE_TIME
from pybuild.builder.crew import Crew
from pybuild.builder.debian import CONTROL_DIRECTORY, Assembly, assemble_base
from pybuild.builder.elf import ElfFile, parse_elf
from pybuild.builder.errors import AssemblyFailed
from pybuild.builder.library_cache import find_libraries, render_cache
from pybuild.builder.value import DebianPackage

_DPKG = "var/lib/dpkg"
_STATUS, _ARCHITECTURE, _INFO = f"{_DPKG}/status", f"{_DPKG}/arch", f"{_DPKG}/info"
_APT_STATE = "var/lib/apt/extended_states"
_LIBRARY_CACHE, _LIBRARY_SETTINGS = "etc/ld.so.cache", "etc/ld.so.conf.d"
# Where the loader looks beside what the settings name
_LIBRARY_PLACES = ("/lib", "/usr/lib")
_LINK_DEPTH = 8
# What mmdebstrap leaves where it only unpacks
_LEFT_OVER = (
    "etc/apt/apt.conf.d/99mmdebstrap",
    "etc/dpkg/dpkg.cfg.d/99mmdebstrap",
    f"{_DPKG}/status-old",
    "var/log/apt",
    "etc/apt/sources.list.d",
    CONTROL_DIRECTORY,
)
_MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
# The order that dpkg writes them in (https://git.dpkg.org/cgit/dpkg/dpkg.git/tree/lib/dpkg/parse.c); the rest follows as it stands.
_FIELDS = (
    *("Package", "Essential", "Protected", "Status", "Priority", "Section", "Installed-Size", "Origin", "Maintainer"),
    *("Bugs", "Architecture", "Multi-Arch", "Source", "Version", "Replaces", "Provides", "Depends", "Pre-Depends"),
    *("Recommends", "Suggests", "Breaks", "Conflicts", "Enhances", "Conffiles", "Description"),
)
_FIELD = re.compile(r"^([^\s:]+):[ \t]*(.*\n(?:[ \t].*\n)*)", re.MULTILINE)
# An architecture may have been built once more without any change (https://wiki.debian.org/binNMU).
_REBUILD = re.compile(r"\+b\d+$")
_ELF = b"\x7fELF"

Members = dict[str, tarfile.TarInfo]
"""Members of an archive by their names, without `./` in front."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineBase:
    """A run base of this machine that is there: its packages, and its one layer."""

    packages: tuple[DebianPackage, ...]
    layer: Path


def assemble_foreign_base(
    assembly: Assembly, machine: MachineBase, archive: Path, crew: Crew, on_stage: Callable[[str], None]
) -> None:
    """Write the root file system as the tar `archive`; `on_stage` gets what is being done.

    Raises:
        AssemblyFailed: mmdebstrap failed, or a maintainer script makes what depends on the architecture.
        NoSpace: a disk is full.
    """
    with_scripts, unpacked = archive.with_suffix(".machine.tar"), archive.with_suffix(".unpacked.tar")
    assemble_base(assembly, unpacked, crew, on_stage)
    with tarfile.open(unpacked) as shipped:
        packages = tuple(_read_packages(shipped))
        if _versions(machine.packages) >= {(one.fields["Package"], _source_version(one)) for one in packages}:
            with gzip.open(machine.layer) as source, with_scripts.open("wb") as target:
                shutil.copyfileobj(source, target)
        else:
            # That base is of another day.
            own = replace(assembly, architecture=host_architecture())
            assemble_base(own, with_scripts, crew, lambda stage: on_stage(f"{stage} for linux/{own.architecture}"))
        on_stage("putting the base together")
        with tarfile.open(with_scripts) as made:
            _Merge(made, shipped, packages, assembly.architecture).write(archive)
    with_scripts.unlink()
    unpacked.unlink()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Package:
    """A package as it was unpacked. `control`: the files of its control archive by name."""

    fields: Mapping[str, str]
    control: Mapping[str, tarfile.TarInfo]

    @property
    def stem(self) -> str:
        """What its files in dpkg's directory are called."""
        name = self.fields["Package"]
        return f"{name}:{self.fields['Architecture']}" if self.fields.get("Multi-Arch") == "same" else name


class _Merge:
    """`made`: the base of this machine, with all that scripts have made; `shipped`: packages of the other architecture."""

    def __init__(
        self, made: tarfile.TarFile, shipped: tarfile.TarFile, packages: Sequence[_Package], architecture: str
    ) -> None:
        self._made, self._shipped, self._architecture = made, shipped, architecture
        self._of_made, self._of_shipped = _members(made), _members(shipped)
        self._packages = packages

    def write(self, archive: Path) -> None:
        """Write the base. Raises `AssemblyFailed`."""
        found = self._merge()
        with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as output:
            # As tar sorts: a directory before what is in it, and the name that has the content before its other names.
            for name in sorted(found, key=lambda name: name.split("/")):
                member, content = found[name]
                output.addfile(member, None if content is None else io.BytesIO(content))

    def _merge(self) -> dict[str, tuple[tarfile.TarInfo, bytes | None]]:
        shipped_here = self._shipped_by_packages()
        dropped = {name for name in self._of_made if self._is_dropped(name, shipped_here)}
        self._drop_emptied_directories(dropped)
        found: dict[str, tuple[tarfile.TarInfo, bytes | None]] = {}
        for name, member in self._of_shipped.items():
            if not _is_below(name, _LEFT_OVER) or name in self._of_made:
                found[name] = (member, _content(self._shipped, member))
        for name, member in self._of_made.items():
            if name in dropped:
                continue
            other = self._of_shipped.get(name)
            # Of a package, and another kind of thing here: scripts have moved it.
            if other is None or name not in shipped_here or member.type != other.type:
                content = _content(self._made, member)
                if content is not None and content.startswith(_ELF):
                    raise AssemblyFailed(
                        f"the run base cannot be made for linux/{self._architecture}: a package makes the program `/{name}` when it is "
                        "installed",
                        advice="leave that package out, or name an image in `[pybuild.run]` of builder.toml",
                    )
                found[name] = (member, content)
        self._put_state(found)
        if _LIBRARY_CACHE in self._of_made:
            self._put(found, _LIBRARY_CACHE, self._render_library_cache(found))
        return found

    def _render_library_cache(self, found: Mapping[str, tuple[tarfile.TarInfo, bytes | None]]) -> bytes:
        settings = sorted(name for name in found if name.startswith(f"{_LIBRARY_SETTINGS}/") and name.endswith(".conf"))
        lines = [line for name in settings for line in (found[name][1] or b"").decode().splitlines()]
        places = [line.strip() for line in lines if line.startswith("/")] + list(_LIBRARY_PLACES)
        inside: dict[str, list[str]] = {}
        for name in found:
            directory, _, file = name.rpartition("/")
            inside.setdefault(directory, []).append(file)
        # The same directory by two names counts once, by the first.
        directories = {_merged(f"{place.strip('/')}/").rstrip("/"): place for place in reversed(places)}
        libraries = [
            library
            for directory, place in reversed(list(directories.items()))
            for library in find_libraries(
                PurePosixPath(place),
                inside.get(directory, ()),
                lambda path: _read_library(str(path).strip("/"), found),
                self._architecture,
            )
        ]
        return render_cache(libraries, self._architecture)

    def _is_dropped(self, name: str, shipped_here: frozenset[str]) -> bool:
        """Whether what this machine's base has is not for the other architecture."""
        if name == _LIBRARY_CACHE or name.startswith(f"{_INFO}/"):
            return True
        if name not in shipped_here or name in self._of_shipped:
            return False
        # mmdebstrap follows the rules on what is left out less closely than dpkg: it drops links and directories as well.
        member = self._of_made[name]
        return not (name.startswith("usr/share/") and (member.isdir() or member.issym()))

    def _drop_emptied_directories(self, dropped: set[str]) -> None:
        children: dict[str, list[str]] = {}
        for name in self._of_made:
            children.setdefault(name.rpartition("/")[0], []).append(name)
        for name, inside in sorted(children.items(), reverse=True):
            if name and name not in self._of_shipped and all(child in dropped for child in inside):
                dropped.add(name)

    def _shipped_by_packages(self) -> frozenset[str]:
        """Names that packages of this machine have brought."""
        names: set[str] = set()
        for name, member in self._of_made.items():
            if name.startswith(f"{_INFO}/") and name.endswith(".list"):
                text = (_content(self._made, member) or b"").decode()
                names.update(_merged(line.strip("/")) for line in text.splitlines())
        return frozenset(names)

    def _put_state(self, found: dict[str, tuple[tarfile.TarInfo, bytes | None]]) -> None:
        """What dpkg and apt would know if they had installed the packages."""
        for package in self._packages:
            for name, member in package.control.items():
                if name == "control":
                    continue
                content = _content(self._shipped, member) or b""
                if name == "list":
                    content = _render_list(content)
                path = f"{_INFO}/{package.stem}.{name}"
                found[path] = (_file_like(member, path, len(content)), content)
        stanzas = sorted(self._render_stanza(package) for package in self._packages)
        self._put(found, _STATUS, "".join(f"{stanza}\n" for stanza in stanzas).encode())
        self._put(found, _ARCHITECTURE, f"{self._architecture}\n".encode())
        if _APT_STATE in found:
            text = (found[_APT_STATE][1] or b"").decode()
            here = f"Architecture: {host_architecture()}\n"
            self._put(found, _APT_STATE, text.replace(here, f"Architecture: {self._architecture}\n").encode())

    def _put(self, found: dict[str, tuple[tarfile.TarInfo, bytes | None]], name: str, content: bytes) -> None:
        found[name] = (_file_like(self._of_made[name], name, len(content)), content)

    def _render_stanza(self, package: _Package) -> str:
        fields = {**package.fields, "Status": "install ok installed"}
        if "conffiles" in package.control:
            names = (_content(self._shipped, package.control["conffiles"]) or b"").decode().split()
            lines = (f" {name} {self._checksum(name)}" for name in names)
            fields["Conffiles"] = "".join(f"\n{line}" for line in lines)
        order = [name for name in _FIELDS if name in fields] + [name for name in fields if name not in _FIELDS]
        return "".join(f"{name}:{'' if fields[name].startswith(chr(10)) else ' '}{fields[name]}\n" for name in order)

    def _checksum(self, name: str) -> str:
        member = self._of_shipped.get(_merged(name.strip("/")))
        content = b"" if member is None else _content(self._shipped, member) or b""
        # dpkg's own kind of checksum
        return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _read_packages(shipped: tarfile.TarFile) -> Iterator[_Package]:
    by_package: dict[str, dict[str, tarfile.TarInfo]] = {}
    for name, member in _members(shipped).items():
        parts = name.split("/")
        if parts[0] == CONTROL_DIRECTORY and len(parts) == 3:
            by_package.setdefault(parts[1], {})[parts[2]] = member
    for control in by_package.values():
        text = (_content(shipped, control["control"]) or b"").decode()
        yield _Package(fields={match[1]: match[2].rstrip("\n") for match in _FIELD.finditer(text)}, control=control)


def _source_version(package: _Package) -> str:
    return _REBUILD.sub("", package.fields["Version"])


def _versions(packages: Sequence[DebianPackage]) -> set[tuple[str, str]]:
    return {(package.name, _REBUILD.sub("", package.version)) for package in packages}


def _members(archive: tarfile.TarFile) -> Members:
    return {member.name.removeprefix("./").rstrip("/") or ".": member for member in archive.getmembers()}


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes | None:
    """Of a file; `None` of what has none, also of a further name of a file."""
    stream = archive.extractfile(member) if member.isreg() else None
    return None if stream is None else stream.read()


def _read_library(name: str, found: Mapping[str, tuple[tarfile.TarInfo, bytes | None]]) -> ElfFile | None:
    """The library that a name, through links, leads to."""
    for _ in range(_LINK_DEPTH):
        member, content = found.get(_merged(name), (None, None))
        if member is None or not (member.issym() or member.islnk()):
            return None if content is None else parse_elf(content)
        target = member.linkname if member.issym() else f"/{member.linkname.removeprefix('./')}"
        name = posixpath.normpath(posixpath.join("/", posixpath.dirname(_merged(name)), target)).strip("/")
    return None


def _file_like(member: tarfile.TarInfo, name: str, size: int) -> tarfile.TarInfo:
    made = tarfile.TarInfo(f"./{name}")
    made.size, made.mode, made.mtime = size, member.mode & 0o755, FILE_TIME
    return made


def _render_list(names: bytes) -> bytes:
    """The names of a package's archive as dpkg keeps them."""
    lines = (line.removeprefix(b".").rstrip(b"/") or b"/." for line in names.splitlines())
    return b"".join(line + b"\n" for line in lines)


def _merged(name: str) -> str:
    """Where a file is since everything is below /usr."""
    first, slash, _ = name.partition("/")
    return f"usr/{name}" if slash and first in _MERGED else name


def _is_below(name: str, places: tuple[str, ...]) -> bool:
    return any(name == place or name.startswith(f"{place}/") for place in places)
