"""Projects as people really write them, each with the outcome that its row in the index expects.

The corpus is third-party data and not a part of this repository: it is looked for in `$PYBUILD_CORPUS`, then beside the checkout.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from buildpacks.poetry.detect import detect
from buildpacks.poetry.document import read_document
from buildpacks.poetry.reading import read_python
from lifecycle.cnb.kit import DetectContext, NotDetected
from lifecycle.cnb.target import Target
from lifecycle.cnb.toml import read_toml
from tests.buildpacks.poetry.projects import problems_of

CORPUS = Path(os.environ.get("PYBUILD_CORPUS") or Path(__file__).parents[4] / "shared" / "corpus")

# The index's reasons, as the kinds of problems that there must be, and no others. Empty: the project can be built.
KINDS = {
    "OK": set[str](),
    "POETRY_CHECK_WARNS": set[str](),
    "TOML_INVALID": {"toml"},
    "BAD_CONSTRAINT": {"constraint"},
    "POETRY_CONFIG_INVALID": {"missing-key"},
    "PROJECT_METADATA_NOT_READ_BY_1.8": {"needs-newer-poetry"},
    "REQUIRES_NEWER_POETRY": {"needs-newer-poetry"},
    "PATH_DEPENDENCY_OUTSIDE_TREE": {"outside"},
    # The index takes it for worth a word only, as `poetry install` 1.8.3 does, which warns that it will be an error ("No
    # file/folder found for package") and leaves the project out. Who builds an image of it has to know: an error here.
    "PACKAGE_MODE_BUT_NO_PACKAGE": {"no-package"},
}


def rows(kind: str) -> list[dict[str, str]]:
    index = CORPUS / "INDEX.tsv"
    if not index.is_file():
        return []
    with index.open(encoding="utf-8", newline="") as stream:
        table = csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [row for row in table if row["kind"] == kind]


def parameters(kind: str, *, buildpack: str | None = None) -> list[object]:
    wanted = [row for row in rows(kind) if buildpack in (None, row["buildpack"])]
    return [pytest.param(row, id=row["file"].partition("/")[2]) for row in wanted]


def refusal(app_dir: Path) -> str | None:
    """Why the project is not Poetry's; `None`: it is."""
    context = DetectContext(
        app_dir=app_dir,
        platform_dir=app_dir,
        buildpack_dir=app_dir,
        env={},
        target=Target(os="linux", arch="amd64"),
    )
    try:
        detect(context)
    except NotDetected as answer:
        return answer.reason
    return None


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def add_what_the_repository_has(app_dir: Path, *, package: bool) -> None:
    """Make what the index takes for there: the readme and, with `package`, the code."""
    tool = read_toml(app_dir / "pyproject.toml").get("tool")
    table = tool.get("poetry") if isinstance(tool, Mapping) else None
    assert isinstance(table, Mapping)
    readme = table.get("readme", [])
    for name in readme if isinstance(readme, list) else [readme]:
        touch(app_dir / name)
    if not package:
        return
    for item in table.get("packages", []):
        place = app_dir / item.get("from", ".") / item["include"].replace("**", "deep").replace("*", "module")
        touch(place if place.suffix == ".py" else place / "module.py")
    if "packages" not in table and "name" in table:
        touch(app_dir / f"{table['name'].lower().replace('-', '_')}.py")


needs_corpus = pytest.mark.skipif(not rows("pyproject"), reason=f"no corpus in {CORPUS}; name it with PYBUILD_CORPUS")


@needs_corpus
@pytest.mark.parametrize("row", parameters("pyproject"))
def test_every_project_has_the_outcome_that_the_index_expects(row: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_bytes((CORPUS / row["file"]).read_bytes())
    also = row["also"].split()
    reason = refusal(tmp_path)
    if row["buildpack"] != "poetry":
        assert reason is not None
        assert ("TOML" if row["reason"] == "TOML_INVALID" else "no `[tool.poetry]`") in reason
        return
    assert reason is None
    for code in also:
        if code.startswith("LOCK:"):
            touch(tmp_path / "poetry.lock")
        if code.startswith("PYTHON:"):
            assert read_python(read_document(tmp_path)).text == code.removeprefix("PYTHON:").replace("_", " ")
    if row["reason"] != "TOML_INVALID":
        add_what_the_repository_has(tmp_path, package=row["reason"] != "PACKAGE_MODE_BUT_NO_PACKAGE")
    problems = problems_of(tmp_path)
    assert {problem.kind for problem in problems} == KINDS[row["reason"]]
    assert all(problem.origin.line for problem in problems)


@needs_corpus
@pytest.mark.parametrize("row", parameters("multi"))
def test_every_tree_with_a_table_for_poetry_is_poetrys(row: dict[str, str]) -> None:
    tree = CORPUS / row["file"]
    reason = refusal(tree)
    others = [code.removeprefix("OTHER_CANDIDATES:") for code in row["also"].split() if "OTHER_CANDIDATES:" in code]
    is_poetrys = row["buildpack"] == "poetry" or any("poetry" in other.split(",") for other in others)
    assert (reason is None) == is_poetrys
    if reason is not None:
        has_file = (tree / "pyproject.toml").exists()
        assert reason.startswith("no `[tool.poetry]` in" if has_file else "no `pyproject.toml` in")


@needs_corpus
@pytest.mark.parametrize("row", parameters("multi", buildpack="poetry"))
def test_every_tree_of_poetrys_has_the_outcome_that_the_index_expects(row: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_bytes((CORPUS / row["file"] / "pyproject.toml").read_bytes())
    add_what_the_repository_has(tmp_path, package=row["reason"] != "PACKAGE_MODE_BUT_NO_PACKAGE")
    assert {problem.kind for problem in problems_of(tmp_path)} == KINDS[row["reason"]]
