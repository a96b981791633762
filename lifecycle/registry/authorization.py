"""How to show a registry who asks: Basic, or a token of a token server
(https://distribution.github.io/distribution/spec/auth/token/ and …/auth/oauth/).

Tokens are kept for what they were given for, so that one for reading is never shown where writing is wanted.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit, urlunsplit

from lifecycle.cnb.errors import ConfigurationError
from lifecycle.cnb.jsontext import parse_json
from lifecycle.registry.challenge import Challenge, parse_challenges
from lifecycle.registry.credentials import Login
from lifecycle.registry.origin import Origin, without_query
from lifecycle.registry.request import Request
from lifecycle.registry.settings import RegistrySettings
from lifecycle.registry.trouble import Trouble, TroubleKind

if TYPE_CHECKING:
    from lifecycle.registry.http import Http, Response

_TOKEN_LIMIT = 1 << 20
# https://distribution.github.io/distribution/spec/auth/token/: a token without `expires_in` lives for 60 seconds, and no other
# for less.
_LEAST_LIFETIME_S = 60
_MARGIN_S = 10.0
_CLIENT_ID = "pybuild"
# Token servers of registries under another domain, as their operators document them.
_KNOWN_TOKEN_SERVERS = frozenset(
    {
        ("registry.redhat.io", "sso.redhat.com"),
        ("registry.connect.redhat.com", "sso.redhat.com"),
        ("nvcr.io", "authn.nvidia.com"),
    }
)
# `co.uk` belongs to nobody: so many labels at least must be the same there.
_LABELS, _LABELS_BELOW_COUNTRY = 2, 3


class TokenRefused(Exception):
    """The token server does not give a token; `status` and `content` are its answer."""

    def __init__(self, status: int, content: bytes) -> None:
        super().__init__(status)
        self.status = status
        self.content = content


class RealmForbidden(Exception):
    """The token server that the registry names must not be asked, or must not be shown the credentials."""

    def __init__(self, realm: str, reason: str, *, can_be_allowed: bool = False) -> None:
        super().__init__(reason)
        self.realm = realm
        self.reason = reason
        self.can_be_allowed = can_be_allowed


@dataclass(frozen=True, slots=True)
class _Token:
    value: str
    stale_at: float


class Authorizer:
    """What is shown to one registry, with the credentials for one repository. Safe for several threads."""

    def __init__(self, *, registry: str, login: Login | None, settings: RegistrySettings, http: Http) -> None:
        self._registry = registry
        self._login = login
        self._settings = settings
        self._http = http
        self._challenge: Challenge | None = None
        self._asked: dict[frozenset[str], frozenset[str]] = {}
        self._tokens: dict[frozenset[str], _Token] = {}
        self._lock = threading.Lock()

    def header(self, origin: Origin, scopes: frozenset[str]) -> str | None:
        """Return what to send as `Authorization`, from what the registry has asked for until now.

        Raises `RealmForbidden`, `TokenRefused`, `Trouble`.
        """
        if self._login is not None and self._login.registry_token is not None:
            return f"Bearer {self._login.registry_token}"
        with self._lock:
            if self._challenge is None:
                return None
            if self._challenge.scheme == "basic":
                return None if self._login is None else self._login.basic()
            token = self._tokens.get(scopes)
            if token is None or time.monotonic() > token.stale_at:
                token = self._tokens[scopes] = self._fetch(self._challenge, origin, scopes)
            return f"Bearer {token.value}"

    def learn(self, refusal: Response, scopes: frozenset[str], shown: str | None) -> bool:
        """Take the challenge of an answer 401 to a request that showed `shown`; return whether to ask again is of use."""
        challenges = parse_challenges(refusal.headers("WWW-Authenticate"))
        chosen = next((one for one in challenges if one.scheme == "bearer" and "realm" in one.parameters), None)
        if chosen is None:
            chosen = next((one for one in challenges if one.scheme == "basic"), None)
        if chosen is None or (self._login is not None and self._login.registry_token is not None):
            return False
        with self._lock:
            self._challenge = chosen
            # For these only: a token server may refuse all of a question because of one part of it.
            self._asked[scopes] = _asked_scopes(chosen, scopes)
            if chosen.scheme == "basic":
                return self._login is not None and shown != self._login.basic()
            kept = self._tokens.get(scopes)
            # Another thread may have had a new one meanwhile.
            if kept is not None and shown == f"Bearer {kept.value}":
                del self._tokens[scopes]
            return True

    def _fetch(self, challenge: Challenge, origin: Origin, scopes: frozenset[str]) -> _Token:
        realm = challenge.parameters["realm"]
        self._check(realm, origin)
        fields = [("service", service)] if (service := challenge.parameters.get("service")) else []
        fields += [("scope", scope) for scope in sorted(scopes | self._asked.get(scopes, frozenset()))]
        request = self._request(realm, fields, origin)
        try:
            response = self._http.open(request)
            response.load(_TOKEN_LIMIT)
        except Trouble as err:
            if err.kind is TroubleKind.FORBIDDEN:
                raise RealmForbidden(without_query(realm), err.reason) from err
            raise Trouble(err.kind, f"its token server: {err.reason}", host=err.host) from err
        if 300 <= response.status < 400:
            raise RealmForbidden(without_query(realm), "sends on to another place")
        if response.status != 200:
            raise TokenRefused(response.status, response.content)
        return _parse_token(response.content, realm)

    def _request(self, realm: str, fields: Sequence[tuple[str, str]], origin: Origin) -> Request:
        login = self._login
        is_same = Origin.of(realm) == origin
        most = None if is_same else self._http.reach(origin)
        if login is not None and login.identity_token is not None:
            form = [("grant_type", "refresh_token"), ("refresh_token", login.identity_token), ("client_id", _CLIENT_ID)]
            scope = " ".join(value for name, value in fields if name == "scope")
            service = [(name, value) for name, value in fields if name == "service"]
            body = urlencode([*form, *service, ("scope", scope)]).encode()
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            return Request(method="POST", url=realm, registry=self._registry, headers=headers, body=body, most=most)
        headers = {}
        if login is not None and (basic := login.basic()) is not None:
            headers["Authorization"] = basic
            fields = [("account", login.username), *fields]
        parts = urlsplit(realm)
        query = "&".join(part for part in (parts.query, urlencode(fields)) if part)
        url = urlunsplit((parts.scheme, parts.netloc, parts.path, query, ""))
        return Request(method="GET", url=url, registry=self._registry, headers=headers, most=most)

    def _check(self, realm: str, origin: Origin) -> None:
        """Raise `RealmForbidden` where the token server must not be asked (CVE-2020-15157, CVE-2026-33990)."""
        shown = without_query(realm)
        try:
            target = Origin.of(realm)
            has_user = "@" in urlsplit(realm).netloc
        except ValueError as err:
            raise RealmForbidden(shown, "is not a URL of HTTP") from err
        if has_user:
            raise RealmForbidden(shown, "has a user name in it")
        if target.scheme == "http" and origin.scheme == "https":
            raise RealmForbidden(shown, "is not asked over TLS, as the registry is")
        if self._login is None or target.host == origin.host:
            return
        if not (
            _have_same_owner(target.host, origin.host)
            or (origin.host, target.host) in _KNOWN_TOKEN_SERVERS
            or target.host in self._settings.token_servers
        ):
            raise RealmForbidden(shown, "may not have the credentials: its domain is another one", can_be_allowed=True)


def _have_same_owner(first: str, second: str) -> bool:
    """Whether two hosts are below one domain that somebody has registered, as `auth.docker.io` and `registry-1.docker.io` are."""
    one, other = first.split("."), second.split(".")
    if one[-1].isdigit() or ":" in first or other[-1].isdigit() or ":" in second:
        return first == second  # addresses
    is_below_country = len(one[-1]) == 2 and len(one) > 1 and len(one[-2]) <= 3
    labels = _LABELS_BELOW_COUNTRY if is_below_country else _LABELS
    return min(len(one), len(other)) >= labels and one[-labels:] == other[-labels:]


def _asked_scopes(challenge: Challenge, scopes: frozenset[str]) -> frozenset[str]:
    """Other scopes of the challenge, where they allow no more than was wanted: a mirror may have other names inside."""
    names = {scope.rpartition(":")[0] for scope in scopes}
    wanted = {action for scope in scopes for action in scope.rpartition(":")[2].split(",")}
    asked = challenge.parameters.get("scope", "").split()
    return frozenset(
        scope
        for scope in asked
        if scope.startswith("repository:")
        and scope.rpartition(":")[0] not in names
        and set(scope.rpartition(":")[2].split(",")) <= wanted
    )


def _parse_token(content: bytes, realm: str) -> _Token:
    try:
        answer = parse_json(content.decode("utf-8", "replace"), source="token")
        # Both names are in use (https://distribution.github.io/distribution/spec/auth/token/#token-response-fields).
        value = answer.optional_string("token") or answer.optional_string("access_token")
        lifetime = answer.values.get("expires_in")
    except ConfigurationError as err:
        raise Trouble(
            TroubleKind.BROKEN, f"the token server `{without_query(realm)}` does not answer with a token"
        ) from err
    if not value or not value.isascii() or not value.isprintable():
        raise Trouble(TroubleKind.BROKEN, f"the token server `{without_query(realm)}` does not answer with a token")
    seconds = lifetime if isinstance(lifetime, (int, float)) and not isinstance(lifetime, bool) else 0
    # By this machine's own clock that cannot be set; `issued_at` of another machine says nothing here.
    return _Token(value, time.monotonic() + max(_LEAST_LIFETIME_S, seconds) - _MARGIN_S)
