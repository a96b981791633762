from __future__ import annotations

import pytest

from buildpacks.dockerfile.addresses import refuse_address
from buildpacks.dockerfile.policy import check_policy, read_policy
from buildpacks.dockerfile.settings import read_settings
from buildpacks.dockerfile.syntax import USAGE
from buildpacks.installer.errors import InvalidSetting
from tests.buildpacks.dockerfile.dockerfiles import read

# One valid instruction of every kind.
EXAMPLES = {
    "ADD": "ADD https://example.org/x.tar.gz /x",
    "ARG": "ARG A=1",
    "CMD": 'CMD ["a"]',
    "COPY": "COPY a /b",
    "ENTRYPOINT": 'ENTRYPOINT ["a"]',
    "ENV": "ENV A=1",
    "EXPOSE": "EXPOSE 80",
    "FROM": "FROM other:1",
    "HEALTHCHECK": "HEALTHCHECK NONE",
    "LABEL": "LABEL a=b",
    "MAINTAINER": "MAINTAINER me",
    "ONBUILD": "ONBUILD RUN a",
    "RUN": "RUN a",
    "SHELL": 'SHELL ["/bin/bash", "-c"]',
    "STOPSIGNAL": "STOPSIGNAL 9",
    "USER": "USER me",
    "VOLUME": "VOLUME /a",
    "WORKDIR": "WORKDIR /a",
}


def test_restricted_allows_from_run_and_env_in_one_stage() -> None:
    file = read(
        "# syntax=docker/dockerfile:1\n# a comment\nFROM --platform=linux/amd64 base:1 AS name\nENV A=1 B=2\nENV C d\n"
        'RUN a \\\n  && b\nRUN ["a"]\nRUN <<EOF\na\nEOF\nRUN --mount=type=cache,target=/var/cache/apt --mount=type=tmpfs,target=/t a\n'
    )
    assert check_policy(file, "restricted") == ()


def test_every_other_instruction_is_refused_by_line_policy_and_what_to_use_instead() -> None:
    assert EXAMPLES.keys() == USAGE.keys()
    for keyword, text in EXAMPLES.items():
        problems = check_policy(read(f"FROM base:1\n{text}\n"), "restricted")
        if keyword in ("RUN", "ENV"):
            assert problems == ()
            continue
        (problem,) = problems
        assert (problem.kind, problem.instruction, problem.origin.line) == ("not-allowed", keyword, 2)
        what = "a second `FROM`" if keyword == "FROM" else f"`{keyword}`"
        assert problem.message == f"{what} is not allowed by the policy `restricted`"
        assert len(problem.change) > 15


def test_full_allows_all_of_them() -> None:
    file = read("ARG A=1\nFROM base:1\n" + "\n".join(EXAMPLES.values()) + "\n")
    assert check_policy(file, "full") == ()


@pytest.mark.parametrize(
    "text", ["COPY --link a b", "RUN --network=default --security=sandbox a", "COPY --chmod=755 a b"]
)
def test_full_allows_flags_that_change_nothing_here(text: str) -> None:
    assert check_policy(read(f"FROM base:1\n{text}\n"), "full") == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("RUN --mount=type=bind,target=/x a", "`--mount=type=bind` is not allowed by the policy `restricted`"),
        ("RUN --mount=target=/x,from=other:1 a", "`--mount=type=bind` is not allowed by the policy `restricted`"),
        ("RUN --mount=type=secret,id=a a", "`--mount=type=secret` is not allowed by the policy `restricted`"),
        (
            "RUN --mount=type=cache,from=other:1,target=/x a",
            "`from` in `--mount=type=cache` is not allowed by the policy `restricted`",
        ),
        ("RUN --network=none a", "`--network` is not allowed by the policy `restricted`"),
        ("RUN --network=default a", "`--network` is not allowed by the policy `restricted`"),
        ("RUN --security=sandbox a", "`--security` is not allowed by the policy `restricted`"),
    ],
)
def test_restricted_refuses_flags_that_reach_further(text: str, message: str) -> None:
    (problem,) = check_policy(read(f"FROM base:1\n{text}\n"), "restricted")
    assert (problem.kind, problem.message, problem.origin.line) == ("not-allowed", message, 2)


