"""The shape of one item of `dependencies:`; whether its version means something is the solver's question.

conda's own rules: https://docs.conda.io/projects/conda-build/en/stable/resources/package-spec.html#package-match-specifications
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from buildpacks.conda.errors import ProblemKind

_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?")
_MARKER = re.compile(
    r";\s*\(?\s*['\"]?(python_version|python_full_version|sys_platform|platform_\w+|os_name|implementation_\w+|extra)\b"
)
_EXTRAS = re.compile(r"\[\s*[\w.-]+(\s*,\s*[\w.-]+)*\s*\]")
_VERSION = re.compile(r"[\w.*+!=<>~,|() -]*")
_OPERATOR_AT_END = re.compile(r"(?:[=<>!~]=?|,|\|)\s*$")
_SHELL = re.compile(r"[;&`]|\$|>>|\|\|")
_PIP_OPTION = re.compile(
    r"(-r|-e|-c|--requirement|--editable|--constraint|-i|--index-url|--extra-index-url|-f|--find-links)\b"
)
_OPTION_WITHIN = re.compile(r"\s--?[A-Za-z]")
_SECOND_SPEC = re.compile(r"(?:^|[\s,])[A-Za-z_][\w.-]*\s*[=<>!~]")
_DIRECT = re.compile(r"[a-z][a-z0-9+.-]*://|git\+|.*\.(whl|conda|tar\.bz2|tar\.gz|zip)$|[.~]{0,2}/", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """What is wrong with an item, and what to do."""

    kind: ProblemKind = "dependency"
    message: str
    change: str


def package_name(text: str) -> str | None:
    """Return the name of the package that an item asks for, in lower case; `None` when it has none that can be read."""
    match = _NAME.match(text.rpartition("::")[2].strip())
    return match[0].lower() if match else None


def find_mistake(text: str) -> Mistake | None:
    """Return what is wrong with the shape of an item, or `None`."""
    text = text.strip()
    if not text:
        return Mistake(message="is empty", change="remove the item")
    if text.startswith("-"):
        return _explain_option(text)
    # A channel may be a URL; what follows it may not.
    spec = text.rpartition("::")[2].strip()
    if _MARKER.search(spec):
        name = package_name(spec)
        change = f"write `- {name}` alone, or put the line below `- pip:`"
        return Mistake(message=f"`{text}` has an environment marker, which is pip's; conda has none", change=change)
    if " @ " in spec:
        return Mistake(message=f"`{text}` is a direct reference, which is pip's", change="put the line below `- pip:`")
    if _DIRECT.match(spec):
        change = "name the package and its version; what pip installs from a URL or a path goes below `- pip:`"
        return Mistake(message=f"`{text}` is a file or a URL, not the name of a package", change=change)
    if _OPTION_WITHIN.search(spec):
        change = "remove it; channels are listed in `channels:`, options of pip stand below `- pip:`"
        return Mistake(message=f"`{text}` has an option of a command line", change=change)
    if _SHELL.search(spec):
        change = "write the name of a package and its version, nothing else"
        return Mistake(
            kind="shell",
            message=f"`{text}` looks like a command line; nothing is executed or replaced here",
            change=change,
        )
    return _check_spec(text, spec)


def _explain_option(text: str) -> Mistake:
    if text.startswith("- "):
        change = "look at the indentation: one `- ` an item"
        return Mistake(message=f"`{text}` starts with a second dash", change=change)
    if _PIP_OPTION.match(text) and not re.match(r"-c\s+[\w-]+$", text):
        return Mistake(message=f"`{text}` is an option of pip", change="put the line below `- pip:`")
    change = "remove it; channels are listed in `channels:`" if re.match(r"-c\b|--channel\b", text) else "remove it"
    return Mistake(message=f"`{text}` is an option of a command line, not a package", change=change)


def _check_spec(text: str, spec: str) -> Mistake | None:
    match = _NAME.match(spec)
    if match is None:
        return Mistake(
            message=f"`{text}` does not start with the name of a package", change="write `name` or `name=version`"
        )
    name, rest = match[0], spec[match.end() :]
    if _EXTRAS.match(rest):
        change = f"write `- {name}`, or put the line below `- pip:`"
        return Mistake(message=f"`{text}` asks for extras, which are pip's; conda has none", change=change)
    version = re.sub(r"\[[^\]]*=[^\]]*\]\s*$", "", rest).strip()
    if version.startswith("==="):
        return Mistake(message=f"`{text}` has `===`, which is pip's", change=f"write `{name}=={version[3:].strip()}`")
    swapped = re.match(r"=([<>])", version)
    if swapped:
        right = f"{swapped[1]}={version[2:].strip()}"
        return Mistake(message=f"`{text}` has `={swapped[1]}`, which means nothing", change=f"write `{name}{right}`")
    if _OPERATOR_AT_END.search(version):
        return Mistake(message=f"`{text}` ends without a version", change=f"write the version, or `{name}` alone")
    if version.startswith(",") or re.match(r"[A-Za-z_-]+([ ,]|$)", version) or _SECOND_SPEC.search(version):
        change = "write one package an item, each in a line of its own that starts with `- `"
        return Mistake(message=f"`{text}` names several packages", change=change)
    if version and not (rest[0] in " =<>!~[" and _VERSION.fullmatch(version)):
        wrong = next((character for character in version if not _VERSION.fullmatch(character)), version[0])
        change = f"write `{name}`, `{name}=1.2` or `{name}>=1.2,<2`"
        return Mistake(
            message=f"`{text}` cannot be read as a package and its version, because of `{wrong}`", change=change
        )
    return None
