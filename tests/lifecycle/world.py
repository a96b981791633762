"""A crafted build image: tiny buildpacks in bash, an order, an application, and the directories of the contract."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from lifecycle.build import BuildRequest, build
from lifecycle.cnb.api import ApiVersion
from lifecycle.cnb.group import Group, GroupElement
from lifecycle.cnb.identifier import BuildpackId
from lifecycle.cnb.metadata import BuildMetadata
from lifecycle.cnb.order import GroupMember, Order, System
from lifecycle.cnb.plan import ResolvedPlan
from lifecycle.cnb.target import Target
from lifecycle.detect import DetectRequest, detect
from lifecycle.detection import Detection
from lifecycle.programs import Surroundings

VERSION = "1.0.0"


@dataclass(slots=True)
class RecordingLog:
    """Keeps what a phase says."""

    lines: list[str] = field(default_factory=list)
    details: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def detail(self, line: str) -> None:
        self.details.append(line)

    def info(self, line: str) -> None:
        self.lines.append(line)

    def warning(self, line: str) -> None:
        self.warnings.append(line)


def member(text: str, version: str = VERSION) -> GroupMember:
    """`a`, or `a?` for an optional one."""
    return GroupMember(id=BuildpackId.parse(text.removesuffix("?")), version=version, optional=text.endswith("?"))


def order(*groups: str) -> Order:
    """`"a b? c"` is one group."""
    return Order(groups=tuple(tuple(member(text) for text in group.split()) for group in groups))


@dataclass(frozen=True, slots=True)
class World:
    """The directories of one build. Everything is written by methods, everything is run by the real phases."""

    root: Path
    log: RecordingLog

    @classmethod
    def begin(cls, root: Path) -> World:
        """A world in the new or empty directory `root`, with nothing in it."""
        world = cls(root, RecordingLog())
        for directory in (world.app, world.layers, world.buildpacks):
            directory.mkdir(parents=True)
        return world

    @property
    def app(self) -> Path:
        return self.root / "workspace"

    @property
    def layers(self) -> Path:
        return self.root / "layers"

    @property
    def buildpacks(self) -> Path:
        return self.root / "buildpacks"

    @property
    def extensions(self) -> Path:
        return self.root / "extensions"

    def surroundings(self, target: Target | None = None, exec_env: str = "production") -> Surroundings:
        return Surroundings(
            app_dir=self.app,
            platform_dir=self.root / "platform",
            build_config_dir=self.root / "build-config",
            target=target or Target(os="linux", arch="amd64", distro_name="debian", distro_version="12"),
            exec_env=exec_env,
        )

    def add(
        self,
        name: str,
        *,
        detect: str = "",
        build: str = "",
        version: str = VERSION,
        api: str = "0.12",
        keys: str = "",
        tables: str = "",
    ) -> GroupElement:
        """Write a buildpack; `keys` go into `[buildpack]`, `tables` to the end of buildpack.toml."""
        element = GroupElement(id=BuildpackId.parse(name), version=version, api=ApiVersion.parse(api))
        directory = self.buildpacks / element.id.directory_name / version
        (directory / "bin").mkdir(parents=True)
        (directory / "buildpack.toml").write_text(
            f'api = "{api}"\n[buildpack]\nid = "{name}"\nversion = "{version}"\n{keys}\n{tables}\n'
        )
        for program, script in (("detect", detect), ("build", build)):
            path = directory / "bin" / program
            path.write_text(f"#!/usr/bin/env bash\nset -eu\n{script}\n")
            path.chmod(0o755)
        return element

    def add_composite(self, name: str, *groups: str) -> None:
        directory = self.buildpacks / name / VERSION
        directory.mkdir(parents=True)
        lines = [f'api = "0.12"\n[buildpack]\nid = "{name}"\nversion = "{VERSION}"']
        for group in groups:
            lines.append("[[order]]")
            for text in group.split():
                optional = str(text.endswith("?")).lower()
                lines.append(
                    f'[[order.group]]\nid = "{text.removesuffix("?")}"\nversion = "{VERSION}"\noptional = {optional}'
                )
        (directory / "buildpack.toml").write_text("\n".join(lines))

    def detect(
        self,
        wanted: Order,
        *,
        target: Target | None = None,
        exec_env: str = "production",
        system: System | None = None,
        env: dict[str, str] | None = None,
        platform_api: str = "0.15",
        looks_further: bool = False,
    ) -> Detection:
        request = DetectRequest(
            order=wanted,
            buildpacks_dir=self.buildpacks,
            extensions_dir=self.extensions,
            surroundings=self.surroundings(target, exec_env),
            env=env or {"PATH": "/usr/bin:/bin"},
            system=system or System(),
            platform_api=ApiVersion.parse(platform_api),
            looks_further=looks_further,
        )
        return detect(request, self.log)

    def build(
        self, *elements: GroupElement, plan: ResolvedPlan | None = None, env: dict[str, str] | None = None
    ) -> BuildMetadata:
        request = BuildRequest(
            group=Group(elements=elements),
            plan=plan or ResolvedPlan(),
            layers_dir=self.layers,
            buildpacks_dir=self.buildpacks,
            surroundings=self.surroundings(),
            env=env or {"PATH": "/usr/bin:/bin"},
        )
        return build(request, self.log)

    def write(self, path: str, content: str | bytes = "") -> Path:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.encode())
        return target
