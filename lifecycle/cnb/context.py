"""What a function of a buildpack is given, and what it gives back."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from lifecycle.cnb.command import CommandResult, run_command
from lifecycle.cnb.detecting import say
from lifecycle.cnb.launch import Label, Process, Slice
from lifecycle.cnb.layer import (
    LayerFile,
    LayerTypes,
    is_layer_name,
    is_real_directory,
    read_layer_file,
    remove_tree,
    write_layer_file,
)
from lifecycle.cnb.mask import mask_credentials
from lifecycle.cnb.parts import parts_of, with_parts, without_parts
from lifecycle.cnb.plan import PlanEntry
from lifecycle.cnb.sbom import cyclonedx_path
from lifecycle.cnb.shared import DIRECTORY_VARIABLE, NamedKey, layer_key, read_shared, render_key_line
from lifecycle.cnb.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateContext:
    """What a generate function is given. It writes into `output_dir` as an image extension does, or, where the lifecycle is
    pybuild's, its recipe to `recipe_path`.
    """

    app_dir: Path
    platform_dir: Path
    buildpack_dir: Path
    env: Mapping[str, str]
    target: Target
    output_dir: Path
    recipe_path: Path | None
    images_path: Path | None
    """The facts of the images that a recipe named before (`lifecycle.cnb.recipe.read_image_facts`)."""
    whole_image: bool
    """Whether nothing else of the group goes into the image."""

    def say(self, line: str) -> None:
        """Write one line to stdout."""
        say(line)

    def notice(self, line: str) -> None:
        """Write a line that the user should act on some day."""
        say(f"notice: {line}")

    def warning(self, line: str) -> None:
        """Write a line about something that works and hurts."""
        say(f"warning: {line}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FixContext:
    """What a fix function is given; it changes files below `app_dir`, a copy that nothing is built from."""

    app_dir: Path
    platform_dir: Path
    buildpack_dir: Path
    env: Mapping[str, str]
    target: Target

    def say(self, line: str) -> None:
        """Write one line to stdout."""
        say(line)

    def notice(self, line: str) -> None:
        """Write a line about something that is left for the user to do."""
        say(f"notice: {line}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoredLayer:
    """What the last build left of a layer. `path` is `None` when only its metadata came back: its files are then in the
    previous image, which reuses them if the layer is returned again without a directory.
    """

    metadata: Mapping[str, object]
    path: Path | None
    has_sbom: bool = False
    """Whether a bill of materials came back with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A layer that the build function leaves. Without a directory it stands for the one in the previous image.

    The keys of the three environments are file names such as `PATH.prepend` or `PATH.delim`; in `launch_env` also
    `<process type>/NAME`. They replace what the directory held of that kind. `by_packages`: the image may have the layer in
    several, along the Python or conda packages that are in it. `sbom` is its bill of materials as CycloneDX JSON, which
    buildpack.toml lists in `sbom-formats`; `None` keeps the one that was restored.
    """

    name: str
    types: LayerTypes
    metadata: Mapping[str, object] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    launch_env: Mapping[str, str] = field(default_factory=dict)
    build_env: Mapping[str, str] = field(default_factory=dict)
    by_packages: bool = False
    sbom: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildResult:
    """What a build function returns. `unmet` names plan entries that are left to other buildpacks; `store` `None` keeps
    what was stored before; `locks` are files by their names, for the report of the build.
    """

    layers: tuple[Layer, ...] = ()
    processes: tuple[Process, ...] = ()
    labels: tuple[Label, ...] = ()
    slices: tuple[Slice, ...] = ()
    unmet: tuple[str, ...] = ()
    store: Mapping[str, object] | None = None
    locks: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildContext:
    """What a build function is given. `layers_dir` is this buildpack's own directory of layers."""

    app_dir: Path
    layers_dir: Path
    platform_dir: Path
    buildpack_dir: Path
    env: Mapping[str, str]
    target: Target
    plan: tuple[PlanEntry, ...]
    store: Mapping[str, object]

    def restored(self, layer: str) -> RestoredLayer | None:
        """Return what the last build left of `layer`, or `None`, also where one of its parts is missing."""
        file = self.layers_dir / f"{layer}.toml"
        if not file.is_file():
            return None
        metadata = read_layer_file(file).metadata
        if not all((self.layers_dir / f"{part}.toml").is_file() for part in parts_of(metadata)):
            return None
        path = self.layers_dir / layer
        return RestoredLayer(
            metadata=without_parts(metadata),
            path=path if is_real_directory(path) else None,
            has_sbom=cyclonedx_path(self.layers_dir, layer).is_file(),
        )

    def layer_dir(self, layer: str, *, keep: bool = False) -> Path:
        """Return the layer's directory: empty, or with what was restored when `keep` is true."""
        if not is_layer_name(layer):
            raise ValueError(f"{layer!r} cannot be the name of a layer")
        path = self.layers_dir / layer
        if not keep:
            remove_tree(path)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def find_shared(self, layer: Layer) -> Layer | None:
        """Return `layer` as the platform has one with this metadata from another application, to be returned without a directory.

        `None`: it has none, and may share the one that is made now. So ask only if the metadata decides everything that
        runs from here on, and before anything of the repository or of a package has run (`lifecycle.cnb.shared`).
        """
        key = layer_key(self.layers_dir / layer.name, layer.metadata)
        if not self._name_key(NamedKey(layer=layer.name, key=key)):
            return None
        known = read_shared(self._shared_layers / key)
        return None if known is None else replace(layer, sbom=known.sbom)

    def never_share(self, layer: str) -> None:
        """Say that a layer of `shared-layers` cannot be shared, before anything of the repository or of a package runs."""
        self._name_key(NamedKey(layer=layer, key=None))

    def keep_on_failure(self, layer: Layer) -> None:
        """Declare a cache layer before the build function is through, so that it outlives a failure of what comes next.

        Its directory must be usable in whatever state the failure leaves it, as a download cache is.
        """
        write_layer(self.layers_dir, layer, outlives_failure=True)

    @property
    def _shared_layers(self) -> Path:
        return Path(self.env.get(DIRECTORY_VARIABLE, ""))

    def _name_key(self, named: NamedKey) -> bool:
        """Whether the platform wants to know."""
        wants = DIRECTORY_VARIABLE in self.env
        if wants:
            say(render_key_line(named))
        return wants

    def say(self, line: str) -> None:
        """Write one line to stdout."""
        say(line)

    def notice(self, line: str) -> None:
        """Write a line that the user should act on some day."""
        say(f"notice: {line}")

    def run(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        echo: bool = True,
        quiet: bool = False,
    ) -> CommandResult:
        """Return how `argv` ended; a status other than 0 is the caller's to judge. Secrets in URLs are never shown.

        `env` replaces the context's; `cwd` is the app directory unless given; `echo` shows the command first; `quiet` keeps
        its output to the result. Raises `CommandNotStarted`.
        """
        if echo:
            say(f"Running `{mask_credentials(shlex.join(argv))}`")
        return run_command(
            argv,
            env=self.env if env is None else env,
            cwd=self.app_dir if cwd is None else cwd,
            on_line=None if quiet else lambda line: say(f"  {mask_credentials(line)}"),
        )


