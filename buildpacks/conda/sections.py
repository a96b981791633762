"""The sections of an environment file: YAML nodes in, texts with their places out, and all that is wrong with them.

The keys are conda's: https://docs.conda.io/projects/conda/en/stable/user-guide/tasks/manage-environments.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from buildpacks.conda.dependency import find_mistake
from buildpacks.conda.document import origin_of
from buildpacks.conda.errors import Problem, ProblemKind
from buildpacks.conda.origin import Entry
from lifecycle.cnb.kit import mask_credentials

_STRING = "tag:yaml.org,2002:str"
_NULL = "tag:yaml.org,2002:null"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# What decides which code every program of the image runs, or which the environment and the contract set themselves
# (https://man7.org/linux/man-pages/man8/ld.so.8.html). `LD_LIBRARY_PATH` only adds places; many environments need it.
_RESERVED_VARIABLES = frozenset(
    {
        "PATH",
        "HOME",
        "USER",
        "IFS",
        "ENV",
        "BASH_ENV",
        "PYTHONHOME",
        "GLIBC_TUNABLES",
        "CONDA_PREFIX",
        "CONDA_DEFAULT_ENV",
    }
)
_RESERVED_PREFIXES = ("LD_", "CNB_", "BP_", "BPL_")


@dataclass(slots=True, kw_only=True)
class Findings:
    """What reading the sections of the file `name` brings to light, in the order in which it is found."""

    name: str
    problems: list[Problem] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    def add(self, node: Node, kind: ProblemKind, message: str, change: str) -> None:
        """Note something to change."""
        # Both may quote the file, where a URL may hold a password.
        message, change = mask_credentials(message), mask_credentials(change)
        self.problems.append(Problem(origin=origin_of(node, self.name), kind=kind, message=message, change=change))

    def entry(self, node: Node, text: str) -> Entry:
        """Return `text` with the place of its node."""
        return Entry(text=text, origin=origin_of(node, self.name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependencies:
    """The packages of an environment file: conda's, and the lines that are pip's (`None`: no such section)."""

    conda: tuple[Entry, ...] = ()
    pip: tuple[Entry, ...] | None = None


def is_empty(node: Node | None) -> bool:
    """Whether there is no value, or none but YAML's null."""
    return node is None or node.tag == _NULL


def read_channels(node: Node | None, findings: Findings) -> tuple[Entry, ...] | None:
    """Return the channels as listed; `None` when there are none at all."""
    if node is None or is_empty(node):
        return None
    if not isinstance(node, SequenceNode):
        findings.add(
            node, "channels", "`channels` is not a list", "write each channel in a line of its own: `  - conda-forge`"
        )
        return None
    channels = []
    for child in node.value:
        text = _read_text(child, findings, kind="channels", what="a channel")
        if text is None:
            continue
        if re.search(r"[\s,]", text):
            change = "write one channel an item, each in a line of its own that starts with `- `"
            findings.add(child, "channels", f"`{text}` is not the name of one channel", change)
        channels.append(findings.entry(child, text))
    return tuple(channels) or None


def read_dependencies(node: Node | None, findings: Findings) -> Dependencies:
    """Return the packages as listed."""
    if node is None or is_empty(node):
        return Dependencies()
    if not isinstance(node, SequenceNode):
        change = "write each package in a line of its own: `  - numpy=1.26`"
        findings.add(node, "dependencies", "`dependencies` is not a list", change)
        return Dependencies()
    conda: list[Entry] = []
    sections: list[Node] = []
    pip: list[Entry] = []
    for child in node.value:
        if not isinstance(child, MappingNode):
            text = _read_text(child, findings, kind="dependency", what="a package")
            if text is not None:
                conda.append(findings.entry(child, text))
                _check_dependency(child, text, findings)
            continue
        for key, value in child.value:
            if not isinstance(key, ScalarNode) or key.value != "pip":
                _explain_mapping(key, value, findings)
            elif sections:
                line = sections[0].start_mark.line + 1
                findings.add(
                    key, "pip", f"there is a second `pip:`, besides that of line {line}", "merge the two into one"
                )
            else:
                sections.append(key)
                pip.extend(_read_pip(value, findings))
    return Dependencies(conda=tuple(conda), pip=tuple(pip) if sections else None)


