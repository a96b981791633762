"""An error of a TOML file names the line that is to be changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from lifecycle.cnb.errors import ConfigurationError
from lifecycle.cnb.toml import find_line, read_table

DOCUMENT = '''description = """
[[order]]
id = 1
"""
[[order]]
[[order.group]]
id = "a"
[[order.group]]
  id = "b"

[[order]]
[[order.group]]
id = "c"
optional = true
[a."b.c"]
list = [
  1,
  2,
]
x.y = 2
'''


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("description", 1),
        ("order[0]", 5),
        ("order[0].group[0].id", 7),
        ("order[0].group[1].id", 9),
        ("order[0].group[1].version", 8),
        ("order[1].group[0].optional", 14),
        ("a.b.c.list[1]", 18),
        ("a.b.c.x.y", 20),
        ("unknown", None),
    ],
)
def test_the_line_of_a_place(place: str, line: int | None) -> None:
    assert find_line(DOCUMENT, place) == line


def test_errors_of_a_file_name_the_line(tmp_path: Path) -> None:
    path = tmp_path / "some.toml"
    path.write_text("[one]\ntwo = 3\nthree = 4\n")
    document = read_table(path)
    with pytest.raises(ConfigurationError) as wrong:
        document.table("one").string("two")
    assert wrong.value.line == 2
    with pytest.raises(ConfigurationError) as unknown:
        document.table("one").reject_unknown(frozenset({"two"}))
    assert str(unknown.value).startswith(f"{path}:3: `one.three` is not a known key")
    with pytest.raises(ConfigurationError) as missing:
        document.table("one").string("name")
    assert missing.value.line == 1
