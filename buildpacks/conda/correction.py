"""An environment file as the policy wants it: what its author wrote, with the fewest lines changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from buildpacks.conda.anaconda import channel_identity, is_conda_forge
from buildpacks.conda.document import origin_of, parse_document
from buildpacks.conda.edits import CannotEdit, Edit, apply, edit_list, end_of_line, line_end, line_start, new_lines
from buildpacks.conda.foreign import find_foreign, without_build
from buildpacks.conda.rules import CONDA_FORGE, NODEFAULTS, Rules, judge_channel, judge_dependency
from buildpacks.conda.specification import (
    Entry,
    EnvironmentFile,
    InvalidEnvironmentFile,
    Origin,
    parse_environment_file,
)
from lifecycle.cnb.kit import mask_credentials
from lifecycle.cnb.patch import render_patch


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """A file with everything put right for which no decision is needed."""

    file: EnvironmentFile
    """As it is to be; its entries have the places that they have in the original."""
    original: str
    """The text as it is."""
    changes: tuple[str, ...]
    """What was changed, a line for each kind of change; empty when nothing has to be."""
    beside: tuple[str, ...] = ()
    """Those of `changes` that put nothing right that a build complains of."""

    @property
    def text(self) -> str:
        """The corrected text, to be written in UTF-8."""
        return self.file.text

    def diff(self, name: str) -> str:
        """Return the change as a patch for `git apply` and `patch -p1`; ends of lines are those of the file."""
        return render_patch(name, self.original, self.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelPlan:
    """What becomes of the list of channels."""

    changes: tuple[str | None, ...]
    """At the place of each: what stands there then; `None`: nothing."""
    added: tuple[str, ...]
    """What follows."""

    @property
    def channels(self) -> tuple[str, ...]:
        """The list as it is to be."""
        return (*(change for change in self.changes if change is not None), *self.added)


def plan_channels(file: EnvironmentFile, rules: Rules) -> ChannelPlan:
    """Return the list with conda-forge in the place of Anaconda's channels, the channels that lines name, and `nodefaults`."""
    entries = file.channels or ()
    judgements = [judge_channel(entry.text, rules) for entry in entries]
    kept = [entry.text for entry, judgement in zip(entries, judgements, strict=True) if judgement is None]
    lacks_channel = not any(is_conda_forge(text) for text in kept)
    changes: list[str | None] = []
    for entry, judgement in zip(entries, judgements, strict=True):
        if judgement is None or (judgement.kind != "defaults" and judgement.replacement is None):
            changes.append(entry.text)
        elif judgement.kind != "defaults":
            changes.append(judgement.replacement)
        elif lacks_channel:
            changes.append(CONDA_FORGE)
            lacks_channel = False
        else:
            changes.append(None)
    has_channel = any(change is not None and change.casefold() != NODEFAULTS for change in changes)
    added = [] if has_channel else [CONDA_FORGE]
    for channel in _unlisted(file, [*(change for change in changes if change), *added], rules):
        added.append(channel)
    if not any(change is not None and change.casefold() == NODEFAULTS for change in changes):
        if not added and changes[-1] is None:
            # One line changes then, and not two.
            changes[-1] = NODEFAULTS
        else:
            added.append(NODEFAULTS)
    return ChannelPlan(changes=tuple(changes), added=tuple(added))


def _unlisted(file: EnvironmentFile, channels: list[str], rules: Rules) -> list[str]:
    """The channels that specifications name and the list does not have."""
    listed = {channel_identity(channel, alias=rules.alias) for channel in channels}
    found = []
    for entry in file.dependencies:
        judgement = judge_dependency(entry.text, frozenset(listed), rules)
        if judgement is not None and judgement.lists is not None:
            found.append(judgement.lists)
            listed.add(channel_identity(judgement.lists, alias=rules.alias))
    return found


