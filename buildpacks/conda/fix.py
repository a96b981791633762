"""Fix: the environment file is written as the policy of channels wants it, and without what only another system has."""

from __future__ import annotations

from buildpacks.conda.channels import find_problems, violation
from buildpacks.conda.correction import correct
from buildpacks.conda.location import find_environment_file
from buildpacks.conda.rules import Rules
from buildpacks.conda.settings import read_settings
from buildpacks.conda.specification import read_environment_file
from lifecycle.cnb.kit import FixContext


def fix(context: FixContext) -> None:
    """Write the corrected environment file, if there is one and it differs.

    Build strings of an export go as well: whoever asks for this has a file that could not be built with them, or might as well do
    without. Raises `InvalidEnvironmentFile` and `InvalidSetting`, and `ChannelPolicyViolation` when nothing can be corrected
    without a decision.
    """
    settings = read_settings(context.env)
    location = find_environment_file(context.app_dir, settings)
    if location is None:
        context.say("there is no environment file")
        return
    file = read_environment_file(location.path, name=location.name)
    rules = Rules.of(settings.channel_alias, settings.mirrors)
    problems = find_problems(file, rules)
    correction = correct(file, rules, drop_build_strings=True)
    remaining = find_problems(correction.file, rules)
    if remaining and not correction.changes:
        raise violation(file, problems, correction, is_complete=False)
    for change in correction.changes:
        context.say(f"{file.name}: {change}")
    for problem in remaining:
        context.notice(f"{problem.origin or file.name}: {problem.message}: {problem.change}")
    if correction.changes:
        location.path.write_bytes(correction.text.encode())
