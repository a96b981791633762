"""The pages of the project, and the examples between the fences in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.interpreter import ROOT

PAGES = tuple(
    path
    for pattern in ("*.md", "docs/*.md", "docs/decisions/*.md", "bench/README.md", "buildpacks/*/README.md")
    for path in sorted(ROOT.glob(pattern))
)
_BLOCK = re.compile(
    r"(?:`(?P<name>[^`\n]+)`[^`\n]*:\n\n)?^```(?P<language>[^\n`]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """What stands between fences."""

    page: str
    """Path of the page from the top of the repository."""
    line: int
    """Where it begins there, its fence included."""
    language: str
    """What the fence says, or empty."""
    name: str | None
    """The file that the reader is to write, where the line before ends in its name (`notes/index.md`:)."""
    section: str = ""
    """The heading above it, or empty."""
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def read_blocks(text: str, page: str = "") -> Iterator[Block]:
    """The blocks of a page, in order."""
    blocks = list(_BLOCK.finditer(text))
    # Comments of a shell look like headings.
    inside = [range(*one.span("text")) for one in blocks]
    headings = [one for one in _HEADING.finditer(text) if not any(one.start() in block for block in inside)]
    for found in blocks:
        yield Block(
            page=page,
            line=text.count("\n", 0, found.start("language")) + 1,
            language=found["language"],
            name=found["name"],
            section=next((one[1] for one in reversed(headings) if one.end() <= found.start()), ""),
            text=found["text"],
        )


def blocks_of(path: Path, language: str | None = None) -> tuple[Block, ...]:
    """Those of a page, or its blocks of one language."""
    page = path.relative_to(ROOT).as_posix()
    blocks = read_blocks(path.read_text(encoding="utf-8"), page)
    return tuple(block for block in blocks if language in (None, block.language))


def program_of(path: Path) -> str:
    """What the blocks of Python in a page are together, which go on from one to the next."""
    return "\n".join(block.text for block in blocks_of(path, "python"))
