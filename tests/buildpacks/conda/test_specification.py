from __future__ import annotations

from pathlib import Path

import pytest

from buildpacks.conda.errors import InvalidEnvironmentFile, Problem
from buildpacks.conda.specification import EnvironmentFile, parse_environment_file, read_environment_file
from lifecycle.cnb.errors import render_error


def parse(text: str) -> EnvironmentFile:
    return parse_environment_file(text.encode(), name="environment.yml")


def problems(text: str) -> tuple[Problem, ...]:
    with pytest.raises(InvalidEnvironmentFile) as caught:
        parse(text)
    return caught.value.problems


def explain(text: str) -> str:
    """What a person reads when a file has one problem."""
    with pytest.raises(InvalidEnvironmentFile) as caught:
        parse(text)
    return render_error(caught.value)


def dependency(item: str) -> str:
    return explain(f"dependencies:\n  - {item}\n")


def test_a_file_is_read_with_the_place_of_every_entry() -> None:
    file = parse(
        "name: base\nchannels: [conda-forge, 'nodefaults']\ndependencies:\n"
        '  - python = 3.9\n  - conda-forge::numpy>=1.2,<2\n  - "pytorch=*=*cuda*"\n  - pip:\n    - -r requirements.txt\n'
        "variables:\n  A: 1.10\n  B: yes\n  C:\n  D: 'x y'\n"
    )
    assert file.channels is not None
    assert [(entry.text, str(entry.origin)) for entry in file.channels] == [
        ("conda-forge", "environment.yml:2:12"),
        ("nodefaults", "environment.yml:2:25"),
    ]
    assert [entry.text for entry in file.dependencies] == [
        "python = 3.9",
        "conda-forge::numpy>=1.2,<2",
        "pytorch=*=*cuda*",
    ]
    assert [(entry.text, entry.origin.line) for entry in file.pip] == [("-r requirements.txt", 8)]
    assert file.has_pip_section
    assert file.variables == (("A", "1.10"), ("B", "yes"), ("C", ""), ("D", "x y"))
    assert file.notices == ()
    assert str(file.dependencies_origin) == "environment.yml:3:1"
    assert not file.installs_nothing


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing\n",
        "---\n",
        "~\n",
        "{}\n",
        "name: base\n",
        "name: base\nchannels: [defaults]\ndependencies:\n# one per line\nprefix: /opt/conda\n",
        "dependencies: null\n",
        "dependencies: []\n",
        "dependencies:\n  - pip:\n",
        "dependencies:\n  - pip: []\n",
        "variables: {A: b}\n",
    ],
)
def test_a_file_without_packages_installs_nothing(text: str) -> None:
    assert parse(text).installs_nothing


@pytest.mark.parametrize(
    ("text", "notice"),
    [
        ("prefix: /etc\n", "`prefix` is ignored: pybuild decides where the environment lies"),
        ("platforms: [win-64]\ndependencies: [python=3]\n", "`platforms` is conda-lock's, and is ignored"),
        ("dependencies: [python=3]\nauthor: me\n", ":2: `author` is not a key of environment files, and is ignored"),
        ("dependencies: [python]\n", ":1:16: `python` has no version: the newest that fits is taken"),
        ("dependencies: [numpy]\n", "`python` is not listed: it is there only if a package needs it"),
        (
            "dependencies:\n- python=3\n- x # [win]\n",
            "selectors in comments have no effect, the packages are installed (line 3)",
        ),
    ],
)
def test_what_has_no_effect_is_said(text: str, notice: str) -> None:
    (said,) = parse(text).notices
    assert said.startswith("environment.yml:")
    assert notice in said


def test_nothing_is_said_about_python_where_r_is_wanted() -> None:
    assert parse("dependencies: [r-base=4.1, r-ggplot2]\n").notices == ()


