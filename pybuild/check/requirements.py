"""One function for each kind of requirement: what it asks of an image, tried for real where it is about programs.

An image may lie: answers are believed only where a program has done what it is for, on values it could not know before.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace

from packaging.specifiers import SpecifierSet

from lifecycle.cnb.errors import printable
from lifecycle.execution.inside import find_program
from lifecycle.oci.config import ImageConfig
from lifecycle.oci.user import ImageUser
from pybuild.check.profile import Profile, UserKind
from pybuild.check.report import Finding, Verdict
from pybuild.check.trial import Laboratory, Outcome

# Statuses of a shell or loader for a program that could not be started.
_NOT_STARTED = (126, 127)
# Where the wheel of the trial is shown; /dev is the sandbox's own, so nothing of the image can be in the way.
WHEEL_DIRECTORY = "/dev/pybuild"
# What an image or its configuration sets for pip may name servers, which cannot be reached here: constraints most of all.
_PIP_ENV = {"PIP_CONSTRAINT": "/dev/null", "PIP_BUILD_CONSTRAINT": "/dev/null", "PIP_NO_INPUT": "1"}
_ASK_PYTHON = """\
import hashlib, json, platform, sys
print(json.dumps([hashlib.sha256(b"{nonce}").hexdigest(), list(sys.version_info[:3]),
                  platform.python_implementation(), sys.executable]))
"""
_ASK_MODULE = """\
import hashlib, importlib, json
module = importlib.import_module("{module}")
print(json.dumps([hashlib.sha256(b"{nonce}").hexdigest(), getattr(module, "__file__", None)]))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialWheel:
    """The wheel that is to be installed."""

    file_name: str
    module: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Python:
    """What `python` says of itself."""

    version: tuple[int, int, int]
    implementation: str
    executable: str

    def __str__(self) -> str:
        return f"{self.implementation} {'.'.join(map(str, self.version))}, {self.executable}"


def list_requirements(profile: Profile) -> tuple[str, ...]:
    """What `profile` asks for, one text for each finding of a check, in the same order."""
    return tuple(_requirements(profile))


def _requirements(profile: Profile) -> Iterator[str]:
    if profile.platform is not None:
        yield f"platform {profile.platform}"
    if profile.user is not None:
        yield "runs as root" if profile.user is UserKind.ROOT else "runs as an ordinary user"
    if profile.python is not None:
        yield f"python {_range(profile.python)}"
    if profile.pip:
        yield "pip installs onto Python's path"
    yield from profile.programs
    for module in profile.modules:
        yield f"import {module}"


def find_all(
    profile: Profile, config: ImageConfig, user: ImageUser, laboratory: Laboratory, wheel: TrialWheel
) -> Iterator[Finding]:
    """A finding for each of `list_requirements`; programs are run for it in `laboratory`."""
    texts = iter(list_requirements(profile))
    if profile.platform is not None:
        yield find_platform(next(texts), profile.platform, config)
    if profile.user is not None:
        yield _find_user(next(texts), profile.user, user)
    python = _ask_python(laboratory, "python")
    if profile.python is not None:
        yield _find_python(next(texts), profile.python, python, laboratory)
    if profile.pip:
        yield _find_pip(next(texts), python, laboratory, wheel)
    for program in profile.programs:
        yield _find_program(next(texts), program, laboratory)
    for module in profile.modules:
        yield _find_module(next(texts), module, python, laboratory)


def find_platform(requirement: str, wanted: str, config: ImageConfig) -> Finding:
    """Whether the image says that it is for `wanted`."""
    found = f"{config.os}/{config.architecture}"
    if wanted == found:
        return Finding(requirement=requirement, verdict=Verdict.HOLDS, found=found)
    hint = f"build the image for {wanted}, for example on such a machine"
    return Finding(requirement=requirement, verdict=Verdict.FAILS, found=found, hint=hint)


