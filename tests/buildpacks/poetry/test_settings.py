"""The variables that steer the buildpack."""

from __future__ import annotations

from pathlib import Path

import pytest

from buildpacks.installer.errors import InvalidSetting
from buildpacks.poetry.settings import read_settings, tool_directory


def test_without_variables_the_builders_poetry_installs_main_with_uv() -> None:
    settings = read_settings({})
    assert (settings.version.text, settings.version.is_default, settings.installer) == ("1.8.3", True, "uv")
    assert settings.with_groups == settings.without_groups == settings.extras == settings.constraints == ()
    assert (settings.relock, settings.refresh) == (False, False)


@pytest.mark.parametrize(
    ("value", "text", "specifier", "is_exact", "major"),
    [
        ("2.1.3", "2.1.3", "==2.1.3", True, 2),
        ("2.1", "2.1", "==2.1.*", False, 2),
        ("2.x", "2", "==2.*", False, 2),
        (" 2 ", "2", "==2.*", False, 2),
        ("1.8.5", "1.8.5", "==1.8.5", True, 1),
    ],
)
def test_another_poetry_is_exact_or_the_newest_of_several(
    value: str, text: str, specifier: str, is_exact: bool, major: int
) -> None:
    version = read_settings({"BP_POETRY_VERSION": value}).version
    assert (version.text, version.specifier, version.is_exact, version.major) == (text, specifier, is_exact, major)


def test_names_stand_between_commas_or_spaces() -> None:
    env = {"BP_POETRY_WITH": "docs, test,docs", "BP_POETRY_WITHOUT": "plots", "BP_POETRY_EXTRAS": "* all"}
    settings = read_settings(env)
    assert settings.with_groups == ("docs", "test")
    assert settings.without_groups == ("plots",)
    assert settings.extras == ("*", "all")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("BP_POETRY_VERSION", "latest"),
        ("BP_POETRY_VERSION", ">=2"),
        ("BP_POETRY_VERSION", "2; rm"),
        ("BP_POETRY_WITH", "--sync"),
        ("BP_POETRY_WITH", "*"),
        ("BP_POETRY_EXTRAS", "a=b"),
        ("BP_POETRY_RELOCK", "maybe"),
        ("BP_REFRESH", "2"),
        ("BP_POETRY_INSTALLER", "pip"),
    ],
)
def test_values_that_mean_nothing_are_named(variable: str, value: str) -> None:
    with pytest.raises(InvalidSetting) as caught:
        read_settings({variable: value})
    assert caught.value.variable == variable


def test_another_directory_stands_for_the_builders_poetry_only() -> None:
    assert tool_directory({}) == Path("/opt/pybuild/poetry/1.8.3")
    assert tool_directory({"PYBUILD_POETRY": "/elsewhere"}) == Path("/elsewhere")
    assert tool_directory({"PYBUILD_POETRY": "/elsewhere"}, "2.1.3") == Path("/opt/pybuild/poetry/2.1.3")
