"""Every public name, as programs use it. It is not run: mypy and pyright read it, both as strictly as they can."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import aclosing
from pathlib import Path

import pybuild

if sys.version_info >= (3, 11):
    from typing import assert_never, assert_type
else:
    from typing_extensions import assert_never, assert_type

STORE = Path("store")


def make_request() -> pybuild.BuildRequest:
    reference = pybuild.Reference.parse("registry.example.org/team/cache:1")
    output: pybuild.Output = pybuild.parse_output("oci:image", tags=["latest"])
    return pybuild.BuildRequest(
        repository=Path("project"),
        builder=Path("builder.toml"),
        outputs=[output, "oci-archive:image.tar"],
        env={"BP_CPYTHON_VERSION": "3.12"},
        buildpacks=("pip",),
        descriptor=Path("project.toml"),
        trusts_project=False,
        volumes=(pybuild.Volume.parse("/data:/data", cwd=Path("/")),),
        exec_env="production",
        timeout_s=600,
        network=True,
        images=pybuild.ImageSettings(engine=pybuild.Engine.SANDBOX, insecure_registries=("localhost:5000",)),
        compression=pybuild.Compression.ZSTD,
        cache_image=reference,
        platforms=(pybuild.Platform(os="linux", architecture="amd64"),),
    )


def build(on_event: pybuild.OnEvent, cancellation: pybuild.Cancellation) -> str:
    request = make_request()
    report = pybuild.build(
        request, on_event=on_event, cancellation=cancellation, store=STORE, host_env={"PATH": "/usr/bin"}
    )
    assert_type(report, pybuild.BuildReport)
    assert_type(report.image, pybuild.Image)
    assert_type(report.to_json(), Mapping[str, object])
    written = pybuild.export(report.image, ["oci:other"], cancellation=cancellation)
    assert_type(written, tuple[pybuild.Written, ...])
    return str(report.image.digest)


def build_for_several_platforms() -> pybuild.ImageIndex:
    report = pybuild.build_index(make_request())
    assert_type(report, pybuild.IndexReport)
    pybuild.export(report.index, ["oci:other"])
    return report.index


def look() -> None:
    detection = pybuild.detect(make_request())
    assert_type(detection, pybuild.Detection)
    if detection.group is not None:
        assert_type([str(element.id) for element in detection.group.elements], list[str])
    assert_type(pybuild.plan(make_request()), pybuild.ResolvedPlan)
    fixes = pybuild.find_fixes(make_request())
    assert_type(fixes, tuple[pybuild.Fix, ...])
    pybuild.write_fixes(Path("project"), fixes)


def tell(event: pybuild.Event) -> str:
    assert_type(pybuild.event_to_json(event), Mapping[str, object])
    match event:
        case pybuild.LogLine(level=pybuild.Level.WARNING):
            return f"warning: {event.text}"
        case pybuild.LogLine():
            return event.text
        case pybuild.PhaseStarted() | pybuild.PhaseEnded():
            return event.name
        case pybuild.StepStarted() | pybuild.StepEnded():
            return event.title
        case pybuild.Progress():
            return f"{event.done} of {event.total}"
        case _:
            assert_never(event)


def handle() -> str:
    cancellation = pybuild.Cancellation()
    try:
        return build(lambda event: print(tell(event)), cancellation)
    except pybuild.Cancelled:
        return f"{cancellation.is_cancelled}"
    except (pybuild.PackageNotFound, pybuild.PackageConflict) as error:
        return error.code
    except (pybuild.InputError, pybuild.NothingDetected, pybuild.PhaseFailed) as error:
        return error.summary
    except (pybuild.MachineError, pybuild.RegistryError, pybuild.TimeLimitReached) as error:
        return error.hint or error.code
    except pybuild.CnbError as error:
        assert_type(error.to_json(), Mapping[str, object])
        return f"{error.exit_code} {dict(error.facts)} {pybuild.__version__}"


def use_images() -> str:
    pushed = pybuild.push_image(pybuild.PushRequest(location="oci:image", names=["registry.example.org/app:1"]))
    assert_type(pushed, pybuild.PushReport)
    rebased = pybuild.rebase_image(pybuild.RebaseRequest(location="oci:image", outputs=["oci:other"]), store=STORE)
    assert_type(rebased, pybuild.RebaseReport)
    report = pybuild.check_image("oci:image", "deepnote", timeout_s=30)
    assert_type(report, pybuild.CheckReport)
    return f"{report.holds} {rebased.outputs} {[one.location for one in pushed.written]}"


def keep_house() -> int:
    made = pybuild.create_builder(pybuild.BuilderRequest(outputs=["oci:builder"], refresh=True), store=STORE)
    assert_type(made, pybuild.BuilderReport)
    removed = pybuild.prune_store(pybuild.PruneRequest(older_than_s=86_400), store=STORE)
    assert_type(removed, pybuild.Pruned)
    usage = pybuild.measure_store(store=STORE)
    assert_type(usage, pybuild.StoreUsage)
    return usage.size + removed.freed


async def build_in_a_loop() -> pybuild.BuildReport:
    assert_type(await pybuild.aio.detect(make_request()), pybuild.Detection)
    assert_type(await pybuild.aio.build_index(make_request()), pybuild.IndexReport)
    async with aclosing(pybuild.aio.stream(make_request())) as items:
        async for item in items:
            if isinstance(item, pybuild.BuildReport):
                return item
            print(tell(item))
    return await pybuild.aio.build(make_request(), on_event=tell)


def share_environment(env: pybuild.Environment) -> str:
    try:
        with pybuild.Workspace("oci:environments", insecure_registries=["localhost"]) as workspace:
            version: str | None = env.register(workspace).version
            found: dict[str, pybuild.Environment] = pybuild.Environment.list(workspace)
            same = pybuild.Environment.get(workspace, env.name, version=version)
            details: pybuild.ImageDetails = same.build(workspace, pybuild.EnvironmentBuild(refresh=True))
            return details.image + str(same.get_image_details(workspace)["ingredients"]) + str(len(found))
    except pybuild.WorkspaceError as error:
        return error.summary


def make_environment() -> str:
    env = pybuild.Environment.from_docker_image(
        "analysis",
        "team/base:1",
        pybuild.ContainerRegistry("registry.example.org"),
        pip_requirements="requirements.txt",
    )
    dependencies = pybuild.CondaDependencies.create(conda_packages=["numpy"], python_version="3.12")
    assert_type(dependencies.conda_packages, tuple[str, ...])
    env.python.conda_dependencies = dependencies
    env.environment_variables = {"A": "1"}
    try:
        assert_type(env.build_local(outputs=["oci:image"], store=STORE), pybuild.BuildReport)
    except pybuild.InvalidEnvironment as error:
        return error.problems[0].code
    return env.definition().digest
