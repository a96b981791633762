"""The rows of docs/conformance.md: what the CNB specifications, and the reference lifecycle where they are silent, ask on Linux.

`DIF-…` are those where the specifications and the reference lifecycle differ, and what is chosen. A test says that it shows one with
`@pytest.mark.requirement("DET-03")`; it may stand anywhere below tests/.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A requirement. `source` is S (a MUST of the specification), s (SHOULD or MAY), R (what the reference lifecycle does) or a mix."""

    id: str
    text: str
    source: str
    remark: str = ""
    """What of it does not apply to the API versions that are supported."""


_OLD_COMMANDS = "what it says of Buildpack API 0.8 and older does not apply"

_TEXT = """
GEN-01 | S | an unsupported `CNB_PLATFORM_API` gives 11, before any other error
GEN-02 | S | for each input a flag wins over its variable, that over the default; `-layers` moves the outputs
GEN-03 | S | a buildpack with an unsupported API gives 12 (detect, restore, build, export)
GEN-04 | S | a wrong number of arguments gives a generic code (3)
GEN-05 | S | information is on standard output, errors are on standard error
GEN-06 | S | neither `CNB_REGISTRY_AUTH` nor a Docker configuration is in the environment of detect and build
GEN-07 | R | `/` in ids is `_` in every path, and stays in metadata
GEN-08 | S | `<layers>/order.toml` is preferred to `/cnb/order.toml`
ANA-01 | S | without previous image and cache: success, with empty metadata
ANA-02 | S | the run image of run.toml: the mirror on the registry of the image first, then the first that can be read
ANA-03 | S | image and tags on different registries are refused, unless a daemon takes them
ANA-04 | S | analyzed.toml has reference, image and target of the run image
ANA-05 | S | the layer of SBOMs is restored, unless layers are skipped
DET-01 | S | exit codes 0, 100 and others are told apart; a required buildpack that fails ends its group
DET-02 | S | all groups failed: 20; with a buildpack that erred: 21
DET-03 | S | an optional buildpack that fails or errs is dropped, the group goes on
DET-04 | S | a group of which no buildpack passed fails, extensions do not count
DET-05 | S | the first group that fits wins; its order is kept; `optional` is not in group.toml
DET-06 | S | composites are expanded depth first, with what stands behind them
DET-07 | S | a group is tried again without its optional composite
DET-08 | R | an id that is twice in an expanded group runs once, the first one
DET-09 | S | what is provided and not required by itself or later ones: the group fails, an optional buildpack is removed
DET-10 | S | what is required and not provided by itself or earlier ones: likewise; removal cascades
DET-11 | S/R | alternatives of plans (`or`) are tried depth first
DET-12 | S | a required buildpack for another target fails the group; what a target leaves out matches all
DET-13 | S | targets are inferred from stacks `*` and bionic, and from `bin/build`
DET-14 | S | the distribution comes from os-release where the run image does not say it
DET-15 | S | buildpacks of system.toml stand around each group, unless their id is in it
DET-16 | S | a member for another execution environment is skipped; a group of only such members fails
DET-17 | R | a plan that is no TOML, or has `requires.version`, is an error (21)
DET-18 | R | `bin/detect` of one id and version runs once, however many groups have it
DET-19 | s | the members of a group detect side by side, with the same outcome always
RES-01 | S | store.toml is restored, also when layers are skipped
RES-02 | S | a launch layer: its metadata without types and its SBOM, no directory
RES-03 | S | a cache layer: metadata and directory
RES-04 | S | a build layer without cache: nothing
RES-05 | R | a launch and cache layer of which image and cache have different contents: neither metadata nor directory
RES-06 | S | a cached layer that is damaged or missing: neither, and the build goes on
RES-07 | S | nothing of a buildpack that is not in the group
RES-08 | R | modes and links of restored files are as they were, the owner is the build user, integers stay integers
RES-09 | R | a launch and cache layer that the image does not have comes from the cache (Platform API 0.14)
BLD-01 | S | buildpacks run in the order of the group in the application directory; one that fails gives 51 and ends the build
BLD-02 | S | a buildpack's plan has what is required of it, in order
BLD-03 | S | what a buildpack met leaves the plan; `unmet` goes to the next provider; an `unmet` that is not in the plan is an error
BLD-04 | S | a layer whose types are all false is renamed to `.ignore`
BLD-05 | R | types outside of `[types]` are refused
BLD-06 | S | of processes of one type the last wins; a redefinition that is not default ends being default
BLD-07 | S | two defaults in one launch.toml are an error
BLD-08 | S | a command that is a string, or the key `direct`, is an error
BLD-09 | R | an SBOM in a format that is unknown or not declared is an error
BLD-10 | S | metadata.toml has all buildpacks with id, version and API, the processes and the slices
BLD-11 | R | arguments and variables are both given
ENV-01 | R | of the lifecycle's own environment only listed variables reach buildpacks
ENV-02 | S | the user's variables win; those of paths are put in front with `:`
ENV-03 | S | `clear-env` hides the user's variables, not the operator's
ENV-04 | S | the operator's variables have suffixes, a bare name is a default; they are applied last
ENV-05 | S | values are used as they are, with a newline at the end
ENV-06 | S | append, prepend, default, override and delim; the delimiter is empty by default
ENV-07 | S | `env` and `env.build` are for later buildpacks, and of build layers only
ENV-08 | S | LIBRARY_PATH, CPATH and PKG_CONFIG_PATH exist at build only
ENV-09 | S | paths of a later buildpack stand before those of an earlier
ENV-10 | S | `CNB_TARGET_*` and `CNB_EXEC_ENV` by API; absent where there is no value
ENV-11 | R | unknown suffixes and directories in env directories are ignored
LYR-01 | S/R | every mtime is 315532801, the owner is the build user, no names
LYR-02 | S | links, modes and empty directories are kept, below the absolute path
LYR-03 | s | an unchanged layer has the same diffID on other days and machines
LYR-04 | S | a launch layer of which only the metadata is there: the blob of the previous image, with new metadata
LYR-05 | S/R | the same without previous image, or with `cache = true`: 62
LYR-06 | S | layers that are not for launch are not in the image
LYR-07 | S | slices: the earlier takes a file; together with the rest they are the application, each file once
LYR-08 | S | glob rules: no `**`, files with a dot, classes, nothing outside of the application
LYR-09 | S | the cache has the cache layers with metadata and SBOM
EXP-01 | S | the lifecycle label is whole, its diffIDs are the image's
EXP-02 | S | the build label has all processes, and the buildpacks of the group
EXP-03 | S | the project label is project-metadata.toml
EXP-04 | S | labels of buildpacks are set, the last wins
EXP-05 | S | the entrypoint: the process type asked for, the default, or the launcher; an unknown type is an error
EXP-06 | S | CNB_LAYERS_DIR, CNB_APP_DIR, the front of PATH, and the working directory
EXP-07 | S | the run image's configuration is kept, its layers are the first
EXP-08 | S | `/cnb/process/<type>` are links to the launcher, one for each process
EXP-09 | S | SBOMs for launch are in the image at their paths, those for build are not
EXP-10 | s | `created` is 1980 or SOURCE_DATE_EPOCH; two builds give one digest
EXP-11 | S | all tags have one digest; report.toml has its fields
EXP-12 | S | `runImage` of the label: topLayer, reference, image, mirrors
LCH-01 | S | the type is the name of the program; the user's arguments replace the default ones
LCH-02 | S | what stands behind the program in `command` is always before the user's arguments
LCH-03 | S | `--` starts a program; without it bash does, after the profiles
LCH-04 | S | the working directory of a process is its own; exec.d and profiles run in the application directory
LCH-05 | S | CNB_APP_DIR, CNB_LAYERS_DIR and CNB_PROCESS_TYPE are not there, `/cnb/process` is not on PATH
LCH-06 | S | exec.d writes to file descriptor 3, later programs see it; a failure gives 80 to 89
LCH-07 | S | env, exec.d and profile of a process type are for it only
LCH-08 | S | a process for another execution environment does not start; `*` is for all
LCH-09 | s | the process takes the place of the launcher: its exit code and signals are the container's
LCH-10 | S | an unknown program, and nothing to start, give 80 to 89
REB-01 | S | only the layers of the run image change
REB-02 | S | a label that says no, another target, an unknown run image: refused, unless forced
REB-03 | S | the labels of the base are replaced, topLayer and reference are new, a report is written
EXT-01 | S | an extension may not require; directories `detect` and `generate` stand in for programs
EXT-02 | S/R | errors of a Dockerfile (ARG, FROM, several stages); other instructions are a warning
EXT-03 | S | the run image is switched, earlier ones are `.ignore`, `extend` and the target are set
EXT-04 | S | `context` beside `context.*` is an error; arguments are passed; the plan is filtered
EXT-05 | S | root as the last user of a run image gives 100 to 109; rebasable is what all Dockerfiles say
PRJ-01 | S | include with exclude is an error; files are left out before detect; env, pre, post and group are honoured
DST-01 | R | the labels and the layout of the builder image are those that `pack builder inspect` reads
CRE-01 | S | the creator is the phases one after the other, with their exit codes; skip-restore keeps store.toml
DIF-01 | R | of one buildpack's layers the last stands first on paths
DIF-02 | S | exec.d: those of all layers first, then those of the process type
DIF-03 | R | `io.buildpacks.rebasable` is what the run image or its extension says, `true` where nobody says anything
DIF-04 | R | PATH starts with `/cnb/process` and `/cnb/lifecycle`
DIF-06 | S/R | `variant` and `arch-variant` are read, both are in analyzed.toml
DIF-07 | S/R | `exec-env` of a buildpack may be strings or tables
DIF-08 | S | members of an order and layers may be restricted to execution environments; a process that is not says `["*"]`
DIF-09 | S | buildpacks of the build label have their API
DIF-10 | R | without `CNB_PLATFORM_API`: 11
DIF-11 | S/R | experimental features: `silent` and `quiet` are the same
DIF-12 | R | the creator analyzes before it detects, so that buildpacks know the target
DIF-13 | R | a run image is extended where the Dockerfile that switches it has instructions of its own
DIF-14 | R | Dockerfiles of extensions are in `<generated>/<extension>/` since Platform API 0.13, below their kind before
DIF-15 | S | a static `generate` directory is copied to where the extender looks
DIF-16 | S | an optional member for another target is not started
DIF-17 | R | an optional buildpack is dropped only after its last alternative
DIF-18 | S | a layer directory without a file is renamed to `.ignore` as well
DIF-19 | R | the operator's variables are those of the build-config directory
DIF-20 | S | a cached layer that cannot be restored leaves no metadata either
DIF-21 | R | a slice that takes nothing makes no layer
DIF-22 | S | a pattern of a slice may be absolute
DIF-23 | S | integers of metadata stay integers, also large ones
DIF-24 | S | optional buildpacks alone, of which one erred: 21
DIF-25 | S | a delimiter holds for its directory, that of `env` for the whole layer
DIF-26 | S | process types have letters, digits, `.`, `_` and `-`
DIF-27 | S | restrictions to execution environments hold for `production`, too
DIF-29 | R | the stack bionic is linux/amd64, Ubuntu 18.04
DIF-30 | R | `manifest-size` is an integer
DIF-33 | S | buildpacks of system.toml may be optional
"""


def _parse(line: str) -> Row:
    row, source, text = (part.strip() for part in line.split(" | "))
    return Row(id=row, source=source, text=text, remark=_OLD_COMMANDS if row in ("BLD-08", "LCH-01") else "")


ROWS = tuple(_parse(line) for line in _TEXT.strip().splitlines())
IDS = frozenset(row.id for row in ROWS)
