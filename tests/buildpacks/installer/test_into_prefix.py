"""Requirement lines over what an environment has already, with the real uv and pip, offline."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from buildpacks.installer.errors import InstallationFailed
from buildpacks.installer.into_prefix import WantedInPrefix, read_for_prefix
from buildpacks.installer.reader import EmbeddedLines
from buildpacks.installer.settings import read_settings
from tests.buildpacks.contexts import make_context
from tests.buildpacks.wheels import make_wheel


@dataclass(kw_only=True)
class Place:
    """An environment with `beta 1.0`, and an index that has newer versions of it."""

    root: Path
    env: dict[str, str] = field(default_factory=dict)

    @property
    def prefix(self) -> Path:
        return self.root / "prefix"

    def wanted(self, *lines: str, installed: str = "one") -> WantedInPrefix:
        context = make_context(self.root, self.env)
        file = context.app_dir / "environment.yml"
        file.touch()
        embedded = EmbeddedLines(path=file, lines=tuple(enumerate(lines, start=7)))
        return read_for_prefix(
            context, read_settings(self.env), embedded, installed=installed, cache_dir=self.root / "cache"
        )

    def versions(self) -> dict[str, str]:
        names = (
            path.name.removesuffix(".dist-info") for path in self.prefix.glob("lib/python3*/site-packages/*.dist-info")
        )
        return dict(name.split("-") for name in names)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    index, bin_dir = tmp_path / "index", Path(sys.executable).parent
    make_wheel(tmp_path / "first", "beta", "1.0")
    # On no index, as much of what conda has.
    make_wheel(tmp_path / "first", "only_here", "3.0", requires=("beta",))
    make_wheel(index, "beta", "2.0")
    make_wheel(index, "alpha", "1.0", requires=("beta", "only-here>=3"))
    make_wheel(index, "gamma", "1.0", requires=("beta>=2",))
    make_wheel(tmp_path / "wheels", "pip", "26.3")
    env = {
        "PATH": f"{bin_dir}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "PIP_FIND_LINKS": str(index),
        "PIP_NO_INDEX": "1",
        "PYBUILD_WHEELS": str(tmp_path / "wheels"),
    }
    made = Place(root=tmp_path, env=env)
    uv, first = str(bin_dir / "uv"), sorted(map(str, (tmp_path / "first").glob("*.whl")))
    subprocess.run(
        [uv, "venv", "--quiet", "--no-config", f"--python={sys.executable}", made.prefix], check=True, env=env
    )
    subprocess.run(
        [uv, "pip", "install", "--quiet", "--no-config", "--offline", "--no-deps", f"--python={made.prefix}", *first],
        check=True,
        env=env,
    )
    return made


def test_what_is_installed_stays_and_is_not_in_the_lock(place: Place) -> None:
    wanted = place.wanted("alpha")
    assert wanted.kept_lock() is None
    lock = wanted.make_lock(place.prefix)
    assert [entry.text for entry in lock.entries] == ["alpha==1.0"]
    wanted.install(lock, place.prefix)
    assert place.versions() == {"alpha": "1.0", "beta": "1.0", "only_here": "3.0", "pip": "26.3"}


def test_what_stands_in_the_way_is_replaced_with_a_notice(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    wanted = place.wanted("alpha", "gamma")
    lock = wanted.make_lock(place.prefix)
    assert [entry.text for entry in lock.entries] == ["alpha==1.0", "beta==2.0", "gamma==1.0"]
    assert "notice: `beta==2.0` takes the place of beta 1.0 from conda" in capfd.readouterr().out
    wanted.install(lock, place.prefix)
    assert place.versions()["beta"] == "2.0"


def test_a_lock_is_kept_without_the_prefix_until_what_it_has_changes(place: Place) -> None:
    made = place.wanted("alpha").make_lock(place.prefix)
    assert place.wanted("alpha").kept_lock() == made
    assert place.wanted("alpha", installed="two").kept_lock() is None
    assert place.wanted("alpha", "beta").kept_lock() is None


def test_a_missing_package_is_named_with_its_line_in_the_other_file(place: Place) -> None:
    with pytest.raises(InstallationFailed, match=r"environment\.yml:8: .*nowhere"):
        place.wanted("alpha", "nowhere").make_lock(place.prefix)


def test_relative_paths_begin_where_the_other_file_is(place: Place) -> None:
    project = place.root / "app" / "src"
    project.mkdir(parents=True)
    (project / "pyproject.toml").write_text("[project]\nname = 'thesis'\nversion = '1'\n")
    (place.root / "app" / "more.txt").write_text("beta\n")
    wanted = place.wanted("-e ./src", "-r more.txt")
    assert wanted.run.found.local_projects == (project,)
    assert [str(line.origin) for line in wanted.run.found.requirements] == ["environment.yml:7", "more.txt:1"]
