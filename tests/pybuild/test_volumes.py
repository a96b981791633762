"""What `--volume` means, and what it may not."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from pybuild.engines.sandbox import Sandbox, run_sandboxed
from pybuild.errors import UsageError
from pybuild.volumes import Volume, directories_to_open, make_places, parse_volumes


def test_a_volume_is_read_only_unless_it_is_said_to_be_writable(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    expected = Volume(source=tmp_path / "data", target=PurePosixPath("/data"))
    assert Volume.parse("./data:/data", cwd=tmp_path) == expected
    assert Volume.parse(f"{tmp_path}/data:/data/:ro", cwd=Path("/")) == expected
    assert Volume.parse(f"{tmp_path}/data:/data:rw", cwd=Path("/")).writable


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data", "does not say what is to be seen where"),
        (".:/data:rw:x", "does not say what is to be seen where"),
        (".:/data:Z", "`Z` is not known here"),
        (".:/data:ro,rw", "is not known here"),
        ("cache:/data", "would be the name of a volume of a Docker engine"),
        ("./missing:/data", "there is no"),
        (".:data", "is not an absolute path"),
        (".:/data/../cnb", "is not an absolute path"),
        (".:/cnb", "the lifecycle and the buildpacks are there"),
        (".://cnb/buildpacks/x", "the lifecycle and the buildpacks are there"),
        (".:/layers/x", "what buildpacks make is there"),
        (".:/workspace/data", "the application is there"),
        (".:/platform/env", "the variables are there"),
        (".:/", "would hide what the build needs"),
        (".:/usr", "would hide what the build needs"),
        (".:/proc/1", "belongs to the kernel"),
    ],
)
def test_what_cannot_be_mounted_is_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        Volume.parse(text, cwd=tmp_path)
    assert caught.value.hint


def test_volumes_have_places_of_their_own(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="two volumes are for `/data`"):
        parse_volumes([".:/data", ".:/data/"], cwd=tmp_path)
    with pytest.raises(UsageError, match="lies inside of another one"):
        parse_volumes([".:/data/x", ".:/data"], cwd=tmp_path)


def test_what_volumes_below_platform_are_mounted_on_is_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    texts = [f"{tmp_path}:/platform/bindings/all", f"{tmp_path}/file:/platform/bindings/one/file", f"{tmp_path}:/data"]
    make_places(parse_volumes(texts, cwd=tmp_path), tmp_path / "platform")
    assert (tmp_path / "platform/bindings/all").is_dir()
    assert (tmp_path / "platform/bindings/one/file").is_file()
    assert sorted(path.name for path in (tmp_path / "platform").iterdir()) == ["bindings"]


def test_a_place_that_a_link_leads_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "root/run").mkdir(parents=True)
    (tmp_path / "root/var").mkdir()
    (tmp_path / "root/var/run").symlink_to("/run")
    volumes = parse_volumes([f"{tmp_path}:/var/run/x"], cwd=tmp_path)
    with pytest.raises(UsageError, match="a link leads to"):
        directories_to_open(volumes, tmp_path / "root")


@pytest.mark.integration
def test_a_sandbox_shows_volumes_where_its_root_has_nothing_to_mount_them_on(tmp_path: Path) -> None:
    shown = tmp_path / "shown"
    shown.mkdir()
    (shown / "canary").write_text("canary")
    targets = ("/data", "/mnt/deep/er", "/usr/share/pybuild-test")
    modes = ("ro", "rw", "ro")
    texts = [f"{shown}:{target}:{mode}" for target, mode in zip(targets, modes, strict=True)]
    texts.append(f"{shown}/canary:/srv/file")
    volumes = parse_volumes(texts, cwd=tmp_path)
    sandbox = Sandbox(
        rootfs=Path("/"),
        mounts=tuple(one.mount for one in volumes),
        opened=directories_to_open(volumes, Path("/")),
        env={"PATH": "/usr/bin:/bin"},
        network=False,
        cwd=PurePosixPath("/"),
    )
    script = f"""
    set -e
    cat {targets[0]}/canary {targets[1]}/canary {targets[2]}/canary /srv/file
    touch {targets[1]}/written
    for place in / /mnt /mnt/deep /srv /usr/share /data {targets[2]}; do ! touch $place/x 2>/dev/null; done
    ls /usr/share | grep -q doc
    """
    result = run_sandboxed(sandbox, ["sh", "-c", script])
    assert (result.status, result.output) == (0, "canary" * 4)
    assert (shown / "written").exists()
