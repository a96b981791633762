"""docs/environments.md lists the codes that there are."""

from __future__ import annotations

import re

from tests.interpreter import ROOT


def test_every_code_is_documented() -> None:
    text = (ROOT / "docs" / "environments.md").read_text(encoding="utf-8")
    _, _, table = text.partition("| code |")
    rows = re.findall(r"^\| (`[^|]*) \| (error|warning) \|", table, re.MULTILINE)
    documented = {(code, kind) for codes, kind in rows for code in re.findall(r"`([a-z-]+)`", codes)}
    sources = "".join(path.read_text() for path in sorted((ROOT / "pybuild" / "environments").glob("*.py")))
    raised = set(re.findall(r'yield _(error|warning)\(\s*"([a-z-]+)"', sources))
    refused = re.findall(r'refuse\(name, "([a-z-]+)"', sources)
    assert documented == {(code, kind) for kind, code in raised} | {(code, "error") for code in refused}
