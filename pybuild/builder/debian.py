"""Assembles the root file system of a base from Debian packages, by mmdebstrap
(https://manpages.debian.org/bookworm/mmdebstrap/mmdebstrap.1.en.html), as root and as an ordinary user alike.

The same packages give the same bytes. Nothing of the machine stays: not its mirrors, proxies, resolver or host name.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lifecycle.cnb.target import host_architecture
from lifecycle.oci.archive import FILE_TIME
from lifecycle.registry.machine import PROXY_VARIABLES
from pybuild.builder.crew import Crew
from pybuild.builder.errors import AssemblyFailed, SubordinateIdsMissing
from pybuild.builder.requested import PackageBase, User
from pybuild.builder.sources import DEBIAN_KEYRING, canonical_sources, machine_apt_settings, machine_sources
from pybuild.errors import NoSpace, ToolMissing
from pybuild.machine import user_name

_PURPOSE = "to assemble the builder's bases from Debian packages"
_HOOKS = Path("/usr/share/mmdebstrap/hooks")
# Directories merged below /usr without the package usrmerge, which would bring all of perl; newer releases decide by suite.
_MERGED_USR_HOOKS = ("merged-usr", "maybe-merged-usr")
_PATH_SETTINGS = (
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/locale/*",
)
# Nobody needs the base after a power failure: it is made anew then. Saves a third of the time on a disk.
_NO_SYNC = "force-unsafe-io"
# Directories that builds and images have of their own, owned by their user.
_USER_DIRECTORIES = ("workspace", "layers")
_STAGES = {
    "running apt-get update": "reading package lists",
    "downloading packages": "downloading packages",
    "extracting archives": "unpacking packages",
    "installing essential packages": "installing essential packages",
    "installing remaining packages": "installing packages",
    "creating tarball": "writing the archive",
}
# Where the control files of packages are put that are only unpacked; dpkg, which would know them, has no part in that.
CONTROL_DIRECTORY = ".control"
_KEEP_CONTROL = """
set -e; umask 022
for package in "$1"/var/cache/apt/archives/*.deb; do
  control="$1/{directory}/$(basename "$package" .deb)"
  mkdir -p "$control"
  dpkg-deb --control "$package" "$control"
  dpkg-deb --fsys-tarfile "$package" | tar --list --quoting-style=literal > "$control/list"
done
"""
# apt's errors, and mmdebstrap's own but for those that only say that something failed
_PROBLEM = re.compile(r"^E: (?!mmdebstrap failed|.* failed(?:: .*)?$|.*died at|Some index files).+", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembly:
    """A base to assemble. `is_slim`: without apt and without documentation, for images.

    `architecture`: as Debian and OCI name it; packages of another one than this machine's are unpacked, and not configured.
    """

    base: PackageBase
    user: User
    is_slim: bool
    architecture: str

    @property
    def is_foreign(self) -> bool:
        """Whether it is for other machines than this one."""
        return self.architecture != host_architecture()


def check_debian_tools(env: Mapping[str, str]) -> None:
    """Check all that assembling needs on the machine of `env`, before the first slow step.

    Raises:
        ToolMissing, SubordinateIdsMissing: something is not there.
    """
    path = _environment(env)["PATH"]
    if shutil.which("mmdebstrap", path=path) is None:
        raise ToolMissing("mmdebstrap", "mmdebstrap", _PURPOSE)
    if not DEBIAN_KEYRING.is_file():
        raise ToolMissing(str(DEBIAN_KEYRING), "debian-archive-keyring", "to check the signatures of Debian packages")
    if os.geteuid() == 0:
        return
    for tool in ("newuidmap", "newgidmap"):
        if shutil.which(tool, path=path) is None:
            raise ToolMissing(tool, "uidmap", f"{_PURPOSE} without being root")
    user = user_name()
    names = {user, str(os.geteuid())}
    for file in (Path("/etc/subuid"), Path("/etc/subgid")):
        lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
        if not any(line.partition(":")[0] in names for line in lines):
            raise SubordinateIdsMissing(user=user)


def assemble_base(assembly: Assembly, archive: Path, crew: Crew, on_stage: Callable[[str], None]) -> None:
    """Write the root file system as the tar `archive`; `on_stage` gets what is being done.

    Raises:
        AssemblyFailed: mmdebstrap failed; its own words are in the error.
        NoSpace: a disk is full.
    """
    env = _environment(crew.env)
    sources = archive.with_suffix(".sources.list")
    apt_settings = archive.with_suffix(".apt.conf")
    sources.write_text(
        "".join(f"{source.render()}\n" for source in machine_sources(assembly.base.suite)), encoding="utf-8"
    )
    apt_settings.write_text("".join(f"{line}\n" for line in machine_apt_settings(env)), encoding="utf-8")

    def on_line(line: str) -> None:
        stage = next((text for start, text in _STAGES.items() if line.startswith(f"I: {start}")), None)
        if stage is not None:
            on_stage(stage)

    try:
        result = crew.run(_command(assembly, archive, sources, apt_settings), env=env, on_line=on_line)
    finally:
        sources.unlink()
        apt_settings.unlink()
    if result.status == 0:
        return
    if "No space left on device" in result.output:
        # mmdebstrap works in the one and writes to the other.
        places = (Path(env.get("TMPDIR", "/tmp")), archive.parent.parent)  # noqa: S108 - mmdebstrap's own default
        raise NoSpace(min(places, key=lambda place: shutil.disk_usage(place).free))
    raise _failure(assembly, result.output)


def _command(assembly: Assembly, archive: Path, sources: Path, apt_settings: Path) -> list[str]:
    options = ["--verbose", f"--mode={'root' if os.geteuid() == 0 else 'unshare'}", "--format=tar"]
    # Device nodes cannot be made by everybody, and every engine brings its own.
    options += ["--skip=output/dev", "--skip=output/mknod"]
    if assembly.is_foreign:
        options += ["--variant=extract", f"--architectures={assembly.architecture}", "--include=?essential"]
        options += [f"--extract-hook={_KEEP_CONTROL.format(directory=CONTROL_DIRECTORY)}"]
    else:
        options += [f"--variant={'essential' if assembly.is_slim else 'minbase'}"]
        options += [f"--customize-hook={_customization(assembly)}"]
    hook = next((hook for name in _MERGED_USR_HOOKS if (hook := _HOOKS / name).is_dir()), None)
    options += [f"--hook-dir={hook}"] if hook is not None else []
    options += [f"--dpkgopt={setting}" for setting in (*_PATH_SETTINGS, _NO_SYNC)]
    options += ['--aptopt=Acquire::Languages "none"', '--aptopt=Acquire::Retries "3"', f"--aptopt={apt_settings}"]
    options += [f"--include={','.join(('usr-is-merged', *assembly.base.packages))}"]
    return ["mmdebstrap", *options, assembly.base.suite, str(archive), str(sources)]


def _customization(assembly: Assembly) -> str:
    """Shell commands that finish the root file system `$1`: the user, the mount points, and no trace of the machine."""
    user = assembly.user
    home = f"home/{user.name}"
    owner = f"{user.id}:{user.group_id}"
    canonical = "".join(f"deb {source.uri} {source.suite} main\n" for source in canonical_sources(assembly.base.suite))
    settings = "".join(f"{setting}\n" for setting in _PATH_SETTINGS)
    return "\n".join(
        (
            "set -e; umask 022",
            'cd "$1"',
            f"echo '{user.name}:x:{user.group_id}:' >> etc/group",
            f"echo '{user.name}:x:{owner}::/{home}:/bin/bash' >> etc/passwd",
            # No password, so no way to log in with one.
            f"[ ! -e etc/shadow ] || echo '{user.name}:*:::::::' >> etc/shadow",
            f"cp -r etc/skel {home}",
            f"mkdir -p {' '.join(_USER_DIRECTORIES)}",
            f"chown -R {owner} {home} {' '.join(_USER_DIRECTORIES)}",
            "rm -rf etc/apt/sources.list.d/* etc/apt/apt.conf.d/99mmdebstrap etc/dpkg/dpkg.cfg.d/99mmdebstrap",
            f"printf %s {shlex.quote(canonical)} > etc/apt/sources.list",
            # What is installed later stays as small.
            f"printf %s {shlex.quote(settings)} > etc/dpkg/dpkg.cfg.d/pybuild",
            # Login shells, such as the terminals of JupyterLab, would lose the image's search path.
            r"""[ ! -e etc/profile ] || sed -i 's/^\( *PATH=\)"\(.*\)"$/\1"${PATH:-\2}"/' etc/profile""",
            # mmdebstrap copies these with the modes that they have on the machine.
            "rm -f etc/resolv.conf etc/hostname; : > etc/resolv.conf; : > etc/hostname",
            "rm -rf var/log/* var/cache/apt/* var/cache/debconf/*-old var/lib/dpkg/*-old var/cache/ldconfig/* etc/.pwd.lock",
            "mkdir -p var/cache/apt/archives/partial",
        )
    )


def _environment(env: Mapping[str, str]) -> dict[str, str]:
    """What mmdebstrap and apt need of the machine's environment `env`; maintainer scripts see it as well, so no more than that."""
    names = (*PROXY_VARIABLES, *(name.lower() for name in PROXY_VARIABLES), "TMPDIR", "HOME")
    kept = {name: env[name] for name in names if name in env}
    # Debian keeps mmdebstrap's tools in sbin, which is not on an ordinary user's path.
    path = f"{env.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    fixed = {"PATH": path, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
    return {**kept, **fixed, "SOURCE_DATE_EPOCH": str(FILE_TIME)}


def _failure(assembly: Assembly, output: str) -> AssemblyFailed:
    problems = tuple(dict.fromkeys(match[0].strip() for match in _PROBLEM.finditer(output)))
    if not problems:
        problems = tuple(output.strip().splitlines()[-5:])
    name = "run" if assembly.is_slim else "build"
    advice = "look at apt's own message above"
    if any("Unable to locate package" in problem or "no installation candidate" in problem for problem in problems):
        advice = f"correct the package names in `[pybuild.{name}]` of builder.toml"
    elif any(
        word in output for word in ("Failed to fetch", "Could not resolve", "Could not connect", "Unable to connect")
    ):
        advice = (
            "the package archive must be reachable; the machine's apt sources (when it is Debian of that suite), its apt "
            "proxy settings and `http_proxy` are honoured"
        )
    details = tuple(("mmdebstrap", problem) for problem in problems[:8])
    return AssemblyFailed(f"the {name} base cannot be assembled from Debian {assembly.base.suite}", details, advice)
