"""The launcher is run by the machine's own `sh`, in a directory that stands for the image."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import pytest

from lifecycle.app_config import app_environment
from lifecycle.cnb.environment import launch_environment, read_layer_environment
from lifecycle.cnb.identifier import BuildpackId
from lifecycle.cnb.launch import Process
from lifecycle.launcher import Launch, render_launcher

SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"
SHELLS = ["dash", "bash", pytest.param("busybox", marks=pytest.mark.integration)]


@dataclass
class ImageDirectory:
    """A directory with an application, layers and a launcher, and the environment that its image would have."""

    root: Path
    shell: str
    base: Mapping[str, str] = field(default_factory=lambda: {"PATH": SYSTEM_PATH})
    layers: list[str] = field(default_factory=list)

    def file(self, path: str, content: str, *, mode: int = 0o644) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)
        target.chmod(mode)

    def layer(self, name: str, files: Mapping[str, str], *, programs: Mapping[str, str] | None = None) -> None:
        self.layers.append(name)
        (self.root / "layers/bp" / name).mkdir(parents=True)
        for path, content in files.items():
            self.file(f"layers/bp/{name}/{path}", content)
        for path, content in (programs or {}).items():
            self.file(f"layers/bp/{name}/{path}", content, mode=0o755)

    def launch(
        self,
        argv: Sequence[str],
        processes: Sequence[Process] = (),
        *,
        env: Mapping[str, str] | None = None,
        unset: Sequence[str] = (),
    ) -> subprocess.CompletedProcess[str]:
        """Result of starting the image: `argv[0]` is `launcher` or a process type."""
        app = self.root / "workspace"
        app.mkdir(exist_ok=True)
        layers = tuple(
            read_layer_environment(
                self.root / "layers/bp" / name,
                buildpack=BuildpackId.parse("bp"),
                name=name,
                path=PurePosixPath(self.root / "layers/bp" / name),
            )
            for name in sorted(self.layers)
        )
        app_path = PurePosixPath(app)
        exported = app_environment(self.base, layers, app=app_path, layers_dir=PurePosixPath(self.root / "layers"))
        launch = Launch(processes=processes, layers=layers, base=self.base, exported=exported, app_dir=app_path)
        program = self.root / "launcher"
        program.write_bytes(render_launcher(launch))
        started = self.root / "process" / argv[0]
        started.parent.mkdir(exist_ok=True)
        if not started.exists():
            started.symlink_to(program)
        shell = (
            [self.shell, "sh"]
            if self.shell == "busybox"
            else [self.shell, "--posix"]
            if self.shell == "bash"
            else [self.shell]
        )
        environment = {name: value for name, value in {**exported, **(env or {})}.items() if name not in unset}
        return subprocess.run(
            [*shell, str(started), *argv[1:]], env=environment, capture_output=True, text=True, timeout=20
        )


@pytest.fixture(params=SHELLS)
def image(tmp_path: Path, request: pytest.FixtureRequest) -> ImageDirectory:
    return ImageDirectory(root=tmp_path, shell=request.param)


def process(process_type: str, *command: str, args: Sequence[str] = (), **other: object) -> Process:
    return Process(type=process_type, command=command, args=tuple(args), **other)  # type: ignore[arg-type]


def variables(output: str) -> dict[str, str]:
    return dict(entry.split("=", 1) for entry in output.split("\0") if entry)


def test_a_process_type_is_chosen_by_the_name_it_is_started_by(image: ImageDirectory) -> None:
    web = process("web", "printf", "[%s]", args=["default"])
    assert image.launch(["web"], [web]).stdout == "[default]"


def test_arguments_replace_the_default_ones_and_not_the_fixed_ones(image: ImageDirectory) -> None:
    web = process("web", "printf", "[%s]", args=["default"])
    assert image.launch(["web", "a b", "c'd\"e$F"], [web]).stdout == "[a b][c'd\"e$F]"


def test_a_process_runs_in_its_working_directory(image: ImageDirectory) -> None:
    (image.root / "workspace/sub").mkdir(parents=True)
    result = image.launch(["web"], [process("web", "pwd", working_dir="sub")])
    assert result.stdout.strip() == str(image.root / "workspace/sub")


def test_a_relative_program_is_looked_for_in_the_application(image: ImageDirectory) -> None:
    (image.root / "workspace/sub").mkdir(parents=True)
    image.file("workspace/start", "#!/bin/sh\npwd\n", mode=0o755)
    result = image.launch(["web"], [process("web", "./start", working_dir="sub")])
    assert result.stdout.strip() == str(image.root / "workspace/sub")


def test_the_default_of_a_restricted_process_is_only_for_its_execution_environment(image: ImageDirectory) -> None:
    test = process("t", "echo", "ran", exec_env=("test",))
    refused = image.launch(["t"], [test])
    assert (refused.returncode, refused.stdout) == (82, "")
    assert image.launch(["t"], [test], env={"CNB_EXEC_ENV": "test"}).stdout == "ran\n"
    assert image.launch(["t"], [process("t", "echo", "ran", exec_env=("*",))]).stdout == "ran\n"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["launcher"], "there is no process to start"),
        (["launcher", "--"], "there is no command"),
        (["launcher", "--", "no-such-program"], "no program `no-such-program`"),
        (["launcher", "--", "./no-such-program"], "no program `./no-such-program`"),
    ],
)
def test_what_cannot_be_started_gives_82(image: ImageDirectory, argv: list[str], message: str) -> None:
    result = image.launch(argv)
    assert result.returncode == 82
    assert message in result.stderr


@pytest.mark.parametrize("version", [None, "", "0.3", "1.0"])
def test_an_unknown_platform_api_gives_11(image: ImageDirectory, version: str | None) -> None:
    env = {} if version is None else {"CNB_PLATFORM_API": version}
    result = image.launch(["launcher", "--", "true"], env=env, unset=["CNB_PLATFORM_API"] if version is None else [])
    assert result.returncode == 11


def test_the_status_of_the_process_is_the_status(image: ImageDirectory) -> None:
    assert image.launch(["launcher", "--", "sh", "-c", "exit 7"]).returncode == 7


def test_the_process_takes_the_place_of_the_launcher(image: ImageDirectory) -> None:
    result = image.launch(["launcher", "--", "sh", "-c", "kill -TERM $$"])
    assert result.returncode == -15


def test_the_lifecycle_s_own_variables_are_gone(image: ImageDirectory) -> None:
    result = image.launch(["launcher", "--", "env", "-0"], env={"MINE": "1\n2", "CNB_PROCESS_TYPE": "web"})
    found = variables(result.stdout)
    assert found["MINE"] == "1\n2"
    assert not {name for name in found if name.startswith(("CNB_", "_pb"))}
    assert found["PATH"] == SYSTEM_PATH
    assert "CNB_PROCESS_TYPE is not supported" in result.stderr


def test_what_the_image_has_already_is_not_applied_twice(image: ImageDirectory) -> None:
    image.layer(
        "venv",
        {"env/FLAGS.append": "-x", "env/FLAGS.delim": " ", "env.launch/HOME_OF.default": "/l"},
        programs={"bin/tool": "#!/bin/sh\n"},
    )
    image.base = {**image.base, "FLAGS": "-b"}
    found = variables(image.launch(["launcher", "--", "env", "-0"]).stdout)
    assert found["PATH"] == f"{image.root}/layers/bp/venv/bin:{SYSTEM_PATH}"
    assert found["FLAGS"] == "-b -x"
    # A process that the launcher started starts another one through it.
    again = image.launch(["launcher", "--", "env", "-0"], env={**found, "CNB_PLATFORM_API": "0.15"})
    # Which shell it is in the other is no variable of layers: busybox counts them.
    assert {**variables(again.stdout), "SHLVL": ""} == {**found, "SHLVL": ""}


def test_the_layers_are_applied_to_what_the_user_changed(image: ImageDirectory) -> None:
    image.layer(
        "a",
        {
            "env/APPENDED.append": "-x",
            "env/APPENDED.delim": " ",
            "env/PREPENDED.prepend": "first:",
            "env/OVERRIDDEN": "it's\nmine\n",
            "env.launch/DEFAULT.default": "d",
            "lib/keep": "",
        },
    )
    changed = {
        "APPENDED": "u",
        "PREPENDED": "u",
        "OVERRIDDEN": "u",
        "DEFAULT": "u",
        "LD_LIBRARY_PATH": "/u",
        "PATH": "/u:/bin",
    }
    found = variables(image.launch(["launcher", "--", "/usr/bin/env", "-0"], env=changed).stdout)
    assert {name: found[name] for name in changed} == {
        "APPENDED": "u -x",
        "PREPENDED": "first:u",
        "OVERRIDDEN": "it's\nmine\n",
        "DEFAULT": "u",
        "LD_LIBRARY_PATH": f"{image.root}/layers/bp/a/lib:/u",
        "PATH": "/u:/bin",
    }


def test_the_launcher_gives_what_the_rules_give(image: ImageDirectory) -> None:
    image.layer(
        "a", {"env/X.append": "a", "env.launch/X.prepend": "b", "env.launch/web/X.append": "c", "env/Y.default": ""}
    )
    image.layer("b", {"env/X.append": "d", "env.launch/web/Z": "only web", "env.build/X": "no"})
    layers = [
        read_layer_environment(
            image.root / "layers/bp" / name,
            buildpack=BuildpackId.parse("bp"),
            name=name,
            path=PurePosixPath("/l") / name,
        )
        for name in ("a", "b")
    ]
    for user in ({}, {"X": "u", "Z": "u"}, {"X": ""}):
        for argv, process_type in ((["web"], "web"), (["launcher", "--", "env", "-0"], None)):
            expected = launch_environment(layers, {**image.base, **user}, process_type=process_type)
            result = image.launch(argv, [process("web", "env", "-0")], env=user)
            found = variables(result.stdout)
            assert {name: found.get(name) for name in "XYZ"} == {name: expected.get(name) for name in "XYZ"}


def test_a_variable_that_a_shell_cannot_name_is_set_all_the_same(image: ImageDirectory) -> None:
    image.layer("a", {"env/MY-FLAG": "it's"})
    assert variables(image.launch(["launcher", "--", "env", "-0"]).stdout)["MY-FLAG"] == "it's"


EXEC_D = r"""#!/bin/sh
echo "seen by the user"
cat >&3 <<'END'
# comment
PLAIN = "one"   # behind
'QUOTED' = 'lit\eral'
"ESCAPED" = "tab\t quote\" back\\slash é \u00e9 \U0001F600 it's $HOME `x`"
MULTI = \"\"\"
first
second \
   joined\"\"\"
