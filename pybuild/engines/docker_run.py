"""Runs a command in a container of a Docker engine on this machine, with the mounts, the environment and the user of a `Sandbox`.

The image is the base of the builder, the root file system that the sandbox has; everything else is mounted, as it is there.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
import secrets
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from lifecycle.cnb.command import CommandResult, CommandTimeout, run_command
from lifecycle.cnb.deadline import Deadline
from lifecycle.cnb.recipe import LOCAL_REGISTRY
from lifecycle.oci.archive import Owner
from lifecycle.oci.image import Image
from lifecycle.privileges import is_root, own
from pybuild.engines.docker_client import DockerClient, explain_failure, find_docker, forget_images, load_image
from pybuild.engines.sandbox import Mount, Sandbox, prepared
from pybuild.errors import DockerUnusable
from pybuild.log import Log

# What `docker run` itself ends with (https://docs.docker.com/reference/cli/docker/container/run/#exit-status).
_LOST, *_NOT_RUN = 125, 126, 127
# One stream: of two, the engine does not keep the order, and what was said first counts (`lifecycle.cnb.shared`).
# The end of its input ends the command: it comes also when this process is killed, and nobody is left to remove the container.
_SCRIPT = """
exec 3<&0 </dev/null 2>&1
{ while read -r _ <&3; do :; done; kill -KILL -1; } &
"$@" 3<&-
exit $?
"""
# The client itself waits for its container when it is told to end.
_ENDING_AT_ONCE = ("/bin/sh", "-c", '"$@"; exit $?', "sh")
# Variables that the engine sets, and its client where its own configuration names proxies for containers.
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "NO_PROXY")
_SET_BY_DOCKER = ("HOSTNAME", *_PROXIES, *(name.lower() for name in _PROXIES))
_PASSWD = PurePosixPath("/etc/passwd")
# For the engine to end a container, also when the build's own time is up.
_PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Containers:
    """How containers are made for the commands of one build."""

    base: Image
    """Of the build environment's root file system."""
    owned: tuple[Path, ...]
    """Directories of this build that are its own, those that commands write to among them."""
    scratch: Path
    """For files of a moment."""
    env: Mapping[str, str]
    """Of this process: how the engine is reached."""
    log: Log
    memory: Path | None = None
    """File of what the engine has of the application; `None`: other applications use `base` too."""


def run_in_container(
    containers: Containers,
    sandbox: Sandbox,
    argv: Sequence[str],
    *,
    on_line: Callable[[str], None],
    deadline: Deadline,
) -> CommandResult:
    """Return how `argv` ended; its output goes line by line to `on_line`.

    Nothing that the command started outlives the call, nor this process.

    Raises:
        pybuild.errors.MachineError: there is no engine, or it cannot run this.
        lifecycle.cnb.command.CommandTimeout: `deadline` has passed.
    """
    docker = find_docker(containers.env, deadline, builds=False)
    _refuse_rootless(docker)
    user = _user_of(sandbox)
    _refuse_unreadable(sandbox.mounts, containers.owned)
    image = f"{LOCAL_REGISTRY}/build:{containers.base.id.hex}"
    if docker.image_id(image) is None:
        with containers.log.step("Loading the build image into the Docker engine"):
            load_image(docker, containers.base, image, containers.scratch / "base.tar")
    if containers.memory is not None:
        forget_images(docker, containers.memory, [image])
    name = f"pybuild-{secrets.token_hex(8)}"
    mounts = (*sandbox.mounts, *_passwd(sandbox, user, containers.scratch))
    # The client hands on what has secrets, and is what it has itself: every user of the machine can read its arguments.
    handed_on = {variable: value for variable, value in sandbox.env.items() if variable in _SET_BY_DOCKER}
    options = (
        *("--rm", "--interactive", "--sig-proxy=false", "--pull", "never", "--name", name),
        *("--user", f"{user.user_id}:{user.group_id}", "--userns", "host", "--workdir", str(sandbox.cwd)),
        *("--network", "host" if sandbox.network else "none", "--hostname", "pybuild", "--read-only"),
        *("--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--security-opt", "label=disable"),
        *(word for mount in mounts for word in ("--mount", _describe(mount))),
        *(word for variable in handed_on for word in ("--env", variable)),
        *(
            word
            for variable, value in sandbox.env.items()
            if variable not in handed_on
            for word in ("--env", f"{variable}={value}")
        ),
    )
    command = prepared(("/bin/sh", "-c", _unsetting(sandbox.env) + _SCRIPT, "sh", *argv))
    with _owned_by(user, containers.owned), _ending(docker, name), _never_written() as stdin:
        result = run_command(
            [*_ENDING_AT_ONCE, str(docker.program), "run", *options, "--entrypoint", "", image, *command],
            env={**docker.env, **handed_on},
            on_line=on_line,
            deadline=deadline,
            stdin=stdin,
        )
        if result.status == _LOST or (result.status in _NOT_RUN and "docker: " in result.output):
            raise _explain(result.output)
        return result


