"""Profiles in builder.toml: what they say becomes values, and what is wrong with them is said with its place."""

from __future__ import annotations

from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from lifecycle.cnb.errors import ConfigurationError
from lifecycle.cnb.toml import Table, parse_toml
from pybuild.builder.definition import default_definition_path, read_definition
from pybuild.builder.profiles import parse_profiles, parse_required
from pybuild.check.profile import BUILT_IN_PROFILES, Profile, UserKind

COURSE = """
require = "course"

[profiles.course]
description = "machines of the course"
platform = "linux/arm64"
python = ">=3.12"
pip = true
programs = ["git", "g++", "git"]
modules = ["numpy", "google.cloud"]
user = "ordinary"
"""


def table(text: str) -> Table:
    return Table(values=parse_toml(text.encode(), source="builder.toml"), source="builder.toml")


def test_values_of_a_profile() -> None:
    profiles = parse_profiles(table(COURSE).table("profiles"))
    assert profiles["course"] == Profile(
        name="course",
        description="machines of the course",
        platform="linux/arm64",
        python=SpecifierSet(">=3.12"),
        pip=True,
        programs=("git", "g++"),
        modules=("numpy", "google.cloud"),
        user=UserKind.ORDINARY,
    )
    assert profiles.keys() == {"course", "deepnote"}
    assert parse_required(table(COURSE), profiles) == profiles["course"]


def test_a_profile_that_pybuild_knows_can_be_required() -> None:
    assert parse_required(table('require = "deepnote"'), BUILT_IN_PROFILES) == BUILT_IN_PROFILES["deepnote"]
    assert parse_required(table(""), BUILT_IN_PROFILES) is None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("profiles.course", "profiles.deepnote", "`profiles.deepnote` is a profile that pybuild defines"),
        ("profiles.course", 'profiles."A b"', "`profiles.A b` is not a name"),
        ("programs =", "program =", "`profiles.course.program` is not a known key"),
        ('">=3.12"', '"3.12"', "`profiles.course.python` `3.12` is not a range of versions"),
        ('">=3.12"', '""', "`profiles.course.python` must not be empty"),
        ('"linux/arm64"', '"windows/amd64"', "`profiles.course.platform` `windows/amd64` is not a platform"),
        ('"g++"', '"/bin/g++"', "`profiles.course.programs[1]` `/bin/g++` is not the name of a program"),
        ('"g++"', '"--version"', "`profiles.course.programs[1]` `--version` is not the name of a program"),
        ('"numpy"', '"num-py"', "`profiles.course.modules[0]` `num-py` is not the name of a Python module"),
        ('"numpy"', "'a\"; import os; \"'", "`profiles.course.modules[0]`"),
        ('"numpy"', "'a..b'", "`profiles.course.modules[0]`"),
        ('"ordinary"', '"nobody"', "`profiles.course.user` must be one of `root`, `ordinary`, got `nobody`"),
        ("pip = true", 'pip = "yes"', "`profiles.course.pip` must be true or false"),
        (COURSE, '[profiles.empty]\ndescription = "x"', "`profiles.empty` asks for nothing"),
        ('"course"', '"deepnotes"', "`require` must name a profile, got `deepnotes`; known are `course`, `deepnote`"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(old: str, new: str, message: str) -> None:
    document = table(COURSE.replace(old, new, 1))
    with pytest.raises(ConfigurationError) as caught:
        parse_required(document, parse_profiles(document.table("profiles")))
    assert message in caught.value.summary


def test_a_builder_has_profiles(tmp_path: Path) -> None:
    definition = read_definition(default_definition_path())
    assert definition.profiles == BUILT_IN_PROFILES
    assert definition.required_profile is None
    text = default_definition_path().read_text(encoding="utf-8")
    text = text.replace('uri = "', f'uri = "{default_definition_path().parent}/')
    course = COURSE.replace("[profiles.", "[pybuild.profiles.").replace('require = "course"', "")
    (tmp_path / "builder.toml").write_text(f'{text}\n{course}\n[pybuild]\nrequire = "course"\n', encoding="utf-8")
    required = read_definition(tmp_path / "builder.toml").required_profile
    assert required is not None
    assert required.programs == ("git", "g++")
