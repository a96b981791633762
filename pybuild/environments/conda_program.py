"""Installs an explicit lock of conda packages: `python conda_program.py LOCK PREFIX`.

Equivalent Dockerfiles have it in them, so it stands alone: it needs py-rattler and nothing of pybuild.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from pathlib import Path

import rattler
from rattler.networking import middleware
from rattler.package_streaming import download_to_path


async def fetch(client: rattler.Client, line: str, directory: Path, gate: asyncio.Semaphore) -> rattler.RepoDataRecord:
    """Return the record of an archive, after it is in `directory`, and is what the lock names."""
    url, _, digest = line.partition("#")
    path = directory / url.rpartition("/")[2]
    async with gate:
        await download_to_path(client, url, path)
    record = await rattler.RepoDataRecord.from_package_archive(path)
    found = record.sha256.hex() if record.sha256 else "nothing"
    if found != digest.removeprefix("sha256:"):
        sys.exit(f"{url} is not what the lock names, but sha256:{found}")
    record.url = path.as_uri()
    return record


async def install(lock: Path, prefix: Path, directory: Path) -> None:
    """Make the environment; `BP_CONDA_MIRRORS` has `FROM=TO` pairs of URLs, as for pybuild's conda buildpack."""
    mirrors: dict[str, list[str]] = {}
    for pair in os.environ.get("BP_CONDA_MIRRORS", "").split():
        source, _, target = pair.partition("=")
        mirrors.setdefault(source.rstrip("/") + "/", []).append(target.rstrip("/") + "/")
    ways = [middleware.MirrorMiddleware(mirrors)] if mirrors else []
    client = rattler.Client([middleware.RetryMiddleware(4), *ways, middleware.AuthenticationMiddleware()])
    lines = [line for line in lock.read_text().splitlines() if "://" in line]
    gate = asyncio.Semaphore(8)
    records = await asyncio.gather(*(fetch(client, line, directory, gate) for line in lines))
    await rattler.install(
        records, prefix, execute_link_scripts=True, show_progress=False, cache_dir=directory / "extracted"
    )
    # conda asks these files where packages came from.
    urls = {url.rpartition("/")[2]: url for url in (line.partition("#")[0] for line in lines)}
    for path in (prefix / "conda-meta").glob("*.json"):
        values = json.loads(path.read_text())
        url = urls[values["fn"]]
        values |= {"url": url, "channel": url.rpartition("/")[0].rpartition("/")[0]}
        path.write_text(json.dumps(values, indent=2))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        asyncio.run(install(Path(sys.argv[1]), Path(sys.argv[2]), Path(scratch)))
