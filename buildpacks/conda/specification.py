"""What an environment file asks for, as values with the place of every entry."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from yaml.nodes import MappingNode, Node, SequenceNode

from buildpacks.conda.decoding import decode
from buildpacks.conda.dependency import package_name
from buildpacks.conda.disguise import name_other_yaml, recognise
from buildpacks.conda.document import MAXIMUM_BYTES, origin_of, parse_document, too_large
from buildpacks.conda.errors import InvalidEnvironmentFile, Problem, invalid
from buildpacks.conda.origin import Entry, Origin
from buildpacks.conda.sections import (
    Findings,
    is_empty,
    read_channels,
    read_dependencies,
    read_keys,
    read_variables,
)

__all__ = [
    "Entry",
    "EnvironmentFile",
    "InvalidEnvironmentFile",
    "Origin",
    "Problem",
    "parse_environment_file",
    "read_environment_file",
]

_KEYS = frozenset({"name", "prefix", "channels", "dependencies", "variables"})
# conda-lock's (https://conda.github.io/conda-lock/src_environment_yml/): right in the file, and of no effect here.
_KEYS_OF_CONDA_LOCK = frozenset({"category", "platforms", "pip-repositories"})
_SHOWN = 5
_SELECTOR = re.compile(r".*#\s*\[\s*(not\s+)?(linux|win|osx|unix|arm|aarch|x86|py)[^\]]*\]\s*$")
_R_PACKAGE = re.compile(r"(r|bioconductor)-")


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentFile:
    """An environment file whose shape is right; its channels are not judged, its specifications not yet parsed."""

    name: str
    """Relative to the app directory, as the person who wrote it calls it."""
    text: str
    """All of it, decoded, without a byte order mark; ends of lines as they were."""
    encoding: str
    """`utf-8`, `utf-8-sig`, `utf-16-le` or `utf-16-be`."""
    channels: tuple[Entry, ...] | None
    """As listed, `nodefaults` included; `None`: no such key, or nothing in it."""
    dependencies: tuple[Entry, ...]
    """conda's, as listed."""
    pip: tuple[Entry, ...]
    """The lines of the `pip:` section, as listed."""
    has_pip_section: bool
    variables: tuple[tuple[str, str], ...]
    """Names and values as written, in the file's order."""
    notices: tuple[str, ...]
    """What the user should know although nothing is wrong, one line each."""
    dependencies_origin: Origin | None
    """Where the key `dependencies` stands; `None`: there is none."""

    @property
    def installs_nothing(self) -> bool:
        """Whether there is no package in it: the untouched template of many a repository."""
        return not self.dependencies and not self.pip


def read_environment_file(path: Path, *, name: str) -> EnvironmentFile:
    """Return what the file `path`, which people know as `name`, asks for. Raises `InvalidEnvironmentFile`."""
    try:
        with path.open("rb") as stream:
            data = stream.read(MAXIMUM_BYTES + 1)
        size = max(len(data), path.stat().st_size)
    except OSError as err:
        message = f"cannot be read: {err.strerror or err}"
        raise invalid(name, None, "file", message, "commit a regular file that everybody may read") from err
    if size > MAXIMUM_BYTES:
        raise too_large(name, size)
    return parse_environment_file(data, name=name)


def parse_environment_file(data: bytes, *, name: str) -> EnvironmentFile:
    """Return what the bytes of the file `name` ask for. Raises `InvalidEnvironmentFile`."""
    if len(data) > MAXIMUM_BYTES:
        raise too_large(name, len(data))
    decoded = decode(data, name=name)
    disguise = recognise(decoded.text)
    if disguise is not None:
        origin = Origin(file=name, line=disguise.line, column=disguise.column)
        raise invalid(name, origin, disguise.kind, disguise.message, disguise.change)
    document = parse_document(decoded.text, name=name)
    findings = Findings(name=name)
    if decoded.encoding.startswith("utf-16"):
        findings.notices.append(
            f"{name} is in UTF-16 and was decoded: save it as UTF-8, which is what other programs read"
        )
    if document.tab_lines:
        where = _list_lines(document.tab_lines)
        findings.notices.append(
            f"{name} has tabs before comments or ends of lines ({where}): use spaces, other programs refuse tabs"
        )
    keys = _read_root(document.root, findings)
    values = {key: value for key, (_, value) in keys.items()}
    channels = read_channels(values.get("channels"), findings)
    packages = read_dependencies(values.get("dependencies"), findings)
    variables = read_variables(values.get("variables"), findings)
    if findings.problems:
        raise InvalidEnvironmentFile(name=name, problems=_in_order(findings.problems))
    findings.notices.extend(_advise(name, decoded.text, values, packages.conda))
    return EnvironmentFile(
        name=name,
        text=decoded.text,
        encoding=decoded.encoding,
        channels=channels,
        dependencies=packages.conda,
        pip=packages.pip or (),
        has_pip_section=packages.pip is not None,
        variables=variables,
        notices=tuple(findings.notices),
        dependencies_origin=origin_of(keys["dependencies"][0], name) if "dependencies" in keys else None,
    )


