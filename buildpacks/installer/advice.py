"""What to write instead of a line that is no requirement: the mistakes that real requirement files have."""

from __future__ import annotations

import re

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?(?:\[[^\]]*\])?"
_VERSION = r"v?[0-9][A-Za-z0-9.!+*_-]*"
_COMMAND = re.compile(
    r"(?:[$!%>]\s*)?(?:sudo\s+)?(?:python[0-9.]*\s+-m\s+)?(?:pip[0-9.]*|uv\s+pip)\s+install\s+(.*)", re.I
)
_OTHER_COMMAND = re.compile(
    r"(?:[$!%>]\s*)?(?:sudo\s+)?(conda|mamba|apt|apt-get|brew|npm|git|curl|wget|cd)\s+\S+", re.I
)
_ONE_SIGN = re.compile(rf"({_NAME})\s*=\s*({_VERSION})", re.ASCII)
_TURNED_SIGN = re.compile(rf"({_NAME})\s*(?:=[-~<>!]|=\s+=|:|:=|=:)\s*=?\s*({_VERSION})", re.ASCII)
_TWO_WORDS = re.compile(rf"({_NAME})\s+\(?({_VERSION})\)?", re.ASCII)
_QUOTED = re.compile(r"""(["'`])(.+)\1,?""")
_WINDOWS_PATH = re.compile(r"(?:.*@\s*)?(?:file:/+)?[A-Za-z]:[\\/]")


def advise(line: str, reason: str) -> tuple[str, str]:
    """Return what is wrong with `line` and what to write. `reason` is how the parser put it.

    `line` is as it was written, so that no value of a variable is shown.
    """
    command = advise_on_command(line)
    if command is not None:
        return command
    variables = re.findall(r"\$(\w+)", line)
    if variables:
        return (
            f"`{line}` has the variable `{variables[0]}`, and pip knows no such form",
            f"write the value, or write it as `${{{variables[0].upper()}}}` and give it with `--env`",
        )
    for pattern, sign in ((_ONE_SIGN, "`=` is not an operator"), (_TURNED_SIGN, "the operator is not valid")):
        found = pattern.fullmatch(line)
        if found:
            return f"`{line}` is not a requirement: {sign}", f"write `{found[1]}=={found[2]}`"
    found = _TWO_WORDS.fullmatch(line)
    if found:
        return f"`{line}` is not a requirement: no operator before the version", f"write `{found[1]}=={found[2]}`"
    found = _QUOTED.fullmatch(line)
    if found:
        return f"`{line}` is not a requirement: it is quoted", f"write `{found[2]}`"
    if line.endswith((",", ";")):
        return f"`{line}` is not a requirement: it ends in `{line[-1]}`", f"write `{line[:-1].rstrip()}`"
    if _WINDOWS_PATH.match(line):
        return f"`{line}` is a path of a Windows machine", "replace it by the name and version, as in `numpy==1.26.4`"
    if "/" in line or "\\" in line:
        return (
            f"`{line}` is neither a requirement nor a path or URL that pip can install",
            "write a name and version (`numpy==1.26.4`), a path (`./name`) or `name @ https://…`",
        )
    detail = reason[:1].lower() + reason[1:].rstrip(".:")
    return (
        f"`{line}` is not a requirement: {detail}",
        "write a name, with a version if you like, as in `numpy==1.26.4`; begin remarks with `#`",
    )


def advise_on_command(line: str) -> tuple[str, str] | None:
    """Return what `advise` returns when `line` is a command for a shell, else `None`."""
    found = _COMMAND.fullmatch(line)
    if found:
        return f"`{line}` is a command, not a requirement", f"write only what it installs: `{found[1]}`"
    if _OTHER_COMMAND.match(line):
        return f"`{line}` is a command, not a requirement", "remove the line: only Python packages stand here"
    return None