@pytest.mark.parametrize(
    ("text", "kind", "place", "change"),
    [
        ("- numpy\n- scipy\n", "not-an-environment", "1:1", "below `dependencies:`"),
        ("numpy\n", "not-an-environment", "1:1", "below `dependencies:`"),
        ("dependancies:\n  - numpy\n", "key", "1:1", "write `dependencies`"),
        ("Dependencies:\n  - numpy\n", "key", "1:1", "write `dependencies`"),
        ("channel:\n  - a\ndependencies: [b]\n", "key", "1:1", "write `channels`"),
        ("dependencies: [b]\npip:\n  - a\n", "key", "2:1", "`  - pip:`"),
        ("dependencies: [b]\n<<: {channels: [a]}\n", "key", "2:1", "write the lines out"),
        ("? [a]\n: b\ndependencies: [b]\n", "key", "1:3", "remove it"),
        ("dependencies: [a]\nchannels: conda-forge\n", "channels", "2:11", "- conda-forge"),
        ("channels:\n  - conda-forge, defaults\n", "channels", "2:5", "one channel an item"),
        ("channels:\n  - url: a\n", "channels", "2:5", "dashes"),
        ("channels:\n  -\n", "channels", "2:4", "remove it"),
        ("dependencies: numpy\n", "dependencies", "1:15", "in a line of its own"),
        ("dependencies:\n  python: 3.9\n", "dependencies", "2:3", "in a line of its own"),
        ("dependencies:\n  - pip:\n    - a\n  - pip:\n    - b\n", "pip", "4:5", "merge the two"),
        ("dependencies:\n  - pip: numpy\n", "pip", "2:10", "`- `"),
        ("dependencies:\n  - pip:\n    - a: b\n", "pip", "3:7", "`- name==version`"),
        ("dependencies:\n  - pip:\n    - 3.9\n", "pip", "3:7", "quotes"),
        ("variables: [A]\n", "variable", "1:12", "NAME: value"),
        ("variables:\n  A-B: c\n", "variable", "2:3", "letters, digits"),
        ("variables:\n  'A=B': c\n", "variable", "2:3", "letters, digits"),
        ("variables:\n  LD_PRELOAD: /x.so\n", "variable", "2:3", "remove it"),
        ("variables:\n  PATH: /x\n", "variable", "2:3", "remove it"),
        ("variables:\n  A: [b]\n", "variable", "2:6", "one value"),
        ("variables:\n  A: |\n    x\n    y\n", "variable", "2:6", "in one line"),
    ],
)
def test_a_section_of_the_wrong_shape_is_named(text: str, kind: str, place: str, change: str) -> None:
    (found,) = problems(text)
    assert (found.kind, str(found.origin)) == (kind, f"environment.yml:{place}")
    assert change in found.change


@pytest.mark.parametrize(
    "text",
    [
        "dependencies: ['git+https://user:secret@example.org/a.git']\n",
        "dependencies: ['a @ https://user:secret@example.org/a.whl']\n",
        "channels: ['https://user:secret@example.org/a, b']\n",
        "channels: ['https://conda.anaconda.org/t/secret-token/a b']\n",
        "dependencies: [pip: ['https://user:secret@example.org/a\n\n b']]\n",
    ],
)
def test_credentials_are_not_shown(text: str) -> None:
    assert "secret" not in explain(text)


def test_library_path_may_be_set() -> None:
    assert parse("variables: {LD_LIBRARY_PATH: /a}\n").variables == (("LD_LIBRARY_PATH", "/a"),)


@pytest.mark.parametrize(
    ("keys", "what"),
    [
        ("on: push\njobs: {}\n", "a GitHub workflow"),
        ("steps:\n- script: x\n", "a template of Azure Pipelines"),
        ("services: {}\n", "a Compose file"),
        ("name: x\nservices: {}\n", "a Compose file"),
        ("version: 1\nmetadata: {}\npackage: []\n", "a lock of conda-lock: rename it to `conda-lock.yml`"),
        (":cachedir: x\n:sources: {}\n", "a configuration of Puppet's r10k"),
        ("foo: 1\nbar: 2\n", "no environment: its keys are `foo`, `bar`"),
    ],
)
def test_other_yaml_is_named_for_what_it_is(keys: str, what: str) -> None:
    (found,) = problems(keys)
    assert (found.kind, found.message) == ("not-an-environment", f"is {what}")


