"""The environment of buildpacks and of the launched image (buildpack.md, "Environment"; platform.md, "Environment").

Values are strings with surrogate escapes for bytes that are not UTF-8; file contents are used verbatim, never trimmed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

from lifecycle.cnb.errors import ConfigurationError
from lifecycle.cnb.identifier import BuildpackId
from lifecycle.cnb.layer import is_real_directory
from lifecycle.cnb.toml import Table

# What of its own environment the lifecycle passes on; everything else, credentials first of all, stays behind.
_PASSED_ON = frozenset(
    [
        "HOME",
        "HOSTNAME",
        "CNB_STACK_ID",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "NO_PROXY",
        "http_proxy",
        "https_proxy",
        "no_proxy",
    ]
)
_PATH_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "LIBRARY_PATH", "CPATH", "PKG_CONFIG_PATH")

# buildpack.md, "Layer Paths": directory in the layer -> variables it is added to
_BUILD_PATHS = {
    "bin": ("PATH",),
    "lib": ("LD_LIBRARY_PATH", "LIBRARY_PATH"),
    "include": ("CPATH",),
    "pkgconfig": ("PKG_CONFIG_PATH",),
}
_LAUNCH_PATHS = {"bin": ("PATH",), "lib": ("LD_LIBRARY_PATH",)}


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerEnvironment:
    """What a layer does to the environment. `path` is where the layer lies in the build and the app image; `directories`
    are those of bin, lib, include and pkgconfig that it has; `files` maps `env/X.append` and the like to their contents.
    """

    buildpack: BuildpackId
    name: str
    path: PurePosixPath
    directories: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)

    def files_in(self, directory: str) -> Mapping[str, str]:
        """Return the files of `env`, `env.build`, `env.launch` or `env.launch/<type>` by their own names."""
        prefix = f"{directory}/"
        return {
            path.removeprefix(prefix): content
            for path, content in self.files.items()
            if path.startswith(prefix) and "/" not in path.removeprefix(prefix)
        }

    def render(self) -> dict[str, object]:
        """Return the facts as JSON values, for a label; the buildpack, name and path are known where they are read."""
        return {"directories": list(self.directories), "files": dict(self.files)}


def parse_layer_environment(
    table: Table, *, buildpack: BuildpackId, name: str, path: PurePosixPath
) -> LayerEnvironment:
    """Return what `LayerEnvironment.render` gave. Raises `ConfigurationError`."""
    files = table.table("files")
    return LayerEnvironment(
        buildpack=buildpack,
        name=name,
        path=path,
        directories=table.strings("directories"),
        files={key: files.optional_string(key) or "" for key in files.values},
    )


def read_layer_environment(
    directory: Path, *, buildpack: BuildpackId, name: str, path: PurePosixPath
) -> LayerEnvironment:
    """Return what the layer in `directory` does to the environment when it lies at `path`. Raises `ConfigurationError`."""
    files: dict[str, str] = {}
    for kind in ("env", "env.build", "env.launch"):
        files |= {f"{kind}/{name}": content for name, content in read_env_files(directory / kind).items()}
    if is_real_directory(directory / "env.launch"):
        for entry in sorted((directory / "env.launch").iterdir()):
            if is_real_directory(entry):
                found = read_env_files(entry)
                files |= {f"env.launch/{entry.name}/{name}": content for name, content in found.items()}
    present = tuple(kind for kind in _BUILD_PATHS if (directory / kind).is_dir())
    return LayerEnvironment(buildpack=buildpack, name=name, path=path, directories=present, files=files)


def read_env_files(directory: Path, *, follow_links: bool = False) -> Mapping[str, str]:
    """Return the contents of the regular files in `directory` by name, in byte order; empty when there is none.

    `follow_links` is for the platform directory, which Kubernetes fills with links. Raises `ConfigurationError`.
    """
    if not (directory.is_dir() if follow_links else is_real_directory(directory)):
        return {}
    with os.scandir(directory) as entries:
        names = sorted(
            (entry.name for entry in entries if entry.is_file(follow_symlinks=follow_links)), key=os.fsencode
        )
    contents = {name: os.fsdecode((directory / name).read_bytes()) for name in names}
    for name, content in contents.items():
        if "\0" in content:
            raise ConfigurationError(directory / name, "has a NUL byte, which no environment variable can hold")
    return contents


def start_environment(process_environment: Mapping[str, str]) -> Mapping[str, str]:
    """Return what buildpacks may see of the lifecycle's own environment."""
    return {name: value for name, value in process_environment.items() if name in _PASSED_ON or name in _PATH_VARIABLES}


