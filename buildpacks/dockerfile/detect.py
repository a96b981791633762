"""Detection: the repository has a Dockerfile."""

from __future__ import annotations

from buildpacks.dockerfile.errors import InvalidDockerfile
from buildpacks.dockerfile.location import explain_absence, find_dockerfile, read_file_name
from lifecycle.cnb.detecting import BuildPlan, DetectContext, NotDetected


def detect(context: DetectContext) -> BuildPlan:
    """Return an empty plan: the image brings what it needs. Raises `NotDetected` when there is no Dockerfile.

    One that is broken or forbidden counts too: `bin/generate` says what is wrong with it, before an image is fetched.
    """
    name = read_file_name(context.env)
    try:
        location = find_dockerfile(context.app_dir, name)
    except InvalidDockerfile as err:
        context.say(f"found `{err.files[0]}`, which cannot be used as it is: {err.summary}")
        return BuildPlan()
    if location is None:
        raise NotDetected(explain_absence(context.app_dir, name))
    context.say(f"found `{location.name}`")
    return BuildPlan()
