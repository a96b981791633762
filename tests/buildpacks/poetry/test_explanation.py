"""What Poetry 1.8.3 writes when it fails, as it was recorded, and the errors that are made of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from buildpacks.poetry.explanation import explain
from tests.buildpacks.poetry.projects import NO_PACKAGE, read, write

# From line 5 on.
DEPENDENCIES = """\
requests = "2.31.0"
urllib3 = "<1.21"
six = "^99"
numpy = "2.2.0"
tool = { git = "https://git.example.org/tool.git", tag = "v1" }
inner = { version = "*", source = "lab" }

[[tool.poetry.source]]
name = "lab"
url = "https://packages.example.org/simple"
priority = "explicit"
"""
CONFLICT = """\
Because x depends on requests (2.31.0) which depends on urllib3 (>=1.21.1,<3), urllib3 is required.
So, because x depends on urllib3 (<1.21), version solving failed.
"""
PYTHON = """\
The current project's supported Python range (>=3.9) is not compatible with some of the required packages Python requirement:
  - numpy requires Python >=3.10, so it will not be satisfied for Python >=3.9,<3.10

Because x depends on numpy (2.2.0) which requires Python >=3.10, version solving failed.

  • Check your dependencies Python requirement: The Python requirement can be specified via the `python` or `markers` properties
"""
CONNECTION = """\
HTTPSConnectionPool(host='packages.example.org', port=443): Max retries exceeded with url: /simple/inner/ (Caused by \
NewConnectionError("HTTPSConnection(host='packages.example.org', port=443): Failed to establish a new connection: \
[Errno 111] Connection refused"))
"""


@pytest.mark.parametrize(
    ("output", "summary"),
    [
        (CONFLICT, "pyproject.toml:5: the dependencies contradict each other"),
        (PYTHON, "pyproject.toml:4: the Python range >=3.9 is wider than that of `numpy`"),
        (
            "Because x depends on six (^99) which doesn't match any versions, version solving failed.",
            "pyproject.toml:7: there is no version of `six` that fits `^99` in the package indexes",
        ),
        (
            "Failed to clone https://git.example.org/tool.git at 'v1', verify ref exists on remote.",
            "pyproject.toml:9: the git repository of `tool` cannot be read at `v1`",
        ),
        (CONNECTION, "pyproject.toml:12: `packages.example.org` cannot be reached: it refuses the connection"),
        (
            "Authorization error accessing https://packages.example.org/simple/inner/",
            "pyproject.toml:12: the source `lab` does not accept the credentials, or wants some",
        ),
        (
            "Expecting value: line 1 column 1 (char 0)",
            "the package index answers with something that is neither a list of packages nor PyPI's JSON",
        ),
        (
            "Hash for six (1.16.0) from archive six-1.16.0.whl not found in known hashes (was: sha256:00)",
            "poetry.lock: the file of `six` 1.16.0 does not have a hash that the lock knows",
        ),
        ("OSError: [Errno 28] No space left on device", "the disk is full"),
        ("Something new\nhttps://ada:s3cr3t@host/x", "Poetry could not lock"),
    ],
)
def test_the_cause_is_named_with_its_place(tmp_path: Path, output: str, summary: str) -> None:
    write(tmp_path, NO_PACKAGE + DEPENDENCIES)
    error = explain(f"Resolving dependencies...\n\n{output}\n", read(tmp_path), doing="lock")
    assert error.summary == summary
    assert error.hint
    assert "s3cr3t" not in str(error.facts)


def test_both_sides_of_a_contradiction_are_shown(tmp_path: Path) -> None:
    write(tmp_path, NO_PACKAGE + DEPENDENCIES)
    error = explain(CONFLICT, read(tmp_path), doing="lock")
    assert error.code == "package-conflict"
    facts = dict(error.facts)
    assert facts["pyproject.toml:5:"] == "`requests`"
    assert facts["pyproject.toml:6:"] == "`urllib3`"
    assert facts["because"].startswith("Because x depends on requests (2.31.0)")


def test_a_source_that_wants_credentials_names_the_variables(tmp_path: Path) -> None:
    write(tmp_path, NO_PACKAGE + DEPENDENCIES)
    output = "401 Client Error: Unauthorized for url: https://packages.example.org/simple/inner/"
    hint = explain(output, read(tmp_path), doing="lock").hint
    assert hint is not None
    assert "POETRY_HTTP_BASIC_LAB_USERNAME" in hint
    assert "POETRY_HTTP_BASIC_LAB_PASSWORD" in hint
