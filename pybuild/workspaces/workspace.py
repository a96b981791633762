"""A workspace: registers environments, finds them, names and archives their versions."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import TracebackType

from lifecycle.cnb.digest import Digest
from lifecycle.cnb.errors import ConfigurationError, InvalidValue
from lifecycle.oci.artifact import Artifact, ArtifactFile, make_artifact
from lifecycle.oci.errors import UnsupportedImage
from lifecycle.oci.layout import INDEX_FILE
from lifecycle.registry.client import RegistryClient
from pybuild.image_store import open_client
from pybuild.machine import home_directory, machine_env
from pybuild.workspaces.errors import InvalidName, NameReserved, NoSuchEnvironment
from pybuild.workspaces.numbering import Numbering
from pybuild.workspaces.place import LayoutPlace, Place, RegistryPlace, default_place, parse_place
from pybuild.workspaces.repository import LayoutRepository, RegistryRepository, Repository
from pybuild.workspaces.tags import (
    CATALOG,
    CURATED_PREFIX,
    LATEST,
    Tags,
    check_label,
    check_name,
    is_name,
    parse_tags,
    repository_name,
)
from pybuild.workspaces.version import RegisteredVersion, make_version, name_of, read_version, version_of

_CATALOG_TYPE, _ENTRY_TYPE = "application/vnd.pybuild.catalog.v1", "application/vnd.pybuild.catalog.entry.v1+json"


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionSummary:
    """What a workspace says of a version without fetching it."""

    version: int
    digest: Digest | None
    """Of the definition; `None` where the one who registered it could not say it any more."""
    labels: tuple[str, ...]
    is_archived: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentSummary:
    """An environment that a workspace has, with its versions, the first one first."""

    name: str
    """As the first version was registered."""
    versions: tuple[VersionSummary, ...]
    is_archived: bool

    @property
    def latest(self) -> int | None:
        """The highest version that is not archived."""
        return max((one.version for one in self.versions if not one.is_archived), default=None)


class Workspace:
    """A place for environments: `docker://HOST/NAMESPACE`, `oci:DIRECTORY`, or where the machine says that it is.

    `env` is the machine's environment (credentials, proxies, certificates), that of the process where it is not given. Safe for several
    threads. Connections to a registry are kept until `close`, or the end of a `with`. Names that differ in case alone are one. Raises
    `InvalidName`.
    """

    def __init__(
        self,
        location: str | None = None,
        *,
        env: Mapping[str, str] | None = None,
        insecure_registries: Sequence[str] = (),
    ) -> None:
        self._env: Mapping[str, str] = machine_env(env)
        self._insecure = tuple(insecure_registries)
        self._place: Place = (
            default_place(self._env, home_directory(self._env)) if location is None else parse_place(location)
        )
        if isinstance(self._place, LayoutPlace) and self._place.directory.is_file():
            raise InvalidName("workspace", self.location, "it is a file", "name a directory, which need not be there")
        self._client: RegistryClient | None = None
        self._lock = threading.Lock()

    @property
    def location(self) -> str:
        """Where it is, in the words that it is made with."""
        return str(self._place)

    @property
    def insecure_registries(self) -> tuple[str, ...]:
        """Registries that are spoken to without TLS, or whose certificate nobody vouches for."""
        return self._insecure

    def __repr__(self) -> str:
        return f"Workspace({self.location!r})"

    def __enter__(self) -> Workspace:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; they are opened again where they are needed."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def register(self, name: str, definition: bytes, *, curated: bool = False) -> RegisteredVersion:
        """Return the version that `definition` has, after it is there for everyone: the next one, unless it has one already.

        The environment keeps the name, with its case, that its first version was registered with.

        `curated`: of an environment whose name begins with `CURATED_PREFIX`.

        Raises:
            InvalidName, NameReserved: the name is none that can be given.
            lifecycle.cnb.errors.CnbError: it cannot be put there.
        """
        check_name(name)
        if repository_name(name).startswith(CURATED_PREFIX) is not curated:
            raise NameReserved(name, CURATED_PREFIX)
        repository = self.repository(name)
        # First of all: a version in an environment that nobody finds would be lost.
        self._add_to_catalog(name)
        created = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")

        def make(version: int) -> Artifact:
            # The one before is there: who gives a version sees all before it.
            before = (version - 1,) if version > 1 else ()
            return make_version(_find_name(repository, before, name), version, definition, created)

        numbered = Numbering(repository, Digest.of(definition), make).run()
        return replace(self.get(name, version=numbered.version), is_new=numbered.is_new)

    def get(self, name: str, *, version: int | None = None, label: str | None = None) -> RegisteredVersion:
        """Return a version: that with the number or the label, or the latest that is not archived.

        Raises:
            NoSuchEnvironment: there is none.
            InvalidName: both are given.
            lifecycle.cnb.errors.CnbError: it cannot be read.
        """
        repository = self.repository(check_name(name))
        if version is not None and label is not None:
            raise InvalidName("label", label, f"version {version} is asked for as well", "ask for one of them")
        tags = parse_tags(repository.tags())
        if version is not None:
            candidates = [version]
        elif label is None or label == LATEST:
            candidates = _not_archived(tags)
        else:
            named = _find_labelled(repository, check_label(label)) if label in tags.names else None
            candidates = [] if named is None else [named]
        found = _first_there(repository, candidates)
        if found is None:
            raise self._missing(name, tags, version, label)
        number, artifact = found
        found_version = read_version(artifact, name, number, source=f"{repository.location}:{number}")
        return replace(found_version, is_archived=tags.is_archived(number))

    def names(self) -> tuple[str, ...]:
        """Return the names of all environments, archived ones too, sorted without regard to case."""
        if isinstance(self._place, RegistryPlace):
            names = sorted(filter(is_name, self.repository(CATALOG).tags()))
        else:
            indexes = self._place.directory.glob(f"*/{INDEX_FILE}")
            directories = [path.parent.name for path in indexes if is_name(path.parent.name)]
            repositories = {name: self.repository(name) for name in directories if name == repository_name(name)}
            names = [
                _find_name(repository, parse_tags(repository.tags()).versions, name)
                for name, repository in repositories.items()
            ]
        # Two who register the first version at the same moment may both be in the catalog.
        return tuple(name for _, name in sorted({repository_name(name): name for name in names}.items()))

    def describe_all(self) -> Iterator[EnvironmentSummary]:
        """Yield what there is of each environment, in the order of `names`. Raises `CnbError`."""
        for name in self.names():
            # A name without a version is that of one that is being registered, or whose register did not come to its end.
            try:
                found = self.describe(name)
            except NoSuchEnvironment:
                continue
            yield found

    def describe(self, name: str) -> EnvironmentSummary:
        """Return what there is of an environment. Raises `NoSuchEnvironment`, `CnbError`."""
        repository = self.repository(check_name(name))
        tags = parse_tags(repository.tags())
        if not tags.versions:
            raise NoSuchEnvironment(workspace=self.location, name=name, known=self.names())
        labels: dict[int | None, list[str]] = {}
        for label in tags.labels:
            labels.setdefault(_find_labelled(repository, label), []).append(label)
        for latest in _not_archived(tags)[:1]:
            labels.setdefault(latest, []).insert(0, LATEST)
        versions = tuple(
            VersionSummary(
                version=version,
                digest=tags.definitions.get(version),
                labels=tuple(labels.get(version, ())),
                is_archived=tags.is_archived(version),
            )
            for version in sorted(tags.versions)
        )
        return EnvironmentSummary(
            name=_find_name(repository, tags.versions, name),
            versions=versions,
            is_archived=tags.is_archived(None),
        )

    def set_label(self, name: str, label: str, version: int) -> None:
        """Let `label` name a version, and no other any more. Raises `InvalidName`, `NoSuchEnvironment`, `CnbError`."""
        repository, artifact = self._find(check_name(name), version)
        repository.put(artifact, check_label(label))

    def archive(self, name: str, version: int | None = None) -> None:
        """Archive a version, which `latest` then passes over, or an environment, which lists then leave out; they still can be had.

        Raises `NoSuchEnvironment`, `CnbError`.
        """
        self._set_archived(check_name(name), version, is_archived=True)

    def restore(self, name: str, version: int | None = None) -> None:
        """Undo `archive`. Raises `NoSuchEnvironment`, `CnbError`."""
        self._set_archived(check_name(name), version, is_archived=False)

    def repository(self, name: str) -> Repository:
        """Return what holds everything of the environment `name`."""
        repository = repository_name(name)
        if isinstance(self._place, LayoutPlace):
            return LayoutRepository(self._place.directory / repository)
        return RegistryRepository(self._open(), self._place.repository(repository))

    def _open(self) -> RegistryClient:
        with self._lock:
            if self._client is None:
                self._client = open_client(self._env, insecure=self._insecure)
            return self._client

    def _add_to_catalog(self, name: str) -> None:
        if isinstance(self._place, LayoutPlace):
            return
        catalog = self.repository(CATALOG)
        if repository_name(name) not in map(repository_name, catalog.tags()):
            entry = ArtifactFile(name="entry.json", media_type=_ENTRY_TYPE, content=b"{}")
            catalog.put(make_artifact(_CATALOG_TYPE, [entry]), name)

    def _find(self, name: str, version: int | None) -> tuple[Repository, Artifact]:
        """Where a version is, by default the highest, and what."""
        repository = self.repository(name)
        tags = parse_tags(repository.tags())
        found = _first_there(repository, sorted(tags.versions, reverse=True) if version is None else [version])
        if found is None:
            raise self._missing(name, tags, version, None)
        return repository, found[1]

    def _set_archived(self, name: str, version: int | None, *, is_archived: bool) -> None:
        repository, artifact = self._find(name, version)
        tags = parse_tags(repository.tags())
        if tags.is_archived(version) is not is_archived:
            repository.put(artifact, tags.archiving_tag(version))

    def _missing(self, name: str, tags: Tags, version: int | None, label: str | None) -> NoSuchEnvironment:
        if not tags.versions:
            return NoSuchEnvironment(workspace=self.location, name=name, known=self.names())
        if version is not None:
            known = [f"1 to {tags.highest}"] if tags.highest > 1 else ["1"]
            return NoSuchEnvironment(workspace=self.location, name=name, wanted=f"version {version}", known=known)
        if label not in (None, LATEST):
            return NoSuchEnvironment(
                workspace=self.location, name=name, wanted=f"label `{label}`", known=[LATEST, *tags.labels]
            )
        return NoSuchEnvironment(
            workspace=self.location, name=name, wanted="version that is not archived", known=[f"1 to {tags.highest}"]
        )


def _find_labelled(repository: Repository, label: str) -> int | None:
    """The version that a tag names; `None` where it is no label, but what somebody else has put there, such as an image."""
    found = _read(repository, label)
    return None if found is None else version_of(found)


def _find_name(repository: Repository, versions: Iterable[int], name: str) -> str:
    """The name of an environment, which each of its versions has from the one before; `name` has perhaps another case."""
    for version in sorted(versions, reverse=True):
        # The highest is perhaps not there yet.
        found = _read(repository, str(version))
        if found is not None:
            return name_of(found, name)
    return name


def _read(repository: Repository, tag: str) -> Artifact | None:
    """What a tag names, if that is an artifact."""
    try:
        return repository.get(tag)
    except (ConfigurationError, InvalidValue, UnsupportedImage):
        return None


def _not_archived(tags: Tags) -> list[int]:
    """The versions that are not archived, the highest first."""
    return sorted((version for version in tags.versions if not tags.is_archived(version)), reverse=True)


def _first_there(repository: Repository, versions: Sequence[int]) -> tuple[int, Artifact] | None:
    """The first of `versions` that can be had: a list of tags may have the highest before it is there."""
    for version in versions:
        artifact = repository.get(str(version))
        if artifact is not None:
            return version, artifact
    return None