def _find_user(requirement: str, wanted: UserKind, user: ImageUser) -> Finding:
    found = f"user {user.user_id}:{user.group_id}"
    if user.is_root == (wanted is UserKind.ROOT):
        return Finding(requirement=requirement, verdict=Verdict.HOLDS, found=found)
    hint = (
        "end the Dockerfile with `USER root`"
        if wanted is UserKind.ROOT
        else "let the image name an ordinary user: `USER 1000`"
    )
    return Finding(requirement=requirement, verdict=Verdict.FAILS, found=found, hint=hint)


def _find_python(requirement: str, wanted: SpecifierSet, python: Python | Outcome, laboratory: Laboratory) -> Finding:
    if isinstance(python, Python):
        if wanted.contains(".".join(map(str, python.version)), prereleases=True):
            return Finding(requirement=requirement, verdict=Verdict.HOLDS, found=str(python))
        hint = f"use a base image with Python {_range(wanted)}"
        return Finding(requirement=requirement, verdict=Verdict.FAILS, found=str(python), hint=hint)
    other = _ask_python(laboratory, "python3") if _is_absent(laboratory, "python") else None
    hint = "put a `python` on `PATH` that starts"
    if isinstance(other, Python):
        hint = f"there is a `python3` ({other}): name it `python` as well, with a link or a virtual environment"
    return Finding(
        requirement=requirement, verdict=Verdict.FAILS, found=_failure(laboratory, "python", python), hint=hint
    )


def _find_pip(requirement: str, python: Python | Outcome, laboratory: Laboratory, wheel: TrialWheel) -> Finding:
    if not isinstance(python, Python):
        return Finding(requirement=requirement, verdict=Verdict.NOT_TRIED, found="there is no `python` that works")
    options = ("--no-index", "--no-deps", "--no-cache-dir", "--disable-pip-version-check")
    install = laboratory.with_env(_PIP_ENV).run(["pip", "install", *options, f"{WHEEL_DIRECTORY}/{wheel.file_name}"])
    if not install.is_good:
        return Finding(
            requirement=requirement,
            verdict=Verdict.FAILS,
            found=_failure(laboratory, "pip", _with_error_first(install)),
            hint=_pip_hint(install, laboratory),
        )
    imported = _import(wheel.module, laboratory)
    if isinstance(imported, str):
        return Finding(requirement=requirement, verdict=Verdict.HOLDS, found=f"installed to {imported}")
    hint = "let `pip` and `python` on `PATH` be of the same environment; `python -m pip --version` and `pip --version` tell"
    found = f"`pip install` ended well, but `python` cannot import what it installed: {imported.describe()}"
    return Finding(requirement=requirement, verdict=Verdict.FAILS, found=_line(found), hint=hint)


def _with_error_first(install: Outcome) -> Outcome:
    """What pip says of the error itself; its last line is advice more often than not."""
    errors = [line for line in install.output.splitlines() if line.lower().startswith("error: ")]
    return replace(install, output=errors[0]) if errors else install


def _pip_hint(install: Outcome, laboratory: Laboratory) -> str:
    if "externally-managed-environment" in install.output:
        return "pip may not touch the distribution's Python (PEP 668): use a virtual environment on `PATH`, or another base"
    if "Permission denied" in install.output or "not writeable" in install.output:
        return "let the image's user own the environment that pip installs into, or be able to write its home directory"
    if _is_absent(laboratory, "pip") and laboratory.run(["python", "-m", "pip", "--version"]).is_good:
        return "`python -m pip` works: put a `pip` on `PATH` beside `python`"
    return "install pip for the `python` on `PATH`: `python -m ensurepip --upgrade`"


def _find_program(requirement: str, name: str, laboratory: Laboratory) -> Finding:
    outcome = _try_program(name, laboratory)
    starts = outcome.status is not None and outcome.status not in _NOT_STARTED and outcome.status < 128
    if starts:
        place = find_program(laboratory.copy.root.rootfs, name, laboratory.copy.root.environment["PATH"])
        return Finding(requirement=requirement, verdict=Verdict.HOLDS, found=_line(str(place or "found")))
    return Finding(
        requirement=requirement,
        verdict=Verdict.FAILS,
        found=_failure(laboratory, name, outcome),
        hint=f"install `{name}`" if _is_absent(laboratory, name) else None,
    )


