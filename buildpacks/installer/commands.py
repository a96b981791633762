"""The command lines and environment of uv and pip.

Requirements reach a tool in a file of a private temporary directory, index options with their credentials included: command
lines can be read by every user of a machine, and are shown in the log.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from buildpacks.installer.foreign import Foreign, uv_options
from buildpacks.installer.inputs import render_options
from buildpacks.installer.reader import RequirementSet
from lifecycle.cnb.command import CommandResult
from lifecycle.cnb.kit import BuildContext

# 1980-01-01, the first day that a wheel, being a ZIP archive, can hold
_EPOCH = "315532800"
# Settings of uv and pip that say nothing about what is installed, and those of certificates.
_KEPT = frozenset({"UV_HTTP_TIMEOUT", "UV_HTTP_RETRIES", "UV_SYSTEM_CERTS", "UV_NATIVE_TLS", "PIP_CERT", "PIP_RETRIES"})
_REMOVED = frozenset({"VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONUSERBASE"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRun:
    """Runs one tool in one build."""

    context: BuildContext
    found: RequirementSet
    cache_dir: Path
    index_strategy: Literal["unsafe-best-match", "first-index"] = "unsafe-best-match"
    """How uv chooses among several indexes. pip knows no priority among them: the best version of all."""
    foreign: Foreign | None = None
    """What the environment is for where that is not this machine."""

    def uv(self, uv: Path, *arguments: str, quiet: bool = False, echo: bool = True) -> CommandResult:
        """Return how `uv <arguments>` ended; its settings come from here and nowhere else."""
        options = [
            "--no-config",
            "--color=never",
            "--no-progress",
            f"--cache-dir={self.cache_dir / 'uv'}",
        ]
        return self._run([str(uv), *arguments, *options], quiet=quiet, echo=echo)

    def uv_options(self) -> list[str]:
        """Return the options of the requirement files for `uv pip compile` and `uv pip install`."""
        options = self.found.options
        arguments = [f"--index-strategy={self.index_strategy}"]
        arguments += [f"--allow-insecure-host={host}" for host in options.indexes.trusted_hosts]
        arguments += [f"--no-binary={name}" for name in options.no_binary]
        arguments += [f"--only-binary={name}" for name in options.only_binary if self.foreign is None]
        arguments += [] if self.foreign is None else uv_options(self.foreign, self.found)
        arguments += ["--prerelease=allow"] if options.pre else []
        for line in self.found.requirements:
            name = line.requirement.name
            arguments += [f"--config-settings-package={name}:{setting}" for setting in line.config_settings]
        return arguments

    def pip(self, command: list[str], *arguments: str) -> CommandResult:
        """Return how pip ended; `command` starts it."""
        return self._run([*command, *arguments, f"--cache-dir={self.cache_dir / 'pip'}", "--progress-bar=off"])

    def plain(self, argv: list[str]) -> CommandResult:
        """Return how another program ended, in the environment of the tools."""
        return self._run(argv)

    def pip_lines(self) -> str:
        """Return the options of the requirement files for the head of a file that pip reads."""
        lines = [option for option in render_options(self.found) if option != "--require-hashes"]
        lines += [f"--trusted-host {host}" for host in self.found.options.indexes.trusted_hosts]
        return "".join(f"{line}\n" for line in lines)

    def _run(self, argv: list[str], *, quiet: bool = False, echo: bool = True) -> CommandResult:
        return self.context.run(argv, env=tool_environment(self.context.env), quiet=quiet, echo=echo)


def tool_environment(env: Mapping[str, str]) -> Mapping[str, str]:
    """Return the environment of uv, pip and the builds that they start: nothing in it changes what is installed."""
    kept = {
        name: value
        for name, value in env.items()
        if name in _KEPT or (name not in _REMOVED and not name.startswith(("PIP_", "UV_")))
    }
    timeout = env.get("PIP_TIMEOUT") or env.get("PIP_DEFAULT_TIMEOUT")
    tools = {
        "UV_PYTHON_DOWNLOADS": "never",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "PIP_ROOT_USER_ACTION": "ignore",
        # Builds of packages give the same files every time, as far as they follow these.
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "GIT_TERMINAL_PROMPT": "0",
    }
    if timeout:
        tools["PIP_TIMEOUT"] = timeout
        tools["UV_HTTP_TIMEOUT"] = env.get("UV_HTTP_TIMEOUT", timeout)
    return {"SOURCE_DATE_EPOCH": _EPOCH, **kept, **tools}


@contextmanager
def private_directory() -> Iterator[Path]:
    """Give a directory that only this user reads, and remove it with everything in it."""
    with tempfile.TemporaryDirectory(prefix="pybuild-pip-") as directory:
        yield Path(directory)
