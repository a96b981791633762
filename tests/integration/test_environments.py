"""Azure ML's own examples of environments, with the import line changed, and what becomes of them: built for real where they build.

Source: Azure ML's article "Create & use software environments in Azure Machine Learning" and the reference of its SDK v1.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

import pybuild
from lifecycle.cnb.layer import remove_tree
from pybuild import CondaDependencies, Environment, ImageSettings, InvalidEnvironment
from tests.documents import blocks_of, program_of
from tests.integration.command import CHECKOUT, Pybuild, expect_success
from tests.integration.conda_build import CondaBuilds, image_files
from tests.integration.dockerfile_bases import SMALL, machine_python_base, machine_small_bases
from tests.integration.document import File, read_document
from tests.integration.image_check import validate_foreign_image, validate_image
from tests.integration.image_files import read_layout
from tests.integration.registry import start_registry

pytestmark = pytest.mark.integration

DOCUMENT = CHECKOUT / "docs" / "environments.md"
# The builder's own, by its name: as good as any other base, and there.
BASE = "pybuild/run:bookworm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Builds:
    """Builds of environments in this process, with the test's package index and conda channel."""

    host_env: Mapping[str, str]
    settings: Mapping[str, str]
    pybuild: Pybuild
    layout: Path

    def build(self, env: Environment, images: ImageSettings | None = None) -> str:
        """Digest of the image of a build that must succeed."""
        remove_tree(self.layout)
        report = env.build_local(
            outputs=[f"oci:{self.layout}"], settings=self.settings, images=images, host_env=self.host_env
        )
        assert validate_foreign_image(self.layout).digest == str(report.image.digest)
        return str(report.image.digest)

    def run(self, *command: str) -> str:
        """Standard output of a command in the image of the last build."""
        return expect_success(self.pybuild("run", f"oci:{self.layout}", "--", *command)).stdout.strip()

    def python(self, program: str) -> str:
        """What a Python program prints in the image of the last build."""
        return self.run("python", "-c", program)

    def versions(self, *names: str) -> list[str]:
        """Versions of distributions in the image of the last build."""
        return self.python(f"import importlib.metadata as m; print(*map(m.version, {list(names)}))").split()


