"""The corrected file: right, the same elsewhere, and the same when it is corrected again."""

from __future__ import annotations

import csv
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildpacks.conda.channels import check_channels, find_problems
from buildpacks.conda.correction import Correction, correct
from buildpacks.conda.errors import ChannelPolicyViolation, InvalidEnvironmentFile
from buildpacks.conda.foreign import find_foreign, without_build
from buildpacks.conda.rules import Rules
from buildpacks.conda.specification import EnvironmentFile, parse_environment_file

CORPUS = Path(os.environ.get("PYBUILD_CORPUS") or Path(__file__).parents[4] / "shared" / "corpus")
RULES = Rules()


def read(text: str | bytes) -> EnvironmentFile:
    return parse_environment_file(text.encode() if isinstance(text, str) else text, name="environment.yml")


def fix(text: str | bytes) -> Correction:
    return correct(read(text), RULES, drop_build_strings=True)


@pytest.mark.parametrize(
    ("text", "corrected"),
    [
        pytest.param(
            "channels:\n- defaults\ndependencies:\n- python\n",
            "channels:\n- conda-forge\n- nodefaults\ndependencies:\n- python\n",
            id="without indentation",
        ),
        pytest.param(
            "channels:\n  - conda-forge   # ours\n  - defaults # theirs\ndependencies: [python]",
            "channels:\n  - conda-forge   # ours\n  - nodefaults # theirs\ndependencies: [python]",
            id="comments",
        ),
        pytest.param(
            "dependencies:\n  - python\nchannels:\n  - conda-forge",
            "dependencies:\n  - python\nchannels:\n  - conda-forge\n  - nodefaults",
            id="no end of line at the end",
        ),
        pytest.param(
            "channels:\r\n    -   defaults\r\n    -   conda-forge\r\ndependencies:\r\n    -   python\r\n",
            "channels:\r\n    -   conda-forge\r\n    -   nodefaults\r\ndependencies:\r\n    -   python\r\n",
            id="CRLF and wide indentation",
        ),
        pytest.param(
            "channels: [defaults]\ndependencies: [python]\n",
            "channels: [conda-forge, nodefaults]\ndependencies: [python]\n",
            id="brackets",
        ),
        pytest.param(
            "channels: [ 'defaults' , 'conda-forge' ]\ndependencies: [python]\n",
            "channels: [ 'conda-forge' , 'nodefaults' ]\ndependencies: [python]\n",
            id="brackets and quotes",
        ),
        pytest.param(
            "channels: [\n  conda-forge, # ours\n  bioconda\n]\ndependencies: [python]\n",
            "channels: [\n  conda-forge, # ours\n  bioconda, nodefaults\n]\ndependencies: [python]\n",
            id="brackets over lines",
        ),
        pytest.param(
            '{"channels": ["defaults"], "dependencies": ["python"]}\n',
            '{"channels": ["conda-forge", "nodefaults"], "dependencies": ["python"]}\n',
            id="JSON",
        ),
        pytest.param(
            '{"name": "a", "dependencies": ["python"]}',
            '{"name": "a", "channels": ["conda-forge", "nodefaults"], "dependencies": ["python"]}',
            id="JSON without channels",
        ),
        pytest.param(
            "name: a\n\n# what we need\ndependencies:\n    - python\n",
            "name: a\n\n# what we need\nchannels:\n    - conda-forge\n    - nodefaults\ndependencies:\n    - python\n",
            id="no channels",
        ),
        pytest.param(
            "name: a\nchannels:  # none yet\ndependencies:\n- python\n",
            "name: a\nchannels:  # none yet\n- conda-forge\n- nodefaults\ndependencies:\n- python\n",
            id="an empty list",
        ),
        pytest.param(
            "channels:\n  - http://conda.example.org/a\n  - nodefaults\ndependencies: [python]\n",
            "channels:\n  - https://conda.example.org/a\n  - nodefaults\ndependencies: [python]\n",
            id="http",
        ),
        pytest.param(
            "channels:\n  - defaults\n  - r\n  - anaconda\ndependencies: [r-base]\n",
            "channels:\n  - conda-forge\n  - nodefaults\ndependencies: [r-base]\n",
            id="several",
        ),
        pytest.param(
            "channels: [conda-forge]\ndependencies:\n  - python\t# the newest\n  - defaults::zlib # old\n",
            "channels: [conda-forge, nodefaults]\ndependencies:\n  - python\t# the newest\n  - zlib # old\n",
            id="tabs before comments",
        ),
    ],
)
def test_only_what_is_wrong_changes(text: str, corrected: str) -> None:
    correction = fix(text)
    assert correction.text == corrected
    assert find_problems(read(corrected), RULES) == ()
    assert fix(corrected).changes == ()


