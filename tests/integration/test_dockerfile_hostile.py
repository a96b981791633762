"""Dockerfiles that mean harm: what they try stays inside of what they build, or is refused; with either engine."""

from __future__ import annotations

import io
import itertools
import os
import tarfile
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.integration.dockerfile_bases import SMALL, machine_small_bases
from tests.integration.dockerfile_fixtures import bases, runs, sandbox_runs
from tests.integration.dockerfile_runs import EXTEND_FAILED, DockerfileRuns
from tests.integration.image_files import file_names, iterate_files
from tests.integration.image_writing import directory, file, link, write_image, write_tar

__all__ = ["bases", "runs", "sandbox_runs"]

pytestmark = pytest.mark.integration

CANARY = "c4n4ry-of-the-machine"
_GENERATE_FAILED = 91


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Path]:
    """A directory beside the repository with a file that nothing may read, change or add to."""
    path = tmp_path / "guard"
    path.mkdir()
    (path / "secret").write_text(CANARY)
    before = path.stat().st_mtime_ns
    yield path
    assert [entry.name for entry in path.iterdir()] == ["secret"]
    assert (path / "secret").read_text() == CANARY
    assert path.stat().st_mtime_ns == before


@pytest.fixture
def listener() -> Iterator[tuple[str, list[str]]]:
    """A server on 127.0.0.1: its address, and the requests that it got."""
    requests: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(self.path)
            self.send_error(404)

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}", requests
    server.shutdown()
    server.server_close()


def test_no_frontend_is_asked_for(runs: DockerfileRuns, listener: tuple[str, list[str]]) -> None:
    address, requests = listener
    finished = runs.build(f"# syntax={address}/evil:1\nFROM small:1\nRUN echo x > /x\n")
    assert "syntax" in finished.stderr
    runs.build(f"#syntax = {address}/evil:1\n# escape=`\nFROM small:1\nRUN echo `\n  y > /x\n")
    assert runs.text("x") == "y\n"
    runs.fail("FROM small:1\nARG BUILDKIT_SYNTAX\nRUN true\n", "BUILDKIT_SYNTAX", status=_GENERATE_FAILED)
    assert requests == []


@pytest.mark.parametrize(
    "source", ["../guard/secret", "/../guard/secret", "../../../../etc/shadow", "link", "through/secret", "outside"]
)
def test_nothing_outside_of_the_context_is_copied(runs: DockerfileRuns, guard: Path, source: str) -> None:
    (runs.repository / "link").symlink_to("../guard/secret")
    (runs.repository / "through").symlink_to("../guard")
    (runs.repository / "outside").symlink_to(guard / "secret")
    for keyword in ("COPY", "ADD"):
        finished = runs.run(f"FROM small:1\n{keyword} {source} /taken\n")
        assert finished.status in (0, EXTEND_FAILED, _GENERATE_FAILED), finished.stderr
        assert CANARY not in finished.stderr
        if finished.status == 0:
            assert runs.holding(CANARY, "root:$") == []


def test_a_link_in_the_context_is_copied_as_a_link(runs: DockerfileRuns, guard: Path) -> None:
    (runs.repository / "link").symlink_to(guard / "secret")
    runs.build("FROM small:1\nCOPY . /all/\n")
    assert "all/link" in file_names(runs.image)
    assert runs.holding(CANARY) == []


