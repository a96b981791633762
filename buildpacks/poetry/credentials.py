"""Credentials: those of `[[tool.poetry.source]]` come from the build's environment, others stand in URLs of pyproject.toml.

They go to the tools that need them, and are kept nowhere: neither in a lock that is made for the build nor in a layer.

https://python-poetry.org/docs/1.8/repositories/#configuring-credentials
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, urlsplit, urlunsplit

from buildpacks.installer.credentials import read_credentials
from buildpacks.poetry.project import PoetryProject


def credential_variables(source: str) -> tuple[str, str]:
    """Return the names of the variables with the user and the password of a source, as Poetry has them."""
    name = source.upper().replace("-", "_")
    return f"POETRY_HTTP_BASIC_{name}_USERNAME", f"POETRY_HTTP_BASIC_{name}_PASSWORD"


def with_source_credentials(url: str, source: str, env: Mapping[str, str]) -> str:
    """Return the URL of a source for a tool that takes credentials in it; as it is where there are none."""
    user, password = (env.get(variable, "") for variable in credential_variables(source))
    parts = urlsplit(url)
    if not (user or password):
        return url
    secret = f"{quote(user, safe='')}:{quote(password, safe='')}"
    return urlunsplit(parts._replace(netloc=f"{secret}@{parts.netloc.rpartition('@')[2]}"))


def read_secrets(project: PoetryProject) -> Mapping[str, str]:
    """Return the user parts of the URLs in pyproject.toml, by the URL without its scheme."""
    urls = (*(one.location for one in project.dependencies), *(one.url for one in project.sources))
    return read_credentials(url for url in urls if url is not None)


def with_secrets(lock: str, project: PoetryProject) -> str:
    """Return a lock whose URLs have the user parts of those in pyproject.toml, as Poetry compares the two."""
    for place, user in read_secrets(project).items():
        lock = lock.replace(f'://{place}"', f'://{user}@{place}"')
    return lock