def _try_program(name: str, laboratory: Laboratory) -> Outcome:
    """How the program ended; that it understands `--version` is asked only of those that are known to."""
    if name not in ("bash", "sh"):
        outcome = laboratory.run([name, "--version"])
        if name != "curl" or not outcome.is_good or outcome.output.startswith("curl "):
            return outcome
        return Outcome(status=None, output="", problem="is not curl")
    one, other = secrets.randbelow(2**20), secrets.randbelow(2**20)
    outcome = laboratory.run([name, "-c", f"echo $(({one} * {other}))"])
    if outcome.is_good and outcome.output.strip() != str(one * other):
        return Outcome(status=None, output="", problem="is not a shell")
    return outcome


def _find_module(requirement: str, module: str, python: Python | Outcome, laboratory: Laboratory) -> Finding:
    if not isinstance(python, Python):
        return Finding(requirement=requirement, verdict=Verdict.NOT_TRIED, found="there is no `python` that works")
    imported = _import(module, laboratory)
    if isinstance(imported, str):
        return Finding(requirement=requirement, verdict=Verdict.HOLDS, found=imported)
    is_missing = f"No module named '{module.partition('.')[0]}'" in imported.output
    hint = f"install the package that has `{module}`" if is_missing else None
    return Finding(requirement=requirement, verdict=Verdict.FAILS, found=_line(imported.describe()), hint=hint)


def _ask_python(laboratory: Laboratory, name: str) -> Python | Outcome:
    """What `name` says of itself, or how it failed."""
    nonce = secrets.token_hex(16)
    outcome = laboratory.run([name, "-c", _ASK_PYTHON.format(nonce=nonce)])
    match _answer(outcome, nonce):
        case [[int(major), int(minor), int(micro)], str(implementation), str(executable)]:
            return Python(
                version=(major, minor, micro), implementation=_line(implementation), executable=_line(executable)
            )
        case _:
            return outcome if not outcome.is_good else _not_python(name)


def _import(module: str, laboratory: Laboratory) -> str | Outcome:
    """Where Python has the module, or how importing it failed."""
    nonce = secrets.token_hex(16)
    outcome = laboratory.run(["python", "-c", _ASK_MODULE.format(nonce=nonce, module=module)])
    match _answer(outcome, nonce):
        case [str(place)]:
            return _line(place)
        case [None]:
            return "built in"
        case _:
            return outcome if not outcome.is_good else _not_python("python")


def _not_python(name: str) -> Outcome:
    return Outcome(
        status=None, output="", problem=f"does not run Python programs: `{name} -c` does not do what it is told"
    )


def _answer(outcome: Outcome, nonce: str) -> list[object]:
    """What the program was told to print, after the proof that it ran; empty where it did not."""
    if not outcome.is_good:
        return []
    expected = hashlib.sha256(nonce.encode()).hexdigest()
    for line in reversed(outcome.output.splitlines()):
        try:
            values = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(values, list) and values[:1] == [expected]:
            return values[1:]
    return []


def _failure(laboratory: Laboratory, name: str, outcome: Outcome) -> str:
    if _is_absent(laboratory, name):
        return f"there is no `{name}` on `PATH`"
    place = find_program(laboratory.copy.root.rootfs, name, laboratory.copy.root.environment["PATH"])
    return _line(f"`{place}` {outcome.describe()}")


def _is_absent(laboratory: Laboratory, name: str) -> bool:
    root = laboratory.copy.root
    return find_program(root.rootfs, name, root.environment["PATH"]) is None


def _line(text: str) -> str:
    """`text` of the image's as one line that a terminal cannot be steered with, of a length that a person reads."""
    shown = printable(" ".join(text.split()))
    return shown if len(shown) <= 300 else f"{shown[:300]}…"


def _range(specifiers: SpecifierSet) -> str:
    """`>=3.10,<3.14`, the lower bound first."""
    return ",".join(sorted(str(specifiers).split(","), key=lambda text: (not text.startswith((">", "~", "=")), text)))
