from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lifecycle.cnb.buildpack import read_descriptor
from lifecycle.cnb.errors import ConfigurationError
from lifecycle.cnb.order import Order, System
from lifecycle.cnb.target import Target, complete_target
from lifecycle.detection import Detection, Outcome, parse_detection, render_detection
from lifecycle.errors import (
    BuildpackApiUnsupported,
    CompositeCycle,
    DetectionErrored,
    MissingBuildpack,
    NothingDetected,
)
from tests.lifecycle.world import World, member, order


def ids(detection: Detection) -> str | None:
    return None if detection.group is None else " ".join(element.id for element in detection.group.elements)


def tried(detection: Detection) -> list[str]:
    return [" ".join(member.id for member in trial.members) for trial in detection.trials]


def provides(name: str) -> str:
    return f"""printf '[[provides]]\\nname = "{name}"\\n' >> "$CNB_BUILD_PLAN_PATH\""""


def requires(name: str) -> str:
    return f"""printf '[[requires]]\\nname = "{name}"\\n' >> "$CNB_BUILD_PLAN_PATH\""""


def test_first_group_that_fits_wins(world: World) -> None:
    world.add("no", detect="echo not mine; exit 100")
    world.add("yes")
    world.add("later", detect=f"touch {world.root}/ran")
    assert ids(world.detect(order("no yes", "yes", "later"))) == "yes"
    assert not (world.root / "ran").exists()


def test_later_groups_are_asked_where_a_person_wants_to_know_and_change_nothing(world: World) -> None:
    world.add("no", detect="exit 100")
    world.add("yes", detect="echo mine")
    world.add("also", detect="echo mine too")
    world.add("broken", detect="echo lost; exit 3")
    detection = world.detect(order("no", "yes", "yes also", "no also", "broken"), looks_further=True)
    assert ids(detection) == "yes"
    assert detection.alternatives() == (("also", "mine too"),)
    assert detection.reasons() == (("no", "does not say why"),)
    assert tried(detection) == ["no", "yes", "yes also", "no also", "broken"]
    assert world.log.lines == []
    assert parse_detection(render_detection(detection), source="test") == detection


def test_optional_member_that_fails_or_errs_is_left_out(world: World) -> None:
    world.add("no", detect="exit 100")
    world.add("broken", detect="exit 7")
    world.add("yes")
    detection = world.detect(order("no? broken? yes"))
    assert ids(detection) == "yes"
    assert [trial.outcome for trial in detection.trials[0].members] == [
        Outcome.FAILED,
        Outcome.ERRORED,
        Outcome.PASSED,
    ]


def test_reason_is_the_last_line_that_a_buildpack_wrote(world: World) -> None:
    world.add("no", detect="echo first; echo 'no `requirements.txt` in the app directory' >&2; echo; exit 100")
    detection = world.detect(order("no"))
    assert detection.reasons() == (("no", "no `requirements.txt` in the app directory"),)
    error = detection.error(app_dir=Path("/workspace"))
    assert type(error) is NothingDetected
    assert error.exit_code == 20


def test_error_of_any_buildpack_makes_it_code_21(world: World) -> None:
    world.add("broken", detect="echo lost; exit 3")
    world.add("no", detect="exit 100")
    error = world.detect(order("broken no", "no")).error(app_dir=world.app)
    assert isinstance(error, DetectionErrored)
    assert error.exit_code == 21
    assert error.reasons[0] == ("broken", "`bin/detect` exited with status 3: lost")


def test_group_of_optional_members_without_a_pass_fails_and_remembers_the_error(world: World) -> None:
    world.add("broken", detect="exit 3")
    detection = world.detect(order("broken?"))
    assert detection.group is None
    assert detection.error(app_dir=world.app).exit_code == 21


@pytest.mark.parametrize(
    "content", ["not toml", '[[requires]]\nname = "x"\nversion = "1"', "[[provides]]\nname = 3", "[requires]\n"]
)
def test_plan_that_cannot_be_used_is_an_error(world: World, content: str) -> None:
    world.add("broken", detect=f"cat > \"$2\" <<'EOF'\n{content}\nEOF")
    error = world.detect(order("broken")).error(app_dir=world.app)
    assert error.exit_code == 21
    assert "wrote a plan that cannot be used" in error.reasons[0][1]


def test_program_that_is_missing_is_an_error(world: World) -> None:
    world.add("gone")
    (world.buildpacks / "gone/1.0.0/bin/detect").unlink()
    assert world.detect(order("gone")).error(app_dir=world.app).exit_code == 21


def test_composites_are_expanded_depth_first_with_what_follows_them(world: World) -> None:
    for name in "ABCDEFGH":
        world.add(name, detect="exit 100")
    world.add_composite("O", "A B", "C D")
    world.add_composite("P", "E F", "G H")
    assert tried(world.detect(order("E O F"))) == ["E A B F", "E C D F"]
    assert tried(world.detect(order("O P"))) == ["A B E F", "A B G H", "C D E F", "C D G H"]


