"""What each sample must give: the rows of `tests.integration.test_samples`."""

from __future__ import annotations

from tests.integration.samples import Run, Sample

_GREETING = {"text": "hello", "times": 3}
_HELLO = (
    "CNB_BUILDPACK_DIR=/cnb/buildpacks/example_hello/1.0.0",
    "CNB_LAYERS_DIR=/layers/example_hello",
    "CNB_TARGET_OS=linux",
    "CNB_TARGET_ARCH=amd64",
    'plan: name = "greeting"',
    'plan: text = "hello"',
    "plan: times = 3",
)
_PARTY = ("user says: ", *_HELLO, 'plan: name = "greeting"', 'plan: text = "good evening"')
_TWO_GREETINGS = {"greeting": (("hello",), (_GREETING, {"text": "good evening"}))}
_TOOL = {"version": "1.0", "size": 42}
_TWO_LAYERS_PATH = "/layers/example_variables/two/bin:/layers/example_variables/one/bin"


def _shown(
    phase: str, path: str, *, user: str = "unset", operator: str = "unset", chosen: str = "two"
) -> tuple[str, ...]:
    return (
        "JOINED=onetwo",
        "LISTED=one\\,two",
        "AHEAD=two:one",
        "FALLBACK=one",
        f"CHOSEN={chosen}",
        "BARE=$'two\\n'",
        "UNKNOWN=unset",
        f"PHASE={phase}",
        f"FROM_USER={user}",
        f"FROM_OPERATOR={operator}",
        f"PATH={path}",
    )


_LAUNCH_PATH = f"/layers/example_witness/show/bin:{_TWO_LAYERS_PATH}"

ROWS = (
    Sample(
        name="hello",
        asked=("hello",),
        user_env={"FROM_USER": "user"},
        group=("hello",),
        plan={"greeting": (("hello",), (_GREETING,))},
        first={"hello": ("user says: user", *_HELLO)},
        runs=(
            Run(command=("echo hello $((40 + 2))",), says=("hello 42",)),
            Run(command=("--", "echo", "$HOME"), says=("$HOME",)),
            Run(status=82),
        ),
    ),
    Sample(name="guest-alone", asked=("guest",), status=20, error="requires `greeting`"),
    Sample(
        name="hello-and-guest",
        asked=("hello", "guest"),
        group=("hello", "guest"),
        plan=_TWO_GREETINGS,
        first={"hello": _PARTY, "guest": ("nothing is planned for the guest",)},
    ),
    Sample(
        name="composite",
        asked=("party",),
        group=("hello", "guest"),
        plan=_TWO_GREETINGS,
        first={"hello": _PARTY, "guest": ("nothing is planned for the guest",)},
    ),
    Sample(
        name="processes",
        asked=("processes",),
        group=("processes",),
        layers={"processes:tools": {}},
        processes=("greet", "sys-info", "where"),
        labels={"org.example.processes": "three"},
        runs=(
            Run(process="sys-info", says=("Linux at /workspace",)),
            Run(process="greet", says=("hello world",)),
            Run(process="greet", command=("moon",), says=("hello moon",)),
            Run(process="where", says=("/workspace/sub",)),
        ),
    ),
    Sample(
        name="cached",
        asked=("cached",),
        app="tool",
        group=("cached",),
        first={"cached": ("tool 1.0: download", "notes: written", "downloads: empty", "store: ")},
        second={
            "cached": (
                "tool 1.0: read back, size 42",
                "notes: left in the image, 7 pages",
                "downloads: read back",
                'store: "1.0"',
            )
        },
        cleared={
            "cached": (
                "tool 1.0: download",
                "notes: left in the image, 7 pages",
                "downloads: empty",
                'store: "1.0"',
            )
        },
        layers={"cached:notes": {"pages": 7}, "cached:tool": _TOOL},
        processes=("tool",),
        default="tool",
        files={
            "layers/example_cached/notes/text": "about tool 1.0\n",
            "layers/example_cached/downloads/tool": None,
            "layers/example_cached/tool/env/TOOL_HOME.default": "/layers/example_cached/tool",
        },
        runs=(
            Run(says=("tool 1.0 at /layers/example_cached/tool",)),
            Run(env={"TOOL_HOME": "elsewhere"}, says=("tool 1.0 at elsewhere",)),
        ),
    ),
    Sample(
        name="variables",
        asked=("variables", "witness"),
        user_env={"CHOSEN": "user", "FROM_USER": "user"},
        group=("variables", "witness"),
        first={
            "witness": _shown(
                "build",
                f"{_TWO_LAYERS_PATH}:/opt/pybuild/bin",
                user="user",
                operator="operator",
                chosen="user",
            )
        },
        layers={"variables:one": {}, "variables:two": {}, "witness:show": {}},
        processes=("show", "worker"),
        default="show",
        runs=(
            Run(says=_shown("launch", _LAUNCH_PATH)),
            Run(process="worker", says=_shown("worker", _LAUNCH_PATH)),
            Run(env={"CHOSEN": "user", "FROM_USER": "user"}, says=_shown("launch", _LAUNCH_PATH, user="user")),
        ),
    ),
    Sample(
        name="startup",
        asked=("startup",),
        group=("startup",),
        layers={"startup:startup": {}},
        processes=("web", "worker"),
        default="web",
        runs=(
            Run(says=("exec.d, again", 'a "b" $c')),
            Run(process="worker", says=("exec.d, again, of the worker",)),
            Run(
                process="/cnb/lifecycle/launcher",
                command=('echo "$STEPS"',),
                says=("exec.d, again, profile.d, of the application",),
            ),
        ),
    ),
    Sample(
        name="home",
        asked=("home",),
        group=("home",),
        second={"home": ("settings: read back",)},
        cleared={},
    ),
    Sample(
        name="every-api",
        asked=("api-0-10", "api-0-11", "api-0-12"),
        group=("api-0-10", "api-0-11", "api-0-12"),
        first={
            "api-0-10": ("api 0.10: target linux/amd64, execution environment none",),
            "api-0-11": ("api 0.11: target linux/amd64, execution environment none",),
            "api-0-12": ("api 0.12: target linux/amd64, execution environment production",),
        },
        processes=("api-0.10", "api-0.11", "api-0.12"),
        runs=(
            Run(process="api-0.10", says=("0.10",)),
            Run(process="api-0.11", says=("0.11",)),
            Run(process="api-0.12", says=("0.12",)),
        ),
    ),
    Sample(name="old-requirement", asked=("old-requirement",), status=21, error="version"),
    Sample(
        name="inline",
        app="scripted",
        options=("--trust-project",),
        group=("inline 0.0.0 0.10",),
        first={"inline": ("./app.sh", "./project.toml")},
        processes=("web",),
        default="web",
        files={
            "workspace/greeting.txt": "hello from project.toml",
            "workspace/README.md": None,
            "workspace/hidden/canary": None,
        },
        runs=(Run(says=("the application says: hello from project.toml",)),),
    ),
    Sample(
        name="misplaced-metadata",
        asked=("misplaced-metadata",),
        group=("misplaced-metadata",),
        first={"misplaced-metadata": ("gems: installed",)},
        cleared={"misplaced-metadata": ("gems: installed",)},
        layers={"misplaced-metadata:gems": {}},
    ),
)

# An extension makes another image the run image: only what has extensions can build it, which `creator` has not.
TOOLBOX = Sample(
    name="toolbox",
    asked=("toolbox-user",),
    extensions=("toolbox",),
    group=("toolbox-user",),
    processes=("tool",),
    default="tool",
)
