"""Which buildpacks are asked when a person or project.toml names some."""

from __future__ import annotations

from pathlib import Path

import pytest

from lifecycle.cnb.buildpack import Descriptor, read_descriptor
from lifecycle.cnb.order import GroupMember, Order
from pybuild.builder.buildpack_source import BuildpackFinder
from pybuild.errors import SettingsError, UsageError
from pybuild.order import ChosenOrder, OrderChoice
from pybuild.project.descriptor import Project, parse_project
from tests.pybuild.recording_log import RecordingLog

BUILDPACKS = tuple(
    read_descriptor(Path(__file__).parents[2] / "buildpacks" / name) for name in ("conda", "python", "pip", "poetry")
)
MEMBERS = {one.id.removeprefix("pybuild/"): GroupMember(id=one.id, version=one.version) for one in BUILDPACKS}
VERSION = BUILDPACKS[0].version
BUILDER = Order(
    groups=((MEMBERS["conda"],), (MEMBERS["python"], MEMBERS["pip"]), (MEMBERS["poetry"],)),
)


def choose(
    cwd: Path, *names: str, project: Project | None = None, trusts: bool = False, order: Order = BUILDER
) -> ChosenOrder:
    log = RecordingLog()
    finder = BuildpackFinder(store=cwd / "store", log=log, env={})
    choice = OrderChoice(
        order=order, buildpacks=BUILDPACKS, finder=finder, scratch=cwd / "scratch", cwd=cwd, trusts_project=trusts
    )
    return choice.choose(names, project or Project(), log)


def shown(chosen: ChosenOrder) -> list[list[str]]:
    return [[member.id.removeprefix("pybuild/") for member in group] for group in chosen.order.groups]


def write_buildpack(directory: Path, name: str, version: str = "1.0.0") -> Descriptor:
    directory.mkdir(parents=True)
    (directory / "buildpack.toml").write_text(f'api = "0.10"\n[buildpack]\nid = "{name}"\nversion = "{version}"\n')
    return read_descriptor(directory)


def project_of(directory: Path, *groups: str, table: str = "group", given: bool = False) -> Project:
    text = "".join(f"[[io.buildpacks.{table}]]\n{one}\n" for one in groups)
    content = f'[_]\nschema-version = "0.3"\n{text}'.encode()
    return parse_project(content, source="project.toml", directory=directory)


def test_without_a_name_the_builder_decides(tmp_path: Path) -> None:
    assert shown(choose(tmp_path)) == [["conda"], ["python", "pip"], ["poetry"]]


def test_what_a_buildpack_needs_before_it_comes_with_it(tmp_path: Path) -> None:
    assert shown(choose(tmp_path, "pip")) == [["python", "pip"]]
    assert shown(choose(tmp_path, f"pybuild/pip@{VERSION}")) == [["python", "pip"]]
    assert shown(choose(tmp_path, "poetry", "pip")) == [["poetry", "python", "pip"]]


def test_what_is_named_stands_where_it_is_named_and_once(tmp_path: Path) -> None:
    assert shown(choose(tmp_path, "conda", "python", "pip", "conda")) == [["conda", "python", "pip"]]


def test_a_buildpack_of_no_group_stands_alone(tmp_path: Path) -> None:
    assert shown(choose(tmp_path, "pip", order=Order(groups=((MEMBERS["conda"],),)))) == [["pip"]]


def test_an_unknown_name_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no buildpack `poerty`") as caught:
        choose(tmp_path, "poerty")
    assert "`pybuild/conda`" in (caught.value.hint or "")


