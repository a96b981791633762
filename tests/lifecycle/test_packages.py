"""Files of an environment are claimed by the packages in it, whatever those say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from lifecycle.oci.tree import scan_tree
from lifecycle.packages import find_owners
from tests.lifecycle.environments import SITE_PACKAGES, add_conda_package, add_distribution


def owners(root: Path) -> Mapping[str, str]:
    return {path.decode(): name for path, name in find_owners(scan_tree(root)).items()}


def test_a_distribution_has_its_files_wherever_they_are(tmp_path: Path) -> None:
    files = {"my_tool/a.py": 1, "../../../bin/tool": 1, "../../../share/./x//y": 1}
    add_distribution(tmp_path, "My.Tool", files)
    (tmp_path / "bin/python").symlink_to("/usr/bin/python3")
    assert owners(tmp_path) == dict.fromkeys(
        [
            "bin/tool",
            "share/x/y",
            f"{SITE_PACKAGES}/my_tool/a.py",
            f"{SITE_PACKAGES}/My.Tool-1.0.dist-info/METADATA",
            f"{SITE_PACKAGES}/My.Tool-1.0.dist-info/RECORD",
        ],
        "my-tool",
    )


def test_bytecode_goes_with_its_source(tmp_path: Path) -> None:
    add_distribution(tmp_path, "a", {"a.py": 1, "x.y.py": 1})
    cache = tmp_path / SITE_PACKAGES / "__pycache__"
    cache.mkdir()
    for name in ("a.cpython-312.pyc", "a.cpython-312.opt-1.pyc", "x.y.cpython-312.pyc", "other.cpython-312.pyc"):
        (cache / name).touch()
    claimed = {path.rpartition("/")[2] for path in owners(tmp_path) if "__pycache__" in path}
    assert claimed == {"a.cpython-312.pyc", "a.cpython-312.opt-1.pyc", "x.y.cpython-312.pyc"}


def test_conda_packages_come_before_what_is_in_them(tmp_path: Path) -> None:
    prefix = tmp_path / "conda"
    add_distribution(prefix, "numpy_dist", {"numpy/a.py": 1})
    numpy = [path.relative_to(prefix).as_posix() for path in prefix.rglob("*") if path.is_file()]
    add_conda_package(prefix, "numpy", dict.fromkeys(numpy, 1))
    add_conda_package(prefix, "_libgcc_mutex", {"lib/x": 1})
    found = owners(tmp_path)
    assert found[f"conda/{SITE_PACKAGES}/numpy/a.py"] == "numpy"
    assert found["conda/lib/x"] == "-libgcc-mutex"
    assert found["conda/conda-meta/numpy-1.0-0.json"] == "numpy"


def test_a_vendored_package_belongs_to_the_one_that_has_it(tmp_path: Path) -> None:
    vendored = {"setuptools/_vendor/x.py": 1, "setuptools/_vendor/x-1.dist-info/RECORD": 1}
    add_distribution(tmp_path, "setuptools", vendored)
    assert set(owners(tmp_path).values()) == {"setuptools"}


@pytest.mark.parametrize(
    "record",
    [
        ['"', "b.py,,"],
        ["\0,,", "../../../../../../etc/passwd,,", "/etc/passwd,,", ",,", "."],
        [f"{'x' * 200_000},,"],
    ],
)
def test_a_record_that_is_none_claims_nothing_else(tmp_path: Path, record: list[str]) -> None:
    add_distribution(tmp_path, "bad", {"bad.py": 1}, record=record)
    add_distribution(tmp_path, "good", {"good.py": 1})
    found = owners(tmp_path)
    assert [path.rpartition("/")[2] for path in found if found[path] == "bad"] == ["RECORD"]
    assert found[f"{SITE_PACKAGES}/good.py"] == "good"


@pytest.mark.parametrize(
    "text", ["", "[]", '{"name": 1, "files": []}', '{"name": "x", "files": [1]}', "[" * 100_000, "\xff"]
)
def test_a_description_of_conda_s_that_is_none_claims_nothing(tmp_path: Path, text: str) -> None:
    add_conda_package(tmp_path, "x", {"lib/x": 1})
    (tmp_path / "conda-meta/x-1.0-0.json").write_text(text, encoding="latin-1")
    assert owners(tmp_path) == {}


def test_no_name_leads_out_of_a_directory(tmp_path: Path) -> None:
    add_conda_package(tmp_path, "x", {"lib/x": 1})
    content = '{"name": "../../x\\u0000\\ud800", "files": ["lib/x", "lib/\\ud800"]}'
    (tmp_path / "conda-meta/x-1.0-0.json").write_text(content)
    (name,) = set(owners(tmp_path).values())
    assert re.fullmatch(r"[a-z0-9-]+", name)


def test_links_are_not_followed_to_a_record(tmp_path: Path) -> None:
    add_distribution(tmp_path / "outside", "a", {"a.py": 1})
    add_distribution(tmp_path / "env", "b", {"a.py": 1}, record=[])
    record = tmp_path / "env" / SITE_PACKAGES / "b-1.0.dist-info/RECORD"
    record.unlink()
    record.symlink_to(tmp_path / "outside" / SITE_PACKAGES / "a-1.0.dist-info/RECORD")
    assert owners(tmp_path / "env") == {f"{SITE_PACKAGES}/b-1.0.dist-info/RECORD": "b"}
