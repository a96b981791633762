from __future__ import annotations

from pathlib import Path

import pytest

from buildpacks.conda.settings import Mirror, read_settings
from buildpacks.installer.errors import InvalidSetting


def test_without_variables_everything_is_as_the_documentation_says() -> None:
    settings = read_settings({})
    assert settings.environment_file is None
    assert settings.nodefaults == "enforce"
    assert settings.channel_alias == "https://conda.anaconda.org"
    assert settings.mirrors == ()
    assert (settings.override_cuda, settings.override_glibc) == (None, None)
    assert (settings.use_lock, settings.lock_file) == (True, None)
    assert settings.auth_file is None
    assert (settings.constraints, settings.installer, settings.refresh) == ((), "uv", False)


def test_every_variable_is_read() -> None:
    settings = read_settings(
        {
            "BP_CONDA_ENVIRONMENT": "envs/prod.yml",
            "BP_CONDA_NODEFAULTS": "Inject",
            "BP_CONDA_CHANNEL_ALIAS": "https://user:pw@mirror.example.org/conda/",
            "BP_CONDA_MIRRORS": "https://a.org/x=https://b.org/y/?k=v https://a.org/x=file:///srv/y https://c.org=https://d.org",
            "BP_CONDA_OVERRIDE_CUDA": "12.4",
            "BP_CONDA_OVERRIDE_GLIBC": "2.28",
            "BP_CONDA_LOCK": "conda-linux-64.lock",
            "RATTLER_AUTH_FILE": "/platform/auth.json",
            "BP_PIP_CONSTRAINTS": "a.txt b.txt",
            "BP_PIP_INSTALLER": "pip",
            "BP_REFRESH": "1",
        }
    )
    assert settings.environment_file == "envs/prod.yml"
    assert settings.nodefaults == "inject"
    assert settings.channel_alias == "https://user:pw@mirror.example.org/conda"
    assert settings.mirrors == (
        Mirror(source="https://a.org/x", targets=("https://b.org/y/?k=v", "file:///srv/y")),
        Mirror(source="https://c.org", targets=("https://d.org",)),
    )
    assert (settings.override_cuda, settings.override_glibc) == ("12.4", "2.28")
    assert (settings.use_lock, settings.lock_file) == (True, "conda-linux-64.lock")
    assert settings.auth_file == Path("/platform/auth.json")
    assert (settings.constraints, settings.installer, settings.refresh) == (("a.txt", "b.txt"), "pip", True)


@pytest.mark.parametrize(("value", "use_lock"), [("none", False), ("auto", True), (" ", True)])
def test_a_lock_is_looked_for_unless_it_is_refused(value: str, use_lock: bool) -> None:
    settings = read_settings({"BP_CONDA_LOCK": value})
    assert (settings.use_lock, settings.lock_file) == (use_lock, None)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("BP_CONDA_NODEFAULTS", "off"),
        ("BP_CONDA_CHANNEL_ALIAS", "conda-forge"),
        ("BP_CONDA_CHANNEL_ALIAS", "ftp://example.org"),
        ("BP_CONDA_CHANNEL_ALIAS", "https://"),
        ("BP_CONDA_CHANNEL_ALIAS", "https://[::1"),
        ("BP_CONDA_MIRRORS", "https://a.org"),
        ("BP_CONDA_MIRRORS", "https://a.org=b"),
        ("BP_CONDA_OVERRIDE_CUDA", "yes"),
        ("BP_CONDA_OVERRIDE_GLIBC", "2."),
        ("BP_PIP_INSTALLER", "conda"),
        ("BP_REFRESH", "perhaps"),
    ],
)
def test_a_value_that_means_nothing_is_named(variable: str, value: str) -> None:
    with pytest.raises(InvalidSetting) as caught:
        read_settings({variable: value})
    assert caught.value.variable == variable
    assert caught.value.hint


@pytest.mark.parametrize("value", ["ftp://user:secret@example.org", "https://user:secret@[x=y", "user:secret@host"])
@pytest.mark.parametrize("variable", ["BP_CONDA_CHANNEL_ALIAS", "BP_CONDA_MIRRORS"])
def test_a_password_in_a_wrong_url_is_not_shown(variable: str, value: str) -> None:
    with pytest.raises(InvalidSetting) as caught:
        read_settings({variable: value})
    assert "secret" not in str(caught.value)
