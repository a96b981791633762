"""How Dockerfiles are executed: what is reused, what commands see, what is said when they fail; with either engine."""

from __future__ import annotations

import math
import os
import signal
import time
from pathlib import Path

import pytest

from tests.integration.command import expect_error, expect_success
from tests.integration.dockerfile_fixtures import bases, runs, sandbox_runs
from tests.integration.dockerfile_runs import DockerfileRuns
from tests.integration.image_check import validate_image
from tests.integration.image_files import file_names
from tests.integration.machine import expect_no_processes
from tests.integration.package_index import PackageIndex

__all__ = ["bases", "runs", "sandbox_runs"]

pytestmark = pytest.mark.integration

REUSED = "Using the layer of an earlier build"
STAGES = """\
FROM small:1 AS one
RUN echo one > /one
FROM small:1
ENV A=1
COPY --from=one /one /two
RUN echo three > /three
"""


def test_the_same_again_is_the_same_image(runs: DockerfileRuns) -> None:
    runs.build(STAGES)
    validate_image(runs.layout)
    digest, layers = runs.image.digest, runs.image.manifest["layers"]
    assert (runs.text("two"), runs.text("three")) == ("one\n", "three\n")
    again = runs.build(STAGES)
    assert runs.image.digest == digest
    assert again.stderr.count(REUSED) >= 3
    runs.build(STAGES.replace("echo three", "echo 3"))
    assert runs.image.digest != digest
    # What comes before the change is what it was, to the byte.
    assert runs.image.manifest["layers"][:-1] == layers[:-1]
    runs.build(STAGES)
    assert runs.image.digest == digest


def test_another_builder_of_the_same_repository_keeps_to_its_own(
    runs: DockerfileRuns, sandbox_runs: DockerfileRuns
) -> None:
    runs.build("FROM small:1\nRUN echo x > /x\n")
    sandbox_runs.build("FROM small:1\nRUN echo x > /x\n")
    runs.build("FROM small:1\nRUN echo x > /x\n")
    assert runs.text("x") == "x\n"


def test_a_change_of_the_context_is_seen(runs: DockerfileRuns) -> None:
    (runs.repository / "file").write_text("first")
    runs.build("FROM small:1\nCOPY file /file\nRUN cp /file /copy\n")
    (runs.repository / "file").write_text("second")
    (runs.repository / "other").write_text("not copied")
    runs.build("FROM small:1\nCOPY file /file\nRUN cp /file /copy\n")
    assert runs.text("copy") == "second"
    assert "other" not in file_names(runs.image)


@pytest.mark.parametrize(
    ("dockerfile", "mentions"),
    [
        ("FROM small:1\n\n# why\nRUN echo said && \\\n    exit 7\n", ["Dockerfile:4: ", "ended with status 7"]),
        (
            "FROM small:1\nRUN true\nRUN nothing-of-the-kind\n",
            ["Dockerfile:3: ", "status 127", "`nothing-of-the-kind` is not in"],
        ),
        ("FROM small:1\nRUN touch /x\nRUN /x\n", ["Dockerfile:3: ", "status 126", "chmod +x"]),
        ("FROM small:1\nCOPY absent /x\n", ["Dockerfile:2: ", "`COPY absent /x` failed", "/absent"]),
        ("FROM small:1 AS a\nRUN true\nFROM small:1\nCOPY --from=a /absent /x\n", ["Dockerfile:4: ", "/absent"]),
        ("FROM small:1 AS a\nRUN exit 3\nFROM small:1\nCOPY --from=a /x /x\n", ["Dockerfile:2: ", "status 3"]),
        ('FROM small:1\nRUN ["/absent"]\n', ["Dockerfile:2: "]),
        ("FROM onbuild:1\nRUN exit 3\n", ["Dockerfile:2: ", "status 3"]),
    ],
)
def test_what_fails_is_named_with_its_line(runs: DockerfileRuns, dockerfile: str, mentions: list[str]) -> None:
    runs.fail(dockerfile, *mentions)


