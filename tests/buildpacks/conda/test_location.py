from __future__ import annotations

from pathlib import Path

import pytest

from buildpacks.conda.errors import InvalidEnvironmentFile
from buildpacks.conda.location import EnvironmentLocation, find_environment_file
from buildpacks.conda.settings import read_settings


def find(app_dir: Path, name: str | None = None) -> EnvironmentLocation | None:
    return find_environment_file(app_dir, read_settings({} if name is None else {"BP_CONDA_ENVIRONMENT": name}))


@pytest.fixture
def app_dir(tmp_path: Path) -> Path:
    path = tmp_path / "workspace"
    path.mkdir()
    (tmp_path / "outside.yml").write_text("dependencies: [a]\n")
    return path


@pytest.mark.parametrize("name", ["environment.yml", "environment.yaml"])
def test_either_name_is_found(app_dir: Path, name: str) -> None:
    (app_dir / name).touch()
    assert find(app_dir) == EnvironmentLocation(path=app_dir / name, name=name, notices=())


def test_yml_wins_over_yaml_and_that_is_said(app_dir: Path) -> None:
    (app_dir / "environment.yaml").touch()
    (app_dir / "environment.yml").touch()
    found = find(app_dir)
    assert found is not None
    assert found.name == "environment.yml"
    (notice,) = found.notices
    assert "`environment.yaml` is not read" in notice


def test_the_file_that_is_named_is_the_only_one_looked_for(app_dir: Path) -> None:
    (app_dir / "envs").mkdir()
    (app_dir / "envs" / "prod.yml").touch()
    (app_dir / "environment.yml").touch()
    found = find(app_dir, "envs/prod.yml")
    assert found == EnvironmentLocation(path=app_dir / "envs" / "prod.yml", name="envs/prod.yml", notices=())
    assert find(app_dir, "other.yml") is None
    assert find(app_dir, "environment.yml/x") is None


def test_a_link_to_a_file_of_the_repository_is_followed(app_dir: Path) -> None:
    (app_dir / "packages.yml").touch()
    (app_dir / "environment.yml").symlink_to("packages.yml")
    found = find(app_dir)
    assert found is not None
    assert (found.name, found.path) == ("environment.yml", app_dir / "packages.yml")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("../outside.yml", "leads out of the app directory"),
        ("/etc/passwd", "leads out of the app directory"),
        ("missing.yml", "leads nowhere"),
        ("environment.yml", "leads nowhere"),
        (".", "is not a regular file"),
    ],
)
def test_other_links_are_refused(app_dir: Path, target: str, message: str) -> None:
    (app_dir / "environment.yml").symlink_to(target)
    with pytest.raises(InvalidEnvironmentFile, match=message):
        find(app_dir)


def test_a_directory_is_refused(app_dir: Path) -> None:
    (app_dir / "environment.yml").mkdir()
    with pytest.raises(InvalidEnvironmentFile, match="is not a regular file"):
        find(app_dir)


@pytest.mark.parametrize("name", ["../outside.yml", "/etc/passwd", "a/../../outside.yml", "a\0b"])
def test_a_name_outside_of_the_app_directory_is_refused(app_dir: Path, name: str) -> None:
    with pytest.raises(InvalidEnvironmentFile, match="is not in the app directory"):
        find(app_dir, name)


def test_a_directory_that_is_a_link_cannot_lead_out(app_dir: Path) -> None:
    (app_dir / "envs").symlink_to("..")
    with pytest.raises(InvalidEnvironmentFile, match="leads out of the app directory"):
        find(app_dir, "envs/outside.yml")