def test_optional_composite_is_tried_and_then_left_out(world: World) -> None:
    world.add("A", detect="exit 100")
    world.add("F")
    world.add_composite("O", "A")
    detection = world.detect(order("O? F"))
    assert tried(detection) == ["A F", "F"]
    assert ids(detection) == "F"


def test_first_version_of_a_buildpack_wins_in_a_group(world: World) -> None:
    world.add("A", detect=f"echo one >> {world.root}/runs")
    world.add("A", version="2.0.0", detect=f"echo two >> {world.root}/runs")
    detection = world.detect(Order(groups=((member("A"), member("A", "2.0.0")),)))
    assert detection.group is not None
    assert [str(element) for element in detection.group.elements] == ["A@1.0.0"]
    assert (world.root / "runs").read_text() == "one\n"


def test_no_program_runs_twice(world: World) -> None:
    world.add("A", detect=f"echo run >> {world.root}/runs")
    world.add("no", detect="exit 100")
    assert ids(world.detect(order("A no", "no A", "A"))) == "A"
    assert (world.root / "runs").read_text() == "run\n"


def test_members_of_a_group_are_asked_side_by_side(world: World) -> None:
    # Each passes only if the other is asked while it waits.
    for name, other in ("AB", "BA"):
        wait = f"for _ in $(seq 200); do [ ! -e {world.root}/{other} ] || exit 0; sleep 0.05; done; exit 1"
        world.add(name, detect=f"touch {world.root}/{name}; {wait}")
    assert ids(world.detect(order("A B"))) == "A B"


def test_composite_that_contains_itself_is_an_error(world: World) -> None:
    world.add_composite("O", "P")
    world.add_composite("P", "O")
    with pytest.raises(CompositeCycle, match=r"O@1\.0\.0 -> P@1\.0\.0 -> O@1\.0\.0"):
        world.detect(order("O"))


def test_unknown_buildpack_is_named(world: World) -> None:
    with pytest.raises(MissingBuildpack, match=r"ghost@1\.0\.0"):
        world.detect(order("ghost"))


def test_unsupported_api_is_refused_before_anything_runs(world: World) -> None:
    world.add("A", detect=f"touch {world.root}/ran")
    world.add("old", api="0.9")
    with pytest.raises(BuildpackApiUnsupported) as caught:
        world.detect(order("A", "old"))
    assert caught.value.exit_code == 12
    assert not (world.root / "ran").exists()


def test_required_member_for_another_target_spoils_the_group_with_an_error(world: World) -> None:
    world.add("arm", detect=f"touch {world.root}/ran", tables='[[targets]]\nos = "linux"\narch = "arm64"')
    detection = world.detect(order("arm"))
    assert detection.error(app_dir=world.app).exit_code == 21
    assert detection.reasons() == (("arm", "supports linux/arm64; the image is linux/amd64 (debian 12)"),)
    assert not (world.root / "ran").exists()


def test_optional_member_for_another_target_is_skipped(world: World) -> None:
    world.add("arm", detect=f"touch {world.root}/ran", tables='[[targets]]\narch = "arm64"')
    world.add("yes")
    detection = world.detect(order("arm? yes"))
    assert ids(detection) == "yes"
    assert detection.trials[0].members[0].outcome is Outcome.SKIPPED
    assert not (world.root / "ran").exists()


@pytest.mark.parametrize(
    ("tables", "fits"),
    [
        ("", True),
        ('[[targets]]\nos = "linux"', True),
        ('[[targets]]\nos = "windows"\n[[targets]]\nos = "linux"\narch = "amd64"', True),
        ('[[targets]]\nos = "linux"\n[[targets.distros]]\nname = "debian"', True),
        ('[[targets]]\nos = "linux"\n[[targets.distros]]\nname = "debian"\nversion = "11"', False),
        (
            '[[targets]]\n[[targets.distros]]\nname = "alpine"\n[[targets.distros]]\nname = "debian"\nversion = "12"',
            True,
        ),
        ('[[targets]]\nos = "windows"', False),
        ('[[stacks]]\nid = "*"', True),
        ('[[stacks]]\nid = "io.buildpacks.stacks.bionic"', False),
    ],
)
def test_targets(world: World, tables: str, fits: bool) -> None:
    world.add("A", tables=tables)
    assert (ids(world.detect(order("A"))) == "A") is fits


def test_declared_distribution_needs_an_actual_one(world: World) -> None:
    world.add("A", tables='[[targets]]\n[[targets.distros]]\nname = "debian"\nversion = "12"')
    assert world.detect(order("A"), target=Target(os="linux", arch="amd64")).group is None


def test_missing_distribution_comes_from_os_release(tmp_path: Path) -> None:
    release = tmp_path / "os-release"
    release.write_text('PRETTY_NAME="x"\nID=debian\nVERSION_ID="12"\n')
    target = complete_target(Target(os="linux", arch="arm64"), os_release=release)
    assert target == Target(os="linux", arch="arm64", distro_name="debian", distro_version="12")
    assert complete_target(target, os_release=tmp_path / "absent") == target
    assert complete_target(Target(), os_release=tmp_path / "absent").os == "linux"


