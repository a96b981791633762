"""Finds out from the output of uv or pip what is wrong, where that stands in the requirement files, and what to change.

The tools' words are not an interface: each rule looks for as little of them as it can, and when none fits, the tool's own
text, which was shown before, is pointed to.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass

from packaging.utils import canonicalize_name

from buildpacks.installer.build_failures import explain_build_failure
from buildpacks.installer.credentials import without_credentials
from buildpacks.installer.errors import DiskFull, InstallationFailed, PackageConflict, PackageNotFound
from buildpacks.installer.foreign_failures import explain_foreign
from buildpacks.installer.reader import RequirementLine, RequirementSet
from buildpacks.installer.tools import Python
from lifecycle.cnb.kit import mask_credentials

# What an error ends with when no rule fits, and when no versions fit all requirements.
UNEXPLAINED = "the requirements could not be installed"
CONTRADICTION = "the requirements contradict each other"
_NAME = r"([A-Za-z0-9][A-Za-z0-9._-]*)"
# Modules that are not called like the package that has them.
_PACKAGE_OF_MODULE = {
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python-headless",
    "dateutil": "python-dateutil",
    "dotenv": "python-dotenv",
    "git": "gitpython",
    "pil": "pillow",
    "serial": "pyserial",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "usb": "pyusb",
    "yaml": "pyyaml",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    output: str
    text: str
    """The tool's output, with its wrapped lines joined."""
    found: RequirementSet
    python: Python


_Rule = Callable[[_Case], "InstallationFailed | DiskFull | None"]


def diagnose(output: str, found: RequirementSet, python: Python) -> InstallationFailed | DiskFull:
    """Return the error that `output`, the text of a tool that failed, tells of."""
    # uv wraps its explanations to the width of a terminal.
    case = _Case(output=output, text=re.sub(r"[ \t]*\n[ \t]+(?!\S*==)", " ", output), found=found, python=python)
    for rule in _RULES:
        error = rule(case)
        if error is not None:
            return error
    failed_build = explain_build_failure(output, lambda name, built: _place_of_build(name, built, found))
    return failed_build or _failure(
        UNEXPLAINED,
        change="the message of the installer is above; nothing was kept of it",
    )


def _no_space(case: _Case) -> DiskFull | None:
    match = re.search(r"No space left on device|Disk quota exceeded|os error (28|122)\b|Errno (28|122)\b", case.output)
    if match is None:
        return None
    path = re.search(r"write to file `([^`]+)`", case.output)
    return DiskFull(path=path[1] if path else None)


def _wrong_hash(case: _Case) -> InstallationFailed | None:
    if not re.search(r"[Hh]ash mismatch|DO NOT MATCH THE HASHES", case.text):
        return None
    name = re.search(rf"[Hh]ash mismatch for `{_NAME}", case.text) or re.search(
        rf"{_NAME}(?:==\S+)? from (?:https?|file):", case.text
    )
    expected = re.search(r"Expected:?\s+((?:sha\d+[:\s]\s*)?[0-9a-f]{32,})", case.text)
    computed = re.search(r"(?:Computed:|Got)\s+((?:sha\d+[:\s]\s*)?[0-9a-f]{32,})", case.text)
    details = tuple(
        (label, match[1]) for label, match in (("expected", expected), ("downloaded", computed)) if match is not None
    )
    package = name[1] if name else None
    return _failure(
        f"{_prefix(package, case.found)}the file of `{package or 'a package'}` does not have the hash that is written for it",
        details=details,
        change="correct the hash if you know that the new file is right; otherwise someone replaced the file: do not install it",
    )


def _missing_git(case: _Case) -> InstallationFailed | None:
    if re.search(r"Git executable not found|Cannot find command 'git'", case.text):
        return _failure("the build image has no `git`, which a requirement needs", change="use a builder that has git")
    if not re.search(r"Git operation failed|git (clone|fetch|checkout)\b.*(exit|did not run)", case.text):
        return None
    lines = [line for line in case.found.requirements if line.requirement.kind == "vcs"]
    named = [
        line for line in lines if (line.requirement.url or "").partition("://")[2].rpartition("@")[2] in case.text
    ] or lines
    reason = re.findall(r"(?:fatal|remote): (\S[^\n]*)", case.output)
    place = f"{named[0].origin}: " if named else ""
    return _failure(
        f"{place}the git repository of a requirement cannot be read",
        details=(("git", mask_credentials(reason[-1])),) if reason else (),
        change="check the URL and the revision; a private repository needs credentials: `git+https://${TOKEN}@host/…` and `--env`",
    )


