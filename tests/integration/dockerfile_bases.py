"""Base images for tests of Dockerfiles, made once for the machine from Debian packages: a small one with busybox in four
variants, and one with apt and CPython that is like docker.io/library/python.

They are kept in a cache directory that is named after what they are made from. The machine's own apt sources stand in the
larger one, so it never leaves the machine.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lifecycle.cnb.layer import remove_tree
from pybuild.builder.kept import make_directory, mark_used
from pybuild.builder.relocate import INTERPRETER_LAYER
from pybuild.builder.sources import machine_apt_settings, machine_sources
from tests.integration import image_writing
from tests.integration.image_writing import Node, directory, file, hard_link, link, write_image, write_tar

SMALL, ONBUILD, FULL, BARE, PYTHON = "small:1", "onbuild:1", "full:1", "bare:1", "python:3.11"
"""Names of the images, all below docker.io/library: busybox; the same with ONBUILD; with every field of an image config;
without the files and directories that engines mount things on; Debian with apt and CPython."""
_SUITE, _NEWER_SUITE = "bookworm", "trixie"
_KEPT_S = 7 * 24 * 3600
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_APPLETS = (
    "[ adduser ash awk base64 basename cat chgrp chmod chown cmp cp cut date dd dirname du echo env expr false find grep head "
    "hostname id install ln ls md5sum mkdir mkfifo mknod mktemp mv od printf pwd readlink realpath rm rmdir sed seq sha256sum "
    "sleep sort stat su sync tail tar tee test touch tr true uname uniq wc which whoami xargs yes"
)
_PYTHON_PACKAGES = (
    "apt bash ca-certificates curl tzdata libbz2-1.0 libcrypt1 libffi8 liblzma5 libncursesw6 libreadline8 libsqlite3-0 libssl3 "
    "libtinfo6 libuuid1 zlib1g libgcc-s1 libgomp1 libstdc++6"
)


# buildah does not start without netavark, dockerd unpacks with xz.
_NEWER_TOOLS = ("buildah", "docker.io", "netavark", "xz-utils")


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseImage:
    """An image that stands for one of a registry."""

    name: str
    directory: Path

    @property
    def full_name(self) -> str:
        """The name with its registry."""
        return f"docker.io/library/{self.name}"

    @property
    def archive(self) -> Path:
        """What `docker load` and `buildah pull docker-archive:` take."""
        return self.directory / "archive.tar"

    @property
    def option(self) -> str:
        """Value of `--base`, which lets pybuild take the image from here."""
        # As a registry has them: only Docker's format knows HEALTHCHECK, SHELL and ONBUILD.
        return f"{self.full_name}=docker-archive:{self.archive}"

    @property
    def layout_option(self) -> str:
        """The same with an OCI image layout."""
        return f"{self.full_name}=oci:{self.directory / 'layout'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bases:
    """Where the images are."""

    directory: Path

    def image(self, name: str) -> BaseImage:
        """The image of that name."""
        return BaseImage(name=name, directory=self.directory / name.replace(":", "-"))

    def all_small(self) -> tuple[BaseImage, ...]:
        """Those that are a few MB."""
        return tuple(self.image(name) for name in (SMALL, ONBUILD, FULL, BARE))


def machine_small_bases() -> Bases:
    """The bases with busybox, made when they are not there."""
    return _kept("small", _source_key(), _make_small)


def machine_python_base(store: Path) -> BaseImage:
    """The base with CPython, which comes from the builder in pybuild's `store`; made when it is not there."""
    # Older ones may lie beside them.
    interpreter = max((store / "interpreters").glob("*/cpython-3.11.*.tar.gz"), key=lambda path: path.stat().st_mtime)
    pip = max((store / "wheels").glob("*/pip-*.whl"), key=lambda path: path.stat().st_mtime)
    settings = [source.render() for source in machine_sources(_SUITE)] + [*_apt_settings()]
    key = hashlib.sha256(json.dumps([_source_key(), interpreter.name, pip.name, settings]).encode()).hexdigest()
    return _kept("python", key, lambda made: _make_python(made, interpreter, pip)).image(PYTHON)


def machine_newer_tools() -> Path | None:
    """A root file system with the tools of Debian 13 that build Dockerfiles; None where they cannot be had, or not unpacked."""
    if os.geteuid() != 0:
        return None
    try:
        kept = _kept("tools", _source_key(), _make_newer_tools).directory
    except DebianUnreachable:
        return None
    return kept / "root"


class DebianUnreachable(Exception):
    """mmdebstrap could not get packages; its own words are in the error."""


