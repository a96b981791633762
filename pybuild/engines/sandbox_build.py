"""Executes a recipe in the sandbox: the builder's executor, as root of a user namespace of its own, with the storage of the application."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from lifecycle.cnb.digest import Digest
from lifecycle.cnb.layer import remove_tree
from lifecycle.cnb.recipe import write_recipe
from lifecycle.cnb.toml import read_regular_file
from lifecycle.execution.assignment import (
    CONFIG_NAME,
    LAYERS_NAME,
    RESULT_NAME,
    Assignment,
    Result,
    read_result,
    write_assignment,
)
from lifecycle.execution.directory import write_directory
from lifecycle.execution.errors import ExtendError
from lifecycle.execution.mount_targets import LINKS, redirect_mounts
from lifecycle.execution.stubs import WithoutStubs
from lifecycle.oci.config import parse_config
from lifecycle.oci.image import Image, Layer
from lifecycle.oci.verify import open_regular
from pybuild.engines.execution import Executed, Execution, compress_layer, open_gzip
from pybuild.engines.sandbox import Mount, Sandbox, run_sandboxed
from pybuild.engines.user_ids import find_id_maps
from pybuild.log import Log
from pybuild.phases import API_VARIABLE, ERROR_VARIABLE, PLATFORM_API, phase_failure
from pybuild.run_settings import DIRECTORY, write_files

_APP, _INPUT, _KEPT, _SCRATCH = (PurePosixPath(path) for path in ("/workspace", "/platform", "/layers", "/tmp"))  # noqa: S108 - the sandbox's own
# Commands see `/dev` as a whole, and all of it but this is read-only to them.
_TEMPORARY = tuple(PurePosixPath(path) for path in ("/dev/shm", "/run", "/var/tmp"))  # noqa: S108 - the sandbox's own
_ERROR_NAME = "error.json"


def build_in_sandbox(execution: Execution, log: Log) -> Executed:
    """What the recipe makes.

    Raises:
        PhaseFailed: an instruction failed, or buildah.
        lifecycle.cnb.command.CommandTimeout: the time is up.
        pybuild.errors.MachineError: this machine has no sandbox of that kind.
    """
    work = execution.work
    storage = _open_storage(execution)
    for name in ("input", "kept/output", "kept/storage", "tmp"):
        (work / name).mkdir(parents=True)
    arguments = _arguments(execution)
    recipe, links = redirect_mounts(execution.recipe, str(DIRECTORY))
    write_recipe(work / "input" / "recipe.json", recipe)
    write_assignment(
        work / "input" / "assignment.json",
        Assignment(
            declared=_declared(arguments),
            arguments=arguments,
            known_image=execution.known_image,
            known_layers=tuple(str(diff_id) for diff_id in execution.known_layers),
        ),
    )
    mounts = [
        mount
        for number, (_, image) in enumerate(execution.images)
        for mount in _write_image(image, work / "input" / "images" / str(number), _INPUT / "images" / str(number))
    ]
    write_files(execution.settings, work / "settings")
    _write_links(links, work / "settings" / LINKS)
    sandbox = Sandbox(
        rootfs=execution.builder.rootfs,
        mounts=(
            *execution.builder.mounts,
            Mount(source=execution.app_dir, target=_APP),
            Mount(source=work / "input", target=_INPUT),
            *mounts,
            Mount(source=work / "kept", target=_KEPT, writable=True),
            Mount(source=storage, target=_KEPT / "storage", writable=True),
            Mount(source=work / "tmp", target=_SCRATCH, writable=True),
            Mount(source=work / "settings", target=DIRECTORY),
            *execution.settings.mounts,
        ),
        env={
            "LANG": "C.UTF-8",
            **execution.builder.env,
            **execution.settings.proxies,
            API_VARIABLE: PLATFORM_API,
            ERROR_VARIABLE: str(_KEPT / "output" / _ERROR_NAME),
        },
        network=execution.network,
        cwd=PurePosixPath("/"),
        id_range=True,
        temporary=_TEMPORARY,
    )
    offline = [] if execution.network else ["-offline"]
    result = run_sandboxed(
        sandbox, ["/cnb/lifecycle/executor", *offline], on_line=log.info, deadline=execution.deadline
    )
    output = work / "kept" / "output"
    if result.status != 0:
        raise phase_failure(output / _ERROR_NAME, result, phase="extend", exit_code=ExtendError.exit_code)
    return _take(execution, output, read_result(output / RESULT_NAME))


def _write_links(links: Mapping[str, str], directory: Path) -> None:
    directory.mkdir(parents=True)
    # Whatever the umask: commands may run as any user.
    directory.chmod(0o755)
    for name, target in links.items():
        (directory / name).symlink_to(target)


def _arguments(execution: Execution) -> dict[str, str]:
    """Build arguments that every stage declares, with their values.

    Some name the bases: buildah takes a layer from its cache where history and layers before it are the same, and does not look at
    what else an image says (environment, user, triggers). With these names in the history none only seem to be the same. An
    argument without a value would not be in it.
    """
    bases = sorted({image.id.hex[:16] for _, image in execution.images})
    return {**execution.arguments, **{f"pybuild_base_{base}": "" for base in bases}}


def _declared(arguments: Mapping[str, str]) -> tuple[str, ...]:
    """One instruction for all of them, because each is an image to buildah."""
    return (" ".join(arguments),) if arguments else ()


def _open_storage(execution: Execution) -> Path:
    """The directory of buildah's storage; what other numbers of users own is of no use, and removed."""
    storage = execution.directory / "storage"
    marker = execution.directory / "storage-users"
    users = " ".join(str(one) for one in find_id_maps().users)
    if storage.exists() and (not marker.exists() or marker.read_text("utf-8", "replace") != users):
        remove_tree_of_users(storage)
    storage.mkdir(mode=0o700, exist_ok=True)
    marker.write_text(users)
    return storage


def remove_tree_of_users(path: Path) -> None:
    """Remove a tree whose files may belong to the users of a sandbox, which only a sandbox can. Raises `OSError`."""
    try:
        remove_tree(path)
    except PermissionError:
        sandbox = Sandbox(
            rootfs=Path("/"),
            mounts=(Mount(source=path, target=PurePosixPath(path), writable=True),),
            env={"PATH": "/usr/bin:/bin"},
            network=False,
            cwd=PurePosixPath("/"),
            id_range=True,
        )
        run_sandboxed(sandbox, ["find", str(path), "-mindepth", "1", "-delete"])
        remove_tree(path)


def _write_image(image: Image, directory: Path, target: PurePosixPath) -> list[Mount]:
    """Write an image for buildah; its layers are mounted, not copied."""
    layers = write_directory(image, directory)
    for name in layers:
        (directory / name).touch()
    return [Mount(source=source, target=target / name) for name, source in layers.items()]


def _take(execution: Execution, output: Path, result: Result) -> Executed:
    """What the executor left, its new layers as blobs."""
    declared = _declared(_arguments(execution))
    if result.image == execution.known_image:
        return Executed(image=result.image, declared=declared)
    config = read_regular_file(output / CONFIG_NAME, follow_links=False)
    layers: dict[Digest, Layer] = {}
    for diff_id in parse_config(config, source="the config of the built image").diff_ids:
        if diff_id not in execution.known_layers and diff_id not in layers:
            with open_regular(output / LAYERS_NAME / diff_id.hex) as stream:
                layers[diff_id] = compress_layer(execution.blobs_dir, WithoutStubs(open_gzip(stream)))
    return Executed(image=result.image, declared=declared, config=config, facts=result.facts, layers=layers)
