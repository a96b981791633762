"""Build: the interpreter of the image on the path, where the user says that the image's own Python is the one to use.

What else the Dockerfile makes is the image itself, not layers: `generate` says how.
"""

from __future__ import annotations

import shlex
from pathlib import PurePosixPath

from buildpacks.dockerfile.user_managed import INTERPRETER_VARIABLE, SWITCH_VARIABLE, read_user_managed
from lifecycle.cnb.kit import BuildContext, BuildResult, Layer, LayerTypes

INTERPRETER_LAYER = "interpreter"


def build(context: BuildContext) -> BuildResult:
    """Return the layer `interpreter`, or none. Raises `InvalidSetting`."""
    settings = read_user_managed(context.env)
    interpreter = settings.interpreter
    if interpreter is None:
        return BuildResult()
    if not settings.is_on:
        context.notice(f"`{INTERPRETER_VARIABLE}` has no effect without `{SWITCH_VARIABLE}=true`")
        return BuildResult()
    layer = context.layer_dir(INTERPRETER_LAYER)
    directories = [str(interpreter.parent)]
    if interpreter.name != "python":
        bin_dir = layer / "bin"
        bin_dir.mkdir()
        script = bin_dir / "python"
        script.write_text(_render_script(interpreter), encoding="utf-8")
        script.chmod(0o755)
        # Before a `python` beside the interpreter, which may be another one.
        directories.insert(0, str(bin_dir))
    context.say(f"`python` is `{interpreter}`, which the image has")
    environment = {"PATH.prepend": ":".join(directories), "PATH.delim": ":"}
    return BuildResult(
        layers=(
            Layer(
                name=INTERPRETER_LAYER,
                types=LayerTypes(launch=True),
                metadata={"interpreter": str(interpreter)},
                launch_env=environment,
            ),
        )
    )


def _render_script(interpreter: PurePosixPath) -> str:
    # Not a link: by its own path a Python finds the virtual environment that it is in.
    return f'#!/bin/sh\nexec {shlex.quote(str(interpreter))} "$@"\n'
