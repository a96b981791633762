"""Environments that are made from a Poetry project, a repository or a conda environment."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lifecycle.cnb.errors import ConfigurationError
from lifecycle.cnb.toml import parse_toml
from pybuild.environments.definition import PoetryPackages
from pybuild.environments.environment import Environment
from pybuild.environments.errors import InvalidEnvironment
from pybuild.environments.existing import find_prefix, read_existing
from pybuild.environments.lint import find_problems
from pybuild.environments.reading import read_environment
from pybuild.errors import UsageError

PROJECT = """\
[tool.poetry]  # ours
name = "app"
package-mode = true
version = "1"

[tool.poetry.dependencies]
python = "^3.10"
numpy = "*"
"""


POETRY_2 = """\
[build-system]
build-backend = "poetry.core.masonry.api"

[project]
name = "app"
"""


@pytest.mark.parametrize("more", ["", "[tool.poetry.group.test.dependencies]\npytest = '*'\n"])
def test_a_project_of_poetry_2_needs_no_table_of_poetrys(tmp_path: Path, more: str) -> None:
    project = f'{POETRY_2}dependencies = ["six (>=1.16)"]\n{more}'
    (tmp_path / "pyproject.toml").write_text(project)
    packages = Environment.from_poetry("one", tmp_path).definition().packages
    assert isinstance(packages, PoetryPackages)
    given, made = (parse_toml(text.encode(), source="") for text in (project, packages.files["pyproject.toml"]))
    tool = given.get("tool", {"poetry": {}})
    assert made == {**given, "tool": {"poetry": {**tool["poetry"], "package-mode": False}}}  # type: ignore[index]


@pytest.mark.parametrize("project", [PROJECT, PROJECT.replace("package-mode = true\n", "")])
def test_a_poetry_project_without_its_code(tmp_path: Path, project: str) -> None:
    (tmp_path / "pyproject.toml").write_text(project)
    (tmp_path / "poetry.lock").write_text("# lock\n")
    env = Environment.from_poetry("one", str(tmp_path))
    definition = env.definition()
    assert isinstance(definition.packages, PoetryPackages)
    assert definition.packages.files["poetry.lock"] == "# lock\n"
    text = definition.packages.files["pyproject.toml"]
    expected = parse_toml(project.replace("package-mode = true", "package-mode = false").encode(), source="")
    assert parse_toml(text.encode(), source="") == {
        "tool": {"poetry": {**expected["tool"]["poetry"], "package-mode": False}}  # type: ignore[index]
    }
    assert Environment.from_definition("two", definition).definition() == definition


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[project]\nname = "x"\n', "no table `\\[tool.poetry\\]`"),
        (f'{POETRY_2}dependencies = ["mine @ file:///home/me/mine"]\n', "mine` is on this computer only"),
        (f'{PROJECT}mine = {{path = "../mine"}}\n', "`mine` is on this computer only"),
        (f'{PROJECT}[tool.poetry.group.dev.dependencies]\nmine = [{{file = "x.whl"}}]\n', "`mine` is on this computer"),
        ("[tool.poetry\n", "invalid TOML"),
    ],
)
def test_a_poetry_project_that_cannot_travel(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(ConfigurationError, match=message):
        Environment.from_poetry("one", tmp_path)


def test_a_repository_is_named_by_its_url() -> None:
    env = Environment.from_repository("one", "https://git.example.org/team/x#v1")
    assert env.definition().render() == b'{"repository":"https://git.example.org/team/x#v1","schema":1}'
    assert find_problems(env) == ()
    unpinned = Environment.from_repository("one", "git@git.example.org:team/x")
    assert [problem.code for problem in find_problems(unpinned)] == ["repository-unpinned"]
    env.environment_variables["A"] = "1"
    with pytest.raises(InvalidEnvironment) as caught:
        env.definition()
    assert caught.value.code == "repository-with-more"
    with pytest.raises(InvalidEnvironment) as caught:
        Environment.from_repository("one", "https://me:geheim@git.example.org/team/x#v1").definition()
    assert caught.value.code == "credentials-in-url"
    assert "geheim" not in caught.value.summary


def test_a_repository_is_a_directory_of_texts(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_text("x")
    (tmp_path / "src" / "x.py").write_text("1\r\n")
    (tmp_path / "requirements.txt").write_text("zed")
    definition = Environment.from_repository("one", tmp_path).definition()
    assert definition.files == {"requirements.txt": "zed\n", "src/x.py": "1\n"}
    Environment.from_definition("two", definition).write_context(tmp_path / "context")
    assert (tmp_path / "context" / "src" / "x.py").read_text() == "1\n"


def test_a_repository_has_what_a_build_of_it_has(tmp_path: Path) -> None:
    for name in (".ruff_cache", "env"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.py").write_text("1")
    (tmp_path / "env" / "pyvenv.cfg").touch()
    (tmp_path / ".git").write_text("gitdir: /home/me/project/.git/worktrees/x")
    for name in ("requirements.txt", ".env", "key.pem"):
        (tmp_path / name).write_text("x")
    env = Environment.from_repository("one", tmp_path)
    assert set(env.repository_files) == {"requirements.txt", ".env", "key.pem"}
    (problem,) = find_problems(env)
    assert (problem.code, problem.is_error) == ("secret-file", False)
    assert "`.env`, `key.pem`" in problem.message


def test_what_an_environment_cannot_carry_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="has no files"):
        Environment.from_repository("one", tmp_path)
    (tmp_path / "data.bin").write_bytes(b"\x80\x81")
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        Environment.from_repository("one", tmp_path)
    (tmp_path / "data.bin").unlink()
    (tmp_path / "passwords").symlink_to("/etc/passwd")
    with pytest.raises(ConfigurationError, match="is a link"):
        Environment.from_repository("one", tmp_path)
    (tmp_path / "passwords").unlink()
    for number in range(101):
        (tmp_path / str(number)).touch()
    with pytest.raises(ConfigurationError, match="more than 100 files"):
        Environment.from_repository("one", tmp_path)


def write_prefix(prefix: Path, channel: str = "https://conda.anaconda.org/conda-forge/linux-64") -> Path:
    """What conda keeps in an environment with `numpy`, and `zed` that pip has put beside it."""
    site_packages = prefix / "lib" / "python3.12" / "site-packages"
    meta = prefix / "conda-meta"
    meta.mkdir(parents=True)
    metadata = "lib/python3.12/site-packages/numpy-2.0.1.dist-info/METADATA"
    packages: tuple[tuple[str, str, list[str]], ...] = (("python", "3.12.4", []), ("numpy", "2.0.1", [metadata]))
    for name, version, files in packages:
        record = {"name": name, "version": version, "build": "h1_0", "channel": channel, "files": files}
        (meta / f"{name}-{version}-h1_0.json").write_text(json.dumps(record))
    (meta / "history").write_text("")
    for name, version in (("numpy", "2.0.1"), ("zed", "1.0")):
        info = site_packages / f"{name}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nA text\n")
    return prefix


def test_an_existing_conda_environment_is_read(tmp_path: Path) -> None:
    prefix = write_prefix(tmp_path / "envs" / "mine")
    env = Environment.from_existing_conda_environment("one", prefix)
    assert env.python.conda_dependencies.serialize_to_string() == (
        "channels:\n  - conda-forge\n  - nodefaults\n"
        "dependencies:\n  - python=3.12.4\n  - numpy=2.0.1\n  - pip:\n      - zed==1.0\n"
    )


def test_channels_of_packages_have_their_short_names(tmp_path: Path) -> None:
    expected = {
        "https://conda.anaconda.org/bioconda/noarch": ["bioconda", "nodefaults"],
        "https://conda.anaconda.org/t/tk-1234/team/linux-64": ["team", "nodefaults"],
        "https://me:geheim@packages.example.org/team/linux-64": ["https://packages.example.org/team", "nodefaults"],
        "https://repo.anaconda.com/pkgs/main/linux-64": ["defaults"],
        # As rattler writes them
        "https://conda.anaconda.org/conda-forge/": ["conda-forge", "nodefaults"],
        "https://packages.example.org/get/my-team": ["https://packages.example.org/get/my-team", "nodefaults"],
        "pkgs/main": ["defaults"],
        "conda-forge": ["conda-forge", "nodefaults"],
    }
    for number, (channel, names) in enumerate(expected.items()):
        found = read_existing(write_prefix(tmp_path / str(number), channel))
        assert list(found.conda_channels) == names


def test_packages_of_addresses_keep_them_and_local_ones_are_refused(tmp_path: Path) -> None:
    prefix = write_prefix(tmp_path / "mine")
    (origin,) = prefix.glob("lib/*/site-packages/zed-1.0.dist-info")
    origin /= "direct_url.json"
    vcs = {"url": "https://example.org/zed", "vcs_info": {"vcs": "git", "commit_id": "abc"}}
    origin.write_text(json.dumps(vcs))
    assert read_existing(prefix).pip_packages == ("zed @ git+https://example.org/zed@abc",)
    origin.write_text(json.dumps({"url": "file:///home/me/zed", "dir_info": {"editable": True}}))
    with pytest.raises(ConfigurationError, match="on this computer only"):
        read_existing(prefix)


def test_an_environment_is_found_by_its_name(tmp_path: Path) -> None:
    home = tmp_path / "home"
    miniforge = write_prefix(home / "miniforge3" / "envs" / "one")
    listed = write_prefix(tmp_path / "elsewhere" / "two")
    (home / ".conda").mkdir()
    (home / ".conda" / "environments.txt").write_text(f"{listed}\n/gone/three\n")
    own = write_prefix(tmp_path / "envs" / "four")
    active = write_prefix(tmp_path / "active")
    env = {"CONDA_PREFIX": str(active), "CONDA_DEFAULT_ENV": "five", "CONDA_ENVS_PATH": str(tmp_path / "envs")}
    known = {"one": miniforge, "two": listed, "four": own, "five": active}
    assert {name: find_prefix(name, env, home) for name in known} == known
    with pytest.raises(ConfigurationError) as caught:
        find_prefix("three", env, home)
    assert caught.value.hint == "known here: `five`, `four`, `one`, `two`"
    with pytest.raises(ConfigurationError, match="is no conda environment"):
        find_prefix(tmp_path, env, home)


def test_a_file_that_is_not_there_is_named_with_the_one_that_is_meant(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("zed==1\n")
    with pytest.raises(UsageError) as caught:
        read_environment("one", str(tmp_path / "requirement.txt"))
    assert caught.value.hint == f"did you mean `{tmp_path / 'requirements.txt'}`?"
    with pytest.raises(UsageError) as caught:
        read_environment("one", str(tmp_path / "nowhere" / "Dockerfile"))
    assert "a conda environment file (.yml, .yaml)" in str(caught.value.hint)
