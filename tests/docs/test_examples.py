"""Examples of the documentation say what can be said: files are read by what reads them, commands are those that there are.

That they do what they say is what the tests of single pages try.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import tomli

from lifecycle.cnb.buildpack import read_descriptor
from pybuild.builder.definition import read_definition
from pybuild.commands import cli
from pybuild.project.descriptor import read_project
from tests.documents import PAGES, Block, blocks_of, program_of

BLOCKS = [block for page in PAGES for block in blocks_of(page)]
TOML = [block for block in BLOCKS if block.language == "toml"]
PROGRAMS = [page for page in PAGES if blocks_of(page, "python")]
_SHELL = frozenset({"", "bash", "console", "sh"})
_INLINE = re.compile(r"`pybuild ([^`|\\]*)[^`]*`")


def commands_in(block: Block) -> Iterator[list[str]]:
    """The words after `pybuild` of each of its commands in a block, up to what the shell takes for itself."""
    for line in block.text.replace("\\\n", " ").splitlines():
        if (found := re.match(r"(?:\$ )?pybuild ((?:[^#]|(?<=\S)#)*)", line)) is not None:
            words = shlex.shlex(found[1], posix=True, punctuation_chars=True)
            words.whitespace_split, words.commenters = True, ""
            yield _up_to_operator(list(words))


def parse(words: list[str], *, shortened: bool = False) -> None:
    """Read a command line without executing it. Raises click's errors."""
    command: click.Command = cli
    context = click.Context(cli)
    while isinstance(command, click.Group) and words:
        following = command.get_command(context, words[0])
        assert following is not None, f"there is no command `{words[0]}`"
        command, words = following, words[1:]
        context = click.Context(command, parent=context)
    # In a sentence, an option may stand without its value.
    values = [*words, "VALUE"] if shortened and words and words[-1].startswith("-") else words
    _, more, _ = command.make_parser(context).parse_args(list(values))
    assert shortened or not more, f"too many arguments: {more}"


def _up_to_operator(words: list[str]) -> list[str]:
    operators = (index for index, word in enumerate(words) if set(word) <= set("<>&|;()"))
    return words[: next(operators, len(words))]


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language in _SHELL], ids=str)
def test_commands_have_these_options(block: Block) -> None:
    for words in commands_in(block):
        parse(words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name + "/" + page.name)
def test_commands_in_sentences_have_these_options(page: Path) -> None:
    for found in _INLINE.finditer(page.read_text(encoding="utf-8")):
        parse(found[1].split(), shortened=True)


@pytest.mark.parametrize("page", PROGRAMS, ids=lambda page: page.name)
def test_python_is_python(page: Path) -> None:
    compile(program_of(page).replace("from __future__ import annotations\n", ""), page.name, "exec")


@pytest.mark.parametrize("block", TOML, ids=str)
def test_toml_is_what_its_reader_takes(block: Block, tmp_path: Path) -> None:
    document = tomli.loads(block.text)
    if "_" in document or "io" in document:
        # Where a page shows a part, the beginning of the file is shown before it.
        beginning = "" if "_" in document else '[_]\nschema-version = "0.2"\n'
        project = read_project(_write(tmp_path / "project.toml", beginning + block.text))
        assert project.warnings == ()
    elif "buildpack" in document:
        _write(tmp_path / "buildpack.toml", block.text)
        assert read_descriptor(tmp_path).id == document["buildpack"]["id"]
    else:
        assert "pybuild" in document, f"{block}: of which file is it a part?"
        # The same of a builder.toml; what is right below its table stays there.
        beginning = "" if "extends" in document["pybuild"] else '[pybuild]\nextends = "default"\n'
        text = beginning + block.text.replace("[pybuild]\n", "", 1 if beginning else 0)
        definition = read_definition(_write(tmp_path / "builder.toml", text))
        assert definition.order


def _write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_what_is_wrong_is_found() -> None:
    with pytest.raises(click.NoSuchOption):
        parse(["build", ".", "--ouptut", "oci:image"])
    with pytest.raises(AssertionError, match="there is no command `biuld`"):
        parse(["biuld"])
    with pytest.raises(AssertionError, match="too many arguments"):
        parse(["completion", "bash", "zsh"])


def test_commands_are_found_as_a_shell_reads_them() -> None:
    text = "$ pybuild run --env A='b c' x#y:z \\\n    more >log 2>&1 &  # why\nsaid\npybuild fix .   # it\n"
    block = Block(page="", line=1, language="console", name=None, text=text)
    assert list(commands_in(block)) == [["run", "--env", "A=b c", "x#y:z", "more"], ["fix", "."]]
    assert sum(1 for block in BLOCKS if block.language in _SHELL for _ in commands_in(block)) > 30
