"""`creator`: all phases one after the other (platform.md, "creator"), each in a process of its own.

Detection and build never see registry credentials: root continues as the build's user there, and processes of one and the same user
cannot look into this one.
"""

from __future__ import annotations

import contextlib
import os
import pwd
from collections.abc import Callable, Mapping
from dataclasses import replace

from lifecycle.cnb.api import ApiVersion
from lifecycle.cnb.group import read_group
from lifecycle.commands import analyzer, builder, detector, exporter, restorer
from lifecycle.commands.images import owner_of
from lifecycle.commands.inputs import open_log
from lifecycle.errors import ArgumentsError, ExtensionsDetected, PhaseEnded
from lifecycle.flags import Flag, Inputs
from lifecycle.log import StreamLog
from lifecycle.privileges import become, hide_memory, is_root, own, run_apart
from lifecycle.reporting import report_errors

_SKIP_RESTORE = Flag(name="skip-restore", variable="CNB_SKIP_RESTORE", default="", is_switch=True)
_MODULES = (analyzer, detector, restorer, builder, exporter)
# `-skip-layers` is called otherwise here; files between the phases are where they are.
_LEFT_OUT = frozenset({"skip-layers"})
FLAGS = (
    *{flag.name: flag for module in _MODULES for flag in module.FLAGS if flag.name not in _LEFT_OUT}.values(),
    _SKIP_RESTORE,
)
_CREDENTIALS = ("CNB_REGISTRY_AUTH", "DOCKER_AUTH_CONFIG", "REGISTRY_AUTH_FILE", "DOCKER_CONFIG")


def run(inputs: Inputs, api: ApiVersion, env: Mapping[str, str]) -> None:
    """Build the application into an image."""
    if len(inputs.arguments) != 1:
        raise ArgumentsError(message=f"`creator` takes one image, got {len(inputs.arguments)}")
    log = open_log(inputs)
    skips = "true" if inputs.is_on("skip-restore") else ""
    inputs = replace(inputs, values={**inputs.values, "skip-layers": skips})
    hide_memory()
    _run_phase("ANALYZING", lambda: analyzer.run(inputs, api, env), env, log)
    _run_phase("DETECTING", lambda: _detect(inputs, api, _become_ordinary(inputs, env)), env, log)
    _run_phase("RESTORING", lambda: restorer.run(inputs, api, env), env, log)
    _run_phase("BUILDING", lambda: builder.run(inputs, api, _become_ordinary(inputs, env)), env, log)
    _run_phase("EXPORTING", lambda: exporter.run(inputs, api, env), env, log)


def _detect(inputs: Inputs, api: ApiVersion, env: Mapping[str, str]) -> None:
    detector.run(inputs, api, env)
    extensions = read_group(inputs.path("group")).extensions
    if extensions:
        raise ExtensionsDetected(extensions=tuple(map(str, extensions)))


def _run_phase(title: str, work: Callable[[], None], env: Mapping[str, str], log: StreamLog) -> None:
    log.info(f"===> {title}")
    status = run_apart(lambda: report_errors(work, env))
    if status != 0:
        raise PhaseEnded(status)


def _become_ordinary(inputs: Inputs, env: Mapping[str, str]) -> Mapping[str, str]:
    """Continue as the build's user, without credentials; return the environment that is left."""
    for name in _CREDENTIALS:
        os.environ.pop(name, None)
    kept = {name: value for name, value in env.items() if name not in _CREDENTIALS}
    owner = owner_of(inputs)
    if is_root() and owner.user_id != 0:
        own([inputs.path("layers")], owner)
        become(owner)
        # What root has there is not for others.
        with contextlib.suppress(KeyError):
            kept["HOME"] = pwd.getpwuid(owner.user_id).pw_dir
    return kept
