"""The lock that is kept, the platform that it is for, and its packages as rattler's records."""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
import rattler
from rattler.explicit_environment.environment import ExplicitEnvironmentSpec

from buildpacks.conda.failures import UnsupportedPlatform
from buildpacks.conda.lock import (
    LockedPackage,
    LockInputs,
    hash_packages,
    new_lock,
    read_lock,
    render_explicit,
    write_lock,
)
from buildpacks.conda.records import lock_record, make_plain_record, make_records
from buildpacks.conda.settings import read_settings
from buildpacks.conda.targets import find_target
from lifecycle.cnb.target import Target
from tests.buildpacks.conda.packages import CondaPackage, write_package

CHANNEL = "https://conda.anaconda.org/conda-forge"
INPUTS = LockInputs(
    channels=(CHANNEL,),
    specs=("python=3.11", "numpy"),
    platform="linux-64",
    virtual_packages=("__glibc=2.36=0",),
    solver="rattler 1",
)


def package_of(path: Path, *, described: bool = True) -> LockedPackage:
    record = asyncio.run(rattler.RepoDataRecord.from_package_archive(path))
    url = f"{CHANNEL}/{path.parent.name}/{path.name}"
    package = lock_record(record, url=url, channel=CHANNEL)
    return package if described else replace(package, record=None)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return write_package(tmp_path, CondaPackage(name="tool", noarch="python", depends=("python >=3.8",)))


def test_a_kept_lock_is_read_as_it_was_written(tmp_path: Path, archive: Path) -> None:
    lock = new_lock((package_of(archive), package_of(archive, described=False)), INPUTS)
    write_lock(tmp_path / "cache", lock)
    assert read_lock(tmp_path / "cache") == lock


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 0}', '{"format": 1, "inputs": 3}'])
def test_a_lock_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "lock.json").write_text(text)
    assert read_lock(tmp_path) is None


def test_what_has_changed_since_a_lock_is_said(archive: Path) -> None:
    changed = replace(INPUTS, specs=("python=3.12", "numpy"), virtual_packages=("__glibc=2.41=0",))
    assert changed.differences(INPUTS) == (
        "dependencies: `python=3.12` was added",
        "dependencies: `python=3.11` was removed",
        "virtual packages: `__glibc=2.41=0` was added",
        "virtual packages: `__glibc=2.36=0` was removed",
    )
    assert replace(INPUTS, specs=("numpy", "python=3.11")).differences(INPUTS) == (
        "the order of the dependencies has changed",
    )


def test_the_hash_of_packages_does_not_depend_on_their_order(tmp_path: Path, archive: Path) -> None:
    one = package_of(archive)
    two = package_of(write_package(tmp_path, CondaPackage(name="other")))
    assert hash_packages([one, two]) == hash_packages([two, one])
    assert hash_packages([one]) != hash_packages([replace(one, sha256="0" * 64)])


def test_an_explicit_file_is_one_that_conda_reads(archive: Path) -> None:
    package = package_of(archive)
    weak = replace(package, sha256=None, md5="0" * 32)
    text = render_explicit([package, weak], platform="linux-64")
    assert text.splitlines()[-2:] == [f"{package.url}#sha256:{package.sha256}", f"{package.url}#{weak.md5}"]
    spec = ExplicitEnvironmentSpec.from_str(text)
    assert str(spec.platform) == "linux-64"
    assert len(spec.packages) == 2


def test_a_record_says_what_the_channel_says(archive: Path) -> None:
    package = replace(package_of(archive), record=None)
    described = package_of(archive)
    patched = {**json.loads(described.record or ""), "depends": ["python >=3.9"]}
    described = replace(described, record=json.dumps(patched))
    [record] = make_records({described: archive})
    assert (record.url, record.channel, record.file_name) == (package.url, f"{CHANNEL}/", archive.name)
    # repodata is patched where an archive cannot be
    assert record.depends == ["python >=3.9"]
    assert record.sha256 == hashlib.sha256(archive.read_bytes()).digest()
    assert str(record.noarch) == str(asyncio.run(rattler.RepoDataRecord.from_package_archive(archive)).noarch)


def test_records_that_no_channel_described_come_from_their_archives(tmp_path: Path, archive: Path) -> None:
    other = write_package(tmp_path, CondaPackage(name="other"))
    packages = {package_of(archive, described=False): archive, package_of(other): other}
    records = make_records(packages)
    assert [record.name.normalized for record in records] == ["tool", "other"]
    assert records[0].depends == ["python >=3.8"]
    assert records[0].url == f"{CHANNEL}/noarch/{archive.name}"


def test_a_plain_record_is_enough_to_compare(archive: Path) -> None:
    record = make_plain_record(package_of(archive))
    assert rattler.MatchSpec("tool=1").matches(record)
    assert not rattler.MatchSpec("tool>1").matches(record)


@pytest.mark.parametrize(
    ("target", "env", "platform", "glibc"),
    [
        (Target(os="linux", arch="amd64", distro_name="debian", distro_version="12"), {}, "linux-64", "2.36"),
        (Target(os="linux", arch="arm64", distro_name="ubuntu", distro_version="22.04"), {}, "linux-aarch64", "2.35"),
        (Target(os="linux", arch="amd64", distro_name="rocky", distro_version="9.4"), {}, "linux-64", "2.34"),
        (
            Target(os="linux", arch="amd64", distro_name="debian", distro_version="12"),
            {"BP_CONDA_OVERRIDE_GLIBC": "2.17"},
            "linux-64",
            "2.17",
        ),
    ],
)
def test_the_target_is_the_run_image(target: Target, env: dict[str, str], platform: str, glibc: str) -> None:
    found = find_target(target, read_settings(env))
    assert found.platform == platform
    assert f"__glibc={glibc}=0" in found.virtual_packages
    assert not any(name.startswith("__cuda") for name in found.virtual_packages)


def test_cuda_is_promised_when_it_is_asked_for() -> None:
    target = Target(os="linux", arch="amd64", distro_name="debian", distro_version="12")
    assert "__cuda=12.4=0" in find_target(target, read_settings({"BP_CONDA_OVERRIDE_CUDA": "12.4"})).virtual_packages


@pytest.mark.parametrize(
    "target",
    [Target(os="linux", arch="amd64", distro_name="alpine", distro_version="3.20"), Target(os="linux", arch="386")],
)
def test_a_platform_without_conda_packages_is_an_error(target: Target) -> None:
    with pytest.raises(UnsupportedPlatform):
        find_target(target, read_settings({}))
