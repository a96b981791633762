"""Where a workspace is: a namespace of a registry, or a directory of this machine with an OCI layout for each environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lifecycle.cnb.errors import InvalidValue
from lifecycle.cnb.reference import Reference
from lifecycle.oci.location import REGISTRY_PREFIX, Transport
from pybuild.store import STORE_NAME
from pybuild.workspaces.errors import InvalidName

WORKSPACE_VARIABLE = "PYBUILD_WORKSPACE"
WORKSPACES = "docker://HOST/NAMESPACE or oci:DIRECTORY"
_LAYOUT_PREFIX = f"{Transport.OCI.value}:"
# Any repository of a namespace; of two parts, so that Docker's short forms leave it alone.
_INSIDE = "some/repository"
_EXAMPLE = "for example `docker://registry.example.org/team`, or `oci:environments` for a directory of this machine"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryPlace:
    """A namespace of a registry, which is no repository: on Docker Hub `docker.io/team` as a repository is `docker.io/library/team`."""

    registry: str
    namespace: str

    def __str__(self) -> str:
        return f"{REGISTRY_PREFIX}{self.registry}/{self.namespace}"

    def repository(self, name: str) -> Reference:
        """Return the repository `name` in the namespace. Raises `InvalidName` where that is too long for registries."""
        try:
            return Reference.parse(f"{self.registry}/{self.namespace}/{name}")
        except InvalidValue as err:
            raise InvalidName("name of an environment", name, err.message, "shorten it") from err


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutPlace:
    """A directory, which need not exist."""

    directory: Path

    def __str__(self) -> str:
        return f"{_LAYOUT_PREFIX}{self.directory}"


Place = RegistryPlace | LayoutPlace


def parse_place(text: str) -> Place:
    """Return the place that `text` names, one of `WORKSPACES`. Raises `InvalidName`."""
    if text.startswith(REGISTRY_PREFIX):
        return _parse_namespace(text)
    path = text.removeprefix(_LAYOUT_PREFIX)
    if path == text or not path or "\0" in path or ":" in path:
        raise InvalidName("workspace", text, f"it is neither {WORKSPACES.replace(' or ', ' nor ')}", _EXAMPLE)
    return LayoutPlace(directory=Path(path).absolute())


def _parse_namespace(text: str) -> RegistryPlace:
    named = text.removeprefix(REGISTRY_PREFIX).rstrip("/")
    if "@" in named or ":" in named.partition("/")[2]:
        raise InvalidName("workspace", text, "a namespace has neither tag nor digest", _EXAMPLE)
    try:
        inside = Reference.parse(f"{named}/{_INSIDE}")
    except InvalidValue as err:
        raise InvalidName("workspace", text, err.message, _EXAMPLE) from err
    namespace = inside.repository.removesuffix(_INSIDE).rstrip("/")
    if not namespace:
        raise InvalidName(
            "workspace",
            text,
            "it names a registry, and no namespace in it",
            f"for example `{REGISTRY_PREFIX}{named}/team`",
        )
    return RegistryPlace(registry=inside.registry, namespace=namespace)


def default_place(env: Mapping[str, str], home: Path) -> Place:
    """Return the place that `PYBUILD_WORKSPACE` names, else `$XDG_DATA_HOME/pybuild/workspace`. Raises `InvalidName`."""
    if named := env.get(WORKSPACE_VARIABLE):
        return parse_place(named)
    # Not the store, from which anything may be removed. A relative path is to be ignored, says the specification.
    data = env.get("XDG_DATA_HOME", "")
    directory = Path(data) if data.startswith("/") else home / ".local" / "share"
    return LayoutPlace(directory=directory / STORE_NAME / "workspace")
