"""Whole builds by `bin/build` with a real channel. Its packages hold no Python: `tests/integration` builds with one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from buildpacks.conda.detect import CONDA_ENVIRONMENT
from lifecycle.cnb.layer import LayerTypes
from lifecycle.cnb.plan import PlanEntry
from tests.buildpacks.conda.packages import Channels, CondaPackage, make_channel, serve
from tests.buildpacks.conftest import Workbench
from tests.buildpacks.trees import tree
from tests.integration.conda_packages import PLACEHOLDER

pytestmark = pytest.mark.integration

ACTIVATION = 'export ALPHA_HOME="$CONDA_PREFIX/share/alpha"\nexport ALPHA_PATH="$CONDA_PREFIX/lib:$ALPHA_PATH"\n'
PACKAGES = (
    CondaPackage(
        name="alpha",
        depends=("beta",),
        files={"etc/conda/activate.d/alpha.sh": ACTIVATION, "etc/alpha.conf": f"{PLACEHOLDER}/share\n"},
    ),
    CondaPackage(name="beta", files={"share/beta": "beta\n", "lib/libbeta.so": b"\0"}),
    CondaPackage(name="gamma", files={"share/gamma": "gamma\n"}),
    CondaPackage(name="failing", files={"bin/.failing-post-link.sh": "exit 3\n"}),
)


@pytest.fixture(scope="module")
def channels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Channels]:
    root = tmp_path_factory.mktemp("channels")
    make_channel(root / "conda-forge", PACKAGES)
    with serve(root) as served:
        yield served


@pytest.fixture
def bench(workbench: Callable[[str], Workbench], channels: Channels) -> Workbench:
    made = workbench("conda")
    made.env.update(
        BP_CONDA_MIRRORS=f"https://conda.anaconda.org={channels.url}",
        CNB_TARGET_DISTRO_NAME="debian",
        CNB_TARGET_DISTRO_VERSION="12",
        NO_PROXY="127.0.0.1",
        no_proxy="127.0.0.1",
    )
    channels.requests.clear()
    return made


def ask(bench: Workbench, *names: str, more: str = "") -> None:
    lines = "".join(f"  - {name}\n" for name in names)
    bench.write({"environment.yml": f"channels: [conda-forge, nodefaults]\ndependencies:\n{lines}{more}"})


def prefix(bench: Workbench) -> Path:
    return bench.layers / "env" / "conda"


def env(bench: Workbench) -> dict[str, str]:
    return {path.name: path.read_text() for path in (bench.layers / "env" / "env").iterdir()}


def test_an_environment_is_installed_and_activated(bench: Workbench) -> None:
    ask(bench, "alpha", more="variables:\n  GREETING: hello\n")
    done = bench.build()
    assert done.status == 0, done.stderr
    assert (prefix(bench) / "etc" / "alpha.conf").read_text() == f"{prefix(bench)}/share\n"
    assert env(bench) == {
        "PATH.prepend": f"{prefix(bench)}/bin",
        "PATH.delim": ":",
        "CONDA_PREFIX.override": str(prefix(bench)),
        "CONDA_DEFAULT_ENV.override": "conda",
        "CONDA_SHLVL.override": "1",
        "GREETING.override": "hello",
        "ALPHA_HOME.override": f"{prefix(bench)}/share/alpha",
        "ALPHA_PATH.prepend": f"{prefix(bench)}/lib",
        "ALPHA_PATH.delim": ":",
    }
    assert bench.layer("env").types == LayerTypes(launch=True)
    assert bench.layer("cache").types == LayerTypes(cache=True)


def test_libraries_of_the_environment_are_not_given_to_the_programs_of_the_run_image(bench: Workbench) -> None:
    ask(bench, "beta")
    assert bench.build().status == 0
    assert (prefix(bench) / "lib").is_dir()
    assert {path.name for path in (bench.layers / "env").iterdir()} == {"conda", "env"}


def test_the_lock_is_in_the_image_and_in_the_report(bench: Workbench) -> None:
    ask(bench, "alpha")
    assert bench.build().status == 0
    lock = (prefix(bench) / "conda-explicit.lock").read_text()
    assert lock.count("https://conda.anaconda.org/conda-forge/linux-64/") == 2
    assert json.loads((bench.layers / "locks.json").read_text()) == {"conda-explicit.lock": lock}


def test_an_unchanged_build_makes_nothing_and_asks_nobody(bench: Workbench, channels: Channels) -> None:
    ask(bench, "alpha")
    bench.build()
    metadata = bench.layer("env").metadata
    bench.restore()
    channels.requests.clear()
    done = bench.build()
    assert "Using the environment of the last build: nothing has changed" in done.stdout
    assert channels.requests == []
    assert not (bench.layers / "env").exists()
    assert bench.layer("env").metadata == metadata


def test_a_layer_that_others_build_with_keeps_its_environment(bench: Workbench) -> None:
    ask(bench, "alpha")
    plan = (PlanEntry(name=CONDA_ENVIRONMENT, metadata={"build": True}),)
    bench.build(plan)
    before = tree(bench.layers / "env")
    assert bench.layer("env").types == LayerTypes(launch=True, build=True, cache=True)
    bench.restore()
    assert "nothing has changed" in bench.build(plan).stdout
    assert tree(bench.layers / "env") == before


def test_another_variable_installs_nothing_again(bench: Workbench) -> None:
    ask(bench, "alpha", more="variables:\n  A: 1\n")
    bench.build()
    bench.restore()
    ask(bench, "alpha", more="variables:\n  A: 2\n")
    done = bench.build()
    assert "  the `variables:` have changed" in done.stdout
    assert "Using the 2 packages of conda's that the last build installed" in done.stdout
    assert env(bench)["A.override"] == "2"


def test_a_dependency_that_was_there_already_changes_nothing(bench: Workbench) -> None:
    ask(bench, "alpha")
    bench.build()
    bench.restore()
    ask(bench, "alpha", "beta")
    done = bench.build()
    assert "  dependencies: `beta` was added" in done.stdout
    assert "nothing has changed" in done.stdout


def test_a_new_dependency_downloads_only_itself(bench: Workbench, channels: Channels) -> None:
    ask(bench, "alpha")
    bench.build()
    bench.restore()
    channels.requests.clear()
    ask(bench, "alpha", "gamma")
    done = bench.build()
    assert "  the lock of conda's packages has changed" in done.stdout
    assert [path for path in channels.requests if path.endswith(".conda")] == [
        "/conda-forge/linux-64/gamma-1.0-0.conda"
    ]
    assert (prefix(bench) / "share" / "gamma").is_file()


def test_a_prefix_that_was_edited_in_place_is_made_anew(bench: Workbench) -> None:
    ask(bench, "beta", more="variables:\n  A: 1\n")
    bench.build()
    with (prefix(bench) / "share" / "beta").open("a") as stream:
        stream.write("edited\n")
    bench.restore()
    ask(bench, "beta", more="variables:\n  A: 2\n")
    assert "Installing 1 package" in bench.build().stdout
    assert (prefix(bench) / "share" / "beta").read_text() == "beta\n"


def test_two_cold_builds_are_equal_to_the_byte(bench: Workbench) -> None:
    ask(bench, "alpha", "gamma")
    found = []
    for _ in range(2):
        assert bench.build().status == 0
        found.append((tree(bench.layers / "env"), bench.layer("env")))
        bench.restore()
        for name in ("cache.toml", "env.toml"):
            (bench.layers / name).unlink()
        (bench.layers / "cache").rename(bench.root / f"old-{len(found)}")
    assert found[0] == found[1]


def test_what_was_downloaded_outlives_a_failure(bench: Workbench) -> None:
    ask(bench, "failing")
    done = bench.build()
    assert done.status == 1
    assert "error: the post-link script of failing 1.0 0 exited with status 3" in done.stderr
    assert bench.layer("cache").outlives_failure
    assert list((bench.layers / "cache" / "archives").iterdir())


def test_problems_of_the_pip_section_are_told_before_anything_is_downloaded(
    bench: Workbench, channels: Channels
) -> None:
    ask(bench, "alpha", more="  - pip:\n      - '>=nonsense'\n")
    done = bench.build()
    assert done.status == 1
    assert "environment.yml:5" in done.stderr
    assert channels.requests == []


def test_a_forbidden_channel_is_told_before_anything_is_downloaded(bench: Workbench, channels: Channels) -> None:
    bench.write({"environment.yml": "channels: [defaults]\ndependencies: [alpha]\n"})
    done = bench.build()
    assert done.status == 1
    assert "nodefaults" in done.stderr
    assert channels.requests == []


def test_an_explicit_lock_is_installed_without_a_solve(bench: Workbench, channels: Channels) -> None:
    ask(bench, "alpha")
    bench.build()
    lock = (prefix(bench) / "conda-explicit.lock").read_bytes()
    first = tree(prefix(bench))
    bench.restore()
    bench.write({"conda-linux-64.lock": lock})
    channels.requests.clear()
    done = bench.build()
    assert done.status == 0, done.stderr
    assert "Installing what `conda-linux-64.lock` has locked, without a solve" in done.stdout
    assert not [path for path in channels.requests if "repodata" in path]
    assert tree(prefix(bench)).keys() == first.keys()


def test_a_lock_without_hashes_gets_those_of_the_first_download(bench: Workbench, channels: Channels) -> None:
    ask(bench, "beta")
    bench.build()
    lock = (prefix(bench) / "conda-explicit.lock").read_text()
    bench.restore()
    bench.write({"conda-linux-64.lock": re.sub(r"#sha256:\w+", "", lock)})
    done = bench.build()
    assert done.status == 0, done.stderr
    assert "have no hash" in done.stdout
    assert json.loads((bench.layers / "locks.json").read_text()) == {"conda-explicit.lock": lock}
    bench.restore()
    channels.requests.clear()
    again = bench.build()
    assert "Using the environment of the last build: nothing has changed" in again.stdout
    assert channels.requests == []
