"""Activation, once and for all: what `conda activate` would change becomes the environment of the image.

As conda does it (https://docs.conda.io/projects/conda/en/stable/dev-guide/deep-dives/activation.html): the variables of the
packages (`etc/conda/env_vars.d`), those of the environment (`conda-meta/state`), then the scripts of `etc/conda/activate.d`,
sourced in the order of their names.

What a script does to a variable depends on what it finds in it, and what it will find in the image is not known here. So the
scripts are sourced twice: alone, and with a mark in every variable that they were seen to set. What became of the mark tells
whether they prepend, append, keep or replace.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lifecycle.cnb.kit import BuildContext, BuildpackError

# The PATH of a plain system; whatever the image's is comes after the prefix's.
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MARK = "/pybuild/mark"
# conda's word for a variable of a package that the environment does not want
_UNSET = "***unset***"
# Bash keeps these for itself.
_OF_THE_SHELL = frozenset({"_", "SHLVL", "PWD", "OLDPWD", "PS1", "BASHOPTS", "SHELLOPTS"})
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DELIMITERS = ":; ,"
# What bash says of a program for another architecture.
_NOT_RUN = re.compile(r"^.*(?:cannot execute binary file|Exec format error).*$", re.MULTILINE)
_DRIVER = """
out=$1; shift
for script do
  printf '%s\\0' "$script" >>"$out.begun"
  . "$script"
  printf '%s\\0%s\\0' "$script" "$?" >>"$out.ended"
done
exec /usr/bin/env -0 >"$out"
"""


@dataclass(eq=False, kw_only=True)
class ActivationFailed(BuildpackError):
    """A script ended the shell that sourced it: nothing could be activated."""

    script: str
    """Relative to the prefix."""
    status: int

    @property
    def summary(self) -> str:
        """Which script."""
        return f"activating the environment ended in `{self.script}` with status {self.status}"

    @property
    def hint(self) -> str | None:
        """Who can change it."""
        return "an activation script must not leave the shell: another version of its package may not"


@dataclass(eq=False, kw_only=True)
class ForeignActivation(BuildpackError):
    """A script calls a program of the environment, which is for another architecture."""

    said: str
    platform: str

    @property
    def summary(self) -> str:
        """Which script, and for what the image is."""
        return (
            f"activating the environment needs a program that this machine cannot run: the image is for {self.platform}"
        )

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """What bash said."""
        return (("bash says", self.said),)

    @property
    def hint(self) -> str | None:
        """How to do without it."""
        return f"do without the package that brings the script, or build the image on a {self.platform} machine"


@dataclass(frozen=True, slots=True, kw_only=True)
class Activation:
    """What an activated environment has."""

    env: Mapping[str, str]
    """Files of a layer's `env` directory by name: `PATH.prepend`, `PATH.delim`, `GDAL_DATA.override`."""
    notices: tuple[str, ...]


def activate(context: BuildContext, prefix: Path) -> Activation:
    """Return what `conda activate` does with the prefix, in which everything is installed. Raises `ActivationFailed` and
    `ForeignActivation`.
    """
    variables, notices = _read_variables(prefix)
    own = {"CONDA_PREFIX": str(prefix), "CONDA_DEFAULT_ENV": prefix.name, "CONDA_SHLVL": "1", **variables}
    start = {
        "HOME": context.env.get("HOME", "/"),
        "LC_ALL": "C.UTF-8",
        "PATH": f"{prefix / 'bin'}:{_SYSTEM_PATH}",
        # What Python would write differs from build to build.
        "PYTHONDONTWRITEBYTECODE": "1",
        **own,
    }
    scripts = sorted((prefix / "etc" / "conda" / "activate.d").glob("*.sh"))
    if not scripts:
        return Activation(env=_render(own, {}, path=f"{prefix / 'bin'}:{_SYSTEM_PATH}"), notices=tuple(notices))
    context.say(f"Activating: {', '.join(script.name for script in scripts)}")
    ended = _source(context, prefix, scripts, start)
    notices += [
        f"`{name}` of the activation ended with status {status}; activation goes on, as it does with conda"
        for name, status in ended.statuses
        if status != 0
    ]
    values = {**{name: value for name, value in own.items() if name in ended.env}, **_changes(start, ended.env)}
    for name in _in_home(values, start["HOME"], prefix):
        notices.append(f"the variable `{name}` of the activation is left out: it names the home directory of the build")
        del values[name]
    fresh = {name: _MARK for name in values if name not in start}
    marked = _source_marked(context, prefix, scripts, {**start, **fresh}) if fresh else {}
    env = _render(values, {name: marked.get(name, "") for name in fresh}, path=ended.env.get("PATH", ""))
    return Activation(env=env, notices=tuple(notices))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sourced:
    env: Mapping[str, str]
    statuses: tuple[tuple[str, int], ...]


