from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from buildpacks.conda.activation import Activation, ActivationFailed, activate
from buildpacks.conda.prefix import write_state
from lifecycle.cnb.environment import LayerEnvironment, launch_environment
from lifecycle.cnb.identifier import BuildpackId
from tests.buildpacks.contexts import make_context

BASE = {"PATH": "/usr/bin:/bin", "TAKEN": "from the run image"}


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    made = tmp_path / "layers" / "env" / "conda"
    for name in ("conda-meta", "etc/conda/activate.d", "etc/conda/env_vars.d"):
        (made / name).mkdir(parents=True)
    return made


def run(prefix: Path, scripts: Mapping[str, str]) -> Activation:
    for name, text in scripts.items():
        (prefix / "etc" / "conda" / "activate.d" / name).write_text(text)
    return activate(make_context(prefix.parents[2]), prefix)


def launched(prefix: Path, scripts: Mapping[str, str]) -> Mapping[str, str]:
    """The environment of the image, by the rules of the lifecycle."""
    files = {f"env/{name}": content for name, content in run(prefix, scripts).env.items()}
    layer = LayerEnvironment(buildpack=BuildpackId.parse("pybuild/conda"), name="env", path=prefix.parent, files=files)  # type: ignore[arg-type]
    return launch_environment([layer], BASE)


def test_without_scripts_the_prefix_is_first_on_the_path(prefix: Path) -> None:
    assert launched(prefix, {}) == {
        **BASE,
        "PATH": f"{prefix}/bin:/usr/bin:/bin",
        "CONDA_PREFIX": str(prefix),
        "CONDA_DEFAULT_ENV": "conda",
        "CONDA_SHLVL": "1",
    }


def test_variables_come_from_packages_and_then_from_the_environment(prefix: Path) -> None:
    variables = prefix / "etc" / "conda" / "env_vars.d"
    (variables / "b.json").write_text(json.dumps({"ONE": "package", "TWO": "package", "GONE": "package"}))
    (variables / "a.json").write_text(json.dumps({"ONE": "earlier"}))
    write_state(prefix, {"TWO": "file, with a\nsecond line", "GONE": "***unset***"})
    env = launched(prefix, {})
    assert env["ONE"] == "package"
    assert env["TWO"] == "file, with a\nsecond line"
    assert "GONE" not in env


def test_scripts_see_the_variables_and_run_in_the_order_of_their_names(prefix: Path) -> None:
    write_state(prefix, {"WORD": "hello"})
    env = launched(prefix, {"b.sh": 'export ORDER="$ORDER b"\n', "a.sh": 'export ORDER="$WORD $CONDA_PREFIX a"\n'})
    assert env["ORDER"] == f"hello {prefix} a b"


def test_scripts_of_other_shells_are_not_run(prefix: Path) -> None:
    assert "X" not in launched(prefix, {"a.fish": "set -gx X 1\n", "a.csh": "setenv X 1\n", "a.bat": "@SET X=1\n"})


@pytest.mark.parametrize(
    ("script", "value"),
    [
        ('export TAKEN="$CONDA_PREFIX/lib:$TAKEN"', "{prefix}/lib:from the run image"),
        ('export TAKEN="$TAKEN:$CONDA_PREFIX/lib"', "from the run image:{prefix}/lib"),
        ('export TAKEN="$TAKEN -O2"', "from the run image -O2"),
        ('export TAKEN="${TAKEN:-ours}"', "from the run image"),
        ('export TAKEN="ours"', "ours"),
        ('export TAKEN="a${TAKEN}b"', "ab"),
    ],
)
def test_a_script_does_to_the_image_what_it_does_to_a_shell(prefix: Path, script: str, value: str) -> None:
    assert launched(prefix, {"a.sh": script})["TAKEN"] == value.format(prefix=prefix)


def test_a_list_that_was_empty_gets_no_empty_item(prefix: Path) -> None:
    assert launched(prefix, {"a.sh": 'export FRESH="$CONDA_PREFIX/lib:$FRESH"'})["FRESH"] == f"{prefix}/lib"


def test_a_script_may_extend_the_path(prefix: Path) -> None:
    env = launched(prefix, {"a.sh": 'export PATH="$CONDA_PREFIX/libexec:$PATH:/opt/last"'})
    assert env["PATH"] == f"{prefix}/libexec:{prefix}/bin:/usr/bin:/bin:/opt/last"


def test_functions_and_shell_variables_stay_out_of_the_image(prefix: Path) -> None:
    env = launched(prefix, {"a.sh": "f() { :; }; export -f f; local_only=1; export PS1=x; cd /\n"})
    assert set(env) == {*BASE, "CONDA_PREFIX", "CONDA_DEFAULT_ENV", "CONDA_SHLVL"}


def test_the_home_of_the_build_stays_out_of_the_image(prefix: Path) -> None:
    activation = run(prefix, {"a.sh": 'export STATE="$HOME/.state"; export OWN="$CONDA_PREFIX/own"\n'})
    assert "STATE.override" not in activation.env
    assert activation.env["OWN.override"] == f"{prefix}/own"
    assert activation.notices == (
        "the variable `STATE` of the activation is left out: it names the home directory of the build",
    )


def test_python_in_a_script_writes_no_bytecode(prefix: Path) -> None:
    env = launched(prefix, {"a.sh": 'export SEEN="$PYTHONDONTWRITEBYTECODE"\n'})
    assert env["SEEN"] == "1"
    assert "PYTHONDONTWRITEBYTECODE" not in env


def test_a_script_that_fails_is_noticed_and_the_next_one_runs(prefix: Path) -> None:
    activation = run(prefix, {"a.sh": "return 3\n", "b.sh": "export B=1\n"})
    assert activation.env["B.override"] == "1"
    assert activation.notices == (
        "`a.sh` of the activation ended with status 3; activation goes on, as it does with conda",
    )


def test_a_script_that_leaves_the_shell_is_an_error(prefix: Path) -> None:
    with pytest.raises(ActivationFailed) as caught:
        run(prefix, {"a.sh": "true\n", "b.sh": "exit 4\n"})
    assert caught.value.summary == "activating the environment ended in `etc/conda/activate.d/b.sh` with status 4"


def test_variables_that_cannot_be_are_left_out_with_a_notice(prefix: Path) -> None:
    (prefix / "etc" / "conda" / "env_vars.d" / "a.json").write_text('{"a b": "1", "PATH": "/x", "N": 1, "GOOD": "1"}')
    (prefix / "etc" / "conda" / "env_vars.d" / "b.json").write_text("[")
    activation = run(prefix, {})
    assert activation.env["GOOD.override"] == "1"
    assert len(activation.notices) == 4
    assert activation.env["PATH.prepend"] == f"{prefix}/bin"
