"""Environment files as people really write them, each with the outcome that its row in the index expects.

The corpus is third-party data and not a part of this repository: it is looked for in `$PYBUILD_CORPUS`, then beside the checkout.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Set
from pathlib import Path

import pytest

from buildpacks.conda.channels import check_channels
from buildpacks.conda.errors import ChannelPolicyViolation, InvalidEnvironmentFile, Problem
from buildpacks.conda.location import find_environment_file
from buildpacks.conda.settings import read_settings
from buildpacks.conda.specification import EnvironmentFile, read_environment_file
from tests.buildpacks.conftest import Workbench

CORPUS = Path(os.environ.get("PYBUILD_CORPUS") or Path(__file__).parents[4] / "shared" / "corpus")

# The index's reasons for a failure, as kinds of problems; one of them must be found.
KINDS = {
    "DEFAULTS_CHANNEL": {"defaults"},
    "NODEFAULTS_MISSING": {"nodefaults"},
    "NOT_A_CONDA_ENVIRONMENT": {"not-an-environment", "conda-export"},
    "YAML_INVALID": {"yaml", "shell", "template"},
}
# Further codes of the index that must be among the problems, besides the reason.
ALSO = {
    "ANACONDA_OPERATED_CHANNEL": {"defaults"},
    "CHANNEL_TYPO:default": {"defaults"},
    "DEFAULTS_BY_URL": {"defaults"},
    "DEFAULTS_VIA_CHANNEL_SPEC": {"defaults"},
    "MACOS_SPECS": {"macos-package"},
    "WINDOWS_SPECS": {"windows-package"},
}
# Codes that are worth a notice where the file is understood.
NOTICES = {
    "PLATFORMS_KEY_IGNORED": "`platforms` is conda-lock's",
    "PREFIX_IGNORED": "`prefix` is ignored",
    "PYTHON_NOT_LISTED": "`python` is not listed",
    "SELECTOR_COMMENT_INERT": "selectors in comments have no effect",
    "UNKNOWN_KEYS:pip-repositories": "`pip-repositories` is conda-lock's",
    "UTF16": "is in UTF-16",
}

# Rows that are wrong, with what is right.
INSTALLS_NOTHING = {
    # An untouched template: it installs nothing, so its channels do no harm. The index takes it for forbidden, by its channel alone.
    "env/SwissDataScienceCenter__renku-project-template__35a9351f_0.3.1_environment.yml",
}
TEMPLATES = {
    # `{{ local-package }}` is not filled in, which no `nodefaults` would make a package of.
    "env/pydata__xarray__doc_environment_template.yml",
}


# Trees that the index gives to another buildpack than these do, with the reason.
TAKEN = {
    # `environment.yaml` counts as well as `environment.yml`.
    "multi/2U1__DockerEnv": True,
    # Templates that install nothing are left to the files beside them.
    "multi/auwerxlab__renku-r-template": False,
    "multi/saasfee2022__course-materials": False,
}


def rows(kind: str) -> list[dict[str, str]]:
    index = CORPUS / "INDEX.tsv"
    if not index.is_file():
        return []
    with index.open(encoding="utf-8", newline="") as stream:
        table = csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [row for row in table if row["kind"] == kind]


def read(row: dict[str, str], app_dir: Path) -> EnvironmentFile:
    (app_dir / "environment.yml").write_bytes((CORPUS / row["file"]).read_bytes())
    location = find_environment_file(app_dir, read_settings({}))
    assert location is not None
    return read_environment_file(location.path, name=location.name)


def kinds(problems: tuple[Problem, ...]) -> Set[str]:
    assert all(problem.message and problem.change for problem in problems)
    return {problem.kind for problem in problems}


def parameters(kind: str) -> list[object]:
    return [pytest.param(row, id=row["file"].rpartition("/")[2]) for row in rows(kind)]


needs_corpus = pytest.mark.skipif(not rows("env"), reason=f"no corpus in {CORPUS}; name it with PYBUILD_CORPUS")


@needs_corpus
@pytest.mark.parametrize("row", parameters("env"))
def test_every_file_has_the_outcome_that_the_index_expects(row: dict[str, str], tmp_path: Path) -> None:
    also = row["also"].split()
    if row["file"] in TEMPLATES:
        with pytest.raises(InvalidEnvironmentFile) as invalid:
            read(row, tmp_path)
        assert kinds(invalid.value.problems) == {"template"}
        return
    if row["reason"] in ("NOT_A_CONDA_ENVIRONMENT", "YAML_INVALID"):
        with pytest.raises(InvalidEnvironmentFile) as invalid:
            read(row, tmp_path)
        assert kinds(invalid.value.problems) & KINDS[row["reason"]]
        assert all(problem.origin for problem in invalid.value.problems)
        return
    file = read(row, tmp_path)
    for code in also:
        if code in NOTICES and not (code == "PYTHON_NOT_LISTED" and "R_PACKAGES" in also):
            assert any(NOTICES[code] in notice for notice in file.notices) or file.installs_nothing
    if row["file"] in INSTALLS_NOTHING:
        assert file.installs_nothing
    elif row["verdict"] == "fail":
        with pytest.raises(ChannelPolicyViolation) as violation:
            check_channels(file, "enforce")
        found = kinds(violation.value.problems)
        assert found & KINDS[row["reason"]]
        for code in also:
            if code in ALSO:
                assert found & ALSO[code], code
    else:
        assert "nodefaults" not in check_channels(file, "enforce").channels
        # `warn`: nothing says which Python is meant.
        assert any("`python`" in notice for notice in file.notices) == (row["reason"] == "PYTHON_NOT_PINNED")


@needs_corpus
@pytest.mark.parametrize("row", parameters("multi"))
def test_every_tree_that_installs_something_from_conda_is_taken(
    row: dict[str, str], workbench: Callable[[str], Workbench]
) -> None:
    bench = workbench("conda")
    tree = CORPUS / row["file"]
    bench.write({path.relative_to(tree).as_posix(): path.read_bytes() for path in tree.rglob("*") if path.is_file()})
    run, _ = bench.detect()
    expected = TAKEN.get(row["file"], row["buildpack"] == "conda")
    assert run.status == (0 if expected else 100)
    assert run.stdout