@pytest.fixture
def builds(conda: CondaBuilds, tmp_path: Path) -> Builds:
    return Builds(
        host_env=conda.pybuild.env, settings=conda.settings, pybuild=conda.pybuild, layout=tmp_path / "layout"
    )


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory that the person is in, with the files that the examples name."""
    directory = tmp_path / "files"
    directory.mkdir()
    (directory / "requirements.txt").write_text("# ours\nalpha\n-r more.txt\n")
    (directory / "more.txt").write_text("beta\n-c limits.txt\n")
    (directory / "limits.txt").write_text("alpha!=2.0\n")
    (directory / "env.yml").write_text("name: tools\nchannels:\n- conda-forge\ndependencies:\n- tiny-tool\n")
    (directory / "Dockerfile").write_text(f"FROM {BASE}\nENV MADE=made\n")
    monkeypatch.chdir(directory)
    return directory


def test_packages_added_in_code(builds: Builds, files: Path) -> None:
    myenv = Environment(name="myenv")
    conda_dep = CondaDependencies()
    # Installs a conda package
    conda_dep.add_conda_package("python=3.11")
    conda_dep.add_conda_package("tiny-tool")
    # Installs a pip package
    conda_dep.add_pip_package("alpha==1.0")
    # Adds dependencies to PythonSection of myenv
    myenv.python.conda_dependencies = conda_dep
    myenv.environment_variables = {"MESSAGE": "Hello from Azure Machine Learning"}

    digest = builds.build(myenv)
    assert builds.python("import os, alpha; print(os.environ['MESSAGE'])") == "Hello from Azure Machine Learning"
    assert builds.run("python", "--version").startswith("Python 3.11.")
    assert builds.versions("alpha") == ["1.0"]

    # An environment definition can be saved to a directory, and instantiated by loading files from the directory.
    myenv.save_to_directory(path="saved", overwrite=False)
    newenv = Environment.load_from_directory(path="saved")
    curated_clone = newenv.clone("customize_curated")
    assert builds.build(curated_clone) == digest

    # What conda keeps in the environment that was built is an existing environment.
    prefix = files / "mycondaenv"
    for name, content in image_files(read_layout(builds.layout)).items():
        if name.startswith("conda-meta/") or name.endswith((".dist-info/METADATA", ".dist-info/direct_url.json")):
            (prefix / name).parent.mkdir(parents=True, exist_ok=True)
            (prefix / name).write_bytes(content)
    existing = Environment.from_existing_conda_environment(name="myenv", conda_environment_name=prefix)
    found = existing.python.conda_dependencies
    assert found.conda_channels == ("conda-forge", "nodefaults")
    assert {"tiny-tool", "python", "pip"} <= {package.partition("=")[0] for package in found.conda_packages}
    assert found.get_python_version() == builds.python("import platform; print(platform.python_version())")
    assert found.pip_packages == ("alpha==1.0",)


def test_pip_requirements_and_what_a_dockerfile_makes_under_them(builds: Builds, files: Path) -> None:
    # From a pip requirements file
    myenv = Environment.from_pip_requirements(name="myenv", file_path="requirements.txt")
    builds.build(myenv)
    assert builds.versions("alpha", "beta") == ["1.0", "1.0"]

    # Set base image to None, because the image is defined by dockerfile.
    myenv.docker.base_image = None
    myenv.docker.base_dockerfile = "./Dockerfile"
    myenv.environment_variables["HARD"] = """a "b" $HOME \\ 'c'"""
    digest = builds.build(myenv)
    assert builds.versions("alpha") == ["1.0"]
    assert builds.python("import os; print(os.environ['HARD'], os.environ['MADE'])") == """a "b" $HOME \\ 'c' made"""
    text = Path("Dockerfile").read_text()
    other = Environment.from_dockerfile("other", text, pip_requirements="requirements.txt")
    other.environment_variables["HARD"] = """a "b" $HOME \\ 'c'"""
    assert other.definition() == myenv.definition()
    assert builds.build(other) == digest


def test_a_conda_specification_on_a_base_image(builds: Builds, files: Path) -> None:
    # From a Conda specification file
    myenv = Environment.from_conda_specification(name="myenv", file_path="env.yml")
    myenv.docker.base_image = BASE
    builds.build(myenv)
    assert builds.run("tiny-tool").startswith("tiny")
    same = Environment.from_docker_image("same", BASE, conda_specification="env.yml")
    assert same.definition() == myenv.definition()
    assert Environment.from_conda_specifications("same", "env.yml").definition() != myenv.definition()


def test_the_python_of_the_image(builds: Builds, machine_store: Path) -> None:
    base = machine_python_base(machine_store)
    dockerfile = """
    FROM python:3.11
    RUN python -m venv /opt/own
    """
    myenv = Environment(name="myenv")
    myenv.docker.base_image = None
    myenv.docker.base_dockerfile = dockerfile
    myenv.python.user_managed_dependencies = True
    myenv.python.interpreter_path = "/opt/own/bin/python"
    builds.build(myenv, ImageSettings(bases={base.full_name: f"docker-archive:{base.archive}"}))
    assert builds.python("import sys; print(sys.prefix)") == "/opt/own"


def test_a_base_image_of_a_private_registry(builds: Builds, tmp_path: Path) -> None:
    login = ("alice", "canary-b6d81b360a56")
    with start_registry(tmp_path / "private", login=login) as registry:
        registry.push(f"docker-archive:{machine_small_bases().image(SMALL).archive}", "team/small:1")
        myenv = Environment("myenv")
        # Specify custom Docker base image and registry
        myenv.docker.base_image = "team/small:1"
        myenv.docker.base_image_registry.address = registry.host
        with pytest.raises(pybuild.CnbError, match="wants credentials"):
            builds.build(myenv)
        myenv.docker.base_image_registry.username, myenv.docker.base_image_registry.password = login
        builds.build(myenv)
        assert builds.run("/bin/busybox", "echo", "here") == "here"
    myenv.save_to_directory(tmp_path / "saved")
    store = Path(builds.host_env["XDG_CACHE_HOME"], "pybuild")
    own = [path for part in ("apps", "environments") for path in (store / part).rglob("*")]
    for path in (*own, *(tmp_path / "saved").iterdir()):
        assert not (path.is_file() and not path.is_symlink() and login[1].encode() in path.read_bytes()), path


def test_poetry_projects_and_repositories(builds: Builds, files: Path) -> None:
    (files / "pyproject.toml").write_text(
        '[tool.poetry]\nname = "app"\nversion = "1"\ndescription = ""\nauthors = ["A <a@example.org>"]\n'
        '[tool.poetry.dependencies]\npython = "~3.11"\ngamma = "*"\n'
    )
    builds.build(Environment.from_poetry("of-poetry", "."))
    assert builds.versions("gamma") == ["1.0"]
    assert builds.run("python", "--version").startswith("Python 3.11.")

    repository = files / "repository"
    repository.mkdir()
    (repository / "requirements.txt").write_text("gamma\n")
    (repository / "main.py").write_text("import gamma\nprint('main')\n")
    builds.build(Environment.from_repository("of-repository", repository))
    assert builds.run("python", "/workspace/main.py") == "main"


def test_what_azure_ml_allows_and_pybuild_does_not(files: Path) -> None:
    (files / "env.yml").write_text(
        "name: pytorch\nchannels:\n- defaults\n- pytorch\ndependencies:\n- python=3.7\n- pytorch\n- torchvision\n"
    )
    env = Environment.from_conda_specification("pytorch", "env.yml")
    with pytest.raises(InvalidEnvironment) as caught:
        env.build_local()
    assert caught.value.hint == (
        'write `env.python.conda_dependencies.remove_channel("defaults")`; '
        "in environment.yml, below `channels:`, remove `- defaults`"
    )


def test_the_document_is_true(pybuild: Pybuild, tmp_path: Path) -> None:
    program = []
    for step in read_document(DOCUMENT.read_text(encoding="utf-8")):
        if isinstance(step, File):
            program.append(f"open({step.name!r}, 'w').write({step.text!r})")
    program.append(program_of(DOCUMENT))
    assert len(blocks_of(DOCUMENT, "python")) >= 7
    directory = tmp_path / "reader"
    directory.mkdir()
    env = {**pybuild.env, "PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(program)], cwd=directory, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    digests = [line for line in done.stdout.splitlines() if line.startswith("sha256:")]
    assert digests[0] == validate_image(directory / "image").digest
    assert len(digests) == 2
