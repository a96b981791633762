"""Credentials for registries, from where Docker and the tools of containers/image have them.

In this order: `CNB_REGISTRY_AUTH` (platform.md, "Registry Authentication"), `DOCKER_AUTH_CONFIG`, then files in the form of Docker's
`config.json`: the one that `REGISTRY_AUTH_FILE` names and no other, else those of
https://github.com/containers/image/blob/main/docs/containers-auth.json.5.md. In a file: the helper of the registry, the helper of all
registries, the entry with the longest fitting path. What cannot be used is passed over and told, in case the registry refuses.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lifecycle.cnb.errors import CnbError, ConfigurationError
from lifecycle.cnb.jsontext import parse_json
from lifecycle.cnb.reference import Reference
from lifecycle.cnb.toml import Table, read_regular_file
from lifecycle.registry.helper import HelperFailed, ask_helper

_AUTH_VARIABLE, _CONFIG_VARIABLE = "CNB_REGISTRY_AUTH", "DOCKER_AUTH_CONFIG"
_FILE_VARIABLE = "REGISTRY_AUTH_FILE"
_DOCKER_REGISTRY = "docker.io"
# Names that Docker Hub has had in configuration files; the last is what its own client writes.
_DOCKER_KEYS = ("docker.io", "index.docker.io", "registry-1.docker.io", "https://index.docker.io/v1/")
# https://github.com/docker/docker-credential-helpers#development: the secret is then an identity token
_TOKEN_USER = "<token>"  # noqa: S105 - a user name


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Credentials. One of `password`, `identity_token` and `registry_token` is there. `origin` is told to people."""

    origin: str
    username: str = ""
    password: str | None = field(default=None, repr=False)
    identity_token: str | None = field(default=None, repr=False)
    """For the token server, instead of a password (https://distribution.github.io/distribution/spec/auth/oauth/)."""
    registry_token: str | None = field(default=None, repr=False)
    """For the registry itself: no token server is asked."""

    def basic(self) -> str | None:
        """Return the value of the header `Authorization` with user name and password."""
        if self.password is None:
            return None
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What there is for a repository. `problems`: what could not be used. `places`: where was looked."""

    login: Login | None = None
    problems: tuple[str, ...] = ()
    places: tuple[str, ...] = ()


def find_login(reference: Reference, env: Mapping[str, str], home: Path) -> Found:
    """Return the credentials for the repository of `reference`."""
    problems: list[str] = []
    places: list[str] = []
    for place, read in _sources(env, home):
        places.append(place)
        try:
            login = _Config(read(), place, env, problems).find(reference)
        except CnbError as err:
            problems.append(err.summary)
            continue
        if login is not None:
            return Found(login=login, problems=tuple(problems), places=tuple(places))
    return Found(problems=tuple(problems), places=tuple(places))


class _Read:
    """A document that is read when it is needed."""

    def __init__(self, source: str, content: str | Path, *, key: str | None = None) -> None:
        self._source, self._content, self._key = source, content, key

    def __call__(self) -> Table:
        content = self._content
        text = content if isinstance(content, str) else read_regular_file(content).decode("utf-8", "replace")
        document = parse_json(text, source=self._source)
        return document if self._key is None else Table(values={self._key: document.values}, source=self._source)


def _sources(env: Mapping[str, str], home: Path) -> Iterator[tuple[str, _Read]]:
    if env.get(_AUTH_VARIABLE):
        yield f"`{_AUTH_VARIABLE}`", _Read(_AUTH_VARIABLE, env[_AUTH_VARIABLE], key="headers")
    if env.get(_CONFIG_VARIABLE):
        yield f"`{_CONFIG_VARIABLE}`", _Read(_CONFIG_VARIABLE, env[_CONFIG_VARIABLE])
    for path, is_old in _files(env, home):
        # Not Path.exists, which raises where a directory on the way may not be entered.
        if os.path.exists(path):  # noqa: PTH110
            yield f"`{path}`", _Read(str(path), path, key="auths" if is_old else None)


def _files(env: Mapping[str, str], home: Path) -> Iterator[tuple[Path, bool]]:
    """Configuration files that may exist, and whether they have the form that Docker had before 2015."""
    if env.get(_FILE_VARIABLE):
        yield Path(env[_FILE_VARIABLE]), False
        return
    runtime = env.get("XDG_RUNTIME_DIR")
    yield (
        Path(runtime, "containers", "auth.json") if runtime else Path(f"/run/containers/{os.getuid()}/auth.json"),
        False,
    )
    yield Path(env.get("XDG_CONFIG_HOME") or home / ".config", "containers", "auth.json"), False
    yield Path(env.get("DOCKER_CONFIG") or home / ".docker", "config.json"), False
    yield home / ".dockercfg", True


class _Config:
    """A configuration as Docker has it."""

    def __init__(self, document: Table, place: str, env: Mapping[str, str], problems: list[str]) -> None:
        self._document = document
        self._place = place
        self._env = env
        self._problems = problems

    def find(self, reference: Reference) -> Login | None:
        """The credentials for a repository. Raises `ConfigurationError`."""
        return self._from_header(reference) or self._from_helpers(reference) or self._from_entries(reference)

    def _from_header(self, reference: Reference) -> Login | None:
        headers = self._document.table("headers")
        for key in _keys(reference):
            value = headers.optional_string(key)
            if value is None:
                continue
            scheme, _, content = value.partition(" ")
            if scheme.lower() == "bearer" and content:
                return Login(origin=self._place, registry_token=self._check_token(content, key))
            if scheme.lower() == "basic" and content:
                return self._decode(content, key)
            raise headers.error("must be `Basic …` or `Bearer …`", key=key)
        return None

    def _from_helpers(self, reference: Reference) -> Login | None:
        own = self._document.table("credHelpers")
        names = [own.optional_string(key) for key in _keys(reference)]
        names.append(self._document.optional_string("credsStore"))
        server = _DOCKER_KEYS[-1] if reference.registry == _DOCKER_REGISTRY else reference.registry
        for name in dict.fromkeys(names):
            if not name:
                continue
            try:
                answer = ask_helper(name, server, self._env)
            except HelperFailed as err:
                self._problems.append(f"{err.summary} ({self._place})")
                continue
            if answer is None:
                continue
            origin = f"`docker-credential-{name}`"
            if answer.username == _TOKEN_USER:
                return Login(origin=origin, identity_token=answer.secret)
            return Login(origin=origin, username=answer.username, password=answer.secret)
        return None

    def _from_entries(self, reference: Reference) -> Login | None:
        entries = self._document.table("auths")
        for key in _keys(reference):
            if key in entries and (login := self._entry(entries.table(key), key)) is not None:
                return login
        # Keys may be URLs: Docker's client took whatever `docker login` was given.
        wanted = _DOCKER_KEYS if reference.registry == _DOCKER_REGISTRY else (reference.registry,)
        for key in entries.values:
            if _host_of_key(key) in wanted and (login := self._entry(entries.table(key), key)) is not None:
                return login
        return None

    def _entry(self, entry: Table, key: str) -> Login | None:
        if token := entry.optional_string("identitytoken"):
            return Login(origin=self._place, identity_token=token)
        if token := entry.optional_string("registrytoken"):
            return Login(origin=self._place, registry_token=self._check_token(token, key))
        if encoded := entry.optional_string("auth"):
            return self._decode(encoded, key)
        username, password = entry.optional_string("username"), entry.optional_string("password")
        return Login(origin=self._place, username=username, password=password) if username and password else None

    def _check_token(self, token: str, key: str) -> str:
        if not (token.isascii() and token.isprintable()):
            raise ConfigurationError(self._place, f"the token for `{key}` has characters that no token has")
        return token

    def _decode(self, encoded: str, key: str) -> Login | None:
        try:
            text = base64.b64decode(encoded, validate=True).decode()
        except (binascii.Error, ValueError) as err:
            # Without the text of the error, which would show what cannot be decoded.
            raise ConfigurationError(self._place, f"the credentials for `{key}` are not base64") from err
        username, colon, password = text.partition(":")
        if not colon:
            raise ConfigurationError(self._place, f"the credentials for `{key}` are not `user:password`")
        return Login(origin=self._place, username=username, password=password.strip("\0"))


def _keys(reference: Reference) -> list[str]:
    """Keys of a repository, the most precise first: a path may have credentials of its own."""
    registries = _DOCKER_KEYS if reference.registry == _DOCKER_REGISTRY else (reference.registry,)
    parts = reference.repository.split("/")
    paths = ["/".join(parts[:length]) for length in range(len(parts), 0, -1)]
    return [f"{reference.registry}/{path}" for path in paths] + list(registries)


def _host_of_key(key: str) -> str | None:
    """The registry that a key names which is a URL; `None` for one that names a part of a registry."""
    for scheme in ("https://", "http://"):
        if key.startswith(scheme):
            return key.removeprefix(scheme).partition("/")[0]
    host, _, path = key.partition("/")
    return host if path.rstrip("/") in ("", "v1", "v2") else None
