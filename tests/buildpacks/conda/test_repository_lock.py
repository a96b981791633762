"""Locks that repositories carry: what is read from them, and which of them are refused."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildpacks.conda.failures import InvalidRepositoryLock
from buildpacks.conda.location import find_repository_lock
from buildpacks.conda.lock_formats import ParsedLock, read_conda_lock, read_explicit
from buildpacks.conda.repository_lock import RepositoryLock, read_repository_lock
from buildpacks.conda.settings import read_settings
from buildpacks.conda.specification import EnvironmentFile, read_environment_file
from buildpacks.conda.targets import CondaTarget
from lifecycle.cnb.errors import render_error

FORGE = "https://conda.anaconda.org/conda-forge"
TARGET = CondaTarget(platform="linux-64", virtual_packages=())
SHA = "a" * 64
MD5 = "b" * 32
EXPLICIT = f"""# platform: linux-64
@EXPLICIT
{FORGE}/linux-64/python-3.11.2-h2755cc3_0_cpython.conda#sha256:{SHA}
{FORGE}/noarch/tzdata-2025b-h78e105d_0.tar.bz2#{MD5}
# pip idna @ https://files.example/idna-3.10-py3-none-any.whl#sha256={SHA}
"""
CONDA_LOCK = f"""version: 1
metadata:
  content_hash:
    linux-64: 0
  channels:
  - url: conda-forge
    used_env_vars: []
  platforms:
  - linux-64
  - osx-64
package:
- name: python
  version: 3.11.2
  manager: conda
  platform: linux-64
  dependencies:
    libgcc: '>=12'
  url: {FORGE}/linux-64/python-3.11.2-h2755cc3_0_cpython.conda
  hash:
    md5: {MD5}
    sha256: {SHA}
  category: main
  optional: false
- name: python
  version: 3.11.2
  manager: conda
  platform: osx-64
  dependencies: {{}}
  url: {FORGE}/osx-64/python-3.11.2-h1_0_cpython.conda
  hash: {{md5: {MD5}}}
  category: main
  optional: false
- name: pytest
  version: '8'
  manager: conda
  platform: linux-64
  dependencies: {{}}
  url: {FORGE}/noarch/pytest-8-h1_0.conda
  hash: {{md5: {MD5}}}
  category: dev
  optional: true
- name: idna
  version: '3.10'
  manager: pip
  platform: linux-64
  dependencies: {{}}
  url: https://files.example/idna-3.10-py3-none-any.whl
  hash:
    sha256: {SHA}
  category: main
  optional: false
"""
PIXI = f"""version: 6
environments:
  default:
    channels:
    - url: {FORGE}/
    packages:
      linux-64:
      - conda: {FORGE}/linux-64/python-3.11.2-h2755cc3_0_cpython.conda
      - pypi: https://files.example/idna-3.10-py3-none-any.whl
      - pypi: ./
packages:
- conda: {FORGE}/linux-64/python-3.11.2-h2755cc3_0_cpython.conda
  sha256: {SHA}
  md5: {MD5}
  depends:
  - libgcc >=12
  size: 100
- pypi: https://files.example/idna-3.10-py3-none-any.whl
  name: idna
  version: '3.10'
  sha256: {SHA}
- pypi: ./
  name: mine
  version: 0.1.0
  sha256: {SHA}
