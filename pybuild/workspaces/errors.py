"""What can go wrong with workspaces.

CnbError
├── InputError                  3
│   └── WorkspaceError          3
│       ├── InvalidName         3   a name, a version or a label that cannot be one
│       ├── NameReserved        3   a name that belongs to the curated environments
│       ├── NoSuchEnvironment   3   the workspace has no such environment, version or label
│       └── NotBuilt            3   a version that was not built in this workspace
└── ListBehind                 62   a registry that does not say what it has
"""

from __future__ import annotations

from collections.abc import Sequence

from lifecycle.cnb.errors import CnbError, InputError


class WorkspaceError(InputError):
    """What was asked of a workspace cannot be done there."""


class InvalidName(WorkspaceError):
    """A text that cannot be what it should name. `kind`: environment, version, label, workspace."""

    def __init__(self, kind: str, text: str, reason: str, advice: str) -> None:
        super().__init__(kind, text)
        self.kind = kind
        self.text = text
        self.reason = reason
        self.advice = advice

    @property
    def summary(self) -> str:
        """What it cannot be, and why."""
        return f"`{self.text[:100]}` cannot be the {self.kind}: {self.reason}"

    @property
    def hint(self) -> str:
        """What to write."""
        return self.advice


class NameReserved(WorkspaceError):
    """A name with the prefix of the curated environments, which only these have."""

    def __init__(self, name: str, prefix: str) -> None:
        super().__init__(name)
        self.name = name
        self.prefix = prefix

    @property
    def summary(self) -> str:
        """Which name."""
        return f"the environment `{self.name}` cannot be registered: names that begin with `{self.prefix}` are for curated environments"

    @property
    def hint(self) -> str:
        """What to do instead."""
        return (
            f'give it a name of your own, for example with `clone("{self.name.removeprefix(self.prefix) or "mine"}")`'
        )


class NoSuchEnvironment(WorkspaceError):
    """The workspace has no such environment, or not in that version or with that label; `known` is what it has instead."""

    def __init__(self, *, workspace: str, name: str, wanted: str | None = None, known: Sequence[str] = ()) -> None:
        super().__init__(workspace, name, wanted)
        self.workspace = workspace
        self.name = name
        self.wanted = wanted
        self.known = tuple(known)

    @property
    def summary(self) -> str:
        """What is not there."""
        of = "" if self.wanted is None else f"{self.wanted} of the "
        return f"the workspace {self.workspace} has no {of}environment `{self.name}`"

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """What is there."""
        return (("there are", ", ".join(self.known)),) if self.known else ()

    @property
    def hint(self) -> str:
        """Where to look."""
        if self.wanted is None:
            return "`pybuild env list` shows what there is, `pybuild env register` adds to it"
        return f"`pybuild env show {self.name}` shows which there are"


class NotBuilt(WorkspaceError):
    """Nobody has built this version in this workspace, or not with this builder."""

    def __init__(self, name: str, version: int) -> None:
        super().__init__(name, version)
        self.name = name
        self.version = version

    @property
    def summary(self) -> str:
        """Which version."""
        return f"version {self.version} of the environment `{self.name}` has not been built"

    @property
    def hint(self) -> str:
        """How to build it."""
        return f"build it with `pybuild env build {self.name}:{self.version}`"


class ListBehind(CnbError):
    """A registry whose list of tags lacks one that it has taken: versions cannot be given there."""

    exit_code = 62

    def __init__(self, repository: str, tag: str, seconds: float) -> None:
        super().__init__(repository, tag)
        self.repository = repository
        self.tag = tag
        self.seconds = seconds

    @property
    def summary(self) -> str:
        """Which repository."""
        return f"{self.repository}: the list of tags lacks `{self.tag}`, {self.seconds:.0f} seconds after the registry has taken it"

    @property
    def hint(self) -> str:
        """What a workspace needs."""
        return (
            "versions need a registry that lists a tag as soon as it is there; ask who runs it whether a cache is in between, or "
            "use another registry as workspace"
        )
