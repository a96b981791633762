"""docs/writing-a-buildpack.md, followed to the letter."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.integration.command import CHECKOUT, Pybuild
from tests.integration.document import File, follow, read_document, shows
from tests.integration.registry import free_port

DOCUMENT = CHECKOUT / "docs" / "writing-a-buildpack.md"


@pytest.mark.integration
def test_who_follows_it_has_a_buildpack(pybuild: Pybuild, tmp_path: Path) -> None:
    text = DOCUMENT.read_text(encoding="utf-8").replace("8000", str(free_port()))
    directory = tmp_path / "reader"
    directory.mkdir()
    path = os.pathsep.join([str(Path(sys.executable).parent), pybuild.env["PATH"]])
    env = pybuild.with_env(PATH=path, PYTHONDONTWRITEBYTECODE="1", no_proxy="127.0.0.1").env
    assert follow(text, directory, env) >= 12


def test_its_files_and_commands_are_found() -> None:
    names = [step.name for step in read_document(DOCUMENT.read_text(encoding="utf-8")) if isinstance(step, File)]
    assert names[:4] == ["notes/index.md", "pages/buildpack.toml", "pages/detect.py", "pages/build.py"]
    assert "motd/bin/detect" in names


@pytest.mark.parametrize(
    ("shown", "output", "answer"),
    [
        (("a",), "a\n", True),
        (("a",), "a\nb\n", False),
        (("...", "b"), "a\nb\n", True),
        (("...", "b", "..."), "b\n", True),
        (("...", "b"), "a\n", False),
        (("a …",), "a 1 s\n", True),
        ((), "a\n", False),
    ],
)
def test_output_is_compared_with_what_is_shown(shown: tuple[str, ...], output: str, answer: bool) -> None:
    assert shows(shown, output) is answer
