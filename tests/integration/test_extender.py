"""The program `extender` with real buildah: Dockerfiles of image extensions on a run image and on a build image."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from lifecycle.cnb.analyzed import Analyzed, AnalyzedRunImage, write_analyzed
from lifecycle.cnb.api import ApiVersion
from lifecycle.cnb.group import Group, GroupElement, write_group
from lifecycle.cnb.identifier import BuildpackId
from lifecycle.cnb.plan import ResolvedPlan, write_resolved_plan
from lifecycle.exporters import Connections, parse_output, write_outputs
from lifecycle.extended_run_image import read_extended
from lifecycle.extension_bases import write_base
from lifecycle.oci.archive import ROOT, TarWriter
from lifecycle.oci.blob import write_layer_blob
from lifecycle.oci.image import Image, Layer, make_image
from lifecycle.oci.layout import read_image
from lifecycle.oci.tree import scan_tree
from tests.conformance.kit import make_programs
from tests.integration.dockerfile_bases import Bases, machine_python_base
from tests.integration.dockerfile_fixtures import bases
from tests.integration.engine import DockerEngine
from tests.lifecycle.commands.conftest import platform
from tests.lifecycle.commands.platform import Platform
from tests.lifecycle.conftest import world
from tests.lifecycle.registry.fake_registry import client_for

__all__ = ["bases", "platform", "world"]

pytestmark = pytest.mark.integration

BASE = "ARG base_image\nFROM ${base_image}\n"
AS_BEFORE = "USER ${user_id}:${group_id}\n"
REBASABLE = "io.buildpacks.rebasable"
USER_ID, GROUP_ID = 1000, 1000
PROGRAMS_IN_IMAGE = PurePosixPath("/cnb/lifecycle")


@dataclass(frozen=True, slots=True, kw_only=True)
class Extensions:
    """The directories of a build after `restorer`: both images are kept for the extender."""

    root: Path
    programs: Path

    def path(self, name: str) -> Path:
        path = self.root / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def add(self, name: str, files: Mapping[str, str]) -> GroupElement:
        """Write what an extension has generated."""
        for file, content in files.items():
            path = self.path("layers") / "generated" / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        return GroupElement(id=BuildpackId.parse(name), version="1.0.0", api=ApiVersion(0, 12))

    def run(
        self,
        kind: str,
        base: Image,
        *extensions: GroupElement,
        buildpacks: Sequence[GroupElement] = (),
        keep: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        layers = self.path("layers")
        reference = f"registry.test/{kind}@{base.digest}"
        if keep:
            write_base(self.path("kaniko"), reference, base)
        run_image = AnalyzedRunImage(reference=reference, image="registry.test/run", extend=True)
        write_analyzed(layers / "analyzed.toml", Analyzed(run_image=run_image, build_image=reference))
        write_group(layers / "group.toml", Group(elements=tuple(buildpacks), extensions=extensions))
        write_resolved_plan(layers / "plan.toml", ResolvedPlan())
        env = {
            "PATH": os.environ["PATH"],
            "CNB_PLATFORM_API": "0.15",
            "CNB_APP_DIR": str(self.path("workspace")),
            "CNB_BUILDPACKS_DIR": str(self.path("platform") / "buildpacks"),
            "CNB_LAYERS_DIR": str(layers),
            "CNB_PLATFORM_DIR": str(self.path("platform")),
            "CNB_EXTEND_KIND": kind,
            "CNB_USER_ID": str(USER_ID),
            "CNB_GROUP_ID": str(GROUP_ID),
            "CNB_REGISTRY_AUTH": '{"r": "Basic secret"}',
            "PYBUILD_KANIKO_DIR": str(self.path("kaniko")),
        }
        return subprocess.run(
            [sys.executable, "-ISB", str(self.programs / "extender")],
            env=env,
            cwd=self.root,
            capture_output=True,
            text=True,
            check=False,
        )

    def extended(self, base: Image) -> Image:
        return read_extended(self.path("layers") / "extended", base, self.path("blobs"))


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_programs(tmp_path_factory.mktemp("programs"))


@pytest.fixture
def extensions(tmp_path: Path, programs: Path) -> Extensions:
    return Extensions(root=tmp_path, programs=programs)


@pytest.fixture
def small(bases: Bases) -> Image:
    """A run image of an ordinary user."""
    image = read_image(f"oci:{bases.image('small:1').directory / 'layout'}")
    config = replace(image.config, user=f"{USER_ID}:{GROUP_ID}", labels={REBASABLE: "true"})
    return make_image(config, image.layers)


def expect_success(result: subprocess.CompletedProcess[str]) -> None:
    assert result.returncode == 0, result.stdout + result.stderr


def files_of(layer: Layer) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(layer.path) as archive:
        return {member.name: member for member in archive}


def text_of(layer: Layer, name: str) -> str:
    with tarfile.open(layer.path) as archive:
        member = archive.extractfile(name)
        assert member is not None
        return member.read().decode()


def documents(directory: Path) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Manifest and config of a layout."""

    def read(digest: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = json.loads((directory / "blobs" / digest.replace(":", "/")).read_text())
        return found

    (entry,) = json.loads((directory / "index.json").read_text())["manifests"]
    manifest = read(entry["digest"])
    return manifest, read(manifest["config"]["digest"])


@pytest.mark.requirement("EXT-04", "EXT-05")
def test_run_dockerfiles_extend_one_another(extensions: Extensions, small: Image) -> None:
    (extensions.path("workspace") / "file").write_text("of the application")
    first = extensions.add(
        "first",
        {
            "run.Dockerfile": f"{BASE}ARG build_id=0\nARG user_id\nARG group_id\nARG WORD\nLABEL {REBASABLE}=true\n"
            "USER root\nCOPY file /srv/file\nRUN echo $build_id >/srv/id; echo $user_id:$group_id >/srv/user; "
            f"echo $WORD >/srv/word; mkdir -p {extensions.root}/workspace; touch {extensions.root}/workspace/x\n"
            f"ENV WORD=said\n{AS_BEFORE}",
            "extend-config.toml": '[[run.args]]\nname = "WORD"\nvalue = "from the extension"\n'
            '[[build.args]]\nname = "WORD"\nvalue = "for the other kind"\n',
        },
    )
    second = extensions.add(
        "second",
        {
            "run.Dockerfile": f"{BASE}ARG user_id\nUSER root\nCOPY file /srv/second\nRUN cp /srv/word /srv/copy\n"
            f"LABEL {REBASABLE}=true\nUSER 1001:1002\n",
            "context.run/file": "of the context",
        },
    )
    result = extensions.run("run", small, first, second)
    expect_success(result)
    assert "first/run.Dockerfile:9 COPY file /srv/file" in result.stdout
    assert 'LABEL io.buildpacks.rebasable="false"' not in result.stdout
    (directory,) = (extensions.path("layers") / "extended" / "run").iterdir()
    manifest, config = documents(directory)
    # Only what is new, beside manifest and config.
    count = len(small.layers)
    digests = {layer["digest"] for layer in manifest["layers"][count:]}
    blobs = {f"sha256:{path.name}" for path in (directory / "blobs" / "sha256").iterdir()}
    assert blobs == {directory.name, manifest["config"]["digest"], *digests}
    assert config["rootfs"]["diff_ids"][:count] == [str(layer.diff_id) for layer in small.layers]
    assert config["config"]["User"] == "1001:1002"
    assert config["config"]["Labels"][REBASABLE] == "true"
    assert "WORD=said" in config["config"]["Env"]
    image = extensions.extended(small)
    new = image.layers[count:]
    names = {name: member for layer in new for name, member in files_of(layer).items()}
    assert {member.mtime for member in names.values()} == {315532801}
    assert not any("workspace/x" in name for name in names)
    copied, ran, again, last = new
    assert text_of(copied, "srv/file") == "of the application"
    assert text_of(ran, "srv/user") == f"{USER_ID}:{GROUP_ID}\n"
    assert text_of(ran, "srv/word") == "from the extension\n"
    build_id = text_of(ran, "srv/id").strip()
    assert len(build_id) > 30
    assert build_id not in json.dumps(config)
    assert text_of(again, "srv/second") == "of the context"
    assert text_of(last, "srv/copy") == "from the extension\n"


@pytest.mark.parametrize(
    ("labels", "rebasable"), [(("true", "true"), "true"), (("true", None), "false"), ((None, "true"), "false")]
)
@pytest.mark.requirement("EXT-05")
def test_an_image_is_rebasable_where_every_dockerfile_says_so(
    extensions: Extensions, small: Image, labels: tuple[str | None, ...], rebasable: str
) -> None:
    added = [
        extensions.add(
            f"e{number}", {"run.Dockerfile": BASE + ("" if label is None else f"LABEL {REBASABLE}={label}\n")}
        )
        for number, label in enumerate(labels)
    ]
    expect_success(extensions.run("run", small, *added))
    assert extensions.extended(small).config.labels[REBASABLE] == rebasable


@pytest.mark.requirement("EXT-05")
def test_a_run_image_that_runs_as_root_is_refused(extensions: Extensions, small: Image) -> None:
    rooted = extensions.add("rooted", {"run.Dockerfile": f"{BASE}USER root\n"})
    result = extensions.run("run", small, rooted)
    assert 100 <= result.returncode <= 109
    assert "the run image that `rooted` has made runs as root" in result.stderr
    assert "USER ${user_id}:${group_id}" in result.stderr
    assert not (extensions.path("layers") / "extended").exists()


def test_an_instruction_that_fails_is_named_with_its_place(extensions: Extensions, small: Image) -> None:
    broken = extensions.add("a/b", {"run.Dockerfile": f"{BASE}USER root\nRUN echo why && \\\n  exit 7\n"})
    (extensions.path("layers") / "generated" / "a" / "b").rename(extensions.path("layers") / "generated" / "a_b")
    result = extensions.run("run", small, broken)
    assert result.returncode == 101
    assert "a/b/run.Dockerfile:4: `RUN echo why && exit 7` ended with status 7" in result.stderr
    assert "why" in result.stdout


def test_a_base_that_nobody_has_kept_is_asked_for(extensions: Extensions, small: Image) -> None:
    image = extensions.add("e", {"run.Dockerfile": BASE})
    result = extensions.run("run", make_image(replace(small.config, user="1"), small.layers), image, keep=False)
    assert result.returncode == 100
    assert "start `restorer`" in result.stderr


@pytest.mark.requirement("EXT-04")
def test_the_builder_runs_in_the_extended_build_image(extensions: Extensions, machine_store: Path) -> None:
    base = make_build_image(extensions, machine_store)
    # There is no `/usr/bin/python3` in it, which the program needs.
    extension = extensions.add(
        "tools",
        {
            "build.Dockerfile": f"{BASE}ARG user_id\nARG group_id\nUSER root\nRUN ln -s /usr/local/bin/python3 /usr/bin/python3\n"
            f"ENV ADDED=by-the-extension\n{AS_BEFORE}"
        },
    )
    for name in ("layers", "workspace", "platform"):
        os.chown(extensions.path(name), USER_ID, GROUP_ID)
    passing = add_buildpack(
        extensions, "passing", 'env > "$1/env"; id > "$1/id"; pwd > "$1/pwd"; echo from the buildpack'
    )
    result = extensions.run("build", base, extension, buildpacks=[passing])
    expect_success(result)
    assert "from the buildpack" in result.stdout
    own = extensions.path("layers") / "passing"
    assert (own / "id").read_text().startswith(f"uid={USER_ID}")
    assert f" gid={GROUP_ID}" in (own / "id").read_text()
    assert own.stat().st_uid == USER_ID
    assert (own / "pwd").read_text() == f"{extensions.path('workspace')}\n"
    assert "secret" not in (own / "env").read_text()
    assert 'id = "passing"' in (extensions.path("layers") / "config" / "metadata.toml").read_text()
    failing = add_buildpack(extensions, "failing", "exit 1")
    result = extensions.run("build", base, extension, buildpacks=[failing])
    assert result.returncode == 51
    assert "`failing`" in result.stderr


def make_build_image(extensions: Extensions, store: Path) -> Image:
    """An image with CPython and the programs of this lifecycle."""
    image = read_image(f"oci:{machine_python_base(store).directory / 'layout'}")
    tree = scan_tree(extensions.programs)

    def fill(archive: TarWriter) -> None:
        archive.parents(PROGRAMS_IN_IMAGE, ROOT)
        archive.entries(tree, PROGRAMS_IN_IMAGE, ROOT)

    blob = write_layer_blob(extensions.path("blobs"), fill)
    layer = Layer(descriptor=blob.descriptor, diff_id=blob.diff_id, path=blob.path)
    return make_image(image.config, (*image.layers, layer))


def add_buildpack(extensions: Extensions, name: str, script: str) -> GroupElement:
    directory = extensions.path("platform") / "buildpacks" / name / "1.0.0"
    (directory / "bin").mkdir(parents=True)
    (directory / "buildpack.toml").write_text(f'api = "0.12"\n[buildpack]\nid = "{name}"\nversion = "1.0.0"\n')
    program = directory / "bin" / "build"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return GroupElement(id=BuildpackId.parse(name), version="1.0.0", api=ApiVersion(0, 12))


def add_extension(platform: Platform, **dockerfiles: str) -> None:
    """The only extension `e`, which generates these."""
    for kind, text in dockerfiles.items():
        platform.world.write(f"extensions/e/1.0.0/generate/{kind}.Dockerfile", text)
    platform.world.write(
        "extensions/e/1.0.0/extension.toml", 'api = "0.12"\n[extension]\nid = "e"\nversion = "1.0.0"\n'
    )
    with (platform.layers / "order.toml").open("a") as order:
        order.write('\n[[order-extensions]]\n[[order-extensions.group]]\nid = "e"\nversion = "1.0.0"\n')
    platform.env |= {
        "PATH": os.environ["PATH"],
        "CNB_EXTENSIONS_DIR": str(platform.world.extensions),
        "PYBUILD_KANIKO_DIR": str(platform.world.root / "kaniko"),
    }


@pytest.mark.engine
@pytest.mark.requirement("EXT-03")
def test_images_of_an_engine_are_extended(platform: Platform, engine: DockerEngine, small: Image) -> None:
    host = {"DOCKER_HOST": f"unix://{engine.socket}"}
    for image, name in ((platform.run_image(), "run"), (small, "small"), (platform.run_image("build"), "build")):
        write_outputs(
            image, [parse_output(f"docker-daemon:extender/{name}:1")], Connections(client=client_for(), env=host)
        )
    run = "FROM extender/small:1\nUSER root\nRUN echo new >/usr-new\nUSER 1000\n"
    add_extension(platform, run=run, build=f"{BASE}RUN true\n")
    platform.env |= {**host, "CNB_USE_DAEMON": "true"}
    for program, arguments in (
        ("analyzer", ("-run-image", "extender/run:1", "extender/app:1")),
        ("detector", ()),
        ("restorer", ("-build-image", "extender/build:1")),
        ("extender", ("-kind", "run")),
        ("builder", ()),
        ("exporter", ("extender/app:1",)),
    ):
        platform.must(program, *arguments)
    assert len(list((platform.world.root / "kaniko" / "base").iterdir())) == 2
    (said,) = json.loads(engine("image", "inspect", "extender/app:1"))
    below = [str(layer.diff_id) for layer in small.layers]
    assert said["RootFS"]["Layers"][: len(below)] == below
    assert said["Config"]["User"] == "1000"
    label = json.loads(said["Config"]["Labels"]["io.buildpacks.lifecycle.metadata"])
    assert label["runImage"]["topLayer"] == below[-1]
    engine("image", "rm", "--force", *(f"extender/{name}:1" for name in ("app", "run", "small", "build")))


@pytest.mark.requirement("EXT-03", "EXT-05")
def test_all_programs_of_a_build_with_an_extension_and_a_rebase(platform: Platform, small: Image) -> None:
    registry = platform.registry
    platform.env["CNB_RUN_IMAGE"] = registry.add(platform.run_image(), "team/run:1")
    chosen = registry.add(small, "team/small:1")
    run = f"FROM {chosen}\nUSER root\nRUN echo new >/usr-new\nUSER 1000\nLABEL {REBASABLE}=true\n"
    add_extension(platform, run=run)
    name = f"{platform.host}/team/app:1"
    for program, arguments in (
        ("analyzer", (name,)),
        ("detector", ()),
        ("restorer", ()),
        ("extender", ("-kind", "run")),
        ("builder", ()),
        ("exporter", (name,)),
    ):
        platform.must(program, *arguments)
    manifest, config = platform.pushed()
    below = [str(layer.diff_id) for layer in small.layers]
    assert config["rootfs"]["diff_ids"][: len(below)] == below
    assert platform.label()["runImage"]["topLayer"] == below[-1]
    assert config["config"]["User"] == "1000"
    own = manifest["layers"][len(below) :]
    newer = registry.add(platform.run_image("newer", {"io.buildpacks.base.distro.name": ""}), "team/small:2")
    platform.must("rebaser", "-run-image", newer, "-force", name)
    rebased = platform.pushed()[0]["layers"]
    # What the extension has made stays as it is; the launcher knows of the new environment.
    assert (len(rebased), rebased[1]) == (1 + len(own), own[0])
