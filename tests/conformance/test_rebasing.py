"""The rebaser, with images on registries of this process (platform.md, "Rebase")."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conformance.images import BASE_LABELS, Platform, ReadImage, push, push_run_image
from tests.conformance.kit import Ended, launch_toml, layer, make_lifecycle, read_toml, write_toml
from tests.lifecycle.registry.fake_registry import FakeRegistry

pytestmark = pytest.mark.integration


@dataclass(frozen=True, slots=True)
class Rebasing:
    """An app image on the first of two run images; each test has a copy of the registry's names."""

    platform: Platform

    @property
    def registry(self) -> FakeRegistry:
        return self.platform.registry

    @property
    def image(self) -> ReadImage:
        return self.platform.read()

    def rebase(self, *flags: str, api: str = "0.15") -> Ended:
        """Start the rebaser for the image."""
        return self.platform.lifecycle.start("rebaser", *flags, self.platform.app, api=api)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, programs: Path) -> Iterator[Platform]:
    lifecycle = make_lifecycle(tmp_path_factory.mktemp("rebasing"), programs)
    lifecycle.world.write("workspace/main.py", "1")
    process = '[[processes]]\ntype = "web"\ncommand = ["tool"]\ndefault = true\n[[labels]]\nkey = "mine"\nvalue = "1"\n'
    lifecycle.world.add("a", build=f"{layer('x', 'launch', files={'bin/tool': 'x'})}\n{launch_toml(process)}")
    with FakeRegistry() as registry:
        platform = Platform(lifecycle, registry)
        push_run_image(registry)
        images = [{"image": platform.run, "mirrors": [f"{registry.host}/team/mirror:1"]}]
        write_toml(lifecycle.root / "run.toml", {"images": images})
        platform.build("a", env={"CNB_RUN_PATH": str(lifecycle.root / "run.toml")})
        yield platform


@pytest.fixture
def rebasing(built: Platform) -> Iterator[Rebasing]:
    registry = built.registry
    kept = dict(registry.manifests)
    # The run image that the app image is to stand on from now on.
    push_run_image(
        registry,
        files={"usr/share/base": "2", "usr/share/new": "x"},
        labels={"io.buildpacks.base.distro.name": "debian", "io.buildpacks.base.distro.version": "12", "of.base": "2"},
    )
    yield Rebasing(built)
    registry.manifests.clear()
    registry.manifests.update(kept)


@pytest.mark.requirement("REB-01")
@pytest.mark.parametrize("api", ["0.12", "0.15"])
def test_only_the_layers_of_the_base_change(rebasing: Rebasing, api: str) -> None:
    before = rebasing.image
    ended = rebasing.rebase(api=api)
    assert (ended.status, ended.stderr) == (0, "")
    after, base = rebasing.image, rebasing.platform.read("team/run:1")
    assert after.diff_ids[:2] == base.diff_ids
    assert after.diff_ids[2:] == before.diff_ids[2:]
    assert after.manifest["layers"][2:] == before.manifest["layers"][2:]
    assert after.document["history"][2:] == before.document["history"][2:]
    for key in ("Entrypoint", "WorkingDir", "User", "Env"):
        assert after.config[key] == before.config[key]
    assert after.read("/usr/share/base") == b"2"
    assert after.document["created"] == "1980-01-01T00:00:01Z"


@pytest.mark.requirement("REB-01", "REB-03")
def test_a_rebase_onto_the_same_image_changes_nothing(rebasing: Rebasing) -> None:
    assert rebasing.rebase().status == 0
    once = rebasing.image.digest
    assert rebasing.rebase().status == 0
    assert rebasing.image.digest == once


@pytest.mark.requirement("REB-03")
def test_the_labels_of_the_base_are_replaced(rebasing: Rebasing) -> None:
    before = rebasing.image
    assert "io.buildpacks.base.maintainer" in BASE_LABELS
    report = rebasing.platform.lifecycle.root / "own-report.toml"
    assert rebasing.rebase("-report", str(report)).status == 0
    after, base = rebasing.image, rebasing.platform.read("team/run:1")
    assert "io.buildpacks.base.maintainer" not in after.labels
    assert after.labels["io.buildpacks.base.distro.name"] == "debian"
    assert after.labels["mine"] == "1"
    label = after.label("lifecycle")
    assert label["runImage"] == {
        "topLayer": base.diff_ids[-1],
        "reference": f"{rebasing.registry.host}/team/run@{base.digest}",
        "image": rebasing.platform.run,
        "mirrors": [f"{rebasing.registry.host}/team/mirror:1"],
    }
    old = before.label("lifecycle")
    assert {key: label[key] for key in label if key != "runImage"} == {
        key: old[key] for key in old if key != "runImage"
    }
    written = read_toml(report)["image"]
    assert (written["tags"], written["digest"]) == ([rebasing.platform.app], after.digest)
    assert written["manifest-size"] > 0


