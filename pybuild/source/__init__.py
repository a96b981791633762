"""Where a repository comes from, and its copy that a build may write in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lifecycle.cnb.deadline import Deadline
from pybuild.errors import SourceError
from pybuild.log import Log
from pybuild.project.descriptor import FILE_NAME, Project, find_project
from pybuild.source.archive import extract_archive, is_archive
from pybuild.source.git import GitSource, clone, parse_git_source
from pybuild.source.tree import copy_tree
from pybuild.source.value import Source

__all__ = ["Source", "fetch_source", "source_identity"]


def source_identity(text: str) -> str:
    """Text that names the same repository from one build to the next, whatever the spelling and the directory."""
    git = parse_git_source(text)
    return f"{git.url}#:{git.subdirectory}" if git else str(Path(text).resolve())


def fetch_source(
    text: str,
    app_dir: Path,
    scratch: Path,
    log: Log,
    *,
    env: Mapping[str, str],
    deadline: Deadline,
    project: Project | None = None,
) -> Source:
    """Put the repository that `text` names into the empty directory `app_dir`, but for what its project.toml leaves out.

    `text` is a directory, a git URL (`https`, `ssh`, `file`, `git@host:path`) with an optional `#ref:subdirectory`, or a
    tar or zip archive. `scratch` is an empty directory for what is fetched on the way. `project` takes the place of the
    repository's own project.toml. `env` is the machine's environment.

    Raises:
        SourceError: it cannot be had, and why.
        lifecycle.cnb.errors.ConfigurationError: project.toml does not say what it must.
    """
    git = parse_git_source(text)
    if git is not None:
        return _fetch_git(git, app_dir, scratch, log, env=env, deadline=deadline, project=project)
    path = Path(text)
    if path.is_dir():
        found = project or find_project(path)
        copy_tree(path.resolve(), app_dir, log, found.selection, deadline=deadline)
        return Source(kind="directory", location=str(path), revision=None, subdirectory=None, project=found)
    if not path.exists():
        raise SourceError(
            f"`{text}` does not exist",
            "give a directory, an archive (.zip, .tar, .tar.gz, ...) or a git URL such as https://host/group/project.git",
        )
    if not is_archive(path):
        raise SourceError(
            f"`{text}` is neither a directory nor an archive that pybuild reads",
            "archives are .zip, .tar, .tar.gz, .tgz, .tar.bz2 and .tar.xz",
        )
    root = extract_archive(path, scratch / "archive", log, deadline=deadline)
    found = project or find_project(root, shown=FILE_NAME)
    copy_tree(root, app_dir, log, found.selection, deadline=deadline)
    return Source(kind="archive", location=str(path), revision=None, subdirectory=None, project=found)


def _fetch_git(
    git: GitSource,
    app_dir: Path,
    scratch: Path,
    log: Log,
    *,
    env: Mapping[str, str],
    deadline: Deadline,
    project: Project | None,
) -> Source:
    checkout = scratch / "git"
    revision = clone(git, checkout, log, env=env, deadline=deadline)
    root = checkout
    if git.subdirectory:
        root = (checkout / git.subdirectory).resolve()
        if not root.is_relative_to(checkout.resolve()):
            raise SourceError(f"the subdirectory `{git.subdirectory}` leads out of the repository")
        if not root.is_dir():
            raise SourceError(f"{git.display_url} has no directory `{git.subdirectory}` at {revision[:12]}")
    found = project or find_project(root, shown=FILE_NAME)
    copy_tree(root, app_dir, log, found.selection, deadline=deadline)
    return Source(kind="git", location=git.public_url, revision=revision, subdirectory=git.subdirectory, project=found)
