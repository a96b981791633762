"""The cache of an application as an image, for machines that have no cache of their own (platform.md, "Cache").

Every cached layer is a layer of the image, at the path that it has in a build, as other lifecycles have it; the label
`io.buildpacks.lifecycle.cache.metadata` says which is which, by diff ids. A large one that is in no app image is several: most of what
tools cache stays from build to build. An image that another lifecycle or version has written is not taken: how far what is in it may
be relied on is not known here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from zlib import crc32

from lifecycle.cache import Cache, FoundLayer, cache_sbom_path, describe_tree, has_cache_sbom, read_cache_layers
from lifecycle.cache_contents import TreeFacts
from lifecycle.cnb.api import DEFAULT_EXEC_ENV
from lifecycle.cnb.deadline import NEVER, Deadline
from lifecycle.cnb.digest import Digest
from lifecycle.cnb.errors import ConfigurationError
from lifecycle.cnb.group import Group
from lifecycle.cnb.jsontext import parse_json, render_json
from lifecycle.cnb.labels import BuildpackRecord, LayerRecord, parse_buildpack_records, render_buildpack_records
from lifecycle.cnb.layer import is_layer_name, is_real_subdirectory
from lifecycle.cnb.toml import Table
from lifecycle.log import PhaseLog
from lifecycle.oci.archive import Owner, TarWriter
from lifecycle.oci.blob import write_layer_blobs
from lifecycle.oci.config import History, ImageConfig
from lifecycle.oci.confined import unpack_below
from lifecycle.oci.descriptor import Descriptor, Platform
from lifecycle.oci.image import Image, Layer, make_image
from lifecycle.oci.tree import Entry, Tree, scan_tree

CACHE_LABEL = "io.buildpacks.lifecycle.cache.metadata"
# A table of the label that other lifecycles ignore: which version of this module made it.
_OWN_KEY, _SCHEMA = "pybuild", 1
_LAYERS_PATH = PurePosixPath("/layers")
# What is at most so deep belongs together, such as a wheel that uv has unpacked, `uv/archive-v0/<id>`.
_DEPTH = 3
_OWN_PART, _OWN_PARTS, _BINS = 4 << 20, 24, 8


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheImageRequest:
    """What to make a cache image of, and where its new blobs go."""

    layers_dir: Path
    """A build's, after it succeeded; nothing writes to it."""
    group: Group
    cache: Cache
    """What it was built with."""
    known: Mapping[str, Descriptor]
    """Blobs that need not be made again, by diff id: those of the cache image that there is."""
    blobs_dir: Path
    owner: Owner
    platform: Platform
    created: str
    """RFC 3339."""
    exec_env: str = DEFAULT_EXEC_ENV
    divided_above: int = 32 << 20
    """Bytes of a layer that becomes several, if it is for the cache alone."""
    check: Callable[[], None] = lambda: None
    """Called again and again; ends the work by raising."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheImage:
    """A cache image. The files of blobs that were known are not there; `facts` is what is known of the trees now."""

    image: Image
    facts: Mapping[Path, TreeFacts]


def make_cache_image(request: CacheImageRequest, log: PhaseLog) -> CacheImage | None:
    """Return the image of what a build leaves to be cached; `None` when that is nothing.

    Layers whose trees are as they were, or turn out to be, have the blobs that they had.

    Raises:
        OciError: a tree cannot be archived.
        OSError: files cannot be read or written.
    """
    before = request.cache.recall()
    archive = _Archive(request)
    records: list[BuildpackRecord] = []
    for element in request.group.elements:
        own = request.layers_dir / element.id.directory_name
        path = _LAYERS_PATH / element.id.directory_name
        layers = {
            layer.name: LayerRecord(
                sha=archive.add(
                    layer.path,
                    path / layer.name,
                    before.facts(element.id, layer.name),
                    f"Cache of layer `{layer.name}` of buildpack {element}",
                    # The others are compared with layers of the app image, by their diff id.
                    may_be_divided=not layer.file.types.launch,
                ),
                types=layer.file.types,
                metadata=layer.file.metadata,
            )
            for layer in read_cache_layers(own, log)
        }
        if layers:
            records.append(BuildpackRecord(id=element.id, version=element.version, layers=layers))
    sbom = None
    if has_cache_sbom(request.layers_dir):
        path = _LAYERS_PATH / "sbom" / "cache"
        sbom = archive.add(cache_sbom_path(request.layers_dir), path, before.sbom_facts, "Bills of materials")
    if not archive.layers:
        return None
    label = {
        "buildpacks": render_buildpack_records(tuple(records), data_key="data"),
        "sbom": None if sbom is None else {"sha": sbom},
        "exec-env": request.exec_env,
        _OWN_KEY: {"schema": _SCHEMA, "target": request.cache.target, "parts": archive.parts},
    }
    config = ImageConfig(
        architecture=request.platform.architecture,
        os=request.platform.os,
        variant=request.platform.variant,
        created=request.created,
        labels={CACHE_LABEL: render_json(label)},
    )
    return CacheImage(image=make_image(config, archive.layers), facts=archive.facts)


def read_cache_label(config: ImageConfig, cache: Cache, *, source: str) -> Table:
    """Return what a cache image says of itself. Raises `ConfigurationError` where it is none that can be put into `cache`."""
    text = config.labels.get(CACHE_LABEL)
    if text is None:
        raise ConfigurationError(source, "is not a cache")
    label = parse_json(text, source=f"{source}: label {CACHE_LABEL}")
    own = label.table(_OWN_KEY)
    if own.optional_integer("schema") != _SCHEMA:
        raise ConfigurationError(source, "was made by another lifecycle, or by another version of this one")
    target = own.optional_string("target")
    if target != cache.target:
        raise ConfigurationError(source, f"was made for `{target}`, and this build is for `{cache.target}`")
    return label


def take_cache_image(image: Image, cache: Cache, scratch: Path, log: PhaseLog, *, deadline: Deadline = NEVER) -> None:
    """Let what `image` holds take the place of everything in `cache`.

    It is unpacked to `scratch`, which must be on the file system of the cache and not exist or be empty. What the image says to
    have and has not, is left out and said.

    Raises:
        OciError: a layer is damaged, or cannot be unpacked.
        ConfigurationError: it is not a cache that can be used here.
        OSError: the disk is full.
        CommandTimeout: `deadline` has passed; the cache is as it was.
    """
    label = read_cache_label(image.config, cache, source=f"cache image {image.digest}")
    records = parse_buildpack_records(label, data_key="data")
    parts = label.table(_OWN_KEY).table("parts")
    diff_ids = {str(layer.diff_id) for layer in image.layers}
    sbom = label.table("sbom").optional_string("sha")
    scratch.mkdir(parents=True, exist_ok=True)
    unpack_below(image.layers, _LAYERS_PATH, scratch, deadline=deadline)
    has_sbom = sbom in diff_ids and is_real_subdirectory(scratch, "sbom", "cache")
    cache.take(
        _find_layers(records, parts, diff_ids, scratch, log),
        sbom=(scratch / "sbom" / "cache", sbom) if sbom is not None and has_sbom else None,
        exec_env=label.optional_string("exec-env") or DEFAULT_EXEC_ENV,
        cache_image=str(image.digest),
    )


def _find_layers(
    records: tuple[BuildpackRecord, ...], parts: Table, diff_ids: set[str], scratch: Path, log: PhaseLog
) -> Iterator[FoundLayer]:
    for record in records:
        for name, layer in sorted(record.layers.items()):
            way = (record.id.directory_name, name)
            if not is_layer_name(name) or not layer.types.cache:
                continue
            # The diff ids were verified, and for layers of the app image it is compared with that of its layer.
            archived = () if layer.sha is None else (layer.sha, *parts.strings(layer.sha))
            if archived and diff_ids.issuperset(archived) and is_real_subdirectory(scratch, *way):
                yield FoundLayer(
                    buildpack=record.id,
                    version=record.version,
                    name=name,
                    record=layer,
                    path=scratch.joinpath(*way),
                    archived=archived,
                )
            else:
                log.info(f"Cached layer `{record.id}:{name}` is not used: the cache image lacks it")


class _Archive:
    """The layers of a cache image while it is put together."""

    def __init__(self, request: CacheImageRequest) -> None:
        self._request = request
        self.layers: list[Layer] = []
        self.facts: dict[Path, TreeFacts] = {}
        self.parts: dict[str, list[str]] = {}
        """Diff ids of the further parts of a layer, by that of the first."""

    def add(
        self,
        tree: Path,
        path: PurePosixPath,
        before: TreeFacts | None,
        created_by: str,
        *,
        may_be_divided: bool = False,
    ) -> str:
        """Add a layer that has `tree` at `path`, or several; return the diff id of the first."""
        self._request.check()
        facts = describe_tree(tree, before)
        known = [layer for layer in map(self._known, facts.archived) if layer is not None]
        is_known = bool(known) and len(known) == len(facts.archived)
        layers = known if is_known else self._new(tree, path, may_be_divided=may_be_divided)
        history = History(created=self._request.created, created_by=created_by)
        self.layers += [replace(layer, history=history) for layer in layers]
        first, *others = (str(layer.diff_id) for layer in layers)
        self.facts[tree] = replace(facts, archived=(first, *others))
        if others:
            self.parts[first] = others
        return first

    def _new(self, directory: Path, path: PurePosixPath, *, may_be_divided: bool) -> list[Layer]:
        tree = scan_tree(directory)
        is_large = tree.size > self._request.divided_above
        parts = _divide(tree) if may_be_divided and is_large else [tree]
        fills = [self._filler(part, path) for part in parts]
        blobs = write_layer_blobs(self._request.blobs_dir, fills, check=self._request.check)
        # Trees that other times make look different may be the same; and another version of the compressor may have made the blob.
        return [
            self._known(str(blob.diff_id)) or Layer(descriptor=blob.descriptor, diff_id=blob.diff_id, path=blob.path)
            for blob in blobs
        ]

    def _filler(self, tree: Tree, path: PurePosixPath) -> Callable[[TarWriter], None]:
        def fill(archive: TarWriter) -> None:
            archive.parents(path, self._request.owner)
            archive.entries(tree, path, self._request.owner)

        return fill

    def _known(self, diff_id: str) -> Layer | None:
        descriptor = self._request.known.get(diff_id)
        if descriptor is None:
            return None
        path = self._request.blobs_dir / descriptor.digest.hex
        return Layer(descriptor=descriptor, diff_id=Digest.parse(diff_id), path=path)


def _divide(tree: Tree) -> list[Tree]:
    """Parts of which few change from build to build: each large thing is one, the others are in bins by their names."""
    sizes: Counter[bytes] = Counter()
    for entry in tree.entries:
        sizes[_thing(entry.path)] += entry.size
    own = {thing for thing, size in sizes.most_common(_OWN_PARTS) if size > _OWN_PART}

    def part_of(entry: Entry) -> bytes:
        thing = _thing(entry.path)
        return thing if thing in own else b"%d" % (crc32(thing) % _BINS)

    return [part for _, part in sorted(tree.divide(part_of).items())]


def _thing(path: bytes) -> bytes:
    return b"/".join(path.split(b"/")[:_DEPTH])