def evil_archive(guard: Path) -> bytes:
    """An archive whose members want to be elsewhere."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:

        def add(name: str, kind: bytes = tarfile.REGTYPE, target: str = "", content: bytes = b"x") -> None:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size = kind, target, len(content) if kind == tarfile.REGTYPE else 0
            archive.addfile(info, io.BytesIO(content))

        add("ordinary")
        add(f"../../../../../../../../..{guard}/traversal")
        add(f"{guard}/absolute")
        add("way-out", tarfile.SYMTYPE, str(guard))
        add("way-out/through-link")
        add("up", tarfile.SYMTYPE, "../../../../../../../..")
        add(f"up{guard}/through-relative-link")
        add("hard", tarfile.LNKTYPE, f"{guard}/secret")
    return buffer.getvalue()


def test_an_archive_that_is_added_stays_inside(runs: DockerfileRuns, guard: Path) -> None:
    (runs.repository / "evil.tar.gz").write_bytes(evil_archive(guard))
    finished = runs.run("FROM small:1\nADD evil.tar.gz /added/\n")
    assert finished.status in (0, EXTEND_FAILED), finished.stderr
    if finished.status == 0:
        assert runs.holding(CANARY) == []


def test_device_nodes_of_an_archive_are_none(runs: DockerfileRuns) -> None:
    with tarfile.open(runs.repository / "devices.tar", "w") as archive:
        info = tarfile.TarInfo("disk")
        info.type, info.devmajor, info.devminor, info.mode = tarfile.BLKTYPE, 8, 0, 0o666
        archive.addfile(info)
    finished = runs.run("FROM small:1\nADD devices.tar /d/\nRUN head -c 1 /d/disk > /read || echo none > /read\n")
    assert finished.status in (0, EXTEND_FAILED), finished.stderr
    if finished.status == 0:
        assert runs.text("read") == "none\n"


@pytest.fixture
def evil_base(sandbox_runs: DockerfileRuns, tmp_path: Path) -> str:
    """Option that gives the image `evil:1`, which has links to `/` and out of it."""
    tar = write_tar(
        tmp_path / "evil.tar", [link("root", "/"), link("up", "../../../../../../.."), directory("d"), file("d/f", "f")]
    )
    write_image(tmp_path / "evil", "docker.io/library/evil:1", [tar], {})
    return f"docker.io/library/evil:1=docker-archive:{tmp_path / 'evil' / 'archive.tar'}"


@pytest.mark.parametrize(
    "flags",
    [
        "--mount=type=bind,from=evil:1,source=/root,target=/m,rw",
        "--mount=type=bind,from=evil:1,source=/up,target=/m,rw",
        "--mount=type=bind,from=evil:1,source=/../../../..,target=/m,rw",
        "--mount=type=bind,source=../guard,target=/m,rw",
        "--mount=type=bind,source=link,target=/m,rw",
        "--mount=type=bind,from=evil:1,target=/m,bind-propagation=shared,rw",
        "--mount=type=cache,id=../../../../../guard,target=/m",
        "--mount=type=cache,from=evil:1,source=/root,target=/m",
        "--mount=type=cache,from=evil:1,source=../../../..,target=/m",
        "--mount=type=tmpfs,target=/m/../../../..",
    ],
)
def test_mounts_show_nothing_of_the_machine(runs: DockerfileRuns, guard: Path, evil_base: str, flags: str) -> None:
    (runs.repository / "link").symlink_to(guard)
    script = f"(cat /m/secret /m{guard}/secret; touch /m/added /m{guard}/added; ls /m) > /seen 2>&1 || true"
    finished = runs.with_options("--base", evil_base).run(f"FROM small:1\nRUN {flags} {script}\n")
    assert finished.status in (0, EXTEND_FAILED, _GENERATE_FAILED), finished.stderr
    assert CANARY not in finished.stderr
    if finished.status == 0:
        assert runs.holding(CANARY) == []


def test_a_working_directory_by_a_descriptor_is_no_way_out(sandbox_runs: DockerfileRuns, guard: Path) -> None:
    sandbox_runs.fail("FROM small:1\nWORKDIR /proc/self/fd/8\nRUN true\n", "Dockerfile:2", status=_GENERATE_FAILED)
    sandbox_runs.fail(
        "FROM small:1\nARG HERE=/proc/self/fd/8\nWORKDIR $HERE\nRUN true\n", "Dockerfile:3", status=_GENERATE_FAILED
    )
    # The image's own links decide where that is.
    up = "../" * 12
    finished = sandbox_runs.run(
        f"FROM small:1\nRUN ln -s /proc/self/fd/8 /here\nWORKDIR /here\nRUN cat {up}{guard}/secret; touch {up}{guard}/added; true\n"
    )
    assert finished.status in (0, EXTEND_FAILED), finished.stderr
    assert CANARY not in finished.stderr


@pytest.mark.parametrize("flag", ["--security=insecure", "--network=host", "--device=/dev/sda", "--mount=type=ssh"])
def test_rights_over_the_machine_are_refused(sandbox_runs: DockerfileRuns, flag: str) -> None:
    sandbox_runs.fail(f"FROM small:1\nRUN {flag} true\n", "Dockerfile:2", status=_GENERATE_FAILED)


# What a command can do that has left its root directory, as root of the sandbox: the classical way is a root directory below the
# working directory.
_ESCAPE = """\
FROM small:1
RUN mkdir -p /jail && cp /proc/self/status /before && \\
  (cd / && chroot /jail /nothing; true); \\
  for i in 1 2 3 4 5 6 7 8 9; do cd ..; done; \\
  (cat {guard}/secret ../../..{guard}/secret /proc/1/root{guard}/secret /proc/1/cwd/../../..{guard}/secret; \\
   for p in /proc/[0-9]*; do cat $p/root{guard}/secret $p/environ; done; \\
   touch /proc/1/root/cnb/added /proc/1/root/usr/added /proc/1/root/etc/hosts.added; \\
   mount -o remount,rw /; mknod /disk b 8 0; cat /proc/1/root/etc/shadow; \\
   echo 1 > /proc/sys/kernel/sysrq; echo c > /proc/sysrq-trigger) > /seen 2>&1; \\
  ls /proc/1/root/workspace /proc/1/root/platform >> /seen 2>&1; \\
  (echo changed > /proc/1/root/workspace/Dockerfile) 2>/dev/null; true
