"""What can go wrong with registries.

CnbError
  RegistryError         32, 62   an image cannot be had from its registry, or not be put there
    RegistryUnreachable     32   no connection, or it breaks, or nothing comes for too long
    CertificateRefused      32   the registry cannot prove who it is
    LoginNeeded             32   401, and there are no credentials
    LoginRefused            32   401, with the credentials that there are
    AccessDenied            32   403
    NoSuchImage             32   404
    TooMuch                 62   413
    ManifestRefused         62   another answer to a manifest than that it is taken
    BlobsUnknown            62   the registry lacks blobs of the image that it was said to have
    RateLimited             32   429, again and again
    RegistryFailed          32   5xx, again and again
    UnexpectedAnswer        32   an answer that no registry should give
    RealmRefused            32   the registry sends to a token server that may not have the credentials
    RedirectRefused         32   the registry sends to where it should not
    PlatformMissing         32   the image is not made for the platform
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

from lifecycle.cnb.errors import CnbError


@dataclass(eq=False, kw_only=True)
class RegistryError(CnbError):
    """Root of this package's errors: `image` is what was wanted, `details` what was asked and answered."""

    image: str
    details: tuple[tuple[str, str], ...] = ()
    status: int | None = None
    """Of the answer, where there was one."""
    is_push: bool = False
    """Whether something was to be put there."""

    @property
    def exit_code(self) -> int:  # type: ignore[override]  # images are taken in one phase and put in another
        """The code of the phase."""
        return 62 if self.is_push else 32

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """What was asked and answered."""
        return self.details


@dataclass(eq=False, kw_only=True)
class RegistryUnreachable(RegistryError):
    """No connection, or it breaks, or nothing comes for too long."""

    host: str
    reason: str
    was_connected: bool = False

    @property
    def summary(self) -> str:
        """Which registry, and why not."""
        if self.was_connected:
            return f"`{self.image}`: the connection to the registry {self.host} failed: {self.reason}"
        return f"`{self.image}`: the registry {self.host} cannot be reached: {self.reason}"

    @property
    def hint(self) -> str | None:
        """What to look at."""
        if self.was_connected:
            return (
                "try again; what has come is kept" if not self.is_push else "try again; what is there is not sent again"
            )
        return "check the name of the registry, the network and the proxy settings (`HTTPS_PROXY`, `NO_PROXY`)"


@dataclass(eq=False, kw_only=True)
class CertificateRefused(RegistryError):
    """The registry cannot prove who it is, or does not speak TLS."""

    host: str
    reason: str

    @property
    def summary(self) -> str:
        """Which registry, and what is wrong with its certificate."""
        return f"`{self.image}`: the registry {self.host} is not trusted: {self.reason}"

    @property
    def hint(self) -> str | None:
        """How to trust it."""
        return (
            "name the certificate of its authority with `SSL_CERT_FILE`, or put it into "
            f"`/etc/containers/certs.d/{self.host}/ca.crt`; `--insecure-registry {self.host}` does without any proof"
        )


@dataclass(eq=False, kw_only=True)
class LoginNeeded(RegistryError):
    """The registry wants credentials, and there are none for it."""

    registry: str

    @property
    def summary(self) -> str:
        """Which image of which registry."""
        return f"`{self.image}`: the registry {self.registry} wants credentials, and there are none for it"

    @property
    def hint(self) -> str | None:
        """How to have some."""
        hint = f"log in with `docker login {self.registry}` or `skopeo login {self.registry}`, or name a file with `REGISTRY_AUTH_FILE`"
        if self.is_push:
            return hint
        # Docker Hub answers so for repositories that do not exist.
        return f"check the name first, an image that does not exist is answered like this as well; {hint}"


@dataclass(eq=False, kw_only=True)
class LoginRefused(RegistryError):
    """The registry does not take the credentials that there are for it."""

    registry: str
    origin: str

    @property
    def summary(self) -> str:
        """Whose credentials of which registry."""
        return f"`{self.image}`: the registry {self.registry} refuses the credentials from {self.origin}"

    @property
    def hint(self) -> str | None:
        """How to have others."""
        return f"log in again with `docker login {self.registry}` or `skopeo login {self.registry}`"


@dataclass(eq=False, kw_only=True)
class AccessDenied(RegistryError):
    """The registry knows who asks, and does not allow it."""

    registry: str

    @property
    def summary(self) -> str:
        """Which image."""
        return f"`{self.image}`: the registry {self.registry} denies access"

    @property
    def hint(self) -> str | None:
        """Whom to ask."""
        right = "write to" if self.is_push else "read"
        return f"use credentials that may {right} this repository, or ask its owner for that right"


@dataclass(eq=False, kw_only=True)
class NoSuchImage(RegistryError):
    """The registry has no such repository, tag or blob."""

    registry: str
    what: str = "image"

    @property
    def summary(self) -> str:
        """Which image."""
        return f"`{self.image}`: the registry {self.registry} has no such {self.what}"

    @property
    def hint(self) -> str | None:
        """What to check."""
        if self.is_push:
            return "check the name; some registries want a repository to be made before something is put into it"
        return "check the name and the tag"


