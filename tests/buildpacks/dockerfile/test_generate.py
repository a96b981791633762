"""`bin/generate`, as pybuild's lifecycle and as other lifecycles run it."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lifecycle.cnb.generated import Kind, read_dockerfile
from lifecycle.cnb.recipe import ImageFacts, Recipe, read_recipe, write_image_facts
from lifecycle.cnb.target import host_architecture
from lifecycle.cnb.toml import read_toml
from tests.interpreter import ISOLATED, ROOT

pytestmark = pytest.mark.integration

BUILDPACK = ROOT / "buildpacks" / "dockerfile"


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """How a run ended."""

    status: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True)
class Bench:
    """An application and what becomes of it; what is set in `env` is what the user and the operator set."""

    root: Path
    env: dict[str, str] = field(default_factory=dict)

    @property
    def app(self) -> Path:
        return self.root / "workspace"

    @property
    def output(self) -> Path:
        return self.root / "generated"

    def write(self, name: str, text: str | bytes) -> None:
        path = self.app / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())

    def generate(self, **env: str) -> Generation:
        """As pybuild does."""
        own = {"PYBUILD_RECIPE_PATH": str(self.output / "recipe.json"), "CNB_BUILDPACK_DIR": str(BUILDPACK)}
        return self._run({**own, **env})

    def generate_extension(self) -> Generation:
        """As another lifecycle does with an image extension."""
        return self._run({"CNB_EXTENSION_DIR": str(BUILDPACK)})

    @property
    def recipe(self) -> Recipe:
        return read_recipe(self.output / "recipe.json")

    @property
    def run_dockerfile(self) -> str:
        return (self.output / "run.Dockerfile").read_text(encoding="utf-8")

    def _run(self, own: dict[str, str]) -> Generation:
        env = {
            "PATH": os.environ["PATH"],
            "CNB_PLATFORM_DIR": str(self.root / "platform"),
            "CNB_OUTPUT_DIR": str(self.output),
            "CNB_TARGET_OS": "linux",
            "CNB_TARGET_ARCH": "amd64",
            **own,
            **self.env,
        }
        argv = [*ISOLATED, str(BUILDPACK / "bin" / "generate")]
        done = subprocess.run(argv, cwd=self.app, env=env, capture_output=True, text=True, check=False)
        assert "Traceback" not in done.stderr, done.stderr
        return Generation(status=done.returncode, stdout=done.stdout, stderr=done.stderr)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path)
    made.app.mkdir()
    made.output.mkdir()
    return made


def texts(recipe: Recipe) -> list[str]:
    return [one.text for one in recipe.instructions]


def test_a_recipe_says_what_is_executed_and_what_it_needs(bench: Bench) -> None:
    bench.write("Dockerfile", "# made here\nFROM python:3.11\nRUN <<EOF\necho $A\nEOF\nENV A=b\n")
    run = bench.generate()
    assert (run.status, run.stderr) == (0, "")
    recipe = bench.recipe
    assert [(one.name, one.line) for one in recipe.images] == [("docker.io/library/python:3.11", 2)]
    assert [(one.keyword, one.line) for one in recipe.instructions] == [("FROM", 2), ("RUN", 3), ("ENV", 6)]
    assert texts(recipe)[0] == f"FROM {recipe.images[0].local}"
    assert (recipe.dockerfile, recipe.ignore_file, recipe.target) == ("Dockerfile", None, None)
    assert recipe.whole_image
    assert not list(bench.output.glob("*Dockerfile"))


def test_images_that_were_looked_at_decide_what_depends_on_them(bench: Bench, tmp_path: Path) -> None:
    bench.env["BP_DOCKERFILE_POLICY"] = "full"
    bench.write("Dockerfile", "# syntax=x\nFROM a:1\nCOPY <<EOF /x\n$PATH\nEOF\nCMD a\n")
    assert "notice: " in bench.generate().stdout
    first = bench.recipe
    assert first.awaits_images
    facts = {first.images[0].local: ImageFacts(env=("PATH=/p",), shell=("/bin/bash", "-c"))}
    write_image_facts(tmp_path / "images.json", facts)
    again = bench.generate(PYBUILD_IMAGES_PATH=str(tmp_path / "images.json"))
    # What was said is not said again.
    assert (again.status, again.stdout) == (0, "")
    second = bench.recipe
    assert not second.awaits_images
    assert list(second.files.values()) == ["/p\n"]
    assert texts(second)[-1] == 'CMD ["/bin/bash", "-c", "a"]'


def test_stages_are_told_what_is_built_for_where_that_is_not_this_machine(bench: Bench) -> None:
    bench.env["BP_DOCKERFILE_POLICY"] = "full"
    bench.write("Dockerfile", "FROM --platform=$BUILDPLATFORM a:1\nARG TARGETARCH BUILDARCH\nRUN cross\n")
    assert bench.generate(CNB_TARGET_ARCH=host_architecture()).status == 0
    assert bench.recipe.build_args == {}
    foreign = "arm64" if host_architecture() == "amd64" else "amd64"
    assert bench.generate(CNB_TARGET_ARCH=foreign).status == 0
    assert bench.recipe.build_args == {"TARGETARCH": foreign}
    bench.write("Dockerfile", "FROM a:1\nRUN there\n")
    assert bench.generate(CNB_TARGET_ARCH=foreign).stderr.startswith(
        f"error: Dockerfile:2: `RUN` would run programs of linux/{foreign}, which this machine cannot\n"
    )


def test_the_policy_is_restricted_where_the_operator_says_nothing(bench: Bench) -> None:
    bench.write("Dockerfile", "FROM a:1\nARG TOKEN=b\nCOPY x y\nRUN --security=insecure c\nFROM $NOPE\n")
    run = bench.generate()
    assert run.status == 1
    assert run.stderr.startswith("error: 5 problems in `Dockerfile`\n")
    assert [line.split()[0] for line in run.stderr.splitlines()[1:]] == [
        "Dockerfile:2:",
        "Dockerfile:3:",
        "Dockerfile:4:",
        "Dockerfile:5:",
        "Dockerfile:5:",
    ]
    assert not list(bench.output.iterdir())


def test_mistakes_of_syntax_are_told_with_what_the_policy_says(bench: Bench) -> None:
    bench.write("Dockerfile", "FROM a:1\nRNU x\nCOPY a b\nRUN <<EOF\n")
    run = bench.generate()
    assert run.stderr.startswith("error: 3 problems in `Dockerfile`\n")


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"\0" * 100, b"FROM a\nRUN \xff\n", b"FROM", b"\n" * 10_000])
def test_whatever_the_file_holds_ends_in_problems(bench: Bench, content: bytes) -> None:
    bench.write("Dockerfile", content)
    run = bench.generate()
    assert (run.status, run.stderr.splitlines()[0][:6]) == (1, "error:")


def test_a_stage_can_be_chosen(bench: Bench) -> None:
    bench.env.update({"BP_DOCKERFILE_POLICY": "full", "BP_DOCKERFILE_TARGET": "One"})
    bench.write("Dockerfile", "FROM a:1 AS one\nFROM b:1\nFROM c:1\nCOPY --from=one x y\n")
    assert bench.generate().status == 0
    assert (bench.recipe.target, [image.written for image in bench.recipe.images]) == ("one", ["a:1"])


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("FROM a:1 AS one\nFROM b:1 AS two\n", "hint: set it to a stage of Dockerfile: `one`, `two`"),
        ("FROM a:1\n", "hint: set it to nothing: no stage of Dockerfile has a name"),
    ],
)
def test_a_stage_that_there_is_not_is_said_with_those_that_there_are(bench: Bench, text: str, hint: str) -> None:
    bench.env.update({"BP_DOCKERFILE_POLICY": "full", "BP_DOCKERFILE_TARGET": "three"})
    bench.write("Dockerfile", text)
    run = bench.generate()
    assert run.stderr == f"error: `BP_DOCKERFILE_TARGET` cannot be `three`\n{hint}\n"


def test_build_arguments_are_handed_on(bench: Bench) -> None:
    bench.env.update({"BP_DOCKERFILE_POLICY": "full", "BP_DOCKERFILE_ARG_V": "2", "BP_DOCKERFILE_ARG_OTHER": "x"})
    bench.env.update({"BP_DOCKERFILE_ARG_http_proxy": "http://p/", "BP_DOCKERFILE_ARG_EMPTY": ""})
    bench.write("Dockerfile", "ARG V=1\nFROM a:$V\nARG EMPTY\n")
    run = bench.generate()
    assert run.status == 0
    assert (
        "warning: Dockerfile: the build argument `OTHER` has no effect: no `ARG OTHER` declares it, unless the base does"
        in run.stdout
    )
    # A base may declare it, by `ONBUILD ARG`.
    assert bench.recipe.build_args == {"V": "2", "EMPTY": "", "http_proxy": "http://p/", "OTHER": "x"}
    assert bench.recipe.images[0].written == "a:2"


def test_arguments_that_look_like_secrets_are_named(bench: Bench) -> None:
    bench.env.update({"BP_DOCKERFILE_POLICY": "full", "BP_DOCKERFILE_ARG_X": f"ghp_{'a' * 36}"})
    bench.write("Dockerfile", "FROM a:1\nARG X\nARG DB_PASSWORD=hunter2\nARG VERSION=1\n")
    run = bench.generate()
    assert bench.recipe.secret_args == ("DB_PASSWORD", "X")
    assert "ghp_" not in run.stdout + run.stderr
    assert "hunter2" not in run.stdout + run.stderr


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ((), None),
        ((".dockerignore",), ".dockerignore"),
        ((".dockerignore", "docker/App.dockerignore"), "docker/App.dockerignore"),
        ((".dockerignore", "docker/.dockerignore"), ".dockerignore"),
    ],
)
def test_the_ignore_file_named_after_the_dockerfile_comes_first(
    bench: Bench, files: tuple[str, ...], expected: str | None
) -> None:
    bench.env["BP_DOCKERFILE"] = "docker/App"
    bench.write("docker/App", "FROM a:1")
    for file in files:
        bench.write(file, "x")
    assert bench.generate().status == 0
    assert (bench.recipe.dockerfile, bench.recipe.ignore_file) == ("docker/App", expected)


@pytest.mark.parametrize("place", ["/etc/passwd", "nowhere", ".", "/dev/zero"])
def test_an_ignore_file_that_leads_elsewhere_is_a_problem(bench: Bench, place: str) -> None:
    bench.write("Dockerfile", "FROM a:1")
    (bench.app / ".dockerignore").symlink_to(place)
    run = bench.generate()
    assert run.stderr.startswith("error: .dockerignore: is no regular file of the repository\n")


def test_a_dockerfile_that_is_gone_is_a_problem(bench: Bench) -> None:
    run = bench.generate()
    assert (run.status, run.stderr.startswith("error: Dockerfile: no `Dockerfile`")) == (1, True)


def test_the_image_is_for_layers_where_others_are_in_the_group(bench: Bench) -> None:
    bench.write("Dockerfile", "FROM a:1")
    assert bench.generate(PYBUILD_WHOLE_IMAGE="false").status == 0
    assert not bench.recipe.whole_image


def test_the_image_is_for_layers_where_the_interpreter_is_the_users(bench: Bench) -> None:
    bench.write("Dockerfile", "FROM a:1")
    bench.env["BP_USER_MANAGED_DEPENDENCIES"] = "true"
    assert bench.generate().status == 0
    assert not bench.recipe.whole_image
    bench.env["BP_INTERPRETER_PATH"] = "python"
    assert bench.generate().status == 1


def test_who_manages_packages_himself_cannot_have_them_installed(bench: Bench) -> None:
    bench.write("Dockerfile", "FROM a:1")
    bench.env["BP_USER_MANAGED_DEPENDENCIES"] = "true"
    refused = bench.generate(PYBUILD_WHOLE_IMAGE="false")
    assert refused.status == 1
    assert "error: `BP_USER_MANAGED_DEPENDENCIES` cannot be `true`" in refused.stderr


def test_what_is_put_in_other_words_is_shown_as_it_was_written(bench: Bench) -> None:
    bench.write("Dockerfile", "FROM a:1\nRUN <<EOF\necho 1\nEOF\nRUN echo 2\n")
    assert bench.generate().status == 0
    assert [one.shown for one in bench.recipe.instructions[1:]] == ["RUN <<EOF", None]


def test_two_runs_write_the_same(bench: Bench) -> None:
    bench.env["BP_DOCKERFILE_POLICY"] = "full"
    bench.write("Dockerfile", "FROM a:1\nARG B A\nCOPY <<x <<y /z/\n1\nx\n2\ny\nEXPOSE 2 1\nVOLUME /b /a\n")
    assert bench.generate().status == 0
    first = (bench.output / "recipe.json").read_bytes()
    assert bench.generate().status == 0
    assert (bench.output / "recipe.json").read_bytes() == first


def test_other_lifecycles_get_a_run_dockerfile(bench: Bench) -> None:
    bench.env.update({"BP_DOCKERFILE_POLICY": "full", "BP_DOCKERFILE_ARG_V": "3.11"})
    bench.write(
        "Dockerfile",
        "# syntax=x\nARG V=3.10\nFROM unused\nFROM python:$V\nARG V\nRUN <<EOF\na\nEOF\nCOPY --link a /b\nUSER me\n",
    )
    run = bench.generate_extension()
    assert (run.status, run.stderr) == (0, "")
    assert bench.run_dockerfile == (
        "ARG V=3.10\nFROM docker.io/library/python:3.11\nARG V\n"
        'RUN ["/bin/sh","-c","\\\na\\n\\\n"]\nCOPY a /b\nUSER me\n'
    )
    assert bench.run_dockerfile.count("FROM ") == 1
    contract = read_dockerfile(bench.output / "run.Dockerfile", Kind.RUN)
    assert (contract.base, contract.extends, contract.unexpected) == ("docker.io/library/python:3.11", True, ())
    assert read_toml(bench.output / "extend-config.toml") == {"run": {"args": [{"name": "V", "value": "3.11"}]}}
    assert not (bench.output / "recipe.json").exists()


@pytest.mark.parametrize("user", ["", "USER root\n", "USER me\nUSER 0:0\n"])
def test_other_lifecycles_get_no_image_that_runs_as_root(bench: Bench, user: str) -> None:
    bench.env["BP_DOCKERFILE_POLICY"] = "full"
    bench.write("Dockerfile", f"FROM a:1\n{user}")
    assert bench.generate_extension().status == 0
    last = bench.run_dockerfile.splitlines()[-1]
    # Run as root, this program knows no user to take.
    assert os.getuid() == 0 or last == f"USER {os.getuid()}:{os.getgid()}"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("FROM a:1 AS x\nFROM b:1\nCOPY --from=x c d\n", "Dockerfile:1: the image that is built needs this stage"),
        (
            "FROM a:1\nCOPY <<E /x\na\nE\n",
            "Dockerfile:2: `COPY` with a here-document cannot be handed to other lifecycles",
        ),
    ],
)
def test_other_lifecycles_cannot_do_all(bench: Bench, text: str, problem: str) -> None:
    bench.env["BP_DOCKERFILE_POLICY"] = "full"
    bench.write("Dockerfile", text)
    run = bench.generate_extension()
    assert (run.status, run.stderr.startswith(f"error: {problem}")) == (1, True)
    assert not list(bench.output.iterdir())


def test_the_same_directory_is_an_extension_and_a_buildpack() -> None:
    extension, buildpack = read_toml(BUILDPACK / "extension.toml"), read_toml(BUILDPACK / "buildpack.toml")
    assert extension["api"] == buildpack["api"]
    left, right = extension["extension"], buildpack["buildpack"]
    assert isinstance(left, dict)
    assert isinstance(right, dict)
    assert {key: left[key] for key in ("id", "version")} == {key: right[key] for key in ("id", "version")}
    assert extension["targets"] == buildpack["targets"]
