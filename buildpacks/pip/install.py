"""Installs the entries of a lock into a new virtual environment, with uv or with pip, and pip itself beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from buildpacks.pip.commands import ToolRun, private_directory
from buildpacks.pip.credentials import with_credentials, without_credentials
from buildpacks.pip.diagnosis import diagnose
from buildpacks.pip.inputs import credentials_of
from buildpacks.pip.lock import Lock, LockEntry
from buildpacks.pip.tools import PipWheel, Python
from lifecycle.cnb.toml import write_atomically

LOCK_NAME = "requirements.lock"
# Left by uv in an environment: for version control, backup programs and locking.
_ENVIRONMENT_LEFTOVERS = (".gitignore", "CACHEDIR.TAG", ".lock")
# Left by uv in the metadata of built packages: times of files, which differ from build to build.
_METADATA_LEFTOVERS = ("uv_cache.json", "uv_build.json")


def install_with_uv(run: ToolRun, *, uv: Path, python: Python, pip: PipWheel, lock: Lock, venv: Path) -> None:
    """Fill the empty directory `venv`. Files are hard links into the cache. Raises `InstallationFailed`."""
    done = run.uv(uv, "venv", "--no-project", "--quiet", f"--python={python.executable}", str(venv))
    _check(done.status, done.output, run, python)
    options = ["--no-deps", "--link-mode=hardlink", f"--python={venv / 'bin' / 'python'}", *run.uv_options()]
    wheel = () if _holds_pip(lock) else (LockEntry(text=str(pip.path), hashes=(f"sha256:{pip.sha256()}",)),)
    hashed = (*wheel, *(entry for entry in lock.entries if entry.hashes))
    others = tuple(entry for entry in lock.entries if not entry.hashes)
    with private_directory() as directory:
        for name, entries in (("hashed.txt", hashed), ("others.txt", others)):
            if not entries:
                continue
            file = _write(directory / name, run, entries, head="")
            # uv judges whether a local project must be built again by the times of some of its files.
            more = ["--refresh"] if any(entry.is_local for entry in others) and entries is others else []
            done = run.uv(uv, "pip", "install", f"--requirement={file}", *options, *more)
            _check(done.status, done.output, run, python)


def install_with_pip(run: ToolRun, *, python: Python, pip: PipWheel, lock: Lock, venv: Path) -> None:
    """Fill the empty directory `venv`. Raises `InstallationFailed`."""
    make = ["-m", "venv", "--without-pip", "--symlinks", str(venv)]
    done = run.plain([str(python.executable), "-I", *make])
    _check(done.status, done.output, run, python)
    inside = str(venv / "bin" / "python")
    seed = [inside, str(pip.path / "pip"), "install"]
    common = ["--no-deps", "--no-compile"]
    done = run.pip(seed, *common, "--quiet", "--no-index", str(pip.path))
    _check(done.status, done.output, run, python)
    hashed = tuple(entry for entry in lock.entries if entry.hashes)
    others = tuple(entry for entry in lock.entries if not entry.hashes)
    with private_directory() as directory:
        # Two runs: one line with a hash makes pip want hashes for every line of its run.
        for name, entries in (("hashed.txt", hashed), ("others.txt", others)):
            if entries:
                file = _write(directory / name, run, entries, head=run.pip_lines())
                done = run.pip([inside, "-m", "pip", "install"], *common, f"--requirement={file}")
                _check(done.status, done.output, run, python)


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


def _holds_pip(lock: Lock) -> bool:
    return any(entry.name == "pip" for entry in lock.entries)


def _check(status: int, output: str, run: ToolRun, python: Python) -> None:
    if status != 0:
        raise diagnose(output, run.found, python)
