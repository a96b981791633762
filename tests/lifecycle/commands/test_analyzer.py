from __future__ import annotations

import pytest

from tests.lifecycle.commands.platform import Platform


def write_run_images(platform: Platform, image: str, *mirrors: str) -> None:
    names = ", ".join(f'"{mirror}"' for mirror in mirrors)
    (platform.world.root / "run.toml").write_text(f'[[images]]\nimage = "{image}"\nmirrors = [{names}]\n')


def test_a_first_build_has_no_previous_image_and_knows_what_the_run_image_runs_on(platform: Platform) -> None:
    run_image = platform.add_run_image()
    platform.must("analyzer", "-run-image", run_image, f"{platform.host}/team/app:1")
    analyzed = platform.toml("analyzed.toml")
    digest = platform.run_image().digest
    assert analyzed["image"]["reference"] == ""
    assert analyzed["run-image"]["reference"] == f"{platform.host}/team/run@{digest}"
    assert analyzed["run-image"]["image"] == run_image
    assert analyzed["run-image"]["target"] == {"os": "linux", "arch": "amd64", "distro": {"name": "debian"}}


def test_a_mirror_in_the_registry_of_the_image_comes_first(platform: Platform) -> None:
    mirror = platform.add_run_image("mirrors/run:1")
    # Nobody answers there, and nobody is asked.
    write_run_images(platform, "127.0.0.1:9/team/run:1", mirror)
    platform.must("analyzer", f"{platform.host}/team/app:1")
    assert platform.toml("analyzed.toml")["run-image"]["image"] == mirror


def test_a_name_that_leads_nowhere_gives_way_to_the_next(platform: Platform) -> None:
    mirror = platform.add_run_image("mirrors/run:1")
    write_run_images(platform, f"{platform.host}/gone:1", f"{platform.host}/gone:2", mirror)
    platform.must("analyzer", f"{platform.host}/team/app:1")
    assert platform.toml("analyzed.toml")["run-image"]["image"] == mirror


def test_without_any_run_image_analysis_fails(platform: Platform) -> None:
    assert platform.start("analyzer", f"{platform.host}/team/app:1") == 32
    assert "-run-image" in platform.stderr
    assert platform.start("analyzer", "-run-image", f"{platform.host}/gone:1", f"{platform.host}/team/app:1") == 32
    assert f"{platform.host}/gone:1" in platform.stderr


def test_all_names_of_an_image_are_in_one_registry(platform: Platform) -> None:
    run_image = platform.add_run_image()
    arguments = ("-run-image", run_image, "-tag", "127.0.0.1:9/team/app:2", f"{platform.host}/team/app:1")
    assert platform.start("analyzer", *arguments) == 32
    assert "several registries" in platform.stderr
    assert platform.registry.requests == []


def test_a_repository_that_may_not_be_written_is_found_out_before_the_build(platform: Platform) -> None:
    run_image = platform.add_run_image()
    platform.registry.before("/locked/blobs/uploads/", lambda exchange: exchange.answer(403), method="POST")
    assert platform.start("analyzer", "-run-image", run_image, f"{platform.host}/locked:1") == 32


@pytest.mark.parametrize("arguments", [(), ("one", "two")])
def test_it_takes_one_image(platform: Platform, arguments: tuple[str, ...]) -> None:
    assert platform.start("analyzer", *arguments) == 3


def test_what_platforms_of_several_versions_pass_is_understood(platform: Platform) -> None:
    run_image = platform.add_run_image()
    user = platform.env["CNB_USER_ID"]
    flags = ("-stack", "/cnb/stack.toml", "-uid", user, f"-gid={user}", "-log-level", "error", "-no-color")
    platform.must("analyzer", *flags, "-run-image", run_image, f"{platform.host}/team/app:1")
    assert platform.stdout == ""


def test_layouts_need_the_permission_of_the_platform(platform: Platform) -> None:
    arguments = ("-layout", "-layout-dir", str(platform.world.root / "images"), "-run-image", "run:1", "app:1")
    for mode in ("", "error"):
        assert platform.start("analyzer", *arguments, CNB_EXPERIMENTAL_MODE=mode) == 3
        assert "CNB_EXPERIMENTAL_MODE" in platform.stderr