WITH-DASH = "yes"
END
"""


def test_exec_d_programs_set_variables_for_those_after_them(image: ImageDirectory) -> None:
    second = '#!/bin/sh\nprintf "SECOND = \\"%s, %s\\"\\n" "$PLAIN" "$(pwd)" >&3\n'
    image.layer("a", {}, programs={"exec.d/10-first": EXEC_D.replace('\\"\\"\\"', '"""'), "exec.d/20-second": second})
    result = image.launch(["launcher", "--", "env", "-0"])
    assert result.stdout.startswith("seen by the user\n"), result.stderr
    found = variables(result.stdout.removeprefix("seen by the user\n"))
    assert found["PLAIN"] == "one"
    assert found["QUOTED"] == r"lit\eral"
    assert found["ESCAPED"] == "tab\t quote\" back\\slash é é 😀 it's $HOME `x`"
    assert found["MULTI"] == "first\nsecond joined"
    assert found["WITH-DASH"] == "yes"
    assert found["SECOND"] == f"one, {image.root}/workspace"


def test_exec_d_of_a_type_runs_only_for_it_and_after_all_others(image: ImageDirectory) -> None:
    def adding(letter: str) -> str:
        return f'#!/bin/sh\nprintf "ORDER = \\"%s{letter}\\"\\n" "${{ORDER-}}" >&3\n'

    image.layer("a", {}, programs={"exec.d/x": adding("a"), "exec.d/web/x": adding("A")})
    image.layer("b", {}, programs={"exec.d/x": adding("b")})
    show = ["sh", "-c", 'printf %s "$ORDER"']
    assert image.launch(["web"], [process("web", *show)]).stdout == "abA"
    assert image.launch(["launcher", "--", *show]).stdout == "ab"


