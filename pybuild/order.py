"""The order of one build: the builder's, or what the person who builds or project.toml names in its place.

Buildpacks may come from elsewhere than from the builder. Those that project.toml brings are code of the repository in a place where
else only the operator's code is, so they need leave; those that the person who builds names need none.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from lifecycle.cnb.buildpack import Descriptor
from lifecycle.cnb.identifier import BuildpackId
from lifecycle.cnb.order import GroupMember, Order, System
from pybuild.builder.buildpack_source import (
    LOCAL_IMAGE_PREFIXES,
    REMOTE_PREFIXES,
    SOURCE_PREFIXES,
    BuildpackFinder,
    FoundBuildpacks,
    refuse_links_out,
)
from pybuild.errors import SettingsError, UsageError
from pybuild.log import Log
from pybuild.project.descriptor import Project, ProjectBuildpack
from pybuild.project.inline import write_inline
from pybuild.source.tree import copy_tree

FROM_BUILDER = "from=builder"
_BUILDER_PREFIXES = (f"{FROM_BUILDER}:", "urn:cnb:builder:")
_ARCHIVE_ENDINGS = (".tgz", ".tar.gz", ".tar", ".zip", ".cnb")
_HINT = "name a buildpack of the builder, the path of one (./NAME), an archive or .cnb file of one, or docker://NAME"
Group = tuple[GroupMember, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenOrder:
    """The order of a build, and the buildpacks in it that are not the builder's."""

    order: Order
    brought: tuple[Descriptor, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderChoice:
    """What an order is chosen from."""

    order: Order
    """The builder's."""
    buildpacks: tuple[Descriptor, ...]
    """The builder's."""
    finder: BuildpackFinder
    scratch: Path
    """For buildpacks that project.toml has inside itself or beside it; nobody else writes there."""
    cwd: Path = field(default_factory=Path.cwd)
    """Where relative paths of the command line start."""
    trusts_project: bool = False

    def choose(self, names: Sequence[str], project: Project, log: Log) -> ChosenOrder:
        """The order that `names` of the command line make, else what project.toml says, else the builder's.

        Each name is appended to every group so far; `from=builder` stands for the builder's order. What that puts before one of its
        buildpacks comes with it: pip without an interpreter could not do its work. Its image extensions are tried in any case.

        Raises:
            SettingsError: a name that stands for nothing, or a buildpack of project.toml that is not allowed.
            lifecycle.cnb.errors.CnbError: a buildpack cannot be had.
        """
        chosen = self._choose(names, project, log)
        return replace(chosen, order=replace(chosen.order, extensions=self.order.extensions))

    def _choose(self, names: Sequence[str], project: Project, log: Log) -> ChosenOrder:
        if names:
            if project.group or project.before or project.after:
                log.info(f"`--buildpack` takes the place of the buildpacks that {project.source} names")
            return _combine(self._named(name) for name in names)
        if project.group:
            return _combine(self._of_project(one, project, with_those_before=True) for one in project.group)
        return self._surrounded(project)

    def _surrounded(self, project: Project) -> ChosenOrder:
        before, after = (
            [self._of_project(one, project, with_those_before=False) for one in some]
            for some in (project.before, project.after)
        )
        around = System(
            before=tuple(one.order.groups[0][0] for one in before), after=tuple(one.order.groups[0][0] for one in after)
        )
        brought = tuple(found for one in (*before, *after) for found in one.brought)
        return ChosenOrder(order=around.surround(self.order), brought=brought)

    def _named(self, name: str) -> ChosenOrder:
        if name == FROM_BUILDER:
            return ChosenOrder(order=self.order)
        for prefix in _BUILDER_PREFIXES:
            if name.startswith(prefix):
                return self._of_builder(name.removeprefix(prefix))
        if name.startswith(SOURCE_PREFIXES):
            return _bring(self.finder.find(name, relative_to=self.cwd))
        if self._find(name) is not None:
            return self._of_builder(name)
        is_path = name.startswith((".", "/", "~")) or name.endswith(_ARCHIVE_ENDINGS)
        if is_path or (self.cwd / name).exists():
            return _bring(self.finder.find(name, relative_to=self.cwd))
        return self._of_builder(name)

    def _of_project(self, named: ProjectBuildpack, project: Project, *, with_those_before: bool) -> ChosenOrder:
        if named.script is None and named.uri is None:
            try:
                chosen = self._of_builder(f"{named.id}@{named.version}" if named.version else str(named.id))
            except SettingsError as err:
                raise SettingsError(f"{named.place}: {err.summary}", err.hint) from err
            if not with_those_before:
                chosen = ChosenOrder(order=Order(groups=(chosen.order.groups[0][-1:],)))
        elif not self.trusts_project:
            what = "a script" if named.script is not None else f"`{named.uri}`"
            raise SettingsError(
                f"{named.place}: brings a buildpack of its own, {what}, and this build uses the builder's only",
                "where you trust the repository, build with `--trust-project`; the operator of the builder allows it for all "
                "with `trust-project = true` in `[pybuild]` of builder.toml",
            )
        elif named.script is not None:
            directory = self.scratch / f"inline-{len(list(self.scratch.glob('inline-*')))}"
            chosen = _bring(
                FoundBuildpacks(origin=named.place, buildpacks=(write_inline(named, named.script, directory),))
            )
        else:
            chosen = _bring(self._find_beside(named, project))
        (*others, last) = chosen.order.groups[0]
        return replace(chosen, order=Order(groups=((*others, replace(last, exec_env=named.exec_env)),)))

    def _find_beside(self, named: ProjectBuildpack, project: Project) -> FoundBuildpacks:
        """A buildpack that project.toml names by `uri`. Only the person who builds may name one outside of the repository."""
        uri, directory = str(named.uri), project.directory or self.cwd
        if project.is_given or uri.startswith(REMOTE_PREFIXES):
            return self.finder.find(uri, relative_to=directory)
        path = (directory / uri.removeprefix("file://")).resolve()
        if uri.startswith(LOCAL_IMAGE_PREFIXES) or not path.is_relative_to(directory.resolve()):
            raise SettingsError(
                f"{named.place}: `{uri}` leads out of the repository",
                "give a path in the repository, or docker://NAME; or name the buildpack with `--buildpack`",
            )
        if not path.is_dir():
            return self.finder.find(str(path), relative_to=directory)
        copied = self.scratch / f"beside-{len(list(self.scratch.glob('beside-*')))}"
        copied.mkdir(parents=True)
        copy_tree(path, copied, self.finder.log)
        refuse_links_out(copied, uri)
        return self.finder.find(str(copied), relative_to=directory)

    def _of_builder(self, name: str) -> ChosenOrder:
        found = self._find(name)
        if found is None:
            there = ", ".join(f"`{one}`" for one in sorted({one.id for one in self.buildpacks}))
            raise SettingsError(f"the builder has no buildpack `{name}`", f"it has {there}; {_HINT}")
        identity, _, version = name.partition("@")
        versions = [one.version for one in self.buildpacks if one.id == found.id]
        if version and version not in versions:
            raise SettingsError(
                f"the builder has no buildpack `{name}`",
                f"of `{found.id}` it has {', '.join(versions)}: `{identity}@{versions[0]}`",
            )
        member = GroupMember(id=found.id, version=version or found.version)
        return ChosenOrder(order=Order(groups=(_with_those_before(member, self.order),)))

    def _find(self, name: str) -> Descriptor | None:
        """`pip` is short for `pybuild/pip`."""
        known = {descriptor.id: descriptor for descriptor in reversed(self.buildpacks)}
        identity = name.partition("@")[0]
        return known.get(BuildpackId(identity)) or known.get(BuildpackId(f"pybuild/{identity}"))


def _bring(found: FoundBuildpacks) -> ChosenOrder:
    if not found.buildpacks:
        raise UsageError(
            f"`{found.origin}` is an image extension, not a buildpack",
            "extensions are a matter of the builder: builder.toml names them",
        )
    meant = found.buildpacks[0]
    return ChosenOrder(
        order=Order(groups=((GroupMember(id=meant.id, version=meant.version),),)), brought=found.buildpacks
    )


def _combine(parts: Iterable[ChosenOrder]) -> ChosenOrder:
    """Every group so far with every one of the next part behind it; of a buildpack that is there twice, the first."""
    groups: tuple[Group, ...] = ((),)
    brought: list[Descriptor] = []
    for part in parts:
        groups = tuple(_joined(group, other) for group, other in itertools.product(groups, part.order.groups))
        for found in part.brought:
            if any(str(one) == str(found) and one.directory != found.directory for one in brought):
                raise SettingsError(
                    f"the buildpack `{found}` is there twice: at {found.directory} and elsewhere", "leave one out"
                )
            brought.append(found)
    return ChosenOrder(order=Order(groups=groups), brought=tuple(brought))


def _joined(group: Group, other: Group) -> Group:
    ids = {member.id for member in group}
    return (*group, *(member for member in other if member.id not in ids))


def _with_those_before(named: GroupMember, builder: Order) -> Group:
    for group in builder.groups:
        ids = [member.id for member in group]
        if named.id in ids:
            return (*group[: ids.index(named.id)], named)
    return (named,)
