"""Engines that cannot run builds. The docker commands are small programs that say what the real one says."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from lifecycle.cnb.deadline import Deadline
from pybuild.engines.docker_run import Containers, run_in_container
from pybuild.engines.sandbox import Sandbox
from pybuild.errors import DockerUnusable
from tests.lifecycle.oci.images import image_of
from tests.pybuild.recording_log import RecordingLog

REMOTE = (
    'docker: Error response from daemon: invalid mount config for type "bind": bind source path does not exist: /x.'
)


@pytest.mark.parametrize(
    ("script", "summary"),
    [
        (
            '[ "$1" = info ] && echo "[name=seccomp,profile=builtin name=rootless name=cgroupns]"',
            "rootless",
        ),
        (
            f"[ \"$1\" = run ] && {{ echo '{REMOTE}' >&2; echo \"See 'docker run --help'.\" >&2; exit 125; }}",
            "does not see the files of this machine",
        ),
        (
            '[ "$1" = run ] && { echo "docker: Error response from daemon: no more room." >&2; echo "See help" >&2; exit 125; }',
            "no more room",
        ),
        ('[ "$1" = run ] && { echo "error waiting for container: unexpected EOF" >&2; exit 125; }', "unexpected EOF"),
    ],
)
def test_why_it_cannot_is_said(tmp_path: Path, script: str, summary: str) -> None:
    program = tmp_path / "docker"
    program.write_text(f"#!/bin/sh\n{script}\nexit 0\n")
    program.chmod(0o755)
    containers = Containers(
        base=image_of(), owned=(), scratch=tmp_path, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, log=RecordingLog()
    )
    sandbox = Sandbox(rootfs=tmp_path, network=False, cwd=PurePosixPath("/"))
    with pytest.raises(DockerUnusable) as caught:
        run_in_container(containers, sandbox, ["true"], on_line=lambda _: None, deadline=Deadline.after(30))
    assert summary in caught.value.summary