def _refuse_rootless(docker: DockerClient) -> None:
    if "name=rootless" in docker.run("info", "--format", "{{.SecurityOptions}}"):
        # https://docs.docker.com/engine/security/rootless/: only root of a container is the user who owns the files.
        raise DockerUnusable(
            "the Docker engine is a rootless one, whose containers could write to files of this user as root only",
            "leave out `--engine docker`: the sandbox needs no root either",
        )


def _refuse_unreadable(mounts: Sequence[Mount], owned: Sequence[Path]) -> None:
    """Raise `DockerUnusable` where root, who does not run the command, has files for it that no one else may read."""
    if not is_root():
        return
    for mount in mounts:
        if not any(mount.source.is_relative_to(directory) for directory in owned):
            mode = mount.source.stat().st_mode
            needed = 0o005 if stat.S_ISDIR(mode) else 0o004
            if mode & needed != needed:
                raise DockerUnusable(
                    f"`{mount.source}` is root's alone, and builds of root run as another user in a container",
                    "let others read it (`chmod --recursive go+rX`; a umask such as 077 prevents it), or leave out `--engine docker`",
                )


def _user_of(sandbox: Sandbox) -> Owner:
    """Whoever runs pybuild, who owns what the command writes to; instead of root the user of the build."""
    if is_root():
        return Owner(user_id=sandbox.user_id, group_id=sandbox.group_id)
    return Owner(user_id=os.geteuid(), group_id=os.getegid())


def _passwd(sandbox: Sandbox, user: Owner, scratch: Path) -> tuple[Mount, ...]:
    """What lets the user of the build have another number."""
    path = (sandbox.rootfs / _PASSWD.relative_to("/")).resolve()
    if user.user_id == sandbox.user_id or not path.is_relative_to(sandbox.rootfs.resolve()) or not path.is_file():
        return ()
    accounts = [line.split(":") for line in path.read_text("utf-8", "surrogateescape").splitlines()]
    own = [account for account in accounts if account[2:3] == [str(sandbox.user_id)]]
    renumbered = [[*account[:2], str(user.user_id), str(user.group_id), *account[4:]] for account in own]
    # The first one counts.
    lines = [":".join(account) for account in (*renumbered, *accounts)]
    (scratch / "passwd").write_text("\n".join([*lines, ""]), "utf-8", "surrogateescape")
    return (Mount(source=scratch / "passwd", target=_PASSWD),)


def _describe(mount: Mount) -> str:
    """The value of `--mount`: fields separated by commas, as in a CSV file."""
    fields = ["type=bind", f"source={mount.source.resolve()}", f"target={mount.target}"]
    fields += [] if mount.writable else ["readonly"]
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(fields)
    return text.getvalue()


def _unsetting(env: Mapping[str, str]) -> str:
    return f"unset {' '.join(name for name in _SET_BY_DOCKER if name not in env)}\n"


@contextlib.contextmanager
def _owned_by(user: Owner, directories: Sequence[Path]) -> Iterator[None]:
    """Root lets `user` have the directories for that time."""
    if not is_root():
        yield
        return
    try:
        own(directories, user)
        yield
    finally:
        own(directories, Owner(user_id=os.geteuid(), group_id=os.getegid()))


@contextlib.contextmanager
def _never_written() -> Iterator[int]:
    """A descriptor to read from, where nothing comes and whose end comes with this context, or this process."""
    read, write = os.pipe()
    try:
        yield read
    finally:
        os.close(read)
        os.close(write)


@contextlib.contextmanager
def _ending(docker: DockerClient, name: str) -> Iterator[None]:
    """However this is left, the container is gone: the end of its client is not its own."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(CommandTimeout):
            replace(docker, deadline=Deadline.after(_PATIENCE_S)).start("rm", "--force", name)
        raise


def _explain(output: str) -> Exception:
    output = next((line for line in output.splitlines() if line.startswith("docker: ")), output)
    if "bind source path does not exist" in output:
        return DockerUnusable(
            "the Docker engine does not see the files of this machine",
            "builds run in containers of an engine on this machine; leave out `--engine docker`",
        )
    return explain_failure("run", output)
