"""Repositories by git URL, in the form that `docker build` made common: `URL#ref:subdirectory`."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lifecycle.cnb.command import CommandResult, run_command
from lifecycle.cnb.deadline import Deadline
from lifecycle.cnb.mask import mask_credentials
from pybuild.errors import SourceError, ToolMissing
from pybuild.log import Log

_URL = re.compile(r"(https?|ssh|git\+ssh|git\+https|git\+file|file)://", re.IGNORECASE)
_HTTP_USER = re.compile(r"(?<=^https://)[^/]*@|(?<=^http://)[^/]*@", re.IGNORECASE)
_SCP_LIKE = re.compile(r"[A-Za-z0-9_.-]+@[A-Za-z0-9.-]+:[^/].*")
_ARCHIVE_ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
# Nothing that the repository or the user's own git configuration says may run a program here.
_SETTINGS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.symlinks=true",
    "protocol.ext.allow=never",
    "submodule.recurse=false",
    "advice.detachedHead=false",
    "filter.lfs.smudge=",
    "filter.lfs.process=",
    "filter.lfs.required=false",
)
_KEPT_VARIABLES = re.compile(
    r"PATH|HOME|LANG|SSH_AUTH_SOCK|GIT_SSL_CAINFO|GIT_SSH_COMMAND|SSL_CERT_FILE|CURL_CA_BUNDLE|XDG_CONFIG_HOME|"
    r"(https?|no|all)_proxy",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GitSource:
    """A repository that git can fetch."""

    url: str
    ref: str | None
    """Branch, tag or commit; None is the default branch."""
    subdirectory: str | None
    """Relative, without `..`."""

    @property
    def display_url(self) -> str:
        """The URL as it may be shown."""
        return mask_credentials(self.url)

    @property
    def public_url(self) -> str:
        """The URL for everybody: the same for all who may fetch it, whoever they log in as."""
        return mask_credentials(_HTTP_USER.sub("", self.url))


def parse_git_source(text: str) -> GitSource | None:
    """`text` as a git source, or None where it is a path.

    Raises:
        SourceError: a ref or subdirectory that cannot be meant.
    """
    address, _, fragment = text.partition("#")
    if not (_URL.match(address) or _SCP_LIKE.fullmatch(address)):
        return None
    if address.lower().endswith(_ARCHIVE_ENDINGS) and address.lower().startswith("http"):
        raise SourceError(
            f"`{mask_credentials(address)}` is an archive, not a git repository", "download it and give its path"
        )
    ref, _, subdirectory = fragment.partition(":")
    if ref.startswith("-"):
        raise SourceError(f"`{ref}` is not the name of a branch, tag or commit")
    if subdirectory.startswith("/") or ".." in PurePosixPath(subdirectory).parts:
        raise SourceError(f"the subdirectory `{subdirectory}` leads out of the repository")
    url = address[len("git+") :] if address.lower().startswith("git+") else address
    return GitSource(url=url, ref=ref or None, subdirectory=subdirectory.strip("/") or None)


def clone(source: GitSource, directory: Path, log: Log, *, env: Mapping[str, str], deadline: Deadline) -> str:
    """Commit that was fetched into the new directory `directory`, without history and submodules. `env` is the machine's.

    Raises:
        SourceError: git could not, in its own words and with what to do.
        ToolMissing: there is no git.
    """
    if shutil.which("git", path=env.get("PATH", os.defpath)) is None:
        raise ToolMissing("git", "git", "to fetch a repository by its URL")
    log.info(f"Fetching {source.display_url}" + (f" at {source.ref}" if source.ref else ""))
    directory.mkdir(parents=True)
    _git(["init", "--quiet"], directory, source, env, deadline)
    _git(
        ["fetch", "--quiet", "--depth", "1", "--no-tags", "--", source.url, source.ref or "HEAD"],
        directory,
        source,
        env,
        deadline,
    )
    _git(["checkout", "--quiet", "--detach", "FETCH_HEAD"], directory, source, env, deadline)
    revision = _git(["rev-parse", "HEAD"], directory, source, env, deadline).output.strip()
    if (directory / ".gitmodules").exists():
        log.notice("the repository has submodules; they are not fetched")
    return revision


def _git(
    arguments: list[str], directory: Path, source: GitSource, env: Mapping[str, str], deadline: Deadline
) -> CommandResult:
    options = [word for setting in _SETTINGS for word in ("-c", setting)]
    env = {name: value for name, value in env.items() if _KEPT_VARIABLES.fullmatch(name)}
    env |= {"GIT_TERMINAL_PROMPT": "0", "GIT_LFS_SKIP_SMUDGE": "1", "LC_ALL": "C.UTF-8"}
    env.setdefault("GIT_SSH_COMMAND", "ssh -o BatchMode=yes")
    if env.get("SSL_CERT_FILE"):
        # git has a name of its own for the bundle that everything else finds here.
        env.setdefault("GIT_SSL_CAINFO", env["SSL_CERT_FILE"])
    result = run_command(["git", *options, *arguments], env=env, cwd=directory, deadline=deadline)
    if result.status != 0:
        raise _explain(source, mask_credentials(result.output.strip()))
    return result


def _explain(source: GitSource, message: str) -> SourceError:
    lines = [line for line in message.splitlines() if line.strip()]
    last = next((line for line in reversed(lines) if line.startswith(("fatal:", "error:"))), lines[-1] if lines else "")
    said = last.removeprefix("fatal: ").removeprefix("error: ")
    lowered = message.lower()
    hint = "look whether the URL is right and the host can be reached from here"
    if "couldn't find remote ref" in lowered or "not our ref" in lowered:
        return SourceError(
            f"{source.display_url} has no branch, tag or commit `{source.ref}`", "look at the name after `#`"
        )
    if any(
        word in lowered for word in ("authentication failed", "could not read username", "permission denied", "403")
    ):
        hint = "log in with git's own credential helper, or use an ssh URL and an agent that has the key"
    elif any(word in lowered for word in ("not found", "does not exist", "does not appear to be a git repository")):
        hint = "look whether the URL is right and whether you may read the repository"
    elif "certificate" in lowered:
        hint = "name your certificate authority's bundle with `SSL_CERT_FILE` or git's `http.sslCAInfo`"
    return SourceError(f"cannot fetch {source.display_url}: {said}", hint)
