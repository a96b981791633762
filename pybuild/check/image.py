"""The way of a check: unpack the image, run its programs in a copy of it, say what was found.

Store: `checks/<key>`, an empty file for each image and profile that were found to hold in a build.
"""

from __future__ import annotations

import contextlib
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lifecycle.cnb.deadline import NEVER, Deadline
from lifecycle.cnb.target import host_architecture
from lifecycle.oci.image import Image
from pybuild.check.errors import ProfileNotMet
from pybuild.check.profile import Profile
from pybuild.check.report import CheckReport, Finding, Verdict
from pybuild.check.requirements import WHEEL_DIRECTORY, TrialWheel, find_all, find_platform, list_requirements
from pybuild.check.trial import Laboratory
from pybuild.check.wheel import write_wheel
from pybuild.engines.image_root import open_copy, open_image_root
from pybuild.engines.limits import limited_processes
from pybuild.engines.sandbox import Mount
from pybuild.log import Log

# More than the threads that a numerical library starts on a large machine.
_PROCESS_LIMIT = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRequest:
    """What to check, and how long it may take."""

    image: Image
    profile: Profile
    timeout_s: float = 60
    """Of each program that is run."""
    deadline: Deadline = NEVER
    """Of all of them."""


def check_image(request: CheckRequest, store: Path, log: Log) -> CheckReport:
    """What the image has of the profile. It runs in the sandbox, without network, as its own user; nothing of it is changed.

    Raises:
        lifecycle.cnb.errors.CnbError: the image cannot be unpacked or run at all.
    """
    config = request.image.config
    machine = f"linux/{host_architecture()}"
    if f"{config.os}/{config.architecture}" != machine:
        return _not_run(request, f"the image is for {config.os}/{config.architecture}, this machine is {machine}")
    with contextlib.ExitStack() as stack:
        root = stack.enter_context(open_image_root(request.image, store, log, keep=False, deadline=request.deadline))
        copy = stack.enter_context(open_copy(root, store, log))
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pybuild-check-")))
        # The image's user, who may be anyone, reads it.
        scratch.chmod(0o755)
        module = f"pybuild_check_{secrets.token_hex(4)}"
        wheel = TrialWheel(file_name=write_wheel(scratch, module, "").name, module=module)
        laboratory = Laboratory(
            copy=copy,
            processes=stack.enter_context(limited_processes(_PROCESS_LIMIT)),
            timeout_s=request.timeout_s,
            deadline=request.deadline,
            mounts=(Mount(source=scratch, target=PurePosixPath(WHEEL_DIRECTORY)),),
        )
        found = tuple(find_all(request.profile, config, root.runnable.user, laboratory, wheel))
    return CheckReport(image=request.image.digest, profile=request.profile, findings=found)


def require_profile(request: CheckRequest, location: str, store: Path, log: Log) -> None:
    """Return when the image has all that the profile asks for; what was found to hold once is not tried again.

    Raises:
        ProfileNotMet: it has not; `location` is what the error calls it.
        lifecycle.cnb.errors.CnbError: the image cannot be unpacked or run at all.
    """
    remembered = store / "checks" / f"{request.image.digest.hex}-{request.profile.key()}"
    if remembered.exists():
        log.info(f"the image meets the profile `{request.profile.name}`, as before")
        return
    report = check_image(request, store, log)
    if not report.holds:
        raise ProfileNotMet(location=location, report=report)
    log.info(f"the image meets the profile `{request.profile.name}`")
    remembered.parent.mkdir(parents=True, exist_ok=True)
    remembered.touch()


def _not_run(request: CheckRequest, reason: str) -> CheckReport:
    profile = request.profile
    platform = None if profile.platform is None else f"platform {profile.platform}"
    return CheckReport(
        image=request.image.digest,
        profile=profile,
        findings=tuple(
            find_platform(text, profile.platform, request.image.config)
            if text == platform and profile.platform is not None
            else Finding(requirement=text, verdict=Verdict.NOT_TRIED, found=reason)
            for text in list_requirements(profile)
        ),
    )
