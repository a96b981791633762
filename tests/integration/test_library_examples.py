"""What docs/library.md shows, and the service of docs/examples, as they stand there."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests.documents import blocks_of, program_of
from tests.integration.command import CHECKOUT, Pybuild
from tests.integration.git_server import GitServer
from tests.integration.image_check import check_with_tools
from tests.integration.machine import expect_no_processes
from tests.integration.package_index import PackageIndex, write_sleeper
from tests.integration.registry import free_port

pytestmark = pytest.mark.integration

DOCUMENT = CHECKOUT / "docs" / "library.md"
SERVICE = CHECKOUT / "docs" / "examples"


def test_who_follows_the_document_builds(offline_pybuild: Pybuild, repository: Path, tmp_path: Path) -> None:
    assert len(blocks_of(DOCUMENT, "python")) == 8
    directory = tmp_path / "reader"
    directory.mkdir()
    repository.rename(directory / "project")
    done = subprocess.run(
        [sys.executable, "-c", program_of(DOCUMENT)],
        cwd=directory,
        env=offline_pybuild.env,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    digests = [line for line in lines if line.startswith("sha256:")]
    assert len(digests) == 3
    assert len(set(digests)) == 1
    assert lines[1] == "pybuild/python pybuild/pip"
    assert lines[2].startswith("oci-archive:")
    assert f"image.tar@{digests[0]} " in lines[2]
    assert "===> build" in lines
    assert "cancelled" in lines
    assert any(line.startswith("source-error | ") for line in lines)


@dataclass
class Asked:
    """A request to the service, and the documents of its answer as they come."""

    documents: list[dict[str, object]] = field(default_factory=list)

    @property
    def number(self) -> str:
        return str(self.documents[0]["build"])

    @property
    def end(self) -> dict[str, object]:
        return self.documents[-1]

    def has_begun(self, phase: str) -> bool:
        return {"event": "PhaseStarted", "name": phase} in self.documents


def test_a_service_builds_for_ten_clients_at_once(
    offline_pybuild: Pybuild, index: PackageIndex, tmp_path: Path
) -> None:
    write_sleeper(index.directory)
    good = {"alpha": "alpha==1.0\n", "beta": "beta\n", "gamma": "gamma\n"}
    with GitServer(tmp_path / "git") as git, service(offline_pybuild, tmp_path) as address:
        for name, text in {**good, "endless": "sleeper\n", "missing": "delta\n"}.items():
            git.commit(name, {"requirements.txt": text, "main.py": f"import {name}\n"})
        wanted = ["endless", "missing", *good, *good, "alpha", "beta"]
        asked = asyncio.run(ask_for_all(address, [f"{git.url}/{name}.git" for name in wanted]))
        ends = dict(zip(range(len(wanted)), (one.end for one in asked), strict=True))
        assert code_of(ends[0]) == "cancelled"
        assert code_of(ends[1]) == "package-not-found"
        locations: dict[str, set[str]] = {}
        for number, name in list(enumerate(wanted))[2:]:
            image = ends[number]["image"]
            assert isinstance(image, dict), ends[number]
            locations.setdefault(name, set()).add(str(image["location"]))
            assert [one for one in asked[number].documents if one.get("event") == "PhaseEnded"]
        # One repository is one image, whoever asks.
        assert all(len(found) == 1 for found in locations.values())
        assert len(set.union(*locations.values())) == len(good)
        answer = httpx.get(f"{address}{locations['alpha'].pop()}", trust_env=False)
        (tmp_path / "image.tar").write_bytes(answer.raise_for_status().content)
        check_with_tools(f"oci-archive:{tmp_path / 'image.tar'}", tmp_path / "scratch")
        assert httpx.get(f"{address}/images/none", trust_env=False).status_code == 404
        assert httpx.post(f"{address}/builds", json={"repository": "/etc"}, trust_env=False).status_code == 422
    expect_no_processes(offline_pybuild.cache_home)


async def ask_for_all(address: str, repositories: list[str]) -> list[Asked]:
    """All are asked for at once; the first is cancelled when it builds and another one has ended."""
    asked = [Asked() for _ in repositories]
    async with httpx.AsyncClient(base_url=address, trust_env=False, timeout=300) as client:
        tasks = [
            asyncio.create_task(ask(client, repository, one))
            for repository, one in zip(repositories, asked, strict=True)
        ]
        done, _ = await asyncio.wait(tasks[1:], return_when=asyncio.FIRST_COMPLETED)
        assert done
        while not asked[0].has_begun("build"):
            await asyncio.sleep(0.1)
        assert (await client.delete(f"/builds/{asked[0].number}")).status_code == 204
        since = time.monotonic()
        await tasks[0]
        assert time.monotonic() - since < 10
        await asyncio.gather(*tasks)
    return asked


async def ask(client: httpx.AsyncClient, repository: str, asked: Asked) -> None:
    async with client.stream("POST", "/builds", json={"repository": repository}) as answer:
        async for line in answer.aiter_lines():
            asked.documents.append(json.loads(line))


def code_of(document: dict[str, object]) -> object:
    error = document["error"]
    assert isinstance(error, dict)
    return error["code"]


@contextlib.contextmanager
def service(by: Pybuild, directory: Path) -> Iterator[str]:
    """Address of the service while it runs."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "service:app", "--app-dir", str(SERVICE), "--port", str(port)]
    env = {**by.env, "IMAGES": str(directory / "images")}
    with (directory / "service.log").open("wb") as log:
        process = subprocess.Popen(command, env=env, stdout=log, stderr=subprocess.STDOUT)
    try:
        until = time.monotonic() + 30
        while True:
            with contextlib.suppress(httpx.ConnectError):
                httpx.get(f"http://127.0.0.1:{port}/openapi.json", trust_env=False).raise_for_status()
                break
            assert time.monotonic() < until, (directory / "service.log").read_text()
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)
    assert "Traceback" not in (directory / "service.log").read_text()