def write_layer(layers_dir: Path, layer: Layer, *, outlives_failure: bool = False) -> None:
    """Write what is declared of a layer; its environments only if it has a directory, else that all its parts are used again."""
    if not is_layer_name(layer.name):
        raise ValueError(f"{layer.name!r} cannot be the name of a layer")
    path = layers_dir / layer.name
    file = layers_dir / f"{layer.name}.toml"
    parts: tuple[str, ...] = ()
    if is_real_directory(path):
        environments = (("env", layer.env), ("env.launch", layer.launch_env), ("env.build", layer.build_env))
        for kind, files in environments:
            remove_tree(path / kind)
            for name, content in files.items():
                target = path / kind / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(os.fsencode(content))
    elif file.is_file():
        parts = tuple(part for part in parts_of(read_layer_file(file).metadata) if is_layer_name(part))
    for part in parts:
        restored = read_layer_file(layers_dir / f"{part}.toml")
        write_layer_file(layers_dir / f"{part}.toml", replace(restored, types=layer.types))
    description = LayerFile(
        types=layer.types,
        metadata=with_parts(layer.metadata, parts),
        outlives_failure=outlives_failure,
        by_packages=layer.by_packages,
    )
    write_layer_file(file, description)
    if layer.sbom is not None:
        cyclonedx_path(layers_dir, layer.name).write_text(layer.sbom, encoding="utf-8")
