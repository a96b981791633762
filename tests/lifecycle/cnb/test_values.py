"""The small values: ids, API versions, targets, errors as text, masked credentials, orders."""

from __future__ import annotations

from pathlib import Path

import pytest

from lifecycle.cnb.api import ApiVersion, fits_exec_env
from lifecycle.cnb.errors import CnbError, ConfigurationError, render_error
from lifecycle.cnb.identifier import BuildpackId, parse_version
from lifecycle.cnb.labels import ProjectMetadata
from lifecycle.cnb.layer import remove_tree
from lifecycle.cnb.mask import mask_credentials
from lifecycle.cnb.metadata import read_project_metadata, write_project_metadata
from lifecycle.cnb.order import GroupMember, Order, read_order, write_order


@pytest.mark.parametrize(
    "text", ["", "app", "config", "sbom", "generated", "a_b", "a b", "../x", "a/../b", "/a", "a//b", "."]
)
def test_ids_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="buildpack"):
        BuildpackId.parse(text)


def test_id_as_a_part_of_a_path() -> None:
    assert BuildpackId.parse("example.org/a-b/c").directory_name == "example.org_a-b_c"


@pytest.mark.parametrize("text", ["", "..", "1/2", ".1"])
def test_versions_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="not a version"):
        parse_version(text)


@pytest.mark.parametrize(("text", "expected"), [("0.12", "0.12"), ("v0.10", "0.10"), ("1", "1.0")])
def test_api_versions(text: str, expected: str) -> None:
    assert str(ApiVersion.parse(text)) == expected


@pytest.mark.parametrize("text", ["", "a", "0.12.1", "0,12", "-1"])
def test_api_versions_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="not an API version"):
        ApiVersion.parse(text)


def test_api_versions_are_ordered_by_number() -> None:
    assert ApiVersion.parse("0.9") < ApiVersion.parse("0.10")


def test_execution_environments() -> None:
    assert fits_exec_env((), "production")
    assert fits_exec_env(("*",), "anything")
    assert not fits_exec_env(("test",), "production")


class Example(CnbError):
    summary = "blob of layer `venv` does not match"
    facts = (("digest", "expected a\nread b"), ("size", "1 \x1b[31mbyte"))
    hint = "build again"


def test_error_as_text() -> None:
    assert render_error(Example()) == (
        "error: blob of layer `venv` does not match\n"
        "  digest  expected a\n"
        "          read b\n"
        "  size    1 \\x1b[31mbyte\n"
        "hint: build again"
    )


def test_configuration_error_names_its_place() -> None:
    assert render_error(ConfigurationError(Path("a/b.toml"), "is wrong", line=3)) == "error: a/b.toml:3: is wrong"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://user:p@ss@host/simple", "https://***@host/simple"),
        ("see https://token@host/x and http://b:c@d", "see https://***@host/x and http://***@d"),
        ("ssh://git@host/x.git", "ssh://git@host/x.git"),
        ("https://host/a@b", "https://host/a@b"),
        ("https://conda.host/t/SECRET/main", "https://conda.host/t/***/main"),
        ("https://h/x?X-Amz-Signature=abc&y=1", "https://h/x?X-Amz-Signature=***&y=1"),
        ("no url: a@b", "no url: a@b"),
        ("/t/SECRET/main", "/t/SECRET/main"),
    ],
)
def test_credentials_are_masked(text: str, expected: str) -> None:
    assert mask_credentials(text) == expected


def test_masking_takes_linear_time() -> None:
    mask_credentials("?/" * 200_000 + "://" * 100_000)


def test_order_survives_its_file(tmp_path: Path) -> None:
    member = GroupMember(id=BuildpackId.parse("a/b"), version="1.0.0", optional=True, exec_env=("test",))
    order = Order(groups=((member,), (GroupMember(id=BuildpackId.parse("c"), version="2.0.0"),)))
    write_order(tmp_path / "order.toml", order)
    assert read_order(tmp_path / "order.toml") == order


def test_project_metadata(tmp_path: Path) -> None:
    project = ProjectMetadata(source_type="git", source_version={"commit": "abc"}, source_metadata={"url": "u"})
    write_project_metadata(tmp_path / "p.toml", project)
    assert read_project_metadata(tmp_path / "p.toml") == project
    assert project.render() == '{"source":{"metadata":{"url":"u"},"type":"git","version":{"commit":"abc"}}}'
    assert ProjectMetadata().render() == "{}"
    assert read_project_metadata(tmp_path / "absent.toml") == ProjectMetadata()


def test_tree_that_its_owner_may_not_write_is_removed(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("stays")
    deep = tmp_path / "a/b/c"
    deep.mkdir(parents=True)
    (deep / "file").write_text("x")
    (deep / "link").symlink_to(tmp_path / "outside")
    deep.chmod(0o500)
    deep.parent.chmod(0)
    remove_tree(tmp_path / "a")
    assert not (tmp_path / "a").exists()
    assert (tmp_path / "outside").read_text() == "stays"
    remove_tree(tmp_path / "a")
