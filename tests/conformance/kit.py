"""The lifecycle as a platform starts it: single files as they are in a builder image, as processes, on directories made for the
purpose. Buildpacks are small bash programs; what is expected is read from files without the lifecycle's own code.
"""

from __future__ import annotations

import compileall
import os
import py_compile
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli
import tomli_w

from lifecycle.cnb.order import write_order
from pybuild.builder.programs import stage_lifecycle, write_programs
from tests.lifecycle.world import VERSION, RecordingLog, World, order

PLATFORM_APIS = ("0.12", "0.13", "0.14", "0.15")
BUILDPACK_APIS = ("0.10", "0.11", "0.12")
DEBIAN = {"os": "linux", "arch": "amd64", "distro": {"name": "debian", "version": "12"}}
_PATIENCE_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a program ended."""

    status: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """A crafted build container."""

    world: World
    programs: Path

    @property
    def root(self) -> Path:
        return self.world.root

    @property
    def layers(self) -> Path:
        return self.world.layers

    def start(
        self, program: str, *arguments: str, api: str | None = "0.15", env: Mapping[str, str] | None = None
    ) -> Ended:
        """Start a program and wait for its end. Of this process's environment it has nothing."""
        variables = {
            "PATH": os.defpath,
            "CNB_APP_DIR": str(self.world.app),
            "CNB_BUILDPACKS_DIR": str(self.world.buildpacks),
            "CNB_BUILD_CONFIG_DIR": str(self.root / "build-config"),
            "CNB_LAYERS_DIR": str(self.layers),
            "CNB_PLATFORM_DIR": str(self.root / "platform"),
            **({} if api is None else {"CNB_PLATFORM_API": api}),
            **(env or {}),
        }
        # -S: what is installed for this Python is not there, as in a build image.
        command = [sys.executable, "-ISB", str(self.programs / program), *arguments]
        done = subprocess.run(
            command,
            env=variables,
            cwd=self.root,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=_PATIENCE_S,
        )
        return Ended(status=done.returncode, stdout=done.stdout, stderr=done.stderr)

    def detect(self, *groups: str, api: str = "0.15", env: Mapping[str, str] | None = None) -> Ended:
        """Start the detector with an order of groups such as `a b?`."""
        write_order(self.layers / "order.toml", order(*groups))
        return self.start("detector", api=api, env=env)

    def detected(self, *groups: str, api: str = "0.15", env: Mapping[str, str] | None = None) -> str:
        """Return the ids of the group that is found, in order."""
        ended = self.detect(*groups, api=api, env=env)
        assert ended.status == 0, ended.stdout + ended.stderr
        return self.group()

    def group(self) -> str:
        """Return the ids of group.toml, in order."""
        return " ".join(element["id"] for element in read_toml(self.layers / "group.toml")["group"])

    def plan(self) -> Mapping[str, Sequence[str]]:
        """Return who provides each name of plan.toml."""
        entries = read_toml(self.layers / "plan.toml").get("entries", [])
        return {entry["requires"][0]["name"]: [one["id"] for one in entry["providers"]] for entry in entries}

    def build(
        self,
        *names: str,
        plan: Sequence[Mapping[str, object]] = (),
        api: str = "0.15",
        env: Mapping[str, str] | None = None,
    ) -> Ended:
        """Start the builder with a group of buildpacks that were added, and a plan made by `entry`."""
        self.write_group(*names)
        write_toml(self.layers / "plan.toml", {"entries": plan})
        return self.start("builder", api=api, env=env)

    def built(
        self,
        *names: str,
        plan: Sequence[Mapping[str, object]] = (),
        api: str = "0.15",
        env: Mapping[str, str] | None = None,
    ) -> Mapping[str, Any]:
        """Return metadata.toml after a build that must not fail."""
        ended = self.build(*names, plan=plan, api=api, env=env)
        assert ended.status == 0, ended.stdout + ended.stderr
        return self.metadata()

    def metadata(self) -> Mapping[str, Any]:
        """Return `<layers>/config/metadata.toml`."""
        return read_toml(self.layers / "config" / "metadata.toml")

    def write_group(self, *names: str) -> None:
        """Write group.toml with buildpacks that were added."""
        elements = []
        for name in names:
            (directory,) = (self.world.buildpacks / name.replace("/", "_")).iterdir()
            described = read_toml(directory / "buildpack.toml")
            elements.append({"id": name, "version": directory.name, "api": described["api"]})
        write_toml(self.layers / "group.toml", {"group": elements})

    def write_analyzed(self, target: Mapping[str, object], **more: object) -> None:
        """Write analyzed.toml with a run image for that target."""
        run_image = {"reference": "registry.test/run@sha256:" + "0" * 64, "image": "registry.test/run"}
        write_toml(self.layers / "analyzed.toml", {"run-image": {**run_image, "target": target}, **more})

    def forget(self) -> None:
        """Empty the layers directory, as in a build container that was just started."""
        shutil.rmtree(self.layers)
        self.layers.mkdir()

    def text(self, name: str) -> str:
        """Return what buildpacks have written to a file of the root directory; empty when nobody has."""
        path = self.root / name
        return path.read_text(errors="surrogateescape") if path.exists() else ""

    def variables(self, name: str) -> Mapping[str, str]:
        """Return the environment that a buildpack has written with `dump`."""
        return dict(item.split("=", 1) for item in self.text(name).split("\0") if item)

    def dump(self, name: str) -> str:
        """Return a bash program that writes its environment for `variables`."""
        return f"env -0 > '{self.root}/{name}'"

    def note(self, word: str) -> str:
        """Return a bash program that adds a word to the file `noted`."""
        return f"echo {word} >> '{self.root}/noted'"

    @property
    def noted(self) -> str:
        """What was noted, in order."""
        return " ".join(self.text("noted").split())


