from __future__ import annotations

import pytest

from buildpacks.conda.errors import InvalidEnvironmentFile
from buildpacks.conda.specification import parse_environment_file

CASES = [
    ("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "lfs-pointer", "1:1"),
    ("name: a\n<<<<<<< HEAD\ndependencies: [a]\n=======\ndependencies: [b]\n>>>>>>> b\n", "conflict", "2:1"),
    ("# platform: linux-64\n@EXPLICIT\nhttps://example.org/a-1-0.conda\n", "conda-export", "2:1"),
    ("# platform: win-64\nabseil-cpp=20211102.0=hd77b12b_0\naiohttp=3.9.0=py311h2bbff1b_0\n", "conda-export", "2:1"),
    ("conda env export --no-builds > conda.yaml\nname: a\n", "shell", "1:1"),
    ("$ conda env export\nname: a\n", "shell", "1:1"),
    ("(base) $ conda env export\nname: a\n", "shell", "1:1"),
    ("!conda install numpy\n", "shell", "1:1"),
    ("pip install numpy\n", "shell", "1:1"),
    ("name: {{ cookiecutter.name }}\n", "template", "1:7"),
    ("dependencies:\n{% if x %}\n- a\n{% endif %}\n", "template", "2:1"),
    ('dependencies:\n  - "{{ local }}"\n', "template", "2:6"),
    ("dependencies:\n  - python=@PYTHON_VERSION@\n", "template", "2:1"),
    ("<!DOCTYPE html>\n<html></html>\n", "not-an-environment", "1:1"),
    ("[tool.poetry]\nname = 'a'\n", "not-an-environment", "1:1"),
    ("# web\nflask\nnumpy==1.2\n", "not-an-environment", "3:1"),
    ("-r other.txt\n", "not-an-environment", "1:1"),
]


@pytest.mark.parametrize(("text", "kind", "place"), CASES)
def test_a_file_that_is_something_else_is_named_for_what_it_is(text: str, kind: str, place: str) -> None:
    with pytest.raises(InvalidEnvironmentFile) as caught:
        parse_environment_file(text.encode(), name="environment.yml")
    (found,) = caught.value.problems
    assert (found.kind, str(found.origin)) == (kind, f"environment.yml:{place}")
    assert found.change


@pytest.mark.parametrize(
    "text",
    [
        "# {{ a template once }}\n# <<<<<<<\n# $ conda env create\ndependencies: [numpy==1.2]\n",
        "%YAML 1.1\n---\ndependencies:\n- numpy==1.2\n- pip:\n  - -r a.txt\n",
        "--- # document\ndependencies: [a] # {{ comment }}\n",
        '{"name": "conda", "dependencies": ["python=3"]}\n',
        "pip-repositories: []\ndependencies: [python=3]\n",
    ],
)
def test_comments_and_lists_are_not_taken_for_something_else(text: str) -> None:
    assert parse_environment_file(text.encode(), name="environment.yml").dependencies
