"""The platform: what a person, CI or a service calls to turn a repository into an image.

`pybuild.build(pybuild.BuildRequest(repository="."))` builds one. The names in `__all__` are what other programs may rely on; they are
loaded when they are first used, because most of a short program's time would be loading.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lifecycle.cnb.deadline import Cancellation
    from lifecycle.cnb.errors import CnbError, InputError
    from lifecycle.cnb.plan import ResolvedPlan
    from lifecycle.cnb.reference import Reference
    from lifecycle.detection import Detection
    from lifecycle.errors import NothingDetected
    from lifecycle.exporters import Output, Written, parse_output
    from lifecycle.oci.compression import Compression
    from lifecycle.oci.descriptor import Platform
    from lifecycle.oci.image import Image
    from lifecycle.oci.image_index import ImageIndex
    from lifecycle.registry.errors import RegistryError
    from pybuild import aio
    from pybuild.builder_creation import BuilderReport, BuilderRequest
    from pybuild.check.report import CheckReport
    from pybuild.engines import Engine
    from pybuild.environments.conda_dependencies import CondaDependencies
    from pybuild.environments.details import ImageDetails
    from pybuild.environments.environment import Environment
    from pybuild.environments.errors import InvalidEnvironment
    from pybuild.environments.registered_build import EnvironmentBuild
    from pybuild.environments.sections import ContainerRegistry
    from pybuild.errors import Cancelled, MachineError, PackageConflict, PackageNotFound, PhaseFailed, TimeLimitReached
    from pybuild.events import (
        Event,
        Level,
        LogLine,
        OnEvent,
        PhaseEnded,
        PhaseStarted,
        Progress,
        StepEnded,
        StepStarted,
        event_to_json,
    )
    from pybuild.fix import Fix, write_fixes
    from pybuild.images import check_image, push_image, rebase_image
    from pybuild.library import build, build_index, detect, export, find_fixes, plan
    from pybuild.prune import Pruned, PruneRequest
    from pybuild.push import PushReport, PushRequest
    from pybuild.rebase import RebaseReport, RebaseRequest
    from pybuild.report import BuildReport, IndexReport
    from pybuild.request import BuildRequest
    from pybuild.run_image import ImageSettings
    from pybuild.upkeep import create_builder, measure_store, prune_store
    from pybuild.usage import StoreUsage
    from pybuild.volumes import Volume
    from pybuild.workspaces.errors import WorkspaceError
    from pybuild.workspaces.workspace import Workspace

__version__ = "0.1.0"

_MODULES = {
    "lifecycle.cnb.deadline": ("Cancellation",),
    "lifecycle.cnb.errors": ("CnbError", "InputError"),
    "lifecycle.cnb.plan": ("ResolvedPlan",),
    "lifecycle.cnb.reference": ("Reference",),
    "lifecycle.detection": ("Detection",),
    "lifecycle.errors": ("NothingDetected",),
    "lifecycle.exporters": ("Output", "Written", "parse_output"),
    "lifecycle.oci.compression": ("Compression",),
    "lifecycle.oci.descriptor": ("Platform",),
    "lifecycle.oci.image": ("Image",),
    "lifecycle.oci.image_index": ("ImageIndex",),
    "lifecycle.registry.errors": ("RegistryError",),
    "pybuild.engines": ("Engine",),
    "pybuild.environments.conda_dependencies": ("CondaDependencies",),
    "pybuild.environments.details": ("ImageDetails",),
    "pybuild.environments.environment": ("Environment",),
    "pybuild.environments.errors": ("InvalidEnvironment",),
    "pybuild.environments.registered_build": ("EnvironmentBuild",),
    "pybuild.environments.sections": ("ContainerRegistry",),
    "pybuild.builder_creation": ("BuilderReport", "BuilderRequest"),
    "pybuild.check.report": ("CheckReport",),
    "pybuild.errors": (
        "Cancelled",
        "MachineError",
        "PackageConflict",
        "PackageNotFound",
        "PhaseFailed",
        "TimeLimitReached",
    ),
    "pybuild.events": (
        "Event",
        "Level",
        "LogLine",
        "OnEvent",
        "PhaseEnded",
        "PhaseStarted",
        "Progress",
        "StepEnded",
        "StepStarted",
        "event_to_json",
    ),
    "pybuild.fix": ("Fix", "write_fixes"),
    "pybuild.images": ("check_image", "push_image", "rebase_image"),
    "pybuild.library": ("build", "build_index", "detect", "export", "find_fixes", "plan"),
    "pybuild.prune": ("PruneRequest", "Pruned"),
    "pybuild.push": ("PushReport", "PushRequest"),
    "pybuild.rebase": ("RebaseReport", "RebaseRequest"),
    "pybuild.report": ("BuildReport", "IndexReport"),
    "pybuild.request": ("BuildRequest",),
    "pybuild.run_image": ("ImageSettings",),
    "pybuild.upkeep": ("create_builder", "measure_store", "prune_store"),
    "pybuild.usage": ("StoreUsage",),
    "pybuild.volumes": ("Volume",),
    "pybuild.workspaces.errors": ("WorkspaceError",),
    "pybuild.workspaces.workspace": ("Workspace",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "BuildReport",
    "BuildRequest",
    "BuilderReport",
    "BuilderRequest",
    "Cancellation",
    "Cancelled",
    "CheckReport",
    "CnbError",
    "Compression",
    "CondaDependencies",
    "ContainerRegistry",
    "Detection",
    "Engine",
    "Environment",
    "EnvironmentBuild",
    "Event",
    "Fix",
    "Image",
    "ImageDetails",
    "ImageIndex",
    "ImageSettings",
    "IndexReport",
    "InputError",
    "InvalidEnvironment",
    "Level",
    "LogLine",
    "MachineError",
    "NothingDetected",
    "OnEvent",
    "Output",
    "PackageConflict",
    "PackageNotFound",
    "PhaseEnded",
    "PhaseFailed",
    "PhaseStarted",
    "Platform",
    "Progress",
    "PruneRequest",
    "Pruned",
    "PushReport",
    "PushRequest",
    "RebaseReport",
    "RebaseRequest",
    "Reference",
    "RegistryError",
    "ResolvedPlan",
    "StepEnded",
    "StepStarted",
    "StoreUsage",
    "TimeLimitReached",
    "Volume",
    "Workspace",
    "WorkspaceError",
    "Written",
    "__version__",
    "aio",
    "build",
    "build_index",
    "check_image",
    "create_builder",
    "detect",
    "event_to_json",
    "export",
    "find_fixes",
    "measure_store",
    "parse_output",
    "plan",
    "prune_store",
    "push_image",
    "rebase_image",
    "write_fixes",
]


if not TYPE_CHECKING:  # a name that is not there is found before the program runs

    def __getattr__(name: str) -> object:
        """A public name, from its module. It stays here, so that it is looked for once."""
        if name == "aio":
            return importlib.import_module("pybuild.aio")
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found: object = getattr(importlib.import_module(_MODULE_OF[name]), name)
        globals()[name] = found
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