def make_lifecycle(root: Path, programs: Path) -> Lifecycle:
    """Return a build container below an empty directory."""
    world = World(root, RecordingLog())
    for directory in (world.app, world.layers, world.buildpacks):
        directory.mkdir()
    return Lifecycle(world, programs)


def make_programs(directory: Path) -> Path:
    """Return a directory with the programs as they are in a builder image, made unless it is there."""
    library, programs = directory / "library", directory / "lifecycle"
    if programs.exists():
        return programs
    stage_lifecycle(library)
    if sys.version_info < (3, 11):
        # In build images, which have at least Python 3.11, it comes with the standard library.
        shutil.copytree(Path(tomli.__file__).parent, library / "tomli")
    # As the build image has it: never compared with the times of the sources, which are not in the archive.
    compileall.compile_dir(library, quiet=1, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    making = directory / "making"
    making.mkdir()
    write_programs(library, making)
    return making.rename(programs)


def read_toml(path: Path) -> dict[str, Any]:
    """Return a TOML file as it is."""
    return tomli.loads(path.read_text(encoding="utf-8"))


def write_toml(path: Path, values: Mapping[str, Any]) -> None:
    """Write a TOML file, with the directory for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(tomli_w.dumps(values), encoding="utf-8")


def entry(name: str, *providers: str, metadata: Sequence[Mapping[str, object]] = ({},)) -> Mapping[str, object]:
    """Return an entry of plan.toml with one requirement for each of `metadata`."""
    return {
        "providers": [{"id": provider, "version": VERSION} for provider in providers],
        "requires": [{"name": name, "metadata": one} for one in metadata],
    }


def plan(text: str) -> str:
    """Return a bash program for `bin/detect` that writes a plan: `+a -b | -c` provides a and requires b, or requires c."""
    lines = []
    for index, alternative in enumerate(text.split("|")):
        prefix = "or." if index else ""
        lines += ["[[or]]"] if index else []
        for word in alternative.split():
            kind = "provides" if word.startswith("+") else "requires"
            lines += [f"[[{prefix}{kind}]]", f'name = "{word[1:]}"']
    return write_file('"$CNB_BUILD_PLAN_PATH"', "\n".join(lines))


def write_file(path: str, content: str) -> str:
    """Return a bash program that writes a file; `path` is quoted for the shell where it must be."""
    return f"mkdir -p \"$(dirname {path})\"\ncat > {path} <<'END'\n{content}\nEND"


def layer(name: str, *types: str, files: Mapping[str, str] | None = None, metadata: str = "") -> str:
    """Return a bash program for `bin/build` that makes a layer; `files` are verbatim, with the modes of programs below bin and exec.d."""
    told = "\n".join(f"{one} = true" for one in types)
    lines = [write_file(f'"$CNB_LAYERS_DIR/{name}.toml"', f"[types]\n{told}\n[metadata]\n{metadata}")]
    lines.append(f'mkdir -p "$CNB_LAYERS_DIR/{name}"')
    for path, content in (files or {}).items():
        place = f'"$CNB_LAYERS_DIR/{name}/{path}"'
        quoted = content.replace("'", "'\\''")
        lines.append(f"mkdir -p \"$(dirname {place})\"; printf %s '{quoted}' > {place}")
        if path.startswith(("bin/", "exec.d/")):
            lines.append(f"chmod 755 {place}")
    return "\n".join(lines)


def launch_toml(content: str) -> str:
    """Return a bash program for `bin/build` that writes launch.toml."""
    return write_file('"$CNB_LAYERS_DIR/launch.toml"', content)
