"""`COPY` and `ADD` in the words of older builders: https://docs.docker.com/reference/dockerfile/#copy."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace

from buildpacks.dockerfile.arguments import InvalidWord, split_arguments
from buildpacks.dockerfile.instruction import Flag, Heredoc, Instruction
from buildpacks.dockerfile.line import parse_heredoc_sign
from buildpacks.dockerfile.work import Work
from buildpacks.dockerfile.writing import write_exec_form, write_instruction
from lifecycle.cnb.recipe import FILES_DIRECTORY

_FILE_NAME = re.compile(r"[A-Za-z0-9_@%+=:,.-]+", re.ASCII)
# buildah 1.28 and Docker 20.10 know no `u=rw`.
_MODE = re.compile(r"[0-7]{1,5}", re.ASCII)


def lower_copy(work: Work, instruction: Instruction) -> None:
    """Write a `COPY` or `ADD`: names of images and stages, here-documents as files of the context. Raises `InvalidWord`."""
    flags = tuple(flag for one in instruction.flags if (flag := _lower_flag(work, one, instruction)) is not None)
    # A URL may be in a variable, and only what is checked here may be fetched.
    is_as_written = work.is_as_written if instruction.keyword == "ADD" else work.is_common
    if is_as_written(instruction.rest) and not instruction.heredocs:
        work.write(instruction, write_instruction(instruction.keyword, flags, instruction.rest))
        return
    contents = {heredoc.name: heredoc for heredoc in instruction.heredocs}
    paths, texts, documents = [], [], []
    for word in instruction.words or split_arguments(instruction.rest):
        sign = parse_heredoc_sign(word) if instruction.heredocs else None
        if sign is not None and sign.name in contents:
            documents.append(_keep_file(work, contents[sign.name], instruction))
            continue
        value = work.value_of(word)
        paths.append(word if is_as_written(word) else work.literal(value))
        texts.append(value.text)
    if instruction.keyword == "ADD":
        work.check_values(replace(instruction, flags=(), heredocs=(), words=tuple(texts)))
    # BuildKit copies files of the context first.
    words = [*paths[:-1], *documents, *paths[-1:]]
    work.write(instruction, write_instruction(instruction.keyword, flags, write_exec_form(words)))


def _lower_flag(work: Work, flag: Flag, instruction: Instruction) -> Flag | None:
    if flag.name == "link":
        # The same files, kept in another way.
        return None
    if flag.name == "from" and flag.value is not None:
        return replace(flag, value=work.source_written(flag.value))
    if flag.value is None:
        return flag
    value = work.value_of(flag.value)
    if flag.name == "chmod" and value.is_certain and _MODE.fullmatch(value.text) is None:
        message = f"`--chmod={flag.value}` is no octal number, and this builder knows no other modes"
        work.problems.add(flag.line, "unsupported", message, "write it like `--chmod=755`", instruction.keyword)
    if work.is_common(flag.value):
        return flag
    return replace(flag, value=work.literal(value))


def _keep_file(work: Work, heredoc: Heredoc, instruction: Instruction) -> str:
    """Keep the content of a here-document, and return its path in the context."""
    content = heredoc.content
    if heredoc.expands:
        try:
            # BuildKit always takes the backslash here, and quotes for ordinary characters.
            value = work.scope.expand(content, escape="\\", process_quotes=False)
        except InvalidWord as err:
            change = f'write `<<"{heredoc.name}"` if variables are to stay as they are'
            message = f"the here-document `{heredoc.name}`: {err.reason}"
            work.problems.add(heredoc.line, "heredoc", message, change, instruction.keyword)
            return heredoc.name
        if not value.is_certain:
            work.awaits_images = True
        content = value.text
    if _FILE_NAME.fullmatch(heredoc.name) is None or heredoc.name in (".", ".."):
        message = f"the here-document `{heredoc.name}` has a name that no file can have here"
        work.problems.add(instruction.line, "heredoc", message, "take letters and digits", instruction.keyword)
        return heredoc.name
    digest = hashlib.sha256(content.encode("utf-8", "surrogateescape")).hexdigest()
    path = f"{digest[:16]}/{heredoc.name}"
    work.files[path] = content
    return f"{FILES_DIRECTORY}/{path}"
