"""Build arguments for the command lines of those who build: a secret is in the environment, where only its own processes see it."""

from __future__ import annotations

from collections.abc import Collection, Mapping

# Names that mean something to the programs themselves.
_MEANT_FOR_TOOLS = (
    "PATH",
    "HOME",
    "TMPDIR",
    "LD_",
    "BUILDAH_",
    "BUILDKIT_",
    "BUILDX_",
    "CONTAINER",
    "DOCKER_",
    "REGISTRY_",
    "STORAGE_",
    "XDG_",
    "_",
)


def build_arg_options(values: Mapping[str, str], secret: Collection[str]) -> tuple[tuple[str, ...], Mapping[str, str]]:
    """Return options (`--build-arg`), and the variables that those without a value are taken from."""
    options: list[str] = []
    env: dict[str, str] = {}
    for name, value in values.items():
        if name in secret and not name.startswith(_MEANT_FOR_TOOLS):
            env[name] = value
            options += ["--build-arg", name]
        else:
            options += ["--build-arg", f"{name}={value}"]
    return tuple(options), env
