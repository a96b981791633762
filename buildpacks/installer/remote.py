"""Fetches requirement and constraint files that are named by URL."""

from __future__ import annotations

import hashlib
import ssl
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from buildpacks.installer.reader import Fetch, FetchFailed
from lifecycle.cnb.toml import write_atomically

_TIMEOUT_S = 20.0
_LIMIT = 16 * 1024 * 1024


def fetch_with_memory(directory: Path, notice: Callable[[str], None]) -> Fetch:
    """Return a function that fetches a URL, and keeps what it got in `directory` for the day when the URL does not answer."""

    def fetch(url: str) -> bytes:
        # Without credentials: the file must be found again when a token was replaced.
        kept = directory / hashlib.sha256(urlsplit(url)._replace(netloc=_host(url)).geturl().encode()).hexdigest()
        try:
            content = fetch_url(url)
        except FetchFailed as err:
            if not kept.is_file():
                raise
            notice(f"a file that the requirements include cannot be fetched ({err}); using what the last build got")
            return kept.read_bytes()
        directory.mkdir(parents=True, exist_ok=True)
        write_atomically(kept, content)
        return content

    return fetch


def fetch_url(url: str) -> bytes:
    """Return what is at an `http` or `https` URL, by the proxies and certificates of the environment. Raises `FetchFailed`."""
    parts = urlsplit(url)
    if parts.scheme.lower() not in ("http", "https"):
        raise FetchFailed(f"`{parts.scheme}` is not a scheme that can be fetched")
    request = urllib.request.Request(  # noqa: S310 - the scheme was checked
        urlunsplit(parts._replace(netloc=_host(url), fragment="")), headers={"User-Agent": "pybuild"}
    )
    if parts.username is not None:
        secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        request.add_unredirected_header("Authorization", f"Basic {b64encode(secret).decode()}")
    try:
        opener = urllib.request.build_opener(_OnlyHttp(), urllib.request.HTTPSHandler(context=_certificates()))
        with opener.open(request, timeout=_TIMEOUT_S) as response:
            content: bytes = response.read(_LIMIT + 1)
    except urllib.error.HTTPError as err:
        raise FetchFailed(f"the server answered {err.code} {err.reason}") from err
    except (OSError, HTTPException, ValueError) as err:
        reason = getattr(err, "reason", None) or err
        raise FetchFailed(str(reason)[:200]) from err
    if len(content) > _LIMIT:
        raise FetchFailed("it is larger than 16 MiB")
    return content


class _OnlyHttp(urllib.request.HTTPRedirectHandler):
    """Follows redirects to web servers only; the standard library would follow to `ftp:` as well."""

    def redirect_request(self, *args: object) -> urllib.request.Request | None:
        new_url = str(args[-1])
        if urlsplit(new_url).scheme.lower() not in ("http", "https"):
            raise FetchFailed("the server redirects to something that is no web page")
        return super().redirect_request(*args)  # type: ignore[arg-type]


def _certificates() -> ssl.SSLContext:
    # The default context reads SSL_CERT_FILE itself.
    return ssl.create_default_context()


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]
