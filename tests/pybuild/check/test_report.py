"""What a person and a program read of a check."""

from __future__ import annotations

import pytest
from packaging.specifiers import SpecifierSet

from lifecycle.cnb.digest import Digest
from lifecycle.cnb.errors import render_error
from pybuild.check.errors import ProfileNotMet, UnknownProfile
from pybuild.check.profile import BUILT_IN_PROFILES, Profile, UserKind
from pybuild.check.report import CheckReport, Finding, Verdict, describe_report
from pybuild.check.requirements import list_requirements

DIGEST = Digest.of(b"image")
PYTHON = Finding(
    requirement="python >=3.10,<3.14",
    verdict=Verdict.FAILS,
    found="CPython 3.9.2, /usr/bin/python",
    hint="use another base",
)
PIP = Finding(requirement="pip", verdict=Verdict.NOT_TRIED, found="there is no `python` that works")
CURL = Finding(requirement="curl", verdict=Verdict.HOLDS, found="/usr/bin/curl \x1b[31m")


def report(*findings: Finding) -> CheckReport:
    return CheckReport(image=DIGEST, profile=BUILT_IN_PROFILES["deepnote"], findings=findings)


def test_the_table_has_a_line_for_each_requirement_and_its_hint_below() -> None:
    assert describe_report(report(PYTHON, PIP, CURL)) == [
        f"profile deepnote, image {DIGEST}",
        "  fails      python >=3.10,<3.14  CPython 3.9.2, /usr/bin/python",
        "                                  hint: use another base",
        "  not tried  pip                  there is no `python` that works",
        "  holds      curl                 /usr/bin/curl \\x1b[31m",
    ]


@pytest.mark.parametrize(("findings", "holds"), [((CURL,), True), ((CURL, PIP), False), ((CURL, PYTHON), False)])
def test_a_profile_is_met_when_everything_holds(findings: tuple[Finding, ...], holds: bool) -> None:
    assert report(*findings).holds is holds


def test_the_json_document() -> None:
    assert report(PYTHON, CURL).to_json() == {
        "image": str(DIGEST),
        "profile": "deepnote",
        "holds": False,
        "requirements": [
            {
                "requirement": "python >=3.10,<3.14",
                "verdict": "fails",
                "found": "CPython 3.9.2, /usr/bin/python",
                "hint": "use another base",
            },
            {"requirement": "curl", "verdict": "holds", "found": "/usr/bin/curl \x1b[31m", "hint": None},
        ],
    }


def test_the_error_says_what_is_not_met() -> None:
    error = ProfileNotMet(location="oci:image", report=report(PYTHON, PIP, CURL))
    assert error.exit_code == 6
    assert render_error(error).splitlines() == [
        "error: `oci:image` does not meet the profile `deepnote`",
        "  python >=3.10,<3.14  CPython 3.9.2, /usr/bin/python",
        "  pip                  there is no `python` that works",
        "hint: use another base",
    ]


def test_an_unknown_profile_names_the_known_ones() -> None:
    error = UnknownProfile("deepnotes", ["course", "deepnote"])
    assert error.exit_code == 2
    assert error.summary == "there is no profile `deepnotes`"
    assert error.hint is not None
    assert error.hint.startswith("known are `course`, `deepnote`;")


def test_what_a_profile_asks_for() -> None:
    assert list_requirements(BUILT_IN_PROFILES["deepnote"]) == (
        "platform linux/amd64",
        "python >=3.10,<3.14",
        "pip installs onto Python's path",
        "bash",
        "curl",
    )
    other = Profile(name="other", user=UserKind.ORDINARY, modules=("numpy",))
    assert list_requirements(other) == ("runs as an ordinary user", "import numpy")


def test_the_key_of_a_profile_follows_what_it_asks_for() -> None:
    one = Profile(name="one", python=SpecifierSet(">=3.10,<3.14"), programs=("bash",))
    same = Profile(name="two", description="text", python=SpecifierSet("<3.14,>=3.10"), programs=("bash",))
    assert one.key() == same.key()
    different = [
        Profile(name="one", python=SpecifierSet(">=3.10"), programs=("bash",)),
        Profile(name="one", python=SpecifierSet(">=3.10,<3.14"), modules=("bash",)),
        Profile(name="one", python=SpecifierSet(">=3.10,<3.14"), programs=("bash",), pip=True),
        Profile(name="one", python=SpecifierSet(">=3.10,<3.14"), programs=("bash",), user=UserKind.ROOT),
    ]
    assert len({profile.key() for profile in (one, *different)}) == 5