def test_bin_build_alone_means_linux(world: World) -> None:
    world.add("A")
    descriptor = read_descriptor(world.buildpacks / "A/1.0.0")
    assert descriptor.targets == (Target(os="linux"),)


def test_system_buildpacks_surround_every_group_that_does_not_name_them(world: World) -> None:
    for name in ("pre", "post", "A"):
        world.add(name)
    system = System(before=(member("pre"),), after=(member("post"),))
    assert ids(world.detect(order("A"), system=system)) == "pre A post"
    assert ids(world.detect(order("post A"), system=system)) == "pre post A"


@pytest.mark.parametrize("keys", ['exec-env = ["test"]', '[[buildpack.exec-env]]\nname = "test"'])
def test_member_for_another_execution_environment_is_as_if_not_there(world: World, keys: str) -> None:
    world.add("A", keys=keys)
    world.add("B")
    assert ids(world.detect(order("A", "A B"))) == "B"
    assert ids(world.detect(order("A"), exec_env="test")) == "A"
    assert ids(world.detect(order("A"), platform_api="0.14")) == "A"


def test_order_can_restrict_a_member(world: World) -> None:
    world.add("A")
    world.add("B")
    restricted = replace(member("A"), exec_env=("test",))
    assert ids(world.detect(Order(groups=((restricted, member("B")),)))) == "B"


def test_plans_decide_and_the_plan_is_written(world: World) -> None:
    world.add("python", detect=provides("python"))
    world.add("node", detect=provides("node"))
    world.add("pip", detect=requires("python"))
    detection = world.detect(order("node? python pip"))
    assert ids(detection) == "python pip"
    assert [entry.name for entry in detection.plan.entries] == ["python"]
    assert detection.reasons() == (("node", "provides `node`, which no buildpack after it requires"),)


def test_environment_of_detect(world: World) -> None:
    world.write("platform/env/BP_CHOICE", "yes\n")
    world.write("platform/env/PATH", "/user/bin")
    world.write("platform/env/CNB_TARGET_ARCH_VARIANT", "forged")
    world.write("build-config/env/BP_DEFAULT", "operator")
    world.write("build-config/env/BP_CHOICE.append", "!")
    script = f'env -0 > {world.root}/env; pwd > {world.root}/cwd; echo "$1 $2" > {world.root}/argv'
    world.add("A", detect=script)
    world.detect(order("A"))
    env = dict(item.split("=", 1) for item in (world.root / "env").read_text().split("\0") if item)
    assert env["BP_CHOICE"] == "yes\n!"
    assert env["BP_DEFAULT"] == "operator"
    assert env["PATH"] == "/user/bin:/usr/bin:/bin"
    assert env["CNB_BUILDPACK_DIR"] == str(world.buildpacks / "A/1.0.0")
    assert env["CNB_PLATFORM_DIR"] == str(world.root / "platform")
    assert (env["CNB_TARGET_OS"], env["CNB_TARGET_ARCH"]) == ("linux", "amd64")
    assert (env["CNB_TARGET_DISTRO_NAME"], env["CNB_TARGET_DISTRO_VERSION"]) == ("debian", "12")
    assert env["CNB_EXEC_ENV"] == "production"
    assert "CNB_TARGET_ARCH_VARIANT" not in env
    assert (world.root / "argv").read_text() == f"{world.root}/platform {env['CNB_BUILD_PLAN_PATH']}\n"
    assert (world.root / "cwd").read_text() == f"{world.app}\n"


def test_clear_env_hides_the_users_variables_but_not_the_operators(world: World) -> None:
    world.write("platform/env/BP_USER", "x")
    world.write("build-config/env/BP_OPERATOR", "y")
    world.add("A", api="0.10", keys="clear-env = true", detect=f"env > {world.root}/env")
    world.detect(order("A"))
    env = (world.root / "env").read_text()
    assert "BP_USER" not in env
    assert "BP_OPERATOR=y" in env
    assert "CNB_EXEC_ENV" not in env  # Buildpack API 0.10 has none


def test_output_is_shown_when_nothing_fits(world: World) -> None:
    world.add("no", detect="echo looked everywhere; exit 100")
    world.detect(order("no"))
    assert "looked everywhere" in world.log.lines


def test_output_stays_hidden_when_a_group_fits(world: World) -> None:
    world.add("yes", detect="echo chatter")
    world.detect(order("yes"))
    assert world.log.lines == []
    assert "chatter" in world.log.details


def test_detection_survives_json(world: World) -> None:
    world.add("python", detect=provides("python"))
    world.add("pip", detect=requires("python"))
    world.add("no", detect="exit 100")
    for detection in (world.detect(order("no", "python no? pip")), world.detect(order("no"))):
        assert parse_detection(render_detection(detection), source="test") == detection


def test_buildpack_that_is_another_than_its_directory_says(world: World) -> None:
    world.add("A")
    (world.buildpacks / "A").rename(world.buildpacks / "B")
    with pytest.raises(ConfigurationError, match=r"describes `A@1\.0\.0`, not `B@1\.0\.0`"):
        world.detect(order("B"))
