"""Credentials of `[[tool.poetry.source]]`: they come from the build's environment, go to the tools, and are kept nowhere.

https://python-poetry.org/docs/1.8/repositories/#configuring-credentials
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, urlsplit, urlunsplit


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
