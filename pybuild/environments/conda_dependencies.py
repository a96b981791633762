"""The packages of an environment, as Azure ML's `CondaDependencies` has them, and as an environment.yml says them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from lifecycle.cnb.errors import InvalidValue
from lifecycle.cnb.mask import mask_credentials
from lifecycle.cnb.toml import write_atomically
from pybuild.environments.definition import CondaPackages, PipPackages
from pybuild.environments.environment_file import (
    CHANNELS,
    DEFAULT_CHANNELS,
    FILE_NAME,
    PACKAGES,
    PIP,
    VARIABLES,
    EnvironmentFile,
)
from pybuild.environments.requirements import Requirements, gather, is_option, requirement_name
from pybuild.environments.texts import read_text, require_line

_PYTHON = "python"
_CONSTRAINTS_NAME = "constraints.txt"
_CONSTRAINTS_LINE = f"-c {_CONSTRAINTS_NAME}"
# `name` and `prefix` decide nothing: pybuild knows where the environment is, and calls it nothing.
_NOT_OTHER = frozenset({CHANNELS, PACKAGES, VARIABLES, "name", "prefix"})
_CONDA_NAME = re.compile(r"(?:[^\s\[]+::)?(?P<name>[A-Za-z0-9_][A-Za-z0-9_.-]*)(?P<version>.*)")


class CondaDependencies:
    """The channels and packages of an environment; every method changes this object.

    What an environment file holds besides, its comments and its order are kept, and written again by `save`. One that was made in
    code starts with the channels `conda-forge` and `nodefaults`.
    """

    def __init__(self, conda_dependencies_file_path: str | Path | None = None) -> None:
        """Read an environment file, or start with no packages. Raises `ConfigurationError`."""
        if conda_dependencies_file_path is None:
            self._file = EnvironmentFile()
        else:
            path = Path(conda_dependencies_file_path)
            self._file = EnvironmentFile(read_text(path), path=path)
        self._needs_conda = conda_dependencies_file_path is not None
        self._constraints: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str, *, path: str | Path = FILE_NAME, needs_conda: bool = True) -> CondaDependencies:
        """Return what the text of an environment file says; `path` is for messages, and where files that it names are looked for.

        `needs_conda`: whether conda installs it even if pip could, as it does what comes from a file.
        """
        made = cls()
        made._file, made._needs_conda = EnvironmentFile(text, path=Path(path)), needs_conda
        return made

    @classmethod
    def create(
        cls,
        pip_indexurl: str | None = None,
        pip_packages: Iterable[str] | None = None,
        conda_packages: Iterable[str] | None = None,
        python_version: str | None = None,
        pin_sdk_version: bool = True,  # noqa: ARG003, FBT001, FBT002 - Azure ML's signature
    ) -> CondaDependencies:
        """Return dependencies with these packages. `pin_sdk_version` means nothing here: no package is added by itself.

        Raises `InvalidValue`, also for a text in place of a list.
        """
        for packages in (pip_packages, conda_packages):
            if isinstance(packages, str):
                raise InvalidValue(f"`{packages}`", "is no list of packages", f'write `["{packages}"]`')
        made = cls()
        if python_version is not None:
            made.set_python_version(python_version)
        for package in conda_packages or ():
            made.add_conda_package(package)
        if pip_indexurl is not None:
            made.set_pip_index_url(pip_indexurl)
        for package in pip_packages or ():
            made.add_pip_package(package)
        return made

    @classmethod
    def of(cls, packages: CondaPackages | PipPackages) -> CondaDependencies:
        """Return dependencies that say what a definition says."""
        made = cls()
        if isinstance(packages, CondaPackages):
            document = {**packages.other, CHANNELS: [*packages.channels], PACKAGES: [*packages.packages]}
            made._file, made._needs_conda = EnvironmentFile.of(document), True
        made.set_pip_requirements(packages.pip if isinstance(packages, CondaPackages) else packages.requirements)
        made.set_pip_constraints(packages.constraints)
        return made

    @property
    def conda_channels(self) -> tuple[str, ...]:
        """The channels, the first first."""
        return self._file.channels

    @property
    def conda_packages(self) -> tuple[str, ...]:
        """conda's packages, in the order of the file."""
        return self._file.packages

    @property
    def pip_packages(self) -> tuple[str, ...]:
        """pip's packages, in the order of the file."""
        return tuple(line for line in self._file.pip_lines if not is_option(line))

    @property
    def pip_options(self) -> tuple[str, ...]:
        """pip's options, such as `--index-url URL`."""
        return tuple(line for line in self._file.pip_lines if is_option(line))

    @property
    def installer(self) -> str:
        """`conda` or `pip`, which is enough where no package, channel or file needs conda."""
        needs_conda = self._needs_conda or self.conda_channels != DEFAULT_CHANNELS
        return "conda" if needs_conda or any(package != PIP for package in self.conda_packages) else "pip"

    def add_channel(self, channel: str) -> None:
        """Add a channel behind the others, if it is not there. Raises `InvalidValue`."""
        if require_line(channel) not in self.conda_channels:
            self._file.add(CHANNELS, channel)

    def remove_channel(self, channel: str) -> None:
        """Remove a channel, if it is there."""
        self._file.remove(CHANNELS, lambda item: item == channel)

    def add_conda_package(self, conda_package: str) -> None:
        """Add a package, if it is not there; one for `python` takes the place of another. Raises `InvalidValue`."""
        if conda_name(require_line(conda_package)) == _PYTHON:
            self._set_python(conda_package)
        elif conda_package not in self.conda_packages:
            self._file.add(PACKAGES, conda_package)

    def remove_conda_package(self, conda_package: str) -> None:
        """Remove a package, if it is there, as it was added or by its name alone."""
        name = conda_name(conda_package)
        is_name = conda_package.strip().lower() == name
        self._file.remove(PACKAGES, lambda item: item == conda_package or (is_name and conda_name(item) == name))

    def set_python_version(self, version: str) -> None:
        """Choose the Python: `3.12`, or a range such as `>=3.11,<3.13`. Then conda installs it. Raises `InvalidValue`."""
        self._set_python(
            f"{_PYTHON}{version}" if re.match(r"[=<>!~]", require_line(version)) else f"{_PYTHON}={version}"
        )

    def get_python_version(self) -> str | None:
        """Return the version or range that is chosen; `None`: the newest that fits."""
        for package in self.conda_packages:
            match = _CONDA_NAME.fullmatch(package)
            if match is not None and match["name"].lower() == _PYTHON:
                return match["version"].strip().lstrip("=") or None
        return None

    def add_pip_package(self, pip_package: str) -> None:
        """Add a requirement behind the others; it takes the place of those for the same project. Raises `InvalidValue`."""
        self.remove_pip_package(require_line(pip_package))
        self._file.add_pip(pip_package)

    def remove_pip_package(self, pip_package: str) -> None:
        """Remove the requirements for a project, whatever their version. Raises `InvalidValue` for an option."""
        if is_option(pip_package):
            raise InvalidValue(f"`{mask_credentials(pip_package)}`", "is an option of pip", "use `set_pip_option`")
        name = requirement_name(pip_package)
        self._file.remove(
            PIP, lambda item: item == pip_package or (name is not None and requirement_name(item) == name)
        )

    def set_pip_option(self, pip_option: str) -> None:
        """Set an option of pip, such as `--extra-index-url URL`, in place of one of that name. Raises `InvalidValue`."""
        name = _option_name(require_line(pip_option))
        if not self._file.replace(PIP, pip_option, lambda item: is_option(item) and _option_name(item) == name):
            self._file.add_pip(pip_option)

    def remove_pip_option(self, pip_option: str) -> None:
        """Remove an option of pip, by its name. Raises `InvalidValue`."""
        name = _option_name(pip_option)
        self._file.remove(PIP, lambda item: is_option(item) and _option_name(item) == name)

    def set_pip_index_url(self, index_url: str) -> None:
        """Set the package index: a URL, or as Azure ML has it `--index-url URL`."""
        self.set_pip_option(index_url if is_option(index_url) else f"--index-url {index_url}")

    def set_pip_requirements(self, pip_requirements: Iterable[str]) -> None:
        """Put these lines in place of all of pip's."""
        self._file.remove(PIP, lambda item: item != _CONSTRAINTS_LINE or not self._constraints)
        for line in pip_requirements:
            self._file.add_pip(line)

    def set_pip_constraints(self, pip_constraints: Iterable[str]) -> None:
        """Set what no requirement may contradict: the lines of a constraints file, which `save` writes beside its own."""
        self._constraints = tuple(pip_constraints)
        self._file.remove(PIP, lambda item: item == _CONSTRAINTS_LINE)
        if self._constraints:
            self._file.add_pip(_CONSTRAINTS_LINE)

    def serialize_to_string(self) -> str:
        """Return the text of an environment file: what was read, letter for letter, as long as nothing has changed."""
        return self._file.text

    def save(self, path: str | Path | None = None) -> str:
        """Write the environment file, `environment.yml` without a path, and return its path. Raises `InvalidValue`."""
        target = Path(FILE_NAME if path is None else path)
        if target.is_dir():
            raise InvalidValue(f"`{target}`", "is a directory", f"name the file: `{target / FILE_NAME}`")
        if not target.parent.is_dir():
            raise InvalidValue(f"`{target}`", f"there is no directory `{target.parent}`", "make it first")
        if self._constraints:
            lines = "".join(f"{line}\n" for line in self._constraints)
            write_atomically(target.with_name(_CONSTRAINTS_NAME), lines.encode())
        write_atomically(target, self.serialize_to_string().encode())
        return str(target)

    def save_to_file(self, base_directory: str | Path, conda_file_path: str | None = None) -> str:
        """Write the environment file into a directory, and return its path from there."""
        name = conda_file_path or FILE_NAME
        self.save(Path(base_directory, name))
        return name

    def as_dict(self) -> dict[str, object]:
        """Return what the file says as plain dictionaries, lists and texts."""
        return self._file.as_dict()

    def variables(self) -> Mapping[str, str]:
        """Return the environment variables that the file sets. Raises `ConfigurationError`."""
        return self._file.variables

    def packages(self) -> CondaPackages | PipPackages:
        """Return what is installed, with the files inside that pip's lines name. Raises `ConfigurationError`."""
        pip = self._gather()
        if self.installer == "pip":
            return PipPackages.of(requirements=pip.lines, constraints=pip.constraints)
        return CondaPackages.of(
            channels=self.conda_channels,
            packages=self.conda_packages,
            pip=pip.lines,
            constraints=pip.constraints,
            other={key: value for key, value in self.as_dict().items() if key not in _NOT_OTHER},
        )

    def copy(self) -> CondaDependencies:
        """Return other dependencies that say the same."""
        made = self.parse(self.serialize_to_string(), path=self._file.path, needs_conda=self._needs_conda)
        made._constraints = self._constraints
        return made

    def standing_alone(self) -> CondaDependencies:
        """Return dependencies that say the same and name no other files but the one that `save` writes."""
        pip = self._gather()
        if pip.lines == self._file.pip_lines:
            return self
        made = self.copy()
        made.set_pip_requirements(pip.lines)
        made.set_pip_constraints(pip.constraints)
        return made

    def _gather(self) -> Requirements:
        """pip's lines with the files inside that they name."""
        if not self._constraints:
            return gather(self._file.pip_lines, self._file.path)
        found = gather([line for line in self._file.pip_lines if line != _CONSTRAINTS_LINE], self._file.path)
        return replace(found, constraints=(*found.constraints, *self._constraints))

    def __repr__(self) -> str:
        shown = ", ".join(mask_credentials(line) for line in (*self.conda_packages, *self._file.pip_lines))
        return f"<CondaDependencies {shown}>"

    def _set_python(self, package: str) -> None:
        if not self._file.replace(PACKAGES, package, lambda item: conda_name(item) == _PYTHON):
            self._file.add(PACKAGES, package, first=True)


def conda_name(package: str) -> str:
    """Return the name in a conda specification, in lower case; the whole text where it has none."""
    match = _CONDA_NAME.fullmatch(package.strip())
    return package.strip().lower() if match is None else match["name"].lower()


def _option_name(option: str) -> str:
    if not is_option(option):
        raise InvalidValue(f"`{option}`", "is no option of pip", "use `add_pip_package`")
    return re.split(r"[\s=]", option, maxsplit=1)[0]
