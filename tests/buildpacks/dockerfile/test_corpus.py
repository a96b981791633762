"""One Dockerfile of our own for every Dockerfile of the corpus, with the traits that its row of the index names.

The corpus is third-party data, and its Dockerfiles are not stored, only what is peculiar about them. So these are written anew: what makes
a row special is there, and nothing of the original. The verdicts are the index's; it expects the policy `restricted`.
"""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from buildpacks.dockerfile.parser import parse_dockerfile
from buildpacks.dockerfile.policy import check_policy
from buildpacks.dockerfile.warnings import find_warnings
from tests.buildpacks.conftest import Workbench
from tests.buildpacks.dockerfile.dockerfiles import LINUX
from tests.interpreter import ROOT

CORPUS = Path(os.environ.get("PYBUILD_CORPUS") or Path(__file__).parents[4] / "shared" / "corpus")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """`reason` under `restricted`; `full` is the kinds of the problems under `full`; `told` must be in a warning."""

    repository: str
    path: str
    content: str
    reason: str
    full: tuple[str, ...] = ()
    told: tuple[str, ...] = ()


OLD_FORM, OLD_PYTHON, BLANK = "is the old form", "for which nobody mends faults", "the line is blank"
HEREDOCS = """\
# syntax=docker/dockerfile:1
# check=skip=none
ARG VERSION=12
FROM debian:${VERSION} AS made
RUN --mount=type=cache,target=/var/cache/apt <<SCRIPT
apt-get update
apt-get install -y --no-install-recommends tree
rm -rf /var/lib/apt/lists/*
SCRIPT
RUN <<PROGRAM
#!/usr/bin/env bash
echo "from bash"
PROGRAM
COPY <<-"ONE" <<TWO /texts/
\tone
ONE
two
TWO
"""
ROWS = [
    Row(
        repository="0-8-4/miui-auto-tasks",
        path="Dockerfile",
        content="FROM python:3.11\r\nWORKDIR /srv\r\nCOPY a.txt .\r\nRUN pip install \\\r\n    rich\r\n"
        'VOLUME /data\r\nCMD ["python"]\r\n',
        reason="INSTRUCTION_NOT_ALLOWED:CMD,COPY,VOLUME,WORKDIR",
    ),
    Row(
        repository="AlinkaZimmermann/hslu_deep_learning_in_vision",
        path="Dockerfile",
        content="FROM renku/renkulab-py:3.7-x\nCOPY environment.yml /tmp/\n"
        "RUN conda env update -f /tmp/environment.yml && \\\n    conda clean -y --all\n",
        reason="INSTRUCTION_NOT_ALLOWED:COPY",
        told=(OLD_PYTHON,),
    ),
    Row(
        repository="chingtoe365/trade-price-etl",
        path="docker/Dockerfile",
        content="FROM --platform=linux/amd64 condaforge/mambaforge:4.14.0 as conda\nFROM --platform=linux/amd64 debian:12\n"
        'ARG FILE\nCOPY --from=conda --chown=0:0 /opt /opt\nENV PATH /opt/conda/bin:$PATH\nSHELL ["/bin/bash", "-c"]\n'
        "RUN sudo true \\\n  && conda env create\nWORKDIR /app\n",
        reason="INSTRUCTION_NOT_ALLOWED:ARG,COPY,SHELL,WORKDIR",
        told=(OLD_FORM,),
    ),
    Row(
        repository="chrisguest75/docker_examples",
        path="60_heredocs/Dockerfile",
        content=HEREDOCS + 'ENTRYPOINT ["cat"]\nCMD ["/texts/ONE"]\n',
        reason="INSTRUCTION_NOT_ALLOWED:ARG,CMD,COPY,ENTRYPOINT",
        told=("# syntax=docker/dockerfile:1",),
    ),
    Row(
        repository="chrisguest75/docker_examples",
        path="91_buildkit_frontends/Dockerfile.1_10_0",
        content=HEREDOCS + "ENV MODE one\nWORKDIR /texts\nRUN --mount=type=cache,target=/made ls /made\nCMD ls\n",
        reason="INSTRUCTION_NOT_ALLOWED:ARG,CMD,COPY,WORKDIR",
        told=("# syntax=docker/dockerfile:1", OLD_FORM),
    ),
    Row(
        repository="deepnote/deepnote-toolkit",
        path="dockerfiles/test.Dockerfile",
        content="FROM python:3.11\nENV A=1\nRUN true && \\\n    # a comment\n    true && \\\n\n    true\n",
        reason="OK",
        told=(BLANK,),
    ),
    Row(
        repository="deepnote/environments",
        path="python/base/Dockerfile.base",
        content="FROM python:3.11\nENV LANG C.UTF-8\nRUN apt-get update && \\\n"
        "  apt-get install -y sudo && rm -rf /var/lib/apt/lists/*\n",
        reason="OK",
        told=(OLD_FORM,),
    ),
    Row(
        repository="deepnote/environments",
        path="ir-with-libs/Dockerfile",
        content="FROM deepnote/ir:1\nENV KERNEL=ir\nRUN apt-get update && \\\n  apt-get install -y libxml2-dev\n",
        reason="OK",
        told=("the package lists of apt stay",),
    ),
    Row(
        repository="deepnote/environments",
        path="python/datascience/Dockerfile.datascience",
        content="ARG BASE\nARG PYTHON=3.8\nFROM deepnote/python:${PYTHON}${BASE:+-on-${BASE##*/}}\n"
        "ADD a.txt /a.txt\nRUN pip install \\ \n  -r /a.txt\n",
        reason="INSTRUCTION_NOT_ALLOWED:ADD,ARG",
        told=(OLD_PYTHON,),
    ),
    Row(
        repository="deepnote/environments",
        path="python/conda/Dockerfile.conda",
        content="ARG TAG=1\nFROM deepnote/base:${TAG}\nRUN apt-get update && \\\n  # first\n"
        "  conda init &&\n  # then\n  /opt/conda/bin/conda clean\n",
        reason="UNKNOWN_INSTRUCTION:/opt/conda/bin/conda",
        full=("unknown-instruction",),
    ),
    Row(
        repository="deepnote/environments",
        path="gpu/Dockerfile",
        content="ARG TAG=1\nFROM deepnote/python:${TAG}\nENV A=1\nRUN sudo apt-get update && \\\n"
        "  pip install b\nARG C\n",
        reason="INSTRUCTION_NOT_ALLOWED:ARG",
    ),
    Row(
        repository="drivendata/cookiecutter-data-science",
        path="{{ cookiecutter.repo_name }}/notebooks/Dockerfile",
        content='FROM jupyter/base:python-3.8.6\nSHELL ["/bin/bash", "-c"]\nUSER root\nENV DIR /x\n'
        "Run apt-get update\nCOPY a /a\nEXPOSE 8888\n",
        reason="INSTRUCTION_NOT_ALLOWED:COPY,EXPOSE,SHELL,USER",
        told=(OLD_FORM, OLD_PYTHON),
    ),
    Row(
        repository="freedomofpress/securedrop",
        path="admin/Dockerfile",
        content=f"FROM debian@sha256:{'0' * 64}\nARG NAME\nENV NAME ${{NAME:-root}}\n"
        f"RUN apt-get update && \\\n apt-get install -y sudo\nWORKDIR /x\nCOPY a .\n",
        reason="INSTRUCTION_NOT_ALLOWED:ARG,COPY,WORKDIR",
        told=(OLD_FORM,),
    ),
    Row(
        repository="home-assistant/supervisor",
        path="tests/fixtures/apps/local/ssh/Dockerfile.aarch64",
        content="",
        reason="NO_FROM",
        full=("no-from",),
    ),
    Row(
        repository="jupyter/docker-stacks",
        path="docs/using/recipe_code/custom_environment.dockerfile",
        content="ARG BASE=quay.io/jupyter/minimal\nFROM $BASE\nARG NAME=x\n"
        "RUN mamba create -p /opt/$NAME && \\\n  mamba clean --all\nUSER ${NB_UID}\n",
        reason="INSTRUCTION_NOT_ALLOWED:ARG,USER",
        told=("names no version",),
    ),
    Row(
        repository="jupyter/docker-stacks",
        path="docs/using/recipe_code/dask_jupyterlab.dockerfile",
        content="ARG BASE=quay.io/jupyter/base\nFROM $BASE\nRUN mamba install -y dask && \\\n  true\nEXPOSE 8787\n",
        reason="INSTRUCTION_NOT_ALLOWED:ARG,EXPOSE",
        told=("names no version",),
    ),
    Row(
        repository="jxta/bsd",
        path="Dockerfile",
        content="RUN apt-get update\nUSER root\nARG A=x\nENV B ${A}\nUSER ${A}\n",
        reason="NO_FROM",
        full=("no-from",),
        told=(OLD_FORM,),
    ),
    Row(
        repository="Kaggle/docker-python",
        path="Dockerfile.tmpl",
        content="{{ if gpu }}\nFROM a:1 AS wheels\n{{ end }}\nFROM b:1\nRUN true && \\\n    # why\n"
        "    true\n{{ if gpu }}\nENV A=1\n{{ end }}\n",
        reason="UNKNOWN_INSTRUCTION:{{,{{,{{,{{",
        full=("template",),
    ),
    Row(
        repository="LeXPLORE-Platform/acousticdopplercurrentprofiler",
        path="Dockerfile",
        content="FROM condaforge/miniforge3:24.9\nCOPY environment.yml .\nRUN conda env update\nUSER 1000\n"
        'ENTRYPOINT ["python"]\n',
        reason="INSTRUCTION_NOT_ALLOWED:COPY,ENTRYPOINT,USER",
    ),
    Row(
        repository="lpego/hummingbird-classifier",
        path="Dockerfile",
        content="ARG BASE=registry.example.org/renku/py:1\nFROM ${BASE} as builder\nRUN pip install \\\t\n  pipx\nFROM ${BASE}\nUSER root\n"
        "ADD a /b\nCOPY --from=builder /opt /opt\nUSER ${NB_USER}\n",
        reason="INSTRUCTION_NOT_ALLOWED:ADD,ARG,COPY,USER",
    ),
    Row(
        repository="Pocket-titan/deepnote_ml",
        path=".deepnote/Dockerfile",
        content="FROM deepnote/python:3.6",
        reason="OK",
        told=(OLD_PYTHON,),
    ),
    Row(
        repository="saasfee2022/course-materials",
        path="Dockerfile",
        content="FROM registry.example.org/renku/course:abc1234\n",
        reason="OK",
    ),
    Row(
        repository="SwissDataScienceCenter/renku-project-template",
        path="minimal/Dockerfile",
        content="# see the documentation\nFROM renku/renkulab-py:3.7-x\n\n# RUN apt-get update\n",
        reason="OK",
        told=(OLD_PYTHON,),
    ),
    Row(
        repository="(text index)",
        path="id:34124390799",
        content="FROM deepnote/python:3.9\nRUN pip install a --no-cache-dir\nCOPY b.py /b.py\nRUN python /b.py\n",
        reason="INSTRUCTION_NOT_ALLOWED:COPY",
        told=(OLD_PYTHON,),
    ),
    Row(
        repository="(text index)",
        path="id:38031292387",
        content="FROM deepnote/python:3.10\nRUN sudo apt update && \\\n  sudo apt install -y r-base\n"
        'ENV DEFAULT_KERNEL_NAME "r"\n',
        reason="OK",
        told=(OLD_FORM, "the package lists of apt stay"),
    ),
    Row(
        repository="(text index)",
        path="id:41823165903",
        content="FROM deepnote/python:3.9\nRUN apt update -y\nRUN apt install graphviz\n"
        "RUN pip3 install a\nENV DEFAULT_KERNEL_NAME b",
        reason="OK",
        told=(OLD_FORM, OLD_PYTHON, "asks whether to go on"),
    ),
    Row(
        repository="(text index)",
        path="id:431449316",
        content="FROM deepnote/python:3.8\n"
        'RUN sudo add-apt-repository "deb [ arch=amd64 ] https://example.org/apt main"\n'
        "RUN sudo a \\\n  b\n",
        reason="OK",
        told=(OLD_PYTHON,),
    ),
    Row(
        repository="tsukumijima/KonomiTV",
        path="Dockerfile",
        content="# ビルド\nFROM ubuntu:22.04 AS one\nRUN true && \\\n  # 準備\n  true\nFROM node:20 AS two\nWORKDIR /code\n"
        'FROM nvidia/cuda:12.1.1-base-ubuntu22.04\nCOPY --from=two /code /code\nENTRYPOINT ["a"]\n',
        reason="INSTRUCTION_NOT_ALLOWED:COPY,ENTRYPOINT,WORKDIR",
    ),
    Row(
        repository="volodymyrss/ODA_API",
        path="Dockerfile",
        content="<<<<<<< HEAD\nFROM a:1\n=======\nFROM b:1\n>>>>>>> other\nENV USER c\nUSER c\n",
        reason="UNKNOWN_INSTRUCTION:<<<<<<<,=======,>>>>>>>",
        full=("merge-conflict",),
        told=(OLD_FORM,),
    ),
]


