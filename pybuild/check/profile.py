"""Profiles: what an image must have to be of use somewhere."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from enum import Enum

from packaging.specifiers import SpecifierSet

# Another number when the same requirements would be tried in another way.
_RULES = 1


class UserKind(str, Enum):
    """Who commands of an image run as."""

    ROOT = "root"
    ORDINARY = "ordinary"


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A named set of requirements; what is None, False or empty is not asked for."""

    name: str
    description: str = ""
    platform: str | None = None
    """`os/architecture`."""
    python: SpecifierSet | None = None
    """Versions that `python` on the image's `PATH` may have."""
    pip: bool = False
    """Whether `pip` on the image's `PATH` must install what `python` then can import."""
    programs: tuple[str, ...] = ()
    """Names on the image's `PATH`; unique."""
    modules: tuple[str, ...] = ()
    """What `python` must be able to import; unique."""
    user: UserKind | None = None

    def key(self) -> str:
        """Name for what is asked for: another one where anything is asked for in another way."""
        asked = [self.platform, str(self.python), self.pip, self.programs, self.modules, self.user]
        return hashlib.sha256(json.dumps([_RULES, *asked]).encode()).hexdigest()[:16]


# https://deepnote.com/docs/custom-environments, "Requirements" of a custom image
_DEEPNOTE = Profile(
    name="deepnote",
    description="custom environments of Deepnote",
    platform="linux/amd64",
    python=SpecifierSet(">=3.10,<3.14"),
    pip=True,
    programs=("bash", "curl"),
)

BUILT_IN_PROFILES = {profile.name: profile for profile in (_DEEPNOTE,)}
