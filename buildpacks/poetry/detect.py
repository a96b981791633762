"""Detection: pyproject.toml has a table for Poetry."""

from __future__ import annotations

from collections.abc import Mapping

from buildpacks.installer.entries import SITE_PACKAGES
from buildpacks.poetry.document import Document, mentions_poetry, parse_document, read_content
from buildpacks.poetry.errors import PYPROJECT, InvalidProject
from buildpacks.poetry.project import LOCK, PythonRange
from buildpacks.poetry.settings import VERSION_VARIABLE, Settings, read_settings
from lifecycle.cnb.detecting import BuildPlan, DetectContext, NotDetected, Requirement

# Between ranges of which one must be met, each as PEP 440 writes it; what the python buildpack reads.
_OR = " || "
_BACKEND = "poetry.core"


def detect(context: DetectContext) -> BuildPlan:
    """Return a plan that needs a Python in the project's range and gives its packages. Raises `NotDetected` when the project is
    not Poetry's.

    A file that is broken, or that Poetry cannot use, is Poetry's too: `bin/build` says what is wrong with it. Were it passed
    over, another buildpack would build something that nobody asked for.
    """
    settings = read_settings(context.env)
    if not (context.app_dir / PYPROJECT).exists():
        beside = f", but there is `{LOCK}`: commit both" if (context.app_dir / LOCK).exists() else ""
        raise NotDetected(f"no `{PYPROJECT}` in the app directory{beside}")
    document = _read(context)
    if document is None:
        return _plan(None)
    if not document.has_poetry and not (_is_for_newer(document) and settings.version.major >= 2):
        raise NotDetected(_explain_absence(document, settings))
    # With it comes all that a project is checked with; every build of other repositories runs this program as well.
    from buildpacks.poetry.reading import read_python

    context.say(f"found `[tool.poetry]` in `{PYPROJECT}`" if document.has_poetry else f"found `{PYPROJECT}`")
    try:
        python = read_python(document)
    except InvalidProject as err:
        context.say(f"which cannot be used as it is: {err.summary}")
        return _plan(None)
    context.say(f"Python `{python.text}` ({python.origin})")
    return _plan(python)


def _plan(python: PythonRange | None) -> BuildPlan:
    """Without a range that can be read, any Python will do to say so."""
    asked: Mapping[str, object] = {}
    if python is not None:
        asked = {"version": _OR.join(python.alternatives), "version-origin": str(python.origin)}
    return BuildPlan(
        provides=(SITE_PACKAGES,),
        requires=(
            Requirement(name="python", metadata={**asked, "build": True, "launch": True}),
            Requirement(name=SITE_PACKAGES, metadata={"launch": True}),
        ),
    )


def _read(context: DetectContext) -> Document | None:
    """The file; `None` where it is Poetry's and cannot be read."""
    try:
        content = read_content(context.app_dir)
    except InvalidProject as err:
        raise NotDetected(err.summary) from err
    try:
        return parse_document(content)
    except InvalidProject as err:
        if not mentions_poetry(content):
            raise NotDetected(f"{err.summary}, and there is no `[tool.poetry]` in it") from err
        context.say(f"found `{PYPROJECT}`, which cannot be used as it is: {err.summary}")
        return None


def _is_for_newer(document: Document) -> bool:
    """Whether Poetry 2 builds it: it needs no table of its own, if it is the backend."""
    return document.project is not None and (document.build_backend or "").startswith(_BACKEND)


def _explain_absence(document: Document, settings: Settings) -> str:
    reason = f"no `[tool.poetry]` in `{PYPROJECT}`"
    if _is_for_newer(document):
        return f"{reason}, which Poetry {settings.version.text} needs: for Poetry 2 set `{VERSION_VARIABLE}=2.x`"
    if document.build_backend is not None:
        return f"{reason}: its build backend is `{document.build_backend}`"
    if document.project is not None or "build-system" in document.root:
        return f"{reason}: it is a project of another tool"
    tool = document.root.values.get("tool")
    tools = ", ".join(f"`{name}`" for name in tool) if isinstance(tool, Mapping) else ""
    return f"{reason}: it only configures {tools}" if tools else f"{reason}: nothing is in it"