def test_what_a_command_writes_is_shown_while_it_runs(runs: DockerfileRuns) -> None:
    # The instruction itself is shown as well.
    running = runs.start("FROM small:1\nRUN echo NOW | tr A-Z a-z; sleep 5; echo LATER | tr A-Z a-z\n")
    running.wait_for("now")
    began = time.monotonic()
    running.wait_for("later")
    assert time.monotonic() - began > 2
    expect_success(running.finish())


SECRET, TOKEN = "c4n4ry-of-the-index", "c4n4ry-of-an-argument"
SETTINGS = """\
FROM small:1
ARG TOKEN
ENV KEPT=1
RUN echo "token $TOKEN" && echo "$TOKEN" | wc -c > /length
RUN for name in PIP_CONFIG_FILE PIP_CONSTRAINT SSL_CERT_FILE APT_CONFIG; do eval "cat \\$$name" | sha256sum > /$name; done
RUN sha256sum < $NETRC > /netrc; env | sort > /dev/shm/env; grep -c HTTP_PROXY /dev/shm/env > /proxies
USER 1000:1000
RUN cat "$PIP_CONSTRAINT" > /tmp/constraints
"""


def test_commands_see_the_settings_of_the_machine_and_the_image_does_not(runs: DockerfileRuns, tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / ".config/pip").mkdir(parents=True)
    (home / ".config/pip/pip.conf").write_text(f"[global]\nindex-url = http://user:{SECRET}@127.0.0.1:1/simple\n")
    (home / ".netrc").write_text(f"machine 127.0.0.1 login user password {SECRET}\n")
    (home / "constraints.txt").write_text("six<2\n")
    env = {
        "HOME": str(home),
        "PIP_CONSTRAINT": str(home / "constraints.txt"),
        "HTTP_PROXY": f"http://user:{SECRET}@127.0.0.1:2",
        "NO_PROXY": "127.0.0.1",
        "PIP_INDEX_URL": None,
        "PIP_CONFIG_FILE": None,
    }
    command = DockerfileRuns(pybuild=runs.pybuild.with_env(**env), directory=runs.directory, options=runs.options)
    finished = command.build(SETTINGS, "--build-arg", f"TOKEN={TOKEN}")
    assert TOKEN not in finished.stderr
    assert SECRET not in finished.stderr
    assert "token ***" in finished.stderr
    assert command.text("length").split() == [str(len(TOKEN) + 1)]
    empty = "e3b0c44298fc1c149afbf4c8996fb924"
    for name in ("PIP_CONFIG_FILE", "PIP_CONSTRAINT", "SSL_CERT_FILE", "APT_CONFIG", "netrc"):
        assert not command.text(name).startswith(empty), name
    assert command.text("proxies") == "1\n"
    assert command.text("tmp/constraints") == "six<2\n"
    assert command.holding(SECRET, TOKEN, "dev/pybuild", "pybuild_base", "pybuild.invalid", "constraints-") == []
    assert command.image.config["config"]["Env"][-1] == "KEPT=1"
    # Another content is another layer; the secret of the index is none.
    (home / "constraints.txt").write_text("six<1\n")
    command.build(SETTINGS, "--build-arg", f"TOKEN={TOKEN}")
    assert command.text("tmp/constraints") == "six<1\n"


def test_what_the_dockerfile_says_itself_holds(runs: DockerfileRuns) -> None:
    command = DockerfileRuns(
        pybuild=runs.pybuild.with_env(PIP_INDEX_URL="http://127.0.0.1:1/simple"),
        directory=runs.directory,
        options=runs.options,
    )
    command.build(
        "FROM small:1\nARG SSL_CERT_FILE=/own/ca\nENV PIP_CONFIG_FILE=/own/pip.conf\nRUN echo $PIP_CONFIG_FILE $SSL_CERT_FILE > /x\n"
    )
    assert command.text("x") == "/own/pip.conf /own/ca\n"


def test_a_command_finds_the_machines_package_index(sandbox_runs: DockerfileRuns, index: PackageIndex) -> None:
    command = DockerfileRuns(
        pybuild=sandbox_runs.pybuild.with_env(**index.settings()),
        directory=sandbox_runs.directory,
        options=sandbox_runs.options,
    )
    command.build("FROM small:1\nRUN cat $PIP_CONFIG_FILE > /dev/shm/x; grep -c index-url /dev/shm/x > /found\n")
    assert command.text("found") == "1\n"


