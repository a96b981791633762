"""Programs that keep credentials, `docker-credential-NAME`, and their protocol (https://github.com/docker/docker-credential-helpers#development)."""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from lifecycle.cnb.errors import CnbError, ConfigurationError
from lifecycle.cnb.jsontext import parse_json

# What becomes part of the name of a program: no path, no option.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}", re.ASCII)
_TIME_LIMIT_S = 30.0
_OUTPUT_LIMIT = 64 * 1024
# What every helper answers for a registry that it does not know
_NOT_FOUND = b"credentials not found in native keychain"


@dataclass(eq=False, kw_only=True)
class HelperFailed(CnbError):
    """A helper gives no answer, or none that can be used."""

    exit_code: ClassVar[int] = 3

    name: str
    reason: str

    @property
    def summary(self) -> str:
        """Which helper, and why not."""
        return f"the credential helper `{self.name}` {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class HelperAnswer:
    """What a helper knows of a registry."""

    username: str
    secret: str = field(repr=False)


def ask_helper(
    name: str, server: str, env: Mapping[str, str], *, time_limit_s: float = _TIME_LIMIT_S
) -> HelperAnswer | None:
    """Return what the helper knows of `server`; `None` when it does not know it. Raises `HelperFailed`."""
    if _NAME.fullmatch(name) is None:
        raise HelperFailed(name=name[:64], reason="has a name that no helper can have")
    program = shutil.which(f"docker-credential-{name}", path=env.get("PATH", os.defpath))
    if program is None:
        raise HelperFailed(name=name, reason=f"is not installed: there is no program `docker-credential-{name}`")
    status, output = _run(program, name, server, env, time_limit_s)
    if status != 0:
        if output.strip() == _NOT_FOUND:
            return None
        # Not what it wrote, which may be a secret.
        raise HelperFailed(name=name, reason=f"ended with status {status}")
    try:
        answer = parse_json(output.decode("utf-8", "replace"), source=program)
        username, secret = answer.optional_string("Username"), answer.optional_string("Secret")
    except ConfigurationError as err:
        raise HelperFailed(name=name, reason="does not answer in JSON") from err
    return HelperAnswer(username=username or "", secret=secret) if secret else None


def _run(program: str, name: str, server: str, env: Mapping[str, str], time_limit_s: float) -> tuple[int, bytes]:
    """Status and standard output. Raises `HelperFailed`; then nothing of the helper's process group is left."""
    deadline = time.monotonic() + time_limit_s
    with tempfile.TemporaryFile() as question:
        # A file, not a pipe: a program that does not read its input cannot block us.
        question.write(server.encode())
        question.seek(0)
        try:
            process = subprocess.Popen(
                [program, "get"],
                stdin=question,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=dict(env),
                bufsize=0,
                start_new_session=True,
            )
        except OSError as err:
            raise HelperFailed(name=name, reason=f"cannot be started: {err.strerror}") from err
    try:
        return _follow(process, name, deadline)
    except subprocess.TimeoutExpired as err:
        raise HelperFailed(name=name, reason=f"did not answer within {time_limit_s:g} seconds") from err
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _follow(process: subprocess.Popen[bytes], name: str, deadline: float) -> tuple[int, bytes]:
    assert process.stdout is not None  # noqa: S101 - Popen with PIPE always has it
    content = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise subprocess.TimeoutExpired(process.args, 0)
            piece = os.read(process.stdout.fileno(), _OUTPUT_LIMIT)
            if not piece:
                break
            content += piece
            if len(content) > _OUTPUT_LIMIT:
                raise HelperFailed(name=name, reason=f"answers with more than {_OUTPUT_LIMIT} bytes")
    return process.wait(max(0.0, deadline - time.monotonic())), content
