"""The two bases of a builder: the root file system that builds run in, and the image that images are made on.

Store: `bases/<key>/`, where `key` names what the base is made from. Both have `base.json` and `image/`, an OCI image layout; a build
base has `rootfs/` as well, which is the same unpacked. Everything there belongs to the user who made it, whatever the packages say: the
sandbox shows it as one user's anyway, and the image has the true owners.
"""

from __future__ import annotations

import contextlib
import json
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath

from lifecycle.cnb.deadline import NEVER, Deadline
from lifecycle.cnb.layer import remove_tree
from lifecycle.cnb.target import host_architecture
from lifecycle.oci.archive import ROOT, Owner, TarWriter
from lifecycle.oci.blob import compress_layer_blob, write_layer_blob
from lifecycle.oci.config import History, ImageConfig
from lifecycle.oci.descriptor import Platform
from lifecycle.oci.image import Image, Layer, make_image
from lifecycle.oci.layout import read_image
from lifecycle.oci.layout_writer import open_layout
from lifecycle.oci.location import REGISTRY_PREFIX, Location, Transport, parse_location
from lifecycle.oci.unpack import unpack_image
from lifecycle.registry.manifest import name_of
from pybuild.builder.crew import Crew
from pybuild.builder.debian import Assembly, assemble_base
from pybuild.builder.errors import AssemblyFailed, ImageUnusable
from pybuild.builder.foreign_base import MachineBase, assemble_foreign_base
from pybuild.builder.kept import content_key, make_directory
from pybuild.builder.requested import Base, ImageBase, PackageBase, User
from pybuild.builder.rootfs import add_mount_points, add_user, parse_packages, read_inside, unpack_archive
from pybuild.builder.value import DebianPackage, KeptBase
from pybuild.image_store import ImageStore, open_client, read_any_image

# Another number when the same packages would be made into another base.
_FORMAT = 3
# The same for bases of other architectures, which are put together here.
_FOREIGN_FORMAT = 4
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Programs take the encoding of texts from LANG; Debian's C library has this locale built in.
_ENVIRONMENT = {"PATH": _PATH, "LANG": "C.UTF-8"}
# https://github.com/opencontainers/image-spec/blob/v1.1.0/config.md: RFC 3339; the constant of every CNB lifecycle
CREATED = "1980-01-01T00:00:01Z"
"""When the images of a builder say that they were made."""
_STATUS_FILE, _RELEASE_FILE = Path("var/lib/dpkg/status"), Path("usr/lib/os-release")


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedBase:
    """A base as builder.toml asks for it. `is_run`: for images, otherwise for builds."""

    base: Base
    user: User
    image_name: str
    is_run: bool
    architecture: str

    @property
    def title(self) -> str:
        """What the log calls it."""
        title = "run base" if self.is_run else "build base"
        return f"{title} for linux/{self.architecture}" if self.is_foreign else title

    @property
    def is_foreign(self) -> bool:
        """Whether it is for other machines than this one."""
        return self.architecture != host_architecture()

    def directory(self, store: Path) -> Path:
        """Where the store has it, made or not."""
        if isinstance(self.base, PackageBase):
            source: object = [self.base.suite, self.base.packages]
        else:
            source = [self.base.location, _fingerprint(self.base.location)]
        user = [self.user.name, self.user.id, self.user.group_id]
        return (
            store
            / "bases"
            / content_key(_FOREIGN_FORMAT if self.is_foreign else _FORMAT, self.architecture, self.is_run, source, user)
        )


