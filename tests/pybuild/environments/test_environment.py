from __future__ import annotations

from pathlib import Path

import pytest

from lifecycle.cnb.errors import ConfigurationError
from pybuild.environments.conda_dependencies import CondaDependencies
from pybuild.environments.definition import CondaPackages, PipPackages
from pybuild.environments.environment import Environment
from pybuild.environments.errors import InvalidEnvironment
from pybuild.environments.lint import find_problems
from pybuild.environments.sections import ContainerRegistry


def test_a_new_environment_is_python_alone() -> None:
    definition = Environment("plain").definition()
    assert definition.packages == PipPackages(requirements=())
    assert definition.render() == b'{"packages":{"installer":"pip"},"schema":1}'


def test_a_base_image_alone_gets_nothing_added() -> None:
    env = Environment("plain")
    env.docker.base_image = "debian:12"
    definition = env.definition()
    assert (definition.packages, definition.image) == (None, "docker.io/library/debian:12")


def test_a_dockerfile_is_a_text_or_a_path(tmp_path: Path) -> None:
    path = tmp_path / "Dockerfile"
    path.write_text("FROM debian:12\r\nRUN true\r\n")
    text = "\nFROM debian:12\nRUN true\n\n"
    definitions = {Environment.from_dockerfile("one", given).definition().render() for given in (path, str(path), text)}
    assert len(definitions) == 1
    assert Environment.from_dockerfile("one", "FROM debian:12").definition().dockerfile == "FROM debian:12\n"
    with pytest.raises(ConfigurationError, match="missing/Dockerfile"):
        Environment.from_dockerfile("one", str(tmp_path / "missing" / "Dockerfile"))


def test_packages_go_on_a_dockerfile(tmp_path: Path) -> None:
    (tmp_path / "environment.yml").write_text("channels: [conda-forge]\ndependencies: [python=3.12]\n")
    (tmp_path / "requirements.txt").write_text("zed\n")
    conda = Environment.from_dockerfile("one", "FROM debian:12", conda_specification=tmp_path / "environment.yml")
    assert isinstance(conda.definition().packages, CondaPackages)
    pip = Environment.from_docker_image("one", "debian:12", pip_requirements=str(tmp_path / "requirements.txt"))
    assert pip.definition().packages == PipPackages(requirements=("zed",))
    alone = Environment.from_dockerfile("one", "FROM debian:12")
    assert alone.python.user_managed_dependencies
    assert alone.definition().packages is None
    with pytest.raises(InvalidEnvironment) as caught:
        Environment.from_dockerfile(
            "one", "FROM debian:12", tmp_path / "environment.yml", tmp_path / "requirements.txt"
        )
    assert caught.value.code == "too-many-package-files"


@pytest.mark.parametrize(
    ("image", "address", "expected"),
    [
        ("team/base:1", "registry.example.org", "registry.example.org/team/base:1"),
        ("base:1", "https://registry.example.org:5000/", "registry.example.org:5000/base:1"),
        ("registry.example.org/team/base:1", "registry.example.org", "registry.example.org/team/base:1"),
        ("localhost/base:1", "registry.example.org", "localhost/base:1"),
        ("python:3.12", None, "docker.io/library/python:3.12"),
    ],
)
def test_the_registry_is_a_part_of_the_image_that_names_none(image: str, address: str | None, expected: str) -> None:
    env = Environment("one")
    env.docker.base_image = image
    env.docker.base_image_registry = ContainerRegistry(address)
    assert env.definition().image == expected
    if address is not None:
        env.docker.base_image_registry = address
        assert env.definition().image == expected


def test_credentials_of_a_registry_are_nowhere_but_in_the_object() -> None:
    env = Environment.from_docker_image("one", "base:1", ContainerRegistry("registry.example.org", "me", "geheim"))
    assert b"geheim" not in env.definition().render()
    assert "geheim" not in f"{env!r} {env.docker!r} {env.docker.base_image_registry!r} {env.python!r}"
    assert env.clone("two").docker.registry.password == "geheim"


def test_a_clone_is_another_environment_that_says_the_same() -> None:
    env = Environment("one")
    env.python.conda_dependencies = CondaDependencies.create(conda_packages=["numpy"], pip_packages=["zed"])
    env.environment_variables["A"] = "1"
    env.version = "3"
    clone = env.clone("two")
    assert (clone.name, clone.version) == ("two", None)
    assert clone.definition() == env.definition()
    clone.python.conda_dependencies.add_pip_package("httpx")
    clone.environment_variables["A"] = "2"
    clone.docker.base_image_registry = "registry.example.org"
    assert env.python.conda_dependencies.pip_packages == ("zed",)
    assert env.environment_variables == {"A": "1"}
    assert env.docker.registry.address is None


def test_variables_of_the_file_and_of_the_environment_are_those_of_the_image() -> None:
    env = Environment("one")
    env.python.conda_dependencies = CondaDependencies.parse(
        "channels: [conda-forge]\ndependencies: [python]\nvariables: {A: 010, B: file}"
    )
    env.environment_variables = {"B": "object"}
    assert env.definition().variables == {"A": "010", "B": "object"}


