"""What the policy says of one line: of a channel, and of the channel that a specification names.

How specifications name channels, `channel::name` and `name[channel=…]`:
https://docs.conda.io/projects/conda-build/en/stable/resources/package-spec.html#package-match-specifications
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from buildpacks.conda.anaconda import channel_identity, forbidden_url
from buildpacks.conda.errors import ProblemKind
from buildpacks.conda.settings import DEFAULT_CHANNEL_ALIAS, Mirror
from lifecycle.cnb.kit import mask_credentials

NODEFAULTS = "nodefaults"
CONDA_FORGE = "conda-forge"
# A channel of anaconda.org or its like, perhaps one label of it.
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*(?:/[a-z0-9._-]+)*(?:\[[a-z0-9_,-]+\])?/?", re.IGNORECASE)
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+):", re.IGNORECASE)
_LOCAL = re.compile(r"~|\.{1,2}(?:[/\\]|$)|[/\\]|[a-z]:[/\\]|file:", re.IGNORECASE)
# `host.example/channel`: a name with a dot before its first slash is hardly one
_LIKE_URL = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)+(?::\d+)?/.+", re.IGNORECASE)
_BRACKETS = re.compile(r"\[(?P<inner>[^\]]*)\]")
_BRACKET_KEY = re.compile(r"\s*(?P<key>\w+)\s*=\s*(?P<value>\"[^\"]*\"|'[^']*'|[^,]*)\s*(?:,|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the operator's settings mean for the policy."""

    alias: str = DEFAULT_CHANNEL_ALIAS
    trusted: tuple[str, ...] = ()
    """URLs below which the operator has said where packages come from: http and files are allowed there."""

    @classmethod
    def of(cls, alias: str, mirrors: tuple[Mirror, ...]) -> Rules:
        """Return the rules under a channel alias and mirrors."""
        mirrored = (url for mirror in mirrors for url in (mirror.source, *mirror.targets))
        return cls(alias=alias, trusted=(alias, *mirrored))

    def is_trusted(self, channel: str) -> bool:
        """Return whether the operator named this URL, or one above it."""
        return any(channel == url or channel.startswith(f"{url}/") for url in self.trusted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What is wrong with a line, and what puts it right."""

    kind: ProblemKind
    message: str
    change: str
    replacement: str | None = None
    """What to write instead; `None`: the line goes, or a person has to decide."""
    lists: str | None = None
    """A channel that has to be added to the list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelledSpec:
    """A specification that names its channel; `package` is the specification without it."""

    channel: str
    package: str


def judge_channel(text: str, rules: Rules) -> Judgement | None:
    """Return what is wrong with a line of `channels`, or `None`. `replacement` of a `defaults` is the list's to choose."""
    if text.casefold() == NODEFAULTS:
        return None
    shown = f"`{mask_credentials(text)}`"
    owner = forbidden_url(text, alias=rules.alias)
    if owner is not None:
        return Judgement(kind="defaults", message=f"{shown} leads to {owner}", change="")
    return _judge_safety(text, rules) or _judge_spelling(text)


def judge_dependency(text: str, listed: frozenset[str], rules: Rules) -> Judgement | None:
    """Return what is wrong with the channel that a specification names, or `None`. `listed` are identities of channels."""
    spec = split_channel(text)
    if spec is None:
        return None
    shown = f"`{mask_credentials(text)}`"
    owner = forbidden_url(spec.channel, alias=rules.alias)
    if owner is not None:
        return Judgement(
            kind="defaults",
            message=f"{shown} takes the package from {owner}",
            change=f"write `{spec.package}`, which is taken from the listed channels",
            replacement=spec.package,
        )
    unsafe = _judge_safety(spec.channel, rules)
    if unsafe is not None:
        return Judgement(kind=unsafe.kind, message=unsafe.message, change=unsafe.change)
    if channel_identity(spec.channel, alias=rules.alias) in listed:
        return None
    name = mask_credentials(spec.channel)
    return Judgement(
        kind="unlisted-channel",
        message=f"{shown} takes the package from `{name}`, which `channels` does not list",
        change=f"add `{name}` to `channels`, or write `{spec.package}`",
        lists=spec.channel,
    )


def split_channel(text: str) -> ChannelledSpec | None:
    """Return the channel that a specification names and the specification without it; `None` when it names none."""
    head, bracket, inner = text.partition("[")
    channel, colons, package = head.rpartition("::")
    if colons:
        return ChannelledSpec(channel=channel.strip(), package=f"{package.strip()}{bracket}{inner}")
    found = _BRACKETS.search(text)
    if found is None:
        return None
    keys = list(_BRACKET_KEY.finditer(found["inner"]))
    for key in keys:
        if key["key"].lower() in ("channel", "url"):
            kept = ",".join(other[0].strip().rstrip(",") for other in keys if other is not key)
            rest = f"{text[: found.start()]}{f'[{kept}]' if kept else ''}{text[found.end() :]}"
            return ChannelledSpec(channel=key["value"].strip("\"' "), package=rest.strip())
    return None


def _judge_safety(channel: str, rules: Rules) -> Judgement | None:
    """What is wrong with the way to a channel."""
    if rules.is_trusted(channel):
        return None
    shown = f"`{mask_credentials(channel)}`"
    if _LOCAL.match(channel):
        return Judgement(
            kind="local-channel",
            message=f"{shown} is a directory of one computer, which a build does not see",
            change="name a channel that has a URL; an operator can offer a directory as one with `BP_CONDA_MIRRORS`",
        )
    scheme = _SCHEME.match(channel)
    if scheme is None or scheme[1].lower() == "https":
        return None
    if scheme[1].lower() == "http":
        safe = f"https{channel[len(scheme[1]) :]}"
        return Judgement(
            kind="insecure-channel",
            message=f"{shown} is fetched without encryption: anybody on the way could change the packages",
            change=f"write `{mask_credentials(safe)}`; an operator can allow it with `BP_CONDA_MIRRORS`",
            replacement=safe,
        )
    return Judgement(
        kind="channel", message=f"{shown} is no URL that channels have", change="name a channel, or its `https://` URL"
    )


def _judge_spelling(channel: str) -> Judgement | None:
    """What is wrong with a channel that cannot be one."""
    shown = f"`{mask_credentials(channel)}`"
    if channel.startswith("-"):
        return Judgement(
            kind="channel",
            message=f"{shown} is an option of a command, not a channel",
            change="write the channel's name alone",
        )
    if _SCHEME.match(channel):
        if re.search(r"\s", channel):
            return Judgement(kind="channel", message=f"{shown} has a space in it", change="write one channel on a line")
        return None
    if _LIKE_URL.fullmatch(channel):
        return Judgement(
            kind="channel",
            message=f"{shown} is read as a name, and looks like a URL",
            change=f"write `https://{mask_credentials(channel)}`",
            replacement=f"https://{channel}",
        )
    if not _NAME.fullmatch(channel):
        several = re.search(r"[\s,;]", channel)
        return Judgement(
            kind="channel",
            message=f"{shown} cannot be the name of a channel",
            change="write one channel on a line" if several else "name a channel, such as `conda-forge`, or its URL",
        )
    return None
