"""The YAML nodes of an environment file, with line and column, read by PyYAML's safe machinery within narrow limits.

Nodes are not turned into Python objects: an environment file consists of texts, and what YAML makes of `3.10` or `no` is
not what was meant. PyYAML reads YAML 1.1 (https://yaml.org/spec/1.1/), as conda's own reader does by and large.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import yaml
from yaml.events import AliasEvent
from yaml.nodes import MappingNode, Node, ScalarNode
from yaml.reader import Reader, ReaderError

from buildpacks.conda.errors import InvalidEnvironmentFile, invalid
from buildpacks.conda.origin import Origin

# A large environment, exported with build strings, has 1000 entries in 40 kB.
MAXIMUM_BYTES = 256 * 1024
_MAXIMUM_NODES = 6000
_MAXIMUM_DEPTH = 16
_TAG_PREFIX = "tag:yaml.org,2002:"
_TAGS = frozenset(
    f"{_TAG_PREFIX}{name}"
    for name in ("str", "int", "float", "bool", "null", "timestamp", "seq", "map", "value", "merge")
)
# What quotes can smuggle in: `"\\0"`, halves of surrogate pairs.
_UNUSABLE = re.compile("[\\x00-\\x08\\x0b-\\x1f\\x7f\\ud800-\\udfff]")
_BREAKS = "\0\r\n\x85\u2028\u2029"


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A YAML document. `root` is `None` when there is nothing but comments."""

    root: Node | None
    tab_lines: tuple[int, ...]
    """Lines in which tabs stand where only a comment or nothing follows; from 1, ascending."""


def parse_document(text: str, *, name: str) -> Document:
    """Return the one document in `text`. Raises `InvalidEnvironmentFile` with the first thing that is wrong."""
    try:
        loader = _Loader(text, name)
        root = loader.get_single_node()
    except ReaderError as err:
        raise _explain_character(text, name) from err
    except yaml.MarkedYAMLError as err:
        raise _explain(err, text, name) from err
    # A tab on a line is found once more each time that the scanner looks ahead from it.
    return Document(root=root, tab_lines=tuple(sorted(set(loader.tab_lines))))


def too_large(name: str, size: int) -> InvalidEnvironmentFile:
    """Return the error for a file of `size` bytes, which is not read."""
    message = f"has {size} bytes; an environment file may have {MAXIMUM_BYTES}"
    return invalid(
        name, None, "too-large", message, "list the packages that you use, and let the solver find the others"
    )


def origin_of(node: Node, name: str) -> Origin:
    """Return where a node starts in the file `name`."""
    return _origin(node.start_mark, name)


class _Loader(yaml.SafeLoader):
    """PyYAML's loader up to its nodes: with limits, without any tag of its own, and lenient with harmless tabs."""

    def __init__(self, text: str, name: str) -> None:
        super().__init__(text)
        self._file = name
        self._depth = 0
        self._nodes = 0
        self._sizes: dict[int, int] = {}
        self.tab_lines: list[int] = []

    def scan_to_next_token(self) -> None:
        # PyYAML takes no tab for white space. YAML does, wherever it is not indentation, and before a comment none is.
        while True:
            super().scan_to_next_token()
            if self.peek() != "\t":
                return
            length = 1
            while self.peek(length) in (" ", "\t"):
                length += 1
            if self.peek(length) not in f"#{_BREAKS}":
                return
            self.tab_lines.append(self.line + 1)
            self.forward(length)

    def compose_node(self, parent: Node | None, index: object) -> Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        origin = _origin(event.start_mark, self._file)
        before = self._nodes
        self._nodes += 1
        self._depth += 1
        if isinstance(event, AliasEvent) and event.anchor in self.anchors:
            # It is composed once, but every use of it is read. Inside of itself it would have no end.
            size = self._sizes.get(id(self.anchors[event.anchor]))
            self._nodes += _MAXIMUM_NODES if size is None else size
        if self._nodes > _MAXIMUM_NODES or self._depth > _MAXIMUM_DEPTH:
            message = f"has more than {_MAXIMUM_NODES} entries, or lists more than {_MAXIMUM_DEPTH} deep"
            change = "write one list of channels and one of packages"
            raise invalid(self._file, origin, "too-large", message, change)
        node: Node | None = super().compose_node(parent, index)  # type: ignore[arg-type]
        self._depth -= 1
        if node is None or isinstance(event, AliasEvent):
            return node
        self._sizes[id(node)] = self._nodes - before
        if node.tag not in _TAGS:
            message = f"has the YAML tag `{node.tag.replace(_TAG_PREFIX, '!!')}`"
            raise invalid(self._file, origin, "tag", message, "remove the tag: only plain values are read")
        if isinstance(node, ScalarNode) and not node.value.isprintable() and _UNUSABLE.search(node.value):
            raise invalid(self._file, origin, "encoding", "has an escaped control character", "remove it")
        if isinstance(node, MappingNode):
            self._refuse_duplicate_keys(node)
        return node

    def _refuse_duplicate_keys(self, node: MappingNode) -> None:
        seen: dict[str, Node] = {}
        for key, _ in node.value:
            first = seen.setdefault(key.value, key) if isinstance(key, ScalarNode) else key
            if first is not key:
                message = f"has the key `{key.value}` again, which line {first.start_mark.line + 1} has already"
                raise invalid(
                    self._file, origin_of(key, self._file), "duplicate-key", message, "merge the two into one"
                )


