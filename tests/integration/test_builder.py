"""The builder says what is in it and keeps nothing of the machine that made it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.integration.command import Pybuild, expect_success
from tests.integration.machine import machine_traces

pytestmark = pytest.mark.integration


def test_inspect_names_bases_interpreters_and_buildpacks(pybuild: Pybuild) -> None:
    said = expect_success(pybuild("builder", "inspect")).stdout
    for word in ("bookworm", "3.10", "pybuild/pip", "pybuild/python", "libssl3"):
        assert word in said
    assert json.loads(expect_success(pybuild("builder", "inspect", "--json")).stdout)


def test_a_builder_that_is_there_is_not_made_again(pybuild: Pybuild) -> None:
    first = expect_success(pybuild("builder", "create"))
    again = expect_success(pybuild("builder", "create"))
    assert again.stdout == first.stdout
    assert again.seconds < 10


def test_nothing_of_the_machine_is_in_the_build_base(machine_store: Path) -> None:
    traces = machine_traces()
    found = []
    for rootfs in machine_store.glob("bases/*/rootfs"):
        for directory, _, names in os.walk(rootfs / "etc"):
            for path in (Path(directory, name) for name in names):
                if path.is_file() and not path.is_symlink():
                    content = path.read_bytes()
                    found += [f"{what} in {path}" for what, trace in traces.items() if trace in content]
        assert (rootfs / "etc/resolv.conf").read_text().strip() == ""
    assert not found