@pytest.mark.parametrize("policy", ["restricted", "full"])
@pytest.mark.parametrize(
    "text",
    [
        "RUN --security=insecure a",
        "RUN --network=host a",
        "RUN --device=nvidia.com/gpu=all a",
        "RUN --mount=type=ssh a",
        "RUN --mount=type=cache,id=../../x,target=/x a",
        "RUN --mount=type=cache,target=/x/../../y a",
        "RUN --mount=type=cache,target=/x,source=a/../../y a",
    ],
)
def test_no_policy_allows_what_reaches_out_of_the_build(text: str, policy: str) -> None:
    (problem,) = check_policy(
        read(f"FROM base:1\nRUN \\\n{text.removeprefix('RUN')}\n"), read_policy({"BP_DOCKERFILE_POLICY": policy})
    )
    # Of the flag, not of the instruction.
    assert (problem.kind, problem.origin.line) == ("dangerous", 3)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("ARG BUILDKIT_SYNTAX=127.0.0.1:5000/evil", "dangerous"),
        ("WORKDIR /proc/self/fd/8", "dangerous"),
        ("WORKDIR //sys/x", "dangerous"),
        ("ADD http://169.254.169.254/latest/meta-data/ /x", "dangerous"),
        ('ADD ["http://localhost/a", "/x"]', "dangerous"),
        ("ADD a http://127.1/b http://$HOST/c /x", "dangerous"),
        ("ONBUILD ADD http://127.0.0.1/ /x", "dangerous"),
        ("ONBUILD RUN --network=host a", "dangerous"),
        ("ADD --checksum=sha256:0 https://example.org/a /x", "unsupported"),
        ("ADD --keep-git-dir https://example.org/a /x", "unsupported"),
        ("ADD https://example.org/a.git#main /x", "unsupported"),
        ("ADD git@example.org:a /x", "unsupported"),
        ("COPY --parents a/b /x", "unsupported"),
        ("COPY --exclude=*.txt a /x", "unsupported"),
        ("COPY --chmod=u+x a /x", "unsupported"),
        ("RUN --network=none a", "unsupported"),
        ("RUN --mount=type=secret,id=a,required a", "unsupported"),
        ("RUN --mount=type=secret,id=a,env=A a", "unsupported"),
        ("HEALTHCHECK --start-interval=1s CMD a", "unsupported"),
    ],
)
def test_full_refuses_what_is_dangerous_or_cannot_be_done(text: str, kind: str) -> None:
    problems = check_policy(read(f"FROM base:1\n{text}\n"), "full")
    assert {(problem.kind, problem.origin.line) for problem in problems} == {(kind, 2)}
    assert all(problem.message and problem.change for problem in problems)


def test_what_the_policy_forbids_is_not_told_twice() -> None:
    (problem,) = check_policy(read("FROM base:1\nADD --checksum=sha256:0 http://127.0.0.1/ /x\n"), "restricted")
    assert problem.kind == "not-allowed"


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/", "https://127.0.0.1:8080/x", "HTTP://LOCALHOST/", "http://localhost./", "http://a.localhost/",
        "http://127.1/", "http://2130706433/", "http://0x7f.0.0.1/", "http://0177.0.0.1/", "http://0/", "http://0.0.0.0/",
        "http://user@127.0.0.1/", "http://example.org@127.0.0.1/", "http://[::1]/", "http://[::ffff:127.0.0.1]/", "http://[::]/",
        "http://169.254.169.254/latest", "http://[fe80::1]/", "http://[fd00:ec2::254]/", "http://metadata.google.internal/",
        "http://100.100.100.200/", "http://168.63.129.16/", "http://224.0.0.1/", "http://①②⑦.0.0.1/", "http://$HOST/x", "http:///x",
        "http://[::1/",
    ],
)  # fmt: skip
def test_addresses_of_the_machine_are_refused(url: str) -> None:
    assert refuse_address(url) is not None


@pytest.mark.parametrize(
    "source",
    ["https://example.org/a.tar.gz", "http://10.0.0.5/a", "https://[2001:db8::1]/a", "https://example.org/$A", "a.txt", "$FILE", "ftp://127.0.0.1/"],
)  # fmt: skip
def test_others_are_not(source: str) -> None:
    assert refuse_address(source) is None


def test_the_policy_is_restricted_unless_the_builder_says_otherwise() -> None:
    assert read_policy({}) == "restricted"
    assert read_policy({"BP_DOCKERFILE_POLICY": " full "}) == "full"
    with pytest.raises(InvalidSetting, match="`BP_DOCKERFILE_POLICY` cannot be `open`"):
        read_policy({"BP_DOCKERFILE_POLICY": "open"})


def test_settings_are_read_from_the_environment() -> None:
    settings = read_settings(
        {
            "BP_DOCKERFILE": "docker/./Dockerfile.gpu",
            "BP_DOCKERFILE_TARGET": "final",
            "BP_DOCKERFILE_ARG_VERSION": "3.12",
            "BP_DOCKERFILE_ARG_EMPTY": "",
            "PIP_CONSTRAINT": "/c.txt",
        }
    )
    assert (settings.file, settings.target) == ("docker/Dockerfile.gpu", "final")
    assert settings.build_args == {"VERSION": "3.12", "EMPTY": ""}
    assert settings.has_constraints
    assert not read_settings({}).has_constraints


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("BP_DOCKERFILE", "../Dockerfile"),
        ("BP_DOCKERFILE", "/etc/passwd"),
        ("BP_DOCKERFILE", "a\nb"),
        ("BP_DOCKERFILE", "."),
        ("BP_DOCKERFILE_ARG_BUILDKIT_SYNTAX", "127.0.0.1:5000/evil"),
        ("BP_DOCKERFILE_ARG_", "x"),
        ("BP_DOCKERFILE_ARG_A-B", "x"),
    ],
)
def test_settings_that_mean_nothing_are_refused(variable: str, value: str) -> None:
    with pytest.raises(InvalidSetting) as error:
        read_settings({variable: value})
    assert error.value.variable == variable