def _origin(mark: yaml.Mark, name: str) -> Origin:
    return Origin(file=name, line=mark.line + 1, column=mark.column + 1)


def _explain_character(text: str, name: str) -> InvalidEnvironmentFile:
    """A character that no YAML file can have; PyYAML tells its position, but not its line."""
    match = Reader.NON_PRINTABLE.search(text)
    position = match.start() if match else 0
    lines = text[:position].split("\n")
    origin = Origin(file=name, line=len(lines), column=len(lines[-1]) + 1)
    message = f"has the control character U+{ord(text[position]):04X}"
    return invalid(name, origin, "encoding", message, "remove it; is this a text file?")


# What PyYAML says, what it mostly is, and what to do.
_EXPLANATIONS = (
    (
        "mapping values are not allowed here",
        "a `key:` stands where none can be",
        "look at the indentation of this line and of the line before: items of one list start in the same column",
    ),
    (
        "could not find expected ':'",
        "is neither an item of a list nor a `key: value`",
        "start items of a list with `- `, also below `pip:` (`- -r requirements.txt`)",
    ),
    (
        "expected <block end>",
        "is not indented like the lines that it belongs to",
        "let items of one list, and keys of one level, start in the same column",
    ),
    (
        "block sequence entries are not allowed here",
        "a list starts where none can be",
        "begin the list on a line of its own, below its key",
    ),
    (
        "found unexpected end of stream",
        "a quote or a bracket is opened and never closed",
        "close it, or remove it",
    ),
    (
        "but found another document",
        "a second YAML document starts",
        "keep one document: remove the line `---` between the two",
    ),
)


def _explain(err: yaml.MarkedYAMLError, text: str, name: str) -> InvalidEnvironmentFile:
    problem = err.problem or err.context or "no reason given"
    mark = err.problem_mark or err.context_mark
    if problem == "could not find expected ':'":
        # PyYAML notices it later; the context is the line that lacks it.
        mark = err.context_mark or mark
    if mark is None:
        return invalid(name, None, "yaml", f"is not valid YAML: {problem}", "correct the file")
    origin = _origin(mark, name)
    if problem.startswith(r"found character '\t'"):
        is_indentation = not text[mark.index - mark.column : mark.index].strip()
        message = "is indented with a tab" if is_indentation else "has a tab after a value"
        return invalid(name, origin, "tab", message, "use spaces: YAML allows no tabs there")
    for sign, message, change in _EXPLANATIONS:
        if problem.startswith(sign):
            return invalid(name, origin, "yaml", f"is not valid YAML: {message}", change)
    if "cannot start any token" in problem:
        change = "put the value in quotes"
        return invalid(name, origin, "yaml", f"is not valid YAML: {problem}", change)
    return invalid(name, origin, "yaml", f"is not valid YAML: {problem}", "correct this line, or the one before it")
