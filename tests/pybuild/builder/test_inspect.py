"""What a person reads about a builder."""

from __future__ import annotations

from pybuild.builder.inspect import BaseDescription, Description, DockerfileDescription, render_description


def base(name: str, packages: list[dict[str, str]]) -> BaseDescription:
    return BaseDescription(name=name, origin="Debian bookworm", size=34_400_000, packages=packages)


def test_everything_that_is_in_it_is_named() -> None:
    text = render_description(
        Description(
            key="0123456789abcdef",
            description="for tests",
            target="linux/amd64 (debian 12)",
            user="1000:1000",
            build=base("test/build", []),
            run=base("test/run", [{"name": "bash", "version": "5.2.15-2+b13", "architecture": "amd64"}]),
            run_image_digest="sha256:abc",
            lifecycle={"platform-apis": ["0.12", "0.13"], "buildpack-apis": ["0.12"]},
            buildpacks=[{"id": "test/one", "version": "1.0.0", "api": "0.12", "name": "One"}],
            extensions=[],
            extension_order=[],
            order=[[{"id": "test/one", "version": "1.0.0", "optional": True}]],
            interpreters=[
                {"version": "3.10.13", "arch": "amd64", "file": "x.tar.gz", "sha256": "0" * 64, "origin": "machine"}
            ],
            left_out_interpreters={"3.13": "python-build-standalone: no route to host"},
            tools={"uv": "0.9.0", "pip": "26.3"},
            dockerfile=DockerfileDescription(policy="restricted", allowed_bases=["docker.io/*"], bases={}),
            directory="/store/builders/0123456789abcdef",
            size=58_000_000,
        )
    )
    assert text == (
        "Builder 0123456789abcdef: for tests\n"
        "  target        linux/amd64 (debian 12), user 1000:1000\n"
        "  lifecycle     Platform API 0.12 to 0.13, Buildpack API 0.12\n"
        "  tools         uv 0.9.0, pip 26.3\n"
        "  Dockerfiles   policy restricted, bases docker.io/*\n"
        "  kept in       /store/builders/0123456789abcdef (58 MB)\n"
        "Interpreters\n"
        "  CPython 3.10.13 linux/amd64, packed from one that was on the machine\n"
        "  CPython 3.13: could be had nowhere (python-build-standalone: no route to host)\n"
        "Buildpacks\n"
        "  test/one 1.0.0, Buildpack API 0.12\n"
        "Order\n"
        "  1. test/one@1.0.0 (optional)\n"
        "Build base test/build\n"
        "  made from     Debian bookworm\n"
        "  size          34 MB on disk\n"
        "Run base test/run\n"
        "  made from     Debian bookworm\n"
        "  size          34 MB compressed\n"
        "  packages      1:\n"
        "    bash 5.2.15-2+b13\n"
        "  digest        sha256:abc"
    )
