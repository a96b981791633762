"""What a benchmark needs before it measures: settings, an interpreter, a base image."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.measure import run_quietly
from bench.ways import Buildah, Builder, Docker
from pybuild.host import HostSettings
from tests.integration.command import Pybuild, expect_success, ordinary_environment
from tests.integration.engine import docker_engine, unmount_below

BASE = "bench-base"
"""Name of the base image, whoever builds on it."""


def remote_environment(settings: HostSettings, cache_home: Path) -> dict[str, str]:
    """This process's environment, with only those package indexes that a container could reach as well, and caches in `cache_home`."""
    env = ordinary_environment(cache_home)
    for name in [name for name in env if name.startswith(("PIP_", "UV_"))]:
        del env[name]
    indexes = {
        name: _remote_words(value) for name, value in settings.indexes.items() if name.endswith(("_URL", "INDEX"))
    }
    indexes = {name: value for name, value in indexes.items() if value}
    for pip_name, uv_name in (("PIP_INDEX_URL", "UV_INDEX_URL"), ("PIP_EXTRA_INDEX_URL", "UV_EXTRA_INDEX_URL")):
        if pip_name in indexes:
            indexes.setdefault(uv_name, indexes[pip_name])
    env |= {"PIP_CONFIG_FILE": "/dev/null", "UV_NO_CONFIG": "1", **indexes}
    if settings.ca_bundle is not None:
        env |= {"SSL_CERT_FILE": str(settings.ca_bundle), "PIP_CERT": str(settings.ca_bundle)}
    return env


def _remote_words(value: str) -> str:
    return " ".join(word for word in value.split() if word.startswith(("http://", "https://")))


@contextmanager
def unpacked_interpreter(store: Path, scratch: Path) -> Iterator[Path]:
    """The Python of the builder, unpacked."""
    archive = max(store.glob("interpreters/*/cpython-3.10*.tar.gz"), key=lambda path: path.stat().st_mtime)
    directory = scratch / "interpreter"
    directory.mkdir()
    run_quietly(["tar", "--extract", "--file", str(archive), "--directory", str(directory)], os.environ)
    yield next(directory.rglob("bin/python3.10"))


@contextmanager
def dockerfile_builders(scratch: Path, env: Mapping[str, str], *, wanted: bool) -> Iterator[tuple[Builder, ...]]:
    """What executes Dockerfiles, or nothing."""
    if not wanted:
        yield ()
        return
    with docker_engine() as engine:
        buildah = Buildah.make(scratch / "buildah", env)
        try:
            yield (Docker(engine=engine), buildah)
        finally:
            unmount_below(buildah.directory)


def load_base(
    builders: Sequence[Builder],
    pybuild: Pybuild,
    settings: HostSettings,
    env: Mapping[str, str],
    scratch: Path,
    *,
    empty_project: tuple[str, str] = ("requirements.txt", ""),
    more: Sequence[str] = (),
) -> None:
    """Give every builder what `FROM python:3.10` would be: our run image with the interpreter and pip, without packages.

    It is built from the one file of `empty_project`. The machine's certificates and indexes are put on top, for a Dockerfile has no
    other way to learn of them, and `more` instructions.
    """
    repository = scratch / "empty"
    repository.mkdir()
    name, text = empty_project
    (repository / name).write_text(text)
    archive = scratch / "base.tar"
    expect_success(pybuild("build", repository, "--output", f"docker-archive:{archive}", "--tag", "bench-empty"))
    context = scratch / "base"
    context.mkdir()
    kept = ("PIP_", "POETRY_")
    variables = {name: value for name, value in env.items() if name.startswith(kept) and name != "PIP_CERT"}
    variables |= settings.proxies
    lines = ["FROM bench-empty", "USER root", *(f'ENV {name}="{value}"' for name, value in variables.items())]
    if settings.ca_bundle is not None:
        shutil.copyfile(settings.ca_bundle, context / "ca.crt")
        target = "/etc/ssl/certs/ca-certificates.crt"
        lines += [f"COPY ca.crt {target}", f"ENV PIP_CERT={target} REQUESTS_CA_BUNDLE={target}"]
    (context / "Dockerfile").write_text("\n".join([*lines, *more]) + "\n")
    for builder in builders:
        builder.load(archive)
        builder.build(context, tag=BASE)