def debian_tree(target: Path, suite: str, packages: Sequence[str], *, variant: str) -> None:
    """Write a tar with packages of a Debian suite, from where this machine has its packages; without device nodes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    sources = target.with_suffix(".list")
    sources.write_text("".join(f"{source.render()}\n" for source in machine_sources(suite)))
    settings = target.with_suffix(".apt")
    settings.write_text("".join(f"{line}\n" for line in machine_apt_settings(os.environ)))
    mode = "root" if os.geteuid() == 0 else "unshare"
    options = [f"--mode={mode}", "--format=tar", f"--variant={variant}", "--skip=output/dev", "--skip=output/mknod"]
    options += ['--aptopt=Acquire::Languages "none"', f"--aptopt={settings}", "--dpkgopt=force-unsafe-io"]
    options += ["--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*"]
    command = ["mmdebstrap", *options, f"--include={','.join(packages)}", suite, str(target), str(sources)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise DebianUnreachable(result.stderr[-4000:])


def _kept(title: str, key: str, make: Any) -> Bases:
    """What `make` puts into a directory of the cache of tests, once for each key."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pybuild-tests"
    cache.mkdir(parents=True, exist_ok=True)
    made = cache / f"dockerfile-{title}-{key[:16]}"
    with (cache / "dockerfile.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.is_dir():
            for old in cache.glob(f"dockerfile-{title}-*"):
                if time.time() - old.stat().st_mtime > _KEPT_S:
                    remove_tree(old)
            make_directory(made, make)
        mark_used(made)
    return Bases(directory=made)


def _source_key() -> str:
    sources = (Path(__file__), Path(image_writing.__file__))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()


def _make_small(made: Path) -> None:
    work = made / "work"
    debian_tree(work / "debian.tar", _SUITE, ["busybox-static"], variant="extract")
    with tarfile.open(work / "debian.tar") as archive:
        member = archive.extractfile("./bin/busybox")
        assert member is not None
        busybox = member.read()
    programs = [file("bin/busybox", busybox, 0o755), hard_link("bin/sh", "bin/busybox", 0o755)]
    programs += [link(f"bin/{name}", "busybox") for name in _APPLETS.split()]
    bare = write_tar(work / "bare.tar", [directory("bin"), *programs, directory("etc"), *_accounts()])
    mounted_on = write_tar(work / "mounted-on.tar", _mount_points())
    content = write_tar(work / "content.tar", _content())
    plain = {"Env": [f"PATH=/opt/base/bin:{_SYSTEM_PATH}", "BASE_WORD=from base"], "Cmd": ["sh"]}
    for name, layers, config in (
        (SMALL, [bare, mounted_on, content], plain),
        (BARE, [bare], {"Env": [f"PATH={_SYSTEM_PATH}"]}),
        (ONBUILD, [bare, mounted_on, content], {**plain, "OnBuild": _ON_BUILD}),
        (FULL, [bare, mounted_on, content], {**plain, **_EVERY_FIELD}),
    ):
        image = Bases(directory=made).image(name)
        write_image(image.directory, image.full_name, layers, config)
    remove_tree(work)


_ON_BUILD = ["ARG GREETING=hello", "COPY . /onbuild", "RUN echo $GREETING >/onbuild/greeting", "ENV ON_BUILD=done"]
_EVERY_FIELD: Mapping[str, Any] = {
    "User": "app",
    "WorkingDir": "/srv/base",
    "Entrypoint": ["/bin/echo", "entry"],
    "Cmd": ["of the base"],
    "Labels": {"base": "full", "level": "1"},
    "ExposedPorts": {"80/tcp": {}},
    "Volumes": {"/srv/volume": {}},
    "StopSignal": "SIGQUIT",
    "Shell": ["/bin/ash", "-e", "-c"],
    "Healthcheck": {"Test": ["CMD", "/bin/true"], "Interval": 5_000_000_000, "Retries": 2},
}


def _accounts() -> Iterator[Node]:
    yield file(
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/bin/false\n"
        "app:x:1000:1000:App:/home/app:/bin/sh\nworker:x:1001:1002:Worker:/home/worker:/bin/sh\n"
        "nobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
    )
    yield file("etc/group", "root:x:0:\ndaemon:x:1:\nstaff:x:50:app\napp:x:1000:\nworkers:x:1002:\nnogroup:x:65534:\n")


def _mount_points() -> Iterator[Node]:
    for name in ("dev", "proc", "sys", "run", "etc"):
        yield directory(name)
    yield file("etc/hosts", "127.0.0.1 localhost\n")
    yield file("etc/hostname", "base\n")
    yield file("etc/resolv.conf", "")


def _content() -> Iterator[Node]:
    for name in (
        "home",
        "opt",
        "opt/base",
        "opt/base/bin",
        "opt/base/real",
        "srv",
        "srv/base",
        "srv/volume",
        "usr",
        "var",
    ):
        yield directory(name)
    yield directory("root", 0o700)
    yield directory("tmp", 0o1777)
    yield directory("var/tmp", 0o1777)
    yield directory("home/app", 0o750, (1000, 1000))
    yield directory("home/worker", 0o2755, (1001, 1002))
    yield file("home/app/mine", "app's\n", 0o600, (1000, 1000))
    yield file("opt/base/real/inner", "inner\n")
    yield link("opt/base/link", "real/inner")
    yield link("opt/base/directory", "/opt/base/real")
    yield hard_link("opt/base/twin", "opt/base/real/inner")
    yield file("opt/base/setuid", "", 0o4755)
    yield file("srv/volume/kept", "in the volume\n")


def _make_newer_tools(made: Path) -> None:
    debian_tree(made / "tools.tar", _NEWER_SUITE, _NEWER_TOOLS, variant="essential")
    (made / "root").mkdir()
    command = [
        "tar",
        "--extract",
        "--numeric-owner",
        "--file",
        str(made / "tools.tar"),
        "--directory",
        str(made / "root"),
    ]
    subprocess.run(command, check=True)
    (made / "tools.tar").unlink()
    (made / "mount").mkdir()


def _make_python(made: Path, interpreter: Path, pip: Path) -> None:
    work = made / "work"
    debian_tree(work / "debian.tar", _SUITE, _PYTHON_PACKAGES.split(), variant="minbase")
    local = work / "python" / "usr" / "local"
    local.mkdir(parents=True)
    with tarfile.open(interpreter) as archive:
        archive.extractall(local)
    _move_interpreter(local)
    _install_pip(local, pip)
    _write_apt_configuration(work / "python")
    tar = work / "python.tar"
    with tarfile.open(tar, "w") as packed:
        for path in sorted((work / "python").rglob("*")):
            name = path.relative_to(work / "python").as_posix()
            packed.add(path, name, recursive=False, filter=_as_root)
    config = {"Env": [f"PATH=/usr/local/bin:{_SYSTEM_PATH}", "LANG=C.UTF-8"], "Cmd": ["python3"]}
    image = Bases(directory=made).image(PYTHON)
    write_image(image.directory, image.full_name, [work / "debian.tar", tar], config)
    remove_tree(work)


def _move_interpreter(local: Path) -> None:
    """Let the interpreter that was made for its layer speak of /usr/local."""
    for cache in sorted(local.rglob("__pycache__")):
        shutil.rmtree(cache)
    old = str(INTERPRETER_LAYER).encode()
    for path in local.rglob("*"):
        if path.is_file() and not path.is_symlink() and old in (content := path.read_bytes()):
            path.write_bytes(content.replace(old, b"/usr/local"))


def _install_pip(local: Path, wheel: Path) -> None:
    packages = local / "lib" / "python3.11" / "site-packages"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    (next(packages.glob("pip-*.dist-info")) / "INSTALLER").write_text("pip\n")
    for name in ("pip", "pip3", "pip3.11"):
        script = local / "bin" / name
        script.write_text(
            "#!/usr/local/bin/python3.11\nimport sys\nfrom pip._internal.cli.main import main\nsys.exit(main())\n"
        )
        script.chmod(0o755)


def _write_apt_configuration(root: Path) -> None:
    """Where this machine has its packages from, in place of what mmdebstrap wrote; and no trace of its resolver."""
    apt = root / "etc" / "apt"
    (apt / "sources.list.d").mkdir(parents=True)
    (apt / "apt.conf.d").mkdir()
    (apt / "sources.list").write_text("".join(f"{source.render()}\n" for source in machine_sources(_SUITE)))
    (apt / "sources.list.d" / "0000sources.list").write_text("")
    (apt / "apt.conf.d" / "90machine").write_text("".join(f"{line}\n" for line in _apt_settings()))
    for name in ("hostname", "resolv.conf"):
        (root / "etc" / name).write_text("")


def _apt_settings() -> Sequence[str]:
    # Those that name files of the machine mean nothing inside an image.
    return [line for line in machine_apt_settings(os.environ) if '"/' not in line]


def _as_root(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid, info.gid, info.uname, info.gname, info.mtime = 0, 0, "root", "root", 1_700_000_000
    return info