"""


def test_a_command_that_looks_for_a_way_out_finds_none(sandbox_runs: DockerfileRuns, guard: Path) -> None:
    command = DockerfileRuns(
        pybuild=sandbox_runs.pybuild.with_env(AWS_SECRET_ACCESS_KEY=CANARY),
        directory=sandbox_runs.directory,
        options=sandbox_runs.options,
    )
    dockerfile = _ESCAPE.format(guard=guard)
    rootfs = next(iter((command.pybuild.cache_home / "pybuild" / "bases").resolve().glob("*/rootfs")))
    before = _listing(rootfs)
    command.build(dockerfile)
    assert command.holding(CANARY) == []
    assert (command.repository / "Dockerfile").read_text() == dockerfile
    assert _listing(rootfs) == before


def _listing(rootfs: Path) -> dict[str, list[str]]:
    return {name: sorted(os.listdir(rootfs / name)) for name in (".", "etc", "usr", "tmp", "var")}


def test_a_fork_bomb_ends_with_the_build(sandbox_runs: DockerfileRuns) -> None:
    # As many processes as a test may start on a machine that others use.
    script = "for i in $(seq 200); do (trap '' TERM; sleep 4712) & done; echo STARTED | tr A-Z a-z; exit 3"
    sandbox_runs.fail(f"FROM small:1\nRUN {script}\n", "status 3")
    assert not [path for path in Path("/proc").glob("[0-9]*/cmdline") if b"sleep\0004712" in _read(path)]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_output_without_end_and_without_lines(runs: DockerfileRuns) -> None:
    runs.build(
        "FROM small:1\nRUN head -c 30000000 /dev/zero | tr '\\0' x; echo; printf '\\033[2J\\033]0;x\\007' ; echo y > /x\n"
    )
    assert runs.text("x") == "y\n"


def test_control_characters_do_not_reach_the_terminal(runs: DockerfileRuns) -> None:
    finished = runs.build("FROM small:1\nRUN printf 'a\\033[2Jb\\n'\n")
    assert "\033" not in finished.stderr


SECRET = "c4n4ry-of-an-argument"


def test_a_secret_argument_is_in_no_layer_no_history_and_no_log(runs: DockerfileRuns) -> None:
    dockerfile = 'FROM small:1\nARG API_TOKEN\nRUN echo $API_TOKEN && test -n "$API_TOKEN"\nRUN echo x > /x\n'
    finished = runs.build(
        dockerfile, "--build-arg", f"API_TOKEN={SECRET}", "--report", str(runs.directory / "report.json")
    )
    assert SECRET not in finished.stderr + finished.stdout
    assert runs.holding(SECRET) == []
    assert SECRET not in (runs.directory / "report.json").read_text()
    assert "warning" in finished.stderr
    # A storage of buildah's remembers what layers were made with; it is the user's alone, and nothing else of the store has it.
    for path in (runs.pybuild.cache_home / "pybuild" / "apps").rglob("*"):
        if path.is_file() and not path.is_symlink() and SECRET.encode() in path.read_bytes():
            storage = next(parent for parent in path.parents if parent.name == "storage")
            assert storage.stat().st_mode & 0o077 == 0, path


PLAIN: Mapping[str, object] = {
    "Env": ["PATH=/bin", "A=1"],
    "Healthcheck": {"Test": ["CMD", "true"]},
    "OnBuild": ["ENV B=1"],
    "User": "1000",
    "Shell": ["/bin/sh", "-c"],
}
VARIANTS: Mapping[str, object] = {
    "Env": ["PATH=/bin", "A=2"],
    "Healthcheck": {"Test": ["CMD", "false"]},
    "OnBuild": ["ENV B=2"],
    "User": "0",
    "Shell": ["/bin/sh", "-e", "-c"],
}


def test_bases_that_differ_in_their_config_only_are_not_confused(runs: DockerfileRuns, tmp_path: Path) -> None:
    tar = write_tar(
        tmp_path / "base.tar",
        [
            directory("bin"),
            file("bin/sh", _busybox(), mode=0o755),
            directory("tmp", mode=0o1777),
            directory("etc"),
            # Docker asks for both where the user is a number.
            file("etc/passwd", "root:x:0:0::/:/bin/sh\n"),
            file("etc/group", "root:x:0:\n"),
        ],
    )

    def build(name: str, config: Mapping[str, object]) -> tuple[object, ...]:
        write_image(tmp_path / name, "docker.io/library/twin:1", [tar], dict(config))
        base = f"docker.io/library/twin:1=docker-archive:{tmp_path / name / 'archive.tar'}"
        runs.with_options("--base", base).build("FROM twin:1\nENV X=1\nRUN echo $A > /tmp/x\n")
        made = {key: value for key, value in runs.image.config["config"].items() if value}
        return made, runs.text("tmp/x"), [one.entry.uid for one in iterate_files(runs.image) if one.name == "tmp/x"]

    found = {"plain": build("plain", PLAIN)}
    for key, value in VARIANTS.items():
        found[key] = build(key, {**PLAIN, key: value})
    # What was made of one was made of no other before it.
    assert all(one != other for one, other in itertools.combinations(found.values(), 2)), found
    assert build("again", PLAIN) == found["plain"]


def _busybox() -> bytes:
    with tarfile.open(machine_small_bases().image(SMALL).archive) as outer:
        for member in outer:
            stream = outer.extractfile(member) if member.name.endswith(".tar") else None
            if stream is not None:
                with tarfile.open(fileobj=stream) as layer:
                    for entry in layer:
                        content = layer.extractfile(entry) if entry.name.endswith("bin/busybox") else None
                        if content is not None:
                            return content.read()
    raise AssertionError("the small base has no busybox")


def test_stages_that_begin_with_nothing_are_not_confused(runs: DockerfileRuns) -> None:
    (runs.repository / "a").write_text("a")
    runs.build("FROM scratch\nCOPY a /a\nHEALTHCHECK CMD true\n")
    first = runs.image.config["config"]
    runs.build('FROM scratch\nCOPY a /a\nHEALTHCHECK CMD ["false"]\nENTRYPOINT ["/a"]\n')
    assert runs.image.config["config"] != first
    runs.build("FROM scratch\nCOPY a /a\nHEALTHCHECK CMD true\n")
    assert runs.image.config["config"] == first