def read_variables(node: Node | None, findings: Findings) -> tuple[tuple[str, str], ...]:
    """Return names and values in the file's order. A value is what is written: `1`, `true` and `1.10` stay what they are."""
    if node is None or is_empty(node):
        return ()
    if not isinstance(node, MappingNode):
        findings.add(
            node, "variable", "`variables` is not a mapping", "write each in a line of its own: `  NAME: value`"
        )
        return ()
    variables = []
    for key, value in node.value:
        name = key.value if isinstance(key, ScalarNode) else ""
        if not _VARIABLE.fullmatch(name):
            change = "use letters, digits and `_`, with no digit in front"
            findings.add(key, "variable", f"`{name}` cannot be the name of a variable", change)
        elif name in _RESERVED_VARIABLES or (name.startswith(_RESERVED_PREFIXES) and name != "LD_LIBRARY_PATH"):
            change = "remove it; a program that needs it can be started with it"
            findings.add(key, "variable", f"`{name}` cannot be set for every program of the image", change)
        elif not isinstance(value, ScalarNode):
            findings.add(value, "variable", f"the value of `{name}` is not a text", "write one value, in quotes")
        elif "\n" in value.value:
            findings.add(value, "variable", f"the value of `{name}` has several lines", "write it in one line")
        else:
            variables.append((name, "" if is_empty(value) else value.value))
    return tuple(variables)


def _read_pip(node: Node, findings: Findings) -> tuple[Entry, ...]:
    if is_empty(node):
        return ()
    if not isinstance(node, SequenceNode):
        change = "start each line below it with `- `, also `- -r requirements.txt`"
        findings.add(node, "pip", "what follows `pip:` is not a list", change)
        return ()
    items = []
    for child in node.value:
        if isinstance(child, MappingNode):
            findings.add(
                child, "pip", "is a `key: value`, not a requirement", "write `- name==version`; a URL goes into quotes"
            )
            continue
        text = _read_text(child, findings, kind="pip", what="a requirement")
        if text is not None:
            items.append(findings.entry(child, text))
    return tuple(items)


def _read_text(node: Node, findings: Findings, *, kind: ProblemKind, what: str) -> str | None:
    """The text of a list's item without the blanks around it, or `None`, and why not."""
    if not isinstance(node, ScalarNode):
        findings.add(
            node, kind, f"is a list or a mapping where {what} should be", "look at the indentation and the dashes"
        )
    elif is_empty(node) or not node.value.strip():
        findings.add(node, kind, "is an empty item", "remove it")
    elif node.tag != _STRING:
        found = "a number" if re.match(r"[\d.+-]", node.value) else "one of YAML's words for true and false"
        named = (
            f"`python={node.value}` if that is the version you want"
            if re.match(r"[23]\.\d+$", node.value)
            else "a name"
        )
        findings.add(node, kind, f"`{node.value}` is {found}, not {what}", f"write {named}, or put it into quotes")
    elif len(node.value.strip().splitlines()) > 1 or node.start_mark.line != _last_line(node):
        # YAML folds an item that is indented below another into the text of that one.
        shown = " ".join(node.value.split())
        change = "let all items of one list start in the same column; what belongs to `pip` goes below `- pip:`, with its colon"
        findings.add(node, kind, f"is one item over several lines: `{shown}`", change)
    else:
        text: str = node.value.strip()
        return text
    return None


def _last_line(node: ScalarNode) -> int:
    # The end of a block scalar (`|`) is the start of what follows it.
    return node.end_mark.line if node.style not in ("|", ">") else node.start_mark.line


def _check_dependency(node: Node, text: str, findings: Findings) -> None:
    mistake = find_mistake(text)
    if mistake is not None:
        findings.add(node, mistake.kind, mistake.message, mistake.change)


def _explain_mapping(key: Node, value: Node, findings: Findings) -> None:
    """`- pip>=22:`, `- python: 3.9`, `- numpy:`, `- npm:`; conda knows no other than `- pip:`."""
    name = key.value if isinstance(key, ScalarNode) else ""
    if re.match(r"pip\b", name, re.IGNORECASE) and isinstance(value, SequenceNode):
        pinned = "" if name.lower() == "pip" else f"`- {name}` in a line of its own, and "
        findings.add(key, "pip", f"`{name}:` cannot have a list", f"write {pinned}`- pip:` before the list")
    elif isinstance(value, ScalarNode) and name:
        version = "" if is_empty(value) else value.value
        spec = f"{name}{version}" if re.match(r"[=<>!~]", version) else f"{name}={version}" if version else name
        findings.add(key, "dependency", f"`{name}:` is a key, not a package", f"write `- {spec}`, without a colon")
    else:
        change = "list packages as `- name` or `- name=version`; only `- pip:` has a list of its own"
        findings.add(key, "dependency", f"`{name}:` is not known here", change)


def read_keys(root: MappingNode, findings: Findings) -> Mapping[str, tuple[Node, Node]]:
    """Return the nodes of key and value for every key at the top level. What is no text cannot be one."""
    keys: dict[str, tuple[Node, Node]] = {}
    for key, value in root.value:
        if isinstance(key, ScalarNode):
            keys[key.value] = (key, value)
        else:
            findings.add(key, "key", "is a key that is no text", "remove it")
    return keys
