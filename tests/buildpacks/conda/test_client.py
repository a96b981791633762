"""The way to channels: mirrors, credentials and certificates, none of which show."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rattler.package_streaming import download_bytes

from buildpacks.conda.client import Network, make_network, open_client, public_url
from buildpacks.conda.settings import read_settings
from buildpacks.installer.errors import InvalidSetting
from tests.buildpacks.conda.packages import Channels, serve
from tests.loopback import make_certificates

FILE = "noarch/repodata.json"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Channels]:
    for channel in ("conda-forge", "private"):
        directory = tmp_path / "root" / channel / "noarch"
        directory.mkdir(parents=True)
        (directory / "repodata.json").write_text(channel)
    (tmp_path / "root" / "t" / "secret-token").mkdir(parents=True)
    (tmp_path / "root" / "t" / "secret-token" / "private").symlink_to(tmp_path / "root" / "private")
    with serve(tmp_path / "root") as channels:
        yield channels


@pytest.fixture(autouse=True)
def _keep_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RATTLER_AUTH_FILE", "")


def network_of(env: dict[str, str], *channels: str) -> Network:
    return make_network(read_settings(env), channels)


def fetch(network: Network, url: str) -> str:
    return asyncio.run(download_bytes(open_client(network), url)).decode()


def test_a_name_is_looked_up_under_the_alias(served: Channels) -> None:
    network = network_of({"BP_CONDA_CHANNEL_ALIAS": served.url})
    assert network.channel_url("conda-forge") == f"{served.url}/conda-forge"
    assert network.channel_url("conda-forge/linux-64") == f"{served.url}/conda-forge"
    assert network_of({}).channel_url("pytorch/label/dev") == "https://conda.anaconda.org/pytorch/label/dev"


def test_a_user_in_the_alias_is_sent_and_does_not_show(served: Channels) -> None:
    served.require_basic("me", "p@ss")
    network = network_of({"BP_CONDA_CHANNEL_ALIAS": served.url.replace("://", "://me:p%40ss@")})
    url = network.channel_url("conda-forge")
    assert url == f"{served.url}/conda-forge"
    assert fetch(network, f"{url}/{FILE}") == "conda-forge"


def test_a_user_in_a_mirror_is_sent(served: Channels) -> None:
    served.require_basic("me", "secret")
    private = served.url.replace("://", "://me:secret@")
    network = network_of({"BP_CONDA_MIRRORS": f"https://conda.anaconda.org/conda-forge={private}/conda-forge"})
    assert fetch(network, f"https://conda.anaconda.org/conda-forge/{FILE}") == "conda-forge"


def test_credentials_of_one_channel_are_not_sent_to_another(served: Channels) -> None:
    private = served.url.replace("://", "://me:secret@") + "/private"
    network = network_of({}, private)
    fetch(network, f"{served.url}/private/{FILE}")
    fetch(network, f"{served.url}/conda-forge/{FILE}")
    assert [bool(value) for value in served.authorizations] == [True, False]


def test_a_token_in_a_channel_is_sent_and_does_not_show(served: Channels) -> None:
    channel = f"{served.url}/t/secret-token/private"
    network = network_of({}, channel)
    assert network.channel_url(channel) == f"{served.url}/private"
    assert fetch(network, f"{served.url}/private/{FILE}") == "private"
    assert served.requests == [f"/t/secret-token/private/{FILE}"]


def test_rattlers_file_of_credentials_is_used(served: Channels, tmp_path: Path) -> None:
    served.require_basic("me", "secret")
    file = tmp_path / "auth.json"
    host = served.url.partition("://")[2].partition(":")[0]
    file.write_text(json.dumps({host: {"BasicHTTP": {"username": "me", "password": "secret"}}}))
    network = network_of({"RATTLER_AUTH_FILE": str(file)})
    assert fetch(network, f"{served.url}/conda-forge/{FILE}") == "conda-forge"


def test_a_file_of_credentials_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match="RATTLER_AUTH_FILE"):
        network_of({"RATTLER_AUTH_FILE": str(tmp_path / "nothing")})


def test_a_server_that_is_busy_is_asked_again(served: Channels) -> None:
    served.statuses["/conda-forge"] = 503
    network = Network(alias=served.url, mirrors=(), retries=1)
    with pytest.raises(RuntimeError, match="503"):
        fetch(network, f"{served.url}/conda-forge/{FILE}")
    assert len(served.requests) == 2


@pytest.mark.parametrize(
    ("url", "public"),
    [
        ("https://user:pass@host.example/a/", "https://host.example/a"),
        ("https://host.example/t/to-ken/a/linux-64/x.conda", "https://host.example/a/linux-64/x.conda"),
        ("https://host.example/a?token=x", "https://host.example/a"),
        ("file:///srv/channel", "file:///srv/channel"),
    ],
)
def test_public_urls_have_no_credentials(url: str, public: str) -> None:
    assert public_url(url) == public


# Certificates and proxies are read once in a process.
_FETCH = """
import asyncio, sys
from buildpacks.conda.client import Network, open_client
from rattler.package_streaming import download_bytes
print(asyncio.run(download_bytes(open_client(Network(alias="", mirrors=(), retries=0)), sys.argv[1])).decode())
"""


def fetch_elsewhere(url: str, **variables: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-B", "-c", _FETCH, url]
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[3]), **variables}
    return subprocess.run(argv, env=env, capture_output=True, text=True, check=False)


@pytest.mark.integration
def test_an_organisations_certificate_is_trusted_where_it_is_named(served: Channels, tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path / "certificates")
    with serve(served.root, certificates=certificates) as secure:
        url = f"{secure.url}/conda-forge/{FILE}"
        assert fetch_elsewhere(url).returncode != 0
        assert fetch_elsewhere(url, SSL_CERT_FILE=str(certificates.authority)).stdout == "conda-forge\n"


def test_a_proxy_is_used(served: Channels) -> None:
    done = fetch_elsewhere(f"http://channel.example/conda-forge/{FILE}", HTTP_PROXY=served.url, http_proxy=served.url)
    # The proxy gets the whole URL, which is no path of this server.
    assert done.returncode != 0
    assert served.requests == [f"http://channel.example/conda-forge/{FILE}"]
