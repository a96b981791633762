"""builder.toml: what it says becomes values, and what is wrong with it is said with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from lifecycle.cnb.errors import ConfigurationError
from lifecycle.cnb.target import host_architecture
from pybuild.builder.contents import read_contents
from pybuild.builder.definition import ImageBase, PackageBase, default_definition_path, read_definition
from pybuild.builder.dockerfile import DockerfileSettings, Policy

BUILDPACKS = """
[[buildpacks]]
uri = "one"
[[buildpacks]]
uri = "two"
"""
ORDER = """
[[order]]
[[order.group]]
id = "test/one"
[[order.group]]
id = "test/two"
optional = true
"""
BASES = """
[build]
image = "names/build"
[[run.images]]
image = "names/run"
mirrors = ["mirror.example/run"]
"""
OWN = """
[pybuild.tools]
pip = "26.3"
[pybuild.interpreters]
cpython = ["3.10", "3.12.1", "3.10"]
"""
PACKAGES = """
[pybuild.build]
suite = "bookworm"
packages = ["zlib1g", "git", "git"]
[pybuild.run]
image = "oci:bases/run:tag"
"""


def write_buildpack(directory: Path, identifier: str, version: str = "1.0.0", api: str = "0.12") -> None:
    (directory / "bin").mkdir(parents=True)
    (directory / "bin" / "build").touch()
    text = f'api = "{api}"\n[buildpack]\nid = "{identifier}"\nversion = "{version}"\n'
    (directory / "buildpack.toml").write_text(text)


def write_builder(directory: Path, text: str = BUILDPACKS + ORDER + BASES + OWN + PACKAGES) -> Path:
    for name in ("one", "two"):
        if not (directory / name).exists():
            write_buildpack(directory / name, f"test/{name}")
    (directory / "builder.toml").write_text(text)
    return directory / "builder.toml"


def test_the_default_builder_is_valid() -> None:
    definition = read_definition(default_definition_path())
    contents = read_contents(definition, host_architecture())
    assert [str(buildpack.id) for buildpack in contents.buildpacks] == [
        "pybuild/conda",
        "pybuild/python",
        "pybuild/pip",
        "pybuild/poetry",
        "pybuild/dockerfile",
    ]
    assert isinstance(definition.build_base, PackageBase)
    assert isinstance(definition.run_base, PackageBase)
    assert definition.cpython_versions[0] == "3.10"
    assert definition.poetry_version == "1.8.3"
    # What the interpreter was checked with must be there when it runs in a build.
    libraries = {name for name in definition.run_base.packages if name.startswith("lib")}
    assert libraries - set(definition.build_base.packages) <= {
        "libcrypt1",
        "libtinfo6",
        "libgcc-s1",
        "libgomp1",
        "libstdc++6",
    }


def test_values_of_a_builder(tmp_path: Path) -> None:
    definition = read_definition(write_builder(tmp_path))
    assert definition.build_base == PackageBase(suite="bookworm", packages=("git", "zlib1g"))
    assert definition.run_base == ImageBase(location=f"oci:{tmp_path}/bases/run:tag")
    assert definition.run_images[0].mirrors == ("mirror.example/run",)
    assert definition.cpython_versions == ("3.10", "3.12.1")
    assert definition.poetry_version is None
    assert [buildpack.directory for buildpack in definition.buildpacks] == [tmp_path / "one", tmp_path / "two"]


def test_what_an_operator_allows_dockerfiles(tmp_path: Path) -> None:
    assert read_definition(write_builder(tmp_path)).dockerfile == DockerfileSettings()
    table = """
    [pybuild.dockerfile]
    policy = "full"
    allow-bases = ["docker.io/library/*"]
    [pybuild.dockerfile.bases]
    "python:3.11" = "oci:bases/python"
    "example.org/base" = "docker://mirror.example/base"
    """
    path = write_builder(tmp_path)
    path.write_text(path.read_text() + table)
    assert read_definition(path).dockerfile == DockerfileSettings(
        policy=Policy.FULL,
        allowed_bases=("docker.io/library/*",),
        bases={
            "docker.io/library/python:3.11": f"oci:{tmp_path}/bases/python",
            "example.org/base:latest": "docker://mirror.example/base",
        },
    )


def test_without_a_table_of_ours_bases_come_from_the_registry(tmp_path: Path) -> None:
    definition = read_definition(write_builder(tmp_path, BUILDPACKS + ORDER + BASES + OWN))
    assert definition.build_base == ImageBase(location="docker://names/build")
    assert definition.run_base == ImageBase(location="docker://names/run")


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("[pybuild.tools]", "[pybuild.tool]", "`pybuild.tool` is not a known key"),
        ('uri = "one"', 'uri = "three"', "`buildpacks[0].uri` `three` is not a buildpack"),
        ('uri = "one"', 'uri = "https://example.org/one.tgz"', "`buildpacks[0].uri` must be a directory"),
        ('uri = "one"', 'image = "example.org/one"', "`buildpacks[0].image` is not supported yet"),
        ('"git"', '"git; rm -rf /"', "`pybuild.build.packages[1]` `git; rm -rf /` is not the name"),
        ('suite = "bookworm"', 'suite = "--help"', "`pybuild.build.suite`"),
        ('"oci:bases/run:tag"', '"bases/run"', "`pybuild.run.image` must start with one of"),
        ('"3.12.1"', '"2.7"', "`pybuild.interpreters.cpython[1]`"),
        ('pip = "26.3"', 'pip = "latest"', "`pybuild.tools.pip`"),
        ('pip = "26.3"', 'pip = "26.3"\npoetry = "0.9"', "`pybuild.tools.poetry` `0.9` is not a version that"),
        ('id = "test/one"', "", "`order[0].group[0].id` is required"),
        (
            "[build]",
            '[[build.env]]\nname = "A"\nvalue = "b"\nsuffix = "append"\n[build]',
            "`build.env[0].delim` is required",
        ),
        ("[build]", "[lifecycle]\nversion = '0.21.0'\n[build]", "`lifecycle` cannot be used"),
        ("[build]", "[[targets]]\nos = 'windows'\narch = 'amd64'\n[build]", "`targets[0].os` must be `linux`"),
        ("[pybuild.tools]", "[pybuild.user]\nid = 0\nname = 'root'\n[pybuild.tools]", "`pybuild.user.name`"),
        ("[pybuild.tools]", "[pybuild.user]\nid = 33\n[pybuild.tools]", "`pybuild.user.id` must be between"),
        (
            "[pybuild.tools]",
            "[pybuild.dockerfile]\npolicy = 'any'\n[pybuild.tools]",
            "policy` must be one of `restricted`",
        ),
        (
            "[pybuild.tools]",
            "[pybuild.dockerfile.bases]\n'Python:3' = 'oci:x'\n[pybuild.tools]",
            "`pybuild.dockerfile.bases.Python:3` is not an image reference",
        ),
        (
            "[pybuild.tools]",
            "[pybuild.dockerfile.bases]\n'python:3' = 'x'\n[pybuild.tools]",
            "`pybuild.dockerfile.bases.python:3` must start with one of",
        ),
        (
            "[build]",
            '[[build.env]]\nname = "BP_DOCKERFILE_POLICY"\nvalue = "full"\n[build]',
            "`BP_DOCKERFILE_POLICY` is said by `policy`",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, old: str, new: str, place: str) -> None:
    text = (BUILDPACKS + ORDER + BASES + OWN + PACKAGES).replace(old, new, 1)
    path = write_builder(tmp_path, text)
    with pytest.raises(ConfigurationError) as caught:
        read_definition(path)
    assert str(path) in caught.value.summary
    assert place in caught.value.summary


def test_versions_of_the_order_are_filled_in(tmp_path: Path) -> None:
    contents = read_contents(read_definition(write_builder(tmp_path)), host_architecture())
    members = [(str(member), member.optional) for member in contents.order.groups[0]]
    assert members == [("test/one@1.0.0", False), ("test/two@1.0.0", True)]


def test_an_order_that_names_nothing_there_is_refused(tmp_path: Path) -> None:
    path = write_builder(tmp_path)
    path.write_text(path.read_text().replace('id = "test/two"', 'id = "test/three"'))
    with pytest.raises(ConfigurationError, match="names the buildpack `test/three`; there are: `test/one`, `test/two`"):
        read_contents(read_definition(path), host_architecture())


def test_a_buildpack_of_an_unknown_api_is_refused(tmp_path: Path) -> None:
    write_buildpack(tmp_path / "one", "test/one", api="0.99")
    with pytest.raises(ConfigurationError, match=r"uses Buildpack API 0\.99"):
        read_contents(read_definition(write_builder(tmp_path)), host_architecture())


def test_two_versions_make_the_order_say_which(tmp_path: Path) -> None:
    write_buildpack(tmp_path / "two", "test/one", version="2.0.0")
    path = write_builder(tmp_path)
    path.write_text(path.read_text().replace('id = "test/two"', 'id = "test/one"\nversion = "2.0.0"'))
    with pytest.raises(ConfigurationError, match=r"must say which version of `test/one`: 1\.0\.0, 2\.0\.0"):
        read_contents(read_definition(path), host_architecture())


def test_a_builder_that_extends_the_default_has_what_that_has(tmp_path: Path) -> None:
    text = """
    [[buildpacks]]
    uri = "one"
    [[order]]
    [[order.group]]
    id = "pybuild/python"
    [[order.group]]
    id = "test/one"
    [build]
    env = [{name = "TEAM", value = "a"}]
    [pybuild]
    extends = "default"
    [pybuild.interpreters]
    cpython = ["3.12"]
    """
    default = read_definition(default_definition_path())
    definition = read_definition(write_builder(tmp_path, text))
    assert [one.directory for one in definition.buildpacks] == [
        tmp_path / "one",
        *(one.directory for one in default.buildpacks),
    ]
    assert [str(member.id) for member in definition.order[0]] == ["pybuild/python", "test/one"]
    assert definition.order[1:] == default.order
    assert (definition.build_base, definition.run_base) == (default.build_base, default.run_base)
    assert [variable.name for variable in definition.build_variables] == ["TEAM"]
    assert definition.cpython_versions == ("3.12",)


def test_only_the_default_builder_can_be_extended(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r'builder.toml:2: `pybuild.extends` must be "default"'):
        read_definition(write_builder(tmp_path, '[pybuild]\nextends = "../other.toml"\n'))
