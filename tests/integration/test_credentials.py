"""A private index is used with the credentials that the machine has, and they are in nothing that the build leaves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.command import Pybuild, expect_error, expect_success
from tests.integration.image_files import iterate_files, read_layout
from tests.integration.package_index import PackageIndex, write_wheel

pytestmark = pytest.mark.integration

_USER, _PASSWORD = "reader-7f3a", "canary-9d41c2"


# Fails with everything it can see of the process that started it.
_DUMPING_BACKEND = """
import os, sys
def get_requires_for_build_wheel(config_settings=None):
    return []
def build_wheel(directory, config_settings=None, metadata_directory=None):
    seen = [f"{name}={value}" for name, value in os.environ.items()]
    with open("/proc/1/environ", "rb") as stream:
        seen.append(repr(stream.read()))
    for descriptor in os.listdir("/proc/self/fd"):
        if os.path.exists(f"/proc/self/fd/{descriptor}"):
            seen.append(os.readlink(f"/proc/self/fd/{descriptor}"))
    sys.exit("SEEN " + repr(seen))
"""


@pytest.fixture
def private_index(tmp_path: Path) -> Iterator[PackageIndex]:
    """An index that answers only its reader."""
    with PackageIndex(tmp_path / "private", credentials=(_USER, _PASSWORD)) as made:
        write_wheel(made.directory, "alpha", "1.0")
        write_wheel(made.directory, "gamma", "1.0")
        yield made


def _expect_no_secrets(pybuild: Pybuild, tmp_path: Path, *texts: str) -> None:
    for text in texts:
        assert _PASSWORD not in text
    image = read_layout(tmp_path / "layout")
    assert _PASSWORD not in str(image.config)
    secrets = [secret.encode() for secret in (_PASSWORD, _USER)]
    found = [file.name for file in iterate_files(image) if any(secret in file.content for secret in secrets)]
    assert not found
    kept = [
        path
        for path in (pybuild.cache_home / "pybuild" / "apps").rglob("*")
        if path.is_file() and not path.is_symlink() and _PASSWORD.encode() in path.read_bytes()
    ]
    assert not kept, "the store keeps the password"


@pytest.mark.parametrize("variable", ["PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_EXTRA_INDEX_URL"])
def test_credentials_of_the_environment_are_used_and_never_shown(
    variable: str, pybuild: Pybuild, private_index: PackageIndex, repository: Path, tmp_path: Path
) -> None:
    settings = {**private_index.settings(), "PIP_INDEX_URL": None, variable: private_index.url}
    with PackageIndex(tmp_path / "empty") as empty:
        if variable == "PIP_EXTRA_INDEX_URL":
            settings["PIP_INDEX_URL"] = empty.url
        command = pybuild.with_env(**settings)
        report = tmp_path / "report.json"
        output = f"oci:{tmp_path / 'layout'}"
        built = expect_success(command("build", repository, "--verbose", "--report", report, "--output", output))
    _expect_no_secrets(command, tmp_path, built.stderr, built.stdout, report.read_text())
    assert expect_success(command("run", output, "--", "python", "main.py")).stdout == "alpha 1.0\n"


def test_credentials_of_pip_s_configuration_are_used_and_never_shown(
    pybuild: Pybuild, private_index: PackageIndex, repository: Path, tmp_path: Path
) -> None:
    configuration = tmp_path / "pip.conf"
    configuration.write_text(f"[global]\nindex-url = {private_index.url}\n")
    settings = {**private_index.settings(), "PIP_INDEX_URL": None, "PIP_CONFIG_FILE": str(configuration)}
    command = pybuild.with_env(**settings)
    built = expect_success(command("build", repository, "--output", f"oci:{tmp_path / 'layout'}"))
    _expect_no_secrets(command, tmp_path, built.stderr, built.stdout)


def test_credentials_of_netrc_are_used_and_never_shown(
    pybuild: Pybuild, private_index: PackageIndex, repository: Path, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine 127.0.0.1 login {_USER} password {_PASSWORD}\n")
    netrc.chmod(0o600)
    url = f"http://{private_index.host}/simple/"
    command = pybuild.with_env(**{**private_index.settings(), "PIP_INDEX_URL": url, "NETRC": str(netrc)})
    built = expect_success(command("build", repository, "--output", f"oci:{tmp_path / 'layout'}"))
    _expect_no_secrets(command, tmp_path, built.stderr, built.stdout)


def test_credentials_in_a_requirements_file_are_not_shown_in_errors(
    pybuild: Pybuild, private_index: PackageIndex, repository: Path, tmp_path: Path
) -> None:
    (repository / "requirements.txt").write_text(f"--index-url {private_index.url}\nno-such-package\n")
    command = pybuild.with_env(**private_index.settings())
    finished = command("build", repository, "--verbose", "--output", f"oci:{tmp_path / 'layout'}")
    expect_error(finished, 51, "requirements.txt:2", "no-such-package")
    assert _PASSWORD not in finished.stderr


def test_wrong_credentials_are_told_as_such(
    pybuild: Pybuild, private_index: PackageIndex, repository: Path, tmp_path: Path
) -> None:
    wrong = private_index.url.replace(_PASSWORD, "wrong-canary-11")
    command = pybuild.with_env(**{**private_index.settings(), "PIP_INDEX_URL": wrong})
    finished = command("build", repository, "--output", f"oci:{tmp_path / 'layout'}")
    expect_error(finished, 51, private_index.host)
    assert "wrong-canary-11" not in finished.stderr


def test_nothing_of_the_caller_s_environment_reaches_the_build(
    offline_pybuild: Pybuild, repository: Path, tmp_path: Path
) -> None:
    project = repository / "dumper"
    project.mkdir()
    (project / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "dumper"\nversion = "1.0"\n'
    )
    (project / "backend.py").write_text(_DUMPING_BACKEND)
    (repository / "requirements.txt").write_text("./dumper\n")
    command = offline_pybuild.with_env(
        AWS_SECRET_ACCESS_KEY=_PASSWORD, CNB_REGISTRY_AUTH=_PASSWORD, GITHUB_TOKEN=_PASSWORD
    )
    finished = command("build", repository, "--output", f"oci:{tmp_path / 'layout'}")
    assert finished.status == 51
    assert "SEEN" in finished.stderr
    assert _PASSWORD not in finished.stderr
    assert str(offline_pybuild.cache_home) not in finished.stderr.split("SEEN", 1)[1].split("\n", 1)[0]