def read_base(directory: Path) -> KeptBase | None:
    """The base that the store has at `directory`."""
    try:
        values = json.loads((directory / "base.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return KeptBase(
        directory=directory,
        origin=values["origin"],
        identity=values["identity"],
        env=values["env"],
        packages=tuple(DebianPackage(**package) for package in values["packages"]),
    )


def read_base_image(base: KeptBase) -> Image:
    """The image of a base."""
    return read_image(Location(transport=Transport.OCI, path=base.directory / "image"))


def make_base(
    wanted: WantedBase, machine: KeptBase | None, store: Path, crew: Crew, on_stage: Callable[[str], None]
) -> None:
    """Put the base into the store, anew where it is there already. `machine`: for other architectures, this machine's run base.

    Raises:
        lifecycle.cnb.errors.CnbError: it cannot be made.
    """
    with contextlib.closing(open_client(crew.env, deadline=crew.deadline)) as client:
        images = ImageStore(store, client, _Stages(on_stage))
        # mmdebstrap's archive goes beside the result, on the disk that has room for both.
        make_directory(
            wanted.directory(store), lambda directory: _make(wanted, machine, directory, crew, images, on_stage)
        )


@contextmanager
def unpacked_run_base(base: KeptBase, scratch: Path, *, deadline: Deadline = NEVER) -> Iterator[Path]:
    """Root file system of a run base, ready for the sandbox, for as long as the context lasts."""
    rootfs = Path(tempfile.mkdtemp(prefix="run-base-", dir=scratch)) / "rootfs"
    try:
        unpack_image(read_base_image(base), rootfs, deadline=deadline)
        add_mount_points(rootfs)
        yield rootfs
    finally:
        remove_tree(rootfs.parent)


@dataclass(frozen=True, slots=True)
class _Stages:
    """What is said of images while a base is made of one."""

    on_stage: Callable[[str], None]

    def step(self, title: str) -> AbstractContextManager[None]:
        self.on_stage(title)
        return nullcontext()

    def warning(self, line: str) -> None:
        self.on_stage(f"warning: {line}")


def _make(
    wanted: WantedBase,
    machine: KeptBase | None,
    directory: Path,
    crew: Crew,
    images: ImageStore,
    on_stage: Callable[[str], None],
) -> None:
    if isinstance(wanted.base, PackageBase):
        base = _make_from_packages(wanted, wanted.base, machine, directory, crew, on_stage)
    else:
        base = _make_from_image(wanted, wanted.base, directory, crew, images, on_stage)
    values = {name: value for name, value in asdict(base).items() if name != "directory"}
    (directory / "base.json").write_text(json.dumps(values, indent=1), encoding="utf-8")


def _make_from_packages(
    wanted: WantedBase,
    base: PackageBase,
    machine: KeptBase | None,
    directory: Path,
    crew: Crew,
    on_stage: Callable[[str], None],
) -> KeptBase:
    """The base that is now in `directory`."""
    archive = directory / "base.tar"
    assembly = Assembly(base=base, user=wanted.user, is_slim=wanted.is_run, architecture=wanted.architecture)
    if machine is None:
        assemble_base(assembly, archive, crew, on_stage)
    else:
        own = MachineBase(packages=machine.packages, layer=read_base_image(machine).layers[0].path)
        assemble_foreign_base(assembly, own, archive, crew, on_stage)
    on_stage("compressing the layer")
    with tarfile.open(archive) as reader:
        packages = parse_packages(_member(reader, _STATUS_FILE))
        release = _member(reader, _RELEASE_FILE)
    with tempfile.TemporaryDirectory(dir=directory) as blobs, archive.open("rb") as stream:
        blob = compress_layer_blob(Path(blobs), stream)
        layer = Layer(
            descriptor=blob.descriptor,
            diff_id=blob.diff_id,
            path=blob.path,
            history=History(created=CREATED, created_by=f"pybuild: packages of Debian {base.suite}"),
        )
        image = make_image(_package_config(wanted, release), [layer])
        _write_layout(directory / "image", image)
    if not wanted.is_run:
        on_stage("unpacking the archive")
        rootfs = directory / "rootfs"
        unpack_archive(archive, rootfs, crew)
        add_mount_points(rootfs)
    archive.unlink()
    return KeptBase(
        directory=directory,
        origin=f"Debian {base.suite}",
        identity=str(image.digest),
        env=_ENVIRONMENT,
        packages=packages,
    )


def _make_from_image(
    wanted: WantedBase,
    base: ImageBase,
    directory: Path,
    crew: Crew,
    images: ImageStore,
    on_stage: Callable[[str], None],
) -> KeptBase:
    """The base that is now in `directory`."""
    on_stage(f"reading {base.location}")
    with tempfile.TemporaryDirectory(dir=directory) as scratch:
        platform = Platform(os="linux", architecture=wanted.architecture)
        image = read_any_image(base.location, images=images, scratch=Path(scratch), platform=platform)
        target = (image.config.os, image.config.architecture)
        if target != (platform.os, platform.architecture):
            raise ImageUnusable(
                f"the {wanted.title} `{base.location}` is for {'/'.join(target)}, and not for {name_of(platform)}"
            )
        on_stage("unpacking the image")
        rootfs = directory / "rootfs"
        unpack_image(image, rootfs, deadline=crew.deadline)
        add_mount_points(rootfs)
        packages = parse_packages(read_inside(rootfs, _STATUS_FILE))
        added = add_user(rootfs, wanted.user)
        layers = image.layers
        if added is not None and not wanted.is_run:
            layers = (*layers, _user_layer(added, wanted.user, Path(scratch)))
        image = make_image(_usable_config(image.config, wanted, read_inside(rootfs, _RELEASE_FILE)), layers)
        _write_layout(directory / "image", image)
        if wanted.is_run:
            remove_tree(rootfs)
        return KeptBase(
            directory=directory,
            origin=base.location,
            identity=str(image.digest),
            env={"PATH": _PATH, **image.config.environment()},
            packages=packages,
        )


def _user_layer(passwd: str, user: User, scratch: Path) -> Layer:
    """What the image of a build base lacks of its user: the line of /etc/passwd, and the home."""

    def fill(writer: TarWriter) -> None:
        writer.directory(PurePosixPath("etc"), ROOT)
        writer.file(PurePosixPath("etc/passwd"), passwd.encode(), ROOT)
        home = PurePosixPath("home", user.name)
        writer.parents(home, ROOT)
        writer.directory(home, Owner(user_id=user.id, group_id=user.group_id))

    blob = write_layer_blob(scratch / "user", fill)
    history = History(created=CREATED, created_by=f"pybuild: the user {user.name}")
    return Layer(descriptor=blob.descriptor, diff_id=blob.diff_id, path=blob.path, history=history)


def _write_layout(directory: Path, image: Image) -> None:
    with open_layout(directory) as writer:
        writer.add(image)
        writer.tag(image, ())


def _package_config(wanted: WantedBase, release: str) -> ImageConfig:
    labels = {"io.buildpacks.base.id": wanted.image_name, **_distribution_labels(release)}
    return ImageConfig(
        architecture=wanted.architecture,
        os="linux",
        created=CREATED,
        user=f"{wanted.user.id}:{wanted.user.group_id}",
        env=tuple(f"{name}={value}" for name, value in _ENVIRONMENT.items()),
        cmd=("/bin/bash",),
        labels=labels,
    )


def _usable_config(config: ImageConfig, wanted: WantedBase, release: str) -> ImageConfig:
    """What images on this base need: a search path, the user who owns their layers, and what distribution it is."""
    env = config.env if "PATH" in config.environment() else (*config.env, f"PATH={_PATH}")
    user = f"{wanted.user.id}:{wanted.user.group_id}"
    return replace(config, env=env, user=user, labels={**_distribution_labels(release), **config.labels})


def _distribution_labels(release: str) -> dict[str, str]:
    """Labels of a base image (platform.md, "Target Data"), from its /etc/os-release."""
    facts = dict(line.split("=", 1) for line in release.splitlines() if "=" in line)
    pairs = (("name", "ID"), ("version", "VERSION_ID"))
    return {f"io.buildpacks.base.distro.{label}": facts[key].strip("\"'") for label, key in pairs if key in facts}


def _member(reader: tarfile.TarFile, path: Path) -> str:
    stream = reader.extractfile(f"./{path}")
    if stream is None:
        raise AssemblyFailed(f"the run base lacks `/{path}`")
    return stream.read().decode("utf-8", "replace")


def _fingerprint(location: str) -> object:
    """What tells whether the image at `location` is still the same; a registry is asked on `--refresh` only."""
    if location.startswith(REGISTRY_PREFIX):
        return None
    place = parse_location(location)
    path = place.path / "index.json" if place.transport is Transport.OCI else place.path
    try:
        facts = path.stat()
    except FileNotFoundError as err:
        raise ImageUnusable(f"there is no image at `{location}`") from err
    return [facts.st_size, facts.st_mtime_ns]
