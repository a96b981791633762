"""Channels behind credentials and private authorities are used, and their secrets stay; channels that fail are named."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.builds import files_that_hold
from tests.integration.conda_build import PREFIX, CondaBuilds, as_mirror, write_environment
from tests.integration.conda_channel import CONDA_FORGE
from tests.integration.conda_server import ChannelServer, Fault, Lock
from tests.loopback import make_certificates

pytestmark = pytest.mark.integration

_USER, _SECRET = "reader-51c7", "canary-3e8a90b1"
_LOCKS = {
    "basic": Lock(basic=(_USER, _SECRET)),
    "bearer": Lock(bearer=_SECRET),
    "token": Lock(token=_SECRET),
}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository that needs no Python, so that it is quickly built."""
    return write_environment(tmp_path / "repository", ["tiny-data"])


@pytest.fixture
def private(conda_channels: Path) -> Iterator[ChannelServer]:
    """A server that will not answer everybody; the test says whom."""
    with ChannelServer({CONDA_FORGE: conda_channels / CONDA_FORGE}) as running:
        yield running


def _alias(conda: CondaBuilds, alias: str) -> CondaBuilds:
    return conda.with_settings(BP_CONDA_MIRRORS=None, BP_CONDA_CHANNEL_ALIAS=alias)


def _auth_file(directory: Path, server: ChannelServer, kind: str) -> Path:
    """Credentials as `rattler auth login` keeps them: https://pixi.sh/latest/deployment/authentication/"""
    entry = {
        "basic": {"BasicHTTP": {"username": _USER, "password": _SECRET}},
        "bearer": {"BearerToken": _SECRET},
        "token": {"CondaToken": _SECRET},
    }[kind]
    path = directory / "credentials.json"
    path.write_text(json.dumps(dict.fromkeys((server.host, server.host.split(":")[0]), entry)))
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("kind", _LOCKS)
def test_credentials_of_the_auth_file_are_used_and_never_shown(
    kind: str, conda: CondaBuilds, private: ChannelServer, repository: Path, tmp_path: Path
) -> None:
    private.lock = _LOCKS[kind]
    auth_file = _auth_file(tmp_path, private, kind)
    pybuild = conda.pybuild.with_env(RATTLER_AUTH_FILE=str(auth_file))
    builds = dataclasses.replace(_alias(conda, private.url), pybuild=pybuild)
    finished, report = builds.build(repository, "--verbose")
    assert builds.run("tiny-where") == f"{PREFIX}/share/tiny"
    for text in (finished.stderr, finished.stdout, json.dumps(report)):
        assert _SECRET not in text
    assert not files_that_hold(pybuild, builds.image, _SECRET, _USER)


@pytest.mark.parametrize("way", ["userinfo", "token"])
def test_credentials_in_the_alias_are_used_and_never_shown(
    way: str, conda: CondaBuilds, private: ChannelServer, repository: Path
) -> None:
    private.lock = _LOCKS["basic" if way == "userinfo" else "token"]
    alias = f"http://{_USER}:{_SECRET}@{private.host}" if way == "userinfo" else f"{private.url}/t/{_SECRET}"
    builds = _alias(conda, alias)
    finished, report = builds.build(repository, "--verbose")
    for text in (finished.stderr, finished.stdout, json.dumps(report)):
        assert _SECRET not in text
    assert not files_that_hold(builds.pybuild, builds.image, _SECRET)


def test_the_command_line_names_the_channel_alias(conda: CondaBuilds, private: ChannelServer, repository: Path) -> None:
    conda.with_settings(BP_CONDA_MIRRORS=None).build(repository, "--channel-alias", private.url)
    assert conda.run("tiny-where") == f"{PREFIX}/share/tiny"
    assert private.packages == ["tiny-data-1.0-0.conda"]


_CONFIGURATIONS = {
    "channel_alias": (".condarc", "channel_alias: {url}\n"),
    "custom_channels": (".condarc", "custom_channels:\n  conda-forge: {url}\n"),
    "mirrored_channels": (".condarc", "mirrored_channels:\n  conda-forge: [{url}/conda-forge]\n"),
    "pixi": (".pixi/config.toml", '[mirrors]\n"https://conda.anaconda.org/conda-forge" = ["{url}/conda-forge"]\n'),
}


@pytest.mark.parametrize("name", _CONFIGURATIONS)
def test_the_machine_s_own_configuration_counts(name: str, conda: CondaBuilds, repository: Path) -> None:
    file, text = _CONFIGURATIONS[name]
    path = Path(conda.pybuild.env["HOME"], file)
    path.parent.mkdir(exist_ok=True)
    path.write_text(text.replace("{url}", conda.server.url))
    conda.with_settings(BP_CONDA_MIRRORS=None).build(repository)
    assert conda.server.packages == ["tiny-data-1.0-0.conda"]
    assert conda.run("tiny-where") == f"{PREFIX}/share/tiny"


def test_wrong_credentials_are_told_as_such(conda: CondaBuilds, private: ChannelServer, repository: Path) -> None:
    private.lock = _LOCKS["token"]
    message = _alias(conda, f"{private.url}/t/wrong-canary-77").fail(repository, private.host, "401")
    assert "wrong-canary-77" not in message


def test_a_private_authority_of_the_machine_is_trusted(
    conda: CondaBuilds, conda_channels: Path, repository: Path, tmp_path: Path
) -> None:
    certificates = make_certificates(tmp_path / "certificates")
    channels = {CONDA_FORGE: conda_channels / CONDA_FORGE}
    with ChannelServer(channels, certificates=certificates) as server:
        builds = conda.with_settings(**as_mirror(server))
        message = builds.fail(repository, server.host)
        assert "certificate" in message.lower()
        trusting = dataclasses.replace(
            builds, pybuild=conda.pybuild.with_env(SSL_CERT_FILE=str(certificates.authority))
        )
        trusting.build(repository)
    assert conda.run("tiny-where") == f"{PREFIX}/share/tiny"
    body = certificates.authority.read_text().splitlines()[1]
    assert not files_that_hold(conda.pybuild, conda.image, body)


# Both of the last are asked again for ten seconds.
@pytest.mark.parametrize("status", [401, 403, 404, 429, pytest.param(500, marks=pytest.mark.thorough)])
def test_a_channel_that_refuses_is_named_with_its_answer(status: int, conda: CondaBuilds, repository: Path) -> None:
    for ending in (".zst", ".json", ".bz2"):
        conda.server.faults[ending] = Fault(status=status)
    conda.fail(repository, "conda-forge", str(status))


def test_a_channel_that_does_not_answer_is_named(conda: CondaBuilds, repository: Path) -> None:
    conda.with_settings(BP_CONDA_MIRRORS=None, BP_CONDA_CHANNEL_ALIAS="http://127.0.0.1:9").fail(
        repository, "127.0.0.1:9"
    )


def test_a_build_without_network_says_that_it_has_none(conda: CondaBuilds, repository: Path) -> None:
    finished = conda.start(repository, "--network", "none")
    assert finished.status != 0
    assert "network" in finished.error_message


def test_repodata_that_is_none_is_named(conda: CondaBuilds, repository: Path) -> None:
    for ending in (".zst", ".json", ".bz2"):
        conda.server.faults[ending] = Fault(body=b"<html>Please log in</html>")
    conda.fail(repository, "conda-forge")
