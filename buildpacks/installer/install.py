"""Installs the entries of a lock into an environment, with uv or with pip, and pip itself beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from buildpacks.installer.commands import ToolRun, private_directory
from buildpacks.installer.credentials import with_credentials, without_credentials
from buildpacks.installer.diagnosis import diagnose
from buildpacks.installer.inputs import credentials_of
from buildpacks.installer.lock import Lock, LockEntry
from buildpacks.installer.tools import PipWheel, Python, Tools
from lifecycle.cnb.command import CommandResult
from lifecycle.cnb.toml import write_atomically

LOCK_NAME = "requirements.lock"
# Left by uv in an environment: for version control, backup programs and locking.
_ENVIRONMENT_LEFTOVERS = (".gitignore", "CACHEDIR.TAG", ".lock")
# Left by uv in the metadata of built packages: times of files, which differ from build to build.
_METADATA_LEFTOVERS = ("uv_cache.json", "uv_build.json")


def make_environment(run: ToolRun, tools: Tools, python: Python, venv: Path) -> Python:
    """Make a virtual environment without packages in the empty directory `venv`; return its interpreter.

    Raises `InstallationFailed`.
    """
    if tools.uv is None:
        done = run.plain([str(python.executable), "-I", "-m", "venv", "--without-pip", "--symlinks", str(venv)])
    else:
        done = run.uv(tools.uv, "venv", "--no-project", "--quiet", f"--python={python.executable}", str(venv))
    _check(done.status, done.output, run, python)
    return replace(python, executable=venv / "bin" / "python")


def install_lock(run: ToolRun, tools: Tools, python: Python, lock: Lock, *, has_pip: bool = False) -> None:
    """Install the lock into the environment of `python`; without `has_pip` also pip, unless the lock has one.

    uv makes hard links into the cache. Raises `InstallationFailed`.
    """
    pip = tools.pip
    needs_pip = not has_pip and not any(entry.name == "pip" for entry in lock.entries)
    wheel = (LockEntry(text=str(pip.path), hashes=(f"sha256:{pip.sha256()}",)),) if needs_pip else ()
    hashed = (*wheel, *(entry for entry in lock.entries if entry.hashes))
    others = tuple(entry for entry in lock.entries if not entry.hashes)
    head = run.pip_lines() if tools.uv is None else ""
    with private_directory() as directory:
        # Two runs: one line with a hash makes pip want hashes for every line of its run.
        for name, entries in (("hashed.txt", hashed), ("others.txt", others)):
            if entries:
                file = _write(directory / name, run, entries, head=head)
                has_projects = any(entry.is_local for entry in entries if entry not in wheel)
                done = _install_file(run, tools, python, file, has_projects=has_projects)
                _check(done.status, done.output, run, python)


def _install_file(run: ToolRun, tools: Tools, python: Python, file: Path, *, has_projects: bool) -> CommandResult:
    common = ["--no-deps", f"--requirement={file}"]
    if not (python.executable.parent.parent / "pyvenv.cfg").is_file():
        # The environment is the image's own, also where its distributor wants it left alone (PEP 668).
        common += ["--break-system-packages"]
    if tools.uv is None:
        # A wheel is a program: the pip that is in it installs also where there is none yet.
        return run.pip([str(python.executable), str(tools.pip.path / "pip"), "install"], *common, "--no-compile")
    # uv judges whether a local project must be built again by the times of some of its files.
    more = ["--refresh"] if has_projects else []
    options = [*common, "--link-mode=hardlink", f"--python={python.executable}", *run.uv_options(), *more]
    return run.uv(tools.uv, "pip", "install", *options)


def clean(venv: Path, lock: Lock, pip: PipWheel) -> None:
    """Remove what differs from build to build or tells of this machine, and put the lock in."""
    for name in _ENVIRONMENT_LEFTOVERS:
        (venv / name).unlink(missing_ok=True)
    for metadata in sorted(venv.glob("lib/python*/site-packages/*.dist-info")):
        removed = [name for name in _METADATA_LEFTOVERS if (metadata / name).exists()]
        url_file = metadata / "direct_url.json"
        if url_file.exists():
            values = json.loads(url_file.read_bytes())
            url = str(values.get("url", ""))
            if url == pip.path.as_uri():
                # pip comes with the builder, from a place that means nothing later.
                removed.append(url_file.name)
            elif without_credentials(url) != url:
                _rewrite_url(url_file, {**values, "url": without_credentials(url)})
        if removed:
            _remove_from_metadata(metadata, removed)
    write_atomically(venv / LOCK_NAME, lock.render().encode())


def _rewrite_url(path: Path, values: Mapping[str, object]) -> None:
    # A new file: the old one may share its content with the cache. RECORD need not have its hash (it may be empty).
    write_atomically(path, json.dumps(values, sort_keys=True).encode())
    _edit_record(path.parent, {path.name: f"{path.parent.name}/{path.name},,"})


def _remove_from_metadata(metadata: Path, names: list[str]) -> None:
    for name in names:
        (metadata / name).unlink()
    _edit_record(metadata, dict.fromkeys(names))


def _edit_record(metadata: Path, changes: Mapping[str, str | None]) -> None:
    record = metadata / "RECORD"
    if not record.is_file():
        return
    prefixes = {f"{metadata.name}/{name},": line for name, line in changes.items()}
    lines = []
    for line in record.read_text(encoding="utf-8").splitlines():
        changed = next((prefix for prefix in prefixes if line.startswith(prefix)), None)
        kept = line if changed is None else prefixes[changed]
        lines += [] if kept is None else [kept]
    write_atomically(record, "".join(f"{line}\n" for line in lines).encode())


def _write(path: Path, run: ToolRun, entries: tuple[LockEntry, ...], *, head: str) -> Path:
    text = "".join(entry.render() for entry in entries)
    indexes = run.found.options.indexes.render()
    path.write_text(head + indexes + with_credentials(text, credentials_of(run.found)), encoding="utf-8")
    return path


def _check(status: int, output: str, run: ToolRun, python: Python) -> None:
    if status != 0:
        raise diagnose(output, run.found, python)
