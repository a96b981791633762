"""Finds out from what Poetry wrote why it failed, where that stands in the repository's files, and what to change.

Poetry's words are not an interface: each rule looks for as little of them as it can, and when none fits, Poetry's own text,
which was shown before, is pointed to.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from packaging.utils import canonicalize_name

from buildpacks.installer.build_failures import explain_build_failure
from buildpacks.installer.errors import DiskFull, InstallationFailed, PackageConflict, PackageNotFound
from buildpacks.poetry.credentials import credential_variables
from buildpacks.poetry.errors import PYPROJECT
from buildpacks.poetry.failures import PoetryFailed, UnusableLock
from buildpacks.poetry.project import LOCK, PoetryProject
from lifecycle.cnb.kit import BuildpackError, mask_credentials

_NAME = r"([A-Za-z0-9][A-Za-z0-9._-]*)"
_SHOWN = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    output: str
    text: str
    """The output in one line."""
    project: PoetryProject


_Rule = Callable[[_Case], "BuildpackError | None"]


def explain(output: str, project: PoetryProject, *, doing: str) -> BuildpackError:
    """Return the error that `output`, the text of a command of Poetry that failed, tells of. `doing` completes "Poetry could not"."""
    case = _Case(output=output, text=re.sub(r"\s+", " ", output), project=project)
    for rule in _RULES:
        error = rule(case)
        if error is not None:
            return error
    last = [line.strip() for line in output.splitlines() if line.strip()][-3:]
    return PoetryFailed(
        problem=f"Poetry could not {doing}",
        details=(("Poetry says", mask_credentials("\n".join(last))[:_SHOWN]),) if last else (),
        change="Poetry's whole message is above",
    )


def place_of(name: str | None, project: PoetryProject) -> str:
    """Return `pyproject.toml:12: ` for the dependency of that name, or `pyproject.toml: `, the place that an error starts with."""
    canonical = canonicalize_name(name) if name else None
    for dependency in project.dependencies:
        if canonicalize_name(dependency.name) == canonical:
            return f"{dependency.origin}: "
    return f"{PYPROJECT}: "


def explain_credentials(url: str, project: PoetryProject) -> PoetryFailed:
    """Return the error for an index that does not let the build in; `url` is what was asked for."""
    host = urlsplit(url).netloc.rpartition("@")[2]
    sources = [source for source in project.sources if source.url and host in source.url]
    # The longest: several may be on one host.
    fitting = [source for source in sources if source.url and url.startswith(source.url.rstrip("/"))]
    source = max(fitting or sources, key=lambda found: len(found.url or ""), default=None)
    if source is None:
        return PoetryFailed(
            problem=f"the package index `{mask_credentials(url)}` does not accept the credentials",
            change="correct them in the URL of the index (`PIP_INDEX_URL`), or remove them from it",
        )
    user, password = credential_variables(source.name)
    return PoetryFailed(
        problem=f"{source.origin}: the source `{source.name}` does not accept the credentials, or wants some",
        details=(("asked for", mask_credentials(url)),),
        change=f"give them to the build: `--env {user}=…` and `--env {password}=…`",
    )


def _no_space(case: _Case) -> DiskFull | None:
    found = re.search(r"No space left on device|Disk quota exceeded|Errno (28|122)\b", case.output)
    return DiskFull() if found else None


def _lock(case: _Case) -> UnusableLock | None:
    if re.search(r"lock file is not compatible with the current version of Poetry", case.text):
        return UnusableLock(
            message="was written by a newer Poetry than that of this build, which cannot read it",
            change="build with `--env BP_POETRY_VERSION=…` and the version that wrote it, or make it again with `poetry lock`",
        )
    found = re.search(r"Unable to read the lock file \((.*?)\)\.", case.text)
    return (
        UnusableLock(message=f"cannot be read: {found[1]}", change="remove it and run `poetry lock`") if found else None
    )


def _python_range(case: _Case) -> PoetryFailed | None:
    found = re.search(
        r"supported Python range \((.*?)\) is not compatible with some of the required packages Python requirement: (.*?)(?: Because |$)",
        case.text,
    )
    if found is None:
        return None
    needs = re.findall(rf"- {_NAME} requires Python (.+?), so it will not be satisfied for Python (\S+)", found[2])
    origin = case.project.python.origin if case.project.python else PYPROJECT
    because = re.search(r"(Because .*?version solving failed)", case.text)
    details = tuple((f"{name}", f"needs Python {wanted}, not {left}") for name, wanted, left in needs[:8])
    details += (("because", because[1][:_SHOWN]),) if because else ()
    name = needs[0][0] if needs else "a package"
    return PoetryFailed(
        problem=f"{origin}: the Python range {found[1]} is wider than that of `{name}`",
        details=details,
        change="narrow `python` in `[tool.poetry.dependencies]` to what all packages support, or ask for other versions of them",
    )


def _no_such_package(case: _Case) -> PackageNotFound | None:
    gone = re.search(
        rf"Package {_NAME} \([^)]*\) not found|Could not find a matching version of package {_NAME}", case.text
    )
    unmatched = re.search(rf"depends on {_NAME} \(([^)]*)\) which doesn't match any versions", case.text)
    if gone is not None:
        name, wanted = gone[1] or gone[2], None
    elif unmatched is not None:
        name, wanted = unmatched[1], unmatched[2]
    else:
        return None
    asked = f" that fits `{wanted}`" if wanted and wanted != "*" else ""
    return PackageNotFound(
        problem=f"{place_of(name, case.project)}there is no version of `{name}`{asked} in the package indexes",
        details=(),
        change='check the spelling and the version; if it is in an index of its own, name that with `source = "…"`',
    )


def _conflict(case: _Case) -> PackageConflict | None:
    if not re.search(r"version solving failed|SolverProblemError", case.text):
        return None
    because = re.search(r"((?:Because|And because|Thus) .*?version solving failed)", case.text)
    named = [
        dependency
        for dependency in case.project.dependencies
        if because and re.search(rf"(?<![\w.-]){re.escape(dependency.name)}(?![\w-])", because[1], re.IGNORECASE)
    ]
    places = tuple((f"{dependency.origin}:", f"`{dependency.name}`") for dependency in named[:8])
    return PackageConflict(
        problem=f"{place_of(named[0].name if named else None, case.project)}the dependencies contradict each other",
        details=((("because", because[1][:_SHOWN]),) if because else ()) + places,
        change="loosen or remove one of these constraints, so that one version of each package fits all of them",
    )


def _credentials(case: _Case) -> PoetryFailed | None:
    found = re.search(r"Authorization error accessing (\S+)", case.text) or re.search(
        r"40[13] Client Error: .*? for url: (\S+)", case.text
    )
    return explain_credentials(found[1], case.project) if found else None


def _git(case: _Case) -> PoetryFailed | None:
    found = re.search(r"Failed to (?:clone|checkout) (\S+?)(?:,| at '([^']*)')", case.text)
    command = re.search(
        r"'?git'?.{0,200}?clone.{0,200}?returned non-zero|fatal: (?:repository|could not|unable)", case.text
    )
    if found is None and command is None:
        return None
    urls = [dependency for dependency in case.project.dependencies if dependency.kind == "git"]
    named = [one for one in urls if one.location and mask_credentials(one.location) in mask_credentials(case.text)]
    chosen = next(iter(named or urls), None)
    reason = re.findall(r"(?:fatal|remote): ([^\n]+)", case.output)
    place = f"{chosen.origin}: " if chosen else ""
    revision = f" at `{found[2]}`" if found and found[2] else ""
    return PoetryFailed(
        problem=f"{place}the git repository of `{chosen.name if chosen else 'a dependency'}` cannot be read{revision}",
        details=(("git", mask_credentials(reason[-1])),) if reason else (),
        change="check the URL, and that the branch, tag or commit exists; a private repository needs credentials in its URL",
    )


def _unreachable(case: _Case) -> PoetryFailed | None:
    found = re.search(r"All attempts to connect to (\S+?) failed|host='([^']+)'", case.text)
    other = re.search(
        r"Max retries exceeded|NameResolution|Connection refused|ConnectionError|Read timed out", case.text
    )
    if found is None and other is None:
        return None
    host = (found[1] or found[2]).rstrip(".") if found else "the package index"
    reasons = (
        (r"CERTIFICATE|SSLError", "its certificate is not trusted here"),
        (r"ProxyError|407", "the proxy does not let the request through"),
        (r"NameResolution|getaddrinfo|Name or service|name resolution", "its name is not known"),
        (r"[Cc]onnection refused", "it refuses the connection"),
        (r"timed? ?out", "it does not answer in time"),
    )
    reason = next((words for pattern, words in reasons if re.search(pattern, case.text)), "it does not answer")
    sources = [source for source in case.project.sources if source.url and host in source.url]
    places = [one.origin for one in case.project.dependencies if one.location and host in one.location]
    place = next((f"{origin}: " for origin in (*(source.origin for source in sources), *places)), "")
    return PoetryFailed(
        problem=f"{place}`{mask_credentials(host)}` cannot be reached: {reason}",
        change="check the network, proxy and certificates of this machine, and the sources; then build again",
    )


def _no_json(case: _Case) -> PoetryFailed | None:
    if "Expecting value: line 1 column 1" not in case.text:
        return None
    return PoetryFailed(
        problem="the package index answers with something that is neither a list of packages nor PyPI's JSON",
        change="name an index with the simple API in `PIP_INDEX_URL`, such as `https://pypi.org/simple`",
    )


def _no_file(case: _Case) -> PoetryFailed | None:
    found = re.search(rf"Unable to find installation candidates for {_NAME} \(([^)]*)\)", case.text)
    if found is None:
        return None
    return PoetryFailed(
        problem=f"{place_of(found[1], case.project)}the index has no file of `{found[1]}` {found[2]} for this Python and machine",
        change="choose another version of the package, or another Python, and lock again",
    )


def _wrong_hash(case: _Case) -> PoetryFailed | None:
    found = re.search(
        rf"Hash for {_NAME} \(([^)]*)\) from archive (\S+) not found in known hashes \(was: (\S+)\)", case.text
    )
    if found is None:
        return None
    return PoetryFailed(
        problem=f"{LOCK}: the file of `{found[1]}` {found[2]} does not have a hash that the lock knows",
        details=(("file", found[3]), ("downloaded", found[4])),
        change=WRONG_HASH,
    )


def _build(case: _Case) -> InstallationFailed | None:
    found = re.search(
        r"Note: This error originates from the build backend.*?poetry for (\S+)|Unable to determine package info for path: (\S+)",
        case.text,
    )
    failed = explain_build_failure(case.output, lambda name, _: place_of(name, case.project).removesuffix(": "))
    if failed is not None or found is None:
        return failed
    name = (found[1] or found[2]).rstrip("/").rpartition("/")[2]
    return InstallationFailed(
        problem=f"{place_of(name, case.project)}`{name}` comes as source code, and building it failed",
        details=(),
        change="ask for a version that has a wheel for this Python; what the build said is above",
    )


def _path(case: _Case) -> PoetryFailed | None:
    found = re.search(
        r"(?:Path|Directory|File) (\S+) for (\S+) does not (?:exist|seem to be a Python package)", case.text
    )
    if found is None:
        return None
    return PoetryFailed(
        problem=f"{place_of(found[2], case.project)}the path of `{found[2]}` is not a Python project",
        details=(("path", found[1]),),
        change="commit it with its `pyproject.toml`, or correct the path; it is relative to the project",
    )


WRONG_HASH = (
    "if you know that the new file is right, lock it: `poetry lock` and commit the lock; otherwise someone replaced the file:"
    " do not install it"
)
_RULES: tuple[_Rule, ...] = (
    _no_space,
    _lock,
    _wrong_hash,
    _credentials,
    _git,
    _python_range,
    _no_such_package,
    _conflict,
    _path,
    _no_file,
    _unreachable,
    _no_json,
    _build,
)
