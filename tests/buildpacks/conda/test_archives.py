"""Downloads: what is kept is what the channel describes, and what is kept is not fetched again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from buildpacks.conda.archives import fetch_archives
from buildpacks.conda.client import Network
from buildpacks.conda.failures import BrokenArchive, UnreachableChannel
from buildpacks.conda.lock import LockedPackage
from buildpacks.conda.settings import Mirror
from tests.buildpacks.conda.packages import Channels, CondaPackage, serve, write_package

PUBLIC = "https://conda.anaconda.org"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Channels]:
    (tmp_path / "root").mkdir()
    with serve(tmp_path / "root") as channels:
        yield channels


def publish(channels: Channels, name: str, *, ending: str = ".conda") -> LockedPackage:
    path = write_package(
        channels.root / "conda-forge", CondaPackage(name=name, files={"share/x": name * 50}), ending=ending
    )
    data = path.read_bytes()
    return LockedPackage(
        name=name,
        version="1.0",
        build="0",
        subdir="linux-64",
        url=f"{PUBLIC}/conda-forge/linux-64/{path.name}",
        channel=f"{PUBLIC}/conda-forge",
        sha256=hashlib.sha256(data).hexdigest(),
        md5=hashlib.md5(data).hexdigest(),
        size=len(data),
        record=None,
    )


class Fetcher:
    """`fetch_archives` with one cache and what it said."""

    def __init__(self, channels: Channels, cache: Path) -> None:
        mirror = Mirror(source=PUBLIC, targets=(channels.url,))
        self.network = Network(alias=PUBLIC, mirrors=(mirror,), retries=1)
        self.cache = cache
        self.said: list[str] = []

    def __call__(self, *packages: LockedPackage, shared: Path | None = None) -> dict[LockedPackage, Path]:
        return dict(
            fetch_archives(
                packages, network=self.network, cache_dir=self.cache, shared_dir=shared, say=self.said.append
            )
        )

    @property
    def kept(self) -> list[str]:
        return sorted(path.name for path in (self.cache / "archives").iterdir())


@pytest.fixture
def fetch(served: Channels, tmp_path: Path) -> Fetcher:
    return Fetcher(served, tmp_path / "cache")


def test_archives_are_kept_by_their_content_and_not_fetched_again(served: Channels, fetch: Fetcher) -> None:
    packages = [publish(served, f"package{number}") for number in range(12)]
    packages.append(publish(served, "old", ending=".tar.bz2"))
    found = fetch(*packages)
    assert list(found) == packages
    for package, path in found.items():
        assert path.name == f"{package.sha256}{package.suffix}"
        assert hashlib.sha256(path.read_bytes()).hexdigest() == package.sha256
    assert fetch.said[0].startswith("Downloading 13 packages, ")
    served.requests.clear()
    fetch.said.clear()
    assert fetch(*packages) == found
    assert served.requests == []
    assert fetch.said == []


def test_the_machines_store_is_used_and_verified(served: Channels, fetch: Fetcher, tmp_path: Path) -> None:
    good, bad = publish(served, "good"), publish(served, "bad")
    shared = tmp_path / "shared"
    shared.mkdir()
    source = served.root / "conda-forge/linux-64/good-1.0-0.conda"
    (shared / f"{good.sha256}.conda").write_bytes(source.read_bytes())
    (shared / f"{bad.sha256}.conda").write_bytes(b"swapped by somebody")
    found = fetch(good, bad, shared=shared)
    assert found[good].parent == shared
    assert found[bad].parent == fetch.cache / "archives"
    assert served.requests == ["/conda-forge/linux-64/bad-1.0-0.conda"]


def test_an_archive_that_was_damaged_in_the_cache_is_fetched_again(served: Channels, fetch: Fetcher) -> None:
    package = publish(served, "a")
    path = fetch(package)[package]
    path.write_bytes(path.read_bytes()[:-1])
    assert hashlib.sha256(fetch(package)[package].read_bytes()).hexdigest() == package.sha256


def test_other_bytes_than_the_channel_says_are_not_kept(served: Channels, fetch: Fetcher) -> None:
    package = publish(served, "a")
    path = served.root / "conda-forge/linux-64/a-1.0-0.conda"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(BrokenArchive) as caught:
        fetch(package, publish(served, "b"))
    assert caught.value.package == "a 1.0 0"
    assert caught.value.expected == f"sha256:{package.sha256}"
    assert caught.value.found == f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert f"{package.sha256}.conda" not in fetch.kept
    assert not [name for name in fetch.kept if name.startswith(".")]


def test_a_download_that_ends_early_is_not_kept(served: Channels, fetch: Fetcher) -> None:
    package = publish(served, "a")
    served.truncated.add("/conda-forge/linux-64/a-1.0-0.conda")
    with pytest.raises(BrokenArchive) as caught:
        fetch(package)
    assert caught.value.package == "a 1.0 0"
    assert caught.value.expected == f"{package.size} bytes"
    assert fetch.kept == []


def test_a_download_that_ends_early_once_is_begun_again(served: Channels, fetch: Fetcher) -> None:
    package = publish(served, "a")
    served.truncated_once.add("/conda-forge/linux-64/a-1.0-0.conda")
    assert fetch(package)[package].name == f"{package.sha256}.conda"
    assert len(served.requests) == 2
    assert fetch.kept == [f"{package.sha256}.conda"]


def test_a_mirror_that_is_down_is_left_for_the_next(served: Channels, fetch: Fetcher) -> None:
    package = publish(served, "a")
    mirror = Mirror(source=PUBLIC, targets=("http://127.0.0.1:1", served.url))
    fetch.network = Network(alias=PUBLIC, mirrors=(mirror,), retries=2)
    assert fetch(package)[package].is_file()


def test_a_download_without_end_is_cut_off(served: Channels, fetch: Fetcher) -> None:
    package = replace(publish(served, "a"), size=100)
    with pytest.raises(BrokenArchive, match="not the one that its channel describes"):
        fetch(package)
    assert fetch.kept == []


def test_a_file_that_is_gone_is_named(served: Channels, fetch: Fetcher) -> None:
    package = publish(served, "a")
    (served.root / "conda-forge/linux-64/a-1.0-0.conda").unlink()
    with pytest.raises(UnreachableChannel) as caught:
        fetch(package)
    assert caught.value.summary == f"`{package.url}` is not there (404)"


def test_a_package_with_md5_only_is_verified_by_it(served: Channels, fetch: Fetcher) -> None:
    package = publish(served, "a")
    weak = replace(package, sha256=None, size=None)
    assert fetch(weak)[weak].name == f"{package.sha256}.conda"
    with pytest.raises(BrokenArchive, match="not the one"):
        fetch(replace(weak, md5="0" * 32))


def test_archives_of_a_directory_are_copied(served: Channels, tmp_path: Path) -> None:
    package = publish(served, "a")
    mirror = Mirror(source=PUBLIC, targets=(served.root.as_uri(),))
    found = fetch_archives(
        [package],
        network=Network(alias=PUBLIC, mirrors=(mirror,)),
        cache_dir=tmp_path / "cache",
        shared_dir=None,
        say=lambda line: None,
    )
    assert hashlib.sha256(found[package].read_bytes()).hexdigest() == package.sha256
    assert served.requests == []
