"""What the buildpack says of a Dockerfile's syntax, beside buildah and Docker's BuildKit: all refuse it, or all take it.

The files have instructions of the image's configuration only, on `FROM scratch`: what fails is the reading.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from buildpacks.dockerfile.evaluate import evaluate
from buildpacks.dockerfile.parser import parse_dockerfile
from lifecycle.cnb.target import Target
from tests.integration.engine import DockerEngine

TAKEN = {
    "lower case": "from scratch\nenv A=1\n",
    "windows": "FROM scratch\r\nENV A=1 \\\r\n  B=2\r\n",
    "byte order mark": "\ufeffFROM scratch\nENV A=1\n",
    "no line end": "FROM scratch\nENV A=1",
    "escape directive": "# escape=`\nFROM scratch\nENV A=1 `\n  B=C:\\\n",
    "comment before the directive": "# x\n# escape=`\nFROM scratch\nENV A=1\n",
    "comments between": "FROM scratch\nENV A=1 \\\n# x\n  B=2\n",
    "blank lines between": "FROM scratch\nENV A=1 \\\n\n  B=2\n",
    "white space behind the backslash": "FROM scratch\nENV A=1 \\  \n  B=2\n",
    "backslash at the end of the file": "FROM scratch\nENV A=1 \\\n",
    "nested defaults": "FROM scratch\nENV A=${B:-${C:-x}}\n",
    "image by an argument": "ARG BASE=scratch\nFROM ${BASE}\nENV A=1\n",
    "image by a default": "ARG NO\nFROM ${NO:-scratch}\nENV A=1\n",
    "quotes": "FROM scratch\nENV A=\"a b\" B='c d' C=e\\ f\n",
    "old form": "FROM scratch\nENV A b c\nLABEL a b c\n",
    "empty value": 'FROM scratch\nENV A= B=""\n',
    "argument without a value": "FROM scratch\nARG A\n",
    "shell form with brackets": "FROM scratch\nCMD [ -f x ]\n",
    "array with single quotes": "FROM scratch\nCMD ['a', 'b']\n",
    "empty command": "FROM scratch\nCMD []\nENTRYPOINT []\n",
    "command that is nothing": "FROM scratch\nCMD\n",
    "volumes": 'FROM scratch\nVOLUME /a /b\nVOLUME ["/c d"]\n',
    "ports": "FROM scratch\nEXPOSE 80 81/udp 90-92\n",
    "signals": "FROM scratch\nSTOPSIGNAL SIGINT\nSTOPSIGNAL 9\nSTOPSIGNAL RTMIN+3\n",
    "health": "FROM scratch\nHEALTHCHECK --interval=1m30s --timeout=5s --retries=2 CMD a b\nHEALTHCHECK NONE\n",
    "put off": "FROM scratch\nONBUILD RUN a\nONBUILD COPY a b\n",
    "stages": "".join(f"FROM scratch AS s{number}\nENV A={number}\n" for number in range(20)),
    "stage from a stage": "FROM scratch AS a\nENV A=1\nFROM a\nENV B=2\n",
    "maintainer": "FROM scratch\nMAINTAINER Some One <a@example.org>\n",
}
REFUSED = {
    "empty": "",
    "only comments": "# a\n\n",
    "no FROM": "ENV A=1\n",
    "unknown instruction": "FROM scratch\nCOPPY a b\n",
    "conflict": "FROM scratch\n<<<<<<< HEAD\n",
    "ENV without a value": "FROM scratch\nENV A\n",
    "ENV with one value less": "FROM scratch\nENV A=1 B\n",
    "nothing to set": "FROM scratch\nENV\n",
    "nothing to label": "FROM scratch\nLABEL\n",
    "open single quote": "FROM scratch\nENV A=it's\n",
    "open double quote": 'FROM scratch\nLABEL a="b\n',
    "open brace": "FROM scratch\nWORKDIR /${A\n",
    "array of numbers": "FROM scratch\nCMD [1]\n",
    "nested array": 'FROM scratch\nCMD ["a", ["b"]]\n',
    "too much in FROM": "FROM scratch a b\n",
    "one argument of COPY": "FROM scratch\nCOPY a\n",
    "unknown flag": "FROM scratch\nCOPY --form=a b c\n",
    "copy from itself": "FROM scratch AS a\nCOPY --from=a b c\n",
    "no user": "FROM scratch\nUSER\n",
    "no directory": "FROM scratch\nWORKDIR\n",
    "no volume": "FROM scratch\nVOLUME []\n",
    "unknown signal": "FROM scratch\nSTOPSIGNAL SIGNOTHING\n",
    "shell as text": "FROM scratch\nSHELL /bin/sh -c\n",
    "shell of nothing": "FROM scratch\nSHELL []\n",
    "health of nothing": "FROM scratch\nHEALTHCHECK CMD\n",
    "unknown health": "FROM scratch\nHEALTHCHECK a\n",
    "health with more": "FROM scratch\nHEALTHCHECK NONE a\n",
    "no time": "FROM scratch\nHEALTHCHECK --interval=3x CMD a\n",
    "chain": "FROM scratch\nONBUILD ONBUILD RUN a\n",
    "put off FROM": "FROM scratch\nONBUILD FROM a\n",
    "put off nothing": "FROM scratch\nONBUILD\n",
    "no maintainer": "FROM scratch\nMAINTAINER\n",
    # buildah 1.28 ends with a stack trace.
    "argument without a name": "FROM scratch\nARG\n",
}
# buildah takes what BuildKit refuses, and so do we.
ONLY_BUILDAH_TAKES = {
    "anything before FROM": "<<<<<<< HEAD\nENV A=1\nFROM scratch\n",
    "value without a name": "FROM scratch\nENV =x\n",
    "default without a name": "FROM scratch\nARG =x\n",
    "no port": "FROM scratch\nEXPOSE web\n",
    "port out of range": "FROM scratch\nEXPOSE 99999\n",
    "flag of CMD": "FROM scratch\nCMD --x a\n",
    "name of a stage": "FROM scratch AS 1a\nENV A=1\n",
}
# Others take these, and their authors would not learn what is wrong before somebody builds on the image, or takes the wrong files.
ONLY_WE_REFUSE = {
    "unknown instruction put off": "FROM scratch\nONBUILD COPPY a b\n",
    "stages of one name": "FROM scratch AS a\nENV A=1\nFROM scratch AS a\nENV A=2\n",
}
# BuildKit takes what buildah 1.28 does not know yet; it gets it in older words.
ONLY_BUILDAH_REFUSES = {
    "defaults without a colon": "FROM scratch\nENV A=${B-x}\n",
    "prefix": "FROM scratch\nENV A=1\nENV B=${A#1}\n",
    "replacement": "FROM scratch\nENV A=1\nENV B=${A/1/2}\n",
}


def buildah_takes(content: str, directory: Path) -> bool:
    file = directory / "context" / "Dockerfile"
    file.parent.mkdir()
    file.write_bytes(content.encode())
    storage = ["--root", str(directory / "root"), "--runroot", str(directory / "run"), "--storage-driver", "vfs"]
    build = ["build", "--isolation", "chroot", "--pull-never", "--format", "docker", str(file.parent)]
    done = subprocess.run(["buildah", *storage, *build], capture_output=True, text=True, timeout=120, check=False)
    subprocess.run(["buildah", *storage, "rmi", "--all", "--force"], capture_output=True, timeout=120, check=False)
    return done.returncode == 0


def we_take(content: str) -> bool:
    file, problems = parse_dockerfile(content.encode(), path="Dockerfile")
    if problems:
        return False
    _, problems = evaluate(file, build_args={}, target=Target(os="linux", arch="amd64"))
    return not problems


@pytest.mark.integration
@pytest.mark.parametrize(
    ("files", "takes", "take"),
    [
        pytest.param(TAKEN, True, True, id="right"),
        pytest.param(REFUSED, False, False, id="wrong"),
        pytest.param(ONLY_BUILDAH_TAKES, True, False, id="only buildah takes"),
        pytest.param(ONLY_BUILDAH_REFUSES, False, True, id="only buildah refuses"),
        pytest.param(ONLY_WE_REFUSE, True, False, id="only we refuse"),
    ],
)
def test_buildah_and_we_agree(files: Mapping[str, str], takes: bool, take: bool, tmp_path: Path) -> None:
    for number, (name, content) in enumerate(files.items()):
        directory = tmp_path / str(number)
        directory.mkdir()
        assert (buildah_takes(content, directory), we_take(content)) == (takes, take), name


@pytest.mark.engine
@pytest.mark.parametrize(
    ("files", "takes"),
    [
        pytest.param(TAKEN, True, id="right"),
        pytest.param(REFUSED, False, id="wrong"),
        pytest.param(ONLY_BUILDAH_TAKES, False, id="only buildah takes"),
        pytest.param(ONLY_WE_REFUSE, True, id="only we refuse"),
    ],
)
def test_buildkit_and_we_agree(engine: DockerEngine, files: Mapping[str, str], takes: bool, tmp_path: Path) -> None:
    for name, content in files.items():
        (tmp_path / "Dockerfile").write_bytes(content.encode())
        built = engine.run("build", "--no-cache", "--quiet", str(tmp_path), check=False)
        assert (built.returncode == 0) == takes, f"{name}: {built.stderr}"
