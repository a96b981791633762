"""A repository of a registry: questions that it answers, with credentials where they are wanted, again where that helps, and with an error
that says what to do.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from lifecycle.cnb.errors import printable
from lifecycle.cnb.reference import Reference
from lifecycle.registry.answer import RETRIED_STATUSES, error_codes, said
from lifecycle.registry.authorization import Authorizer, RealmForbidden, TokenRefused
from lifecycle.registry.credentials import Found
from lifecycle.registry.errors import (
    AccessDenied,
    BlobsUnknown,
    CertificateRefused,
    LoginNeeded,
    LoginRefused,
    NoSuchImage,
    RateLimited,
    RealmRefused,
    RedirectRefused,
    RegistryError,
    RegistryFailed,
    RegistryUnreachable,
    TooMuch,
    UnexpectedAnswer,
)
from lifecycle.registry.origin import Origin, without_query
from lifecycle.registry.question import ATTEMPTS, FIRST_DELAY_S, PassingFailure, Question
from lifecycle.registry.request import Request
from lifecycle.registry.settings import RegistrySettings, host_of, is_loopback, split_host
from lifecycle.registry.trouble import Trouble, TroubleKind, is_retried

if TYPE_CHECKING:
    from lifecycle.registry.http import Http, Response

# A host that is not there is not there a minute later.
_CONNECTION_ATTEMPTS = 2
_REDIRECT_LIMIT = 5
# Those that keep method and body, for all (https://www.rfc-editor.org/rfc/rfc9110#section-15.4).
_REDIRECTS_OF_ALL = frozenset({307, 308})
_REDIRECTS = dict.fromkeys(("GET", "HEAD"), _REDIRECTS_OF_ALL | {301, 302, 303})
# https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#error-codes: of a manifest whose blobs are not there
_BLOB_CODES = frozenset({"MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN"})
_ERROR_LIMIT = 64 * 1024


class Repository:
    """One repository of a registry. Made by `RegistryClient.repository`."""

    def __init__(
        self,
        reference: Reference,
        settings: RegistrySettings,
        http: Http,
        found: Found,
        wait: Callable[[float, str], object],
    ) -> None:
        self.registry = reference.registry
        self._name = reference.repository
        self._settings = settings
        self._http = http
        self._found = found
        self._wait = wait
        self._authorizer = Authorizer(registry=reference.registry, login=found.login, settings=settings, http=http)
        self._base: str | None = None
        self._lock = threading.Lock()

    def ask(self, question: Question, *, image: str) -> Response:
        """Return an answer with a status below 300. `image` is what errors call it.

        Raises:
            RegistryError: there is none.
            CommandTimeout: the deadline came before it.
        """
        delay = FIRST_DELAY_S
        for attempt in count(1):
            try:
                return self.ask_once(question, image=image, attempt=attempt)
            except PassingFailure as err:
                if attempt >= min(question.attempts, err.attempts):
                    raise err.error from err
                self._wait(err.wait_s(delay), err.reason)
                delay *= 2
        raise AssertionError("a question needs an attempt")

    def ask_once(self, question: Question, *, image: str, attempt: int = 1) -> Response:
        """Return an answer with a status below 300, of the attempt with the number `attempt`.

        Raises:
            PassingFailure: there is none now.
            RegistryError: there is none.
        """
        try:
            response = self._ask(question, image)
            if response.status < 300 and question.limit is not None:
                response.load(question.limit)
        except Trouble as err:
            error = self.error_of_trouble(err, image, is_push=question.is_push)
            if not is_retried(err):
                raise error from err
            attempts = _CONNECTION_ATTEMPTS if err.kind is TroubleKind.UNREACHABLE else ATTEMPTS
            raise PassingFailure(error, f"{err.host or self._host}: {err.reason}", attempts=attempts) from err
        except TokenRefused as err:
            # 400 to a damaged refresh token; GitHub's answers 403 to wrong credentials.
            status = 401 if err.status in (400, 403) else err.status
            error = self._error_of_status(status, err.content, question, image, attempt)
            if err.status not in RETRIED_STATUSES:
                raise error from err
            raise PassingFailure(error, f"the token server of {self._host} answers with status {err.status}") from err
        if response.status < 300:
            self._check_encoding(response, image, is_push=question.is_push)
            return response
        with contextlib.suppress(Trouble):
            response.load(_ERROR_LIMIT)
        error = self._error_of_status(response.status, response.content, question, image, attempt)
        if response.status not in RETRIED_STATUSES:
            raise error
        raise PassingFailure(
            error,
            f"{self._host} answers with status {response.status}",
            wanted_wait=response.header("Retry-After"),
        )

    def error_of_trouble(self, err: Trouble, image: str, *, is_push: bool = False) -> RegistryError:
        """Return what `Trouble` means to the person who wants `image`."""
        host = err.host or self._host
        if err.kind in (TroubleKind.CERTIFICATE, TroubleKind.NOT_TLS):
            return CertificateRefused(image=image, host=host, reason=err.reason, details=self._notes(), is_push=is_push)
        return RegistryUnreachable(
            image=image,
            host=host,
            reason=err.reason,
            was_connected=err.kind is TroubleKind.BROKEN,
            details=self._notes(),
            is_push=is_push,
        )

    def unexpected(self, reason: str, image: str, *, is_push: bool = False) -> UnexpectedAnswer:
        """Return the error for an answer that no registry should give."""
        return UnexpectedAnswer(image=image, registry=self.registry, reason=reason, is_push=is_push)

    def _check_encoding(self, response: Response, image: str, *, is_push: bool) -> None:
        """Raise `UnexpectedAnswer` where the body is not the bytes that have the digest: none but those were asked for."""
        encoding = response.header("Content-Encoding")
        if encoding not in (None, "", "identity"):
            response.close()
            raise self.unexpected(
                f"sends it in the encoding `{printable(encoding)[:40]}`, which was not asked for",
                image,
                is_push=is_push,
            )

    @property
    def _host(self) -> str:
        return host_of(self.registry)

    def _ask(self, question: Question, image: str) -> Response:
        base = self._find_base()
        url = question.url or f"{base}/v2/{self._name}/{question.path}"
        origin = Origin.of(base)
        scopes = {f"repository:{self._name}:{','.join(question.actions)}"}
        if question.source is not None:
            scopes.add(f"repository:{question.source}:pull")
        was_refused = False
        while True:
            try:
                shown = self._authorizer.header(origin, frozenset(scopes))
            except RealmForbidden as err:
                raise RealmRefused(
                    image=image,
                    registry=self.registry,
                    realm=err.realm,
                    reason=err.reason,
                    can_be_allowed=err.can_be_allowed,
                    is_push=question.is_push,
                ) from err
            response = self._follow(url, origin, question, shown, image)
            # What another host asks for is not for this registry to be shown.
            is_own = Origin.of(response.url) == origin
            if response.status != 401 or was_refused or not is_own:
                return response
            if not self._authorizer.learn(response, frozenset(scopes), shown):
                return response
            # To be asked who one is refuses nothing. The token shown then may be one that ends while another thread uses it.
            was_refused = shown is not None
            response.close()

    def _follow(self, url: str, registry: Origin, question: Question, shown: str | None, image: str) -> Response:
        """The answer, after redirects; the credentials go to the registry only."""
        for _ in range(_REDIRECT_LIMIT):
            try:
                origin = Origin.of(url)
            except ValueError as err:
                raise self._redirect_refused(url, "is not a URL of HTTP", question, image) from err
            if registry.scheme == "https" and origin.scheme != "https":
                raise self._redirect_refused(url, "is not asked over TLS, as the registry is", question, image)
            headers = dict(question.headers)
            if shown is not None and origin == registry:
                headers["Authorization"] = shown
            request = Request(
                method=question.method,
                url=url,
                registry=self.registry,
                headers=headers,
                body=question.body,
                most=None if origin == registry else self._http.reach(registry),
                takes_long=question.takes_long,
            )
            try:
                response = self._http.open(request)
            except Trouble as err:
                if err.kind is TroubleKind.FORBIDDEN:
                    raise self._redirect_refused(url, err.reason, question, image) from err
                raise
            target = response.header("Location")
            if response.status not in _REDIRECTS.get(question.method, _REDIRECTS_OF_ALL) or not target:
                return response
            response.close()
            try:
                url = urljoin(url, target)
            except ValueError as err:
                raise self._redirect_refused(target, "is not a URL of HTTP", question, image) from err
        raise self._redirect_refused(url, f"is the end of more than {_REDIRECT_LIMIT} redirects", question, image)

    def _redirect_refused(self, url: str, reason: str, question: Question, image: str) -> RedirectRefused:
        return RedirectRefused(
            image=image,
            registry=self.registry,
            target=without_query(url),
            reason=reason,
            is_push=question.is_push,
        )

    def _find_base(self) -> str:
        """`https://HOST`; `http://HOST` for a registry that may do without TLS and does."""
        with self._lock:
            if self._base is None:
                self._base = self._probe()
            return self._base

    def _probe(self) -> str:
        secure = f"https://{self._host}"
        is_listed = self._settings.is_insecure(self.registry)
        if not (is_listed or is_loopback(split_host(self._host)[0])):
            return secure
        try:
            self._http.open(Request(method="GET", url=f"{secure}/v2/", registry=self.registry, headers={})).close()
        except Trouble as err:
            has_port = split_host(self._host)[1] is not None
            # Where https has a port of its own, nobody listening there says nothing of http.
            is_plain = err.kind in (TroubleKind.NOT_TLS, TroubleKind.BROKEN)
            is_elsewhere = err.kind is TroubleKind.UNREACHABLE and not has_port
            if not (is_plain or is_elsewhere or is_listed):
                raise
            return f"http://{self._host}"
        return secure

    def _error_of_status(
        self, status: int, content: bytes, question: Question, image: str, attempts: int
    ) -> RegistryError:
        url = question.url or f"{self._base}/v2/{self._name}/{question.path}"
        answer = f"{status} {said(content)}".strip()
        details = (("asked", f"{question.method} {without_query(url)}"), ("answer", answer), *self._notes())
        login, is_push, what = self._found.login, question.is_push, question.what

        def make(kind: Callable[..., RegistryError], **values: object) -> RegistryError:
            return kind(image=image, registry=self.registry, details=details, status=status, is_push=is_push, **values)

        if status == 401 and login is None:
            return make(LoginNeeded)
        if status == 401 and login is not None:
            return make(LoginRefused, origin=login.origin)
        if status == 403:
            return make(AccessDenied)
        if question.method == "PUT" and question.url is None and not error_codes(content).isdisjoint(_BLOB_CODES):
            return make(BlobsUnknown)
        if status == 404 and question.url is not None:
            return make(UnexpectedAnswer, reason="does not know the upload any more that it has begun")
        if status == 404:
            return make(NoSuchImage, what=what)
        if status == 413 and is_push:
            return make(TooMuch, what=what)
        if status == 429:
            return make(RateLimited, attempts=attempts)
        if status >= 500:
            return make(RegistryFailed, attempts=attempts)
        return make(UnexpectedAnswer, reason=f"answers with status {status}")

    def _notes(self) -> tuple[tuple[str, str], ...]:
        """What there is to say of the credentials."""
        found = self._found
        notes = [("credentials", problem) for problem in found.problems]
        if found.login is not None:
            whose = f"of `{found.login.username}` " if found.login.username else ""
            notes.append(("credentials", f"{whose}from {found.login.origin}"))
        elif found.places:
            notes.append(("credentials", f"none for {self.registry} in {', '.join(found.places)}"))
        return tuple(notes)
