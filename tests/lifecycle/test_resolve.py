from __future__ import annotations

from lifecycle.cnb.identifier import BuildpackId
from lifecycle.cnb.plan import BuildPlan, Requirement
from lifecycle.resolve import Candidate, Resolution, resolve_plans


def plan(text: str) -> BuildPlan:
    """`"+a -b | +c"`: provides a and requires b, or provides c."""
    first, *others = (
        BuildPlan(
            provides=tuple(word[1:] for word in part.split() if word[0] == "+"),
            requires=tuple(Requirement(name=word[1:]) for word in part.split() if word[0] == "-"),
        )
        for part in text.split("|")
    )
    return BuildPlan(provides=first.provides, requires=first.requires, alternatives=tuple(others))


def resolve(**plans: str) -> Resolution:
    """Names that end in `_` are optional buildpacks."""
    return resolve_plans(
        [
            Candidate(
                id=BuildpackId.parse(name.rstrip("_")), version="1.0.0", optional=name.endswith("_"), plan=plan(text)
            )
            for name, text in plans.items()
        ]
    )


def chosen(resolution: Resolution) -> str | None:
    return None if resolution.chosen is None else " ".join(candidate.id for candidate in resolution.chosen)


def providers(resolution: Resolution) -> dict[str, list[str]]:
    return {entry.name: [provider.id for provider in entry.providers] for entry in resolution.plan.entries}


def test_vector_of_the_reference_implementation() -> None:
    resolution = resolve(A_="+d2 | +d1", B_="-d3 | -d1", C="+d5 -d4 | +d6 -d6", D_="+d8 -d7 | +d10 -d9")
    assert chosen(resolution) == "A B C"
    assert providers(resolution) == {"d1": ["A"], "d6": ["C"]}


def test_requirement_is_met_by_the_buildpack_itself_or_one_before_it() -> None:
    assert chosen(resolve(A="+x -x")) == "A"
    assert chosen(resolve(A="+x", B="-x")) == "A B"
    assert chosen(resolve(A="-x", B="+x")) is None


def test_provision_nobody_uses_spoils_a_group_or_drops_an_optional_buildpack() -> None:
    assert chosen(resolve(A="+x", B="")) is None
    resolution = resolve(A_="+x", B="")
    assert chosen(resolution) == "B"
    assert resolution.misfits == {"A@1.0.0": "provides `x`, which no buildpack after it requires"}


def test_dropping_cascades() -> None:
    resolution = resolve(A_="+x", B_="-x -gone", C="")
    assert chosen(resolution) == "C"
    assert set(resolution.misfits) == {"A@1.0.0", "B@1.0.0"}


def test_nothing_left_is_no_group() -> None:
    assert chosen(resolve(A_="+x")) is None


def test_missing_provider_is_named() -> None:
    assert resolve(A="-python").misfits == {"A@1.0.0": "requires `python`, which no buildpack before it provides"}


def test_optional_buildpack_is_dropped_only_in_its_last_alternative() -> None:
    # The first alternative of A fits nothing, the second does: A must not be lost by dropping it too early.
    resolution = resolve(A_="+unused | +x", B="-x | ")
    assert chosen(resolution) == "A B"


def test_all_providers_and_requirements_of_a_name_stand_in_its_entry() -> None:
    resolution = resolve(A="+x", B="+x -x", C="-x")
    (entry,) = resolution.plan.entries
    assert [provider.id for provider in entry.providers] == ["A", "B"]
    assert len(entry.requires) == 2


def test_provision_after_the_last_requirement_is_unused() -> None:
    assert chosen(resolve(A="+x", B="-x", C="+x")) is None


def test_empty_plans_fit() -> None:
    resolution = resolve(A="", B="")
    assert chosen(resolution) == "A B"
    assert resolution.plan.entries == ()
