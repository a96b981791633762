"""What this machine says of registries: certificates, proxies, credentials, and which registries need no TLS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from lifecycle.cnb.deadline import NEVER, Deadline
from lifecycle.registry.client import RegistryClient
from lifecycle.registry.credentials import find_login
from lifecycle.registry.settings import RegistrySettings

PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY")
INSECURE_VARIABLE, _TOKEN_SERVERS_VARIABLE = "CNB_INSECURE_REGISTRIES", "PYBUILD_TOKEN_SERVERS"
_CERTIFICATE_DIRS = (Path("/etc/containers/certs.d"), Path("/etc/docker/certs.d"))
# Where distributions keep the certificates that the administrator of the machine trusts.
_CA_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
_CA_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "CURL_CA_BUNDLE")


def open_registries(
    env: Mapping[str, str],
    home: Path,
    *,
    proxies: Mapping[str, str],
    ca_bundle: Path | None,
    insecure: Sequence[str] = (),
    deadline: Deadline = NEVER,
) -> RegistryClient:
    """Return a client for registries with the machine's credentials.

    `insecure`, and `CNB_INSECURE_REGISTRIES`, name registries that need no TLS.
    """
    config_home = Path(env.get("XDG_CONFIG_HOME") or home / ".config")
    settings = RegistrySettings(
        ca_bundle=ca_bundle,
        certificate_dirs=(config_home / "containers" / "certs.d", *_CERTIFICATE_DIRS),
        proxies=proxies,
        insecure=frozenset({*insecure, *_words(env.get(INSECURE_VARIABLE, ""))}),
        token_servers=frozenset(_words(env.get(_TOKEN_SERVERS_VARIABLE, ""))),
    )
    return RegistryClient(
        settings=settings, find_login=lambda reference: find_login(reference, env, home), deadline=deadline
    )


def read_proxies(env: Mapping[str, str], others: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the proxies of `env` in both spellings; `others`, lower case, stand in for what it does not say."""
    found = {}
    for name in PROXY_VARIABLES:
        # The lower-case spelling is the older and the one that curl prefers.
        value = env.get(name.lower()) or env.get(name) or (others or {}).get(name.lower())
        if value:
            found[name] = found[name.lower()] = value
    return found


def find_ca_bundle(env: Mapping[str, str], *, others: Sequence[Path] = ()) -> Path | None:
    """Return the certificates that `env` names, else the first of `others`, else the distribution's."""
    named = [Path(env[name]) for name in _CA_VARIABLES if env.get(name)]
    return next((path for path in (*named, *others, *map(Path, _CA_BUNDLES)) if path.is_file()), None)


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in text.replace(",", " ").split() if word)
