"""`pybuild check` on images that have what a profile asks for, on those that lack it, and on those that mean harm."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lifecycle.cnb.layer import remove_tree
from pybuild.builder import default_definition_path
from tests.integration.command import Finished, Pybuild, expect_error, expect_success, ordinary_environment
from tests.integration.derived_images import derive_image
from tests.integration.dockerfile_bases import SMALL, machine_small_bases
from tests.integration.engine import DockerEngine
from tests.integration.machine import expect_no_processes
from tests.integration.package_index import PackageIndex, write_wheel
from tests.integration.registry import start_registry
from tests.integration.workplace import share_builder

pytestmark = pytest.mark.integration

_UNUSABLE, _NOT_MET = 3, 6
PYTHON, PIP = "python >=3.10,<3.14", "pip installs onto Python's path"


@dataclass(frozen=True, slots=True, kw_only=True)
class Good:
    """An image that pybuild made, which has all that Deepnote asks for, and the command that made it."""

    layout: Path
    pybuild: Pybuild


@pytest.fixture(scope="module")
def good(machine_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Good]:
    directory = tmp_path_factory.mktemp("check")
    (directory / "repository").mkdir()
    (directory / "repository" / "requirements.txt").write_text("alpha==1.0\n")
    cache_home = share_builder(machine_store, directory / "cache-home")
    pybuild = Pybuild(env=ordinary_environment(cache_home))
    with PackageIndex(directory / "index") as index:
        write_wheel(index.directory, "alpha", "1.0")
        offline = pybuild.with_env(**index.settings())
        expect_success(offline("build", directory / "repository", "--output", f"oci:{directory / 'layout'}"))
    yield Good(layout=directory / "layout", pybuild=pybuild)
    # What a check leaves is nothing.
    store = cache_home / "pybuild"
    assert not list((store / "run").glob("scratch-*"))
    expect_no_processes(store)
    remove_tree(cache_home)


@pytest.fixture
def derive(good: Good, tmp_path: Path) -> Callable[..., str]:
    """Makes an image on the good one, of what `derive_image` takes."""
    return lambda **changes: derive_image(good.layout, tmp_path / "derived", **changes)


def check(
    good: Good, location: str, *arguments: str | Path, profile: str = "deepnote"
) -> tuple[Finished, dict[str, Any]]:
    """How a check ended, and what it found by requirement."""
    finished = good.pybuild("check", location, "--profile", profile, "--json", *arguments, timeout_s=300)
    report: Mapping[str, Any] = json.loads(finished.stdout)
    assert report["holds"] is (finished.status == 0)
    found = {one["requirement"]: one for one in report["requirements"]}
    for one in found.values():
        assert one["found"].isprintable()
        assert len(one["found"]) < 400
    return finished, found


def expect_not_met(good: Good, location: str, *arguments: str | Path, profile: str = "deepnote") -> dict[str, Any]:
    """What a check found that must end with the code for a profile that is not met, and one error message."""
    finished, found = check(good, location, *arguments, profile=profile)
    assert finished.status == _NOT_MET, finished.stderr
    assert len(finished.error_lines) == 1
    assert "Traceback" not in finished.stderr
    assert f"does not meet the profile `{profile}`" in finished.error_message
    for one in found.values():
        assert (one["requirement"] in finished.error_message) is (one["verdict"] != "holds")
    return found


def verdicts(found: Mapping[str, Any]) -> dict[str, str]:
    return {name: one["verdict"] for name, one in found.items()}


def write_builder(directory: Path, text: str) -> Path:
    """A builder.toml that is the default one and `text`."""
    default = default_definition_path()
    content = default.read_text(encoding="utf-8").replace('uri = "', f'uri = "{default.parent}/')
    path = directory / "builder.toml"
    path.write_text(f"{content}\n{text}", encoding="utf-8")
    return path


def test_what_pybuild_builds_meets_the_profile_of_deepnote(good: Good) -> None:
    finished = expect_success(good.pybuild("check", f"oci:{good.layout}", "--profile", "deepnote"))
    lines = finished.stdout.splitlines()
    assert lines[0].startswith("profile deepnote, image sha256:")
    assert [line.split()[0] for line in lines[1:]] == ["holds"] * 5
    assert "CPython 3.10" in lines[2]
    assert "pybuild_pip" in lines[3]
    assert finished.seconds < 60


def test_a_check_changes_nothing_of_an_image_that_is_kept_unpacked(good: Good) -> None:
    location = f"oci:{good.layout}"
    question = 'from importlib.metadata import distributions as d; print(sorted(one.metadata["Name"] for one in d()))'
    before = expect_success(good.pybuild("run", location, "--", "python", "-c", question)).stdout
    assert check(good, location)[0].status == 0
    assert expect_success(good.pybuild("run", location, "--", "python", "-c", question)).stdout == before
    assert "pybuild" not in before.lower()


def test_archives_are_checked_as_well(good: Good, tmp_path: Path) -> None:
    for kind in ("oci-archive", "docker-archive"):
        archive = tmp_path / f"{kind}.tar"
        name = ":test:1" if kind == "docker-archive" else ""
        subprocess.run(["skopeo", "copy", "--quiet", f"oci:{good.layout}", f"{kind}:{archive}{name}"], check=True)
        assert check(good, f"{kind}:{archive}")[0].status == 0


def test_an_image_of_a_registry_is_checked_and_run(good: Good, tmp_path: Path) -> None:
    with start_registry(tmp_path / "registry") as registry:
        location = f"docker://{registry.push(f'oci:{good.layout}', 'team/good:1')}"
        assert check(good, location)[0].status == 0
        assert expect_success(good.pybuild("run", location, "--", "id", "-u")).stdout == "1000\n"
        expect_error(good.pybuild("check", f"{location}2", "--profile", "deepnote"), 32, "team/good:12")


def test_a_missing_program_is_named_and_the_rest_holds(good: Good, derive: Callable[..., str]) -> None:
    found = expect_not_met(good, derive(removed=("usr/bin/curl",)))
    assert [name for name, verdict in verdicts(found).items() if verdict != "holds"] == ["curl"]
    assert found["curl"]["found"] == "there is no `curl` on `PATH`"
    assert found["curl"]["hint"] == "install `curl`"


def test_without_python_on_the_path_the_python3_that_there_is_is_named(good: Good, derive: Callable[..., str]) -> None:
    location = derive(env=("PATH=/opt/bin:/usr/bin:/bin",), links={"opt/bin/python3": _interpreter(good)})
    found = expect_not_met(good, location)
    assert found[PYTHON]["found"] == "there is no `python` on `PATH`"
    assert "`python3` (CPython 3.10" in found[PYTHON]["hint"]
    assert found[PIP]["verdict"] == "not tried"


def _interpreter(good: Good) -> str:
    command = ("run", f"oci:{good.layout}", "--", "python", "-c", "import sys; print(sys._base_executable)")
    return expect_success(good.pybuild(*command)).stdout.strip()


def test_a_python_outside_of_the_range_is_named(good: Good, tmp_path: Path) -> None:
    builder = write_builder(tmp_path, '[pybuild.profiles.newer]\npython = ">=3.12"\n')
    found = expect_not_met(good, f"oci:{good.layout}", "--builder", builder, profile="newer")
    assert found["python >=3.12"]["found"].startswith("CPython 3.10.")


def test_pip_that_installs_elsewhere_does_not_hold(good: Good, derive: Callable[..., str]) -> None:
    found = expect_not_met(good, derive(env=(*_env(good), "PIP_TARGET=/tmp/elsewhere")))
    assert "`python` cannot import what it installed" in found[PIP]["found"]
    assert "No module named" in found[PIP]["found"]


def test_constraints_that_cannot_be_reached_do_not_count(good: Good, derive: Callable[..., str]) -> None:
    location = derive(
        env=(*_env(good), "PIP_CONSTRAINT=http://127.0.0.1:9/constraints.txt"),
        files={"etc/pip.conf": "[install]\nconstraint = http://127.0.0.1:9/c.txt\n"},
    )
    assert check(good, location)[0].status == 0


def _env(good: Good) -> tuple[str, ...]:
    names = json.loads((good.layout / "index.json").read_text())["manifests"][0]["digest"]
    manifest = json.loads((good.layout / "blobs/sha256" / names.partition(":")[2]).read_text())
    config = json.loads((good.layout / "blobs/sha256" / manifest["config"]["digest"].partition(":")[2]).read_text())
    return tuple(config["config"]["Env"])


def test_a_user_who_may_not_write_the_environment_cannot_install(good: Good, derive: Callable[..., str]) -> None:
    found = expect_not_met(good, derive(user="54321:54321"))
    assert verdicts(found)[PIP] == "fails"
    assert verdicts(found)[PYTHON] == "holds"
    assert "let the image's user own the environment" in found[PIP]["hint"]


@pytest.mark.parametrize(
    "user", [None, "pybuild", *(pytest.param(user, marks=pytest.mark.thorough) for user in ("0", "root", "1000"))]
)
def test_root_and_the_owner_can(user: str | None, good: Good, derive: Callable[..., str]) -> None:
    assert check(good, derive(user=user))[0].status == 0


def test_who_an_image_runs_as_can_be_asked_for(good: Good, derive: Callable[..., str], tmp_path: Path) -> None:
    text = '[pybuild.profiles.root]\nuser = "root"\n[pybuild.profiles.ordinary]\nuser = "ordinary"\n'
    builder = write_builder(tmp_path, text)
    location = derive(user="root")
    assert check(good, location, "--builder", builder, profile="root")[0].status == 0
    found = expect_not_met(good, location, "--builder", builder, profile="ordinary")
    assert found["runs as an ordinary user"]["found"] == "user 0:0"
    assert check(good, f"oci:{good.layout}", "--builder", builder, profile="ordinary")[0].status == 0


def test_modules_and_programs_can_be_asked_for(good: Good, derive: Callable[..., str], tmp_path: Path) -> None:
    text = '[pybuild]\nrequire = "course"\n[pybuild.profiles.course]\nmodules = ["alpha", "json.tool", "sys", "beta"]\n'
    builder = write_builder(tmp_path, f'{text}programs = ["sed", "broken"]\n')
    location = derive(programs={"usr/bin/broken": "#!/nowhere/sh\n"})
    found = expect_not_met(good, location, "--builder", builder, profile="course")
    assert verdicts(found) == {
        "sed": "holds",
        "broken": "fails",
        "import alpha": "holds",
        "import json.tool": "holds",
        "import sys": "holds",
        "import beta": "fails",
    }
    assert found["import alpha"]["found"].endswith("/alpha.py")
    assert "No module named 'beta'" in found["import beta"]["found"]
    assert found["broken"]["found"] == "`/usr/bin/broken` cannot be started: No such file or directory"
    # Without `--profile` the one that the builder requires.
    finished = good.pybuild("check", location, "--builder", builder)
    assert finished.status == _NOT_MET
    assert finished.stdout.startswith("profile course, ")


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("sleep 600", "did not end within 3 seconds"),
        pytest.param("exec setsid sleep 600", "did not end within 3 seconds", marks=pytest.mark.thorough),
        ("exec yes hello", "wrote more than 1 MiB"),
        pytest.param("while :; do printf 'without an end'; done", "wrote more than 1 MiB", marks=pytest.mark.thorough),
        pytest.param("echo Python 3.11.2", "does not run Python programs", marks=pytest.mark.thorough),
        ('echo \'["0", [3, 11, 2], "CPython", "/usr/bin/python"]\'', "does not run Python programs"),
        ("printf '\\033]0;title\\007\\033[31mred\\n'; exit 3", "ended with status 3: \\x1b]0;title\\x07\\x1b[31mred"),
        pytest.param("printf '\\377\\376\\n'; exit 3", "ended with status 3", marks=pytest.mark.thorough),
        pytest.param("kill -SEGV $$", "ended with status 139", marks=pytest.mark.thorough),
        ("printf '[%0100000d' 0 | tr 0 '['; echo; exit 0", "does not run Python programs"),
    ],
)
def test_a_python_that_is_none(script: str, says: str, good: Good, derive: Callable[..., str]) -> None:
    location = derive(programs={"opt/bin/python": f"#!/bin/sh\n{script}\n"}, env=("PATH=/opt/bin:/usr/bin:/bin",))
    found = expect_not_met(good, location, "--timeout", "3s")
    assert says in found[PYTHON]["found"]
    assert verdicts(found) == {
        "platform linux/amd64": "holds",
        PYTHON: "fails",
        PIP: "not tried",
        "bash": "holds",
        "curl": "holds",
    }


def test_programs_that_multiply_are_held_down(good: Good, derive: Callable[..., str]) -> None:
    bomb = '#!/bin/bash\nwhile :; do (while :; do "$0" & done) & done 2>/dev/null\n'
    location = derive(programs={"opt/bin/python": bomb}, env=("PATH=/opt/bin:/usr/bin:/bin",))
    found = expect_not_met(good, location, "--timeout", "3s")
    assert verdicts(found)[PYTHON] == "fails"
    assert verdicts(found)["bash"] == "holds"
    expect_no_processes(good.pybuild.cache_home / "pybuild" / "run")
    groups = Path("/sys/fs/cgroup")
    assert not [*groups.glob("pybuild-*"), *groups.glob("pids/pybuild-*")]


def test_programs_that_lie_do_not_hold(good: Good, derive: Callable[..., str]) -> None:
    liars = {"usr/bin/bash": "#!/bin/sh\necho bash\n", "usr/bin/curl": "#!/bin/sh\necho curious\n"}
    found = expect_not_met(good, derive(programs=liars))
    assert "is not a shell" in found["bash"]["found"]
    assert "is not curl" in found["curl"]["found"]


def test_an_image_without_a_shell_is_checked_all_the_same(good: Good, derive: Callable[..., str]) -> None:
    location = derive(removed=("usr/bin/sh", "usr/bin/bash", "usr/bin/dash"))
    found = expect_not_met(good, location)
    assert [name for name, verdict in verdicts(found).items() if verdict != "holds"] == ["bash"]


def test_an_image_for_another_machine_is_not_run(good: Good, derive: Callable[..., str]) -> None:
    found = expect_not_met(good, derive(architecture="arm64"))
    assert found.pop("platform linux/amd64")["found"] == "linux/arm64"
    for one in found.values():
        assert one["verdict"] == "not tried"
        assert one["found"] == "the image is for linux/arm64, this machine is linux/amd64"


def test_an_image_of_nothing(good: Good, tmp_path: Path) -> None:
    found = expect_not_met(good, derive_image(None, tmp_path / "empty"))
    assert set(verdicts(found).values()) == {"holds", "fails", "not tried"}
    assert found["bash"]["found"] == "there is no `bash` on `PATH`"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"user": "nobody-here"}, "the user `nobody-here` is not in the image's /etc/passwd"),
        ({"env": ("PATH=/bin", "A=b\0--bind\0/\0/host")}, "has a NUL byte in its configuration"),
        ({"working_dir": "/etc/passwd"}, "has the working directory `/etc/passwd`, which is none"),
        ({"working_dir": "/loop", "links": {"loop": "loop"}}, "has the working directory `/loop`, which is none"),
        ({"working_dir": "/" + "x" * 300}, "which is none"),
        ({"links": {"etc": "/usr"}, "removed": ("etc",)}, "at `/etc` that is no directory"),
        ({"links": {"proc": "/oldroot/proc"}, "removed": ("proc",)}, "at `/proc` that is no directory"),
    ],
)
def test_an_image_in_which_nothing_can_run_is_one_error(
    changes: Mapping[str, Any], says: str, good: Good, tmp_path: Path
) -> None:
    # A small image is unpacked sooner.
    location = derive_image(machine_small_bases().image(SMALL).directory / "layout", tmp_path / "derived", **changes)
    finished = good.pybuild("check", location, "--profile", "deepnote")
    expect_error(finished, _UNUSABLE, says)


def test_a_location_or_profile_that_there_is_not_is_one_error(good: Good, tmp_path: Path) -> None:
    expect_error(good.pybuild("check", f"oci:{tmp_path}", "--profile", "deepnote"), 3, str(tmp_path))
    expect_error(good.pybuild("check", "image", "--profile", "deepnote"), 2, "oci:DIR", "docker://NAME")
    expect_error(good.pybuild("check", f"oci:{good.layout}", "--profile", "deepnot"), 2, "`deepnote`")
    expect_error(good.pybuild("check", f"oci:{good.layout}"), 2, "--profile")


def test_a_builder_can_require_a_profile_for_every_build(
    offline_pybuild: Pybuild, repository: Path, tmp_path: Path
) -> None:
    text = '[pybuild]\nrequire = "course"\n[pybuild.profiles.course]\npip = true\nmodules = ["alpha"]\n'
    layout = tmp_path / "layout"
    arguments = ("build", repository, "--output", f"oci:{layout}", "--builder")
    first = expect_success(offline_pybuild(*arguments, write_builder(tmp_path, text)))
    assert "the image meets the profile `course`\n" in first.stderr
    again = expect_success(offline_pybuild(*arguments, write_builder(tmp_path, text)))
    assert "the image meets the profile `course`, as before\n" in again.stderr
    before = (layout / "index.json").read_bytes()
    other = write_builder(tmp_path, text.replace('"alpha"', '"alpha", "beta"'))
    message = expect_error(
        offline_pybuild(*arguments, other), _NOT_MET, "does not meet the profile `course`", "import beta"
    )
    assert "import alpha" not in message
    assert (layout / "index.json").read_bytes() == before


@pytest.mark.engine
def test_an_image_of_a_docker_engine(engine: DockerEngine, good: Good, tmp_path: Path) -> None:
    archive = tmp_path / "image.tar"
    subprocess.run(["skopeo", "copy", "--quiet", f"oci:{good.layout}", f"docker-archive:{archive}:good:1"], check=True)
    engine.load(archive)
    through = Good(layout=good.layout, pybuild=good.pybuild.with_env(DOCKER_HOST=f"unix://{engine.socket}"))
    assert check(through, "docker-daemon:good:1")[0].status == 0
    expect_error(through.pybuild("check", "docker-daemon:missing", "--profile", "deepnote"), 3, "no such image")
    nowhere = good.pybuild.with_env(DOCKER_HOST=f"unix://{tmp_path}/nowhere.sock")
    expect_error(nowhere("check", "docker-daemon:good:1", "--profile", "deepnote"), 4, "DOCKER_HOST")
