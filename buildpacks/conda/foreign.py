"""What a file that was exported on Windows or macOS names and Linux does not have.

The names are packages of conda-forge and of Anaconda whose recipes are built for one system alone, and those that exports of
that system hold (https://conda-forge.org/docs/maintainer/knowledge_base/, "Particularities on Windows", "… on macOS").
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from buildpacks.conda.dependency import package_name
from buildpacks.conda.specification import Entry, EnvironmentFile

# The C runtime, its compilers' names, MSYS2, access to the system and its consoles
_WINDOWS = re.compile(
    r"vc|vc14_runtime|vcomp14|ucrt|vs20\d\d_(?:runtime|win-(?:32|64|arm64))|vs_win20\d\d_win-64|vswhere"
    r"|msys2-[\w-]+|m2w64-[\w.+-]+|m2-[\w.+-]+|libwinpthread"
    r"|pywin32|pypiwin32|pywinpty|winpty|win_inet_pton|win32_setctime|win_unicode_console|wincertstore"
    r"|winkerberos|winloop|windows-curses|pyreadline3?|pywinauto|comtypes|wmi|console_shortcut(?:_miniconda)?|powershell_shortcut"
    r"|__win"
)
_MACOS = re.compile(
    r"applaunchservices|python\.app|libcxx|libcxxabi|pyobjc(?:-[\w.-]+)?|tapi|sigtool|ld64(?:_osx-\w+)?|cctools(?:_osx-\w+)?"
    r"|clang(?:xx)?(?:_impl)?_osx-\w+|gfortran(?:_impl)?_osx-\w+|libgfortran-devel_osx-\w+|compiler-rt_osx-\w+"
    r"|mlx-metal|tensorflow-(?:metal|macos)|__osx"
)
# Installs everywhere, and does something on macOS alone: only a sign together with others.
_MACOS_COMPANIONS = frozenset({"appnope"})
# Of PyPI's, those alone without which nothing works on Linux: the others install and do nothing.
_WINDOWS_PIP = re.compile(r"pywin32|pypiwin32|pywinpty|windows-curses|winloop")
_MACOS_PIP = re.compile(r"pyobjc(?:-[\w-]+)?|tensorflow-(?:metal|macos)|mlx-metal")
# `name=1.2=build` and `name 1.2 build`, all of it exact; `name=*=*cuda*` is somebody's choice
_EXACT = re.compile(
    r"(?P<pin>[^\s=<>!~\[\]*]+(?:\s*={1,2}\s*|\s+)[0-9][\w.!+]*)(?:\s*=\s*|\s+)(?P<build>[\w.]+)\s*", re.ASCII
)
# What conda-build makes of a recipe without a build string of its own: the hash of its inputs, or the Python.
_MADE_BUILD = re.compile(r"(?:.*h[0-9a-f]{7,}_\d+|py\d+_\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignPackages:
    """Entries that Linux has nothing for, each in the order of the file."""

    windows: tuple[Entry, ...]
    macos: tuple[Entry, ...]
    build_strings: tuple[Entry, ...]
    """Exact `name=version=build` of an export: a build belongs to one system, and to one channel."""

    @property
    def packages(self) -> tuple[Entry, ...]:
        """Those that only another system has."""
        return (*self.windows, *self.macos)


def find_foreign(file: EnvironmentFile) -> ForeignPackages:
    """Return what in the file belongs to another system, of conda's packages and of the `pip:` section."""
    builds = tuple(entry for entry in file.dependencies if without_build(entry.text) is not None)
    is_export = any(is_exported(entry.text) for entry in builds)
    macos = _matching(file, _MACOS, _MACOS_PIP)
    if macos:
        companions = tuple(entry for entry in file.dependencies if _name(entry) in _MACOS_COMPANIONS)
        macos = tuple(sorted((*macos, *companions), key=lambda entry: entry.origin.line))
    return ForeignPackages(
        windows=_matching(file, _WINDOWS, _WINDOWS_PIP),
        macos=macos,
        build_strings=builds if is_export else (),
    )


def without_build(spec: str) -> str | None:
    """Return an exact specification without its build string; `None` when it has none."""
    found = _EXACT.fullmatch(spec)
    return found["pin"] if found else None


def is_exported(spec: str) -> bool:
    """Return whether a specification names a build that no person chose: one line of an export, which is one altogether."""
    found = _EXACT.fullmatch(spec)
    return found is not None and _MADE_BUILD.fullmatch(found["build"]) is not None


def _matching(file: EnvironmentFile, conda: re.Pattern[str], pip: re.Pattern[str]) -> tuple[Entry, ...]:
    # A line with a marker says itself where it is for.
    requirements = (entry for entry in file.pip if ";" not in entry.text and " #" not in entry.text)
    return (
        *(entry for entry in file.dependencies if conda.fullmatch(_name(entry))),
        *(entry for entry in requirements if pip.fullmatch(_name(entry).replace("_", "-"))),
    )


def _name(entry: Entry) -> str:
    return package_name(entry.text) or ""
