"""Why a source distribution or local project could not be built: what compilers and build backends say."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import unquote, urlsplit

from buildpacks.installer.errors import InstallationFailed

# What is built, in the words of uv (`Failed to build `x==1``, also for downloads) and pip.
_BUILT = (
    re.compile(r"[Ff]ailed to (?:download and )?build (?:editable )?[`']([^`']+)[`']"),
    re.compile(r"Failed building (?:wheel|editable) for ([^\s,]+)"),
    re.compile(r"[Ff]ailed to build installable wheels.*?\(([^)\s,]+)"),
    re.compile(r"hint: .*? for `([^`]+)`"),
)
_BUILD_FAILED = re.compile(
    r"build backend returned an error|subprocess-exited-with-error|metadata-generation-failed|Failed to build|Failed building"
)
_ERROR_LINE = re.compile(r"\s*(?:[\w.]*(?:Error|Exception)|error|fatal error)\b")
# What uv and pip say themselves of a build that failed.
_TOOL_LINE = re.compile(
    r"Failed to (?:build|download)|subprocess-exited|metadata-generation|build backend returned|Git operation|exit status"
)
# A program that is missing -> the Debian package that has it.
_PROGRAMS = {
    "pg_config": "libpq-dev",
    "mysql_config": "libmariadb-dev",
    "gdal-config": "libgdal-dev",
    "geos-config": "libgeos-dev",
    "curl-config": "libcurl4-openssl-dev",
    "llvm-config": "llvm-dev",
    "cmake": "cmake",
    "swig": "swig",
    "cargo": "rustc and cargo",
    "rustc": "rustc and cargo",
    "gfortran": "gfortran",
    "nvcc": "CUDA toolkit",
    "java": "a JDK",
}
_WHEEL = "ask for a version that has a wheel for this Python (usually a newer one)"


def explain_build_failure(
    output: str, place: Callable[[str | None, str | None], str | None]
) -> InstallationFailed | None:
    """Return the error when a build failed, else `None`. `place` tells where the requirement stands, by its name and by
    what the tool calls it.
    """
    if _BUILD_FAILED.search(output) is None:
        return None
    built = next((match[1] for pattern in _BUILT for match in [pattern.search(output)] if match), None)
    name = _name(built)
    where = place(name, built)
    detail, change = _cause(output)
    prefix = f"{where}: " if where else ""
    return InstallationFailed(
        problem=f"{prefix}`{name or built or 'a package'}` comes as source code, and building it failed",
        details=(("cause", detail),) if detail else (),
        change=change,
    )


def _cause(output: str) -> tuple[str, str]:
    header = re.search(r"fatal error: (\S+\.(?:h|hh|hpp)): No such file", output)
    if header:
        return (
            f"the header `{header[1]}` is not in the build image",
            f"{_WHEEL}, or use a builder with the Debian package that has the header",
        )
    library = re.search(r"(?:cannot find|library not found for) -l(\S+)", output)
    if library:
        return (
            f"the library `{library[1]}` is not in the build image",
            f"{_WHEEL}, or use a builder with the Debian package that has the library",
        )
    compiler = re.search(r"(?:command|unable to execute) '(\S*(?:gcc|g\+\+|cc|c\+\+|clang))'.*No such file", output)
    if compiler:
        return f"the build image has no compiler `{compiler[1]}`", f"{_WHEEL}, or use a builder with a C toolchain"
    for program, package in _PROGRAMS.items():
        missing = (
            rf"(?:{re.escape(program)}(?:`|'|\"|: )?[^\n]{{0,40}}(?:not found|No such file|not installed|is required))"
        )
        if re.search(
            rf"{missing}|(?:can'?t find|could not find|Unable to find)[^\n]{{0,30}}{re.escape(program)}\b", output, re.I
        ):
            return (
                f"the build image has no `{program}`",
                f"{_WHEEL}, or use a builder with {package}",
            )
    module = re.search(r"ModuleNotFoundError: No module named '([^']+)'", output)
    if module:
        return (
            f"its build imports `{module[1]}` and does not say that it needs it",
            f"{_WHEEL}; the package is not made for isolated builds",
        )
    errors = [line.strip() for line in output.splitlines() if _ERROR_LINE.match(line) and not _TOOL_LINE.search(line)]
    return (errors[-1][:300] if errors else ""), f"{_WHEEL}; what the build said is above"


def _name(built: str | None) -> str | None:
    """The package of `name==1.0`, `name @ URL`, `file:///app/lib` or a path."""
    if built is None:
        return None
    match = re.match(r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:==|@|\[|-\d|$)", built)
    if match:
        return match[1]
    return unquote(urlsplit(built).path).rstrip("/").rpartition("/")[2] or None