@pytest.mark.requirement("REB-03")
def test_the_image_that_was_rebased_keeps_its_name_where_another_is_given(rebasing: Rebasing) -> None:
    before = rebasing.image
    other = f"{rebasing.registry.host}/team/rebased:1"
    flags = ("-previous-image", rebasing.platform.app)
    assert rebasing.platform.lifecycle.start("rebaser", *flags, other).status == 0
    assert rebasing.image.digest == before.digest
    assert rebasing.platform.read("team/rebased:1").diff_ids[2:] == before.diff_ids[2:]


def replace_label(rebasing: Rebasing, name: str, value: str) -> None:
    """Let the image say something else."""
    image = rebasing.image
    labels = {**image.labels, name: value}
    document = {**image.document, "config": {**image.config, "Labels": labels}}
    push(rebasing.registry, "team/app:1", document, image.layers)


@pytest.mark.requirement("REB-02")
def test_an_image_that_says_no_is_rebased_by_force_only(rebasing: Rebasing) -> None:
    replace_label(rebasing, "io.buildpacks.rebasable", "false")
    before = rebasing.image.digest
    ended = rebasing.rebase()
    assert 70 <= ended.status <= 79
    assert rebasing.image.digest == before
    assert rebasing.rebase("-force").status == 0
    assert rebasing.image.digest != before


@pytest.mark.requirement("REB-02")
@pytest.mark.parametrize(
    "keys",
    [
        {"architecture": "s390x"},
        {"os": "freebsd"},
        {"labels": {"io.buildpacks.base.distro.name": "ubuntu", "io.buildpacks.base.distro.version": "12"}},
        {"labels": {"io.buildpacks.base.distro.name": "debian", "io.buildpacks.base.distro.version": "13"}},
    ],
)
def test_a_base_for_another_target_is_taken_by_force_only(rebasing: Rebasing, keys: dict[str, object]) -> None:
    push_run_image(rebasing.registry, **keys)  # type: ignore[arg-type]
    before = rebasing.image.digest
    ended = rebasing.rebase()
    assert 70 <= ended.status <= 79, ended.stdout
    assert rebasing.image.digest == before
    assert rebasing.rebase("-force").status == 0


@pytest.mark.requirement("REB-02")
def test_a_base_that_says_less_of_its_distribution_is_taken(rebasing: Rebasing) -> None:
    push_run_image(rebasing.registry, labels={})
    assert rebasing.rebase().status == 0
    assert not [name for name in rebasing.image.labels if name.startswith("io.buildpacks.base.")]


@pytest.mark.requirement("REB-02", "REB-03")
def test_an_unknown_run_image_is_taken_by_force_only(rebasing: Rebasing) -> None:
    push_run_image(rebasing.registry, "team/unknown:1", files={"usr/share/base": "3"})
    name = f"{rebasing.registry.host}/team/unknown:1"
    ended = rebasing.rebase("-run-image", name)
    assert 70 <= ended.status <= 79
    push_run_image(rebasing.registry, "team/mirror:1", files={"usr/share/base": "4"})
    assert rebasing.rebase("-run-image", f"{rebasing.registry.host}/team/mirror:1").status == 0
    assert rebasing.image.label("lifecycle")["runImage"]["image"] == rebasing.platform.run
    assert rebasing.rebase("-force", "-run-image", name).status == 0
    label = rebasing.image.label("lifecycle")
    assert label["runImage"]["image"] == name
    assert not label["runImage"].get("mirrors")
    assert label["stack"]["runImage"]["image"] == name


@pytest.mark.requirement("REB-02")
def test_what_no_lifecycle_made_is_not_rebased(rebasing: Rebasing) -> None:
    push_run_image(rebasing.registry, "team/app:1")
    assert 70 <= rebasing.rebase("-run-image", rebasing.platform.run).status <= 79


@pytest.mark.requirement("GEN-04")
def test_the_rebaser_wants_a_name(rebasing: Rebasing) -> None:
    assert rebasing.platform.lifecycle.start("rebaser").status == 3