@dataclass(eq=False, kw_only=True)
class TooMuch(RegistryError):
    """The registry, or a proxy in front of it, does not take so much at once."""

    registry: str
    what: str = "image"

    @property
    def summary(self) -> str:
        """Which registry, and what of the image."""
        return f"`{self.image}`: the {self.what} is larger than what the registry {self.registry} takes"

    @property
    def hint(self) -> str | None:
        """Where such limits are."""
        return "raise the limit of the registry or of the proxy in front of it (of nginx: `client_max_body_size`)"


@dataclass(eq=False, kw_only=True)
class ManifestRefused(RegistryError):
    """The registry does not take the document that names the blobs."""

    registry: str

    @property
    def summary(self) -> str:
        """Which registry."""
        return f"`{self.image}`: the registry {self.registry} does not take the manifest of the image"

    @property
    def hint(self) -> str | None:
        """What registries have against manifests."""
        return "its answer says why; one that knows only the form that Docker had before OCI cannot keep this image"


@dataclass(eq=False, kw_only=True)
class BlobsUnknown(RegistryError):
    """The registry does not take a manifest, because blobs are missing that it took or said to have."""

    registry: str

    @property
    def summary(self) -> str:
        """Which registry."""
        return f"`{self.image}`: the registry {self.registry} has lost layers that were put there"

    @property
    def hint(self) -> str | None:
        """Who can help."""
        return "try again; if that does not help, the storage of the registry is damaged"


@dataclass(eq=False, kw_only=True)
class RateLimited(RegistryError):
    """The registry wants fewer requests; waiting did not help."""

    registry: str
    attempts: int

    @property
    def summary(self) -> str:
        """Which registry."""
        return f"`{self.image}`: rate limited by the registry {self.registry}, after {self.attempts} attempts"

    @property
    def hint(self) -> str | None:
        """What helps."""
        if self.is_push:
            return "wait, and try again; what is there is not sent again"
        return (
            f"wait, or log in with `docker login {self.registry}` (limits are higher then), or take the image from a mirror or "
            "from disk with `--base NAME=LOCATION`"
        )


@dataclass(eq=False, kw_only=True)
class RegistryFailed(RegistryError):
    """The registry has an error of its own; trying again did not help."""

    registry: str
    attempts: int

    @property
    def summary(self) -> str:
        """Which registry, which status."""
        attempts = f", after {self.attempts} attempts" if self.attempts > 1 else ""
        return f"`{self.image}`: the registry {self.registry} answers with status {self.status}{attempts}"

    @property
    def hint(self) -> str | None:
        """What helps."""
        if self.status == HTTPStatus.INSUFFICIENT_STORAGE:
            return "the registry has no room left; ask who runs it"
        return "try again later"


@dataclass(eq=False, kw_only=True)
class UnexpectedAnswer(RegistryError):
    """An answer that no registry should give."""

    registry: str
    reason: str

    @property
    def summary(self) -> str:
        """Which registry, and what is odd."""
        return f"`{self.image}`: the registry {self.registry} {self.reason}"


@dataclass(eq=False, kw_only=True)
class RealmRefused(RegistryError):
    """The registry sends to a token server that may not have the credentials, or that nobody should be sent to."""

    registry: str
    realm: str
    reason: str
    can_be_allowed: bool = False

    @property
    def summary(self) -> str:
        """Which registry, which server, and why not."""
        return f"`{self.image}`: the registry {self.registry} sends to the token server `{self.realm}`, which {self.reason}"

    @property
    def hint(self) -> str | None:
        """How to allow it, where that is possible."""
        if not self.can_be_allowed:
            return None
        return f"if it belongs to {self.registry}, name its host in `PYBUILD_TOKEN_SERVERS`"


@dataclass(eq=False, kw_only=True)
class RedirectRefused(RegistryError):
    """The registry sends to where it should not."""

    registry: str
    target: str
    reason: str

    @property
    def summary(self) -> str:
        """Which registry, where to, and why not."""
        return f"`{self.image}`: the registry {self.registry} redirects to `{self.target}`, which {self.reason}"

    @property
    def hint(self) -> str | None:
        """Why a registry may send from TLS to where there is none."""
        if not (self.is_push and self.target.startswith("http://")):
            return None
        return (
            "behind a proxy, a registry has to be told that it is reached over TLS (`X-Forwarded-Proto`), "
            "or to name places without a host (of Distribution: `http.relativeurls`)"
        )


@dataclass(eq=False, kw_only=True)
class PlatformMissing(RegistryError):
    """The image is not made for the platform; `available` are those that it is made for."""

    wanted: str
    available: tuple[str, ...]

    @property
    def summary(self) -> str:
        """Which image, which platform."""
        return f"`{self.image}` is not made for {self.wanted}"

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """What it is made for."""
        return (*self.details, ("made for", ", ".join(self.available) or "nothing that it names"))

    @property
    def hint(self) -> str | None:
        """What to do."""
        return f"use an image that is made for {self.wanted}"
