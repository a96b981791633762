"""Changes to the lists of a YAML text that leave everything else in it as it is: comments, order, indentation, ends of lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from yaml.nodes import Node, ScalarNode, SequenceNode

# In a plain scalar these would begin something else, at its start or inside a list in brackets.
_SPECIAL_STARTS = "!&*-?:|>@`\"'%#{}[],"
_SPECIAL_IN_BRACKETS = frozenset("[]{},")


class CannotEdit(Exception):
    """The text is written in a way that no change is known for; a person has to make it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """The characters from `start` to before `end` become `text`."""

    start: int
    end: int
    text: str


def apply(text: str, edits: Sequence[Edit]) -> str:
    """Return the text with all edits made. Raises `CannotEdit` when two of them overlap."""
    done = text
    border = len(text) + 1
    for edit in sorted(edits, key=lambda edit: (edit.start, edit.end), reverse=True):
        if edit.end > border:
            raise CannotEdit
        done = f"{done[: edit.start]}{edit.text}{done[edit.end :]}"
        border = edit.start
    return done


def end_of_line(text: str) -> str:
    """Return what ends the lines of the text."""
    first = text.find("\n")
    return "\r\n" if first > 0 and text[first - 1] == "\r" else "\n"


def replace_scalar(node: ScalarNode, value: str, *, in_brackets: bool = False) -> Edit:
    """Return the edit that makes the scalar mean `value`, in quotes where it was so or has to be."""
    start, end = node.start_mark.index, node.end_mark.index
    if node.style in ("|", ">"):
        raise CannotEdit
    quote = node.style or ""
    if not quote and (value[:1] in _SPECIAL_STARTS or (in_brackets and not _SPECIAL_IN_BRACKETS.isdisjoint(value))):
        quote = '"'
    if quote and (quote in value or "\\" in value):
        raise CannotEdit
    return Edit(start=start, end=end, text=f"{quote}{value}{quote}")


def edit_list(text: str, node: SequenceNode, changes: Sequence[str | None], added: Sequence[str]) -> list[Edit]:
    """Return the edits that make of each item what `changes` has at its place (itself: kept; `None`: gone), with `added` after
    the last. Items that are no scalars can only be kept: their place in `changes` does not matter.
    """
    return (_edit_brackets if node.flow_style else _edit_lines)(text, node, changes, added)


def new_lines(text: str, node: SequenceNode | None, values: Sequence[str]) -> str:
    """Return `values` as the lines of a list that is indented as the list `node` is; no end of line after the last."""
    is_like = node is not None and bool(node.value) and not node.flow_style
    before = _before(text, node.value[0]) if node is not None and is_like else "  - "
    return end_of_line(text).join(f"{before}{value}" for value in values)


def line_start(text: str, index: int) -> int:
    """Return where the line of a character starts."""
    return text.rfind("\n", 0, index) + 1


def line_end(text: str, index: int) -> int:
    """Return where the line of a character ends, before what ends it."""
    end = text.find("\n", index)
    if end < 0:
        return len(text)
    return end - 1 if end > index and text[end - 1] == "\r" else end


def _before(text: str, item: Node) -> str:
    """What stands before an item on its line: the indentation and the dash."""
    before = text[line_start(text, item.start_mark.index) : item.start_mark.index]
    if before.strip(" \t") != "-":
        raise CannotEdit
    return before


def _edit_lines(text: str, node: SequenceNode, changes: Sequence[str | None], added: Sequence[str]) -> list[Edit]:
    edits = []
    for item, change in zip(node.value, changes, strict=True):
        if not isinstance(item, ScalarNode) or change == item.value:
            continue
        before = _before(text, item)
        if change is not None:
            edits.append(replace_scalar(item, change))
            continue
        start = item.start_mark.index - len(before)
        end = line_end(text, item.end_mark.index)
        # With what ends the line; the last line of a file may have none, and takes the one before it along.
        after = end + len(end_of_line(text)) if end < len(text) else end
        edits.append(Edit(start=start, end=min(after, len(text)), text=""))
    if added:
        last = node.value[-1]
        if not isinstance(last, ScalarNode):
            raise CannotEdit
        end = line_end(text, last.end_mark.index)
        lines = new_lines(text, node, added)
        if changes[-1] is None:
            # The line of the last item goes: its end of line is what separates the new ones from what follows.
            gone = edits.pop()
            ending = text[end : gone.end]
            edits.append(Edit(start=gone.start, end=gone.end, text=f"{lines}{ending}"))
        else:
            edits.append(Edit(start=end, end=end, text=f"{end_of_line(text)}{lines}"))
    return edits


def _edit_brackets(text: str, node: SequenceNode, changes: Sequence[str | None], added: Sequence[str]) -> list[Edit]:
    items = node.value
    inside = text[node.start_mark.index + 1 : node.end_mark.index - 1]
    if not items:
        start = node.start_mark.index + 1
        return [Edit(start=start, end=start + len(inside), text=", ".join(added))]
    kept = [
        (item, change)
        for item, change in zip(items, changes, strict=True)
        if not isinstance(item, ScalarNode) or change is not None
    ]
    quote = next((item.style or "" for item in items if isinstance(item, ScalarNode)), "")
    quote = quote if quote in ("'", '"') else ""
    new = [f"{quote}{value}{quote}" for value in added]
    if "#" in inside:
        if len(kept) < len(items):
            raise CannotEdit
        edits = _replacements(items, changes)
        end = items[-1].end_mark.index
        return [*edits, *([Edit(start=end, end=end, text="".join(f", {value}" for value in new))] if new else [])]
    separator = text[items[0].end_mark.index : items[1].start_mark.index] if len(items) > 1 else ", "
    written = [_written(text, item, change) for item, change in kept]
    start, end = items[0].start_mark.index, items[-1].end_mark.index
    return [Edit(start=start, end=end, text=separator.join((*written, *new)))]


def _replacements(items: Sequence[Node], changes: Sequence[str | None]) -> list[Edit]:
    return [
        replace_scalar(item, change, in_brackets=True)
        for item, change in zip(items, changes, strict=True)
        if isinstance(item, ScalarNode) and change is not None and change != item.value
    ]


def _written(text: str, item: Node, change: str | None) -> str:
    """An item as it will stand in the text."""
    if isinstance(item, ScalarNode) and change is not None and change != item.value:
        return replace_scalar(item, change, in_brackets=True).text
    return text[item.start_mark.index : item.end_mark.index]
