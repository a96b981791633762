"""What looks like a secret, by its name or by itself. A guess: it warns, and hides values in logs; it decides nothing else."""

from __future__ import annotations

import re

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_SECRET_WORDS = frozenset(
    {"auth", "credential", "credentials", "key", "password", "passphrase", "passwd", "pwd", "pword", "secret", "secrets", "token"}
    | {"apikey", "pat"}
)  # fmt: skip
# A name with one of these is about a secret, and holds none: `TOKEN_FILE`, `PUBLIC_KEY`. GPG keys are named to check downloads.
_HARMLESS_WORDS = frozenset(
    {"public", "pub", "file", "path", "dir", "directory", "url", "uri", "version", "id", "type", "name", "host", "size", "gpg"}
    | {"ttl", "timeout", "length", "algorithm", "method", "enabled", "keyring", "server"}
)  # fmt: skip
# Settings, not secrets.
_HARMLESS_VALUES = frozenset({"", "true", "false", "yes", "no", "on", "off", "0", "1", "none", "null"})
# The forms that issuers publish, so that scanners find them (https://docs.github.com/en/code-security/secret-scanning).
_SECRET = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{50}|glpat-[A-Za-z0-9_-]{20}"  # GitHub, GitLab
    r"|A(?:KIA|SIA)[A-Z0-9]{16}(?![A-Z0-9])|AIza[A-Za-z0-9_-]{35}"  # AWS, Google
    r"|xox[abeoprs]-[A-Za-z0-9-]{10}|sk-[A-Za-z0-9_-]{20}|[sr]k_live_[A-Za-z0-9]{16}"  # Slack, OpenAI and others, Stripe
    r"|pypi-AgEI[A-Za-z0-9_-]{50}|hf_[A-Za-z0-9]{30}|npm_[A-Za-z0-9]{36}|dckr_pat_[A-Za-z0-9_-]{20}"
    r"|eyJ[A-Za-z0-9_-]{8,200}\.eyJ[A-Za-z0-9_-]{8}"  # JSON Web Tokens
    r")|-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----"
    # A password in a URL; a variable there is none.
    r"|[a-z]://[^\s/:@'\"$]{1,100}:[^\s/@'\"${}<>*]{1,200}@"
)


def is_secret(name: str, value: str | None) -> bool:
    """Whether a variable looks as if it held a secret; `value` is `None` where it is not known yet."""
    if value is not None and holds_secret(value):
        return True
    if value is not None and value.strip("\"'").lower() in _HARMLESS_VALUES:
        return False
    words = {word.lower() for word in _WORDS.findall(name)}
    return bool(words & _SECRET_WORDS) and not words & _HARMLESS_WORDS


def holds_secret(text: str) -> bool:
    """Whether something in `text` has the form of a token, of a private key or of a password in a URL."""
    return _SECRET.search(text) is not None
