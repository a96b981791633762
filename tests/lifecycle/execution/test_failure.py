"""What helps with the failures that are frequent; the outputs are those of the real tools."""

from __future__ import annotations

import pytest

from lifecycle.execution.failure import find_advice

APT = "RUN apt-get update && apt-get install ffmpeg"


@pytest.mark.parametrize(
    ("status", "text", "output", "mentions"),
    [
        (127, "RUN pipp install x", "/bin/sh: 1: pipp: not found", "`pipp` is not in the base image"),
        (127, "RUN pipp install x", "/bin/sh: pipp: not found", "`pipp` is not in the base image"),
        (127, "RUN pipp install x", "bash: line 1: pipp: command not found", "`pipp` is not in the base image"),
        (126, "RUN ./x.sh", "/bin/sh: 1: ./x.sh: Permission denied", "chmod +x"),
        (1, APT, "After this operation, 5 MB will be used.\nDo you want to continue? [Y/n] Abort.", "--yes"),
        (100, APT, "E: Failed to fetch http://deb.debian.org/x.deb  404  Not Found [IP: 1.2.3.4 80]", "in one RUN"),
        (
            100,
            "RUN apt-get install -y ffmpeg",
            "E: Unable to locate package ffmpeg",
            "apt-get update && apt-get install",
        ),
        (100, APT, "E: Unable to locate package ffmpg", "is its name right?"),
        (100, APT, "W: Failed to fetch http://x  Temporary failure resolving 'deb.debian.org'", "proxy"),
        (1, "RUN pip install x", "error: externally-managed-environment", "python3 -m venv"),
        (
            1,
            "RUN sudo id",
            'sudo: The "no new privileges" flag is set, which prevents sudo from running as root.',
            "USER root",
        ),
        (2, "RUN cp a b", "cp: error writing 'b': No space left on device", "disk is full"),
        (1, "RUN /x", "exec /bin/sh: exec format error", "another processor"),
        (
            1,
            "RUN curl https://x",
            "curl: (60) SSL certificate problem: unable to get local issuer certificate",
            "SSL_CERT_FILE",
        ),
        (137, "RUN make", "", "memory"),
        (
            None,
            "FROM x",
            "potentially insufficient UIDs or GIDs available in user namespace (requested 1:99999 for /x)",
            "/etc/subuid",
        ),
    ],
)
def test_the_cause_is_known(status: int | None, text: str, output: str, mentions: str) -> None:
    advice = find_advice(status=status, text=text, output=output.split("\n"), network=True)
    assert advice is not None
    assert mentions in advice


def test_a_build_without_network_says_so() -> None:
    output = ["Temporary failure resolving 'deb.debian.org'"]
    advice = find_advice(status=100, text=APT, output=output, network=False)
    assert advice is not None
    assert "--network none" in advice


def test_what_is_not_known_has_no_advice() -> None:
    assert find_advice(status=1, text="RUN pytest", output=["1 failed"], network=True) is None
