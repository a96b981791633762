"""`import pybuild` in this process: what it builds, says and leaves, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

import pybuild
from tests.integration.command import Pybuild, expect_success
from tests.integration.image_check import validate_image
from tests.integration.image_files import read_layout
from tests.integration.machine import expect_no_processes
from tests.integration.package_index import PackageIndex

pytestmark = pytest.mark.integration

# Time for processes to end, the kernel's included, on a busy machine
_AT_ONCE_S = 5.0
_DESCRIPTOR = """
api = "0.10"
[buildpack]
id = "tests/sleeper"
version = "1.0"
[[targets]]
os = "linux"
"""
# With a child that has left its process group and session behind
_SLEEP = "#!/bin/bash\necho asleep\nsetsid sleep 600 &\nsleep 600\n"


@pytest.fixture
def sleeper(tmp_path: Path) -> Path:
    """A buildpack that never ends."""
    directory = tmp_path / "sleeper"
    (directory / "bin").mkdir(parents=True)
    (directory / "buildpack.toml").write_text(_DESCRIPTOR)
    for name, script in (("detect", "#!/bin/bash\n"), ("build", _SLEEP)):
        (directory / "bin" / name).write_text(script)
        (directory / "bin" / name).chmod(0o755)
    return directory


def test_the_library_builds_what_the_command_builds_and_says_nothing_itself(
    offline_pybuild: Pybuild,
    new_pybuild: Callable[[str], Pybuild],
    index: PackageIndex,
    repository: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    other = new_pybuild("other-cache-home").with_env(**index.settings())
    expect_success(other("build", repository, "--output", f"oci:{tmp_path / 'command'}"))
    before = (os.getcwd(), dict(os.environ), signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))
    capfd.readouterr()
    events: list[pybuild.Event] = []
    request = pybuild.BuildRequest(repository=repository, outputs=[f"oci:{tmp_path / 'library'}"])
    report = pybuild.build(request, on_event=events.append, host_env=offline_pybuild.env)
    assert str(report.image.digest) == read_layout(tmp_path / "command").digest
    assert validate_image(tmp_path / "library").digest == str(report.image.digest)
    ended = [event for event in events if isinstance(event, pybuild.PhaseEnded)]
    assert [(phase.name, phase.succeeded) for phase in ended] == [(phase.name, True) for phase in report.phases]
    assert any(event.text.startswith("pybuild/pip ") for event in events if isinstance(event, pybuild.LogLine))
    assert json.loads(json.dumps([pybuild.event_to_json(event) for event in events]))[0]["event"] == "PhaseStarted"
    (written,) = pybuild.export(report.image, [f"oci-archive:{tmp_path / 'image.tar'}"], host_env=offline_pybuild.env)
    assert written.location.endswith(f"image.tar@{report.image.digest}")
    gone = replace(report.image, layers=tuple(replace(one, path=tmp_path / "gone") for one in report.image.layers))
    with pytest.raises(pybuild.CnbError, match="no longer in the store"):
        pybuild.export(gone, [f"oci:{tmp_path / 'gone-layout'}"], host_env=offline_pybuild.env)
    detection = pybuild.detect(request, host_env=offline_pybuild.env)
    assert detection.group is not None
    assert detection.group == report.detection.group
    assert "site-packages" in {entry.name for entry in pybuild.plan(request, host_env=offline_pybuild.env).entries}
    assert capfd.readouterr() == ("", "")
    assert before == (
        os.getcwd(),
        dict(os.environ),
        signal.getsignal(signal.SIGINT),
        signal.getsignal(signal.SIGTERM),
    )


def test_threads_build_the_same_and_other_repositories_with_one_store(
    offline_pybuild: Pybuild, repository: Path, tmp_path: Path
) -> None:
    others = [tmp_path / name for name in ("beta", "gamma")]
    for other in others:
        other.mkdir()
        (other / "requirements.txt").write_text(f"{other.name}\n")
    wanted = 2 * [repository, *others]

    def build(where: Path) -> pybuild.BuildReport:
        return pybuild.build(pybuild.BuildRequest(repository=where), host_env=offline_pybuild.env)

    with ThreadPoolExecutor(len(wanted)) as threads:
        reports = list(threads.map(build, wanted))
    digests = [report.image.digest for report in reports]
    assert digests[:3] == digests[3:]
    assert len(set(digests)) == 3


def test_what_is_cancelled_ends_at_once_and_leaves_everything_usable(
    offline_pybuild: Pybuild, repository: Path, sleeper: Path, tmp_path: Path
) -> None:
    output = tmp_path / "layout"
    request = pybuild.BuildRequest(repository=repository, outputs=[f"oci:{output}"])
    endless = replace(request, buildpacks=(str(sleeper),))
    running, waiting = Cancelling(lambda line: "asleep" in line), Cancelling(lambda line: "waiting for it" in line)
    with ThreadPoolExecutor(2) as threads:
        build = threads.submit(running.run, endless, offline_pybuild)
        assert running.heard.wait(120)
        # Another build of it waits for the first to end, and is not waited for.
        second = threads.submit(waiting.run, endless, offline_pybuild)
        assert waiting.heard.wait(60)
        assert waiting.cancel(second) < _AT_ONCE_S
        with pytest.raises(pybuild.TimeLimitReached, match="`waiting`"):
            pybuild.build(replace(endless, timeout_s=0.5), host_env=offline_pybuild.env)
        assert not build.done()
        assert running.cancel(build) < _AT_ONCE_S
    expect_nothing_left(offline_pybuild, output)
    assert [event for event in running.events if isinstance(event, pybuild.PhaseEnded)][-1].succeeded is False
    digest = str(pybuild.build(request, host_env=offline_pybuild.env).image.digest)
    before = content_of(output)
    (repository / "main.py").write_text("print('changed')\n")
    for phase in ("source", "detect", "restore", "build", "export"):
        cancelling = Cancelling(lambda _: False, phase=phase)
        with pytest.raises(pybuild.Cancelled):
            cancelling.run(request, offline_pybuild)
        expect_no_processes(offline_pybuild.cache_home)
        assert content_of(output) == before
    assert str(pybuild.build(request, host_env=offline_pybuild.env).image.digest) != digest
    assert content_of(output) != before


def test_a_task_that_is_cancelled_cancels_its_build(
    offline_pybuild: Pybuild, repository: Path, sleeper: Path, tmp_path: Path
) -> None:
    request = pybuild.BuildRequest(repository=repository, outputs=[f"oci:{tmp_path / 'layout'}"])
    endless = replace(request, buildpacks=(str(sleeper),))

    asked_by = contextvars.ContextVar("asked_by", default="nobody")

    async def build_until_asleep() -> float:
        asleep = asyncio.Event()
        asked_by.set("a client")

        def on_event(event: pybuild.Event) -> None:
            assert threading.current_thread() is threading.main_thread()
            assert asked_by.get() == "a client"
            if isinstance(event, pybuild.LogLine) and "asleep" in event.text:
                asleep.set()

        task = asyncio.create_task(pybuild.aio.build(endless, on_event=on_event, host_env=offline_pybuild.env))
        await asyncio.wait_for(asleep.wait(), 120)
        since = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return time.monotonic() - since

    assert asyncio.run(build_until_asleep()) < _AT_ONCE_S
    expect_nothing_left(offline_pybuild, tmp_path / "layout")

    async def read_stream() -> list[pybuild.Event | pybuild.BuildReport]:
        return [item async for item in pybuild.aio.stream(request, host_env=offline_pybuild.env)]

    async def leave_stream() -> None:
        async with contextlib.aclosing(pybuild.aio.stream(endless, host_env=offline_pybuild.env)) as items:
            async for item in items:
                if isinstance(item, pybuild.LogLine) and "asleep" in item.text:
                    return

    asyncio.run(asyncio.wait_for(leave_stream(), 120))
    expect_nothing_left(offline_pybuild, tmp_path / "layout")
    *events, report = asyncio.run(read_stream())
    assert isinstance(report, pybuild.BuildReport)
    assert str(report.image.digest) == validate_image(tmp_path / "layout").digest
    assert isinstance(events[-1], pybuild.PhaseEnded)


@pytest.mark.parametrize(
    ("requirements", "kind", "code", "summary"),
    [
        ("delta\n", pybuild.PackageNotFound, "package-not-found", "requirements.txt:1: there is no package `delta`"),
        ("alpha==2.0\nbeta\n", pybuild.PackageConflict, "package-conflict", "contradict each other"),
    ],
)
def test_what_buildpacks_find_wrong_is_an_error_of_its_kind(
    requirements: str,
    kind: type[pybuild.PhaseFailed],
    code: str,
    summary: str,
    offline_pybuild: Pybuild,
    repository: Path,
) -> None:
    (repository / "requirements.txt").write_text(requirements)
    with pytest.raises(kind, match=summary) as caught:
        pybuild.build(pybuild.BuildRequest(repository=repository), host_env=offline_pybuild.env)
    document = json.loads(json.dumps(caught.value.to_json()))
    assert (document["code"], document["exitCode"]) == (code, 51)
    assert document["hint"]


class Cancelling:
    """A build that is cancelled from another thread, or by its own events when `phase` begins."""

    def __init__(self, is_awaited: Callable[[str], bool], *, phase: str | None = None) -> None:
        self.events: list[pybuild.Event] = []
        self.heard = threading.Event()
        self._is_awaited, self._phase = is_awaited, phase
        self._cancellation = pybuild.Cancellation()

    def run(self, request: pybuild.BuildRequest, by: Pybuild) -> pybuild.BuildReport:
        return pybuild.build(request, on_event=self._hear, cancellation=self._cancellation, host_env=by.env)

    def cancel(self, task: Future[pybuild.BuildReport]) -> float:
        """Seconds that it took to end."""
        since = time.monotonic()
        self._cancellation.cancel()
        with pytest.raises(pybuild.Cancelled):
            task.result(60)
        return time.monotonic() - since

    def _hear(self, event: pybuild.Event) -> None:
        self.events.append(event)
        if isinstance(event, pybuild.LogLine) and self._is_awaited(event.text):
            self.heard.set()
        if isinstance(event, pybuild.PhaseStarted) and event.name == self._phase:
            self._cancellation.cancel()


def content_of(layout: Path) -> tuple[bytes, list[Path]]:
    """What the layout names, and the files that it has."""
    return (layout / "index.json").read_bytes(), sorted(layout.rglob("*"))


def expect_nothing_left(by: Pybuild, output: Path) -> None:
    expect_no_processes(by.cache_home)
    assert not output.exists()
    assert not list((by.cache_home / "pybuild").glob("apps/*/work"))
