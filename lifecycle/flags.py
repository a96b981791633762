"""Command lines of the phases: Go's flag syntax, and environment variables for what no flag gives
(platform.md, "Operations"; https://pkg.go.dev/flag#hdr-Command_line_flag_syntax).

`-name value`, `-name=value` and `--name` are the same; the first argument that is no flag ends the flags. `argparse` would
accept abbreviations, and read `-run` as a part of `-run-image`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lifecycle.errors import UsageError

# strconv.ParseBool of Go; anything else is false.
_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """A flag, the variable that stands in for it, and what holds when neither is given. A switch takes no separate value.

    Of a list, the flag may be repeated, and commas separate the values in its variable.
    """

    name: str
    variable: str
    default: str
    is_switch: bool = False
    is_list: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """Every flag's value by its name, and the arguments after the flags."""

    values: Mapping[str, str]
    arguments: tuple[str, ...]
    lists: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """Return a value as it was given."""
        return self.values[name]

    def optional(self, name: str) -> str | None:
        """Return a value; `None` where there is none."""
        return self.values[name] or None

    def all(self, name: str) -> tuple[str, ...]:
        """Return the values of a list."""
        return self.lists[name]

    def path(self, name: str) -> Path:
        """Return a value as an absolute path."""
        return Path(self.values[name]).absolute()

    def optional_path(self, name: str) -> Path | None:
        """Return a value as an absolute path; `None` where there is none."""
        return self.path(name) if self.values[name] else None

    def is_on(self, name: str) -> bool:
        """Return whether a switch is on."""
        return self.values[name] in _TRUE


def parse_flags(program: str, flags: Sequence[Flag], argv: Sequence[str], env: Mapping[str, str]) -> Inputs:
    """Return what `argv` (without the program) and `env` say: a flag wins over its variable, that over the default.

    `<layers>` at the start of a default stands for the layers directory that was asked for. Raises `UsageError`.
    """
    given, arguments = _split(program, flags, argv)
    values = {}
    for flag in flags:
        last = given[flag.name][-1] if flag.name in given else ""
        values[flag.name] = last or env.get(flag.variable) or flag.default
    layers = values.get("layers", "")
    values = {name: value.replace("<layers>", layers, 1) for name, value in values.items()}
    lists = {flag.name: _list(given.get(flag.name), env.get(flag.variable, "")) for flag in flags if flag.is_list}
    return Inputs(values=values, arguments=arguments, lists=lists)


def _list(given: Sequence[str] | None, variable: str) -> tuple[str, ...]:
    found = variable.split(",") if given is None else given
    return tuple(value.strip() for value in found if value.strip())


def _split(program: str, flags: Sequence[Flag], argv: Sequence[str]) -> tuple[Mapping[str, list[str]], tuple[str, ...]]:
    known = {flag.name: flag for flag in flags}
    given: dict[str, list[str]] = {}
    rest = list(argv)
    while rest and rest[0].startswith("-") and rest[0] != "-":
        text = rest.pop(0)
        if text == "--":
            break
        name, equals, value = text.removeprefix("-").removeprefix("-").partition("=")
        flag = known.get(name)
        if flag is None:
            raise _usage_error(program, flags, f"flag provided but not defined: `-{name}`")
        if equals:
            given.setdefault(name, []).append(value)
        elif flag.is_switch:
            given.setdefault(name, []).append("true")
        elif rest:
            given.setdefault(name, []).append(rest.pop(0))
        else:
            raise _usage_error(program, flags, f"flag needs an argument: `-{name}`")
    return given, tuple(rest)


def _usage_error(program: str, flags: Sequence[Flag], message: str) -> UsageError:
    lines = [f"usage of {program}:"]
    for flag in sorted(flags, key=lambda flag: flag.name):
        value = "" if flag.is_switch else " VALUE"
        default = f" (default {flag.default})" if flag.default else ""
        variable = f"   ${flag.variable}" if flag.variable else ""
        lines.append(f"  -{flag.name}{value}{variable}{default}")
    return UsageError(message=message, usage="\n".join(lines))
