"""The files between pybuild's process and the executor."""

from __future__ import annotations

from pathlib import Path

import pytest

from lifecycle.cnb.errors import ConfigurationError
from lifecycle.execution.assignment import (
    Assignment,
    Result,
    read_assignment,
    read_result,
    write_assignment,
    write_result,
)
from lifecycle.execution.facts import RootfsFacts


def test_both_are_read_as_they_were_written(tmp_path: Path) -> None:
    assignment = Assignment(
        declared=("A B", "C"), arguments={"A": "1", "B": ""}, known_image="0" * 64, known_layers=("sha256:" + "1" * 64,)
    )
    write_assignment(tmp_path / "assignment", assignment)
    assert read_assignment(tmp_path / "assignment") == assignment
    for result in (
        Result(image="2" * 64),
        Result(image="2" * 64, facts=RootfsFacts(distro_name="debian", libc="glibc")),
    ):
        write_result(tmp_path / "result", result)
        assert read_result(tmp_path / "result") == result


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"image":""}', '{"image":1}', '{"image":"a","facts":{"libc":[]}}']
)
def test_a_result_that_makes_no_sense_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "result.json"
    path.write_text(content)
    with pytest.raises(ConfigurationError):
        read_result(path)


def test_a_result_is_no_link(tmp_path: Path) -> None:
    (tmp_path / "other").write_text('{"image":"a"}')
    (tmp_path / "result.json").symlink_to("other")
    with pytest.raises(ConfigurationError):
        read_result(tmp_path / "result.json")