@pytest.mark.parametrize("text", ["A = 1", "[table]", 'A = "x', 'A.B = "x"', '= "x"', 'A = "x" B = "y"', 'A = "\\q"'])
def test_exec_d_output_that_is_no_string_pairs_stops_the_launch(image: ImageDirectory, text: str) -> None:
    image.layer("a", {}, programs={"exec.d/x": f"#!/bin/sh\ncat >&3 <<'END'\n{text}\nEND\n"})
    result = image.launch(["launcher", "--", "echo", "started"])
    assert (result.returncode, result.stdout) == (82, "")
    assert "exec.d/x" in result.stderr


def test_an_exec_d_program_that_fails_stops_the_launch(image: ImageDirectory) -> None:
    image.layer("a", {}, programs={"exec.d/x": "#!/bin/sh\nexit 3\n"})
    result = image.launch(["launcher", "--", "echo", "started"])
    assert (result.returncode, result.stdout) == (82, "")
    assert "exited with status 3" in result.stderr


def test_much_output_of_exec_d_does_not_block(image: ImageDirectory) -> None:
    image.layer(
        "a",
        {},
        programs={
            "exec.d/x": "#!/bin/sh\nprintf 'A = \"' >&3\nhead -c 100000 /dev/zero | tr '\\0' x >&3\necho '\"' >&3\n"
        },
    )
    result = image.launch(["launcher", "--", "sh", "-c", "echo ${#A}"])
    assert result.stdout == "100000\n", result.stderr