def with_platform_environment(env: Mapping[str, str], files: Mapping[str, str]) -> Mapping[str, str]:
    """Return `env` with what the user gave: `<platform>/env`, where the whole file name is the variable's name."""
    result = dict(env)
    for name, value in files.items():
        if not _is_variable(name):
            continue
        result[name] = _prepend(result, name, value) if name in _PATH_VARIABLES else value
    return result


def with_build_config(env: Mapping[str, str], files: Mapping[str, str]) -> Mapping[str, str]:
    """Return `env` with what the operator gave: `<build-config>/env`, where a bare name is a default."""
    return _with_files(env, files, bare="default", delimiters={})


def with_build_layer(env: Mapping[str, str], layer: LayerEnvironment) -> Mapping[str, str]:
    """Return the environment of later buildpacks when `layer` is a build layer."""
    result = _with_paths(env, layer, _BUILD_PATHS)
    for kind in ("env", "env.build"):
        result = _with_layer_files(result, layer, kind)
    return result


def launch_environment(
    layers: Sequence[LayerEnvironment], base: Mapping[str, str], *, process_type: str | None = None
) -> Mapping[str, str]:
    """Return the environment that the launched image has, without exec.d and profile.d.

    `layers` are all launch layers in the order of the image: by buildpack, then by name. `base` is the run image's
    environment. The paths of all layers of a buildpack come before any of its files.
    """
    result = base
    for buildpack in dict.fromkeys(layer.buildpack for layer in layers):
        own = [layer for layer in layers if layer.buildpack == buildpack]
        for layer in own:
            result = _with_paths(result, layer, _LAUNCH_PATHS)
        for layer in own:
            kinds = ["env", "env.launch"] + ([f"env.launch/{process_type}"] if process_type else [])
            for kind in kinds:
                result = _with_layer_files(result, layer, kind)
    return result


def _with_paths(
    env: Mapping[str, str], layer: LayerEnvironment, paths: Mapping[str, tuple[str, ...]]
) -> Mapping[str, str]:
    # Prepending while walking upwards puts the last layer first: what the reference implementation does, although the
    # specification reads as if the first came first.
    result = dict(env)
    for directory, variables in paths.items():
        if directory in layer.directories:
            for variable in variables:
                result[variable] = _prepend(result, variable, str(layer.path / directory))
    return result


def _with_layer_files(env: Mapping[str, str], layer: LayerEnvironment, kind: str) -> Mapping[str, str]:
    # The specification gives a delimiter to the whole layer, the reference implementation to its directory only:
    # the directory's own wins, the layer's `env` is asked next.
    return _with_files(env, layer.files_in(kind), bare="override", delimiters=_delimiters(layer.files_in("env")))


def _with_files(
    env: Mapping[str, str],
    files: Mapping[str, str],
    *,
    bare: Literal["default", "override"],
    delimiters: Mapping[str, str],
) -> Mapping[str, str]:
    known = {**delimiters, **_delimiters(files)}
    result = dict(env)
    for file_name in sorted(files, key=os.fsencode):
        name, dot, suffix = file_name.partition(".")
        if not _is_variable(name):
            continue
        content, current = files[file_name], result.get(name, "")
        match suffix if dot else bare:
            case "override":
                result[name] = content
            case "default":
                result[name] = current or content
            case "append":
                result[name] = _join((current, content), known.get(name, ""))
            case "prepend":
                result[name] = _join((content, current), known.get(name, "")) if current else content
            case _:  # `.delim`, and suffixes that nobody defined
                pass
    return result


def _delimiters(files: Mapping[str, str]) -> Mapping[str, str]:
    return {name.removesuffix(".delim"): content for name, content in files.items() if name.endswith(".delim")}


def _join(parts: Iterable[str], delimiter: str) -> str:
    first, second = parts
    return first + delimiter + second if first else second


def _prepend(env: Mapping[str, str], name: str, value: str) -> str:
    current = env.get(name, "")
    return f"{value}:{current}" if current else value


def _is_variable(name: str) -> bool:
    return name != "" and "=" not in name