def test_what_belongs_to_another_system_goes() -> None:
    correction = fix(
        "channels: [conda-forge, nodefaults]\ndependencies:\n"
        "  - python=3.11.9=h631f459_0_cpython  # the language\n"
        "  - ucrt=10.0.22621.0=h57928b3_0\n"
        "  - blas=2.1=mkl\n"
        "  - pytorch=2.*=*cuda*\n"
        "  - pip:\n    - pywin32==306\n    - colorama\n    - pywin32==306; sys_platform == 'win32'\n"
    )
    assert correction.text == (
        "channels: [conda-forge, nodefaults]\ndependencies:\n"
        "  - python=3.11.9  # the language\n"
        "  - blas=2.1\n"
        "  - pytorch=2.*=*cuda*\n"
        "  - pip:\n    - colorama\n    - pywin32==306; sys_platform == 'win32'\n"
    )
    assert any("Windows" in change for change in correction.changes)


def test_a_chosen_build_is_no_export() -> None:
    text = "channels: [conda-forge, nodefaults]\ndependencies:\n  - blas=2.1=openblas\n  - hdf5=1.14=nompi_*\n"
    assert find_foreign(read(text)).build_strings == ()
    assert fix(text).changes == ()


@pytest.mark.parametrize(
    ("spec", "pinned"),
    [
        ("numpy=1.26.4=py311h64a7726_0", "numpy=1.26.4"),
        ("numpy==1.26.4=py311h64a7726_0", "numpy==1.26.4"),
        ("numpy 1.26.4 py311h64a7726_0", "numpy 1.26.4"),
        ("conda-forge::numpy=1.26.4=py311h64a7726_0", "conda-forge::numpy=1.26.4"),
        ("numpy=1.26.4", None),
        ("numpy=1.26.*=py311*", None),
        ("numpy", None),
        ("numpy >=1.26,<2", None),
    ],
)
def test_the_build_string_of_an_exact_specification(spec: str, pinned: str | None) -> None:
    assert without_build(spec) == pinned


@pytest.mark.parametrize(
    "name", ["vs2015_runtime", "vc", "ucrt", "m2w64-gcc-libs", "pywin32", "wincertstore", "winpty"]
)
def test_packages_of_windows(name: str) -> None:
    found = find_foreign(read(f"dependencies:\n  - {name}=1\n"))
    assert [entry.text for entry in found.windows] == [f"{name}=1"]


@pytest.mark.parametrize("name", ["libcxx", "libcxxabi", "python.app", "pyobjc-core", "clang_osx-64"])
def test_packages_of_macos(name: str) -> None:
    found = find_foreign(read(f"dependencies:\n  - appnope\n  - {name}\n"))
    assert [entry.text for entry in found.macos] == ["appnope", name]


@pytest.mark.parametrize("name", ["appnope", "pywin32-ctypes", "pywin32-on-windows", "colorama", "vcrpy", "libgcc-ng"])
def test_packages_that_linux_has(name: str) -> None:
    assert find_foreign(read(f"dependencies:\n  - {name}\n")).packages == ()


def test_utf_16_becomes_utf_8() -> None:
    correction = fix(
        b"\xff\xfe" + "channels: [conda-forge, nodefaults]\r\ndependencies: [python]\r\n".encode("utf-16-le")
    )
    assert correction.text == "channels: [conda-forge, nodefaults]\r\ndependencies: [python]\r\n"
    assert len(correction.changes) == 1
    assert "UTF-16" in correction.changes[0]


def test_a_text_that_cannot_be_edited_is_left_to_a_person() -> None:
    text = "channels: [ defaults, # one\n  conda-forge]\ndependencies: [python]\n"
    assert fix(text).changes == ()
    with pytest.raises(ChannelPolicyViolation) as caught:
        check_channels(read(text), "rewrite")
    assert caught.value.patch is None