def _unreachable(case: _Case) -> InstallationFailed | None:
    url = re.search(
        r"(?:Failed to fetch:|Could not fetch URL|while fetching|for url[: (]+)\s*`?(\w+://[^\s`)]+)", case.text
    )
    retried = re.search(r"Retrying \(Retry\(|NewConnectionError|ConnectTimeoutError|Max retries exceeded", case.text)
    if url is None and retried is None:
        return None
    reasons = (
        (r"dns error|lookup address|Name or service not known|NameResolution|getaddrinfo", "its name is not known"),
        (r"[Cc]onnection refused", "it refuses the connection"),
        (r"certificate|CERTIFICATE|UnknownIssuer", "its certificate is not trusted here"),
        (r"timed? ?out|deadline", "it does not answer in time"),
        (r"407|proxy", "the proxy does not let the request through"),
        (r"\b401\b|\b403\b|Unauthorized|Forbidden", "it wants other credentials"),
        (r"\b429\b", "it has had too many requests"),
        (r"\b5\d\d\b", "it has a fault of its own"),
        (r"\b404\b", "there is no such file"),
        (r"unreachable|offline|Network", "there is no network"),
    )
    reason = next((words for pattern, words in reasons if re.search(pattern, case.text)), "it does not answer")
    indexes = case.found.options.indexes.index_urls
    location = url[1] if url else next(iter(indexes), "the package index")
    shown = mask_credentials(location)
    place = _place_of_url(location, case.found)
    return _failure(
        f"{place}`{shown}` cannot be read: {reason}",
        change="check the network, proxy and certificates of this machine, and the index options; then build again",
    )


def _place_of_url(url: str, found: RequirementSet) -> str:
    """Where a URL comes from that could not be read: a requirement, an index option, or the package that is looked up."""
    plain = without_credentials(url)
    lines = [
        line.origin for line in found.requirements if line.requirement.url and line.requirement.url in (url, plain)
    ]
    options = [origin for origin, index in found.options.index_places if plain.startswith(without_credentials(index))]
    place = next((str(origin) for origin in (*lines, *options)), None) or _place(_page_name(plain), found)
    return f"{place}: " if place else ""


def _page_name(url: str) -> str | None:
    """The package whose page that is in a package index: `https://pypi.org/simple/six/`."""
    name = url.rstrip("/").rpartition("/")[2]
    return name if re.fullmatch(_NAME, name) else None


def _refused(case: _Case) -> InstallationFailed | None:
    """A package that is not found may be in an index that refused to answer, and that goes first."""
    match = re.search(r"An index URL \((\S+)\) could not be queried due to a lack of valid", case.output) or re.search(
        r"Error, Credentials not correct for (\S+)", case.output
    )
    if match is None:
        return None
    url = match[1]
    return _failure(
        f"{_place_of_url(url, case.found)}the package index `{mask_credentials(url)}` does not accept the credentials",
        change="correct them where they come from: the URL of the index, `.netrc`, pip's configuration or `PIP_INDEX_URL`",
    )


def _not_found(case: _Case) -> InstallationFailed | None:
    match = re.search(rf"{_NAME} was not found in", case.text) or re.search(
        rf"satisfies the requirement {_NAME}\S* .*?\(from versions: none\)", case.text
    )
    if match is None:
        return None
    name = match[1]
    known = _PACKAGE_OF_MODULE.get(name.lower())
    if known:
        change = f"the package is called `{known}`: write that"
    elif name in sys.stdlib_module_names:
        change = f"`{name}` is a part of Python: remove the line"
    else:
        change = (
            "check the spelling; if the package is in another index, name that with `--extra-index-url` in the file"
        )
    problem = f"{_prefix(name, case.found)}there is no package `{name}` in the package index"
    return PackageNotFound(problem=problem, details=(), change=change)


def _foreign(case: _Case) -> InstallationFailed | None:
    if case.python.foreign is None:
        return None
    built = re.search(r"Failed to (?:download and )?build (?:editable )?`([^`]+)`", case.text)

    def place(name: str) -> str:
        found = _place_of_build(name, built[1] if built else None, case.found)
        return f"{found}: " if found else ""

    return explain_foreign(case.text, case.python.foreign, place)


