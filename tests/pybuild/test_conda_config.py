from __future__ import annotations

from pathlib import Path

import pytest

from pybuild.conda_config import read_conda_config
from pybuild.host import INDEXES_IN_BUILD, read_host_settings

ALIAS = "https://conda.anaconda.org"


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_condarc_files_are_merged_by_key(tmp_path: Path) -> None:
    write(
        tmp_path / ".conda/.condarc",
        "channel_alias: https://one.example.org\nproxy_servers: {https: http://proxy:3128}\n",
    )
    env = {"CONDARC": str(write(tmp_path / "mine", "channel_alias: https://two.example.org\n"))}
    found = read_conda_config(env, tmp_path)
    assert found.channel_alias == "https://two.example.org"
    assert found.proxies == {"https": "http://proxy:3128"}


def test_environment_beats_the_files(tmp_path: Path) -> None:
    write(tmp_path / ".condarc", "channel_alias: https://file.example.org\n")
    assert (
        read_conda_config({"CONDA_CHANNEL_ALIAS": "https://env.example.org"}, tmp_path).channel_alias
        == "https://env.example.org"
    )


def test_custom_and_mirrored_channels_are_mirrors_of_what_their_names_mean(tmp_path: Path) -> None:
    write(
        tmp_path / ".condarc",
        "custom_channels:\n  lab: https://conda.example.org\nmirrored_channels:\n  conda-forge: [https://a.example.org/cf, https://b.example.org/cf/]\n",
    )
    assert read_conda_config({}, tmp_path).mirrors == (
        (f"{ALIAS}/lab", "https://conda.example.org/lab"),
        (f"{ALIAS}/conda-forge", "https://a.example.org/cf"),
        (f"{ALIAS}/conda-forge", "https://b.example.org/cf"),
    )


def test_mirrors_of_pixi_and_rattler(tmp_path: Path) -> None:
    write(tmp_path / ".config/pixi/config.toml", f'[mirrors]\n"{ALIAS}/" = ["https://mirror.example.org/conda"]\n')
    assert read_conda_config({}, tmp_path).mirrors == ((ALIAS, "https://mirror.example.org/conda"),)


@pytest.mark.parametrize(
    "content", ["channel_alias: [", "- a list", "\tx: 1", "mirrored_channels: 3", "custom_channels: [a]"]
)
def test_a_condarc_that_cannot_be_used_is_passed_over(tmp_path: Path, content: str) -> None:
    write(tmp_path / ".condarc", content)
    found = read_conda_config({}, tmp_path)
    assert (found.channel_alias, found.mirrors) == (None, ())


def test_credentials_come_from_the_named_file_or_that_of_rattler(tmp_path: Path) -> None:
    write(tmp_path / ".rattler/credentials.json", '{"a.example.org": {}}')
    assert read_conda_config({}, tmp_path).credentials == '{"a.example.org": {}}'
    named = write(tmp_path / "mine.json", "{}")
    assert read_conda_config({"RATTLER_AUTH_FILE": str(named)}, tmp_path).credentials == "{}"


def test_settings_reach_the_build_and_local_mirrors_are_mounted(tmp_path: Path) -> None:
    mirror = tmp_path / "srv" / "conda-forge"
    mirror.mkdir(parents=True)
    write(
        tmp_path / ".condarc",
        f"mirrored_channels:\n  conda-forge: [file://{mirror}]\nssl_verify: {write(tmp_path / 'ca.pem', 'x')}\n",
    )
    settings = read_host_settings({"XDG_CONFIG_DIRS": str(tmp_path), "PIP_CONFIG_FILE": "/dev/null"}, tmp_path)
    assert settings.indexes["BP_CONDA_MIRRORS"].startswith(f"{ALIAS}/conda-forge=file://{INDEXES_IN_BUILD}/")
    assert [mount.source for mount in settings.mounts] in ([mirror], [mirror.parent])
    assert settings.ca_bundle == tmp_path / "ca.pem"
