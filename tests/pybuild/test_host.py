from __future__ import annotations

from pathlib import Path

import pytest

from pybuild.host import INDEXES_IN_BUILD, read_host_settings, read_uv_environment


@pytest.fixture
def home(tmp_path: Path) -> Path:
    directory = tmp_path / "home"
    directory.mkdir()
    return directory


def isolated(home: Path, **env: str) -> dict[str, str]:
    """An environment in which no configuration file of the machine is read."""
    return {"XDG_CONFIG_DIRS": str(home / "none"), **env}


def write_pip_conf(home: Path, text: str) -> None:
    path = home / ".config/pip/pip.conf"
    path.parent.mkdir(parents=True)
    path.write_text(text)


def test_pip_configuration_reaches_the_build_as_variables(home: Path) -> None:
    write_pip_conf(
        home,
        "[global]\nindex-url = https://pypi.example.org/simple\ntrusted-host =\n    a.example.org\n    b.example.org\n",
    )
    settings = read_host_settings(isolated(home), home)
    assert settings.indexes["PIP_INDEX_URL"] == "https://pypi.example.org/simple"
    assert settings.indexes["PIP_TRUSTED_HOST"] == "a.example.org b.example.org"


def test_environment_beats_the_files(home: Path) -> None:
    write_pip_conf(home, "[global]\nindex-url = https://file.example.org/simple\n")
    settings = read_host_settings(isolated(home, PIP_INDEX_URL="https://env.example.org/simple"), home)
    assert settings.indexes["PIP_INDEX_URL"] == "https://env.example.org/simple"


def test_pip_config_file_devnull_turns_the_files_off(home: Path) -> None:
    write_pip_conf(home, "[global]\nindex-url = https://file.example.org/simple\n")
    settings = read_host_settings(isolated(home, PIP_CONFIG_FILE="/dev/null"), home)
    assert "PIP_INDEX_URL" not in settings.indexes


def test_a_broken_pip_conf_is_passed_over(home: Path) -> None:
    write_pip_conf(home, "index-url without a section\n")
    assert "PIP_INDEX_URL" not in read_host_settings(isolated(home), home).indexes


def test_local_directories_are_mounted_and_renamed(home: Path, tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    env = isolated(home, PIP_FIND_LINKS=f"{wheels} https://x.example.org/", PIP_CONFIG_FILE="/dev/null")
    settings = read_host_settings(env, home)
    assert [mount.source for mount in settings.mounts] == [wheels]
    assert settings.indexes["PIP_FIND_LINKS"] == f"{INDEXES_IN_BUILD}/0 https://x.example.org/"


def test_a_local_index_is_mounted_with_the_files_beside_it(home: Path, tmp_path: Path) -> None:
    index = tmp_path / "mirror" / "simple"
    index.mkdir(parents=True)
    env = isolated(home, PIP_EXTRA_INDEX_URL=f"file://{index}", PIP_CONFIG_FILE="/dev/null")
    settings = read_host_settings(env, home)
    assert [mount.source for mount in settings.mounts] == [tmp_path / "mirror"]
    assert settings.indexes["PIP_EXTRA_INDEX_URL"] == f"file://{INDEXES_IN_BUILD}/0/simple"


def test_a_local_index_beside_the_home_directory_does_not_show_it(home: Path) -> None:
    index = home.parent / "simple"
    index.mkdir()
    env = isolated(home, PIP_EXTRA_INDEX_URL=f"file://{index}", PIP_CONFIG_FILE="/dev/null")
    assert [mount.source for mount in read_host_settings(env, home).mounts] == [index]


def test_proxies_come_in_both_spellings(home: Path) -> None:
    settings = read_host_settings(isolated(home, https_proxy="http://proxy.example.org:3128"), home)
    assert settings.proxies == {
        "HTTPS_PROXY": "http://proxy.example.org:3128",
        "https_proxy": "http://proxy.example.org:3128",
    }


def test_only_the_index_hosts_entries_of_netrc_reach_the_build(home: Path) -> None:
    netrc = home / ".netrc"
    netrc.write_text(
        "machine pypi.example.org login me password secret1\n"
        "machine git.example.org login me password secret2\n"
        "default login d password secret3\n"
    )
    netrc.chmod(0o600)
    settings = read_host_settings(
        isolated(home, PIP_INDEX_URL="https://pypi.example.org/simple", PIP_CONFIG_FILE="/dev/null"), home
    )
    assert settings.netrc == "machine pypi.example.org login me password secret1\n"


def test_uv_configuration_is_read(home: Path) -> None:
    path = home / ".config/uv/uv.toml"
    path.parent.mkdir(parents=True)
    path.write_text(
        '[[index]]\nurl = "https://a.example.org/simple"\n[[index]]\nurl = "https://b.example.org/simple"\ndefault = true\n'
        '[[index]]\nurl = "https://c.example.org/simple"\nexplicit = true\n'
    )
    indexes = read_host_settings(isolated(home), home).indexes
    assert indexes["UV_DEFAULT_INDEX"] == "https://b.example.org/simple"
    assert indexes["UV_INDEX"] == "https://a.example.org/simple"


def test_ca_bundle_of_the_environment_beats_the_distributions(home: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "corporate.pem"
    bundle.write_text("")
    assert read_host_settings(isolated(home, SSL_CERT_FILE=str(bundle)), home).ca_bundle == bundle


def test_nothing_else_of_the_environment_gets_in(home: Path) -> None:
    settings = read_host_settings(
        isolated(
            home,
            AWS_SECRET_ACCESS_KEY="canary",
            PIP_TARGET="/x",
            UV_PUBLISH_TOKEN="canary",
            PIP_CONFIG_FILE="/dev/null",
        ),
        home,
    )
    assert settings.indexes == {}


def test_a_uv_of_this_machine_takes_packages_from_where_pip_takes_them(home: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.crt"
    bundle.touch()
    lines = ("index-url = https://pypi.example.org/simple", "find-links = /wheels https://x.example.org/")
    write_pip_conf(home, "\n".join(("[global]", *lines)))
    env = isolated(home, PIP_CERT=str(bundle), https_proxy="http://proxy.example.org:3128", PATH="/bin")
    assert read_uv_environment(env, home) == {
        **env,
        "UV_DEFAULT_INDEX": "https://pypi.example.org/simple",
        "UV_FIND_LINKS": "/wheels,https://x.example.org/",
        "SSL_CERT_FILE": str(bundle),
        "HTTPS_PROXY": "http://proxy.example.org:3128",
    }


def test_what_uv_is_told_itself_is_not_mixed_with_what_pip_is_told(home: Path) -> None:
    write_pip_conf(home, "[global]\nindex-url = https://pypi.example.org/simple\n")
    env = isolated(home, UV_INDEX="https://uv.example.org/simple")
    assert "UV_DEFAULT_INDEX" not in read_uv_environment(env, home)
