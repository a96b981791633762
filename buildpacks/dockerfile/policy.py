"""What a Dockerfile may do: the operator's policy, what this builder cannot do, and what no policy allows.

`restricted` is what Deepnote allows (https://deepnote.com/docs/custom-environments): `FROM`, `RUN` and `ENV` in one stage.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import Literal

from buildpacks.dockerfile.addresses import refuse_address
from buildpacks.dockerfile.arguments import InvalidWord, split_arguments, split_build_args
from buildpacks.dockerfile.errors import Problem, ProblemKind, in_order
from buildpacks.dockerfile.flags import FLAGS
from buildpacks.dockerfile.instruction import Dockerfile, Flag, Instruction
from buildpacks.dockerfile.line import parse_heredoc_sign, split_trigger
from buildpacks.dockerfile.mounts import Mount, parse_mount
from buildpacks.dockerfile.syntax import USAGE
from buildpacks.installer.errors import InvalidSetting, Origin

Policy = Literal["restricted", "full"]
POLICY_VARIABLE = "BP_DOCKERFILE_POLICY"
_RESTRICTED = frozenset({"FROM", "RUN", "ENV"})
# What to write where `restricted` does not allow an instruction.
_INSTEAD: Mapping[str, str] = {
    "ADD": "download with `RUN curl -fsSL …`, unpack with `RUN tar -xf …`",
    "ARG": "write the value where it is used, or give it to `RUN` with `ENV`",
    "CMD": "remove it: whoever starts the image says what runs",
    "COPY": "write small files with `RUN cat > /path <<EOF`, download others; the repository is there beside the image",
    "ENTRYPOINT": "remove it: whoever starts the image says what runs",
    "EXPOSE": "remove it: it opens no port",
    "HEALTHCHECK": "remove it: whoever starts the image watches over it",
    "LABEL": "write it as a comment",
    "MAINTAINER": "write it as a comment",
    "ONBUILD": "write the instruction itself, without `ONBUILD`",
    "SHELL": "name the shell where it is needed: `RUN bash -c '…'`",
    "STOPSIGNAL": "remove it: whoever starts the image stops it",
    "USER": "remove it, and let `RUN su NAME -c '…'` do what needs another user",
    "VOLUME": "make the directory with `RUN mkdir -p …`",
    "WORKDIR": "change the directory in the `RUN` that needs it: `RUN cd /path && …`",
}
_ALLOWED_MOUNTS = ("cache", "tmpfs")
# BuildKit fetches the image that this names, and lets it read the Dockerfile.
REFUSED_ARGUMENTS = frozenset({"BUILDKIT_SYNTAX"})
_GIT = re.compile(r"(?:git@|git://|ssh://)|(?:https?://)[^?#]*\.git(?:[?#].*)?\Z", re.IGNORECASE)
_OCTAL = re.compile(r"[0-7]{1,4}")
# Files of the machine's kernel: no directory to work in, and a way out of containers (CVE-2024-21626).
_KERNEL = ("/proc", "/sys", "/dev")
_CANNOT: Mapping[tuple[str, str], str] = {
    ("ADD", "checksum"): "download in a `RUN`, and let it check: `echo 'SUM  FILE' | sha256sum --check`",
    ("ADD", "exclude"): "name what is excluded in `.dockerignore`",
    ("ADD", "keep-git-dir"): "clone in a `RUN`: `RUN git clone …`",
    ("ADD", "unpack"): "unpack in a `RUN`: `RUN tar -xf …`",
    ("COPY", "exclude"): "name what is excluded in `.dockerignore`",
    ("COPY", "parents"): "name the directory in the destination, with one `COPY` for each",
    ("HEALTHCHECK", "start-interval"): "leave it out",
}


def read_policy(env: Mapping[str, str]) -> Policy:
    """Return the operator's policy; `restricted` where none is given. Raises `InvalidSetting`."""
    value = env.get(POLICY_VARIABLE, "").strip() or "restricted"
    if value == "full":
        return "full"
    if value == "restricted":
        return "restricted"
    raise InvalidSetting(variable=POLICY_VARIABLE, value=value, allowed="`restricted` or `full`")


def check_policy(dockerfile: Dockerfile, policy: Policy) -> tuple[Problem, ...]:
    """Return everything that the policy does not allow, that this builder cannot do, and that nobody may do."""
    return in_order(tuple(_check(dockerfile, policy)))


def _check(dockerfile: Dockerfile, policy: Policy) -> Iterator[Problem]:
    stages = 0
    for instruction in dockerfile.instructions:
        checker = _Checker(dockerfile, policy, instruction)
        stages += instruction.keyword == "FROM"
        if instruction.keyword not in USAGE:
            continue
        if policy == "restricted" and instruction.keyword not in _RESTRICTED:
            yield checker.not_allowed(f"`{instruction.keyword}`", _INSTEAD[instruction.keyword])
        elif policy == "restricted" and instruction.keyword == "FROM" and stages > 1:
            change = "keep one `FROM`, and let `RUN` install what the other stages make"
            yield checker.not_allowed("a second `FROM`", change)
        else:
            yield from checker.check()