def test_without_network_there_is_none(runs: DockerfileRuns) -> None:
    runs.with_options("--network", "none").build(
        "FROM small:1\nRUN grep : /proc/net/dev | grep -v '^ *lo:' | wc -l > /interfaces\n"
    )
    assert runs.text("interfaces").strip() == "0"


HEREDOCS = """\
FROM small:1
ENV WHO=world
COPY --chmod=600 --chown=1000:1000 <<first.txt <<"second.txt" /files/
hello $WHO
first.txt
hello $WHO
second.txt
COPY . /all/
RUN <<EOF
set -e
cat /files/first.txt > /run-by-heredoc
EOF
"""


def test_heredocs_are_no_part_of_the_context(runs: DockerfileRuns) -> None:
    runs.build(HEREDOCS)
    assert (runs.text("files/first.txt"), runs.text("files/second.txt")) == ("hello world\n", "hello $WHO\n")
    assert runs.text("run-by-heredoc") == "hello world\n"
    assert {name for name in file_names(runs.image) if name.startswith("all/")} == {"all/Dockerfile"}


# No other run of the tests sleeps that long.
_SECONDS = 100_000 + os.getpid()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_build_leaves_nothing_that_runs(runs: DockerfileRuns, number: signal.Signals) -> None:
    running = runs.start(
        f"FROM small:1\nRUN echo ASLEEP | tr A-Z a-z; (setsid sleep {_SECONDS} &) ; sleep {_SECONDS}\n"
    )
    running.wait_for("asleep")
    running.send(number)
    finished = running.finish(60)
    assert finished.status == 128 + number
    _expect_nothing(runs)
    runs.build("FROM small:1\nRUN echo x > /x\n")


def test_a_build_that_takes_too_long_is_ended(runs: DockerfileRuns) -> None:
    usual = runs.build("FROM small:1\nRUN echo x > /x\n")
    # Long enough for the steps before, also on a machine with other work.
    within_s = min(25, max(8, math.ceil(3 * usual.seconds)))
    finished = runs.run(f"FROM small:1\nRUN echo ASLEEP; trap '' TERM; sleep {_SECONDS}\n", "--timeout", str(within_s))
    expect_error(finished, 53, "extend")
    _expect_nothing(runs)
    runs.build("FROM small:1\nRUN echo y > /x\n")
    assert runs.text("x") == "y\n"


def _expect_nothing(runs: DockerfileRuns) -> None:
    """No process and no mount is left; a Docker engine needs a moment for its own."""
    expect_no_processes(runs.directory)
    deadline = time.monotonic() + 30
    while left := [
        path for path in Path("/proc").glob("[0-9]*/cmdline") if f"sleep\0{_SECONDS}".encode() in _read(path)
    ]:
        assert time.monotonic() < deadline, left
        time.sleep(0.2)
    assert str(runs.directory) not in Path("/proc/self/mounts").read_text()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_storage_that_is_damaged_is_made_anew(sandbox_runs: DockerfileRuns) -> None:
    sandbox_runs.build(STAGES)
    digest = sandbox_runs.image.digest
    (storage,) = sandbox_runs.pybuild.cache_home.glob("pybuild/apps/*/*/storage")
    for path in storage.rglob("layers.json"):
        path.write_text("{")
    finished = sandbox_runs.build(STAGES)
    assert "damaged" in finished.stderr
    assert sandbox_runs.text("three") == "three\n"
    assert sandbox_runs.image.digest != digest


@pytest.mark.thorough
def test_storage_does_not_grow_with_every_build(sandbox_runs: DockerfileRuns) -> None:
    counts = []
    for number in range(9):
        sandbox_runs.build(f"FROM small:1\nRUN echo {number} > /number\nENV A=1\nRUN echo {number} > /again\n")
        images = sandbox_runs.pybuild.cache_home.glob("pybuild/apps/*/*/storage/*/store/*-images/*/manifest")
        counts.append(len(list(images)))
    assert counts[0] < counts[4]
    assert counts[-3:] == [counts[-1]] * 3
