"""JSON documents of images, as Docker and others write them."""

from __future__ import annotations

from lifecycle.cnb.jsontext import parse_json
from lifecycle.cnb.toml import Table

# https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#pushing-manifests: registries take at least 4 MiB
SIZE_LIMIT = 16 * 1024 * 1024


def parse_document(content: bytes, *, source: str) -> Table:
    """Return a JSON object for typed reading. Raises `ConfigurationError`."""
    if len(content) > SIZE_LIMIT:
        raise Table(values={}, source=source).error(f"is larger than {SIZE_LIMIT} bytes")
    return parse_json(content.decode("utf-8", "surrogateescape"), source=source)
