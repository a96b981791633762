from __future__ import annotations

import json
from pathlib import Path

import pytest

from lifecycle.cnb.digest import Digest
from lifecycle.cnb.errors import ConfigurationError
from pybuild.environments.conda_dependencies import CondaDependencies
from pybuild.environments.definition import CondaPackages, Definition, PipPackages, PoetryPackages
from pybuild.environments.environment import Environment

EVERYTHING = Definition(
    packages=CondaPackages.of(
        channels=["conda-forge"],
        packages=["numpy", "python=3.12"],
        pip=["x"],
        constraints=["y<2"],
        other={"platforms": ["a"]},
    ),
    image="docker.io/library/python:3.12",
    dockerfile="FROM debian\nRUN true\n",
    user_managed=True,
    interpreter="/opt/python",
    repository="https://git.example.org/x#main",
    files={"a/requirements.txt": "x\n"},
    variables={"A": "1", "B": ""},
)


@pytest.mark.parametrize(
    "definition",
    [
        Definition(),
        EVERYTHING,
        Definition(packages=PipPackages.of(requirements=[], python_version="3.12")),
        Definition(packages=PoetryPackages(files={"pyproject.toml": "[tool.poetry]\n", "poetry.lock": ""})),
    ],
)
def test_what_is_rendered_is_read_back(definition: Definition) -> None:
    content = definition.render()
    read = Definition.parse(content)
    assert read == definition
    assert read.render() == content
    assert definition.digest == str(Digest.of(content))


def test_what_could_not_be_read_back_is_no_definition() -> None:
    env = Environment("one")
    env.repository = "./project"
    with pytest.raises(ConfigurationError, match="is no git URL"):
        env.definition()


def test_the_order_of_packages_and_the_spelling_of_requirements_mean_nothing() -> None:
    one = CondaDependencies.create(conda_packages=["numpy", "scipy  >=1"], pip_packages=["Foo_Bar >=1, <2", "zed[B,a]"])
    other = CondaDependencies.create(conda_packages=["scipy >=1", "numpy"], pip_packages=["zed[a,b]", "foo-bar<2,>=1"])
    first, second = Environment("one"), Environment("two")
    first.python.conda_dependencies, second.python.conda_dependencies = one, other
    first.environment_variables, second.environment_variables = {"A": "1", "B": "2"}, {"B": "2", "A": "1"}
    assert first.definition().render() == second.definition().render()


def test_the_order_of_channels_and_of_pips_options_means_something() -> None:
    def digest(channels: tuple[str, ...], options: tuple[str, ...]) -> str:
        packages = CondaPackages.of(channels=channels, packages=["a"], pip=options)
        return Definition(packages=packages).digest

    channels, options = ("conda-forge", "bioconda"), ("--no-binary :all:", "--only-binary x")
    assert digest(channels, options) != digest(channels[::-1], options)
    assert digest(channels, options) != digest(channels, options[::-1])


def test_nodefaults_is_meant_where_it_is_not_written() -> None:
    written = CondaPackages.of(channels=["conda-forge", "nodefaults"], packages=["a"])
    assert CondaPackages.of(channels=["conda-forge"], packages=["a"]) == written


def test_a_definition_of_a_newer_pybuild_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="schema 2"):
        Definition.parse(b'{"schema":2}')


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colour": "red"}, "colour"),
        ({"files": {"../x": ""}}, "files"),
        ({"files": {"/etc/passwd": ""}}, "files"),
        ({"packages": {"installer": "apt"}}, "installer"),
        ({"packages": {"installer": "pip", "requirements": ["a\nb"]}}, r"requirements\[0\]"),
        ({"packages": {"installer": "pip", "requirements": "a"}}, "array of strings"),
        ({"packages": {"installer": "pip", "requirements": ["-r /home/me/.netrc"]}}, "names a file"),
        ({"packages": {"installer": "pip", "requirements": [" -c../x"]}}, "names a file"),
        ({"packages": {"installer": "pip", "requirements": ["--requirement=x"]}}, "names a file"),
        ({"packages": {"installer": "pip", "constraints": ["./x"]}}, "names a file"),
        ({"packages": {"installer": "conda", "pip": ["x @ file:///home/me"]}}, "names a file"),
        ({"packages": {"installer": "pip", "python-version": "3.12\n"}}, "one line"),
        ({"repository": "/home/me"}, "no git URL"),
        ({"repository": "file:///home/me/x"}, "no git URL"),
        ({"repository": "git+file:///home/me/x"}, "no git URL"),
        ({"image": "debian\nRUN true"}, "`image`"),
        ({"variables": {"A$(id)": ""}}, "no variable"),
        ({"variables": {"A": "1\nRUN true"}}, "no variable"),
    ],
)
def test_what_no_pybuild_wrote_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Definition.parse(json.dumps({"schema": 1, **changes}).encode())


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b'{"schema":1,"packages":[]}'])
def test_what_is_no_definition_is_refused(content: bytes) -> None:
    with pytest.raises(ConfigurationError):
        Definition.parse(content)


def test_the_dockerfile_of_a_definition_is_never_a_path(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("geheim\n")
    definition = Definition.parse(json.dumps({"schema": 1, "dockerfile": str(secret)}).encode())
    assert b"geheim" not in Environment.from_definition("one", definition).definition().render()


def test_an_environment_of_a_definition_has_that_definition(tmp_path: Path) -> None:
    (tmp_path / "constraints.txt").write_text("zed<3\n")
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("-c constraints.txt\nzed\n--no-binary zed\n")
    env = Environment.from_pip_requirements("one", requirements, python_version="3.12")
    env.environment_variables["A"] = "1"
    env.docker.base_image = "debian:12"
    definition = env.definition()
    assert isinstance(definition.packages, PipPackages)
    assert definition.packages.constraints == ("zed<3",)
    assert Environment.from_definition("two", definition).definition() == definition
