"""What the tools cache is bounded, with the real uv, offline."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from buildpacks.installer.cache_limit import limit_caches
from buildpacks.installer.commands import ToolRun
from buildpacks.installer.reader import RequirementSet
from buildpacks.installer.tools import PipWheel, Tools
from tests.buildpacks.contexts import make_context
from tests.buildpacks.wheels import make_wheel

SIZE = 100_000
UV = Path(sys.executable).with_name("uv")
TOOLS = Tools(pip=PipWheel(path=Path("pip.whl"), version="26.3"), uv=UV, version="uv")


@dataclass
class Place:
    """An application that is built again and again."""

    root: Path

    @property
    def venv(self) -> Path:
        return self.root / "venv"

    @property
    def run(self) -> ToolRun:
        return ToolRun(context=make_context(self.root), found=RequirementSet(), cache_dir=self.root / "cache")

    @property
    def env(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "HOME": str(self.root)}

    def install(self, *lines: str) -> None:
        """Make the environment anew."""
        self.uv("venv", "--clear", f"--python={sys.executable}", str(self.venv))
        find = f"--find-links={self.root / 'index'}"
        self.uv("pip", "install", "--no-index", find, "--link-mode=hardlink", f"--python={self.venv}", *lines)

    def uv(self, *arguments: str) -> None:
        command = [str(UV), *arguments, "--quiet", "--no-config", f"--cache-dir={self.root / 'cache/uv'}"]
        subprocess.run(command, check=True, env=self.env)

    def cached(self) -> set[str]:
        """Distributions that uv has unpacked in its cache."""
        return {path.name.removesuffix(".dist-info") for path in self.root.glob("cache/uv/archive-v*/*/*.dist-info")}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    for name, version in (("alpha", "1.0"), ("alpha", "2.0"), ("alpha", "3.0"), ("beta", "1.0")):
        make_wheel(tmp_path / "index", name, version, files={f"{name}/data": version * (SIZE // 3)})
    made = Place(tmp_path)
    for version in ("1.0", "2.0", "3.0"):
        made.install(f"alpha=={version}", "beta==1.0")
    return made


def test_versions_that_nobody_has_any_more_go_when_they_are_more_than_the_environment(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    place.install("beta==1.0")
    limit_caches(place.run, TOOLS, place.venv, least=SIZE)
    assert place.cached() == {"beta-1.0"}
    assert "from the cache of uv: more than the environment has" in capfd.readouterr().out
    assert (place.venv / f"lib/python3.{sys.version_info.minor}/site-packages/beta/data").stat().st_size >= SIZE - 3


def test_a_few_versions_stay(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    limit_caches(place.run, TOOLS, place.venv, least=3 * SIZE)
    assert place.cached() == {"alpha-1.0", "alpha-2.0", "alpha-3.0", "beta-1.0"}
    assert capfd.readouterr().out == ""


def test_what_is_no_package_goes_with_everything(place: Place) -> None:
    (directory,) = (place.root / "cache/uv").glob("interpreter-v*")
    (directory / "large").write_bytes(bytes(5 * SIZE))
    limit_caches(place.run, TOOLS, place.venv, least=SIZE)
    assert not (place.root / "cache/uv").exists()


def test_the_cache_of_pip_goes_as_a_whole(place: Place) -> None:
    (place.root / "cache/pip/http").mkdir(parents=True)
    (place.root / "cache/pip/http/wheel").write_bytes(bytes(5 * SIZE))
    limit_caches(place.run, TOOLS, place.venv, least=10 * SIZE)
    assert (place.root / "cache/pip").exists()
    limit_caches(place.run, TOOLS, place.venv, least=SIZE)
    assert not (place.root / "cache/pip").exists()
