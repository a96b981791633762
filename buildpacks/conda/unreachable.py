"""Errors of the network, of repodata and of downloads, as rattler words them, turned into what a person can act on."""

from __future__ import annotations

import re

from buildpacks.conda.failures import UnreachableChannel
from buildpacks.conda.settings import AUTH_FILE_VARIABLE, CHANNEL_ALIAS_VARIABLE, MIRRORS_VARIABLE
from lifecycle.cnb.kit import mask_credentials

_STATUS = re.compile(r"\((\d{3})\b[^)]*\)")
_URL = re.compile(r"(?:url \(|channel '|fetching )((?:https?|file)://[^\s)']+)")
_REPODATA = re.compile(r"/(noarch|(?:linux|osx|win)-[a-z0-9]+)/(repodata\S*|shards/\S*)?$")
_UNKNOWN_URL = "the channel"

# Part of rattler's text -> what happened, what to do; the first that fits.
_NETWORK = (
    (
        "dns error",
        "is at a host whose name is not known",
        "correct the URL, or check the machine's name service; a build with `--network none` has no network",
    ),
    (
        "certificate",
        "has a certificate that is not trusted",
        "name the file with your organisation's certificates in `SSL_CERT_FILE`",
    ),
    (
        "Connection refused",
        "refuses connections",
        "check the URL and its port; a build with `--network none` has no network",
    ),
    ("timed out", "did not answer in time", "build again; if it stays so, check the network and its proxy settings"),
    (
        "error sending request",
        "cannot be reached",
        "check the network: builds without it (`--network none`) can use only what they have fetched before",
    ),
    ("Request failed after", "cannot be reached", "check the network and its proxy settings"),
    ("parse", "answers with something that is no index of packages", "check the URL: it may be a page for people"),
)


def explain_unreachable(text: str, *, url: str | None = None) -> UnreachableChannel:
    """Return what `text`, an error of rattler's, means. `url` is the file that was asked for, where the caller knows it."""
    named = _URL.search(text)
    shown = mask_credentials(url or (_REPODATA.sub("", named[1]) if named else _UNKNOWN_URL)).rstrip("/")
    details = "\n".join(mask_credentials(line) for line in text.strip().splitlines())
    problem, change = _judge(text)
    return UnreachableChannel(url=shown, problem=problem, change=change, details=details)


def _judge(text: str) -> tuple[str, str]:
    found = _STATUS.search(text)
    status = int(found[1]) if found else 0
    if status == 401:
        return "asks for credentials", f"put them into rattler's file of credentials (`{AUTH_FILE_VARIABLE}`)"
    if status == 403:
        return (
            "refuses access (403)",
            f"check the credentials in rattler's file (`{AUTH_FILE_VARIABLE}`), and whether your organisation blocks the channel",
        )
    if status == 429:
        return (
            "answers that there were too many requests (429)",
            f"wait, or let a mirror be used: `{MIRRORS_VARIABLE}` or `{CHANNEL_ALIAS_VARIABLE}`",
        )
    if status == 404 and "could not find subdir" in text:
        return "has no such channel", "correct its name: an index of packages was not found there"
    if status == 404:
        return (
            "is not there (404)",
            "the channel's index refers to a file that it does not have: build again with `BP_REFRESH=1`",
        )
    if status >= 500:
        return f"does not work at the moment ({status})", "build again later, or let a mirror be used"
    if "could not find subdir" in text:
        return "has no such channel", "correct its name: an index of packages was not found there"
    for part, problem, change in _NETWORK:
        if part in text:
            return problem, change
    return "cannot be used", "the cause is above"
