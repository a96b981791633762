"""What helps when a command of a Dockerfile fails, by what it wrote. The frequent causes; everything else speaks for itself."""

from __future__ import annotations

import re
from collections.abc import Sequence

_EXEC_FORMAT = re.compile(r"exec format error|cannot execute binary file", re.IGNORECASE)
_NO_SPACE = re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)
_NO_NEW_PRIVILEGES = re.compile(
    r"sudo:.*(no new privileges|effective uid is not 0|must be setuid root)|su: .*[Aa]uthentication"
)
_NOT_FOUND = re.compile(r"(?:sh|bash|dash)?:? ?(?:line )?\d*:? ?([\w./+-]+): (?:command )?not found")
_MANAGED = re.compile(r"externally-managed-environment")
_ABORTED = re.compile(r"Do you want to continue\? \[Y/n\] Abort")
_UNREACHABLE = re.compile(
    r"Temporary failure resolving|Could not resolve|Temporary failure in name resolution|Name or service not known"
    r"|Network is unreachable|bad address '|Could not connect to|Failed to establish a new connection"
)
_STALE = re.compile(r"404 +Not Found")
_NO_LISTS = re.compile(r"Unable to locate package|has no installation candidate")
_CERTIFICATE = re.compile(
    r"CERTIFICATE_VERIFY_FAILED|SSL certificate problem|certificate verification failed", re.IGNORECASE
)
_HIGH_IDS = re.compile(r"potentially insufficient UIDs or GIDs|chown .*: invalid argument", re.IGNORECASE)
_DENIED = re.compile(r"are you root\?|Permission denied|Operation not permitted", re.IGNORECASE)

# What `chmod +x` or another kernel would be needed for (https://pubs.opengroup.org/onlinepubs/9699919799/utilities/V3_chap02.html#tag_18_08_02)
_CANNOT_EXECUTE, _NO_COMMAND = 126, 127
_KILLED = 137


def find_advice(
    *, status: int | None, text: str, output: Sequence[str], network: bool, is_root: bool = True
) -> str | None:
    """Return what to do about an instruction that ended with `status`; `output` is the end of what it wrote."""
    said = "\n".join(output)
    if _NO_SPACE.search(said):
        return (
            "the disk is full: free some space; `XDG_CACHE_HOME` moves pybuild's store to another disk, and large files that a "
            "RUN removes again must be removed by the same RUN"
        )
    if _EXEC_FORMAT.search(said):
        return "a program is for another processor, or a script lacks its first line (`#!/bin/sh`): is the base image for this one?"
    if _NO_NEW_PRIVILEGES.search(said):
        return "commands cannot gain rights while an image is built: write `USER root` before this RUN, and the user again after it"
    if _UNREACHABLE.search(said):
        return (
            "a server could not be reached: look at the proxy settings"
            if network
            else "the build has no network (`--network none`), and the command asks for it"
        )
    return _advice_of_tools(said, text) or _advice_of_status(status, said, is_root=is_root)


def _advice_of_tools(said: str, text: str) -> str | None:
    if _ABORTED.search(said):
        return "`apt-get install` asks and nobody answers: write `apt-get install --yes`"
    if _STALE.search(said) and "apt" in text:
        return "the package lists are older than the mirror: write `apt-get update && apt-get install …` in one RUN"
    if _NO_LISTS.search(said):
        update = "is its name right?" if "update" in text else "write `apt-get update && apt-get install …` in one RUN"
        return f"apt does not know the package: {update}"
    if _MANAGED.search(said):
        return (
            "this Python belongs to the distribution: make an environment (`python3 -m venv /opt/venv`, "
            '`ENV PATH="/opt/venv/bin:$PATH"`), use an image of Python, or say `pip install --break-system-packages`'
        )
    if _CERTIFICATE.search(said):
        return "a certificate is not trusted: `SSL_CERT_FILE` of pybuild's environment names the bundle that commands of a build use"
    if _HIGH_IDS.search(said):
        return (
            "a file or user has a number above what the build may use: give the user who builds a larger range in /etc/subuid "
            "and /etc/subgid"
        )
    return None


def _advice_of_status(status: int | None, said: str, *, is_root: bool) -> str | None:
    if status == _NO_COMMAND:
        missing = _NOT_FOUND.search(said)
        name = f"`{missing[1]}`" if missing else "the command"
        return f"{name} is not in the base image, or not on `PATH`: install it in a RUN before this one"
    if status == _CANNOT_EXECUTE:
        return "the file cannot be executed: `chmod +x` it in a RUN before this one"
    if status == _KILLED:
        return "the command was killed, mostly because the machine has too little memory"
    if _DENIED.search(said) and not is_root:
        return "the command runs as the user that the image names: write `USER root` before it, and the user again after it"
    return None
