"""Requirement lines for an environment that has packages already, as the prefix of a conda environment has.

What it has is known by a key before it is there, so that a build in which nothing has changed need not make it:

    wanted = read_for_prefix(…)               all problems at once, nothing downloaded
    lock = wanted.kept_lock()                 without the prefix
    lock = wanted.make_lock(prefix)           with the prefix as it was made, before anything of the lines is in it
    metadata = wanted.fingerprint(lock)       what of it decides the bytes of the layer
    metadata |= wanted.install(lock, prefix)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from buildpacks.installer.cache_limit import limit_caches
from buildpacks.installer.commands import ToolRun
from buildpacks.installer.contents import read_distributions
from buildpacks.installer.fingerprint import make_fingerprint
from buildpacks.installer.foreign import make_foreign
from buildpacks.installer.inputs import LockInputs, make_inputs
from buildpacks.installer.install import clean, install_lock
from buildpacks.installer.lock import Lock
from buildpacks.installer.projects import list_files, remove_leftovers
from buildpacks.installer.reader import EmbeddedLines
from buildpacks.installer.settings import Settings
from buildpacks.installer.steps import (
    changes_of_projects,
    choose_installer,
    kept_lock,
    make_lock,
    prepare_foreign,
    read_wanted,
)
from buildpacks.installer.tools import Python, Tools, find_tools, for_foreign, identify_python
from lifecycle.cnb.kit import BuildContext


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedInPrefix:
    """What is to be installed over what a prefix has."""

    run: ToolRun
    settings: Settings
    tools: Tools
    inputs: LockInputs

    def kept_lock(self) -> Lock | None:
        """Return the lock of an earlier build while nothing that decides it has changed; says why there is none."""
        return kept_lock(self.run, self.settings, self.inputs)

    def make_lock(self, prefix: Path, version: str | None = None) -> Lock:
        """Return a new lock of what has to be installed over `prefix`, and keep it.

        In a build for another architecture `bin/python` of the prefix runs here, and `version` is that of the Python which it
        stands for. Raises `InstallationFailed`, `InvalidRequirements` and `MissingTool`.
        """
        installed = read_distributions(prefix)
        projects = self.run.found.local_projects
        before = list_files(projects)
        python = self._python(prefix, version)
        choose_installer(self.run.context, self.settings, self.run.found, python.foreign)
        run = prepare_foreign(self.run, self.tools, python)
        lock = make_lock(run, self.settings, self.tools, python, self.inputs, installed=installed)
        remove_leftovers(projects, before)
        there = {distribution.name: distribution for distribution in installed}
        for entry in lock.entries:
            known = there.get(entry.name or "")
            if known is not None:
                context = self.run.context
                context.notice(f"`{entry.text}` takes the place of {known.name} {known.version} from conda")
        return lock

    def fingerprint(self, lock: Lock) -> dict[str, object]:
        """Return what of the lines decides the bytes of the environment, as layer metadata. Reads local projects."""
        return make_fingerprint(
            lock, self.run.found, installer=self.tools.version, pip=self.tools.pip, target=self.run.context.target
        )

    def install(self, lock: Lock, prefix: Path, version: str | None = None) -> Mapping[str, object]:
        """Install the lock over `prefix`, whose files are replaced, never edited; return what belongs into the fingerprint
        beside.

        `version` is as in `make_lock`. The lock is put in as a file. Raises `InstallationFailed` and `MissingTool`.
        """
        projects = self.run.found.local_projects
        before = list_files(projects)
        has_pip = any(distribution.name == "pip" for distribution in read_distributions(prefix))
        python = self._python(prefix, version)
        run = prepare_foreign(self.run, self.tools, python)
        install_lock(run, self.tools, python, lock, has_pip=has_pip)
        remove_leftovers(projects, before)
        clean(prefix, lock, self.tools.pip)
        limit_caches(self.run, self.tools, prefix)
        return changes_of_projects(self.run.context, before, list_files(projects), python.foreign)

    def _python(self, prefix: Path, version: str | None) -> Python:
        context, executable = self.run.context, prefix / "bin" / "python"
        python = identify_python(context, executable)
        if version is None:
            return python
        return for_foreign(python, make_foreign(context.target, executable=executable, version=version))


def read_for_prefix(
    context: BuildContext, settings: Settings, embedded: EmbeddedLines, *, installed: str, cache_dir: Path
) -> WantedInPrefix:
    """Return what `embedded` asks for; `installed` is a key of everything that the prefix has, its Python included.

    Raises `InvalidRequirements` and `MissingTool`.
    """
    found = read_wanted(context, settings, cache_dir, embedded=embedded)
    # Whether uv can do it, is seen once it is known which Python the image has.
    installer = "uv" if context.target.is_foreign else choose_installer(context, settings, found)
    return WantedInPrefix(
        run=ToolRun(context=context, found=found, cache_dir=cache_dir),
        settings=settings,
        tools=find_tools(context, installer),
        inputs=make_inputs(found, python="", installed=installed, installer=installer),
    )
