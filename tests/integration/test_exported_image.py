"""An image with process types, exec.d and slices, in the opinion of skopeo, umoci, the OCI schemas and a Docker engine.

It needs no builder: the run image is made of this machine's own shell.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from lifecycle.analyze import RunImage, analyze
from lifecycle.cnb.group import Group
from lifecycle.export import ExportRequest, export
from lifecycle.oci.image import Image
from lifecycle.oci.unpack import unpack_image
from tests.integration.derived_images import shell_image
from tests.integration.engine import docker_engine
from tests.integration.image_check import check_with_tools, validate_image
from tests.lifecycle.exporters.writing import write_to
from tests.lifecycle.world import World

BUILD = """
layer="$CNB_LAYERS_DIR/tools"
mkdir -p "$layer/bin" "$layer/env.launch" "$layer/exec.d" "$layer/deep/$(printf 'd%.0s' {1..120})"
printf '#!/bin/sh\\necho "tool in $PWD: $* $FLAG $STARTED"\\n' > "$layer/bin/tool"
printf '#!/bin/sh\\necho "STARTED = \\\\"by exec.d\\\\"" >&3\\n' > "$layer/exec.d/x"
chmod +x "$layer/bin/tool" "$layer/exec.d/x"
printf yes > "$layer/env.launch/FLAG"
echo é > "$layer/deep/$(printf 'd%.0s' {1..120})/$(printf 'é%.0s' {1..60})"
ln -s bin/tool "$layer/link"
printf '[types]\\nlaunch = true\\n' > "$layer.toml"
cat > "$CNB_LAYERS_DIR/launch.toml" <<'END'
[[processes]]
type = "web"
command = ["tool", "fixed"]
args = ["default"]
working-dir = "sub"
default = true
[[slices]]
paths = ["*.txt"]
END
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    root = tmp_path_factory.mktemp("exported")
    world = World.begin(root)
    (world.app / "sub").mkdir()
    (world.app / "a.txt").write_text("slice")
    run_image = shell_image(root / "base", "sh", "bash", "awk", "env", "cat", "id")
    element = world.add("x/tools", build=BUILD)
    request = ExportRequest(
        layers_dir=world.layers,
        app_dir=world.app,
        group=Group(elements=(element,)),
        build=world.build(element),
        analyzed=analyze(
            previous=None,
            run_image=RunImage(name="run", reference="run", os="linux", architecture="amd64"),
            log=world.log,
        ),
        run_image=run_image,
        blobs_dir=root / "blobs",
    )
    return export(request, world.log).image


@pytest.mark.integration
def test_every_output_is_accepted_by_the_tools_of_others(image: Image, tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    texts = [f"oci:{layout}:v1", f"oci-archive:{tmp_path}/oci.tar", f"docker-archive:{tmp_path}/docker.tar"]
    write_to(image, *texts, tags=["name:v1"])
    validate_image(layout, "v1")
    for number, location in enumerate(
        [texts[0], f"{texts[1]}:name:v1", texts[2], f"oci-archive:{tmp_path}/docker.tar"]
    ):
        check_with_tools(location, tmp_path / f"scratch{number}")


@pytest.mark.integration
def test_unpacking_gives_what_umoci_gives(image: Image, tmp_path: Path) -> None:
    write_to(image, f"oci:{tmp_path}/layout:v1")
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    unpack_image(image, ours)
    subprocess.run(
        ["umoci", "unpack", "--rootless", "--image", f"{tmp_path}/layout:v1", str(theirs)],
        check=True,
        capture_output=True,
    )
    assert tree(ours) == tree(theirs / "rootfs")


def tree(root: Path) -> dict[str, tuple[int, bytes]]:
    found = {}
    for path in sorted(root.rglob("*")):
        mode = path.lstat().st_mode
        content = str(path.readlink()).encode() if path.is_symlink() else b"" if path.is_dir() else path.read_bytes()
        found[str(path.relative_to(root))] = (mode, content)
    return found


@pytest.mark.engine
def test_a_docker_engine_runs_it(image: Image, tmp_path: Path) -> None:
    write_to(image, f"docker-archive:{tmp_path}/docker.tar", tags=["exported:test"])
    with docker_engine() as docker:
        assert docker.load(tmp_path / "docker.tar") == str(image.id)
        run = ("run", "--rm", "--network", "none")
        assert docker(*run, "exported:test") == "tool in /workspace/sub: fixed default yes by exec.d\n"
        assert docker(*run, "exported:test", "mine") == "tool in /workspace/sub: fixed mine yes by exec.d\n"
        launcher = (*run, "--entrypoint", "launcher", "exported:test")
        assert docker(*launcher, "--", "tool", "x") == "tool in /workspace: x yes by exec.d\n"
        assert docker(*launcher, "tool $FLAG; id -u") == "tool in /workspace: yes yes by exec.d\n1000\n"
        past_the_launcher = docker(*run, "--entrypoint", "bash", "exported:test", "-c", "tool x; cat a.txt")
        assert past_the_launcher == "tool in /workspace: x yes \nslice"
        assert docker.run(*launcher, "--", "nothing", check=False).returncode == 82