def _read_root(root: Node | None, findings: Findings) -> dict[str, tuple[Node, Node]]:
    """The top-level keys with their nodes; nothing for a file without content. Raises `InvalidEnvironmentFile`."""
    if root is None or is_empty(root):
        return {}
    if not isinstance(root, MappingNode):
        what = "a list" if isinstance(root, SequenceNode) else "one text"
        message = f"is {what}, not an environment: `channels:` and `dependencies:` are missing"
        change = "put the packages below `dependencies:`, each as `  - name`"
        raise invalid(findings.name, origin_of(root, findings.name), "not-an-environment", message, change)
    keys = dict(read_keys(root, findings))
    foreign = [key for key in keys if key not in _KEYS | _KEYS_OF_CONDA_LOCK]
    _refuse_other_yaml(root, keys, foreign, findings)
    for key in foreign:
        _judge_key(key, keys, findings)
    return keys


def _refuse_other_yaml(root: Node, keys: Collection[str], foreign: Sequence[str], findings: Findings) -> None:
    """Raise `InvalidEnvironmentFile` when nothing in the file is an environment's. Many files have a `name`."""
    other = name_other_yaml(keys)
    is_environment = not foreign or any(key in keys for key in _KEYS - {"name"}) or ("name" in keys and other is None)
    if is_environment or any(_find_meant(key, keys) for key in foreign):
        return
    what = other or f"no environment: its keys are {', '.join(f'`{key}`' for key in foreign[:_SHOWN])}"
    change = "give it another name, or commit an environment file with `channels:` and `dependencies:`"
    raise invalid(findings.name, origin_of(root, findings.name), "not-an-environment", f"is {what}", change)


def _judge_key(key: str, keys: dict[str, tuple[Node, Node]], findings: Findings) -> None:
    node = keys[key][0]
    meant = _find_meant(key, keys)
    if key == "pip":
        change = "indent it below `dependencies:`, as `  - pip:`"
        findings.add(node, "key", "`pip` stands at the top level, where nothing reads it", change)
    elif key == "<<":
        findings.add(node, "key", "merges another mapping into this one (`<<`)", "write the lines out")
    elif meant is not None:
        findings.add(node, "key", f"`{key}` is not a key of environment files", f"write `{meant}`")
    else:
        line = node.start_mark.line + 1
        findings.notices.append(f"{findings.name}:{line}: `{key}` is not a key of environment files, and is ignored")


def _find_meant(key: str, keys: Collection[str]) -> str | None:
    """The key that was perhaps meant; ignoring a misspelt one would leave its packages out without a word."""
    near = difflib.get_close_matches(key.lower(), sorted(_KEYS - {"name"} - set(keys)), n=1, cutoff=0.8)
    return near[0] if near else None


def _advise(name: str, text: str, values: dict[str, Node], dependencies: Sequence[Entry]) -> list[str]:
    notices = []
    if "prefix" in values:
        notices.append(f"{name}: `prefix` is ignored: pybuild decides where the environment lies")
    notices.extend(
        f"{name}: `{key}` is conda-lock's, and is ignored" for key in sorted(_KEYS_OF_CONDA_LOCK & values.keys())
    )
    selectors = [number for number, line in enumerate(text.splitlines(), start=1) if _SELECTOR.match(line)]
    if selectors:
        notices.append(
            f"{name}: selectors in comments have no effect, the packages are installed ({_list_lines(selectors)})"
        )
    wanted = {package_name(entry.text): entry for entry in dependencies}
    python = wanted.get("python")
    if python is not None and package_name(python.text) == python.text.rpartition("::")[2].strip().lower():
        notices.append(
            f"{python.origin}: `python` has no version: the newest that fits is taken; write `python=3.12` or the like"
        )
    elif python is None and dependencies and not any(_R_PACKAGE.match(package or "") for package in wanted):
        notices.append(
            f"{name}: `python` is not listed: it is there only if a package needs it, in the newest version that fits"
        )
    return notices


def _list_lines(numbers: Sequence[int]) -> str:
    shown = ", ".join(str(number) for number in numbers[:_SHOWN])
    more = len(numbers) - _SHOWN
    return f"line{'s' if len(numbers) > 1 else ''} {shown}{f' and {more} more' if more > 0 else ''}"


def _in_order(problems: list[Problem]) -> tuple[Problem, ...]:
    return tuple(
        sorted(problems, key=lambda problem: (problem.origin.line, problem.origin.column) if problem.origin else (0, 0))
    )
