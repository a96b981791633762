from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from lifecycle.cnb.errors import ConfigurationError, InvalidValue
from pybuild.environments.conda_dependencies import CondaDependencies
from pybuild.environments.definition import CondaPackages, PipPackages

FILE = """\
# of the team
name: analysis
channels:
- conda-forge
- nodefaults
dependencies:
# the newest that our cluster has
- python=3.10   # not 3.1
- numpy
- pip:
  - "requests==2.31"
x-owner: data   # whatever we like
variables:
  LIMIT: 010
"""


def test_a_file_is_written_as_it_was_read(tmp_path: Path) -> None:
    path = tmp_path / "environment.yml"
    path.write_text(FILE)
    dependencies = CondaDependencies(path)
    assert dependencies.serialize_to_string() == FILE
    assert dependencies.save(tmp_path / "other.yml") == str(tmp_path / "other.yml")
    assert (tmp_path / "other.yml").read_text() == FILE


def test_a_change_leaves_everything_else_as_it_was() -> None:
    dependencies = CondaDependencies.parse(FILE)
    dependencies.add_conda_package("scipy")
    dependencies.add_pip_package("httpx")
    dependencies.add_channel("bioconda")
    expected = (
        FILE.replace("- numpy\n", "- numpy\n- scipy\n")
        .replace('  - "requests==2.31"\n', '  - "requests==2.31"\n  - httpx\n')
        .replace("- nodefaults\n", "- nodefaults\n- bioconda\n")
    )
    assert dependencies.serialize_to_string() == expected
    dependencies.remove_conda_package("scipy")
    dependencies.remove_pip_package("httpx")
    dependencies.remove_channel("bioconda")
    assert dependencies.serialize_to_string() == FILE


def test_texts_stay_texts() -> None:
    dependencies = CondaDependencies.parse(FILE)
    assert dependencies.conda_packages == ("python=3.10", "numpy")
    assert dependencies.get_python_version() == "3.10"
    assert dependencies.variables() == {"LIMIT": "010"}
    packages = dependencies.packages()
    assert isinstance(packages, CondaPackages)
    assert packages.other == {"x-owner": "data"}


def test_python_is_listed_once() -> None:
    dependencies = CondaDependencies.parse(FILE)
    dependencies.set_python_version("3.12")
    assert "- python=3.12   # not 3.1\n" in dependencies.serialize_to_string()
    dependencies.add_conda_package("python>=3.11")
    assert dependencies.conda_packages == ("python>=3.11", "numpy")
    dependencies.set_python_version(">=3.11,<3.13")
    assert dependencies.get_python_version() == ">=3.11,<3.13"


def test_packages_that_are_like_python_are_not_python() -> None:
    dependencies = CondaDependencies.create(conda_packages=["python-dateutil", "python_abi"], python_version="3.12")
    assert dependencies.conda_packages == ("python=3.12", "python-dateutil", "python_abi")
    assert dependencies.get_python_version() == "3.12"


def test_a_pip_package_takes_the_place_of_another_version() -> None:
    dependencies = CondaDependencies.create(pip_packages=["Foo_Bar[x]==1", "zed"])
    dependencies.add_pip_package("foo-bar>=2")
    assert list(dependencies.pip_packages) == ["zed", "foo-bar>=2"]
    dependencies.remove_pip_package("ZED==5")
    assert list(dependencies.pip_packages) == ["foo-bar>=2"]


def test_wheels_and_addresses_have_the_name_of_their_project() -> None:
    wheel = "https://example.org/files/foo_bar-1.0-py3-none-any.whl"
    dependencies = CondaDependencies.create(pip_packages=[wheel, "zed @ git+https://example.org/zed@main"])
    dependencies.remove_pip_package("foo.bar")
    dependencies.add_pip_package("zed==1")
    assert dependencies.pip_packages == ("zed==1",)


def test_options_of_pip_are_no_packages() -> None:
    dependencies = CondaDependencies.create(pip_packages=["zed"], pip_indexurl="https://one.example.org/simple")
    dependencies.set_pip_index_url("--index-url https://two.example.org/simple")
    dependencies.set_pip_option("--pre")
    assert list(dependencies.pip_options) == ["--index-url https://two.example.org/simple", "--pre"]
    assert list(dependencies.pip_packages) == ["zed"]
    dependencies.remove_pip_option("--index-url")
    assert list(dependencies.pip_options) == ["--pre"]
    with pytest.raises(InvalidValue, match="is an option of pip"):
        dependencies.add_pip_package("--pre")
    with pytest.raises(InvalidValue, match="no option"):
        dependencies.set_pip_option("zed")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda some: some.set_python_version(3.1), r"3\.1`: is no text"),
        (lambda some: some.add_conda_package(3), "is no text"),
        (lambda some: some.add_pip_package("a\nb"), "is not one line"),
        (lambda some: some.add_channel(""), "is not one line"),
        (lambda some: some.set_pip_option("--pre\n--find-links x"), "is not one line"),
        (lambda some: some.create(pip_packages="numpy"), "is no list of packages"),
    ],
)
def test_what_is_no_line_of_a_file_is_refused_before_anything_is_changed(
    change: Callable[[CondaDependencies], None], message: str
) -> None:
    dependencies = CondaDependencies.parse(FILE)
    with pytest.raises(InvalidValue, match=message):
        change(dependencies)
    assert dependencies.serialize_to_string() == FILE


