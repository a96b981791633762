"""The difference of two texts as git and patch write it (https://www.gnu.org/software/diffutils/manual/html_node/Detailed-Unified.html)."""

from __future__ import annotations

import difflib

# The whole of a file that is no longer than a page is clearer than its parts.
_PAGE = 60
_CONTEXT = 3


def render_patch(name: str, before: str, after: str) -> str:
    """Return a patch of the file `name` for `git apply` and `patch -p1`, `""` where nothing differs. Ends of lines are the texts'."""
    old, new = _lines(before), _lines(after)
    context = len(old) if len(old) <= _PAGE else _CONTEXT
    found = difflib.unified_diff(old, new, f"a/{name}", f"b/{name}", n=context)
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in found)


def _lines(text: str) -> list[str]:
    """Lines as git counts them: nothing but a line feed ends one."""
    *whole, rest = text.split("\n")
    return [*(f"{line}\n" for line in whole), *([rest] if rest else [])]
