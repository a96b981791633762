"""A project that Poetry can use, as values; and everything that is wrong with one that it cannot, with its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from buildpacks.installer.errors import InvalidSetting
from buildpacks.poetry.errors import InvalidProject
from buildpacks.poetry.selection import select_extras, select_groups
from buildpacks.poetry.settings import read_settings
from lifecycle.cnb.errors import render_error
from tests.buildpacks.poetry.projects import HEAD, NO_PACKAGE, problems_of, read, write

FULL = f"""{HEAD}readme = ["README.md", "MORE.md"]
build = "build.py"

[tool.poetry.dependencies]
python = "~3.10 || ^3.12"
six = "1.17.0"
tabulate = {{ version = "0.9.0", optional = true, source = "lab" }}
greeting = {{ git = "https://example.org/greeting.git", tag = "v1" }}
linked = {{ path = "libs/linked", develop = true }}
two = [
    {{ version = "1", python = "<3.11" }},
    {{ url = "https://example.org/two-2-py3-none-any.whl", python = ">=3.11" }},
]

[tool.poetry.group.plots.dependencies]
idna = "*"

[tool.poetry.group.docs]
optional = true
[tool.poetry.group.docs.dependencies]
missing = {{ path = "../sibling" }}

[tool.poetry.dev-dependencies]
pytest = "^8"

[tool.poetry.extras]
tables = ["tabulate"]
All = ["tabulate"]

[tool.poetry.scripts]
thesis = "thesis:main"

[[tool.poetry.source]]
name = "lab"
url = "https://lab.example.org/simple/"
priority = "explicit"
[[tool.poetry.source]]
name = "PyPI"

