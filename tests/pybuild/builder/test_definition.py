"""builder.toml: what it says becomes values, and what is wrong with it is said with its place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lifecycle.cnb.errors import ConfigurationError
from lifecycle.cnb.target import host_architecture
from pybuild.builder.contents import Contents, read_contents
from pybuild.builder.definition import default_definition_path, read_definition
from pybuild.builder.dockerfile import DockerfileSettings, Policy
from pybuild.builder.modules import ModuleFinder
from pybuild.builder.requested import ImageBase, PackageBase
from tests.pybuild.recording_log import RecordingLog

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


def contents_of(path: Path) -> Contents:
    definition = read_definition(path)
    finder = ModuleFinder(definition=definition, store=path.parent / "store", log=RecordingLog(), env=os.environ)
    return read_contents(definition, finder.find_all(), host_architecture())


def test_the_default_builder_is_valid() -> None:
    definition = read_definition(default_definition_path())
    contents = contents_of(default_definition_path())
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
    assert [buildpack.source for buildpack in definition.buildpacks] == ["one", "two"]


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
        ('uri = "one"', 'uri = "one"\nimage = "example.org/one"', "`buildpacks[0].image` cannot stand beside `uri`"),
        ('uri = "one"', 'url = "one"', ":3: `buildpacks[0].url` is not a known key"),
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
        ("[build]", "[lifecycle]\nversion = '0.21.0'\n[build]", "`lifecycle.version` cannot be `0.21.0`: pybuild puts"),
        ("[build]", "[lifecycle]\nuri = 'x.tgz'\n[build]", "`lifecycle.uri` cannot be used: pybuild puts its own"),
        ("[build]", "[stack]\nbuild-image = 'other'\n[build]", "`stack.build-image` must be `names/build` as in"),
        ("[build]", "[stack]\nrun-image = 'other'\n[build]", "`stack.run-image` must be `names/run`, the first"),
        ("[build]", "[stack]\nmixins = []\n[build]", "`stack.mixins` is not a known key"),
        (
            "[build]",
            "[[build.env]]\nname = 'A'\nvalue = 'b'\nexec-env = ['test']\n[build]",
            "`build.env[0].exec-env` must have `*` or `production`",
        ),
        (
            "[build]",
            "[[build.env]]\nname = 'A'\nvalue = 'b'\n[[build.env]]\nname = 'A'\nvalue = 'c'\n[build]",
            "`build.env[1].name` `A` stands there twice",
        ),
        ("[build]", "[[order-extensions]]\n[build]", "`order-extensions[0].group` must name at least one"),
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
    assert caught.value.line is not None
    assert place in caught.value.summary


def test_versions_of_the_order_are_filled_in(tmp_path: Path) -> None:
    contents = contents_of(write_builder(tmp_path))
    members = [(str(member), member.optional) for member in contents.order.groups[0]]
    assert members == [("test/one@1.0.0", False), ("test/two@1.0.0", True)]


def test_an_order_that_names_nothing_there_is_refused(tmp_path: Path) -> None:
    path = write_builder(tmp_path)
    path.write_text(path.read_text().replace('id = "test/two"', 'id = "test/three"'))
    with pytest.raises(ConfigurationError, match="names the buildpack `test/three`; there are: `test/one`, `test/two`"):
        contents_of(path)


def test_a_buildpack_of_an_unknown_api_is_refused(tmp_path: Path) -> None:
    write_buildpack(tmp_path / "one", "test/one", api="0.99")
    with pytest.raises(ConfigurationError, match=r"uses Buildpack API 0\.99"):
        contents_of(write_builder(tmp_path))


def test_two_versions_make_the_order_say_which(tmp_path: Path) -> None:
    write_buildpack(tmp_path / "two", "test/one", version="2.0.0")
    path = write_builder(tmp_path)
    path.write_text(path.read_text().replace('id = "test/two"', 'id = "test/one"\nversion = "2.0.0"'))
    with pytest.raises(ConfigurationError, match=r"must say which version of `test/one`: 1\.0\.0, 2\.0\.0"):
        contents_of(path)


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
    assert [one.source for one in definition.buildpacks] == [
        "one",
        *((default.directory / one.source).as_uri() for one in default.buildpacks),
    ]
    assert [str(member.id) for member in definition.order[0]] == ["pybuild/python", "test/one"]
    assert definition.order[1:] == default.order
    assert (definition.build_base, definition.run_base) == (default.build_base, default.run_base)
    assert [variable.name for variable in definition.build_variables] == ["TEAM"]
    assert definition.cpython_versions == ("3.12",)


def test_only_the_default_builder_can_be_extended(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r'builder.toml:2: `pybuild.extends` must be "default"'):
        read_definition(write_builder(tmp_path, '[pybuild]\nextends = "../other.toml"\n'))


def test_the_legacy_table_says_the_images_where_no_other_does(tmp_path: Path) -> None:
    stack = """
    [stack]
    id = "test.stack"
    build-image = "old/build"
    run-image = "old/run"
    run-image-mirrors = ["mirror.example/run"]
    """
    definition = read_definition(write_builder(tmp_path, BUILDPACKS + ORDER + stack + OWN))
    assert definition.build_base == ImageBase(location="docker://old/build")
    assert (definition.run_images[0].image, definition.run_images[0].mirrors) == ("old/run", ("mirror.example/run",))
    assert definition.stack_id == "test.stack"


def test_a_delimiter_counts_wherever_it_is_said(tmp_path: Path) -> None:
    env = """
    [[build.env]]
    name = "A"
    value = "b"
    suffix = "append"
    delim = ":"
    [[build.env]]
    name = "A"
    value = "c"
    suffix = "prepend"
    exec-env = ["*"]
    """
    text = (BUILDPACKS + ORDER + BASES + OWN).replace("[[run.images]]", env + "[[run.images]]")
    variables = read_definition(write_builder(tmp_path, text)).build_variables
    assert [(one.suffix, one.delimiter) for one in variables] == [("append", ":"), ("prepend", None)]


@pytest.mark.parametrize(
    ("old", "new", "message", "hint"),
    [
        ('uri = "one"', 'uri = "three"', ":3: `buildpacks[0].uri` there is no buildpack at", "a directory"),
        ('uri = "one"', 'uri = "https://example.org/one.tgz"', ":3: `buildpacks[0].uri` `https:", "download it"),
        ('uri = "one"', 'uri = "urn:cnb:registry:a/b"', ":3: `buildpacks[0].uri` `urn:cnb:", "docker://NAME"),
        ('uri = "one"', 'uri = "one"\nversion = "2"', ":2: `buildpacks[0]` is test/one@1.0.0, not 2", "correct"),
        ('uri = "two"', 'uri = "one"', ":4: `buildpacks[1]` `test/one@1.0.0` stands there twice", "leave one"),
        (
            "[build]",
            "[[extensions]]\nuri = 'one'\n[build]",
            "`extensions[0].uri` `one` is a buildpack",
            "[[buildpacks]]",
        ),
        (
            "[build]",
            "[[order-extensions]]\n[[order-extensions.group]]\nid = 'a/b'\n[build]",
            "the extension `a/b`",
            "add",
        ),
        (
            "[build]",
            "[system.pre]\nbuildpacks = [{ id = 'a/b' }]\n[build]",
            "`system.pre.buildpacks[0].id` names",
            "add",
        ),
    ],
)
def test_what_is_not_there_is_said_with_its_line(tmp_path: Path, old: str, new: str, message: str, hint: str) -> None:
    path = write_builder(tmp_path, (BUILDPACKS + ORDER + BASES + OWN).replace(old, new, 1))
    with pytest.raises(ConfigurationError) as caught:
        contents_of(path)
    assert message in caught.value.summary
    assert caught.value.hint is not None
    assert hint in caught.value.hint


def test_extensions_take_part_by_an_order_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "extension.toml").write_text('api = "0.12"\n[extension]\nid = "test/more"\nversion = "1"\n')
    text = """
    [[extensions]]
    uri = "more"
    [[order-extensions]]
    [[order-extensions.group]]
    id = "test/more"
    """
    contents = contents_of(write_builder(tmp_path, BUILDPACKS + ORDER + text + BASES + OWN))
    assert [str(one) for one in contents.extensions] == ["test/more@1"]
    assert [(str(one), one.is_extension) for one in contents.order.extensions[0]] == [("test/more@1", True)]


def test_a_composite_buildpack_needs_what_it_is_made_of(tmp_path: Path) -> None:
    write_composite(tmp_path / "all", "test/one@1.0.0", "test/two@1.0.0")
    path = write_builder(tmp_path, '[[buildpacks]]\nuri = "all"\n' + BUILDPACKS + ORDER + BASES + OWN)
    assert [str(one.id) for one in contents_of(path).buildpacks] == ["test/all", "test/one", "test/two"]
    write_composite(tmp_path / "all", "test/one@1.0.0", "test/two@2.0.0")
    with pytest.raises(
        ConfigurationError, match=r"`test/all@1\.0\.0` is made of others, and of them `test/two@2\.0\.0`"
    ):
        contents_of(path)


def write_composite(directory: Path, *members: str) -> None:
    directory.mkdir(exist_ok=True)
    groups = "".join(
        f'[[order.group]]\nid = "{identity}"\nversion = "{version}"\n'
        for identity, _, version in (member.partition("@") for member in members)
    )
    text = f'api = "0.12"\n[buildpack]\nid = "test/all"\nversion = "1.0.0"\n[[order]]\n{groups}'
    (directory / "buildpack.toml").write_text(text)
