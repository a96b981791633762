"""Credentials in URLs: they go to the tools that need them, and into nothing that is kept.

A lock is written without them and gets them back, by the URL's place, just before a tool reads it: so it stays usable when a
token is replaced.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

# Scheme, user part, the place. `git@` of an SSH URL is the same for everyone.
_URL = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*://)(?:(?P<user>[^/\s@#?]*(?:@[^/\s@#?]*)*)@)?(?P<place>[^\s@#;]+)", re.I
)
_PUBLIC = "git"


def without_credentials(text: str) -> str:
    """Return `text` with the user part of every URL removed."""
    return _URL.sub(
        lambda found: found[0] if found["user"] in (None, _PUBLIC) else found["scheme"] + found["place"], text
    )


def read_credentials(texts: Iterable[str]) -> Mapping[str, str]:
    """Return the user parts of the URLs in `texts`, by the URL without its scheme, revision and fragment."""
    return {
        found["place"]: found["user"]
        for text in texts
        for found in _URL.finditer(text)
        if found["user"] not in (None, "", _PUBLIC)
    }


def with_credentials(text: str, credentials: Mapping[str, str]) -> str:
    """Return `text` with the user parts put back into the URLs that they belong to."""

    def restore(found: re.Match[str]) -> str:
        user = credentials.get(found["place"])
        return found[0] if user is None else f"{found['scheme']}{user}@{found['place']}"

    return _URL.sub(restore, text) if credentials else text
