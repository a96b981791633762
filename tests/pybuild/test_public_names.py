from __future__ import annotations

import re
import subprocess
import sys

import pytest

import pybuild
from tests.interpreter import ROOT

# What takes long to load, and what a program that only imports pybuild has no use for.
HEAVY = {"asyncio", "click", "docker", "lifecycle", "packaging", "requests", "rich", "urllib3", "yaml", "zstandard"}


def test_to_import_pybuild_loads_next_to_nothing() -> None:
    program = "import sys\nbefore = set(sys.modules)\nimport pybuild\nprint(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "pybuild" in loaded
    assert not HEAVY & loaded
    assert [name for name in loaded if name.startswith("pybuild.")] == []


@pytest.mark.parametrize("name", pybuild.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(pybuild, name) is not None
    assert name in dir(pybuild)


def test_every_public_name_is_read_by_type_checkers() -> None:
    text = (ROOT / "tests" / "typing" / "public_names.py").read_text()
    assert set(re.findall(r"\bpybuild\.(\w+)", text)) == set(pybuild.__all__)


def test_what_is_not_public_is_not_there() -> None:
    with pytest.raises(AttributeError, match="module 'pybuild' has no attribute 'bulid'"):
        pybuild.bulid  # type: ignore[attr-defined]  # noqa: B018 - a name that somebody mistyped


def test_a_repository_is_all_that_a_request_needs() -> None:
    request = pybuild.BuildRequest(repository=".")
    assert request.builder.name == "builder.toml"
    assert request.location == "."
    assert request.outputs == ()


def test_outputs_are_texts_as_the_command_has_them() -> None:
    request = pybuild.BuildRequest(repository=".", outputs=["nowhere"])
    with pytest.raises(pybuild.CnbError, match="the output `nowhere` does not say what kind of place it is"):
        pybuild.build(request)


def test_a_build_for_several_platforms_is_an_index() -> None:
    platforms = tuple(pybuild.Platform(os="linux", architecture=name) for name in ("amd64", "arm64"))
    with pytest.raises(pybuild.CnbError) as caught:
        pybuild.build(pybuild.BuildRequest(repository=".", platforms=platforms))
    assert caught.value.hint == "call `pybuild.build_index`"
