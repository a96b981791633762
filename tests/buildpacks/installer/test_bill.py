"""Bills of materials: documents of components, and the components that distributions are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packageurl import PackageURL

from buildpacks.installer.bill import Component, make_purl, render_bill
from buildpacks.installer.contents import read_contents
from buildpacks.installer.lock import LockEntry
from tests.bills import read_bill

NUMPY = Component(name="numpy", version="2.0", purl="pkg:pypi/numpy@2.0")
FULL = Component(
    type="platform",
    name="python",
    version="3.12.1",
    purl="pkg:generic/python@3.12.1",
    cpe="cpe:2.3:a:python:python:3.12.1:*:*:*:*:*:*:*",
    licence="PSF-2.0",
    sha256="0" * 64,
    properties={"b": "1", "a": "2"},
)
HASH, OTHER = "a" * 64, "b" * 64


def test_a_document_is_what_the_schema_asks_for() -> None:
    components = read_bill(render_bill((FULL, NUMPY)))
    assert components["python"] == {
        "type": "platform",
        "bom-ref": "pkg:generic/python@3.12.1",
        "name": "python",
        "version": "3.12.1",
        "purl": "pkg:generic/python@3.12.1",
        "cpe": "cpe:2.3:a:python:python:3.12.1:*:*:*:*:*:*:*",
        "licenses": [{"expression": "PSF-2.0"}],
        "hashes": [{"alg": "SHA-256", "content": "0" * 64}],
        "properties": [{"name": "a", "value": "2"}, {"name": "b", "value": "1"}],
    }
    assert set(components["numpy"]) == {"type", "bom-ref", "name", "version", "purl"}


def test_equal_components_give_equal_bytes() -> None:
    assert render_bill((FULL, NUMPY)) == render_bill((NUMPY, FULL, NUMPY))
    assert read_bill(render_bill(())) == {}


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("mit or apache-2.0", {"expression": "MIT OR Apache-2.0"}),
        ("LicenseRef-Ours", {"expression": "LicenseRef-Ours"}),
        ("BSD", {"license": {"name": "BSD"}}),
        ("MIT AND", {"license": {"name": "MIT AND"}}),
        ("\udcff", {"license": {"name": "?"}}),
    ],
)
def test_a_licence_is_an_expression_where_it_is_one(licence: str, expected: object) -> None:
    component = Component(name="x", version="1", purl=None, licence=licence)
    assert read_bill(render_bill((component,)))["x"]["licenses"] == [expected]


@given(
    name=st.from_regex(r"[a-z0-9](-?[a-z0-9])*", fullmatch=True),
    version=st.from_regex(r"([0-9]!)?[0-9]+(\.[0-9]+)*(rc[0-9])?(\+[a-z0-9]+)?", fullmatch=True),
    url=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1),
)
def test_package_urls_are_those_of_their_library(name: str, version: str, url: str) -> None:
    purl = make_purl("pypi", name, version, {"download_url": url, "vcs_url": None})
    assert purl == PackageURL("pypi", None, name, version, {"download_url": url}).to_string()


def add(prefix: Path, name: str, version: str, metadata: str = "", origin: object = None) -> None:
    directory = prefix / "lib" / "python3.12" / "site-packages" / f"{name}-{version}.dist-info"
    directory.mkdir(parents=True)
    (directory / "METADATA").write_text(
        f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n{metadata}\n\ntext\n"
    )
    if origin is not None:
        (directory / "direct_url.json").write_text(json.dumps(origin))


def test_distributions_are_what_is_installed(tmp_path: Path) -> None:
    add(tmp_path, "Zope_Interface", "1.0rc1+local", "License-Expression: ZPL-2.1\nLicense: Zope")
    add(tmp_path, "alpha", "2.0", "License: Alpha's own")
    add(tmp_path, "beta", "1.0", "License: first line\n        second line")
    add(tmp_path, "gamma", "1.0", "License: UNKNOWN\nClassifier: License :: OSI Approved")
    bsd, own = "License :: OSI Approved :: BSD License", "License :: Other/Proprietary License"
    add(
        tmp_path,
        "delta",
        "1.0",
        f"License: a\n        b\nClassifier: {bsd}\nClassifier: Topic :: Text\nClassifier: {own}",
    )
    locked = (
        LockEntry(text="alpha==2.0", hashes=(f"sha256:{HASH}",)),
        LockEntry(text="beta==1.0", hashes=(f"sha256:{HASH}", f"sha256:{OTHER}")),
        LockEntry(text="not-installed==1.0", hashes=(f"sha256:{HASH}",)),
    )
    found = read_bill(render_bill(read_contents(tmp_path, locked)))
    assert {name: component["purl"] for name, component in found.items()} == {
        "zope-interface": "pkg:pypi/zope-interface@1.0rc1%2Blocal",
        "alpha": "pkg:pypi/alpha@2.0",
        "beta": "pkg:pypi/beta@1.0",
        "delta": "pkg:pypi/delta@1.0",
        "gamma": "pkg:pypi/gamma@1.0",
    }
    assert found["zope-interface"]["licenses"] == [{"expression": "ZPL-2.1"}]
    assert found["alpha"]["licenses"] == [{"license": {"name": "Alpha's own"}}]
    assert found["delta"]["licenses"] == [{"license": {"name": "BSD License, Other/Proprietary License"}}]
    assert found["alpha"]["hashes"] == [{"alg": "SHA-256", "content": HASH}]
    # One of two files was installed, and the lock does not say which.
    assert not {"licenses", "hashes"} & (set(found["beta"]) | set(found["gamma"]))


def test_what_no_index_has_says_where_it_is_from(tmp_path: Path) -> None:
    add(
        tmp_path,
        "repo",
        "1.0",
        origin={"url": "https://git.test/repo.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}},
    )
    add(tmp_path, "archive", "1.0", origin={"url": "https://files.test/a.whl", "archive_info": {}})
    add(tmp_path, "own", "1.0", origin={"url": "file:///workspace", "dir_info": {"editable": True}})
    add(tmp_path, "strange", "1.0", origin=[])
    found = read_bill(render_bill(read_contents(tmp_path, ())))
    repo = PackageURL.from_string(found["repo"]["purl"]).qualifiers
    assert repo == {"vcs_url": "git+https://git.test/repo.git@abc"}
    assert PackageURL.from_string(found["archive"]["purl"]).qualifiers == {"download_url": "https://files.test/a.whl"}
    # Somebody else's package of that name is another one.
    assert "purl" not in found["own"]
    assert found["own"]["bom-ref"] == "own@1.0"
    assert found["strange"]["purl"] == "pkg:pypi/strange@1.0"