[build-system]
requires = ["poetry-core"]
build-backend = "poetry.core.masonry.api"
"""


@pytest.fixture
def full(tmp_path: Path) -> Path:
    write(tmp_path, FULL, "README.md", "MORE.md", "libs/linked/pyproject.toml", "poetry.lock")
    return tmp_path


def test_a_project_is_read_with_the_lines_of_what_may_fail_later(full: Path) -> None:
    project = read(full)
    assert (project.name, project.version, project.package_mode, project.has_lock) == ("thesis", "0.1.0", True, True)
    assert project.python is not None
    assert project.python.alternatives == (">=3.10,<3.11", ">=3.12,<4.0")
    assert str(project.python.origin) == "pyproject.toml:10"
    assert [(item.name, item.group, item.kind, item.origin.line) for item in project.dependencies] == [
        ("six", "main", "index", 11),
        ("tabulate", "main", "index", 12),
        ("greeting", "main", "git", 13),
        ("linked", "main", "path", 14),
        ("two", "main", "index", 16),
        ("two", "main", "url", 17),
        ("idna", "plots", "index", 21),
        ("missing", "docs", "path", 26),
        ("pytest", "dev", "index", 29),
    ]
    by_name = {item.name: item for item in project.dependencies}
    assert (by_name["tabulate"].optional, by_name["tabulate"].source) == (True, "lab")
    assert (by_name["greeting"].location, by_name["greeting"].reference) == ("https://example.org/greeting.git", "v1")
    assert (by_name["linked"].location, by_name["linked"].develop) == ("libs/linked", True)
    assert [(group.name, group.optional) for group in project.groups] == [
        ("main", False),
        ("plots", False),
        ("docs", True),
        ("dev", False),
    ]
    assert [(item.name, item.url, item.priority) for item in project.sources] == [
        ("lab", "https://lab.example.org/simple/", "explicit"),
        ("PyPI", None, "primary"),
    ]
    assert (project.extras, project.scripts) == (("tables", "All"), ("thesis",))
    assert (project.readmes, project.build_script) == (("README.md", "MORE.md"), "build.py")
    assert project.build_backend == "poetry.core.masonry.api"


@pytest.mark.parametrize(
    ("env", "groups"),
    [
        ({}, ("main",)),
        ({"BP_POETRY_WITH": "dev plots"}, ("main", "plots", "dev")),
        ({"BP_POETRY_WITHOUT": "dev"}, ("main", "plots")),
        ({"BP_POETRY_WITH": "dev", "BP_POETRY_WITHOUT": "main"}, ("plots", "dev")),
    ],
)
def test_only_main_is_installed_unless_groups_are_named(
    full: Path, env: dict[str, str], groups: tuple[str, ...]
) -> None:
    assert select_groups(read(full), read_settings(env)) == groups


def test_extras_are_found_whatever_their_case_and_all_of_them_by_a_star(full: Path) -> None:
    project = read(full)
    assert select_extras(project, read_settings({})) == ()
    assert select_extras(project, read_settings({"BP_POETRY_EXTRAS": "all"})) == ("All",)
    assert select_extras(project, read_settings({"BP_POETRY_EXTRAS": "*"})) == ("tables", "All")


def test_groups_and_extras_that_are_not_there_are_named_with_those_that_are(full: Path) -> None:
    project = read(full)
    with pytest.raises(InvalidSetting, match="`BP_POETRY_WITH` cannot be `doc`") as group:
        select_groups(project, read_settings({"BP_POETRY_WITH": "doc"}))
    assert "`main`, `plots`, `docs`, `dev`" in str(group.value.hint)
    with pytest.raises(InvalidSetting) as extra:
        select_extras(project, read_settings({"BP_POETRY_EXTRAS": "plots"}))
    assert "`tables`, `All`" in str(extra.value.hint)


def test_a_path_outside_is_refused_where_it_is_installed_or_locked(full: Path) -> None:
    (problem,) = problems_of(full, BP_POETRY_WITH="docs")
    assert (problem.kind, str(problem.origin)) == ("outside", "pyproject.toml:26")
    (full / "poetry.lock").unlink()
    assert [problem.kind for problem in problems_of(full)] == ["outside"]


@pytest.mark.parametrize(
    ("dependency", "kind"),
    [
        ('{ path = "nowhere" }', "dependency"),
        ('{ path = "/etc" }', "outside"),
        ('{ path = "link" }', "outside"),
        ('{ file = "a\\u0000b.whl" }', "constraint"),
        ('{ git = "https://example.org/a.git", rev = "--upload-pack=x" }', "dependency"),
        ('{ git = "https://example.org/a.git", branch = "-x" }', "dependency"),
    ],
)
def test_places_that_are_none_are_refused(tmp_path: Path, dependency: str, kind: str) -> None:
    (tmp_path / "link").symlink_to("/etc")
    write(tmp_path, f"{NO_PACKAGE}a = {dependency}\n")
    assert [(problem.kind, problem.origin.line) for problem in problems_of(tmp_path)] == [(kind, 5)]


# What stands below `NO_PACKAGE`, which has four lines; the kind and the line of every problem.
WRONG = [
    ("six = 3", [("dependency", 5)]),
    ('six = "^six"', [("constraint", 5)]),
    ('six = { versoin = "1" }', [("dependency", 5)]),
    ('six = { version = "1", git = "https://example.org/six.git" }', [("dependency", 5)]),
    ('six = { version = "1", sauce = "lab" }', [("dependency", 5)]),
    ('six = [{ version = "1" }, { version = "one" }]', [("constraint", 5)]),
    ('six = { version = "1", source = "lab" }', [("source", 5)]),
    ("[tool.poetry.group.dev]\noptional = true", [("group", 5)]),
    ("[tool.poetry.group.dev]\ndependencies = 1", [("group", 6)]),
    ("[tool.poetry.group.dev.dependencies]\na = 1\nb = 2", [("dependency", 6), ("dependency", 7)]),
    ("[tool.poetry.scripts]\na = 1", [("script", 6)]),
    ("[tool.poetry.extras]\na = 1", [("invalid", 6)]),
    ('[[tool.poetry.source]]\nurl = "https://example.org"', [("source", 5)]),
    ('[[tool.poetry.source]]\nname = "a"\npriority = "first"', [("source", 5), ("source", 7)]),
    ('[[tool.poetry.source]]\nname = "pypi"\nurl = "https://example.org"', [("source", 7)]),
    ('[[tool.poetry.source]]\nname = "a"\nurl = "https://example.org"\nuser = "me"', [("source", 8)]),
    ("[tool.poetry.dependancies]\nsix = '*'", [("unknown-key", 5)]),
    ("[tool.poetry.requires-plugins]\nx = '*'", [("needs-newer-poetry", 5)]),
    (
        "[tool.poetry.group.a]\ninclude-groups = ['main']\n[tool.poetry.group.a.dependencies]",
        [("needs-newer-poetry", 6)],
    ),
]


@pytest.mark.parametrize(("below", "expected"), WRONG)
def test_all_that_poetry_refuses_is_named_with_its_line(
    tmp_path: Path, below: str, expected: list[tuple[str, int]]
) -> None:
    write(tmp_path, NO_PACKAGE + below + "\n")
    assert [(problem.kind, problem.origin.line) for problem in problems_of(tmp_path)] == expected


@pytest.mark.parametrize(
    ("text", "kind", "line"),
    [
        (b"\xff\xfe[\x00", "encoding", None),
        (b'[tool.poetry]\nname = "\xff"\n', "encoding", 2),
        (b"[tool.poetry]\nname = \n", "toml", 2),
        (b"[tool.poetry]\n<<<<<<< HEAD\nname = 1\n", "toml", 2),
        (b"[tool.poetry]\na = " + b"[" * 100_000, "toml", None),
        (b"[tool.poetry]\na = " + b"1" * 100_000, "toml", None),
        (b"a = 1\n" + b"#" * 1_100_000, "file", None),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "file", None),
        (b"[tool]\npoetry = 1\n", "invalid", 2),
        (b"[tool.poetry]\npackage-mode = 'no'\n", "invalid", 2),
    ],
)
def test_what_is_no_document_is_refused(tmp_path: Path, text: bytes, kind: str, line: int | None) -> None:
    write(tmp_path, text)
    assert [(problem.kind, problem.origin.line) for problem in problems_of(tmp_path)] == [(kind, line)]


@pytest.mark.parametrize("python", ['"three"', '">=3.12,<3.10"', '"3.12"', '{ version = "^3.10" }', "3.10"])
def test_a_range_of_python_that_cannot_be_read_is_named(tmp_path: Path, python: str) -> None:
    write(tmp_path, f"[tool.poetry]\npackage-mode = false\n[tool.poetry.dependencies]\npython = {python}\n")
    found = problems_of(tmp_path)
    assert "python" in {problem.kind for problem in found}
    assert {problem.origin.line for problem in found} == {4}


def test_a_project_that_names_no_python_is_told_to(tmp_path: Path) -> None:
    write(tmp_path, '[tool.poetry]\npackage-mode = false\n[tool.poetry.dependencies]\nsix = "*"\n')
    (problem,) = problems_of(tmp_path)
    assert (problem.kind, problem.origin.line) == ("missing-key", 3)
    assert "python = " in problem.change


def test_keys_that_a_package_must_have_are_asked_for_at_once(tmp_path: Path) -> None:
    write(tmp_path, '[tool.poetry]\nname = "thesis"\n')
    found = problems_of(tmp_path)
    assert [problem.kind for problem in found] == ["missing-key"] * 3
    assert all("package-mode = false" in problem.change for problem in found)


def test_one_problem_is_told_in_the_summary_and_several_in_the_order_of_the_lines(tmp_path: Path) -> None:
    write(tmp_path, NO_PACKAGE + "six = 3\n")
    with pytest.raises(InvalidProject) as one:
        read(tmp_path)
    assert render_error(one.value) == (
        'error: pyproject.toml:5: `dependencies.six` must be a constraint or a table, got 3\nhint: write `six = "3"`'
    )
    write(tmp_path, NO_PACKAGE + 'six = 3\n[tool.poetry.sripts]\na = "b:c"\n')
    with pytest.raises(InvalidProject) as two:
        read(tmp_path)
    assert render_error(two.value) == (
        "error: 2 problems in `pyproject.toml`\n"
        '  pyproject.toml:5:  `dependencies.six` must be a constraint or a table, got 3: write `six = "3"`\n'
        "  pyproject.toml:6:  `sripts` is no key of `[tool.poetry]`: did you mean `scripts`?"
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100, deadline=None)
@given(st.binary(max_size=200))
@example(b"[tool.poetry]\nname = 1\nversion = {}\ndependencies = []\ngroup = [1]\nsource = [1]\nreadme = 1\n")
@example(b"[tool.poetry]\npackage-mode = false\n[tool.poetry.dependencies]\n'' = ''\n")
def test_whatever_is_in_the_file_is_a_project_or_a_foreseen_problem(tmp_path: Path, content: bytes) -> None:
    write(tmp_path, content)
    problems_of(tmp_path)


VALUES = st.sampled_from(
    ["1", '"a"', "[]", "{}", "true", '["a"]', "[1]", "[{}]", '{a = "b"}', "{a = {b = 1}}", '[{name = "a"}]', '"*"']
)
KEYS = st.sampled_from(
    (
        *("name", "version", "description", "authors", "package-mode", "dependencies", "dev-dependencies", "group"),
        *("extras", "scripts", "source", "packages", "include", "readme", "build", "requires-poetry", "urls"),
    )
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(st.dictionaries(KEYS, VALUES, max_size=5), st.sampled_from(["1.8.3", "2.1.3"]))
def test_whatever_type_a_value_has_is_a_project_or_a_foreseen_problem(
    tmp_path: Path, table: dict[str, str], version: str
) -> None:
    write(tmp_path, "[tool.poetry]\n" + "".join(f"{key} = {value}\n" for key, value in table.items()))
    problems_of(tmp_path, BP_POETRY_VERSION=version)
