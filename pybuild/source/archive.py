"""Repositories that come as a tar or zip archive."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path, PurePosixPath

from lifecycle.cnb.command import run_command
from lifecycle.cnb.deadline import Deadline
from lifecycle.oci.unpack import write_only_to
from pybuild.errors import SourceError, ToolMissing
from pybuild.log import Log

_ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
# An archive that unpacks to more than this is a mistake or an attack.
_MOST_BYTES = 20 * 2**30
_MOST_FILES = 1_000_000

# Runs with the archive on standard input where nothing but the target directory can be written: see `extract_archive`.
_EXTRACT = """
import os, stat, sys, tarfile, zipfile
from pathlib import Path
source, target, most_files, most_bytes = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
os.umask(0o022)
seen, total = 0, 0
def count(size):
    global seen, total
    seen, total = seen + 1, total + max(size, 0)
    if seen > most_files:
        sys.exit(f"it has more than {most_files} entries")
    if total > most_bytes:
        sys.exit(f"it unpacks to more than {most_bytes / 2**30:g} GiB")
try:
    if zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as archive:
            names = set()
            for member in archive.infolist():
                count(member.file_size)
                path = Path(member.filename)
                if path.is_absolute() or ".." in path.parts:
                    sys.exit(f"the entry {member.filename!r} leads out of the archive")
                if member.flag_bits & 1:
                    sys.exit("it is encrypted")
                if member.filename in names:
                    sys.exit(f"it has {member.filename!r} twice")
                names.add(member.filename)
                mode = member.external_attr >> 16
                if stat.S_ISLNK(mode):
                    (Path(target) / path).parent.mkdir(parents=True, exist_ok=True)
                    os.symlink(archive.read(member), os.fsencode(Path(target) / path))
                    continue
                written = archive.extract(member, target)
                if mode & 0o100 and not member.is_dir():
                    os.chmod(written, 0o755)
    else:
        # The kernel keeps the extraction in; early releases of Python 3.10 have no filters at all.
        trusted = {"filter": "fully_trusted"} if hasattr(tarfile, "fully_trusted_filter") else {}
        with tarfile.open(source) as archive:
            for member in archive:
                count(member.size)
                path = Path(member.name)
                if path.is_absolute() or ".." in path.parts:
                    sys.exit(f"the entry {member.name!r} leads out of the archive")
                if member.isreg() or member.isdir() or member.issym() or member.islnk():
                    member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
                    member.uid, member.gid, member.uname, member.gname = os.getuid(), os.getgid(), "", ""
                    archive.extract(member, target, **trusted)
except (tarfile.TarError, zipfile.BadZipFile, EOFError, ValueError, OSError, NotImplementedError, RuntimeError) as err:
    sys.exit(str(err) or type(err).__name__)
"""


def is_archive(path: Path) -> bool:
    """Whether the name of `path` is that of an archive."""
    return path.is_file() and path.name.lower().endswith(_ENDINGS)


def extract_archive(
    path: Path,
    directory: Path,
    log: Log,
    *,
    deadline: Deadline,
    most_files: int = _MOST_FILES,
    most_bytes: int = _MOST_BYTES,
) -> Path:
    """Directory that holds the repository, below the new directory `directory`.

    An archive whose only entry is one directory, as the download links of git hosts make them, is that directory.
    Python's own extraction filters have been got around, so a separate process extracts, which bubblewrap lets write
    nothing but `directory`.

    Raises:
        SourceError: it cannot be read, or it reaches out of itself.
        ToolMissing: there is no bubblewrap.
    """
    program = shutil.which("bwrap")
    if program is None:
        raise ToolMissing("bwrap", "bubblewrap", "to unpack an archive safely")
    directory.mkdir(parents=True)
    log.info(f"Unpacking {path.name}")
    confined = [program, *write_only_to(directory)]
    confined += ["--unshare-all", "--cap-drop", "ALL", "--die-with-parent", "--new-session"]
    limits = (str(most_files), str(most_bytes))
    command = [*confined, "--", sys.executable, "-I", "-c", _EXTRACT, str(path.resolve()), str(directory), *limits]
    result = run_command(command, env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"}, deadline=deadline)
    if result.status != 0:
        said = result.output.strip().splitlines()[-1] if result.output.strip() else f"status {result.status}"
        raise SourceError(f"cannot unpack `{path}`: {said}", "make the archive again, for example with `git archive`")
    entries = list(directory.iterdir())
    if len(entries) == 1 and entries[0].is_dir() and not entries[0].is_symlink():
        log.detail(f"the archive holds one directory, `{PurePosixPath(entries[0].name)}`; that is the repository")
        return entries[0]
    return directory
