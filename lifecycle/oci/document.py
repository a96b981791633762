"""JSON documents of images, as Docker and others write them."""

from __future__ import annotations

from dataclasses import replace

from lifecycle.cnb.jsontext import parse_json
from lifecycle.cnb.toml import Table

# https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#pushing-manifests: registries take at least 4 MiB
SIZE_LIMIT = 16 * 1024 * 1024


def parse_document(content: bytes, *, source: str) -> Table:
    """Return a JSON object for typed reading. Raises `ConfigurationError`.

    Keys whose value is null are dropped, at every depth: Go programs write null for what they leave out.
    """
    if len(content) > SIZE_LIMIT:
        raise Table(values={}, source=source).error(f"is larger than {SIZE_LIMIT} bytes")
    document = parse_json(content.decode("utf-8", "surrogateescape"), source=source)
    return replace(
        document, values={key: _without_nulls(value) for key, value in document.values.items() if value is not None}
    )


def _without_nulls(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value
