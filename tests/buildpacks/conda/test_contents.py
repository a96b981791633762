"""What a conda environment holds: packages of conda, and distributions that pip has put over them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from buildpacks.conda.contents import read_contents
from buildpacks.installer.bill import render_bill
from buildpacks.installer.lock import LockEntry
from tests.bills import read_bill

SITE = "lib/python3.12/site-packages"
PIP = (LockEntry(text="beta==3.0", hashes=(f"sha256:{'b' * 64}",)),)


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """With a library, and the distributions alpha and beta."""
    add_record(tmp_path, "libz", [])
    for name in ("alpha", "beta"):
        add_record(tmp_path, name, [f"{SITE}/{name}/__init__.py", add_distribution(tmp_path, name, "1.0", "conda")])
    return tmp_path


def add_record(prefix: Path, name: str, files: list[str]) -> None:
    path = prefix / "conda-meta" / f"{name}-1.0-h1_0.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    values = {
        "name": name,
        "version": "1.0",
        "build": "h1_0",
        "subdir": "linux-64",
        "channel": "https://conda.anaconda.org/conda-forge",
        "url": f"https://conda.anaconda.org/conda-forge/linux-64/{name}-1.0-h1_0.conda",
        "sha256": "c" * 64,
        "license": "BSD-3-Clause",
        "files": files,
    }
    path.write_text(json.dumps(values))


def add_distribution(prefix: Path, name: str, version: str, installer: str) -> str:
    """The path of its metadata below the prefix."""
    directory = prefix / SITE / f"{name}-{version}.dist-info"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\n")
    (directory / "INSTALLER").write_text(f"{installer}\n")
    return str((directory / "METADATA").relative_to(prefix))


def names(prefix: Path, pip: tuple[LockEntry, ...] | None) -> dict[str, str]:
    found = read_bill(render_bill(read_contents(prefix, pip)))
    return {name: component["purl"].partition("?")[0] for name, component in found.items()}


def test_conda_packages_are_named_with_what_tells_them_apart(prefix: Path) -> None:
    found = read_bill(render_bill(read_contents(prefix, None)))
    assert set(found) == {"libz", "alpha", "beta"}
    assert found["libz"] == {
        "type": "library",
        "bom-ref": found["libz"]["purl"],
        "name": "libz",
        "version": "1.0",
        "purl": "pkg:conda/libz@1.0?build=h1_0&channel=conda-forge&subdir=linux-64&type=conda",
        "licenses": [{"expression": "BSD-3-Clause"}],
        "hashes": [{"alg": "SHA-256", "content": "c" * 64}],
    }


def test_a_channel_elsewhere_is_named_by_its_url(prefix: Path) -> None:
    path = prefix / "conda-meta" / "libz-1.0-h1_0.json"
    path.write_text(path.read_text().replace("https://conda.anaconda.org", "https://repo.test/conda"))
    purl = read_bill(render_bill(read_contents(prefix, None)))["libz"]["purl"]
    assert "&channel=https://repo.test/conda/conda-forge&" in purl


def test_what_pip_has_put_over_them_is_named_once(prefix: Path) -> None:
    add_distribution(prefix, "gamma", "2.0", "uv")
    assert names(prefix, PIP) == {
        "libz": "pkg:conda/libz@1.0",
        "alpha": "pkg:conda/alpha@1.0",
        "beta": "pkg:conda/beta@1.0",
        "gamma": "pkg:pypi/gamma@2.0",
    }


@pytest.mark.parametrize("version", ["1.0", "3.0"])
def test_what_pip_has_replaced_is_not_there(version: str, prefix: Path) -> None:
    old = prefix / SITE / "beta-1.0.dist-info"
    (old / "METADATA").unlink()
    add_distribution(prefix, "beta", version, "uv")
    found = read_bill(render_bill(read_contents(prefix, PIP)))
    assert set(found) == {"libz", "alpha", "beta"}
    assert found["beta"]["purl"] == f"pkg:pypi/beta@{version}"
    assert found["beta"]["hashes"] == [{"alg": "SHA-256", "content": "b" * 64}]


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"name": "x", "version": 1}'])
def test_files_that_are_no_records_count_for_nothing(content: str, prefix: Path) -> None:
    (prefix / "conda-meta" / "other.json").write_text(content)
    assert set(names(prefix, None)) == {"libz", "alpha", "beta"}
