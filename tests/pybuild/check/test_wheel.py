"""The wheel that pip is tried with is one."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from pathlib import Path

from packaging.utils import parse_wheel_filename

from pybuild.check.wheel import write_wheel


def test_the_record_agrees_with_what_is_there(tmp_path: Path) -> None:
    path = write_wheel(tmp_path, "pybuild_check_1", "VALUE = 1\n")
    name, version, _, tags = parse_wheel_filename(path.name)
    assert (name, str(version)) == ("pybuild-check-1", "1.0")
    assert {str(tag) for tag in tags} == {"py2-none-any", "py3-none-any"}
    with zipfile.ZipFile(path) as archive:
        lines = archive.read("pybuild_check_1-1.0.dist-info/RECORD").decode().splitlines()
        recorded = {line.split(",")[0]: line.split(",")[1:] for line in lines}
        assert recorded.keys() == set(archive.namelist())
        for member, (digest, size) in recorded.items():
            if not member.endswith("RECORD"):
                content = archive.read(member)
                expected = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
                assert (digest, int(size)) == (f"sha256={expected}", len(content))
