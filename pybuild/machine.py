"""What the process says of its machine. Nothing else of the library reads its environment, so whoever calls it can say something else."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from pathlib import Path


def machine_env(host_env: Mapping[str, str] | None) -> Mapping[str, str]:
    """Return the variables of the machine: `host_env`, which the caller says, else those that the process has now."""
    return dict(os.environ if host_env is None else host_env)


def home_directory(env: Mapping[str, str]) -> Path:
    """Return the home directory that `env` names, else that of the user's account; `/` where there is none, as containers have it."""
    named = env.get("HOME")
    if named:
        return Path(named)
    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        return Path("/")


def user_name() -> str:
    """Return the name of the user whose process this is, or the number where that has no account."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def expand_home(text: str, home: Path) -> Path:
    """Return the path that a person means by `text`, where `~` is `home`; `~name` is another user's, as accounts say."""
    first, _, rest = text.partition("/")
    return home / rest if first == "~" else Path(text).expanduser()
