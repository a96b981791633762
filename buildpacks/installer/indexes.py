"""Where packages come from: what the build's environment says in pip's and uv's words, and what requirement files add.

https://pip.pypa.io/en/stable/topics/configuration/#environment-variables, https://docs.astral.sh/uv/reference/environment/
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlsplit, urlunsplit

from buildpacks.installer.credentials import without_credentials

# pip's default, and uv's
PYPI = "https://pypi.org/simple"


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexSettings:
    """Package indexes. URLs may hold credentials: they go to the tools, never into a layer or the log."""

    index_urls: tuple[str, ...] = (PYPI,)
    """The default index, then the extra ones."""
    find_links: tuple[str, ...] = ()
    no_index: bool = False
    trusted_hosts: tuple[str, ...] = ()

    def render(self) -> str:
        """Return the settings as lines of a requirement file; trusted hosts are not among them, uv has no line for them."""
        lines = ["--no-index"] if self.no_index else []
        if not self.no_index and self.index_urls:
            lines += [f"--index-url {self.index_urls[0]}"]
            lines += [f"--extra-index-url {url}" for url in self.index_urls[1:]]
        lines += [f"--find-links {place}" for place in self.find_links]
        return "".join(f"{line}\n" for line in lines)

    def public(self) -> tuple[str, ...]:
        """Return the settings as lines to compare and to show."""
        trusted = (f"--trusted-host {host}" for host in self.trusted_hosts)
        return (*without_credentials(self.render()).splitlines(), *trusted)


def read_index_settings(env: Mapping[str, str]) -> IndexSettings:
    """Return what `PIP_*` variables say, and `UV_*` ones where pip's are silent."""
    default = env.get("PIP_INDEX_URL") or env.get("UV_DEFAULT_INDEX") or env.get("UV_INDEX_URL") or PYPI
    extra = env.get("PIP_EXTRA_INDEX_URL") or f"{env.get('UV_INDEX', '')} {env.get('UV_EXTRA_INDEX_URL', '')}"
    # pip separates by white space, uv find-links by commas (an URL may hold none of them unescaped)
    find_links = (env.get("PIP_FIND_LINKS") or env.get("UV_FIND_LINKS", "").replace(",", " ")).split()
    trusted = (env.get("PIP_TRUSTED_HOST") or env.get("UV_INSECURE_HOST", "")).split()
    return IndexSettings(
        index_urls=tuple(dict.fromkeys(_named_url(word, env) for word in (default, *extra.split()))),
        find_links=tuple(find_links),
        no_index=(env.get("PIP_NO_INDEX") or env.get("UV_NO_INDEX", "")).lower() in ("1", "true", "yes", "on"),
        trusted_hosts=tuple(trusted),
    )


def _named_url(word: str, env: Mapping[str, str]) -> str:
    """uv's `name=URL` as a URL; the credentials that stand in variables of that name are put into it."""
    found = re.fullmatch(r"([\w.-]+)=(.+)", word)
    if found is None:
        return word
    variable, url = re.sub(r"[^A-Z0-9]", "_", found[1].upper()), found[2]
    user, password = env.get(f"UV_INDEX_{variable}_USERNAME", ""), env.get(f"UV_INDEX_{variable}_PASSWORD", "")
    parts = urlsplit(url)
    if "@" in parts.netloc or not (user or password):
        return url
    secret = f"{quote(user, safe='')}:{quote(password, safe='')}"
    return urlunsplit(parts._replace(netloc=f"{secret}@{parts.netloc}"))