def test_all_problems_are_reported_at_once_in_the_order_of_their_lines() -> None:
    text = "variables: {LD_PRELOAD: x}\ndependencies:\n  - 3.9\n  - -c evil\n  - pip>=22:\n    - numpy\nchannels: conda-forge\n"
    with pytest.raises(InvalidEnvironmentFile) as caught:
        parse(text)
    assert render_error(caught.value) == (
        "error: 5 problems in `environment.yml`\n"
        "  environment.yml:1:13:  `LD_PRELOAD` cannot be set for every program of the image: remove it; a program that needs it"
        " can be started with it\n"
        "  environment.yml:3:5:   `3.9` is a number, not a package: write `python=3.9` if that is the version you want, or put"
        " it into quotes\n"
        "  environment.yml:4:5:   `-c evil` is an option of a command line, not a package: remove it; channels are listed in"
        " `channels:`\n"
        "  environment.yml:5:5:   `pip>=22:` cannot have a list: write `- pip>=22` in a line of its own, and `- pip:` before"
        " the list\n"
        "  environment.yml:7:11:  `channels` is not a list: write each channel in a line of its own: `  - conda-forge`"
    )


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("-r requirements.txt", "is an option of pip\nhint: put the line below `- pip:`"),
        ("-e .", "is an option of pip"),
        ("--file=/etc/shadow", "is an option of a command line, not a package\nhint: remove it"),
        ("- numpy", "is a list or a mapping where a package should be"),
        ("'- numpy'", "starts with a second dash"),
        ("numpy; touch x", "looks like a command line"),
        ("numpy && true", "looks like a command line"),
        ("$(id)", "looks like a command line"),
        ("'`id`'", "looks like a command line"),
        ("'tomli; python_version < \"3.11\"'", "has an environment marker, which is pip's"),
        ("dask[complete]", "asks for extras, which are pip's; conda has none\nhint: write `- dask`"),
        ("name @ https://example.org/a.whl", "is a direct reference, which is pip's"),
        ("git+https://example.org/a.git", "is a file or a URL"),
        ("https://example.org/linux-64/a-1-0.conda", "is a file or a URL"),
        ("./a.tar.bz2", "is a file or a URL"),
        ("../../x", "is a file or a URL"),
        ("numpy==", "ends without a version\nhint: write the version, or `numpy` alone"),
        ("numpy>=1.2,", "ends without a version"),
        ("numpy===1.2", "has `===`, which is pip's\nhint: write `numpy==1.2`"),
        ("numpy=>1.2", "has `=>`, which means nothing\nhint: write `numpy>=1.2`"),
        ("numpy, scipy", "names several packages"),
        ("numpy scipy", "names several packages"),
        ("numpy=1.2 scipy=1.3", "names several packages"),
        ("numpy scipy=1.3", "names several packages"),
        ("numpy>=1.2,scipy>=1.3", "names several packages"),
        ("numpy -c evil", "has an option of a command line"),
        ("numpy=1.2 --file=/etc/shadow", "has an option of a command line"),
        ("python:3.9", "because of `:`"),
        ("python≥3.9", "because of `≥`"),
        ("'>=3.9'", "does not start with the name of a package"),
        ("python: 3.9", "`python:` is a key, not a package\nhint: write `- python=3.9`, without a colon"),
        ("numpy: '>=1.2'", "hint: write `- numpy>=1.2`, without a colon"),
        ("numpy:", "hint: write `- numpy`, without a colon"),
        ("npm: [a]", "`npm:` is not known here"),
        ("yes", "`yes` is one of YAML's words for true and false, not a package"),
        ("", "is an empty item"),
        ("''", "is an empty item"),
        ("pip\n    - numpy", "is one item over several lines: `pip - numpy`"),
        ("|\n    numpy\n    scipy", "is one item over several lines: `numpy scipy`"),
    ],
)
def test_a_dependency_that_cannot_be_one_is_named_with_what_to_write(item: str, message: str) -> None:
    text = dependency(item)
    assert text.startswith("error: environment.yml:2:")
    assert message in text


@pytest.mark.parametrize(
    "item",
    [
        "numpy",
        "numpy=1.26",
        "numpy==1.26.4",
        "numpy=1.26.*=py310*",
        "numpy 1.26.*",
        "numpy >=1.2, <2|3.0.*",
        "'numpy !=1.5,>=1'",
        "numpy~=1.2",
        "python = 3.8",
        "scipy=1.15.2=dev_py312h4c18aaf_0",
        "'pytorch=*=*cuda*'",
        "blas=*=openblas",
        "'tzdata 2023c'",
        "'pkg[version=\">=1.2\", build=py_0]'",
        "'pkg=1.2[build_number=3]'",
        "conda-forge::numpy",
        "conda-forge/linux-64::numpy=1",
        "https://conda.anaconda.org/conda-forge::numpy",
        "_libgcc_mutex=0.1=main",
        "__glibc>=2.17",
        "ca-certificates=2021.5.30=h5b45459_0",
        "openssl=1.1.1k",
        "libfoo=1!2.0",
        "python_abi=3.9=*_cp39",
    ],
)
def test_a_dependency_as_conda_has_it_is_accepted(item: str) -> None:
    (entry,) = parse(f"dependencies:\n  - {item}\n").dependencies
    assert entry.text == item.strip("'")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidEnvironmentFile) as caught:
        read_environment_file(tmp_path, name="environment.yml")
    assert str(caught.value) == "environment.yml: cannot be read: Is a directory"


def test_a_large_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "environment.yml"
    with path.open("wb") as stream:
        stream.truncate(50_000_000)
    with pytest.raises(InvalidEnvironmentFile, match="has 50000000 bytes"):
        read_environment_file(path, name="environment.yml")