def index(kind: str) -> list[dict[str, str]]:
    path = CORPUS / "INDEX.tsv"
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as stream:
        table = csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [row for row in table if row["kind"] == kind]


needs_corpus = pytest.mark.skipif(not index("multi"), reason=f"no corpus in {CORPUS}; name it with PYBUILD_CORPUS")


@pytest.mark.parametrize("row", [pytest.param(row, id=f"{row.repository}:{row.path}") for row in ROWS])
def test_every_kind_of_dockerfile_has_its_verdict_under_both_policies(row: Row) -> None:
    file, problems = parse_dockerfile(row.content.encode(), path="Dockerfile")
    restricted = (*problems, *check_policy(file, "restricted"))
    assert all(problem.message and problem.change for problem in restricted)
    assert {problem.kind for problem in (*problems, *check_policy(file, "full"))} == set(row.full)
    code, _, names = row.reason.partition(":")
    kinds = {problem.kind for problem in restricted}
    if code == "OK":
        assert restricted == ()
    elif code == "NO_FROM":
        assert "no-from" in kinds
    elif code == "UNKNOWN_INSTRUCTION":
        unknown = [problem.instruction for problem in problems if problem.kind in row.full]
        assert [str(name) for name in unknown] == names.split(",")
    else:
        refused = {problem.instruction for problem in restricted if not problem.message.startswith("a second")}
        assert sorted(str(name) for name in refused) == names.split(",")
        assert kinds == {"not-allowed"}
    stages = sum(one.keyword == "FROM" for one in file.instructions)
    assert sum(problem.message.startswith("a second `FROM`") for problem in restricted) == max(0, stages - 1)
    said = [advice.text for advice in find_warnings(file, target=LINUX)]
    for told in row.told:
        assert any(told in text for text in said), said


