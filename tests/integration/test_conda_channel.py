"""The test channel is a real one: rattler by itself solves from it, installs from it, and what it installs runs."""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from rattler import (
    BuildString,
    Channel,
    Gateway,
    GenericVirtualPackage,
    MatchSpec,
    PackageName,
    RepoDataRecord,
    Version,
    install,
    solve,
)
from rattler.exceptions import SolverError

from tests.integration.conda_channel import CONDA_FORGE, PYTHON_VERSIONS, SMUGGLED, has_python
from tests.integration.conda_server import ChannelServer

pytestmark = pytest.mark.integration

_TARGET = {"__unix": "0", "__linux": "0", "__glibc": "2.36"}
_CONFLICTS = [["left", "right"], ["careful", "right"], ["future-only"], ["needs-missing"], ["no-such-package"]]


@pytest.fixture
def server(conda_channels: Path) -> Iterator[ChannelServer]:
    with ChannelServer({name: conda_channels / name for name in (CONDA_FORGE, SMUGGLED)}) as running:
        yield running


def _solve(channel: str, specs: Sequence[str], cache: Path, **more: str) -> list[RepoDataRecord]:
    virtual_packages = [
        GenericVirtualPackage(PackageName(name), Version(version), BuildString("0"))
        for name, version in {**_TARGET, **more}.items()
    ]

    async def run() -> list[RepoDataRecord]:
        return await solve(
            [Channel(channel)],
            [MatchSpec(spec, strict=False) for spec in specs],
            gateway=Gateway(cache_dir=cache / "repodata"),
            platforms=["linux-64", "noarch"],
            virtual_packages=virtual_packages,
        )

    return asyncio.run(run())


def _install(records: list[RepoDataRecord], prefix: Path, cache: Path) -> Path:
    asyncio.run(install(records, prefix, cache_dir=cache / "packages", show_progress=False))
    return prefix


def _run(*command: str | Path) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("minor", PYTHON_VERSIONS)
def test_a_python_environment_installs_and_runs(minor: str, server: ChannelServer, tmp_path: Path) -> None:
    if not has_python(server.channels[CONDA_FORGE], minor):
        pytest.skip(f"this machine has no CPython {minor} and cannot fetch one")
    specs = [f"python={minor}", "pip", "tiny-tool", "tinyext", "tiny-data", "old-format", "unix-only", "linux-only"]
    prefix = _install(_solve(f"{server.url}/{CONDA_FORGE}", specs, tmp_path), tmp_path / "prefix", tmp_path)
    question = "import sys, ssl, sqlite3, ctypes, bz2, lzma, zlib, tinyext; print(sys.version_info[:2], sys.prefix)"
    assert _run(prefix / "bin/python", "-c", question) == f"({minor.replace('.', ', ')}) {prefix}"
    extension = _run(prefix / "bin/python", "-c", "import tinyext; print(tinyext.answer(), tinyext.prefix())")
    assert extension == _run(prefix / "bin/tiny-cli") == f"42 {prefix}"
    assert _run(prefix / "bin/tiny-tool") == f"tiny-tool 2.0 {prefix}"
    assert _run(prefix / "bin/tiny-script") == "tiny-script 2.0"
    assert _run(prefix / "bin/tiny-where") == f"{prefix}/share/tiny"
    assert f"(python {minor})" in _run(prefix / "bin/pip", "--version")
    loading = subprocess.run(
        [prefix / "bin/python", "-v", "-c", "import json"], capture_output=True, text=True, check=True
    )
    assert re.search(r"json/__pycache__/__init__\.cpython-\d+\.pyc matches", loading.stderr)


def test_an_r_environment_installs_and_runs(server: ChannelServer, tmp_path: Path) -> None:
    records = _solve(f"{server.url}/{CONDA_FORGE}", ["r-base", "r-tiny"], tmp_path)
    prefix = _install(records, tmp_path / "prefix", tmp_path)
    assert _run(prefix / "bin/Rscript", "main.R") == f"R 4.3.1 {prefix}/lib/R script main.R"


@pytest.mark.parametrize("specs", _CONFLICTS, ids=" ".join)
def test_what_cannot_be_solved_is_not(specs: list[str], server: ChannelServer, tmp_path: Path) -> None:
    with pytest.raises(SolverError):
        _solve(f"{server.url}/{CONDA_FORGE}", specs, tmp_path)


def test_virtual_packages_choose_between_variants(server: ChannelServer, tmp_path: Path) -> None:
    channel = f"{server.url}/{CONDA_FORGE}"
    chosen = [str(record.build) for record in _solve(channel, ["accelerated"], tmp_path)]
    assert chosen == ["cpu_0"]
    chosen = [str(record.build) for record in _solve(channel, ["accelerated"], tmp_path, __cuda="12.4")]
    assert chosen == ["cuda_200"]
    (modern,) = _solve(channel, ["modern"], tmp_path)
    assert str(modern.version) == "1.0"
    (modern,) = _solve(channel, ["modern"], tmp_path, __glibc="2.99")
    assert str(modern.version) == "2.0"


def test_the_smuggled_package_comes_from_the_copy_of_defaults(server: ChannelServer, tmp_path: Path) -> None:
    (record,) = _solve(f"{server.url}/{SMUGGLED}", ["only-in-defaults"], tmp_path)
    assert record.url.startswith(f"{server.url}/pkgs/main/noarch/")
