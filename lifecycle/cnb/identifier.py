"""What a buildpack is called: its id and its version, both of which become parts of paths."""

from __future__ import annotations

import re

# buildpack.md, "buildpack.toml (TOML)": ids of letters, digits, `.`, `/` and `-`
_ID = re.compile(r"[A-Za-z0-9./-]+", re.ASCII)
_FORBIDDEN_IDS = frozenset({"app", "config", "generated", "sbom"})
# The specification wants X.Y.Z, but builders in the wild carry suffixes; what matters is that it stays one path component.
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~-]*", re.ASCII)


class BuildpackId(str):
    """A valid id such as `pybuild/pip`: made by `parse` only."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> BuildpackId:
        """Return the id that `text` is. Raises `ValueError`."""
        if _ID.fullmatch(text) is None or any(part in {"", ".", ".."} for part in text.split("/")):
            raise ValueError(f"`{text}` is not a buildpack id: letters, digits, `.`, `/` and `-`")
        if text in _FORBIDDEN_IDS:
            raise ValueError(f"`{text}` is reserved and cannot be a buildpack id")
        return cls(text)

    @property
    def directory_name(self) -> str:
        """The id as a part of a path: `/` becomes `_`."""
        return self.replace("/", "_")


def parse_version(text: str) -> str:
    """Return `text` when it can be a buildpack's version. Raises `ValueError`."""
    if _VERSION.fullmatch(text) is None:
        raise ValueError(f"`{text}` is not a version such as 1.2.3")
    return text
