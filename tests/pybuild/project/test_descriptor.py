"""What a project.toml says, and the errors of one that does not say what it must."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from lifecycle.cnb.api import ApiVersion
from lifecycle.cnb.errors import ConfigurationError
from pybuild.project.descriptor import Project, Script, find_project, parse_project, read_project
from pybuild.source.value import Source

WHOLE = """\
[_]
schema-version = "0.2"
id = "org.example.app"
name = "App"
version = "1.2.3"
authors = ["A", "B"]
documentation-url = "https://docs.example.org"
source-url = "https://git.example.org/app"
[[_.licenses]]
type = "MIT"
[[_.licenses]]
uri = "https://example.org/license"
[_.metadata]
team = "data"

[io.buildpacks]
builder = "example/builder"
exclude = ["*.log"]
[[io.buildpacks.group]]
id = "demo/one"
version = "1.0.0"
[[io.buildpacks.group]]
uri = "buildpacks/two"
[[io.buildpacks.group]]
id = "demo/three"
  [io.buildpacks.group.script]
  api = "0.10"
  inline = "echo hello"
[[io.buildpacks.build.env]]
name = "A"
value = ""
[com.example.other]
key = 1
"""


def parse(text: str) -> Project:
    return parse_project(text.encode(), source="project.toml", directory=Path("/repository"))


def second(rest: str, schema: str = "0.2") -> Project:
    return parse(f'[_]\nschema-version = "{schema}"\n{rest}')


def error_of(rest: str, schema: str = "0.2") -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        second(rest, schema)
    return caught.value


def test_all_of_the_schema_is_read() -> None:
    project = parse(WHOLE)
    assert project.warnings == ()
    assert project.builder == "example/builder"
    assert [(one.id, one.version, one.uri, one.place) for one in project.group] == [
        ("demo/one", "1.0.0", None, "project.toml:19"),
        (None, None, "buildpacks/two", "project.toml:22"),
        ("demo/three", None, None, "project.toml:24"),
    ]
    assert project.group[2].script == Script(api=ApiVersion(0, 10), shell="/bin/sh", inline="echo hello")
    assert project.env() == {"A": ""}
    assert project.about == {
        "id": "org.example.app",
        "name": "App",
        "version": "1.2.3",
        "authors": ["A", "B"],
        "documentation-url": "https://docs.example.org",
        "source-url": "https://git.example.org/app",
        "licenses": [{"type": "MIT"}, {"uri": "https://example.org/license"}],
        "metadata": {"team": "data"},
    }


def test_the_first_schema_is_that_of_a_file_that_says_none() -> None:
    project = parse(
        '[project]\nid = "app"\nversion = "1"\n[[project.licenses]]\ntype = "MIT"\n[build]\ninclude = ["src"]\n'
        '[[build.buildpacks]]\nid = "demo/one"\n[[build.env]]\nname = "A"\nvalue = "1"\n[metadata]\nteam = "data"\n'
    )
    assert project.selection.is_include
    assert [one.id for one in project.group] == ["demo/one"]
    assert project.env() == {"A": "1"}
    assert project.about["metadata"] == {"team": "data"}
    assert [warning for warning in project.warnings if "schema-version" in warning]


def test_a_file_of_something_else_says_nothing() -> None:
    assert parse('[tool]\nkey = "value"\n') == Project(directory=Path("/repository"))


def test_a_file_that_forgot_its_schema_is_not_passed_over() -> None:
    with pytest.raises(ConfigurationError, match="does not say which schema it has") as caught:
        parse('[io.buildpacks]\nexclude = ["secrets/"]\n')
    assert caught.value.line == 1
    assert "schema-version" in (caught.value.hint or "")


@pytest.mark.requirement("PRJ-01")
def test_include_beside_exclude_is_an_error() -> None:
    error = error_of('[io.buildpacks]\ninclude = ["a"]\nexclude = ["b"]\n')
    assert (error.line, "cannot both be there" in error.summary) == (4, True)


def test_variables_are_for_their_execution_environments() -> None:
    env = '[[io.buildpacks.build.env]]\nname = "A"\nvalue = "1"\nexec-env = ["test"]\n'
    env += '[[io.buildpacks.build.env]]\nname = "B"\nvalue = "1"\nexec-env = ["*"]\n'
    env += '[[io.buildpacks.build.env]]\nname = "B"\nvalue = "2"\n'
    project = second(env, "0.3")
    assert project.env() == {"B": "2"}
    assert project.env("test") == {"A": "1", "B": "2"}
    assert "is of schema 0.3" in error_of(env).summary


def test_the_misspelt_table_of_variables_is_read_where_the_right_one_is_not_there() -> None:
    misspelt = '[[io.buildpacks.env.build]]\nname = "A"\nvalue = "wrong"\n'
    project = second(misspelt)
    assert project.env() == {"A": "wrong"}
    assert "[[io.buildpacks.build.env]]" in project.warnings[0]
    assert second(misspelt + '[[io.buildpacks.build.env]]\nname = "B"\nvalue = "right"\n').env() == {"B": "right"}


def test_keys_that_are_not_known_are_warned_of() -> None:
    (warning,) = second('[io.buildpacks]\nexlude = ["secrets/"]\n').warnings
    assert "project.toml:4" in warning
    assert "did you mean `exclude`?" in warning


@pytest.mark.parametrize(
    ("rest", "line", "message"),
    [
        ('[[io.buildpacks.build.env]]\nname = "1A"\nvalue = ""\n', 4, "is not the name of a variable"),
        ('[[io.buildpacks.build.env]]\nname = "CNB_APP_DIR"\nvalue = ""\n', 4, "belongs to the platform"),
        ('[[io.buildpacks.build.env]]\nname = "A"\n', 3, "`io.buildpacks.build.env[0].value` is required"),
        ('[[io.buildpacks.build.env]]\nname = "A"\nvalue = 1\n', 5, "must be a string, got integer 1"),
        ('[[io.buildpacks.group]]\nid = "a"\nversion = "1"\nuri = "b"\n', 3, "cannot have `version` and `uri`"),
        ('[[io.buildpacks.group]]\nversion = "1"\n', 3, "must say which buildpack"),
        ('[[io.buildpacks.group]]\nid = "a"\nscript = {api = "0.2", inline = "x"}\n', 5, "is 0.2, and this lifecycle"),
        ('[[io.buildpacks.group]]\nid = "a"\nscript = {api = "0.10"}\n', 5, "inline` is required"),
        (
            '[[io.buildpacks.group]]\nid = "a"\nscript = {api = "0.10", inline = "x", shell = "bash"}\n',
            5,
            "must be the path of a program",
        ),
        ('[io.buildpacks]\nexclude = [\n"a",\n"/"]\n', 6, "is a pattern that fits nothing"),
        ("[[_.licenses]]\n", 3, "must say `type` or `uri`"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(rest: str, line: int, message: str) -> None:
    error = error_of(rest)
    assert message in error.summary
    assert error.line == line


def test_what_it_says_of_itself_has_room_in_a_label() -> None:
    assert "more than 64 KiB" in error_of(f'[_.metadata]\nkey = "{"x" * 70_000}"\n').summary


def test_a_file_with_thousands_of_mistakes_is_read_in_no_time() -> None:
    since = time.monotonic()
    many = '[[io.buildpacks.build.env]]\nname = "A"\nvalue = ""\nunknown = 1\n' * 5000
    assert len(second(many).warnings) == 5000
    assert time.monotonic() - since < 10
    with pytest.raises(ConfigurationError, match="larger than 1024 KiB"):
        second("#" * (1 << 20))


def test_one_file_in_two_places_says_the_same() -> None:
    first, second = (
        parse_project(WHOLE.encode(), source="project.toml", directory=Path(place)) for place in ("/one", "/two")
    )
    assert first == second


def test_a_schema_that_is_not_known_is_an_error() -> None:
    assert "must be one of 0.1, 0.2, 0.3, got `9.0`" in error_of("", "9.0").summary


def test_a_link_in_place_of_the_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text(WHOLE)
    (tmp_path / "project.toml").symlink_to("other.toml")
    with pytest.raises(ConfigurationError, match="is a link"):
        find_project(tmp_path)
    assert read_project(tmp_path / "project.toml").is_given
    (tmp_path / "project.toml").unlink()
    assert find_project(tmp_path) == Project()


def test_what_it_says_of_itself_is_in_the_project_label() -> None:
    project = parse(WHOLE)
    directory = Source(kind="directory", location=".", revision=None, subdirectory=None, project=project)
    label = directory.project_metadata()
    assert (label.source_type, label.source_version) == ("project", {"declared": "1.2.3"})
    assert label.source_metadata == {"url": "https://git.example.org/app", "project": project.about}
    clone = Source(kind="git", location="https://h/app", revision="abc", subdirectory=None, project=project)
    label = clone.project_metadata()
    assert (label.source_type, label.source_version) == ("git", {"commit": "abc"})
    assert label.source_metadata == {"repository": "https://h/app", "project": project.about}
    assert (
        Source(kind="directory", location=".", revision=None, subdirectory=None).project_metadata().source_type is None
    )
