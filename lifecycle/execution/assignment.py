"""What the executor is told beside the recipe, and what it answers: pybuild's own files between its process and the sandbox.

The executor's answer was written where untrusted code ran; whoever reads it takes it for that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lifecycle.cnb.jsontext import parse_json, render_json
from lifecycle.cnb.toml import read_regular_file, write_atomically
from lifecycle.execution.facts import RootfsFacts, parse_facts

RESULT_NAME, CONFIG_NAME, LAYERS_NAME = "result.json", "config.json", "layers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """How a recipe is to be executed."""

    declared: tuple[str, ...] = ()
    """What every stage declares as `ARG` for pybuild's own purposes, one or several names each; nothing of it is in an image."""
    arguments: Mapping[str, str] = field(default_factory=dict)
    """Values of those that have one."""
    known_image: str | None = None
    """Id of the last result: if it is that again, nothing is exported."""
    known_layers: tuple[str, ...] = ()
    """Diff ids of the layers that need not be exported."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What was made. Unless `image` was known, its config and its new layers lie beside this: gzip files, each named by the
    hexadecimal part of its diff id.
    """

    image: str
    """Id: hexadecimal digest of the config."""
    facts: RootfsFacts | None = None
    """`None` where the image was known."""


def write_assignment(path: Path, assignment: Assignment) -> None:
    """Write an assignment."""
    values = {
        "declared": assignment.declared,
        "arguments": assignment.arguments,
        "known-image": assignment.known_image,
        "known-layers": assignment.known_layers,
    }
    write_atomically(path, render_json(values).encode("utf-8", "surrogateescape"))


def read_assignment(path: Path) -> Assignment:
    """Return the assignment at `path`. Raises `ConfigurationError`."""
    document = parse_json(read_regular_file(path).decode("utf-8", "surrogateescape"), source=path.name)
    arguments = document.table("arguments")
    return Assignment(
        declared=document.strings("declared"),
        arguments={name: arguments.optional_string(name) or "" for name in arguments.values},
        known_image=document.optional_string("known-image"),
        known_layers=document.strings("known-layers"),
    )


def write_result(path: Path, result: Result) -> None:
    """Write a result."""
    values = {"image": result.image, "facts": None if result.facts is None else result.facts.values()}
    write_atomically(path, render_json(values).encode("utf-8", "surrogateescape"))


def read_result(path: Path) -> Result:
    """Return the result at `path`; links are not followed. Raises `ConfigurationError`."""
    text = read_regular_file(path, follow_links=False).decode("utf-8", "surrogateescape")
    document = parse_json(text, source=path.name)
    facts = parse_facts(document.table("facts")) if "facts" in document and document.values["facts"] else None
    return Result(image=document.string("image"), facts=facts)