"""


def environment_file(directory: Path, *dependencies: str, pip: tuple[str, ...] = ()) -> EnvironmentFile:
    lines = ["channels: [conda-forge, nodefaults]", "dependencies:", *(f"  - {text}" for text in dependencies)]
    if pip:
        lines += ["  - pip:", *(f"      - {text}" for text in pip)]
    path = directory / "environment.yml"
    path.write_text("\n".join(lines) + "\n")
    return read_environment_file(path, name="environment.yml")


def read(
    directory: Path,
    files: dict[str, str],
    *,
    environment: EnvironmentFile | None = None,
    env: dict[str, str] | None = None,
    target: CondaTarget = TARGET,
) -> RepositoryLock:
    for name, text in files.items():
        (directory / name).write_text(text)
    settings = read_settings(env or {})
    path = find_repository_lock(directory, settings, platform=target.platform)
    assert path is not None
    return read_repository_lock(path, app_dir=directory, target=target, environment=environment, settings=settings)


def test_an_explicit_file_is_read(tmp_path: Path) -> None:
    lock = read(tmp_path, {"conda-linux-64.lock": EXPLICIT})
    python, tzdata = lock.packages
    assert (python.name, python.version, python.build, python.subdir) == (
        "python",
        "3.11.2",
        "h2755cc3_0_cpython",
        "linux-64",
    )
    assert (python.sha256, python.md5, python.channel) == (SHA, None, FORGE)
    assert (tzdata.sha256, tzdata.md5, tzdata.suffix) == (None, MD5, ".tar.bz2")
    assert lock.pip == (f"idna @ https://files.example/idna-3.10-py3-none-any.whl --hash=sha256:{SHA}",)


def test_a_conda_lock_is_read_for_its_platform_and_without_development_packages(tmp_path: Path) -> None:
    lock = read(tmp_path, {"conda-lock.yml": CONDA_LOCK})
    [python] = lock.packages
    assert python.url == f"{FORGE}/linux-64/python-3.11.2-h2755cc3_0_cpython.conda"
    assert (python.sha256, python.md5) == (SHA, MD5)
    assert lock.pip == (f"idna @ https://files.example/idna-3.10-py3-none-any.whl --hash=sha256:{SHA}",)
    assert lock.channels == (FORGE,)


def test_a_pixi_lock_is_read(tmp_path: Path) -> None:
    lock = read(tmp_path, {"pixi.lock": PIXI})
    [python] = lock.packages
    assert (python.name, python.sha256, python.size) == ("python", SHA, 100)
    assert python.record is not None
    assert sorted(lock.pip) == [
        "./",
        f"idna @ https://files.example/idna-3.10-py3-none-any.whl --hash=sha256:{SHA}",
    ]


def test_one_of_several_locks_is_used_and_said(tmp_path: Path) -> None:
    lock = read(tmp_path, {"conda-lock.yml": CONDA_LOCK, "pixi.lock": PIXI, "conda-linux-64.lock": EXPLICIT})
    assert lock.name == "conda-lock.yml"
    assert "`pixi.lock`, `conda-linux-64.lock`" in lock.notices[0]
    named = read(tmp_path, {}, env={"BP_CONDA_LOCK": "pixi.lock"})
    assert (named.name, named.notices) == ("pixi.lock", ())


def test_no_lock_is_looked_for_when_none_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "pixi.lock").write_text(PIXI)
    assert find_repository_lock(tmp_path, read_settings({"BP_CONDA_LOCK": "none"})) is None


@pytest.mark.parametrize("name", ["missing.lock", "../outside.lock"])
def test_a_named_lock_that_is_not_there_is_an_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "outside.lock").write_text(EXPLICIT)
    app = tmp_path / "app"
    app.mkdir()
    with pytest.raises(InvalidRepositoryLock, match=name):
        find_repository_lock(app, read_settings({"BP_CONDA_LOCK": name}))


def test_a_lock_with_all_that_the_environment_asks_for_is_used(tmp_path: Path) -> None:
    environment = environment_file(tmp_path, "python=3.11", "conda-forge::python>3", pip=("idna>=3",))
    assert read(tmp_path, {"conda-lock.yml": CONDA_LOCK}, environment=environment).packages


def test_what_a_lock_lacks_is_named_with_both_lines_and_the_command(tmp_path: Path) -> None:
    environment = environment_file(tmp_path, "python=3.12", "numpy", pip=("requests",))
    with pytest.raises(InvalidRepositoryLock) as caught:
        read(tmp_path, {"conda-lock.yml": CONDA_LOCK}, environment=environment)
    text = render_error(caught.value)
    assert "environment.yml:3:5:  `python=3.12` is not locked: `conda-lock.yml:12` has `python 3.11.2" in text
    assert "environment.yml:4:5:  `numpy` is not locked: `conda-lock.yml` has no `numpy`" in text
    assert "`requests` is not locked" in text
    assert "conda-lock lock --platform linux-64" in text
    assert "BP_CONDA_LOCK=none" in text


def test_an_explicit_file_says_nothing_of_pip(tmp_path: Path) -> None:
    environment = environment_file(tmp_path, "python=3.11", pip=("requests",))
    assert read(tmp_path, {"conda-linux-64.lock": EXPLICIT}, environment=environment).packages


@pytest.mark.parametrize(
    ("name", "text"), [("conda-lock.yml", CONDA_LOCK), ("pixi.lock", PIXI), ("conda-linux-64.lock", EXPLICIT)]
)
def test_a_lock_for_another_platform_is_an_error(tmp_path: Path, name: str, text: str) -> None:
    target = CondaTarget(platform="linux-aarch64", virtual_packages=())
    with pytest.raises(InvalidRepositoryLock, match="linux-64"):
        read(tmp_path, {name: text}, env={"BP_CONDA_LOCK": name}, target=target)


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [("conda-lock.yml", CONDA_LOCK, 12), ("pixi.lock", PIXI, 12), ("conda-linux-64.lock", EXPLICIT, 3)],
)
def test_packages_of_forbidden_channels_are_refused(tmp_path: Path, name: str, text: str, line: int) -> None:
    forbidden = text.replace(FORGE, "https://repo.anaconda.com/pkgs/main")
    with pytest.raises(InvalidRepositoryLock) as caught:
        read(tmp_path, {name: forbidden}, env={"BP_CONDA_LOCK": name})
    assert [str(problem.origin) for problem in caught.value.problems] == [f"{name}:{line}:1"]
    assert "repo.anaconda.com" in caught.value.summary


def test_packages_of_files_and_unsafe_hosts_are_refused(tmp_path: Path) -> None:
    lines = [
        "@EXPLICIT",
        f"http://host.example/c/linux-64/a-1-0.conda#{MD5}",
        f"file:///srv/c/linux-64/b-1-0.conda#{MD5}",
    ]
    with pytest.raises(InvalidRepositoryLock) as caught:
        read(tmp_path, {"conda-linux-64.lock": "\n".join(lines)})
    assert len(caught.value.problems) == 2
    trusted = {"BP_CONDA_CHANNEL_ALIAS": "http://host.example"}
    assert len(read(tmp_path, {"conda-linux-64.lock": "\n".join(lines[:2])}, env=trusted).packages) == 1


def test_credentials_in_a_lock_are_kept_out_of_its_packages(tmp_path: Path) -> None:
    text = f"@EXPLICIT\nhttps://host.example/t/secret-token/c/linux-64/a-1-0.conda#{MD5}\n"
    lock = read(tmp_path, {"conda-linux-64.lock": text})
    assert lock.packages[0].url == "https://host.example/c/linux-64/a-1-0.conda"
    assert lock.channels == ("https://host.example/t/secret-token/c",)


def test_a_package_twice_in_a_lock_is_an_error(tmp_path: Path) -> None:
    text = f"{EXPLICIT}{FORGE}/linux-64/python-3.12.0-h1_0_cpython.conda#{MD5}\n"
    with pytest.raises(InvalidRepositoryLock, match=r"conda-linux-64\.lock:6:1: `python` is locked a second time"):
        read(tmp_path, {"conda-linux-64.lock": text})


def test_packages_without_hashes_are_noticed(tmp_path: Path) -> None:
    text = f"@EXPLICIT\n{FORGE}/linux-64/a-1-0.conda\n"
    assert "have no hash" in read(tmp_path, {"conda-linux-64.lock": text}).notices[0]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "package:\n",
        "version: 1\npackage:\n- name: [\n",
        "version: 2\npackage:\n- name: a\n",
        "version: 1\npackage:\n- name: &a [*a]\n",
        "version: 1\npackage:\n- name: a\n  x: &a [1]\n  platform: linux-64\n  url: [*a, *a]\n",
        f"version: 1\npackage:\n- name: a\n  url: {'x' * 300_000}\n",
        f"version: 1\npackage:\n- name: a\n  url: {'[' * 5_000}\n",
        "version: 99\nenvironments:\n  default: {}\n",
        "version: 6\nenvironments: 3\n",
        PIXI.replace("  default:", "  other:"),
        "@EXPLICIT\nnumpy=1.2\n",
        f"@EXPLICIT\n{FORGE}/linux-64/a-1-0.conda#md5sum\n",
    ],
)
def test_what_is_no_lock_is_an_error_and_no_traceback(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidRepositoryLock):
        read(tmp_path, {"some.lock": text}, env={"BP_CONDA_LOCK": "some.lock"})


@given(st.text(alphabet=st.sampled_from("@EXPLICIT:# \n-name/https.conda{}[]&*'\"0aé\t")))
def test_any_text_is_read_or_refused(text: str) -> None:
    for parse, head in ((read_explicit, "@EXPLICIT\n"), (read_conda_lock, "version: 1\npackage:\n- name: a\n")):
        with suppress(InvalidRepositoryLock):
            assert isinstance(parse(head + text, name="a.lock", platform="linux-64"), ParsedLock)
