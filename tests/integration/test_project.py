"""What project.toml and the options of a build do, with buildpacks of a few lines of bash in the real sandbox."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.integration.builds import Builds, files_that_hold, layer_digests
from tests.integration.command import CHECKOUT, Pybuild, expect_error, expect_success
from tests.integration.image_files import iterate_files
from tests.lifecycle.exporters.writing import write_to
from tests.lifecycle.oci.images import image_of, member, tar_layer

pytestmark = pytest.mark.integration

CANARY = "canary-3f9a"
SETTINGS, USAGE = 3, 2
# Writes down what it sees; it is for repositories that have nothing of the secret any more when it is asked.
WITNESS = """\
#!/bin/bash
set -eu
layer="$CNB_LAYERS_DIR/seen"
mkdir -p "$layer"
printf '[types]\\nlaunch = true\\n' > "$layer.toml"
for name in ${WITNESS:-}; do printf '%s=%s\\n' "$name" "${!name-unset}"; done > "$layer/env"
"""
DETECT = """\
#!/bin/bash
if grep -rqs canary . ; then echo "the canary is there"; exit 1; fi
"""


def write_buildpack(directory: Path, name: str = "demo/witness", build: str = WITNESS, detect: str = DETECT) -> Path:
    (directory / "bin").mkdir(parents=True)
    (directory / "buildpack.toml").write_text(f'api = "0.10"\n[buildpack]\nid = "{name}"\nversion = "1.0.0"\n')
    for program, text in (("detect", detect), ("build", build)):
        (directory / "bin" / program).write_text(text)
        (directory / "bin" / program).chmod(0o755)
    return directory


@pytest.fixture
def witness(tmp_path: Path) -> Path:
    return write_buildpack(tmp_path / "witness")


@pytest.fixture
def application(tmp_path: Path) -> Path:
    directory = tmp_path / "application"
    (directory / "secrets").mkdir(parents=True)
    (directory / "secrets" / "key").write_text(CANARY)
    (directory / "main.py").write_text("print('hello')\n")
    return directory


@pytest.fixture
def builds(pybuild: Pybuild, tmp_path: Path) -> Builds:
    return Builds(pybuild=pybuild, directory=tmp_path)


def describe(application: Path, rest: str, schema: str = "0.2") -> None:
    (application / "project.toml").write_text(f'[_]\nschema-version = "{schema}"\n{rest}')


def files_below(builds: Builds, directory: str) -> dict[str, str]:
    """What the files of the last image below a directory hold, by their paths from there."""
    found = iterate_files(builds.image)
    return {
        file.name.removeprefix(f"{directory}/"): file.content.decode()
        for file in found
        if file.entry.isreg() and file.name.startswith(f"{directory}/")
    }


def seen(builds: Builds, name: str = "env") -> str:
    return files_below(builds, "layers/demo_witness/seen")[name]


def application_files(builds: Builds) -> set[str]:
    return set(files_below(builds, "workspace"))


@pytest.mark.requirement("PRJ-01")
def test_what_is_excluded_is_left_out_before_any_buildpack_looks(
    builds: Builds, application: Path, witness: Path
) -> None:
    describe(application, '[io.buildpacks]\nexclude = ["secrets/"]\n')
    _, first = builds.build(application, "--buildpack", witness)
    assert application_files(builds) == {"main.py", "project.toml"}
    assert files_that_hold(builds.pybuild, builds.image, CANARY) == []
    # Another pattern is another application, and the same environment.
    (application / "notes.log").write_text("a note")
    describe(application, '[io.buildpacks]\nexclude = ["secrets/", "*.toml"]\n')
    _, second = builds.build(application, "--buildpack", witness)
    assert application_files(builds) == {"main.py", "notes.log"}
    before, after = layer_digests(first), layer_digests(second)
    assert [name for name in before if before[name] != after[name]] == ["application"]


@pytest.mark.requirement("PRJ-01")
def test_what_is_not_included_is_left_out_also_of_a_clone(builds: Builds, application: Path, witness: Path) -> None:
    describe(application, '[io.buildpacks]\ninclude = ["*.py"]\n')
    (application / "src").mkdir()
    (application / "src" / "part.py").touch()
    identity = ("-c", "user.name=Tests", "-c", "user.email=tests@example.org")
    for command in (("init", "--quiet"), ("add", "--all"), (*identity, "commit", "--quiet", "--message", "Begin")):
        subprocess.run(["git", *command], cwd=application, check=True)
    of_directory = builds.build(application, "--buildpack", witness)[1]
    assert application_files(builds) == {"main.py", "src/part.py"}
    of_clone = builds.pybuild("build", f"file://{application}", "--buildpack", witness, "--output", builds.output)
    expect_success(of_clone)
    assert application_files(builds) == {"main.py", "src/part.py"}
    assert layer_digests(of_directory)["application"] in str(builds.image.config["rootfs"]["diff_ids"])


def test_the_command_line_wins_over_files_and_files_over_project_toml(
    builds: Builds, application: Path, witness: Path, tmp_path: Path
) -> None:
    names = {"A": "project", "B": "project", "C": "project", "D": "project"}
    variables = "".join(
        f'[[io.buildpacks.build.env]]\nname = "{name}"\nvalue = "{value}"\n' for name, value in names.items()
    )
    variables += '[[io.buildpacks.build.env]]\nname = "E"\nvalue = "test"\nexec-env = ["test"]\n'
    variables += '[[io.buildpacks.build.env]]\nname = "WITNESS"\nvalue = "A B C D E F"\n'
    describe(application, f'[io.buildpacks]\nexclude = ["secrets"]\n{variables}', "0.3")
    (tmp_path / "variables").write_text("# of the machine\nB=file\nC=file\nF\n")
    pybuild = builds.pybuild.with_env(D="machine", F="machine")
    expect_success(
        pybuild(
            *("build", application, "--output", builds.output, "--buildpack", witness),
            *("--env-file", tmp_path / "variables", "--env", "C=option", "--env", "D"),
        )
    )
    assert seen(builds).split() == ["A=project", "B=file", "C=option", "D=machine", "E=unset", "F=machine"]


def test_an_execution_environment_chooses_variables_and_processes(
    builds: Builds, application: Path, tmp_path: Path
) -> None:
    process = '[[processes]]\\ntype = "%s"\\ncommand = ["echo", "%s"]\\nexec-env = ["%s"]\\n'
    build = (
        f"{WITNESS}printf '{process}' trial tested test served served production > \"$CNB_LAYERS_DIR/launch.toml\"\n"
    )
    witness = write_buildpack(tmp_path / "exec-env", build=build)
    toml = (witness / "buildpack.toml").read_text()
    (witness / "buildpack.toml").write_text(toml.replace("0.10", "0.12"))
    env = '[[io.buildpacks.build.env]]\nname = "A"\nvalue = "for tests"\nexec-env = ["test"]\n'
    env += '[[io.buildpacks.build.env]]\nname = "WITNESS"\nvalue = "A CNB_EXEC_ENV"\n'
    describe(application, f'[io.buildpacks]\nexclude = ["secrets"]\n{env}', "0.3")
    builds.build(application, "--buildpack", witness, "--exec-env", "test")
    assert seen(builds) == "A=for tests\nCNB_EXEC_ENV=test\n"
    assert builds.image.config["config"]["Labels"]["io.buildpacks.exec-env"] == "test"
    processes = builds.image.label("io.buildpacks.build.metadata")["processes"]
    assert {one["type"]: one["exec-env"] for one in processes} == {"served": ["production"], "trial": ["test"]}
    assert builds.image.label("io.buildpacks.lifecycle.metadata")["exec-env"] == "test"
    builds.build(application, "--buildpack", witness)
    assert seen(builds) == "A=unset\nCNB_EXEC_ENV=production\n"
    refused = builds.start(application, "--buildpack", witness, "--exec-env", "a/b")
    expect_error(refused, USAGE, "is not the name of an execution environment")


INLINE = """\
[io.buildpacks]
exclude = ["secrets"]
[[io.buildpacks.group]]
id = "demo/witness"
  [io.buildpacks.group.script]
  api = "0.10"
  shell = "/bin/bash"
  inline = '''
mkdir -p "$CNB_LAYERS_DIR/seen"
echo "$BASH_VERSION in $PWD" > "$CNB_LAYERS_DIR/seen/env"
printf '[types]\\nlaunch = true\\n' > "$CNB_LAYERS_DIR/seen.toml"
'''
"""


@pytest.mark.requirement("PRJ-01")
def test_a_script_of_project_toml_builds_where_it_is_trusted(builds: Builds, application: Path) -> None:
    describe(application, INLINE)
    expect_error(
        builds.start(application), SETTINGS, "project.toml:5: brings a buildpack of its own", "--trust-project"
    )
    assert not builds.layout.exists()
    builds.build(application, "--trust-project")
    assert seen(builds).split()[1:] == ["in", "/workspace"]
    label = builds.image.label("io.buildpacks.build.metadata")
    assert [(one["id"], one["version"]) for one in label["buildpacks"]] == [("demo/witness", "0.0.0")]


def test_the_operator_can_trust_projects_for_everyone(pybuild: Pybuild, application: Path, tmp_path: Path) -> None:
    describe(application, INLINE)
    definition = tmp_path / "builder.toml"
    definition.write_text('[pybuild]\nextends = "default"\ntrust-project = true\n')
    found = expect_success(pybuild("detect", application, "--builder", definition)).stdout
    assert "yes demo/witness 0.0.0" in found


@pytest.mark.requirement("PRJ-01")
def test_pre_and_post_stand_around_the_builders_groups_and_a_buildpack_of_the_repository_may_be_one(
    pybuild: Pybuild, application: Path
) -> None:
    write_buildpack(application / "own", "demo/own")
    (application / "requirements.txt").write_text("")
    around = '[[io.buildpacks.pre.group]]\nuri = "own"\n[[io.buildpacks.post.group]]\nid = "pybuild/python"\n'
    describe(application, f'[io.buildpacks]\nexclude = ["secrets", "own"]\n{around}')
    found = expect_success(pybuild("detect", application, "--trust-project", "--json")).stdout
    group = found[found.index('"group"') : found.index('"plan"')]
    assert [group.index(one) for one in ("demo/own", "pybuild/python", "pybuild/pip")] == sorted(
        group.index(one) for one in ("demo/own", "pybuild/python", "pybuild/pip")
    )


def test_a_descriptor_takes_the_place_of_the_repositorys_own(
    builds: Builds, application: Path, witness: Path, tmp_path: Path
) -> None:
    describe(application, '[io.buildpacks]\ninclude = ["nothing"]\n')
    other = tmp_path / "other.toml"
    other.write_text('[_]\nschema-version = "0.2"\nversion = "2.0"\n[io.buildpacks]\nexclude = ["secrets"]\n')
    builds.build(application, "--buildpack", witness, "--descriptor", other)
    assert application_files(builds) == {"main.py", "project.toml"}
    label = builds.image.label("io.buildpacks.project.metadata")
    assert label["source"]["version"] == {"declared": "2.0"}


def volume_witness(targets: Mapping[str, str]) -> str:
    lines = [
        f'cat {path} >> "$layer/env"; touch {path}.written 2>/dev/null && echo {path} >> "$layer/written"'
        for path in targets
    ]
    return f"{WITNESS}set +e\n" + "\n".join(lines) + "\nexit 0\n"


def test_volumes_are_shown_to_the_build_and_not_to_the_image(builds: Builds, application: Path, tmp_path: Path) -> None:
    shutil.rmtree(application / "secrets")
    shown = tmp_path / "shown"
    shown.mkdir()
    (shown / "note").write_text("seen ")
    targets = {"/data/note": "ro", "/mnt/deep/data/note": "rw", "/platform/bindings/one/note": "ro"}
    witness = write_buildpack(tmp_path / "volumes", build=volume_witness(targets))
    volumes = [
        word
        for target, mode in targets.items()
        for word in ("--volume", f"{shown}:{target.removesuffix('/note')}:{mode}")
    ]
    builds.build(application, "--buildpack", witness, *volumes)
    assert seen(builds) == "seen seen seen "
    assert seen(builds, "written") == "/mnt/deep/data/note\n"
    assert (shown / "note.written").exists()
    assert files_below(builds, "data") == {}
    refused = builds.start(application, "--buildpack", witness, "--volume", f"{shown}:/cnb/buildpacks")
    expect_error(refused, USAGE, "nothing can be mounted at `/cnb/buildpacks`")


def test_buildpacks_come_by_path_and_archive_and_image_and_give_one_image(
    builds: Builds, application: Path, witness: Path, tmp_path: Path
) -> None:
    shutil.rmtree(application / "secrets")
    subprocess.run(["tar", "-czf", tmp_path / "witness.tgz", "-C", witness, "."], check=True)
    above = "cnb/buildpacks/demo_witness/1.0.0"
    members = [
        (member(f"{above}/{path.relative_to(witness)}", mode=path.stat().st_mode & 0o777), path.read_bytes())
        for path in sorted(witness.rglob("*"))
        if path.is_file()
    ]
    write_to(
        image_of(tar_layer(tmp_path / "blobs", members)), f"oci:{tmp_path}/package", f"oci-archive:{tmp_path}/w.cnb"
    )
    digests = set()
    for where in (witness, tmp_path / "witness.tgz", f"oci:{tmp_path}/package", tmp_path / "w.cnb"):
        _, report = builds.build(application, "--buildpack", where)
        digests.add(report["image"]["digest"])
    assert len(digests) == 1


def test_buildpacks_of_the_builder_stand_beside_one_that_is_brought(
    pybuild: Pybuild, application: Path, witness: Path
) -> None:
    shutil.rmtree(application / "secrets")
    (application / "requirements.txt").write_text("")
    chosen = ("--buildpack", witness, "--buildpack", "from=builder")
    found = expect_success(pybuild("detect", application, *chosen, "--plan")).stdout
    assert [line.split()[1] for line in found.splitlines() if line.startswith("yes")] == [
        "demo/witness",
        "pybuild/python",
        "pybuild/pip",
    ]
    assert 'plan: python from pybuild/python {"build":true,"launch":true}' in found.splitlines()
    finished = pybuild("detect", application, "--buildpack", "pip@9.9")
    expect_error(finished, SETTINGS, "no buildpack `pip@9.9`", "pybuild/pip")


def test_a_buildpack_written_with_the_kit_is_brought_by_its_path(pybuild: Pybuild, application: Path) -> None:
    (application / "requirements.txt").write_text("")
    chosen = ("--buildpack", "python", "--buildpack", CHECKOUT / "buildpacks" / "pip")
    assert "yes pybuild/pip" in expect_success(pybuild("detect", application, *chosen)).stdout
