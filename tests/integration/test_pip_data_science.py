"""The image of a data-science repository does what a person, a platform and a session expect of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.command import FIXTURES, Pybuild, expect_success
from tests.integration.data_science import DataScience, build_with_report, reused_layers
from tests.integration.image_check import validate_image
from tests.integration.image_files import differences, file_names, iterate_files, read_layout
from tests.integration.machine import machine_traces
from tests.integration.workplace import clone_of

pytestmark = pytest.mark.integration

# Programs of the C toolchain and of the builder, by the last part of their path.
_UNWANTED = re.compile(r"(.*-)?(gcc|g\+\+|cc|c\+\+|cpp|ld|as|make|uv|uvx|git|dpkg-dev|mmdebstrap)(-\d+)?")


def test_the_program_runs_from_the_image_without_docker(data_science: DataScience) -> None:
    ran = expect_success(data_science.pybuild("run", f"oci:{data_science.layout}", "--", "python", "main.py"))
    for version in ("3.10", "2.2.2", "2.2.3", "4.3.5"):
        assert version in ran.stdout


def test_the_build_says_what_it_does_and_prints_only_results(data_science: DataScience) -> None:
    for phase in ("DETECT", "BUILD", "EXPORT"):
        assert f"===> {phase}" in data_science.first.stderr
    digest = read_layout(data_science.layout).digest
    lines = data_science.first.stdout.splitlines()
    assert len(lines) == 2
    assert all(digest in line for line in lines)
    assert "\x1b" not in data_science.first.stderr


def test_python_3_10_is_named_as_past_its_end_of_life(data_science: DataScience) -> None:
    notices = [line for line in data_science.first.stderr.splitlines() if "notice:" in line]
    assert any("3.10" in line and "end of life" in line for line in notices), notices


def test_the_image_is_whole_and_valid(data_science: DataScience) -> None:
    image = validate_image(data_science.layout)
    assert image.config["config"]["WorkingDir"] == "/workspace"
    assert image.config["config"]["User"] not in ("", "0", "root")


def test_the_lock_of_what_is_installed_is_in_the_image(data_science: DataScience) -> None:
    locks = [
        file.content.decode()
        for file in iterate_files(read_layout(data_science.layout))
        if file.name.endswith("/requirements.lock")
    ]
    assert len(locks) == 1
    for pinned in ("numpy==2.2.2", "pandas==2.2.3", "jupyterlab==4.3.5", "--hash=sha256:"):
        assert pinned in locks[0]


def test_bytecode_of_all_but_pip_is_in_the_image(data_science: DataScience) -> None:
    names = file_names(read_layout(data_science.layout))
    assert any(re.search(r"site-packages/pandas/core/__pycache__/frame\.cpython-310\.pyc$", name) for name in names)
    assert any(name.endswith("site-packages/pip/__main__.py") for name in names)
    assert not any("site-packages/pip/" in name and name.endswith(".pyc") for name in names)


def test_toolchain_and_caches_are_not_in_the_image(data_science: DataScience) -> None:
    names = file_names(read_layout(data_science.layout))
    programs = {name for name in names if "/bin/" in f"/{name}" and "site-packages" not in name}
    assert not {name for name in programs if _UNWANTED.fullmatch(name.rsplit("/", 1)[1])}
    assert not {name for name in names if re.search(r"(^|/)(\.cache|uv_cache\.json|CACHEDIR\.TAG)(/|$)", name)}
    assert not {
        name for name in names if re.search(r"^(tmp/|var/cache/.*\.deb$|var/lib/apt/lists/.*(Packages|Release))", name)
    }


def test_nothing_of_the_machine_is_in_the_image(data_science: DataScience) -> None:
    image = read_layout(data_science.layout)
    traces = machine_traces(data_science.directory, data_science.pybuild.cache_home)
    documents = [("config", str(image.config).encode()), ("manifest", str(image.manifest).encode())]
    found = [f"{what} in the {name}" for name, text in documents for what, trace in traces.items() if trace in text]
    for file in iterate_files(image):
        text = file.content + file.name.encode() + file.entry.linkname.encode()
        found += [f"{what} in {file.name}" for what, trace in traces.items() if trace in text]
    assert not found


def test_an_unchanged_repository_is_built_in_moments(data_science: DataScience) -> None:
    _, before = data_science.build()
    finished, report = data_science.build("--output", f"oci:{data_science.directory / 'again'}")
    assert report["image"]["digest"] == before["image"]["digest"]
    assert all(reused_layers(report).values())
    assert "Reusing layer `pybuild/pip:venv`" in finished.stderr
    print(f"an unchanged build took {finished.seconds:.2f} s")
    # Three seconds on a quiet machine; twice that where other tests run beside it.
    assert finished.seconds < 20


def test_changed_code_leaves_the_environment_alone(data_science: DataScience) -> None:
    data_science.build()
    program = data_science.repository / "main.py"
    original = program.read_text()
    program.write_text(f"{original}# changed\n")
    try:
        finished, report = data_science.build()
    finally:
        program.write_text(original)
    reused = reused_layers(report)
    assert [name for name, is_reused in reused.items() if not is_reused]
    assert all(is_reused for name, is_reused in reused.items() if "cpython" in name or "venv" in name), reused
    print(f"a build after a change of code took {finished.seconds:.2f} s")
    assert finished.seconds < 20


def test_an_added_dependency_makes_less_than_a_tenth_of_the_bytes_anew(data_science: DataScience) -> None:
    _, before = data_science.build()
    requirements = data_science.repository / "requirements.txt"
    original = requirements.read_text()
    requirements.write_text(f"{original}tabulate==0.9.0\n")
    layout = data_science.directory / "added"
    try:
        finished, after = data_science.build("--output", f"oci:{layout}")
    finally:
        requirements.write_text(original)
    validate_image(layout)
    sizes = {layer["digest"]: layer["size"] for layer in after["layers"]}
    known = {layer["digest"] for layer in before["layers"]}
    new = sum(size for digest, size in sizes.items() if digest not in known)
    print(f"of {sum(sizes.values())} bytes {new} are new; the build took {finished.seconds:.2f} s")
    assert new < sum(sizes.values()) / 10
    environment = {layer["digest"]: layer["size"] for layer in after["layers"] if "venv" in layer["name"]}
    assert sum(size for digest, size in environment.items() if digest not in known) < sum(environment.values()) / 10
    assert len(after["layers"]) <= 110
    ran = expect_success(data_science.pybuild("run", f"oci:{layout}", "--", "python", "-c", "import tabulate, pandas"))
    assert ran.stdout == ""


def test_two_clones_with_two_stores_give_one_digest(
    data_science: DataScience, new_pybuild: Callable[[str], Pybuild], tmp_path: Path
) -> None:
    other = new_pybuild("other-cache-home")
    clone = clone_of(FIXTURES / "pip_data_science", tmp_path / "other" / "clone")
    build_with_report(other, clone, tmp_path / "report.json", "--output", f"oci:{tmp_path / 'layout'}")
    assert not differences(read_layout(data_science.layout), read_layout(tmp_path / "layout"))
