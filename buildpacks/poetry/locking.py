"""What Poetry makes of the repository: whether it is right, whether its lock is fresh, and what is to be installed.

    answer = ask_poetry(work)

Poetry looks for its lock in the project, so one that is made for a build stands there while Poetry runs, and no longer.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from buildpacks.installer.commands import ToolRun, private_directory
from buildpacks.installer.credentials import without_credentials
from buildpacks.installer.lock import describe_age
from buildpacks.installer.projects import hash_metadata, list_files, remove_leftovers
from buildpacks.installer.reader import RequirementSet
from buildpacks.installer.tools import find_uv
from buildpacks.poetry.credentials import with_secrets
from buildpacks.poetry.errors import PYPROJECT
from buildpacks.poetry.explanation import explain
from buildpacks.poetry.export import local_paths, parse_export
from buildpacks.poetry.failures import PoetryFailed, StaleLock, UnusableLock
from buildpacks.poetry.kept import Answer, hash_inputs, now, read_answer, write_answer
from buildpacks.poetry.lock_file import LockFile, check_format, parse_lock
from buildpacks.poetry.poetry_tool import Poetry, find_poetry
from buildpacks.poetry.project import LOCK
from buildpacks.poetry.settings import REFRESH_VARIABLE, RELOCK_VARIABLE
from buildpacks.poetry.work import Work
from lifecycle.cnb.toml import write_atomically

_STALE = re.compile(r"(pyproject\.toml|poetry\.lock).*(changed significantly|is not up to date|is not consistent)")
# What Poetry's check finds wrong and Poetry installs all the same: words for PyPI, readmes (that of a package is looked for
# before), and extras that name what is no dependency.
_HARMLESS = re.compile(
    r"Unrecognized classifiers|Declared README files? (does not exist|must be)|Cannot find dependency .* for extra|"
    r"requires extra .* which is not defined"
)
# Poetry 2 says so of nearly every key of a project that was written for Poetry 1.
_DEPRECATED = re.compile(r"\[tool\.poetry\.[\w-]+\] is (deprecated|set but)")


def ask_poetry(work: Work) -> Answer:
    """Return what Poetry says; what it said in an earlier build while nothing that decides it has changed.

    Raises `StaleLock`, `UnusableLock`, `PoetryFailed` and the errors of `buildpacks.installer.errors`.
    """
    context = work.context
    inputs = _inputs(work)
    old = read_answer(work.cache_dir)
    if old is not None and old.is_for(inputs) and not work.settings.refresh:
        age = describe_age(old.made, now())
        context.say(f"Using what Poetry said of these files {age}: {_count(len(old.lines), 'package')}")
        _tell(work, old)
        return old
    if old is not None:
        context.say("Asking Poetry anew since:")
        for reason in _differences(old, inputs, refresh=work.settings.refresh):
            context.say(f"  {reason}")
    answer = _ask(work, old, inputs)
    write_answer(work.cache_dir, answer)
    context.say(f"Poetry wants {_count(len(answer.lines), 'package')}")
    _tell(work, answer)
    return answer


@contextmanager
def placed_lock(app_dir: Path, text: str | None) -> Iterator[None]:
    """Put a lock that was made for the build into the project for as long as Poetry needs it; `None` changes nothing."""
    path = app_dir / LOCK
    before = path.read_bytes() if path.is_file() else None
    try:
        if text is not None:
            write_atomically(path, text.encode())
        yield
    finally:
        # Also where Poetry itself wrote one: the application's files are the user's.
        if before is None:
            path.unlink(missing_ok=True)
        elif not path.is_file() or path.read_bytes() != before:
            write_atomically(path, before)


def _inputs(work: Work) -> Mapping[str, str]:
    settings = work.settings
    return hash_inputs(
        work.context.app_dir,
        Poetry=settings.version.text,
        groups=", ".join(work.groups),
        extras=", ".join(work.extras),
        **{RELOCK_VARIABLE: str(settings.relock)},
    )


def _differences(old: Answer, inputs: Mapping[str, str], *, refresh: bool) -> list[str]:
    changed = [f"`{name}` has changed" for name in inputs if old.inputs.get(name) != inputs[name]]
    return changed or ([f"`{REFRESH_VARIABLE}` asks for it"] if refresh else ["a local project has changed"])


def _tell(work: Work, answer: Answer) -> None:
    for notice in answer.notices:
        work.context.notice(notice)


def _ask(work: Work, old: Answer | None, inputs: Mapping[str, str]) -> Answer:
    app_dir = work.context.app_dir
    lock_path = app_dir / LOCK
    committed = _read_committed(work) if lock_path.is_file() else None
    poetry = find_poetry(work.context, work.settings, cache_dir=work.cache_dir)
    made: str | None = None
    notices: list[str] = []
    if committed is not None:
        made, notices = _judge(work, poetry, committed)
    elif lock_path.is_file():
        made = _make_lock(work, poetry, start=None, update=True)
        notices = [f"`{RELOCK_VARIABLE}`: {LOCK} could not be used, and was made anew for this build: {_commit()}"]
    else:
        notices, _ = _check(work, poetry)
        kept = None if old is None or work.settings.refresh else old.lock
        start = None if kept is None else with_secrets(kept, work.project)
        made = _make_lock(work, poetry, start=start, update=start is None)
        notices = [*notices, f"no {LOCK} in the repository: the build is not pinned; {_commit()}"]
    lock = committed if made is None else parse_lock(made.encode())
    assert lock is not None  # noqa: S101 - there was one, or one was made
    origin = None if made is not None and committed is None else LOCK
    lines, origin = parse_export(_export(work, poetry, made), lock, work.project, app_dir=app_dir, origin=origin)
    return Answer(
        inputs=inputs,
        lines=lines,
        origin=origin,
        lock=None if made is None else without_credentials(made),
        projects={} if made is None else {str(path): hash_metadata(path) for path in local_paths(lines)},
        notices=tuple(notices),
        made=now(),
    )


def _commit() -> str:
    return f"commit the {LOCK} of this build, which is in its report and in the image"


def _read_committed(work: Work) -> LockFile | None:
    """The lock of the repository; `None` where it cannot be used and a new one is asked for."""
    try:
        lock = parse_lock((work.context.app_dir / LOCK).read_bytes())
        check_format(lock, work.settings.version.text)
    except UnusableLock:
        if work.settings.relock:
            return None
        raise
    return lock


def _judge(work: Work, poetry: Poetry, lock: LockFile) -> tuple[str | None, list[str]]:
    """The lock that is made because that of the repository is stale, or `None`; and what the user should know."""
    notices, is_stale = _check(work, poetry, "--lock")
    if not is_stale:
        return None, notices
    if not work.settings.relock:
        raise StaleLock(version=poetry.version)
    made = _make_lock(work, poetry, start=lock.text, update=work.settings.refresh)
    return made, [*notices, f"`{RELOCK_VARIABLE}`: {LOCK} was stale, and was made anew for this build: {_commit()}"]


def _check(work: Work, poetry: Poetry, *options: str) -> tuple[list[str], bool]:
    """What the user should know, and whether the lock is stale. Raises `PoetryFailed` for what else Poetry finds wrong."""
    # What it says is told below, in the build that it was asked in and in those that keep the answer.
    done = poetry.run("check", *options, quiet=True)
    said = [line.strip() for line in done.output.splitlines()]
    errors = [line.removeprefix("Error: ") for line in said if line.startswith("Error: ")]
    warnings = [line.removeprefix("Warning: ") for line in said if line.startswith("Warning: ")]
    stale = [line for line in errors if _STALE.search(line)]
    harmless = [line for line in errors if _HARMLESS.search(line)]
    fatal = [line for line in errors if line not in stale and line not in harmless]
    if done.status != 0 and not errors and not warnings:
        raise _invalid(done.output, work)
    if fatal:
        raise PoetryFailed(
            problem=f"{PYPROJECT}: {fatal[0]}" if len(fatal) == 1 else f"{len(fatal)} problems in `{PYPROJECT}`",
            details=tuple(("poetry check", line) for line in fatal) if len(fatal) > 1 else (),
            change=f"correct it; `poetry check` of Poetry {poetry.version} says the same",
        )
    notices = [line for line in (*warnings, *harmless) if not _DEPRECATED.search(line)]
    return [f"{PYPROJECT}: {line}" for line in notices], bool(stale)


def _invalid(output: str, work: Work) -> Exception:
    """Why Poetry could not even read the project."""
    listed = [line.strip()[2:] for line in output.splitlines() if line.strip().startswith("- ")]
    if "configuration is invalid" not in output or not listed:
        return explain(output, work.project, doing="check the project")
    return PoetryFailed(
        problem=f"{PYPROJECT}: {listed[0]}" if len(listed) == 1 else f"{len(listed)} problems in `{PYPROJECT}`",
        details=tuple(("poetry check", line) for line in listed) if len(listed) > 1 else (),
        change="correct it; https://python-poetry.org/docs/1.8/pyproject/ describes every key",
    )


def _make_lock(work: Work, poetry: Poetry, *, start: str | None, update: bool) -> str:
    """Return a new lock; without `update` the versions of `start` stay where they fit."""
    context, app_dir = work.context, work.context.app_dir
    before = list_files((app_dir,))
    path = app_dir / LOCK
    with placed_lock(app_dir, start), private_directory() as directory:
        if start is None:
            path.unlink(missing_ok=True)
        # Poetry wants an environment of a Python in the project's range even where it only locks.
        venv = _bare_environment(work, directory / "venv")
        has_option = poetry.version.startswith("1.")
        options = ["--no-update"] if has_option and not update else []
        options += ["--regenerate"] if not has_option and update and start is not None else []
        done = poetry.run("lock", *options, venv=venv)
        if done.status != 0 and not update:
            context.say("Locking without the versions of the last lock, which stand in the way")
            path.unlink(missing_ok=True)
            done = poetry.run("lock", venv=venv)
        if done.status != 0 or not path.is_file():
            raise explain(done.output, work.project, doing="lock the dependencies")
        text = path.read_text(encoding="utf-8")
    # Asking a local project for its metadata may have written it down beside the sources.
    remove_leftovers((app_dir,), before)
    return text


def _bare_environment(work: Work, venv: Path) -> Path:
    run = ToolRun(context=work.context, found=RequirementSet(), cache_dir=work.cache_dir)
    uv, _ = find_uv(work.context)
    done = run.uv(
        uv,
        "venv",
        "--no-project",
        "--quiet",
        f"--python={work.python.executable}",
        os.fspath(venv),
        quiet=True,
        echo=False,
    )
    if done.status != 0:
        raise PoetryFailed(
            problem="no environment could be made for Poetry", details=(("uv says", done.output.strip()[-300:]),)
        )
    return venv


def _export(work: Work, poetry: Poetry, made: str | None) -> str:
    with placed_lock(work.context.app_dir, made), private_directory() as directory:
        result = directory / "requirements.txt"
        arguments = ["--format=requirements.txt", "--without-urls", f"--output={result}"]
        arguments += [f"--only={','.join(work.groups)}"]
        arguments += [f"--extras={extra}" for extra in work.extras]
        done = poetry.run("export", *arguments)
        if done.status != 0 or not result.is_file():
            raise explain(done.output, work.project, doing="export the lock")
        return result.read_text(encoding="utf-8")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