@pytest.mark.integration
def test_the_patch_is_one_that_git_applies(tmp_path: Path) -> None:
    for text in ("channels: [defaults]\r\ndependencies:\r\n  - python", "name: ä\ndependencies:\n  - python\n"):
        (tmp_path / "environment.yml").write_bytes(text.encode())
        patch = fix(text).diff("environment.yml")
        subprocess.run(["git", "apply", "-"], cwd=tmp_path, input=patch.encode(), check=True)
        assert (tmp_path / "environment.yml").read_bytes() == fix(text).text.encode()


def corpus_files() -> list[str]:
    index = CORPUS / "INDEX.tsv"
    if not index.is_file():
        return []
    with index.open(encoding="utf-8", newline="") as stream:
        table = csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [row["file"] for row in table if row["kind"] == "env"]


@pytest.mark.skipif(not corpus_files(), reason=f"no corpus in {CORPUS}; name it with PYBUILD_CORPUS")
@pytest.mark.parametrize("name", corpus_files())
def test_every_file_that_people_wrote_is_corrected(name: str) -> None:
    data = (CORPUS / name).read_bytes()
    try:
        file = read(data)
    except InvalidEnvironmentFile:
        return
    correction = correct(file, RULES, drop_build_strings=False)
    corrected = read(correction.text)
    assert find_problems(corrected, RULES) == ()
    assert check_channels(corrected, "enforce").patch is None
    assert correct(corrected, RULES, drop_build_strings=False).changes == ()
    assert (corrected.has_pip_section, corrected.variables) == (file.has_pip_section, file.variables)
    # Nothing is invented: all lines but those of the channels and the cut ones are the author's own.
    cut = {without_build(entry.text) for entry in find_foreign(file).build_strings}
    new = set(correction.text.splitlines()) - set(file.text.splitlines())
    channels = {entry.text for entry in corrected.channels or ()}
    for line in new:
        said = line.partition("#")[0].strip().removeprefix("-").strip(" '\"")
        assert said in channels | cut or said.startswith("channels:") or "libgomp" in said, line
    if not find_problems(file, RULES) and file.encoding == "utf-8":
        assert correction.text == file.text


CHANNELS = st.lists(
    st.sampled_from(["defaults", "conda-forge", "nodefaults", "bioconda", "main", "https://repo.anaconda.com/pkgs/r"]),
    max_size=5,
)
PACKAGES = st.lists(
    st.sampled_from(["python=3.11", "main::zlib", "numpy=1.2=py311h0123456_0", "ucrt", "bioconda::samtools"]),
    min_size=1,
    max_size=5,
)


@given(
    channels=CHANNELS,
    packages=PACKAGES,
    ending=st.sampled_from(["\n", "\r\n"]),
    dash=st.sampled_from(["- ", "  - ", "    -  "]),
    comment=st.sampled_from(["", "  # why"]),
    quote=st.sampled_from(["", "'", '"']),
    in_brackets=st.booleans(),
    channels_last=st.booleans(),
    ends=st.booleans(),
)
def test_whatever_is_listed_can_be_corrected(
    channels: list[str],
    packages: list[str],
    ending: str,
    dash: str,
    comment: str,
    quote: str,
    in_brackets: bool,
    channels_last: bool,
    ends: bool,
) -> None:
    def written(key: str, values: list[str]) -> list[str]:
        if in_brackets:
            return [f"{key}: [{', '.join(f'{quote}{value}{quote}' for value in values)}]{comment}"]
        return [f"{key}:{comment}", *(f"{dash}{quote}{value}{quote}{comment}" for value in values)]

    blocks = [written("channels", channels), written("dependencies", packages)]
    lines = [line for block in (reversed(blocks) if channels_last else blocks) for line in block]
    text = ending.join(lines) + (ending if ends else "")
    file = read(text)
    correction = correct(file, RULES, drop_build_strings=True)
    corrected = read(correction.text)
    assert find_problems(corrected, RULES) == ()
    assert correct(corrected, RULES, drop_build_strings=True).changes == ()
    assert correction.text.count("\r") == (correction.text.count("\n") if ending == "\r\n" else 0)
    assert correction.text.count("# why") <= text.count("# why")
    kept = [entry.text for entry in corrected.channels or () if entry.text == "bioconda"]
    assert kept.count("bioconda") >= channels.count("bioconda")
