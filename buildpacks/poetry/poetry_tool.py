"""Poetry itself: a directory of packages in the builder, started by the Python that the buildpacks run on.

It never gets into the environment of the application, and is not started at all in a build in which nothing has changed.
Its settings come from here and from the `poetry.toml` of the repository; of the build's environment it sees the credentials,
certificates and proxies. https://python-poetry.org/docs/1.8/configuration/
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from buildpacks.installer.commands import ToolRun, private_directory, tool_environment
from buildpacks.installer.errors import MissingTool
from buildpacks.installer.indexes import PYPI, read_index_settings
from buildpacks.installer.reader import RequirementSet
from buildpacks.installer.tool_options import ToolOptions
from buildpacks.installer.tools import find_uv
from buildpacks.poetry.failures import PoetryFailed
from buildpacks.poetry.settings import VERSION_VARIABLE, Settings, tool_directory
from lifecycle.cnb.command import CommandResult
from lifecycle.cnb.kit import BuildContext
from lifecycle.cnb.layer import remove_tree

MIRROR_VARIABLE = "POETRY_PYPI_MIRROR_URL"
# Poetry 1.8 has `export` and `POETRY_PYPI_MIRROR_URL` by these, later versions only by these.
_PLUGINS = ("poetry-plugin-export", "poetry-plugin-pypi-mirror")
_START = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); from poetry.console.application import main; sys.exit(main())"
)
# What Poetry says when an index has not all of PyPI's JSON, as mirrors of the simple API do: web pages in the place of lists, while it
# looks for versions the first, while it looks for the files of one the second; lists, but nothing of each version, the third.
_NO_JSON_API = re.compile(
    r"Expecting value: line 1 column 1|Unable to find installation candidates|Package \S+ [(\[]\S+[)\]] not found\."
)
_ALLOWED = re.compile(r"POETRY_(HTTP_BASIC|PYPI_TOKEN|CERTIFICATES|REPOSITORIES|REQUESTS)_|POETRY_PYPI_MIRROR_URL$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Poetry:
    """Runs one Poetry in one build."""

    context: BuildContext
    directory: Path
    """Its packages."""
    version: str
    cache_dir: Path
    """The cache layer."""

    def run(self, *arguments: str, venv: Path | None = None, quiet: bool = False) -> CommandResult:
        """Return how `poetry <arguments>` ended in the app directory; `venv` is the environment that it works for.

        An index without PyPI's JSON API, which Poetry wants of the default one, is asked once more by its simple API.
        """
        mirror = self._mirror()
        result = self._run(arguments, venv=venv, quiet=quiet, mirror=mirror)
        if result.status == 0 or mirror is not None or _NO_JSON_API.search(result.output) is None:
            return result
        self.context.say(f"PyPI's JSON API does not answer here; Poetry is told to use {PYPI}")
        return self._run(arguments, venv=venv, quiet=quiet, mirror=PYPI)

    def _run(self, arguments: tuple[str, ...], *, venv: Path | None, quiet: bool, mirror: str | None) -> CommandResult:
        self.context.say(f"Running `{shlex.join(('poetry', *arguments))}`")
        command = [sys.executable, "-IB", "-c", _START, str(self.directory)]
        with private_directory() as config_dir:
            env = _environment(self.context.env, cache_dir=self.cache_dir / "pypoetry", config_dir=config_dir)
            env |= {} if venv is None else {"VIRTUAL_ENV": str(venv)}
            env |= _mirror_variables(mirror)
            return self.context.run(
                [*command, *arguments, "--no-ansi", "--no-interaction"], env=env, echo=False, quiet=quiet
            )

    def _mirror(self) -> str | None:
        """The index that stands for PyPI; `None` for PyPI."""
        chosen = self.context.env.get(MIRROR_VARIABLE)
        default = next(iter(read_index_settings(self.context.env).index_urls), PYPI)
        return chosen or (None if default.rstrip("/") == PYPI else default)


def find_poetry(context: BuildContext, settings: Settings, *, cache_dir: Path) -> Poetry:
    """Return the Poetry that is asked for: that of the builder, or one that is installed into the cache layer on demand.

    Raises `MissingTool` and `PoetryFailed`.
    """
    wanted = settings.version
    builder = tool_directory(context.env, wanted.text)
    directory = builder if _is_poetry(builder) else cache_dir / "poetry" / wanted.text
    if directory != builder:
        if wanted.is_default:
            raise MissingTool(tool=f"poetry {wanted.text}", looked_in=str(builder))
        if not _is_poetry(directory) or (settings.refresh and not wanted.is_exact):
            _install(context, settings, directory, cache_dir=cache_dir)
    return Poetry(context=context, directory=directory, version=_version(directory), cache_dir=cache_dir)


def _is_poetry(directory: Path) -> bool:
    return (directory / "poetry" / "console").is_dir()


def _version(directory: Path) -> str:
    found = [
        path.name.removeprefix("poetry-").removesuffix(".dist-info") for path in directory.glob("poetry-*.dist-info")
    ]
    # The plugins are called `poetry_plugin_…` there.
    return next(iter(found), "of unknown version")


def _install(context: BuildContext, settings: Settings, directory: Path, *, cache_dir: Path) -> None:
    uv, _ = find_uv(context)
    wanted = settings.version
    context.say(f"Installing Poetry {wanted.text}, which `{VERSION_VARIABLE}` asks for, apart from the environment")
    indexes = read_index_settings(context.env)
    run = ToolRun(context=context, found=RequirementSet(options=ToolOptions(indexes=indexes)), cache_dir=cache_dir)
    # Whole or not at all: the next build would take what is there for Poetry.
    unfinished = directory.with_name(f"{directory.name}.part")
    remove_tree(unfinished)
    directory.parent.mkdir(parents=True, exist_ok=True)
    with private_directory() as private:
        lines = private / "poetry.txt"
        names = (f"poetry{wanted.specifier}", *_PLUGINS)
        lines.write_text(indexes.render() + "".join(f"{name}\n" for name in names), encoding="utf-8")
        target = [f"--target={unfinished}", f"--python={sys.executable}", f"--requirement={lines}"]
        done = run.uv(uv, "pip", "install", *target, "--quiet", *run.uv_options())
    if done.status != 0:
        raise PoetryFailed(
            problem=f"Poetry {wanted.text}, which `{VERSION_VARIABLE}` asks for, cannot be installed",
            change="check that the version exists (https://pypi.org/project/poetry/#history) and that the index can be reached",
        )
    remove_tree(directory)
    unfinished.rename(directory)


def _environment(env: Mapping[str, str], *, cache_dir: Path, config_dir: Path) -> dict[str, str]:
    kept = {
        name: value
        for name, value in tool_environment(env).items()
        if not name.startswith("POETRY_") or _ALLOWED.match(name)
    }
    certificates = env.get("SSL_CERT_FILE")
    if certificates and not env.get("REQUESTS_CA_BUNDLE"):
        # Poetry's HTTP library knows only this one.
        kept["REQUESTS_CA_BUNDLE"] = certificates
    return kept | {
        "POETRY_CACHE_DIR": str(cache_dir),
        "POETRY_CONFIG_DIR": str(config_dir),
        "POETRY_DATA_DIR": str(config_dir / "data"),
        "POETRY_KEYRING_ENABLED": "false",
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        "POETRY_VIRTUALENVS_IN_PROJECT": "false",
        "POETRY_VIRTUALENVS_PATH": str(config_dir / "virtualenvs"),
        "POETRY_WARNINGS_EXPORT": "false",
        # As uv does; and git knows the certificates and proxies of the build. Poetry 2 calls it by the shorter name.
        "POETRY_EXPERIMENTAL_SYSTEM_GIT_CLIENT": "true",
        "POETRY_SYSTEM_GIT_CLIENT": "true",
        # Poetry cuts its lines to the width of a terminal.
        "COLUMNS": "400",
        "PATH": env.get("PATH", os.defpath),
    }


def _mirror_variables(mirror: str | None) -> dict[str, str]:
    """What makes Poetry use `mirror` for PyPI. Credentials go apart, because Poetry repeats URLs."""
    if mirror is None:
        return {}
    parts = urlsplit(mirror)
    if parts.username is None:
        return {MIRROR_VARIABLE: mirror}
    plain = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    return {
        MIRROR_VARIABLE: plain,
        "POETRY_HTTP_BASIC_PYPI_USERNAME": unquote(parts.username),
        "POETRY_HTTP_BASIC_PYPI_PASSWORD": unquote(parts.password or ""),
    }
