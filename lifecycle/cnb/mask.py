"""Hiding credentials in text that people and logs get to see."""

from __future__ import annotations

import re

# The user part of a URL. Greedy up to the last `@` before the path, as pip reads it: a password may hold `@`.
_USER_PART = re.compile(r"(?<=://)[^/\s'\"<>?#]+@")
# `git@` is not a secret, and hiding it would make SSH URLs unreadable.
_PUBLIC_USERS = frozenset({"git@"})
# anaconda.org style: the token is a part of the path
_PATH_TOKEN = re.compile(r"/t/[^/\s'\"]+(?=/)")
# presigned and tokenised URLs: `?X-Amz-Signature=…`, `&access_token=…`
_QUERY_SECRET = re.compile(
    r"([?&][^=&?\s]*(?:token|sig|signature|secret|password|passwd|credential|api_?key)=)[^&\s'\"]+", re.IGNORECASE
)


def mask_credentials(text: str) -> str:
    """Return `text` with the secrets of every URL in it replaced by `***`."""
    if "/" not in text:
        return text
    masked = _USER_PART.sub(lambda match: match[0] if match[0] in _PUBLIC_USERS else "***@", text)
    if "://" in masked:
        masked = _PATH_TOKEN.sub("/t/***", masked)
    return _QUERY_SECRET.sub(r"\1***", masked)