def test_pip_is_enough_until_something_needs_conda() -> None:
    dependencies = CondaDependencies.create(pip_packages=["zed"])
    assert dependencies.packages() == PipPackages.of(requirements=["zed"])
    changes: tuple[Callable[[CondaDependencies], None], ...] = (
        lambda some: some.add_conda_package("numpy"),
        lambda some: some.set_python_version("3.9"),
        lambda some: some.add_channel("bioconda"),
    )
    for change in changes:
        changed = dependencies.copy()
        change(changed)
        assert isinstance(changed.packages(), CondaPackages)
    assert isinstance(CondaDependencies.parse("dependencies: [pip, {pip: [zed]}]").packages(), CondaPackages)


def test_files_that_a_section_of_pip_names_are_read(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("# ours\nzed==1 \\\n  --hash=sha256:aa\n-r nested/more.txt\n")
    (tmp_path / "nested").mkdir()
    (tmp_path / "nested" / "more.txt").write_text("-c limits.txt\nhttpx\n")
    (tmp_path / "nested" / "limits.txt").write_text("httpx<1\n")
    (tmp_path / "environment.yml").write_text("channels: [c]\ndependencies: [{pip: ['-r file:requirements.txt']}]\n")
    dependencies = CondaDependencies(tmp_path / "environment.yml")
    packages = dependencies.packages()
    assert isinstance(packages, CondaPackages)
    assert packages.pip == ("httpx", "zed==1 --hash=sha256:aa")
    assert packages.constraints == ("httpx<1",)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    dependencies.standing_alone().save(elsewhere / "environment.yml")
    (tmp_path / "requirements.txt").unlink()
    assert CondaDependencies(elsewhere / "environment.yml").packages() == packages


@pytest.mark.parametrize(
    "line", ["./package", "-e .", "../x", "/srv/x.whl", "file:///srv/x", "x @ file:///srv/x", "x-1.0-py3-none-any.whl"]
)
def test_what_is_on_one_computer_only_is_refused(tmp_path: Path, line: str) -> None:
    dependencies = CondaDependencies.parse("dependencies: []", path=tmp_path / "environment.yml")
    dependencies.set_pip_requirements([line])
    with pytest.raises(ConfigurationError, match="on this computer only"):
        dependencies.packages()


def test_files_that_name_each_other_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("-r b.txt\n")
    (tmp_path / "b.txt").write_text("-r a.txt\n")
    dependencies = CondaDependencies.parse("dependencies: [{pip: [-r a.txt]}]", path=tmp_path / "environment.yml")
    with pytest.raises(ConfigurationError, match="being read already"):
        dependencies.packages()


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        ("channels: conda-forge", "`channels` is not a list", None),
        ("dependencies: {numpy: 1}", "`dependencies` is not a list", None),
        ("dependencies:\n  - pip: zed", "what follows `pip:` is not a list", None),
        ("dependencies:\n  - numpy: 1", "`numpy:` is not known", None),
        ("dependencies:\n  - pip: [a]\n  - pip: [b]", "`pip:` is not known", None),
        ("dependencies:\n  - [a]", "no text", None),
        ("dependencies:\n  - |\n    a\n    b", "several lines", None),
        ("- numpy", "no environment", None),
        ("dependencies:\n  - a\n b: c", "not valid YAML", 3),
        ("a: 1\na: 2", "not valid YAML", 2),
        ("a: [1", "not valid YAML", 1),
        ("variables: [1]", "not a mapping", None),
    ],
)
def test_what_is_no_environment_is_refused(text: str, message: str, line: int | None) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        CondaDependencies.parse(text, path="team/environment.yml").variables()
    assert str(caught.value.path) == "team/environment.yml"
    assert caught.value.line == line


def test_aliases_make_no_more_of_a_file_than_can_be_read() -> None:
    lists = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    lists += [f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]" for before, name in pairwise("abcdefghi")]
    with pytest.raises(ConfigurationError, match="more than 100000 entries"):
        CondaDependencies.parse("\n".join(["channels: [c]", "dependencies: [numpy]", *lists]))
    once = CondaDependencies.parse("x: &some [numpy, scipy]\nchannels: [c]\ndependencies: *some\n")
    assert once.conda_packages == ("numpy", "scipy")


def test_files_without_anything_can_be_added_to() -> None:
    for text in ("", "# nothing\n", "channels:\ndependencies:\n", "dependencies:\n  - pip:\n"):
        dependencies = CondaDependencies.parse(text)
        assert dependencies.as_dict().keys() <= {"channels", "dependencies"}
        assert dependencies.conda_packages == dependencies.pip_packages == dependencies.conda_channels == ()
        dependencies.add_channel("conda-forge")
        dependencies.add_conda_package("numpy")
        dependencies.add_pip_package("zed")
        again = CondaDependencies.parse(dependencies.serialize_to_string())
        assert (again.conda_channels, again.conda_packages, again.pip_packages) == (
            ("conda-forge",),
            ("numpy",),
            ("zed",),
        )


def test_it_is_saved_to_a_file_in_a_directory_that_is_there(tmp_path: Path) -> None:
    dependencies = CondaDependencies()
    with pytest.raises(InvalidValue, match="is a directory"):
        dependencies.save(tmp_path)
    with pytest.raises(InvalidValue, match="there is no directory"):
        dependencies.save(tmp_path / "no" / "environment.yml")
    assert dependencies.save_to_file(tmp_path, "conda.yml") == "conda.yml"
    assert CondaDependencies(tmp_path / "conda.yml").conda_channels == ("conda-forge", "nodefaults")


def test_no_password_is_shown() -> None:
    dependencies = CondaDependencies.create(pip_packages=["zed"], pip_indexurl="https://me:geheim@example.org/simple")
    assert "geheim" not in repr(dependencies)
    assert "geheim" in dependencies.serialize_to_string()
