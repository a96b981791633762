"""An environment becomes an image: its context is written into the store, and built like any repository."""

from __future__ import annotations

import fcntl
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from lifecycle.cnb.deadline import Cancellation
from lifecycle.cnb.jsontext import parse_json, render_json
from lifecycle.cnb.reference import Reference
from lifecycle.exporters import Output
from lifecycle.registry.credentials import Login
from pybuild.builder.kept import forget_unused, make_directory, mark_used
from pybuild.environments.contents import EnvironmentContents
from pybuild.environments.context import needs_trust, write_context
from pybuild.environments.describing import describe
from pybuild.environments.lint import define, find_problems
from pybuild.events import Level, LogLine, OnEvent, ignore_event
from pybuild.library import build
from pybuild.machine import home_directory, machine_env
from pybuild.report import BuildReport
from pybuild.request import BuildRequest
from pybuild.run_image import ImageSettings
from pybuild.store import store_directory

CONTEXTS = "environments"
"""Where contexts are in the store, named after their definitions: so equal environments have one cache, and one last image."""
_KEPT_S = 60 * 24 * 3600
# platform.md, "Registry Authentication"
_AUTH_VARIABLE = "CNB_REGISTRY_AUTH"


def make_request(
    env: EnvironmentContents, *, store: Path | None = None, host_env: Mapping[str, str] | None = None
) -> BuildRequest:
    """Return the request that builds an environment, after its context is in the store.

    Raises:
        InvalidEnvironment, ConfigurationError: it cannot be built.
    """
    definition = define(env)
    if definition.repository is not None:
        return BuildRequest(repository=definition.repository)
    variables = machine_env(host_env)
    contexts = (store or store_directory(variables, home_directory(variables))) / CONTEXTS
    contexts.mkdir(parents=True, exist_ok=True)
    directory = contexts / definition.digest.partition(":")[2][:16]
    with (contexts / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not directory.is_dir():
            make_directory(directory, lambda made: write_context(definition, made))
        mark_used(directory)
        forget_unused(contexts, _KEPT_S)
    return BuildRequest(repository=directory, trusts_project=needs_trust(definition))


def add_login(env: EnvironmentContents, host_env: Mapping[str, str] | None) -> Mapping[str, str]:
    """Return what the machine says, with the credentials of the environment's registry; only this process has them.

    Raises:
        ConfigurationError: what `CNB_REGISTRY_AUTH` says already cannot be read.
    """
    variables = machine_env(host_env)
    registry, image = env.docker.registry, describe(env).image
    host = Reference.parse(image).registry if image is not None else registry.address
    basic = Login(origin="", username=registry.username or "", password=registry.password).basic()
    if registry.username is None or basic is None or host is None:
        return variables
    known = parse_json(variables.get(_AUTH_VARIABLE) or "{}", source=_AUTH_VARIABLE).values
    return {**variables, _AUTH_VARIABLE: render_json({**known, host: basic})}


def say_warnings(env: EnvironmentContents, on_event: OnEvent) -> None:
    """Say what is risky about an environment."""
    for problem in find_problems(env):
        if not problem.is_error:
            text = f"environment `{env.name}`: {problem.message}: {problem.change} ({problem.code})"
            on_event(LogLine(level=Level.WARNING, text=text))


def build_contents(
    env: EnvironmentContents,
    *,
    outputs: Sequence[Output | str] = (),
    builder: Path | None = None,
    settings: Mapping[str, str] | None = None,
    images: ImageSettings | None = None,
    on_event: OnEvent = ignore_event,
    cancellation: Cancellation | None = None,
    store: Path | None = None,
    host_env: Mapping[str, str] | None = None,
) -> BuildReport:
    """Return the report of the image that was built on this machine. The parameters are those of `Environment.build_local`.

    Raises:
        InvalidEnvironment, ConfigurationError: it cannot be built.
        CnbError: the build failed.
    """
    request = make_request(env, store=store, host_env=host_env)
    changed = replace(
        request,
        outputs=outputs,
        builder=builder or request.builder,
        env={**request.env, **(settings or {})},
        images=images or request.images,
    )
    say_warnings(env, on_event)
    return build(changed, on_event=on_event, cancellation=cancellation, store=store, host_env=add_login(env, host_env))
