from __future__ import annotations

from dataclasses import replace

import pytest

import pybuild
from pybuild.delivery import read_outputs

AMD64, ARM64 = (pybuild.Platform(os="linux", architecture=name) for name in ("amd64", "arm64"))


@pytest.mark.parametrize("name", ["/etc/profile", "../../../work", "", "A\0", "A=B", "1A", "Ä", "CNB_PLATFORM_API"])
def test_names_of_variables_lead_nowhere(name: str) -> None:
    with pytest.raises(pybuild.InputError, match="env: `"):
        pybuild.BuildRequest(repository=".", env={name: "x"})


def test_values_of_variables_are_texts() -> None:
    with pytest.raises(pybuild.InputError, match="env: the value of `JOBS` is no text") as caught:
        pybuild.BuildRequest(repository=".", env={"JOBS": 4})  # type: ignore[dict-item]  # as YAML has it
    assert caught.value.hint == 'write `"4"`'


@pytest.mark.parametrize("name", ["", "*", "../x", "a\0"])
def test_execution_environments_have_names(name: str) -> None:
    with pytest.raises(pybuild.InputError, match="is not the name of an execution environment"):
        pybuild.BuildRequest(repository=".", exec_env=name)


def test_a_repository_has_no_nul() -> None:
    with pytest.raises(pybuild.InputError, match="has a NUL character"):
        pybuild.BuildRequest(repository="a\0b")


def test_a_time_limit_is_a_number() -> None:
    with pytest.raises(pybuild.InputError, match="timeout_s: NaN"):
        pybuild.BuildRequest(repository=".", timeout_s=float("nan"))


@pytest.mark.parametrize(
    ("platforms", "message"),
    [
        ((), "there is none to build for"),
        ((AMD64, ARM64, AMD64), "has an architecture twice"),
        ((ARM64, replace(ARM64, variant="v8")), "has an architecture twice"),
        ((replace(AMD64, os="windows"),), "images are made for linux, not for windows/amd64"),
    ],
)
def test_a_build_is_for_something_and_does_not_wait_for_itself(
    platforms: tuple[pybuild.Platform, ...], message: str
) -> None:
    with pytest.raises(pybuild.InputError, match=message):
        pybuild.BuildRequest(repository=".", platforms=platforms)


def test_one_text_is_not_several() -> None:
    with pytest.raises(pybuild.InputError, match="the outputs are a text, `oci:image`") as caught:
        read_outputs("oci:image")
    assert caught.value.hint == 'write `["oci:image"]`'
    with pytest.raises(pybuild.InputError, match="the names are a text, `localhost:5000/app`"):
        pybuild.push_image(pybuild.PushRequest(location="oci:image", names="localhost:5000/app"))