def correct(file: EnvironmentFile, rules: Rules, *, drop_build_strings: bool) -> Correction:
    """Return the file with everything put right that needs no decision; unchanged where its text is written in a way that cannot
    be edited. `drop_build_strings`: also where nothing else says that they are another system's.
    """
    plan = plan_channels(file, rules)
    packages = _plan_packages(file, plan, rules, drop_build_strings=drop_build_strings)
    wanted = replace(
        file,
        encoding="utf-8",
        channels=_as_entries(file, plan),
        dependencies=packages.apply(file.dependencies),
        pip=packages.apply(file.pip),
    )
    try:
        text = apply(file.text, _edit(file, plan, packages))
        understood = parse_environment_file(text.encode(), name=file.name)
    except (CannotEdit, InvalidEnvironmentFile):
        return Correction(file=file, original=file.text, changes=())
    if _meaning(understood) != _meaning(wanted):
        return Correction(file=file, original=file.text, changes=())
    beside = packages.beside
    if file.encoding != "utf-8":
        was = _ENCODING_NAMES.get(file.encoding, file.encoding)
        beside = (*beside, f"saves it as UTF-8; it is {was}")
    changes = (*_describe_channels(file, plan), *packages.descriptions, *beside)
    return Correction(file=replace(wanted, text=text), original=file.text, changes=changes, beside=beside)


