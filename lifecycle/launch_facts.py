"""What launch layers do to the environment, kept in a label of the image: a layer that the next build reuses has no directory
there, yet its environment is part of the next image. Facts are kept by diff id, so they cannot be about another content.

Another label has the environment that they do it to. A rebase needs both: the environment of the image follows from them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from lifecycle.cnb.environment import LayerEnvironment, parse_layer_environment
from lifecycle.cnb.errors import ConfigurationError
from lifecycle.cnb.identifier import BuildpackId
from lifecycle.cnb.jsontext import parse_json, render_json
from lifecycle.cnb.labels import BuildpackRecord
from lifecycle.cnb.parts import parts_of
from lifecycle.oci.compression import open_layer
from lifecycle.oci.descriptor import parse_string_map
from lifecycle.oci.image import Layer
from lifecycle.oci.tar import MemberKind, TarReader

LAUNCH_FACTS_LABEL = "io.pybuild.launch.environment"
LAUNCH_BASE_LABEL = "io.pybuild.launch.base"
_PATH_DIRECTORIES = ("bin", "lib", "include", "pkgconfig")
_ENV_DIRECTORIES = ("env", "env.build", "env.launch")
# buildpack.md gives no limit; a variable of more cannot be passed to a process (MAX_ARG_STRLEN of Linux).
_VALUE_LIMIT = 128 * 1024


def render_launch_facts(environments: Mapping[str, LayerEnvironment]) -> str:
    """Return the label's JSON for environments by diff id."""
    return render_json({sha: environment.render() for sha, environment in environments.items()})


def render_launch_base(base: Mapping[str, str]) -> str:
    """Return the label's JSON for the environment of the run image."""
    return render_json(base)


def recall_base(labels: Mapping[str, str]) -> Mapping[str, str] | None:
    """Return the environment that the layers of an image add to; `None` where nobody has noted it.

    Raises `ConfigurationError`.
    """
    label = labels.get(LAUNCH_BASE_LABEL)
    return None if label is None else parse_string_map(parse_json(label, source=f"label {LAUNCH_BASE_LABEL}"))


def recall_environments(
    labels: Mapping[str, str], buildpacks: Sequence[BuildpackRecord], *, layers_dir: PurePosixPath
) -> tuple[LayerEnvironment, ...]:
    """Return what the launch layers of an image do to the environment, in the order of the image.

    Raises `ConfigurationError`: the label is not one, or says nothing of a layer.
    """
    facts = parse_json(labels.get(LAUNCH_FACTS_LABEL, "{}"), source=f"label {LAUNCH_FACTS_LABEL}")
    found = []
    for record in buildpacks:
        # What is said of a layer holds for all its parts together.
        parts = {part for layer in record.layers.values() for part in parts_of(layer.metadata)}
        for name, layer in sorted(record.layers.items()):
            if name in parts:
                continue
            if layer.sha is None or layer.sha not in facts:
                raise facts.error(f"says nothing of the layer `{record.id}:{name}`")
            path = layers_dir / record.id.directory_name / name
            found.append(parse_layer_environment(facts.table(layer.sha), buildpack=record.id, name=name, path=path))
    return tuple(found)


def recall_environment(
    labels: Mapping[str, str], layer: Layer, *, buildpack: BuildpackId, name: str, path: PurePosixPath
) -> LayerEnvironment:
    """Return what a layer of the previous image does to the environment: from the image's `labels`, or else from the layer.

    Raises `OciError`, `OSError`.
    """
    label = labels.get(LAUNCH_FACTS_LABEL, "{}")
    try:
        table = parse_json(label, source=f"label {LAUNCH_FACTS_LABEL}")
        if str(layer.diff_id) in table:
            facts = table.table(str(layer.diff_id))
            return parse_layer_environment(facts, buildpack=buildpack, name=name, path=path)
    except ConfigurationError:
        pass  # another version wrote it: the layer itself is the truth
    return _read_from_blob(layer, buildpack=buildpack, name=name, path=path)


def _read_from_blob(layer: Layer, *, buildpack: BuildpackId, name: str, path: PurePosixPath) -> LayerEnvironment:
    files: dict[str, str] = {}
    directories: set[str] = set()
    root = str(path).strip("/") + "/"
    with layer.path.open("rb") as raw:
        reader = TarReader(open_layer(raw, layer.descriptor.media_type), source=f"layer `{name}` of the previous image")
        for member in reader:
            place = member.name.decode("utf-8", "surrogateescape").removeprefix(".").strip("/")
            relative = place.removeprefix(root) if place.startswith(root) else ""
            if relative in _PATH_DIRECTORIES and member.kind in (MemberKind.DIRECTORY, MemberKind.SYMLINK):
                directories.add(relative)
            elif member.kind is MemberKind.FILE and relative.partition("/")[0] in _ENV_DIRECTORIES:
                files[relative] = reader.read(limit=_VALUE_LIMIT).decode("utf-8", "surrogateescape")
    present: Sequence[str] = [directory for directory in _PATH_DIRECTORIES if directory in directories]
    return LayerEnvironment(buildpack=buildpack, name=name, path=path, directories=tuple(present), files=files)