def _read_variables(prefix: Path) -> tuple[dict[str, str], list[str]]:
    """The variables of packages and environment, and what could not be read."""
    found: dict[str, object] = {}
    notices = []
    for file in sorted((prefix / "etc" / "conda" / "env_vars.d").glob("*.json")):
        try:
            found |= json.loads(file.read_bytes())
        except (OSError, ValueError, TypeError) as err:
            notices.append(f"the variables in `{file.relative_to(prefix)}` are left out: {err}")
    state = prefix / "conda-meta" / "state"
    if state.is_file():
        found |= json.loads(state.read_bytes())["env_vars"]
    variables = {}
    for name, value in found.items():
        if not isinstance(value, str) or "\0" in value or not _NAME.fullmatch(name) or name == "PATH":
            notices.append(f"the variable `{name}` of the environment is left out: it would not do any good")
        elif value != _UNSET:
            variables[name] = value
    return variables, notices


def _source(
    context: BuildContext, prefix: Path, scripts: list[Path], env: Mapping[str, str], *, quiet: bool = False
) -> _Sourced:
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory, "env")
        argv = ["bash", "--noprofile", "--norc", "-c", _DRIVER, "bash", str(out), *map(str, scripts)]
        done = context.run(argv, env=env, cwd=prefix, echo=False, quiet=quiet)
        refused = _NOT_RUN.search(done.output)
        if refused is not None and context.target.is_foreign:
            raise ForeignActivation(said=refused[0].replace(f"{prefix}/", ""), platform=context.target.platform)
        begun, ended = _words(Path(f"{out}.begun")), _words(Path(f"{out}.ended"))
        if done.status != 0 or not out.is_file():
            last = Path(begun[-1]).relative_to(prefix) if begun else "bash"
            raise ActivationFailed(script=str(last), status=done.status)
        found = dict(word.split("=", 1) for word in _words(out))
    statuses = [(Path(name).name, int(status)) for name, status in zip(ended[::2], ended[1::2], strict=True)]
    return _Sourced(env=found, statuses=tuple(statuses))


def _source_marked(
    context: BuildContext, prefix: Path, scripts: list[Path], env: Mapping[str, str]
) -> Mapping[str, str]:
    try:
        return _source(context, prefix, scripts, env, quiet=True).env
    except ActivationFailed:  # a script that cannot live with a mark replaces what it finds
        return {}


def _words(file: Path) -> list[str]:
    return file.read_bytes().decode("utf-8", "surrogateescape").split("\0")[:-1] if file.is_file() else []


def _changes(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in after.items()
        if before.get(name) != value
        and name not in _OF_THE_SHELL
        and name != "PATH"
        and not name.startswith("BASH_FUNC_")
    }


def _in_home(values: Mapping[str, str], home: str, prefix: Path) -> list[str]:
    """The variables that a script made of HOME, which is another one in the image."""
    return [name for name, value in values.items() if len(home) > 1 and home in value.replace(str(prefix), "")]


def _render(values: Mapping[str, str], marked: Mapping[str, str], *, path: str) -> dict[str, str]:
    """The files that give `values`; `marked` has what became of the mark in some of them."""
    files = _extend("PATH", path, _SYSTEM_PATH) or {"PATH.override": path}
    for name, value in sorted(values.items()):
        after = marked.get(name, "")
        if after == _MARK:
            files |= {f"{name}.default": value}
        else:
            files |= _extend(name, after, _MARK) or {f"{name}.override": value}
    return files


def _extend(name: str, value: str, old: str) -> dict[str, str]:
    """The files that make `value` out of `old` by adding before and after it; none where that cannot be done."""
    before, found, after = value.partition(old)
    if not found or not (before or after):
        return {}
    delimiter = before[-1:] or after[:1]
    if delimiter not in _DELIMITERS or (before and after and before[-1] != after[0]):
        return {}
    files = {f"{name}.delim": delimiter}
    if before:
        files[f"{name}.prepend"] = before[:-1]
    if after:
        files[f"{name}.append"] = after[1:]
    return files
