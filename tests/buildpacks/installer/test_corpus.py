"""Requirement files as people really write them, each with the outcome that its row in the index expects.

The corpus is third-party data and not a part of this repository: it is looked for in `$PYBUILD_CORPUS`, then beside the checkout.
"""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest

from buildpacks.installer.errors import InvalidRequirements
from buildpacks.installer.indexes import IndexSettings
from buildpacks.installer.reader import RequirementSet, read_requirements

CORPUS = Path(os.environ.get("PYBUILD_CORPUS") or Path(__file__).parents[4] / "shared" / "corpus")

# The index's reasons for a failure, as kinds of problems. Two of them pip finds out while it installs (`build` in the index);
# here they are named before anything is downloaded.
KINDS = {
    "CONDA_EXPORT": {"conda-export"},
    "DEAD_GIT_PROTOCOL": {"dead-protocol"},
    "INVALID_REQUIREMENT": {"invalid", "template", "outside", "missing-path"},
    "LFS_POINTER": {"lfs-pointer"},
    "LOCAL_FILE_URL": {"local-file"},
    "PKG_RESOURCES_0.0.0": {"not-a-package"},
}


def rows() -> list[dict[str, str]]:
    index = CORPUS / "INDEX.tsv"
    if not index.is_file():
        return []
    with index.open(encoding="utf-8", newline="") as stream:
        table = csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [row for row in table if row["kind"] == "requirements"]


def no_network(url: str) -> bytes:
    raise AssertionError(f"{url} is not to be fetched")


def read(row: dict[str, str], app_dir: Path) -> RequirementSet:
    (app_dir / "requirements.txt").write_bytes((CORPUS / row["file"]).read_bytes())
    if "editable-dot" in row["features"].split():
        # What `-e .` refers to is in the file's own repository.
        (app_dir / "pyproject.toml").write_text("[project]\nname = 'itself'\nversion = '1'\n", encoding="utf-8")
    indexes = IndexSettings()
    return read_requirements(("requirements.txt",), app_dir=app_dir, env={}, indexes=indexes, fetch=no_network)


@pytest.mark.skipif(not rows(), reason=f"no corpus in {CORPUS}; name it with PYBUILD_CORPUS")
@pytest.mark.parametrize("row", [pytest.param(row, id=row["file"].rpartition("/")[2]) for row in rows()])
def test_every_file_is_read_with_the_outcome_that_the_index_expects(row: dict[str, str], tmp_path: Path) -> None:
    if row["verdict"] == "fail":
        with pytest.raises(InvalidRequirements) as caught:
            read(row, tmp_path)
        found = {problem.kind for problem in caught.value.problems}
        assert found & KINDS[row["reason"]]
        assert all(problem.origin.line for problem in caught.value.problems)
    else:
        # `warn` is a file without requirements: nothing is wrong with it, and there is nothing to install.
        assert bool(read(row, tmp_path).requirements) == (row["reason"] != "NOTHING_TO_INSTALL")
