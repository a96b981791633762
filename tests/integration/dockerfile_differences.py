"""How two images made from one Dockerfile differ, and every difference that is allowed, with its reason.

The measure is Docker's BuildKit, the newest that there is. What another tool makes differently is named by `DEVIATIONS`; what
counts as no difference, whatever the Dockerfile, by `STUBS`, `IGNORED_SETTINGS` and `IGNORED_LABELS`.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.integration.image_tree import Facts, ImageContents

BUILDKIT, OLDER_BUILDKIT, BUILDAH, NEWER_BUILDAH = "BuildKit", "older BuildKit", "buildah", "newer buildah"
PYBUILD, PYBUILD_WITH_DOCKER = "pybuild", "pybuild with Docker"
_ALL_BUILDAH = (BUILDAH, NEWER_BUILDAH)
_EXECUTED_BY_BUILDAH = (*_ALL_BUILDAH, PYBUILD)

STUBS: Mapping[str, str] = {
    "dev": "directory",
    "proc": "directory",
    "run": "directory",
    "sys": "directory",
    "etc/hosts": "file",
    "etc/hostname": "file",
    "etc/resolv.conf": "file",
}
"""What buildah mounts on while a command runs stays behind empty where the base has none; BuildKit removes it."""

IGNORED_SETTINGS: Mapping[str, str] = {
    "Hostname": "buildah writes the name of its own container, which containers made from the image do not get",
    "Image": "the classic builder's field for the image that a container was made from",
    "ArgsEscaped": "only Windows images have a meaning for it",
}
IGNORED_LABELS: Mapping[str, str] = {"io.buildah.version": "buildah signs its work; pybuild removes it"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviation:
    """What tools make of a case other than BuildKit does."""

    case: str
    tools: tuple[str, ...]
    places: tuple[str, ...] = ()
    """Patterns of paths (with a leading slash) and names of settings; none: the tool refuses the Dockerfile."""
    reason: str


DEVIATIONS: tuple[Deviation, ...] = (
    Deviation(
        case="arg_inherited_by_stage_on_stage",
        tools=_ALL_BUILDAH,
        places=("/out",),
        reason="for buildah an ARG ends with its stage; for BuildKit it goes on in stages that are based on it",
    ),
    Deviation(
        case="arg_of_the_name_of_an_env",
        tools=_EXECUTED_BY_BUILDAH,
        places=("/out",),
        reason="buildah: ENV wins, as the documentation has it; BuildKit: the later one wins",
    ),
    Deviation(
        case="shell_changes_all_shell_forms",
        tools=_ALL_BUILDAH,
        places=("Cmd", "Entrypoint"),
        reason="buildah uses SHELL for RUN only",
    ),
    Deviation(case="shell_after_the_command", tools=_ALL_BUILDAH, places=("Cmd",), reason="the same"),
    Deviation(
        case="escape_directive_in_words",
        tools=_ALL_BUILDAH,
        places=("/dir*", "Env"),
        reason="buildah knows the escape directive for the ends of lines only",
    ),
    Deviation(
        case="copy_modes_and_links",
        tools=(PYBUILD, PYBUILD_WITH_DOCKER),
        places=("/all/*", "/tree/*", "/followed-directory/*"),
        reason="pybuild copies a repository with the modes that git keeps, so that it is the same whoever cloned it; hard links part",
    ),
    Deviation(
        case="copy_onto_a_link",
        tools=_EXECUTED_BY_BUILDAH,
        places=("/opt/base/*",),
        reason="buildah replaces a symbolic link that has the name of the target; BuildKit follows it",
    ),
    Deviation(
        case="copy_of_several_to_what_is_no_directory",
        tools=_EXECUTED_BY_BUILDAH,
        places=("/file", "/file/*"),
        reason="buildah makes a directory; with BuildKit the last file wins, where its documentation wants an error",
    ),
    Deviation(
        case="names_of_stages_in_any_case",
        tools=(BUILDAH, NEWER_BUILDAH),
        reason="for buildah the names of stages are sensitive to case",
    ),
    Deviation(
        case="dockerignore_of_everything_but",
        tools=_EXECUTED_BY_BUILDAH,
        places=("/all/sub",),
        reason="BuildKit copies a directory when something in it could be an exception, though nothing is",
    ),
    Deviation(
        case="ports_in_other_words",
        tools=_ALL_BUILDAH,
        places=("ExposedPorts",),
        reason="buildah writes ranges and names of protocols down as they are",
    ),
    Deviation(
        case="base_fields_are_inherited_and_overridden",
        tools=_EXECUTED_BY_BUILDAH,
        places=("/srv/more",),
        reason="buildah makes the directory of a volume",
    ),
    Deviation(
        case="command_after_a_volume",
        tools=_EXECUTED_BY_BUILDAH,
        places=("/srv/more", "/srv/volume/*"),
        reason="older buildah, as the classic docker build, drops what commands change in volumes; both make the directories",
    ),
    Deviation(
        case="mounts_over_what_is_there",
        tools=_ALL_BUILDAH,
        reason="buildah 1.28 removes whatever is where a mount was, the files of the base as well",
    ),
    Deviation(
        case="mounts_of_run",
        tools=(BUILDAH, NEWER_BUILDAH, OLDER_BUILDKIT, PYBUILD, PYBUILD_WITH_DOCKER),
        places=("/mnt", "/mnt/staged", "/cache", "/ctx", "/scratch"),
        reason="older tools leave what was made to mount on, empty",
    ),
    Deviation(
        case="workdir",
        tools=(NEWER_BUILDAH,),
        places=("WorkingDir",),
        reason="`/final/` and `/final` are one directory",
    ),
    Deviation(
        case="heredoc_run_with_interpreter",
        tools=(NEWER_BUILDAH,),
        reason="buildah 1.39 does not find the script that has an interpreter",
    ),
    Deviation(
        case="copy_as_a_layer_of_its_own",
        tools=(NEWER_BUILDAH,),
        reason="buildah 1.39 knows no `--link`",
    ),
    Deviation(
        case="heredoc_copy",
        tools=(NEWER_BUILDAH,),
        places=("/empty", "/expanded"),
        reason="buildah 1.39 gives an empty document a line, and leaves the backslash before a dollar",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """`place`: a path with a leading slash, or the name of a setting."""

    place: str
    here: object
    there: object

    def __str__(self) -> str:
        return f"{self.place}: {self.here} / {self.there}"


def unexplained(tool: str, case: str, found: tuple[Difference, ...]) -> list[str]:
    """Those differences of a tool from BuildKit that no deviation names, for a person to read."""
    patterns = [pattern for known in deviations_of(tool, case) for pattern in known.places]
    return [str(one) for one in found if not any(fnmatch.fnmatchcase(one.place, pattern) for pattern in patterns)]


def may_refuse(tool: str, case: str) -> bool:
    """Whether it is known that the tool does not build this."""
    return any(not known.places for known in deviations_of(tool, case))


def deviations_of(tool: str, case: str) -> list[Deviation]:
    """What is known of a tool and a case."""
    return [known for known in DEVIATIONS if known.case == case and tool in known.tools]


def find_differences(first: ImageContents, second: ImageContents) -> tuple[Difference, ...]:
    """What differs, beyond what never counts."""
    found = [
        Difference(place=f"/{path}", here=first.files.get(path), there=second.files.get(path))
        for path in sorted(first.files.keys() | second.files.keys())
        if _differ(path, first.files.get(path), second.files.get(path))
    ]
    left, right = _settings(first), _settings(second)
    found += [
        Difference(place=key, here=left.get(key), there=right.get(key))
        for key in sorted(left.keys() | right.keys())
        if left.get(key) != right.get(key)
    ]
    return tuple(found)


def _differ(path: str, one: Facts | None, other: Facts | None) -> bool:
    only = one or other
    if only is not None and (one is None or other is None):
        # An image need not have an entry for its root directory.
        is_stub = STUBS.get(path) == only.kind and only.size == 0
        return not is_stub and path != ""
    return one != other


def _settings(image: ImageContents) -> dict[str, Any]:
    """Settings of the image that count; what is empty is as good as absent."""
    settings = {key: value for key, value in image.settings.items() if value and key not in IGNORED_SETTINGS}
    settings["Labels"] = {
        name: value for name, value in settings.get("Labels", {}).items() if name not in IGNORED_LABELS
    }
    # Variables are a set for whoever gets them; buildah puts one that is changed behind the others.
    settings["Env"] = sorted(settings.get("Env", []))
    if settings.get("WorkingDir") == "/":
        del settings["WorkingDir"]
    return {**settings, **{key: image.config.get(key) for key in ("architecture", "os", "variant")}}
