from __future__ import annotations

import os
from datetime import datetime, timezone
from pathlib import Path

import pytest

from lifecycle.cnb.errors import ConfigurationError
from lifecycle.cnb.jsontext import parse_json, render_json
from lifecycle.cnb.toml import Table, parse_toml, read_table, read_toml, write_toml


def table(text: str) -> Table:
    return Table(values=parse_toml(text.encode(), source="x.toml"), source="x.toml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = 1\nb = ", "x.toml:2: invalid TOML: Invalid value"),
        ("a = 1\na = 2", "x.toml:2: invalid TOML: Cannot overwrite a value"),
        ("a = [" + "[" * 100_000, "x.toml: is nested too deeply"),
    ],
)
def test_syntax_errors_name_the_line(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        table(text)
    assert str(caught.value).startswith(message)
    assert caught.value.exit_code == 3


def test_bytes_that_are_not_utf_8_name_the_line() -> None:
    with pytest.raises(ConfigurationError, match=r"x\.toml:2: is not UTF-8 text"):
        parse_toml(b"a = 1\nb = '\xff'", source="x.toml")


def test_integer_of_a_million_digits_is_an_error() -> None:
    with pytest.raises(ConfigurationError):
        table("a = " + "1" * 1_000_000)


def test_byte_order_mark_and_windows_lines_are_read() -> None:
    assert parse_toml(b"\xef\xbb\xbfa = 1\r\nb = 2\r\n", source="x") == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    ("text", "getter", "message"),
    [
        ("", lambda t: t.string("a"), "x.toml: `a` is required"),
        ("a = ''", lambda t: t.string("a"), "x.toml: `a` must not be empty"),
        ("a = 0.12", lambda t: t.string("a"), "x.toml: `a` must be a string, got float 0.12"),
        ("a = 1", lambda t: t.boolean("a", default=False), "x.toml: `a` must be true or false, got integer 1"),
        ("a = true", lambda t: t.optional_integer("a"), "x.toml: `a` must be an integer, got boolean True"),
        ("a = 'x'", lambda t: t.strings("a"), "x.toml: `a` must be an array of strings, got string 'x'"),
        ("a = ['x', 2]", lambda t: t.strings("a"), "x.toml: `a[1]` must be a string, got integer 2"),
        ("a = 1", lambda t: t.table("a"), "x.toml: `a` must be a table, got integer 1"),
        ("[[a]]\n[[a]]\nb = 64", lambda t: t.tables("a")[1].string("b"), "x.toml: `a[1].b` must be a string, got integer 64"),
        ("[a.b]\nc = []", lambda t: t.table("a").table("b").string("c"), "x.toml: `a.b.c` must be a string, got array"),
        ("a = 'x'", lambda t: t.parsed("a", int), "x.toml: `a` invalid literal for int() with base 10: 'x'"),
    ],
)  # fmt: skip
def test_wrong_values_are_located(text: str, getter: object, message: str) -> None:
    assert callable(getter)
    with pytest.raises(ConfigurationError) as caught:
        getter(table(text))
    assert str(caught.value) == message


def test_absent_values() -> None:
    empty = table("")
    assert empty.optional_string("a") is None
    assert empty.strings("a") == ()
    assert empty.tables("a") == ()
    assert empty.table("a").values == {}
    assert empty.boolean("a", default=True) is True


def test_unknown_key_comes_with_the_one_that_may_be_meant() -> None:
    with pytest.raises(ConfigurationError) as caught:
        table("[run]\nimags = 1").table("run").reject_unknown(frozenset({"images"}))
    assert str(caught.value) == "x.toml: `run.imags` is not a known key"
    assert caught.value.hint == "did you mean `images`?"


def test_files_that_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "real.toml").write_text("a = 1")
    (tmp_path / "link.toml").symlink_to("real.toml")
    for path in (tmp_path / "fifo", tmp_path / "absent", tmp_path):
        with pytest.raises(ConfigurationError):
            read_toml(path)
    assert read_toml(tmp_path / "link.toml") == {"a": 1}
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_table(tmp_path / "link.toml", follow_links=False)


def test_written_documents_leave_out_what_is_none_and_leave_no_other_file(tmp_path: Path) -> None:
    values = {"a": None, "b": {"c": None, "d": (1, 2)}, "e": [{"f": None, "g": "x"}]}
    write_toml(tmp_path / "x.toml", values)
    assert read_toml(tmp_path / "x.toml") == {"b": {"d": [1, 2]}, "e": [{"g": "x"}]}
    assert [path.name for path in tmp_path.iterdir()] == ["x.toml"]
    assert (tmp_path / "x.toml").stat().st_mode & 0o777 == 0o644


def test_failed_write_leaves_the_old_document(tmp_path: Path) -> None:
    write_toml(tmp_path / "x.toml", {"a": 1})
    with pytest.raises(TypeError):
        write_toml(tmp_path / "x.toml", {"a": object()})
    assert read_toml(tmp_path / "x.toml") == {"a": 1}


def test_labels_that_are_no_text_can_be_written(tmp_path: Path) -> None:
    label = parse_json('{"a": ["x\\ud800\\ud83d\\ude00"], "\\udfff": "\udc80é"}', source="x")
    assert label.values == {"a": ["x\ufffd\U0001f600"], "\ufffd": "\udc80é"}
    assert render_json(label.values).encode("utf-8", "surrogateescape").endswith(b'\x80\xc3\xa9"}')
    write_toml(tmp_path / "x.toml", label.values)
    assert read_toml(tmp_path / "x.toml") == {"a": ["x\ufffd\U0001f600"], "\ufffd": "?é"}


def test_json_is_the_same_for_the_same_values() -> None:
    values = {
        "b": (1, "é"),
        "a": {"when": datetime(2026, 1, 2, tzinfo=timezone.utc), "size": float("inf"), "none": None},
    }
    assert render_json(values) == '{"a":{"size":"inf","when":"2026-01-02T00:00:00+00:00"},"b":[1,"é"]}'
    assert parse_json(render_json(values), source="x").table("a").string("size") == "inf"