_ENCODING_NAMES = {"utf-8-sig": "UTF-8 with a byte order mark", "utf-16-le": "UTF-16", "utf-16-be": "UTF-16"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _PackagePlan:
    """What becomes of the packages. `changes` has those that change, by their place; `None`: the line goes."""

    changes: Mapping[Origin, str | None]
    descriptions: tuple[str, ...]
    beside: tuple[str, ...]

    def apply(self, entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
        changed = ((entry, self.changes.get(entry.origin, entry.text)) for entry in entries)
        return tuple(replace(entry, text=text) for entry, text in changed if text is not None)


def _plan_packages(file: EnvironmentFile, plan: ChannelPlan, rules: Rules, *, drop_build_strings: bool) -> _PackagePlan:
    listed = frozenset(channel_identity(channel, alias=rules.alias) for channel in plan.channels)
    changes: dict[Origin, str | None] = {}
    descriptions = []
    for entry in file.dependencies:
        judgement = judge_dependency(entry.text, listed, rules)
        if judgement is not None and judgement.replacement is not None:
            changes[entry.origin] = judgement.replacement
            descriptions.append(f"writes `{judgement.replacement}` for `{mask_credentials(entry.text)}`")
    foreign = find_foreign(file)
    changes |= dict.fromkeys((entry.origin for entry in foreign.packages), None)
    for system, entries in (("Windows", foreign.windows), ("macOS", foreign.macos)):
        if entries:
            descriptions.append(f"leaves out what only {system} has: {_list(entries)}")
    beside: tuple[str, ...] = ()
    if foreign.build_strings and (drop_build_strings or foreign.packages or uses_defaults(file, rules)):
        dropped = 0
        for entry in foreign.build_strings:
            pinned = without_build(changes.get(entry.origin, entry.text) or "")
            if pinned is not None:
                changes[entry.origin] = pinned
                dropped += 1
        if dropped:
            packages = f"{dropped} package{'' if dropped == 1 else 's'}"
            beside = (f"drops the build strings of {packages}: a build belongs to one system and one channel",)
    return _PackagePlan(changes=changes, descriptions=tuple(descriptions), beside=beside)


def uses_defaults(file: EnvironmentFile, rules: Rules) -> bool:
    """Return whether a channel of Anaconda's is listed."""
    judged = (judge_channel(entry.text, rules) for entry in file.channels or ())
    return any(judgement is not None and judgement.kind == "defaults" for judgement in judged)


def _as_entries(file: EnvironmentFile, plan: ChannelPlan) -> tuple[Entry, ...]:
    old = file.channels or ()
    kept = (replace(entry, text=text) for entry, text in zip(old, plan.changes, strict=True) if text is not None)
    last = old[-1].origin if old else Origin(file=file.name, line=1, column=1)
    return (*kept, *(Entry(text=text, origin=last) for text in plan.added))


def _meaning(file: EnvironmentFile) -> tuple[tuple[str, ...], ...]:
    lists = (file.channels or (), file.dependencies, file.pip)
    return (*(tuple(entry.text for entry in entries) for entries in lists), tuple("=".join(v) for v in file.variables))


def _describe_channels(file: EnvironmentFile, plan: ChannelPlan) -> list[str]:
    old = tuple(entry.text for entry in file.channels or ())
    if plan.channels == old:
        return []
    listed = ", ".join(f"`{mask_credentials(text)}`" for text in plan.channels)
    return [f"makes the channels {listed}"]


def _list(entries: tuple[Entry, ...]) -> str:
    return ", ".join(f"`{entry.text}`" for entry in entries)


def _edit(file: EnvironmentFile, plan: ChannelPlan, packages: _PackagePlan) -> list[Edit]:
    """The edits that make the text say what is planned. Raises `CannotEdit`."""
    text = file.text
    root = parse_document(text, name=file.name).root
    if not isinstance(root, MappingNode):
        raise CannotEdit
    nodes = {key.value: (key, value) for key, value in root.value if isinstance(key, ScalarNode)}
    _, dependencies = nodes.get("dependencies", (None, None))
    edits = _edit_packages(file, dependencies, packages)
    by_place = {entry.origin: change for entry, change in zip(file.channels or (), plan.changes, strict=True)}
    if "channels" not in nodes:
        return [*edits, _new_channels(text, root, dependencies, plan.added)]
    key, channels = nodes["channels"]
    if isinstance(channels, SequenceNode) and (channels.value or channels.flow_style):
        changes = [by_place.get(origin_of(item, file.name), item.value) for item in channels.value]
        return [*edits, *edit_list(text, channels, changes, plan.added)]
    if channels.end_mark.index > channels.start_mark.index:
        # `null` or `~` stands there
        written = f"[{', '.join(plan.added)}]"
        return [*edits, Edit(start=channels.start_mark.index, end=channels.end_mark.index, text=written)]
    end = line_end(text, key.end_mark.index)
    return [*edits, Edit(start=end, end=end, text=end_of_line(text) + _lines_like(text, dependencies, plan.added))]


def _edit_packages(file: EnvironmentFile, node: Node | None, packages: _PackagePlan) -> list[Edit]:
    edits = []
    lists = [node] if isinstance(node, SequenceNode) else []
    for item in lists[0].value if lists else ():
        if isinstance(item, MappingNode):
            lists.extend(value for _, value in item.value if isinstance(value, SequenceNode))
    for one in lists:
        changes = [packages.changes.get(origin_of(item, file.name), item.value) for item in one.value]
        if any(change != item.value for item, change in zip(one.value, changes, strict=True)):
            edits.extend(edit_list(file.text, one, changes, ()))
    return edits


def _new_channels(text: str, root: MappingNode, dependencies: Node | None, channels: tuple[str, ...]) -> Edit:
    """The list of channels where there is none: before the packages, as conda's own exports have it."""
    key = next((key for key, value in root.value if value is dependencies), root.value[0][0])
    if root.flow_style:
        quote = '"' if key.style == '"' else ""
        listed = ", ".join(f"{quote}{channel}{quote}" for channel in channels)
        at = key.start_mark.index
        return Edit(start=at, end=at, text=f"{quote}channels{quote}: [{listed}], ")
    at = line_start(text, key.start_mark.index)
    if text[at : key.start_mark.index].strip():
        raise CannotEdit
    ending = end_of_line(text)
    lines = _lines_like(text, dependencies, channels)
    return Edit(start=at, end=at, text=f"channels:{ending}{lines}{ending}")


def _lines_like(text: str, node: Node | None, values: tuple[str, ...]) -> str:
    return new_lines(text, node if isinstance(node, SequenceNode) else None, values)
