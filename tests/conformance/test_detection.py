"""Detection: the detector is started on orders of small buildpacks (platform.md, "Detect"; buildpack.md, "Phase #1")."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from lifecycle.cnb.order import GroupMember, Order, write_order
from tests.conformance.kit import DEBIAN, Lifecycle, plan, read_toml, write_toml
from tests.lifecycle.world import member

pytestmark = pytest.mark.integration

BIONIC = {"os": "linux", "arch": "amd64", "distro": {"name": "ubuntu", "version": "18.04"}}
# Passes unless the application has a file of that name.
UNLESS_FAILING = '[ ! -e "fail-$(basename "$(dirname "$CNB_BUILDPACK_DIR")")" ] || exit 100'


def add(lifecycle: Lifecycle, names: str, detect: str = "", **other: str) -> None:
    for name in names.split():
        lifecycle.world.add(name, detect=detect, **other)


@pytest.mark.requirement("DET-01")
@pytest.mark.parametrize("ending", ["exit 100", "exit 1", "exit 20", "kill -9 $$"])
def test_a_required_buildpack_that_does_not_pass_ends_its_group(lifecycle: Lifecycle, ending: str) -> None:
    lifecycle.world.add("other", detect=ending)
    add(lifecycle, "yes")
    assert lifecycle.detected("yes other", "yes") == "yes"


@pytest.mark.requirement("DET-02", "DIF-24")
@pytest.mark.parametrize(
    ("groups", "status"),
    [(("no", "yes no"), 20), (("broken no", "no"), 21), (("broken?",), 21), (("no?",), 20), ((), 20)],
)
def test_where_nothing_fits_the_code_tells_whether_a_buildpack_erred(
    lifecycle: Lifecycle, groups: tuple[str, ...], status: int
) -> None:
    add(lifecycle, "yes")
    add(lifecycle, "no", "exit 100")
    add(lifecycle, "broken", "exit 7")
    assert lifecycle.detect(*groups).status == status
    assert not (lifecycle.layers / "group.toml").exists()
    assert not (lifecycle.layers / "plan.toml").exists()


@pytest.mark.requirement("DET-03")
def test_an_optional_buildpack_that_fails_or_errs_is_left_out(lifecycle: Lifecycle) -> None:
    add(lifecycle, "yes too")
    add(lifecycle, "no", "exit 100")
    add(lifecycle, "broken", "exit 7")
    assert lifecycle.detected("no? yes broken? too?") == "yes too"


@pytest.mark.requirement("DET-04")
def test_a_group_of_which_no_buildpack_passed_fails(lifecycle: Lifecycle) -> None:
    add(lifecycle, "yes")
    add(lifecycle, "no", "exit 100")
    assert lifecycle.detected("no?", "yes") == "yes"
    assert lifecycle.detect("no? no?").status == 20


@pytest.mark.requirement("DET-05")
@pytest.mark.parametrize("api", ["0.12", "0.13", "0.14", "0.15"])
def test_the_first_group_that_fits_wins_in_its_order(lifecycle: Lifecycle, api: str) -> None:
    lifecycle.world.add("b", keys='homepage = "https://b.test"')
    lifecycle.world.add("a", api="0.10")
    add(lifecycle, "no", "exit 100")
    assert lifecycle.detected("b no", "b a?", "a", api=api) == "b a"
    assert read_toml(lifecycle.layers / "group.toml") == {
        "group": [
            {"id": "b", "version": "1.0.0", "api": "0.12", "homepage": "https://b.test"},
            {"id": "a", "version": "1.0.0", "api": "0.10"},
        ]
    }
    assert lifecycle.plan() == {}


@pytest.mark.requirement("DET-06")
@pytest.mark.parametrize(
    ("order", "failing", "expected"),
    [
        ("E O F", "", "E A B F"),
        ("E O F", "B", "E C D F"),
        ("O P", "", "A B E F"),
        ("O P", "E", "A B G H"),
        ("O P", "A", "C D E F"),
        ("O P", "A F", "C D G H"),
        ("N H", "A", "G C D E H"),
        ("N H", "A D", "F H"),
    ],
)
def test_composites_are_expanded_depth_first(lifecycle: Lifecycle, order: str, failing: str, expected: str) -> None:
    add(lifecycle, "A B C D E F G H", UNLESS_FAILING)
    lifecycle.world.add_composite("O", "A B", "C D")
    lifecycle.world.add_composite("P", "E F", "G H")
    lifecycle.world.add_composite("N", "G O E", "F")
    for name in failing.split():
        lifecycle.world.write(f"workspace/fail-{name}")
    assert lifecycle.detected(order) == expected


@pytest.mark.requirement("DET-07")
def test_a_group_is_tried_again_without_its_optional_composite(lifecycle: Lifecycle) -> None:
    add(lifecycle, "A F", UNLESS_FAILING)
    lifecycle.world.add_composite("O", "A")
    assert lifecycle.detected("O? F") == "A F"
    lifecycle.world.write("workspace/fail-A")
    assert lifecycle.detected("O? F") == "F"
    assert lifecycle.detect("O F").status == 20


@pytest.mark.requirement("DET-08")
def test_the_first_of_an_id_runs_where_a_group_has_it_twice(lifecycle: Lifecycle) -> None:
    lifecycle.world.add("A", detect=lifecycle.note("one"))
    lifecycle.world.add("A", version="2.0.0", detect=lifecycle.note("two"))
    write_order(lifecycle.layers / "order.toml", Order(groups=((member("A"), member("A", "2.0.0")),)))
    assert lifecycle.start("detector").status == 0
    assert [one["version"] for one in read_toml(lifecycle.layers / "group.toml")["group"]] == ["1.0.0"]
    assert lifecycle.noted == "one"


@pytest.mark.parametrize(
    ("plans", "order", "expected"),
    [
        pytest.param({"A": "+x", "B": ""}, "A B", None, marks=pytest.mark.requirement("DET-09")),
        pytest.param({"A": "+x", "B": ""}, "A? B", "B", marks=pytest.mark.requirement("DET-09")),
        pytest.param({"A": "-x", "B": "+x"}, "B A", "B A", marks=pytest.mark.requirement("DET-09")),
        pytest.param({"A": "+x -x"}, "A", "A", marks=pytest.mark.requirement("DET-09", "DET-10")),
        pytest.param({"A": "-x", "B": "+x"}, "A B", None, marks=pytest.mark.requirement("DET-09", "DET-10")),
        pytest.param({"A": "-x", "B": ""}, "A B", None, marks=pytest.mark.requirement("DET-10")),
        pytest.param({"A": "-x", "B": ""}, "A? B", "B", marks=pytest.mark.requirement("DET-10")),
        # Without its provider B cannot stay, without B nobody requires what C provides: removal cascades.
        pytest.param(
            {"A": "+x +y", "B": "-x +z", "C": "-z", "D": ""}, "A? B? C? D", "D", marks=pytest.mark.requirement("DET-10")
        ),
        pytest.param(
            {"A": "+x +y", "B": "-x +z", "C": "-z", "D": ""}, "A? B? C D", None, marks=pytest.mark.requirement("DET-10")
        ),
    ],
)
def test_what_is_provided_is_required_and_what_is_required_is_provided(
    lifecycle: Lifecycle, plans: dict[str, str], order: str, expected: str | None
) -> None:
    for name, text in plans.items():
        lifecycle.world.add(name, detect=plan(text))
    if expected is None:
        assert lifecycle.detect(order).status == 20
    else:
        assert lifecycle.detected(order) == expected


@pytest.mark.requirement("DET-09", "DET-10")
def test_all_providers_before_a_requirement_may_provide_it(lifecycle: Lifecycle) -> None:
    for name, text in {"A": "+x", "B": "+x", "C": "-x", "D": "+x", "E": "-x"}.items():
        lifecycle.world.add(name, detect=plan(text))
    assert lifecycle.detected("A B C D E") == "A B C D E"
    assert lifecycle.plan() == {"x": ["A", "B", "D"]}
    entries = read_toml(lifecycle.layers / "plan.toml")["entries"]
    assert entries[0]["providers"][0] == {"id": "A", "version": "1.0.0"}
    assert len(entries[0]["requires"]) == 2


@pytest.mark.requirement("DET-11")
def test_alternatives_are_tried_depth_first(lifecycle: Lifecycle) -> None:
    for name, text in {
        "A": "+d2 | +d1",
        "B": "-d3 | -d1",
        "C": "+d5 -d4 | +d6 -d6",
        "D": "+d8 -d7 | +d10 -d9",
    }.items():
        lifecycle.world.add(name, detect=plan(text))
    assert lifecycle.detected("A? B? C D?") == "A B C"
    assert lifecycle.plan() == {"d1": ["A"], "d6": ["C"]}


@pytest.mark.requirement("DET-11", "DIF-17")
def test_an_optional_buildpack_is_dropped_after_its_alternatives_only(lifecycle: Lifecycle) -> None:
    # By the letter of the specification it could be dropped at once, and B would fit alone by its second plan.
    lifecycle.world.add("A", detect=plan("+nothing | +x"))
    lifecycle.world.add("B", detect=plan("-x | "))
    assert lifecycle.detected("A? B") == "A B"


@pytest.mark.requirement("DET-12", "DIF-16")
def test_a_required_buildpack_for_another_target_fails_its_group(lifecycle: Lifecycle) -> None:
    lifecycle.write_analyzed(DEBIAN)
    lifecycle.world.add("arm", detect=lifecycle.note("ran"), tables='[[targets]]\nos = "linux"\narch = "arm64"')
    add(lifecycle, "yes")
    assert lifecycle.detected("arm yes", "arm? yes") == "yes"
    assert lifecycle.detect("arm yes").status == 21
    assert lifecycle.noted == ""


@pytest.mark.requirement("DET-12", "DIF-06", "DIF-16")
def test_what_a_target_leaves_out_matches_all(lifecycle: Lifecycle) -> None:
    lifecycle.write_analyzed({**DEBIAN, "arch": "arm64", "variant": "v8", "arch-variant": "v8"})
    distro = "[[targets.distros]]\nname = "
    fitting = {
        "none": "",
        "os": 'os = "linux"',
        "arch": 'arch = "arm64"',
        "variant": 'arch = "arm64"\nvariant = "v8"',
        "arch-variant": 'arch = "arm64"\narch-variant = "v8"',
        "distro": f'os = "linux"\n{distro}"debian"',
        "version": f'{distro}"alpine"\n{distro}"debian"\nversion = "12"',
        "second": 'os = "windows"\n[[targets]]\nos = "linux"',
    }
    other = {
        "windows": 'os = "windows"',
        "amd64": 'os = "linux"\narch = "amd64"',
        "v7": 'arch = "arm64"\nvariant = "v7"',
        "ubuntu": f'{distro}"ubuntu"',
        "old": f'{distro}"debian"\nversion = "11"',
    }
    for name, target in {**fitting, **other}.items():
        lifecycle.world.add(name, tables=f"[[targets]]\n{target}")
    # Optional ones that do not fit are left out.
    assert lifecycle.detected(" ".join(f"{name}?" for name in (*other, *fitting))) == " ".join(fitting)


@pytest.mark.requirement("DET-13", "DIF-29")
@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (DEBIAN, "any program"),
        (BIONIC, "any bionic program"),
        ({**BIONIC, "arch": "arm64"}, "any program"),
        ({"os": "windows", "arch": "amd64"}, "any"),
    ],
)
def test_targets_are_inferred_where_a_buildpack_names_none(
    lifecycle: Lifecycle, target: dict[str, object], expected: str
) -> None:
    lifecycle.write_analyzed(target)
    lifecycle.world.add("any", tables='[[stacks]]\nid = "*"')
    lifecycle.world.add("bionic", tables='[[stacks]]\nid = "io.buildpacks.stacks.bionic"')
    lifecycle.world.add("program")
    assert lifecycle.detected("any? bionic? program?") == expected


@pytest.mark.requirement("DET-14")
def test_the_distribution_comes_from_os_release_where_the_run_image_says_none(lifecycle: Lifecycle) -> None:
    lifecycle.write_analyzed({"os": "linux", "arch": "s390x"})
    lifecycle.world.add("a", detect=lifecycle.dump("env"))
    lifecycle.detected("a")
    release = dict(
        line.replace('"', "").split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line
    )
    env = lifecycle.variables("env")
    assert env["CNB_TARGET_ARCH"] == "s390x"
    assert env["CNB_TARGET_DISTRO_NAME"] == release["ID"]
    assert env.get("CNB_TARGET_DISTRO_VERSION") == release.get("VERSION_ID")


@pytest.mark.requirement("DET-15", "DIF-33")
def test_system_buildpacks_stand_around_each_group(lifecycle: Lifecycle) -> None:
    add(lifecycle, "pre post a b")
    add(lifecycle, "no", "exit 100")
    lifecycle.world.add_composite("O", "a")

    def member_of(name: str, *, optional: bool = False) -> dict[str, object]:
        return {"id": name, "version": "1.0.0", "optional": optional}

    system = {
        "pre": {"buildpacks": [member_of("pre"), member_of("no", optional=True)]},
        "post": {"buildpacks": [member_of("post")]},
    }
    write_toml(lifecycle.root / "system.toml", {"system": system})
    variables = {"CNB_SYSTEM_PATH": str(lifecycle.root / "system.toml")}
    assert lifecycle.detected("no", "O b", env=variables) == "pre a b post"
    assert lifecycle.detected("post a", env=variables) == "pre post a"
    assert lifecycle.detected("a", env=variables, api="0.14") == "a"


@pytest.mark.requirement("DET-16", "DIF-07", "DIF-27")
@pytest.mark.parametrize("keys", ['exec-env = ["test", "ci"]', '[[buildpack.exec-env]]\nname = "test"'])
def test_a_member_for_another_execution_environment_is_skipped(lifecycle: Lifecycle, keys: str) -> None:
    lifecycle.world.add("t", keys=keys, detect=lifecycle.note("ran"))
    lifecycle.world.add("all", keys='exec-env = ["*"]')
    assert lifecycle.detected("t", "t all") == "all"
    assert lifecycle.noted == ""
    assert lifecycle.detect("t").status == 20
    assert lifecycle.detected("t", "t all", env={"CNB_EXEC_ENV": "test"}) == "t"
    assert lifecycle.detected("t", "all", api="0.14") == "t"


@pytest.mark.requirement("DET-16", "DIF-08")
def test_an_order_restricts_a_member_and_older_buildpacks_cannot(lifecycle: Lifecycle) -> None:
    add(lifecycle, "a b")
    lifecycle.world.add("old", api="0.11", keys='exec-env = ["test"]')
    groups = (tuple(one if one.id != "a" else restricted(one) for one in map(member, ("a", "b", "old"))),)
    write_order(lifecycle.layers / "order.toml", Order(groups=groups))
    assert lifecycle.start("detector").status == 0
    assert lifecycle.group() == "b old"


def restricted(one: GroupMember) -> GroupMember:
    return GroupMember(id=one.id, version=one.version, optional=one.optional, exec_env=("test",))


@pytest.mark.requirement("DET-17")
@pytest.mark.parametrize(
    "content", ["this is = not = TOML", '[[requires]]\nname = "x"\nversion = "1"', "[[provides]]\nname = 3"]
)
def test_a_plan_that_cannot_be_used_is_an_error(lifecycle: Lifecycle, content: str) -> None:
    lifecycle.world.add("broken", detect=f"cat > \"$2\" <<'END'\n{content}\nEND")
    add(lifecycle, "yes")
    assert lifecycle.detect("yes broken").status == 21
    assert lifecycle.detected("yes broken?") == "yes"


@pytest.mark.requirement("DET-18")
def test_no_detect_program_runs_twice(lifecycle: Lifecycle) -> None:
    lifecycle.world.add("A", detect=lifecycle.note("A"))
    add(lifecycle, "no", f"{lifecycle.note('no')}; exit 100")
    assert lifecycle.detected("A no", "no A", "A") == "A"
    assert sorted(lifecycle.noted.split()) == ["A", "no"]


@pytest.mark.requirement("DET-19")
def test_members_of_a_group_detect_side_by_side(lifecycle: Lifecycle) -> None:
    # Each waits for all others: one after the other they would wait for ever.
    meeting = lifecycle.root / "meeting"
    meeting.mkdir()
    names = "A B C D"
    arrived = f'touch "{meeting}/$$"; until [ "$(ls {meeting} | wc -l)" = 4 ]; do sleep 0.02; done'
    add(lifecycle, names, f"{arrived}; sleep 0.$((RANDOM % 3)); {plan('+x -x')}")
    started = time.monotonic()
    assert lifecycle.detected(names) == names
    assert time.monotonic() - started < 20
    assert lifecycle.plan() == {"x": names.split()}
