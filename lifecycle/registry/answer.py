"""What the answers of registries mean that are no success."""

from __future__ import annotations

import json
from datetime import datetime, timezone

from lifecycle.cnb.errors import printable

RETRIED_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
_WORDS_LIMIT = 300


def said(content: bytes) -> str:
    """Return what a registry says of an error (https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#error-codes)."""
    errors = _errors(content)
    if not errors:
        return ""
    code, message = errors[0].get("code"), errors[0].get("message") or errors[0].get("details")
    words = ": ".join(str(word) for word in (code, message) if isinstance(word, str) and word)
    return printable(words)[:_WORDS_LIMIT]


def error_codes(content: bytes) -> frozenset[str]:
    """Return the codes of all errors that a registry names."""
    return frozenset(code for error in _errors(content) if isinstance(code := error.get("code"), str))


def _errors(content: bytes) -> list[dict[str, object]]:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return []
    errors = document["errors"] if isinstance(document, dict) and "errors" in document else [document]
    return [error for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []


def retry_after(value: str | None, fallback: float) -> float:
    """Return the seconds that a registry wants to be left alone (https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3)."""
    if value is None:
        return fallback
    text = value.strip()
    if text.isascii() and text.isdigit():
        return max(float(text[:9]), fallback if int(text[:9]) == 0 else 0)
    from email.utils import parsedate_to_datetime  # with it come many modules, for what few answers have

    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, IndexError, TypeError):
        return fallback
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    seconds = (moment - datetime.now(timezone.utc)).total_seconds()
    return seconds if seconds > 0 else fallback
