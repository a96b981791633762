"""Runs an image with the sandbox engine, so that a person without Docker sees it work."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from lifecycle.oci.descriptor import host_platform
from lifecycle.oci.image import Image
from lifecycle.registry.manifest import name_of
from pybuild.engines.image_root import open_copy, open_image_root, outer_environment
from pybuild.engines.sandbox import Mount
from pybuild.errors import SettingsError, UsageError
from pybuild.image_location import open_image
from pybuild.site import Site
from pybuild.store import in_use


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What to run, and how."""

    location: str
    """One of `pybuild.image_location.LOCATIONS`."""
    command: tuple[str, ...] = ()
    """After the image's entrypoint; empty: the image's own `Cmd`."""
    entrypoint: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    volumes: tuple[Mount, ...] = ()
    working_directory: PurePosixPath | None = None
    network: bool = True
    insecure_registries: tuple[str, ...] = ()


def run_image(request: RunRequest, site: Site) -> int:
    """Exit status of the command, which has the terminal of this process; what it writes to the image is thrown away.

    Raises:
        lifecycle.cnb.errors.CnbError: the image cannot be read or run.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(in_use(site.store, site.log))
        # Layers are needed no more when the image's files are unpacked.
        with open_image(request.location, site, insecure=request.insecure_registries) as image:
            _check_platform(image, request.location)
            root = stack.enter_context(open_image_root(image, site.store, site.log, keep=True, deadline=site.deadline))
        argv = _argv(image, request)
        copy = stack.enter_context(open_copy(root, site.store, site.log))
        sandbox = copy.sandbox(network=request.network)
        sandbox = replace(
            sandbox,
            mounts=request.volumes,
            env={**_terminal(site.host_env), **sandbox.env, **request.env},
            cwd=request.working_directory or sandbox.cwd,
            interactive=sys.stdin.isatty(),
        )
        return _exit_status(copy.command(sandbox, argv, by_shell=True))


def _check_platform(image: Image, location: str) -> None:
    found, machine = f"{image.config.os}/{image.config.architecture}", name_of(host_platform())
    if found != machine:
        raise SettingsError(
            f"`{location}` is for {found}, and this machine is {machine}", "run it on a machine of its architecture"
        )


def _exit_status(command: list[str]) -> int:
    process = subprocess.Popen(command, env=outer_environment(), cwd="/")
    # The sandbox ends with it, and the status tells.
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    while True:
        try:
            status = process.wait()
        except KeyboardInterrupt:
            # The terminal has sent it to the command as well, which decides what it does with it.
            continue
        return status if status >= 0 else 128 - status


def _terminal(env: Mapping[str, str]) -> Mapping[str, str]:
    return {"TERM": env["TERM"]} if env.get("TERM") else {}


def _argv(image: Image, request: RunRequest) -> tuple[str, ...]:
    if request.entrypoint is not None:
        argv = (request.entrypoint, *request.command)
    else:
        argv = (*image.config.entrypoint, *(request.command or image.config.cmd))
    if not argv:
        raise UsageError("the image says no command to run", "give one after `--`: pybuild run IMAGE -- COMMAND")
    return argv
