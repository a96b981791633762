"""Runs a buildpack's own `bin/detect` and `bin/build` in crafted directories, as a lifecycle does."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lifecycle.cnb.layer import LayerFile, read_layer_file, write_layer_file
from lifecycle.cnb.plan import BuildPlan, PlanEntry, read_build_plan, write_buildpack_plan
from tests.interpreter import ISOLATED, ROOT


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """How a program of a buildpack ended."""

    status: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Workbench:
    """The directories of one build, for one buildpack."""

    root: Path
    buildpack: Path
    env: dict[str, str] = field(default_factory=dict)

    @property
    def app(self) -> Path:
        return self.root / "workspace"

    @property
    def layers(self) -> Path:
        return self.root / "layers" / f"pybuild_{self.buildpack.name}"

    def write(self, files: Mapping[str, str | bytes]) -> None:
        for name, content in files.items():
            path = self.app / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def detect(self) -> tuple[Run, BuildPlan]:
        plan = self.root / "detect-plan.toml"
        plan.write_bytes(b"")
        run = self._run("detect", {"CNB_BUILD_PLAN_PATH": str(plan)})
        return run, read_build_plan(plan)

    def build(self, entries: tuple[PlanEntry, ...] = ()) -> Run:
        plan = self.root / "build-plan.toml"
        write_buildpack_plan(plan, entries)
        self.layers.mkdir(parents=True, exist_ok=True)
        return self._run("build", {"CNB_LAYERS_DIR": str(self.layers), "CNB_BP_PLAN_PATH": str(plan)})

    def restore(self) -> None:
        """Leave what a lifecycle restores: a launch layer's metadata, a cache layer with its directory."""
        for path in self.layers.glob("*.toml"):
            if path.name in ("launch.toml", "build.toml", "store.toml"):
                path.unlink()
                continue
            file = read_layer_file(path)
            directory = path.with_suffix("")
            if file.types.build and not file.types.cache:
                path.unlink()
            else:
                write_layer_file(path, LayerFile(metadata=file.metadata))
            if not file.types.cache and directory.exists():
                subprocess.run(["rm", "-rf", directory], check=True)

    def layer(self, name: str) -> LayerFile:
        return read_layer_file(self.layers / f"{name}.toml")

    def _run(self, phase: str, variables: Mapping[str, str]) -> Run:
        home = self.root / "home"
        home.mkdir(exist_ok=True)
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "CNB_BUILDPACK_DIR": str(self.buildpack),
            "CNB_PLATFORM_DIR": str(self.root / "platform"),
            "CNB_TARGET_OS": "linux",
            "CNB_TARGET_ARCH": "amd64",
            **variables,
            **self.env,
        }
        argv = [*ISOLATED, str(self.buildpack / "bin" / phase)]
        done = subprocess.run(argv, cwd=self.app, env=env, capture_output=True, text=True, check=False)
        assert "Traceback" not in done.stderr, done.stderr
        return Run(status=done.returncode, stdout=done.stdout, stderr=done.stderr)


@pytest.fixture
def workbench(tmp_path: Path) -> Callable[[str], Workbench]:
    """Makes the workbench for the buildpack of that name."""

    def make(name: str) -> Workbench:
        bench = Workbench(root=tmp_path, buildpack=ROOT / "buildpacks" / name)
        bench.app.mkdir()
        return bench

    return make
