"""The packages that Poetry wants, in the words of the installer: requirement lines, a lock, and the index of each package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from buildpacks.installer.credentials import with_credentials, without_credentials
from buildpacks.installer.indexes import IndexSettings, read_index_settings
from buildpacks.installer.inputs import make_inputs, render_line
from buildpacks.installer.lock import Lock, LockEntry, new_lock
from buildpacks.installer.reader import EmbeddedLines, RequirementSet, read_requirements
from buildpacks.installer.remote import fetch_url
from buildpacks.poetry.credentials import read_secrets, with_source_credentials
from buildpacks.poetry.kept import Answer, ExportedLine
from buildpacks.poetry.project import PoetryProject
from buildpacks.poetry.work import Work
from lifecycle.cnb.toml import read_toml

# Poetry 1.8 takes an index whose URL ends so for one page with links to files, as `--find-links` of pip does.
_PAGES = (".htm", ".html")


@dataclass(frozen=True, slots=True, kw_only=True)
class Packages:
    """What is installed besides pip and the project itself."""

    found: RequirementSet
    """With the credentials of URLs, without hashes."""
    lock: Lock
    """Of everything, the project included; no credentials."""
    sources: Mapping[str | None, tuple[LockEntry, ...]]
    """The entries by the name of the source that they come from; `None` is the default index and what needs none."""
    source_urls: Mapping[str, str]
    """Without credentials."""

    def only(self, source: str | None) -> Lock:
        """Return the part of the lock that comes from one source, without the project itself."""
        return replace(self.lock, entries=self.sources.get(source, ()))


def read_packages(work: Work, answer: Answer) -> Packages:
    """Return what `answer` wants. Raises `InvalidRequirements` for what no image can be built with, as a path outside of it."""
    context, project = work.context, work.project
    secrets = read_secrets(project)
    lines = tuple((line.line, with_credentials(line.text, secrets)) for line in answer.lines)
    found = read_requirements(
        (),
        embedded=EmbeddedLines(path=context.app_dir / answer.origin, lines=lines),
        app_dir=context.app_dir,
        # Poetry knows no variables in its files.
        env={},
        indexes=read_index_settings(context.env),
        fetch=fetch_url,
    )
    found = replace(found, options=replace(found.options, no_binary=_no_binary(context.app_dir)))
    sources: dict[str | None, tuple[LockEntry, ...]] = {}
    urls = {}
    for line, wanted in zip(answer.lines, found.requirements, strict=True):
        entry = LockEntry(text=without_credentials(render_line(wanted)), hashes=line.hashes)
        name = _source_name(line)
        sources[name] = (*sources.get(name, ()), entry)
        if name is not None and line.source_url is not None:
            urls[name] = line.source_url
    entries = tuple(entry for part in sources.values() for entry in part)
    root = (LockEntry(text=f"-e {context.app_dir.resolve()}"),) if project.package_mode else ()
    inputs = make_inputs(found, python=str(work.python), installer="uv")
    ordered = sorted((*entries, *root), key=lambda entry: (entry.text.startswith("-e "), entry.text.lower()))
    return Packages(found=found, lock=new_lock(tuple(ordered), inputs), sources=sources, source_urls=urls)


def for_source(work: Work, packages: Packages, name: str) -> RequirementSet:
    """Return the requirements with the index of the source `name` before the default one, credentials included.

    A package of a source is taken from there and from nowhere else; what building it needs may come from the default.
    """
    default = packages.found.options.indexes
    url = _with_credentials(packages.source_urls[name], name, work.project, work.context.env)
    if urlsplit(url).path.endswith(_PAGES):
        indexes = replace(default, find_links=(*default.find_links, url))
    else:
        indexes = IndexSettings(
            index_urls=(*default.index_urls[:1], url), trusted_hosts=default.trusted_hosts, no_index=False
        )
    return replace(packages.found, options=replace(packages.found.options, indexes=indexes))


def _source_name(line: ExportedLine) -> str | None:
    """A source without a name in the lock is known by its URL."""
    return line.source_name or line.source_url if line.source_url else None


def _with_credentials(url: str, name: str, project: PoetryProject, env: Mapping[str, str]) -> str:
    found = with_source_credentials(url, name, env)
    if found != url:
        return found
    # Some write them into pyproject.toml.
    return with_credentials(url, read_secrets(project))


def _no_binary(app_dir: Path) -> tuple[str, ...]:
    """`installer.no-binary` of the repository's poetry.toml, which Poetry itself obeys."""
    path = app_dir / "poetry.toml"
    installer = read_toml(path).get("installer") if path.is_file() else None
    value = installer.get("no-binary") if isinstance(installer, Mapping) else None
    if value is True:
        return (":all:",)
    if isinstance(value, str):
        return tuple(name.strip() for name in value.split(",") if name.strip())
    return tuple(str(name) for name in value) if isinstance(value, list) else ()