def test_a_command_without_a_type_is_run_by_bash_after_the_profiles(image: ImageDirectory) -> None:
    image.layer("a", {"profile.d/x.sh": "export GREETING=hello; of_a=1", "profile.d/web/y.sh": "export GREETING=no"})
    image.file("workspace/.profile", 'export GREETING="$GREETING world"')
    assert image.launch(["launcher", 'echo "$GREETING"; exit 5']).stdout == "hello world\n"
    assert image.launch(["launcher", 'echo "$GREETING"; exit 5']).returncode == 5
    assert image.launch(["launcher", "--", "sh", "-c", 'echo "$GREETING"']).stdout == "\n"


def test_arguments_of_a_command_are_expanded_one_by_one(image: ImageDirectory) -> None:
    words = ["$GREETING", "a  b", 'say "hi" \\n', "\\$GREETING", "*", "$(echo 'x  y')", "it's"]
    result = image.launch(["launcher", "printf", "[%s]", *words], env={"GREETING": "hello world"})
    assert result.stdout == '[hello world][a  b][say "hi" \\n][$GREETING][*][x  y][it\'s]', result.stderr


def test_the_program_is_found_in_a_layer(image: ImageDirectory) -> None:
    image.layer("a", {}, programs={"bin/tool": "#!/bin/sh\necho from the layer\n"})
    for argv in (["launcher", "tool"], ["launcher", "--", "tool"]):
        assert image.launch(argv, env={"PATH": os.defpath}).stdout == "from the layer\n"
