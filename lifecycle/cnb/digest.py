"""A digest: the name of some bytes (https://github.com/opencontainers/image-spec/blob/v1.1.0/descriptor.md#digests)."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from lifecycle.cnb.errors import InvalidValue

# The registered algorithms; sha384 is not one of them. Length of the hexadecimal part.
_HEX_LENGTHS = {"sha256": 64, "sha512": 128}
_SYNTAX = re.compile(r"(sha256|sha512):([0-9a-f]+)", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """A valid digest, made by `parse` or `of`. Never part of a path before it was parsed."""

    algorithm: str
    hex: str

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Return the digest that `text` names. Raises `InvalidValue`."""
        match = _SYNTAX.fullmatch(text)
        if match is None or len(match[2]) != _HEX_LENGTHS[match[1]]:
            raise InvalidValue(f"`{text[:100]}`", "is not a digest such as sha256:<64 hexadecimal digits>")
        return cls(match[1], match[2])

    @classmethod
    def of(cls, content: bytes) -> Digest:
        """Return the sha256 digest of `content`."""
        return cls("sha256", hashlib.sha256(content).hexdigest())

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"
