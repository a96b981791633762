from __future__ import annotations

import pytest

from lifecycle.cnb.digest import Digest
from lifecycle.oci.errors import UnsupportedImage
from pybuild.workspaces.built import BuildKey, BuildRecord, make_record, read_record
from pybuild.workspaces.version import make_version

KEY = BuildKey(
    locks={
        "pybuild/pip": {"requirements.lock": "numpy==2.1\n", "more.lock": "é\n"},
        "my_company/tools/conda": {"conda-explicit.lock": "@EXPLICIT\n"},
    },
    base="sha256:aa",
    builder="b",
    platform="linux/amd64",
    other="sha256:bb",
)


@pytest.mark.parametrize("dockerfile", [None, "FROM scratch\n"])
def test_a_record_comes_back_as_it_was_put(dockerfile: str | None) -> None:
    record = BuildRecord(
        key=KEY, image=Digest.of(b"image"), sbom=None, dockerfile=dockerfile, created="2026-01-01T00:00:00Z"
    )
    found = read_record(make_record(record), source="test")
    assert found == record
    # The image is found by it.
    assert found.key.image_tag == record.key.image_tag


def test_what_is_no_record_is_refused() -> None:
    version = make_version("analysis", 1, b"{}", "2026-01-01T00:00:00Z")
    with pytest.raises(UnsupportedImage, match="no record"):
        read_record(version, source="test")