class _Checker:
    """Checks one instruction that the policy allows."""

    def __init__(self, dockerfile: Dockerfile, policy: Policy, instruction: Instruction) -> None:
        self._dockerfile = dockerfile
        self._policy = policy
        self._instruction = instruction

    def not_allowed(self, what: str, change: str, flag: Flag | None = None) -> Problem:
        return self._problem("not-allowed", f"{what} is not allowed by the policy `{self._policy}`", change, flag)

    def check(self) -> Iterator[Problem]:
        instruction = self._instruction
        if instruction.keyword == "ONBUILD":
            inner = split_trigger(instruction, escape=self._dockerfile.escape)
            if inner.keyword in USAGE and inner.keyword != "ONBUILD":
                yield from _Checker(self._dockerfile, self._policy, inner).check()
            return
        for flag in instruction.flags:
            if flag.name in FLAGS.get(instruction.keyword, {}):
                yield from self._check_flag(flag)
        if instruction.keyword == "ADD":
            yield from self._check_sources()
        elif instruction.keyword == "ARG":
            yield from self._check_arguments()
        elif instruction.keyword == "WORKDIR" and _is_of_kernel(instruction.rest):
            change = "choose a directory of the image's own"
            yield self._problem("dangerous", f"`{instruction.rest}` is a directory of the kernel", change)

    def _check_flag(self, flag: Flag) -> Iterator[Problem]:
        keyword, value = self._instruction.keyword, flag.value or ""
        change = _CANNOT.get((keyword, flag.name))
        if change is not None:
            yield self._cannot(f"`{keyword} --{flag.name}`", change, flag)
        elif flag.name == "chmod" and "$" not in value and not _OCTAL.fullmatch(value):
            yield self._cannot(f"`--chmod={value}`", "write the mode as a number, such as `--chmod=755`", flag)
        elif flag.name == "device":
            yield self._dangerous("`--device`", "no device of the machine is there for a build", flag)
        elif flag.name == "security" and value == "insecure":
            yield self._dangerous("`--security=insecure`", "it would give the build all rights on the machine", flag)
        elif flag.name == "network" and value == "host":
            yield self._dangerous("`--network=host`", "it would give the build the machine's own network", flag)
        elif flag.name in ("security", "network") and self._policy == "restricted":
            yield self.not_allowed(f"`--{flag.name}`", "leave it out", flag)
        elif flag.name == "network" and value == "none":
            yield self._cannot("`--network=none`", "leave it out, or fetch nothing in this `RUN`", flag)
        elif flag.name == "mount":
            yield from self._check_mount(flag)

    def _check_mount(self, flag: Flag) -> Iterator[Problem]:
        try:
            mount = parse_mount(flag.value or "")
        except InvalidWord:
            return
        what = f"`--mount=type={mount.type}`"
        if mount.type == "ssh":
            yield self._dangerous(what, "no SSH keys are there for a build", flag)
        elif self._policy == "restricted" and mount.type not in _ALLOWED_MOUNTS:
            change = "download in this `RUN` what it needs; only mounts of the types `cache` and `tmpfs` are allowed"
            yield self.not_allowed(what, change, flag)
        elif self._policy == "restricted" and mount.option("from"):
            yield self.not_allowed(f"`from` in {what}", "leave `from` out: the cache begins empty", flag)
        elif _leads_up(mount):
            change = "write paths and `id` without `..`"
            yield self._problem("dangerous", f"{what} has a path that leads out of its directory", change, flag)
        elif mount.type == "secret" and (mount.option("env") is not None or _is_required(mount)):
            yield self._cannot(f"{what} that must be there", "a build has no secrets: leave the mount out", flag)

    def _check_sources(self) -> Iterator[Problem]:
        instruction = self._instruction
        words = split_arguments(instruction.rest) if instruction.words is None else instruction.words
        for word in words[:-1]:
            if instruction.words is None and parse_heredoc_sign(word):
                continue
            if _GIT.match(word):
                yield self._cannot("`ADD` from a git repository", "clone in a `RUN`: `RUN git clone …`")
                continue
            reason = refuse_address(word)
            if reason is not None:
                yield self._problem("dangerous", f"`ADD` cannot fetch from {reason}", "name a host of the internet")

    def _check_arguments(self) -> Iterator[Problem]:
        try:
            pairs = split_build_args(self._instruction.rest, escape=self._dockerfile.escape)
        except InvalidWord:
            return
        for pair in pairs:
            if pair.name in REFUSED_ARGUMENTS:
                message = f"`{pair.name}` names a program that would read the Dockerfile"
                yield self._problem("dangerous", message, "remove it: this builder reads Dockerfiles itself")

    def _cannot(self, what: str, change: str, flag: Flag | None = None) -> Problem:
        return self._problem("unsupported", f"{what} is more than this builder can do", change, flag)

    def _dangerous(self, what: str, why: str, flag: Flag) -> Problem:
        return self._problem("dangerous", f"{what} is not allowed by any policy: {why}", "leave it out", flag)

    def _problem(self, kind: ProblemKind, message: str, change: str, flag: Flag | None = None) -> Problem:
        line = flag.line if flag else self._instruction.line
        origin = Origin(file=self._dockerfile.path, line=line)
        return Problem(origin=origin, kind=kind, instruction=self._instruction.keyword, message=message, change=change)


def _is_of_kernel(path: str) -> bool:
    # Two slashes at the beginning are kept as they are.
    clean = "/" + posixpath.normpath(path.strip("\"'")).lstrip("/")
    return path.strip("\"'").startswith("/") and any(f"{clean}/".startswith(f"{one}/") for one in _KERNEL)


def _leads_up(mount: Mount) -> bool:
    """buildah follows `..` out of its directory of caches (CVE-2024-9675)."""
    return any(".." in (mount.option(name) or "").split("/") for name in ("id", "source", "target"))


def _is_required(mount: Mount) -> bool:
    return any(name == "required" and (value or "true").lower() in ("1", "t", "true") for name, value in mount.options)
