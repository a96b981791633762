"""What can go wrong on the way from `pyproject.toml` to the packages, for the person who can put it right.

kit.BuildpackError
  StaleLock        poetry.lock was made for another pyproject.toml
  UnusableLock     poetry.lock cannot be read, or not by the Poetry of this build
  PoetryFailed     Poetry gave up; `explanation` found out why, where it could

`buildpacks.poetry.errors` has what is wrong with `pyproject.toml` itself, `buildpacks.installer.errors` what is wrong with
packages and their installation.
"""

from __future__ import annotations

from dataclasses import dataclass

from buildpacks.poetry.errors import PYPROJECT
from buildpacks.poetry.project import LOCK
from buildpacks.poetry.settings import RELOCK_VARIABLE
from lifecycle.cnb.kit import BuildpackError


@dataclass(eq=False, kw_only=True)
class StaleLock(BuildpackError):
    """poetry.lock does not belong to pyproject.toml as it is now."""

    version: str
    """Of Poetry."""

    @property
    def summary(self) -> str:
        """That the two files do not belong together."""
        return f"{LOCK}: `{PYPROJECT}` has changed since this lock was made"

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """Who says so."""
        return (("checked by", f"`poetry check --lock` of Poetry {self.version}"),)

    @property
    def hint(self) -> str:
        """The command that mends it."""
        # Poetry 2 keeps the versions of a lock by itself, and no longer knows the option.
        command = "poetry lock --no-update" if self.version.startswith("1.") else "poetry lock"
        return (
            f"run `{command}` and commit `{LOCK}`, which keeps the versions that still fit;"
            f" or build with `--env {RELOCK_VARIABLE}=1`"
        )


@dataclass(eq=False, kw_only=True)
class UnusableLock(BuildpackError):
    """poetry.lock is not what Poetry can install from."""

    message: str
    line: int | None = None
    details: tuple[tuple[str, str], ...] = ()
    change: str

    @property
    def summary(self) -> str:
        """`poetry.lock:line: message`."""
        return f"{LOCK}{'' if self.line is None else f':{self.line}'}: {self.message}"

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """What was compared."""
        return self.details

    @property
    def hint(self) -> str:
        """What to do about the lock."""
        return self.change


@dataclass(eq=False, kw_only=True)
class PoetryFailed(BuildpackError):
    """A command of Poetry failed. Its own text was shown before."""

    problem: str
    """One line; starts with a place in `pyproject.toml` or `poetry.lock` where one is known."""
    details: tuple[tuple[str, str], ...] = ()
    change: str | None = None

    @property
    def summary(self) -> str:
        """What Poetry could not do."""
        return self.problem

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """What was found out about the cause."""
        return self.details

    @property
    def hint(self) -> str | None:
        """What to change."""
        return self.change
