"""Versions of the Platform and the Buildpack API, and which of them this lifecycle speaks."""

from __future__ import annotations

import re
from dataclasses import dataclass

# https://github.com/buildpacks/spec#api-versions: `<major>.<minor>`, a bare major is `.0`
_SYNTAX = re.compile(r"v?(\d+)(?:\.(\d+))?", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class ApiVersion:
    """A version such as 0.12. Below 1.0 only equality counts as compatible."""

    major: int
    minor: int

    @classmethod
    def parse(cls, text: str) -> ApiVersion:
        """Return the version that `text` names. Raises `ValueError`."""
        match = _SYNTAX.fullmatch(text)
        if match is None:
            raise ValueError(f"`{text}` is not an API version such as 0.12")
        return cls(int(match[1]), int(match[2] or 0))

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


PLATFORM_APIS = tuple(ApiVersion(0, minor) for minor in range(12, 16))
BUILDPACK_APIS = tuple(ApiVersion(0, minor) for minor in range(10, 13))

# The first versions with execution environments: platform.md "Execution Environments", buildpack.md likewise.
EXEC_ENV_PLATFORM_API = ApiVersion(0, 15)
EXEC_ENV_BUILDPACK_API = ApiVersion(0, 12)

DEFAULT_EXEC_ENV = "production"
ANY_EXEC_ENV = "*"


def fits_exec_env(allowed: tuple[str, ...], exec_env: str) -> bool:
    """Return whether something restricted to `allowed` takes part in `exec_env`; no restriction means that it does."""
    return not allowed or exec_env in allowed or ANY_EXEC_ENV in allowed
