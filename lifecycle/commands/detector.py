"""`detector`: which buildpacks take part in the build (platform.md, "detector").

A variable of pybuild's own names a file for the process that started the phase: `PYBUILD_DETECTION_PATH` gets the detection as JSON,
also one that found nothing, with the groups after the one that fits.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lifecycle.cnb.analyzed import Analyzed, read_analyzed, write_analyzed
from lifecycle.cnb.api import EXEC_ENV_PLATFORM_API, ApiVersion
from lifecycle.cnb.environment import start_environment
from lifecycle.cnb.group import Group, write_group
from lifecycle.cnb.order import System, read_order, read_system
from lifecycle.cnb.plan import ResolvedPlan, write_resolved_plan
from lifecycle.cnb.run_images import read_run_images
from lifecycle.cnb.toml import write_atomically
from lifecycle.commands.inputs import EXECUTION, GENERATED, open_log, read_surroundings
from lifecycle.detect import DetectRequest, detect
from lifecycle.detection import render_detection
from lifecycle.flags import Flag, Inputs
from lifecycle.generate import GenerateRequest, generate

FLAGS = (
    *EXECUTION,
    # Without a value: `<layers>/order.toml` if there is one, else the builder's.
    Flag(name="order", variable="CNB_ORDER_PATH", default=""),
    Flag(name="system", variable="CNB_SYSTEM_PATH", default="/cnb/system.toml"),
    Flag(name="extensions", variable="CNB_EXTENSIONS_DIR", default="/cnb/extensions"),
    GENERATED,
    Flag(name="run", variable="CNB_RUN_PATH", default="/cnb/run.toml"),
)

_BUILDER_ORDER = Path("/cnb/order.toml")


def run(inputs: Inputs, api: ApiVersion, env: Mapping[str, str]) -> None:
    """Write group.toml and plan.toml; with image extensions also what they generate, and analyzed.toml anew."""
    log = open_log(inputs)
    wanted = env.get("PYBUILD_DETECTION_PATH")
    request = DetectRequest(
        order=read_order(_order_path(inputs)),
        buildpacks_dir=inputs.path("buildpacks"),
        extensions_dir=inputs.path("extensions"),
        surroundings=read_surroundings(inputs),
        env=start_environment(env),
        system=_read_system(inputs.path("system"), api),
        platform_api=api,
        looks_further=bool(wanted),
    )
    detection = detect(request, log)
    if wanted:
        write_atomically(Path(wanted), render_detection(detection).encode())
    if detection.group is None:
        raise detection.error(app_dir=request.surroundings.app_dir)
    for element in (*detection.group.extensions, *detection.group.elements):
        log.info(f"{element.id} {element.version}")
    plan = detection.plan
    if detection.group.extensions:
        plan = _generate(detection.group, plan, inputs, api, env)
    write_group(inputs.path("group"), detection.group)
    write_resolved_plan(inputs.path("plan"), plan)


def _generate(
    group: Group, plan: ResolvedPlan, inputs: Inputs, api: ApiVersion, env: Mapping[str, str]
) -> ResolvedPlan:
    """The plan without what the extensions provide."""
    analyzed = inputs.path("analyzed")
    offered = read_run_images(inputs.path("run"))
    request = GenerateRequest(
        group=group,
        plan=plan,
        analyzed=read_analyzed(analyzed) if analyzed.exists() else Analyzed(),
        run_images=tuple(name for one in offered for name in (one.image, *one.mirrors)),
        extensions_dir=inputs.path("extensions"),
        generated_dir=inputs.path("generated"),
        surroundings=read_surroundings(inputs),
        env=start_environment(env),
        platform_api=api,
    )
    result = generate(request, open_log(inputs))
    write_analyzed(analyzed, result.analyzed)
    return result.plan


def _order_path(inputs: Inputs) -> Path:
    if inputs.text("order"):
        return inputs.path("order")
    own = inputs.path("layers") / "order.toml"
    return own if own.exists() else _BUILDER_ORDER


def _read_system(path: Path, api: ApiVersion) -> System:
    return read_system(path) if api >= EXEC_ENV_PLATFORM_API and path.exists() else System()
