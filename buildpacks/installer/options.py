"""The options of a requirement file's lines, parsed as pip parses them.

https://pip.pypa.io/en/stable/reference/requirements-file-format/#supported-options, as of pip 26.3. pip uses optparse, and so
does this: abbreviations, `-rfile` and `--option=value` are read alike.
"""

from __future__ import annotations

import optparse  # what pip uses for the same lines; argparse reads abbreviations and values differently
import shlex
from dataclasses import dataclass
from typing import NoReturn

# Options that uv cannot be given, neither in a file nor on its command line: they need pip itself.
PIP_ONLY = ("--prefer-binary", "--use-feature", "--all-releases", "--only-final", "--no-require-hashes")
# Once known to pip, and still found in files.
_REMOVED = frozenset(
    {
        "--global-option",
        "--install-option",
        "--process-dependency-links",
        "--allow-all-external",
        "--allow-external",
        "--allow-unverified",
        "--use-wheel",
        "--no-use-wheel",
        "--always-unzip",
        "--use-mirrors",
        "--build-option",
    }
)


class InvalidOption(ValueError):
    """The options of a line cannot be read."""

    def __init__(self, message: str, change: str) -> None:
        super().__init__(message)
        self.message = message
        self.change = change


@dataclass(frozen=True, slots=True, kw_only=True)
class LineOptions:
    """What stands on one line. `requirement` is the text before the options; at most one of the files is set."""

    requirement: str
    editable: str | None = None
    requirement_file: str | None = None
    constraint_file: str | None = None
    index_url: str | None = None
    extra_index_urls: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    no_index: bool = False
    trusted_hosts: tuple[str, ...] = ()
    no_binary: tuple[str, ...] = ()
    only_binary: tuple[str, ...] = ()
    pre: bool = False
    require_hashes: bool = False
    hashes: tuple[str, ...] = ()
    """`algorithm:hex`."""
    config_settings: tuple[str, ...] = ()
    """`KEY=VALUE`."""
    pip_only: tuple[str, ...] = ()
    """Options that uv does not have, with their values."""
    ignored: tuple[str, ...] = ()
    """What pip reads and takes no notice of."""


class _Parser(optparse.OptionParser):
    def error(self, msg: str) -> NoReturn:
        raise InvalidOption(msg, "pip's options for requirement files are " + ", ".join(_names(self)))

    def exit(self, status: int = 0, msg: str | None = None) -> NoReturn:
        raise InvalidOption(msg or f"status {status}", "remove the option")


def parse_line(text: str) -> LineOptions:
    """Return what a logical line holds. Raises `InvalidOption`."""
    words = text.split(" ")
    first = next((index for index, word in enumerate(words) if word.startswith("-")), len(words))
    requirement = " ".join(words[:first]).strip()
    if first == len(words):
        return LineOptions(requirement=requirement)
    for word in words[first:]:
        name = word.partition("=")[0]
        if name in _REMOVED:
            raise InvalidOption(f"`{name}` is no longer an option of pip", f"remove `{name}` and its value")
    try:
        arguments = shlex.split(" ".join(words[first:]))
    except ValueError as err:
        raise InvalidOption("a quotation mark is not closed", "close it, or remove it") from err
    values, rest = _parser().parse_args(arguments)
    return _line_options(requirement, values, tuple(rest))


def _line_options(requirement: str, values: optparse.Values, rest: tuple[str, ...]) -> LineOptions:
    editable = None if requirement or not values.editable else values.editable[0]
    stands_alone = not requirement and editable is None
    files = (values.requirement, values.constraint)
    if not stands_alone:
        # pip's documentation: on the line of a requirement only its own options have an effect.
        given = [name for name, is_set in _given(values) if is_set]
        return LineOptions(
            requirement=requirement,
            editable=editable,
            hashes=tuple(values.hash),
            config_settings=tuple(values.config_settings),
            ignored=(*given, *rest),
        )
    pip_only = (("--prefer-binary",) if values.prefer_binary else ()) + tuple(
        f"{option} {value}"
        for option, found in (
            ("--use-feature", values.use_feature),
            ("--all-releases", values.all_releases),
            ("--only-final", values.only_final),
        )
        for value in found
    )
    return LineOptions(
        requirement="",
        requirement_file=files[0][0] if files[0] else None,
        constraint_file=files[1][0] if files[1] and not files[0] else None,
        index_url=values.index_url,
        extra_index_urls=tuple(values.extra_index_url),
        # pip takes only the first of a line
        find_links=tuple(values.find_links[:1]),
        no_index=values.no_index,
        trusted_hosts=tuple(values.trusted_host),
        no_binary=tuple(values.no_binary),
        only_binary=tuple(values.only_binary),
        pre=values.pre,
        require_hashes=values.require_hashes,
        pip_only=pip_only + (("--no-require-hashes",) if values.no_require_hashes else ()),
        ignored=(*(f"--hash={value}" for value in values.hash), *rest),
    )


def _given(values: optparse.Values) -> tuple[tuple[str, bool], ...]:
    return (
        ("--requirement", bool(values.requirement)),
        ("--constraint", bool(values.constraint)),
        ("--index-url", values.index_url is not None),
        ("--extra-index-url", bool(values.extra_index_url)),
        ("--find-links", bool(values.find_links)),
        ("--no-index", values.no_index),
        ("--no-binary", bool(values.no_binary)),
        ("--only-binary", bool(values.only_binary)),
        ("--pre", values.pre),
        ("--trusted-host", bool(values.trusted_host)),
    )


def _parser() -> _Parser:
    parser = _Parser(add_help_option=False)
    parser.add_option("-i", "--index-url", "--pypi-url", dest="index_url")
    for names in (
        ("-r", "--requirement"),
        ("-c", "--constraint"),
        ("-e", "--editable"),
        ("-f", "--find-links"),
        ("--extra-index-url",),
        ("--trusted-host",),
        ("--no-binary",),
        ("--only-binary",),
        ("--use-feature",),
        ("--all-releases",),
        ("--only-final",),
        ("--hash",),
        ("-C", "--config-settings", "--config-setting"),
    ):
        parser.add_option(*names, action="append", default=[], dest=_destination(names))
    for name in ("--no-index", "--prefer-binary", "--require-hashes", "--no-require-hashes", "--pre"):
        parser.add_option(name, action="store_true", default=False, dest=name[2:].replace("-", "_"))
    return parser


def _destination(names: tuple[str, ...]) -> str:
    return next(name for name in names if name.startswith("--"))[2:].replace("-", "_")


def _names(parser: optparse.OptionParser) -> list[str]:
    return sorted(str(option.get_opt_string()) for option in parser.option_list)