def _python_too_old_or_new(case: _Case) -> InstallationFailed | None:
    needs = re.search(rf"{_NAME}==\S+ depends on Python([<>=!~][^\s,]*)", case.text)
    ignored = re.search(rf"Requires-Python ([<>=!~][^\s;]*).*?satisfies the requirement {_NAME}", case.text, re.S)
    match = (needs[1], needs[2]) if needs else (ignored[2], ignored[1]) if ignored else None
    tags = re.search(
        rf"{_NAME}(?:[=<>!]=?\S*)? has no (?:usable )?wheels? with a matching (Python|platform)", case.text
    )
    if match is None and tags is None:
        return None
    hint = re.search(r"hint: ([^\n]+)", case.text)
    details = (("installer", hint[1].strip()),) if hint else ()
    if match is not None:
        name, wanted = match
        problem = f"{_prefix(name, case.found)}`{name}` needs Python {wanted}, and this is {case.python.version}"
    else:
        assert tags is not None  # noqa: S101 - one of them is
        name = tags[1]
        kind = f"Python {case.python.minor}" if tags[2] == "Python" else "this kind of machine"
        problem = f"{_prefix(name, case.found)}`{name}` has no file for {kind} in the version that is asked for"
    return _failure(
        problem,
        details=details,
        change="ask for another version of the package, or for another Python: write it into `.python-version`",
    )


def _no_such_version(case: _Case) -> InstallationFailed | None:
    match = re.search(rf"there (?:is|are) no versions? of {_NAME}(\S*)", case.text)
    pip = re.search(rf"satisfies the requirement {_NAME}(\S*) .*?\(from versions: ([^)]+)\)", case.text)
    only = re.search(rf"only (?:the following versions of )?{_NAME}(\S*) (?:is|are) available", case.text)
    chosen = match or only or pip
    if chosen is None:
        return None
    name, version = chosen[1], chosen[2].rstrip(",")
    details = (("newest", ", ".join(pip[3].split(", ")[-5:])),) if pip else ()
    asked = "" if chosen is only else version
    return PackageNotFound(
        problem=f"{_prefix(name, case.found)}there is no version of `{name}` that fits `{name}{asked}`",
        details=details,
        change=f"ask for a version that exists: https://pypi.org/project/{canonicalize_name(name)}/#history lists PyPI's",
    )


def _conflict(case: _Case) -> InstallationFailed | None:
    if not re.search(r"No solution found|conflicting dependencies|ResolutionImpossible", case.text):
        return None
    names = {canonicalize_name(name) for name in re.findall(_NAME, case.text)}
    lines = [line for line in (*case.found.requirements, *case.found.constraints) if line.requirement.name in names]
    named = _those_that_are_required(lines, case.text) or lines
    places = tuple((f"{line.origin}:", mask_credentials(line.requirement.text)) for line in named[:12])
    reason = re.search(r"Because (.+?)(?:, we can conclude|\n\n|$)", case.text, re.S)
    details = ((("because", re.sub(r"\s+", " ", reason[1])[:400]),) if reason else ()) + places
    first = f"{named[0].origin}: " if named else ""
    return PackageConflict(
        problem=f"{first}{CONTRADICTION}",
        details=details,
        change="loosen or remove one of these lines, so that one version of each package fits all of them",
    )


def _those_that_are_required(lines: list[RequirementLine], text: str) -> list[RequirementLine]:
    """The lines whose own words the explanation repeats."""
    plain = re.sub(r"\s", "", text)
    return [line for line in lines if re.sub(r"\s|;.*", "", line.requirement.text) in plain]


_RULES: tuple[_Rule, ...] = (
    _no_space,
    _wrong_hash,
    _missing_git,
    _unreachable,
    _refused,
    _foreign,
    _python_too_old_or_new,
    _not_found,
    _no_such_version,
    _conflict,
)


def _place(name: str | None, found: RequirementSet) -> str | None:
    if name is None:
        return None
    canonical = canonicalize_name(name)
    lines = (*found.requirements, *found.constraints)
    return next((str(line.origin) for line in lines if line.requirement.name == canonical), None)


def _place_of_build(name: str | None, built: str | None, found: RequirementSet) -> str | None:
    for line in found.requirements:
        path = line.requirement.path
        if built is not None and path is not None and re.search(rf"{re.escape(path.as_posix())}(?![\w/.-])", built):
            return str(line.origin)
    place = _place(name, found)
    return place or (found.requirements[0].origin.file if found.requirements else None)


def _prefix(name: str | None, found: RequirementSet) -> str:
    place = _place(name, found)
    if place is not None:
        return f"{place}: "
    # Something that a requirement needs: the files that were read are all that can be named.
    return f"{found.requirements[0].origin.file}: " if found.requirements else ""


def _failure(
    problem: str, *, details: tuple[tuple[str, str], ...] = (), change: str | None = None
) -> InstallationFailed:
    return InstallationFailed(problem=problem, details=details, change=change)