def test_a_version_that_the_builder_has_not_is_answered_with_the_one_that_it_has(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no buildpack `pip@9\.9`") as caught:
        choose(tmp_path, "pip@9.9")
    assert f"`pip@{VERSION}`" in (caught.value.hint or "")


def test_the_builders_order_can_stand_among_others(tmp_path: Path) -> None:
    write_buildpack(tmp_path / "own", "demo/own")
    assert shown(choose(tmp_path, "./own", "from=builder")) == [
        ["demo/own", "conda"],
        ["demo/own", "python", "pip"],
        ["demo/own", "poetry"],
    ]
    assert shown(choose(tmp_path, "from=builder", "own"))[0] == ["conda", "demo/own"]
    assert shown(choose(tmp_path, "from=builder:pip")) == [["python", "pip"]]
    assert shown(choose(tmp_path, f"urn:cnb:builder:pybuild/conda@{VERSION}", "own")) == [["conda", "demo/own"]]


def test_a_buildpack_of_the_builder_comes_before_a_directory_of_its_name(tmp_path: Path) -> None:
    own = write_buildpack(tmp_path / "pip", "demo/own")
    assert shown(choose(tmp_path, "pip")) == [["python", "pip"]]
    chosen = choose(tmp_path, "./pip")
    assert shown(chosen) == [["demo/own"]]
    assert chosen.brought == (own,)


def test_two_buildpacks_of_one_name_are_refused(tmp_path: Path) -> None:
    write_buildpack(tmp_path / "one", "demo/own")
    write_buildpack(tmp_path / "two", "demo/own")
    with pytest.raises(SettingsError, match=r"`demo/own@1\.0\.0` is there twice"):
        choose(tmp_path, "./one", "./two")


def test_an_extension_is_not_a_buildpack(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/extension.toml").write_text('api = "0.10"\n[extension]\nid = "demo/tree"\nversion = "1.0.0"\n')
    with pytest.raises(UsageError, match="is an image extension"):
        choose(tmp_path, "./tree")


@pytest.mark.requirement("PRJ-01")
def test_a_group_of_project_toml_takes_the_place_of_the_order_and_a_name_that_of_the_group(tmp_path: Path) -> None:
    project = project_of(
        tmp_path, 'id = "pybuild/poetry"', f'id = "pybuild/pip"\nversion = "{VERSION}"\nexec-env = ["test"]'
    )
    chosen = choose(tmp_path, project=project)
    assert shown(chosen) == [["poetry", "python", "pip"]]
    assert [member.exec_env for member in chosen.order.groups[0]] == [(), (), ("test",)]
    assert shown(choose(tmp_path, "conda", project=project)) == [["conda"]]


@pytest.mark.requirement("PRJ-01")
def test_pre_and_post_of_project_toml_stand_around_every_group(tmp_path: Path) -> None:
    project = project_of(tmp_path, 'id = "pybuild/python"', table="pre.group")
    assert shown(choose(tmp_path, project=project)) == [["python", "conda"], ["python", "pip"], ["python", "poetry"]]
    project = project_of(tmp_path, 'id = "pybuild/poetry"', table="post.group")
    assert shown(choose(tmp_path, project=project))[0] == ["conda", "poetry"]


def test_what_project_toml_names_and_the_builder_has_not_is_an_error_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"project\.toml:3: the builder has no buildpack `demo/x@1.0.0`"):
        choose(tmp_path, project=project_of(tmp_path, 'id = "demo/x"\nversion = "1.0.0"'))


SCRIPT = 'id = "demo/inline"\nscript = {api = "0.10", inline = "echo $0", shell = "/bin/bash"}'


@pytest.mark.parametrize("brought", [SCRIPT, 'uri = "own"', 'uri = "docker://127.0.0.1:1/x"'])
def test_project_toml_brings_no_buildpack_without_leave(brought: str, tmp_path: Path) -> None:
    write_buildpack(tmp_path / "own", "demo/own")
    with pytest.raises(SettingsError, match=r"project\.toml:3: brings a buildpack of its own") as caught:
        choose(tmp_path, project=project_of(tmp_path, brought))
    assert "--trust-project" in (caught.value.hint or "")


def test_a_script_becomes_a_buildpack_that_always_passes(tmp_path: Path) -> None:
    (found,) = choose(tmp_path, project=project_of(tmp_path, SCRIPT), trusts=True).brought
    assert str(found) == "demo/inline@0.0.0"
    assert (found.directory / "bin/build").read_text() == "#!/bin/bash\n\necho $0\n"
    assert (found.directory / "bin/detect").read_text() == "#!/bin/sh\nexit 0\n"
    assert all((found.directory / "bin" / name).stat().st_mode & 0o111 for name in ("build", "detect"))


def test_two_scripts_are_two_buildpacks(tmp_path: Path) -> None:
    project = project_of(tmp_path, SCRIPT, SCRIPT.replace("demo/inline", "demo/other"))
    assert shown(choose(tmp_path, project=project, trusts=True)) == [["demo/inline", "demo/other"]]


def test_a_buildpack_beside_project_toml_is_found_from_there(tmp_path: Path) -> None:
    write_buildpack(tmp_path / "repository/own", "demo/own")
    chosen = choose(tmp_path, project=project_of(tmp_path / "repository", 'uri = "own"'), trusts=True)
    assert shown(chosen) == [["demo/own"]]
    assert chosen.brought[0].directory.is_relative_to(tmp_path / "scratch")


@pytest.mark.parametrize("uri", ["../outside", "{outside}", "file://{outside}", "link", "oci:{outside}"])
def test_project_toml_reaches_nothing_outside_of_the_repository(uri: str, tmp_path: Path) -> None:
    repository, outside = tmp_path / "repository", tmp_path / "outside"
    repository.mkdir()
    write_buildpack(outside, "demo/own")
    (repository / "link").symlink_to(outside)
    project = project_of(repository, f'uri = "{uri.format(outside=outside)}"')
    with pytest.raises(SettingsError, match="leads out of the repository"):
        choose(tmp_path, project=project, trusts=True)


def test_a_link_out_of_a_buildpack_of_the_repository_is_refused(tmp_path: Path) -> None:
    write_buildpack(tmp_path / "repository/own", "demo/own")
    (tmp_path / "repository/own/out").symlink_to("/etc/passwd")
    with pytest.raises(SettingsError, match="a link that leads out of the buildpack"):
        choose(tmp_path, project=project_of(tmp_path / "repository", 'uri = "own"'), trusts=True)
