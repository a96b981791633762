"""What GitHub Actions and GitLab CI make of the files of deploy/: scripts with their environment."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tests.deploy.documents import Document

_EXPRESSION = re.compile(r"\$\{\{ *([a-zA-Z_.]+) *\}\}")
_VARIABLE = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A script and the command of the shell that the service runs it with. `env`: without what the machine has."""

    name: str
    shell: Sequence[str]
    text: str
    env: Mapping[str, str]


def github_scripts(
    workflow: Document, job: str, context: Mapping[str, str], env: Mapping[str, str]
) -> Iterator[Script]:
    """The steps of a job that run scripts. `context`: what expressions stand for. `env`: instead of the workflow's.

    https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax: without `shell`, it is `bash -e`.
    """

    def evaluate(values: Mapping[str, str]) -> dict[str, str]:
        return {name: _EXPRESSION.sub(lambda match: context[match[1]], value) for name, value in values.items()}

    shared = {**evaluate(workflow["env"]), **env}
    for step in workflow["jobs"][job]["steps"]:
        if "run" in step:
            own = {**shared, **evaluate(step.get("env", {}))}
            yield Script(name=step["name"], shell=("bash", "-e", "-c"), text=step["run"], env=own)


def gitlab_script(pipeline: Document, job: str, variables: Mapping[str, str]) -> Script:
    """The script of a job. `variables`: GitLab's own, and those that the project sets instead of the file's.

    https://docs.gitlab.com/ci/variables/: variables of the file may name others. Where an image has bash, it runs the script.
    """
    values = {**{name: str(value) for name, value in pipeline["variables"].items()}, **variables}
    expanded = {name: _VARIABLE.sub(lambda match: values.get(match[1], ""), value) for name, value in values.items()}
    shell = ("bash", "-eo", "pipefail", "-c")
    return Script(name=job, shell=shell, text="\n".join(pipeline[job]["script"]), env=expanded)
