"""Image references such as `docker.io/library/python:3.10@sha256:…`
(https://github.com/distribution/reference/blob/main/reference.go has the grammar and Docker's short forms).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lifecycle.cnb.digest import Digest
from lifecycle.cnb.errors import InvalidValue

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*", re.ASCII)
_LABEL = r"(?:[A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9-]*[A-Za-z0-9])"
_REGISTRY = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?", re.ASCII)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)
_NAME_LIMIT = 255
_DOCKER_REGISTRY, _DOCKER_LIBRARY = "docker.io", "library/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A valid reference, with registry and repository spelled out. Made by `parse`."""

    registry: str
    repository: str
    tag: str | None = None
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Return the reference that `text` is; Docker's short forms are spelled out. Raises `InvalidValue`."""
        name, at, digest_text = text.partition("@")
        digest = Digest.parse(digest_text) if at else None
        head, colon, tag = name.rpartition(":")
        if not colon or "/" in tag:
            head, tag = name, ""
        elif _TAG.fullmatch(tag) is None:
            raise _invalid(text, f"`{tag}` cannot be a tag")
        first, slash, rest = head.partition("/")
        # As Docker decides whether the first part is a host
        if slash and ("." in first or ":" in first or first == "localhost" or first != first.lower()):
            registry, repository = first, rest
        else:
            registry, repository = _DOCKER_REGISTRY, head
        if registry == "index.docker.io":
            registry = _DOCKER_REGISTRY
        if registry == _DOCKER_REGISTRY and "/" not in repository:
            repository = _DOCKER_LIBRARY + repository
        if _REGISTRY.fullmatch(registry) is None or _REPOSITORY.fullmatch(repository) is None:
            raise _invalid(text, "lower-case letters, digits, `.`, `_`, `-` and `/` make a name")
        if len(registry) + 1 + len(repository) > _NAME_LIMIT:
            raise _invalid(text, f"a name has at most {_NAME_LIMIT} characters")
        return cls(registry=registry, repository=repository, tag=tag or None, digest=digest)

    @property
    def name(self) -> str:
        """Registry and repository."""
        return f"{self.registry}/{self.repository}"

    def with_default_tag(self) -> Reference:
        """Return the reference with the tag `latest` where it has neither tag nor digest."""
        if self.tag is not None or self.digest is not None:
            return self
        return Reference(registry=self.registry, repository=self.repository, tag="latest")

    def __str__(self) -> str:
        tag = "" if self.tag is None else f":{self.tag}"
        digest = "" if self.digest is None else f"@{self.digest}"
        return f"{self.name}{tag}{digest}"


def _invalid(text: str, reason: str) -> InvalidValue:
    return InvalidValue(f"`{text[:_NAME_LIMIT]}`", f"is not an image reference: {reason}")
