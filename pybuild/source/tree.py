"""Copies a repository into the application directory of a build."""

from __future__ import annotations

import os
import shutil
import stat
import time
from pathlib import Path

from lifecycle.cnb.command import CommandTimeout
from lifecycle.cnb.deadline import NEVER, Deadline
from pybuild.errors import SourceError
from pybuild.log import Log
from pybuild.project.selection import NOT_DECIDED, Selection
from pybuild.store import STORE_NAME

# History of version control is large, differs between two clones of one commit, and its configuration holds credentials.
_VERSION_CONTROL = frozenset({".git", ".hg", ".svn", ".bzr"})
# What Python and its tools leave behind; the image's own interpreter makes its own.
_CACHES = frozenset(
    {"__pycache__", ".ipynb_checkpoints", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".tox", ".nox"}
)
_SECRET_NAMES = frozenset(
    {".env", "id_rsa", "id_ed25519", "id_ecdsa", ".netrc", ".pypirc", ".npmrc", "credentials.json"}
)
_FILE_MODE, _EXECUTABLE_MODE, _DIRECTORY_MODE = 0o644, 0o755, 0o755


def copy_tree(
    source: Path, target: Path, log: Log, selection: Selection | None = None, *, deadline: Deadline = NEVER
) -> None:
    """Copy the tree `source` into the existing directory `target`, with the modes that git would give its files.

    What `selection` does not keep stays behind. Links stay links and are never followed. Version control data, caches of Python
    tools and virtual environments stay behind, and so does pybuild's store where `target` lies inside `source` (a home directory
    holds both); what is neither file, directory nor link (sockets, pipes, devices) too, with a warning. Files that look like
    secrets are copied, with a warning that names them.

    Raises:
        SourceError: something cannot be read.
        lifecycle.cnb.command.CommandTimeout: `deadline` has passed.
    """
    copier = _Copier(log, target.resolve(), selection or Selection(), deadline)
    try:
        copier.copy(source.resolve(), target, Path(), NOT_DECIDED)
    except PermissionError as err:
        raise SourceError(f"cannot read `{err.filename}`: permission denied") from err
    except (FileNotFoundError, NotADirectoryError) as err:
        raise SourceError(
            f"`{err.filename}` went away while it was copied", "build again when nothing writes into the repository"
        ) from err
    copier.report()


def is_left_out(path: Path) -> bool:
    """Whether a directory is none of the application: version control data, a cache of Python's tools, a virtual environment."""
    return path.name in _VERSION_CONTROL | _CACHES or (path / "pyvenv.cfg").is_file()


def is_version_control(name: str) -> bool:
    """Whether what has this name is version control data; `.git` is a file in worktrees and submodules."""
    return name in _VERSION_CONTROL


def looks_secret(name: str) -> bool:
    """Whether a file of this name usually has passwords or keys in it."""
    return name in _SECRET_NAMES or name.endswith((".pem", ".key"))


class _Copier:
    def __init__(self, log: Log, target: Path, selection: Selection, deadline: Deadline) -> None:
        self._log = log
        self._target = target
        self._selection = selection
        self._since = time.monotonic()
        self._deadline = deadline
        self._left_out: list[str] = []
        self._deselected: list[str] = []
        self._special: list[str] = []
        self._secrets: list[str] = []

    def copy(self, source: Path, target: Path, relative: Path, above: int) -> None:
        """Copy a directory; `above` is what the selection has decided on it."""
        with os.scandir(source) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                name = relative / entry.name
                if self._deadline.has_passed():
                    # A stranger's repository can have as many files, and patterns for them, as take any time.
                    elapsed_s = time.monotonic() - self._since
                    raise CommandTimeout(argv=("copy of the repository",), elapsed_s=elapsed_s, output="")
                is_directory = entry.is_dir(follow_symlinks=False)
                decision = self._selection.decide(str(name), is_directory=is_directory, above=above)
                if not self._selection.keeps(decision) and not (is_directory and self._selection.is_include):
                    self._deselected.append(f"{name}/" if is_directory else str(name))
                elif entry.is_symlink():
                    (target / entry.name).symlink_to(os.readlink(entry.path))  # noqa: PTH115 - bytes as they are
                elif is_directory:
                    if self._is_left_out(entry):
                        self._left_out.append(f"{name}/")
                        continue
                    copied = target / entry.name
                    copied.mkdir()
                    self.copy(Path(entry.path), copied, name, decision)
                    if not self._selection.keeps(decision) and not any(copied.iterdir()):
                        # Nothing of what it holds is kept, and it was only entered to see that.
                        copied.rmdir()
                elif entry.is_file(follow_symlinks=False):
                    self._copy_file(entry, target / entry.name, name)
                else:
                    self._special.append(str(name))
        target.chmod(_DIRECTORY_MODE)

    def _is_left_out(self, directory: os.DirEntry[str]) -> bool:
        path = Path(directory.path)
        # Of the store everything stays out, not only this build: `pybuild` in the path of the target is its root.
        return is_left_out(path) or (path.name == STORE_NAME and self._target.is_relative_to(path))

    def _copy_file(self, entry: os.DirEntry[str], target: Path, name: Path) -> None:
        if is_version_control(entry.name):
            self._left_out.append(str(name))
            return
        if looks_secret(entry.name):
            self._secrets.append(str(name))
        shutil.copyfile(entry.path, target, follow_symlinks=False)
        is_executable = bool(entry.stat(follow_symlinks=False).st_mode & stat.S_IXUSR)
        target.chmod(_EXECUTABLE_MODE if is_executable else _FILE_MODE)

    def report(self) -> None:
        if self._left_out:
            self._log.detail(f"left out of the application: {_shown(self._left_out)}")
        if self._deselected:
            self._log.info(f"left out by project.toml: {_shown(self._deselected)}")
        if self._special:
            self._log.warning(f"left out, neither file, directory nor link: {_shown(self._special)}")
        if self._secrets:
            self._log.warning(
                f"these look like secrets and go into the image with the repository: {_shown(self._secrets)}"
            )


def _shown(names: list[str], most: int = 8) -> str:
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(f"`{name}`" for name in names[:most]) + rest