def test_pip_requirements_with_a_version_of_pip_are_condas(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("zed\n")
    env = Environment.from_pip_requirements(
        "one", tmp_path / "requirements.txt", pip_version="23.1", python_version="3.11"
    )
    packages = env.definition().packages
    assert isinstance(packages, CondaPackages)
    assert packages.packages == ("pip=23.1", "python=3.11")
    plain = Environment.from_pip_requirements("one", tmp_path / "requirements.txt", python_version="3.11")
    assert plain.definition().packages == PipPackages(requirements=("zed",), python_version="3.11")


def environment(name: str = "one", **changes: object) -> Environment:
    env = Environment(name)
    for key, value in changes.items():
        section, _, attribute = key.partition("__")
        setattr(getattr(env, section), attribute, value) if attribute else setattr(env, section, value)
    return env


def conda(text: str) -> CondaDependencies:
    return CondaDependencies.parse(text)


@pytest.mark.parametrize(
    ("code", "env"),
    [
        ("name-invalid", environment("")),
        ("name-invalid", environment("a b")),
        ("name-invalid", environment("../a")),
        ("name-too-long", environment("a" * 256)),
        ("too-many-docker-options", environment(docker__base_image="debian:12", docker__base_dockerfile="FROM debian:12")),
        ("base-image-invalid", environment(docker__base_image="Not an image")),
        ("credentials-incomplete", environment(docker__base_image_registry=ContainerRegistry("r.example.org", "me"))),
        ("dockerfile-too-large", environment(docker__base_dockerfile="FROM debian:12\n" + "# \n" * 40000)),
        ("no-python", environment(python__user_managed_dependencies=True)),
        ("anaconda-channel", environment(python__conda_dependencies=conda("channels: [defaults]\ndependencies: [python]"))),
        (
            "anaconda-channel",
            environment(
                python__conda_dependencies=conda("channels: ['https://repo.anaconda.com/pkgs/main']\ndependencies: [python]")
            ),
        ),
        ("no-channels", environment(python__conda_dependencies=conda("dependencies: [python]"))),
        ("no-channels", environment(python__conda_dependencies=conda("channels: [nodefaults]\ndependencies: [python]"))),
        (
            "several-pythons",
            environment(python__conda_dependencies=conda("channels: [c]\ndependencies: [python=3.11, python=3.12]")),
        ),
        ("variable-invalid", environment(environment_variables={"1A": ""})),
        ("variable-invalid", environment(environment_variables={"A": "1\n2"})),
        ("variable-invalid", environment(environment_variables={"A": 1})),
        ("python-version-invalid", environment(python__version=3.1)),
        (
            "credentials-in-url",
            environment(python__conda_dependencies=CondaDependencies.create(pip_indexurl="https://me:geheim@example.org")),
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_built_is_refused_with_a_code(code: str, env: Environment) -> None:
    with pytest.raises(InvalidEnvironment) as caught:
        env.definition()
    assert [problem.code for problem in caught.value.problems] == [code]
    assert caught.value.exit_code == 3
    assert "geheim" not in str(caught.value.problems)


@pytest.mark.parametrize(
    ("code", "env"),
    [
        ("base-image-unpinned", environment(docker__base_image="debian")),
        ("base-image-unpinned", environment(docker__base_image="debian:latest")),
        ("interpreter-ignored", environment(python__interpreter_path="/opt/python")),
        (
            "packages-ignored",
            environment(
                docker__base_image="debian:12",
                python__user_managed_dependencies=True,
                python__conda_dependencies=CondaDependencies.create(pip_packages=["zed==1"]),
            ),
        ),
        ("no-python-version", environment(python__conda_dependencies=conda("channels: [c]\ndependencies: [numpy=1]"))),
        ("unpinned", environment(python__conda_dependencies=CondaDependencies.create(pip_packages=["zed[x]"]))),
        ("secret-variable", environment(environment_variables={"DB_PASSWORD": "x"})),
    ],
)
def test_what_is_risky_is_a_warning(code: str, env: Environment) -> None:
    assert [problem.code for problem in find_problems(env)] == [code]
    env.definition()


def test_everything_that_is_wrong_is_said_at_once() -> None:
    env = environment("a b", docker__base_image="debian:12", docker__base_dockerfile="FROM debian:12")
    with pytest.raises(InvalidEnvironment) as caught:
        env.definition()
    assert caught.value.summary == "2 problems in the environment `a b`"
    assert [code for code, _ in caught.value.facts] == ["name-invalid", "too-many-docker-options"]


def test_the_error_for_anacondas_channel_says_what_to_write() -> None:
    env = environment(python__conda_dependencies=conda("channels: [defaults]\ndependencies: [python=3.12]"))
    with pytest.raises(InvalidEnvironment) as caught:
        env.definition()
    assert "the channel `defaults` is Anaconda's" in caught.value.summary
    assert caught.value.hint == (
        'write `env.python.conda_dependencies.remove_channel("defaults")`, and `add_channel("conda-forge")`; '
        "in environment.yml, below `channels:`, remove `- defaults`, and write `- conda-forge` in its place"
    )


def test_what_hints_say_of_the_file_is_enough(tmp_path: Path) -> None:
    """A file that is changed as the hints say has nothing left that is wrong."""
    (tmp_path / "environment.yml").write_text("channels:\n  - defaults\ndependencies:\n  - numpy=2\n")
    env = Environment.from_conda_specification("one", tmp_path / "environment.yml")
    hints = {problem.code: problem.change for problem in find_problems(env)}
    assert hints.keys() == {"anaconda-channel", "no-python-version"}
    for code, line in (("anaconda-channel", "- conda-forge"), ("no-python-version", "- python=3.12")):
        assert f"`{line}`" in hints[code].partition("in environment.yml, ")[2]
    (tmp_path / "environment.yml").write_text(
        "channels:\n  - conda-forge\ndependencies:\n  - python=3.12\n  - numpy=2\n"
    )
    assert find_problems(Environment.from_conda_specification("one", tmp_path / "environment.yml")) == ()


def test_a_variable_of_the_build_in_an_address_is_no_secret() -> None:
    Environment.from_dockerfile(
        "one", "FROM python:3.12\nRUN pip install git+https://${TOKEN}@example.org/x"
    ).definition()