@needs_corpus
def test_there_is_one_for_every_row_of_the_index() -> None:
    reasons = {(row.repository, row.path): row.reason for row in ROWS}
    rows = index("dockerfile")
    assert len(rows) == len(reasons) == len(ROWS)
    for row in rows:
        # How often a template or a conflict shows is a matter of the file.
        expected = row["reason"].partition(":{{")[0]
        assert reasons[row["repo"], row["path"]].partition(":{{")[0] == expected


# The order of the builder, with what decides; Python goes with pip and Poetry.
ORDER = ("conda", "pip", "poetry", "dockerfile")
# Trees that another buildpack takes than the index says, with the reason.
TAKEN = {
    # `environment.yaml` counts as well as `environment.yml`.
    "multi/2U1__DockerEnv": "conda",
    # Templates that install nothing are left to the files beside them.
    "multi/auwerxlab__renku-r-template": "pip",
    "multi/saasfee2022__course-materials": "pip",
}


@needs_corpus
@pytest.mark.parametrize(
    "row",
    [
        pytest.param(row, id=row["file"].rpartition("/")[2])
        for row in index("multi")
        if "Dockerfile" in row["path"].split()
    ],
)
def test_a_dockerfile_at_the_root_is_found_and_comes_last(row: dict[str, str], tmp_path: Path) -> None:
    tree = CORPUS / row["file"]
    files = {path.relative_to(tree).as_posix(): path.read_bytes() for path in tree.rglob("*") if path.is_file()}

    def is_taken_by(name: str) -> bool:
        bench = Workbench(root=tmp_path / name, buildpack=ROOT / "buildpacks" / name)
        bench.write(files)
        return bench.detect()[0].status == 0

    assert next(name for name in ORDER if is_taken_by(name)) == TAKEN.get(row["file"], row["buildpack"])
    assert is_taken_by("dockerfile")
