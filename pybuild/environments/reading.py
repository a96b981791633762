"""The environment that a file or a directory says, whatever kind of file it is."""

from __future__ import annotations

from pathlib import Path

from pybuild.environments.environment import Environment
from pybuild.errors import UsageError
from pybuild.source.git import parse_git_source

SOURCES = (
    "a requirements file (.txt, .in), a conda environment file (.yml, .yaml), a Dockerfile, a directory of `pybuild env export`, "
    "a Poetry project (its pyproject.toml), or a repository: a git URL or a directory"
)
_SAVED = ("environment.json", "azureml_environment.json")


def read_environment(
    name: str, source: str, *, base_image: str | None = None, python_version: str | None = None
) -> Environment:
    """Return the environment `name` that `source`, one of `SOURCES`, says.

    Raises:
        UsageError: it is none of them, or the options do not fit it.
        ConfigurationError: it cannot be read.
    """
    path = Path(source)
    kind, env = _read(name, source, path, python_version)
    if python_version is not None and kind != "pip":
        raise UsageError(
            f"`--python-version` is not for `{source}`", "say the version of Python in the file, as its kind does"
        )
    if base_image is not None:
        env.docker.base_image = base_image
    return env


def _read(name: str, source: str, path: Path, python_version: str | None) -> tuple[str, Environment]:
    suffix = path.suffix.lower()
    if parse_git_source(source) is not None:
        return "repository", Environment.from_repository(name, source)
    if path.is_dir():
        if any((path / saved).is_file() for saved in _SAVED):
            env = Environment.load_from_directory(path)
            env.name, env.version = name, None
            return "saved", env
        return "repository", Environment.from_repository(name, path)
    if not path.exists():
        raise UsageError(f"there is no `{source}`", _near(path))
    if path.name == "pyproject.toml":
        return "poetry", Environment.from_poetry(name, path.parent)
    if suffix in (".yml", ".yaml"):
        return "conda", Environment.from_conda_specification(name, path)
    if suffix in (".txt", ".in"):
        return "pip", Environment.from_pip_requirements(name, path, python_version=python_version)
    if "dockerfile" in path.name.lower():
        return "dockerfile", Environment.from_dockerfile(name, path)
    raise UsageError(f"`{source}` says no environment that is known by its name", f"give {SOURCES}")


def _near(path: Path) -> str:
    """What somebody may have meant by the name of a file that is not there."""
    import difflib  # only needed to help with a mistake

    names = [one.name for one in path.parent.iterdir()] if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, names, n=1)
    return f"did you mean `{path.parent / near[0]}`?" if near else f"give {SOURCES}"
