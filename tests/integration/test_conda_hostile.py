"""Packages that are damaged, or made to do harm, are refused by name, and nothing of them stays."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.integration.conda_build import PREFIX, CondaBuilds, write_environment
from tests.integration.conda_channel import CONDA_FORGE, make_channel
from tests.integration.conda_packages import CondaPackage, Symlink
from tests.integration.conda_server import Fault
from tests.integration.machine import expect_no_processes
from tests.integration.package_index import sha256_of

pytestmark = pytest.mark.integration

_GOOD = CondaPackage(name="good", noarch="generic", files={"share/good": "good\n"})
# What must not exist afterwards; inside the sandbox these are places that the build user may write to.
_OUTSIDE = ("/layers/evil-was-here", "/workspace/evil-was-here", "/tmp/evil-was-here")


def _evil(files: Mapping[str, str | Symlink]) -> CondaPackage:
    return CondaPackage(name="evil", noarch="generic", files=files)


_HOSTILE = {
    "parent": _evil({"../../evil-was-here": "x\n"}),
    "absolute": _evil({"/layers/evil-was-here": "x\n"}),
    "through-a-link": _evil({"share/out": Symlink(target="/layers"), "share/out/evil-was-here": "x\n"}),
    "link-to-etc": _evil({"share/passwd": Symlink(target="/etc/passwd")}),
    "link-upwards": _evil({"share/up": Symlink(target="../../../../workspace")}),
}


def _serve(conda: CondaBuilds, directory: Path, *packages: CondaPackage) -> Path:
    channel = make_channel(directory, [_GOOD, *packages])
    conda.server.channels[CONDA_FORGE] = channel
    return channel


@pytest.mark.parametrize("name", _HOSTILE)
def test_a_package_that_leaves_the_prefix_is_refused(name: str, conda: CondaBuilds, tmp_path: Path) -> None:
    _serve(conda, tmp_path / "channel", _HOSTILE[name])
    repository = write_environment(tmp_path / "repository", ["good", "evil"])
    conda.fail(repository, "evil")
    assert not list(conda.pybuild.cache_home.rglob("evil-was-here"))
    assert not [path for path in _OUTSIDE if os.path.lexists(path)]


@pytest.mark.parametrize("fault", [Fault(truncate=True), Fault(body=b"no package"), Fault(status=503)], ids=repr)
def test_a_damaged_download_is_named_and_not_kept(fault: Fault, conda: CondaBuilds, tmp_path: Path) -> None:
    _serve(conda, tmp_path / "channel")
    conda.server.faults[".conda"] = fault
    repository = write_environment(tmp_path / "repository", ["good"])
    conda.fail(repository, "good-1.0-0.conda")
    conda.server.faults.clear()
    conda.build(repository)
    assert conda.run("cat", f"{PREFIX}/share/good") == "good"


def test_a_package_with_another_hash_than_the_channel_says_is_refused(conda: CondaBuilds, tmp_path: Path) -> None:
    channel = _serve(conda, tmp_path / "channel")
    for form in (*channel.glob("*/*.zst"), *channel.glob("*/shards/*")):
        form.unlink()
    for path in channel.glob("*/repodata.json"):
        document = json.loads(path.read_text())
        for record in document["packages.conda"].values():
            record["sha256"] = "0" * 64
        path.write_text(json.dumps(document))
    (archive,) = channel.glob("noarch/good-*.conda")
    conda.fail(write_environment(tmp_path / "repository", ["good"]), "good-1.0-0.conda", "0" * 64, sha256_of(archive))


def test_a_link_script_cannot_outlive_the_build_or_reach_the_machine(conda: CondaBuilds, tmp_path: Path) -> None:
    script = f"#!/bin/bash\nsetsid sleep 900 >/dev/null 2>&1 &\ntouch {tmp_path}/evil-was-here /evil-was-here\nexit 0\n"
    package = CondaPackage(name="evil", files={"bin/.evil-post-link.sh": script})
    _serve(conda, tmp_path / "channel", package)
    finished = conda.start(write_environment(tmp_path / "repository", ["evil"]))
    assert "Traceback" not in finished.stderr
    expect_no_processes(conda.pybuild.cache_home / "pybuild" / "apps")
    assert not (tmp_path / "evil-was-here").exists()
    assert not os.path.lexists("/evil-was-here")


def test_a_link_script_cannot_change_the_package_cache(conda: CondaBuilds, tmp_path: Path) -> None:
    script = '#!/bin/bash\necho evil > "$PREFIX/share/good"\n'
    package = CondaPackage(name="evil", depends=("good",), files={"bin/.evil-post-link.sh": script})
    _serve(conda, tmp_path / "channel", package)
    conda.build(write_environment(tmp_path / "repository", ["evil"]))
    assert conda.run("cat", f"{PREFIX}/share/good") == "evil"
    conda.build(write_environment(tmp_path / "repository", ["good"]))
    assert conda.run("cat", f"{PREFIX}/share/good") == "good"


@pytest.mark.parametrize("ending", [".zst", ".conda"])
def test_an_interrupted_build_leaves_no_image_and_the_next_one_builds(
    ending: str, conda: CondaBuilds, tmp_path: Path
) -> None:
    _serve(conda, tmp_path / "channel")
    conda.server.faults[ending] = Fault(pause_s=30)
    repository = write_environment(tmp_path / "repository", ["good"])
    running = conda.pybuild.start("build", repository, "--output", conda.output, *conda.options())
    running.wait_for("Solving" if ending == ".zst" else "Downloading")
    running.send(signal.SIGINT)
    finished = running.finish(20)
    assert finished.status == 130
    assert "Traceback" not in finished.stderr
    assert not conda.layout.exists()
    expect_no_processes(conda.pybuild.cache_home / "pybuild" / "apps")
    conda.server.faults.clear()
    conda.build(repository)
    assert conda.run("cat", f"{PREFIX}/share/good") == "good"
