"""Every disguise of `defaults`, what else a list of channels may not hold, and what a person reads about it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildpacks.conda.channels import ChannelDecision, channel_identity, check_channels, forbidden_url
from buildpacks.conda.errors import ChannelPolicyViolation
from buildpacks.conda.rules import Rules, judge_channel, judge_dependency
from buildpacks.conda.settings import Mirror, Nodefaults
from buildpacks.conda.specification import parse_environment_file
from lifecycle.cnb.errors import render_error

DISGUISES = [
    "defaults",
    "default",
    "Defaults",
    "DEFAULTS/",
    "anaconda",
    "main",
    "r",
    "free",
    "pro",
    "mro",
    "mro-archive",
    "msys2",
    "archive",
    "pkgs/main",
    "pkgs/r",
    "pkgs/msys2",
    "pkgs/free/",
    "main/linux-64",
    "main[linux-64]",
    "anaconda/label/dev",
    "ｄｅｆａｕｌｔｓ",
    "https://repo.anaconda.com/pkgs/main",
    "https://repo.anaconda.com/pkgs/main/linux-64/",
    "http://repo.anaconda.com/pkgs/r",
    "HTTPS://Repo.Anaconda.COM/pkgs/main",
    "https://repo.anaconda.com./pkgs/main",
    "https://repo.anaconda.com:443/pkgs/main",
    "https://user:secret@repo.anaconda.com/pkgs/main",
    "//repo.anaconda.com/pkgs/main",
    "https:/repo.anaconda.com/pkgs/main",
    "repo.anaconda.com/pkgs/main",
    "https://repo.anaconda.com/anything",
    "https://repo.anaconda.cloud/repo/main",
    "https://repo.continuum.io/pkgs/free",
    "https://conda.anaconda.org/main",
    "https://conda.anaconda.org/anaconda",
    "https://conda.anaconda.org/r/",
    "https://conda.anaconda.org/Main",
    "https://conda.anaconda.org/t/to-ken/main",
    "https://conda.anaconda.org/anaconda/label/main/linux-64",
    "https://conda.anaconda.org/%6dain",
    "https://conda.anaconda.org/%256dain",
    "https://conda.anaconda.org/conda-forge/../main",
    "https://conda.anaconda.org//main",
    "https:\\\\conda.anaconda.org\\main",
    "https://conda-static.anaconda.org/main",
    "https://anaconda.org/anaconda",
    "https://anaconda.org/channels/main",
    "https://mirrors.tuna.tsinghua.edu.cn/anaconda/pkgs/main/",
    "https://mirrors.tuna.tsinghua.edu.cn/anaconda/cloud/anaconda",
    "https://artifacts.example.org/api/conda/defaults",
]
HARMLESS = [
    "conda-forge",
    "bioconda",
    "nvidia",
    "r-forge",
    "conda-forge/label/main",
    "https://conda.anaconda.org/conda-forge",
    "https://conda.anaconda.org/conda-forge/label/main",
    "https://prefix.dev/conda-forge",
    "https://mirrors.tuna.tsinghua.edu.cn/anaconda/cloud/conda-forge/",
    "https://conda.example.org/main",
    "https://conda.example.org/t/to-ken/private",
]


def check(text: str, mode: Nodefaults = "enforce", *, alias: str | None = None) -> ChannelDecision:
    file = parse_environment_file(text.encode(), name="environment.yml")
    mirrors = (Mirror(source="http://mirror.example.org", targets=("file:///srv/mirror",)),)
    return check_channels(file, mode, mirrors=mirrors, **({} if alias is None else {"alias": alias}))


def refuse(text: str, mode: Nodefaults = "enforce") -> ChannelPolicyViolation:
    with pytest.raises(ChannelPolicyViolation) as caught:
        check(text, mode)
    return caught.value


def with_channels(*channels: str, dependency: str = "python=3.11") -> str:
    lines = "".join(f"  - '{channel}'\n" for channel in channels)
    return f"channels:\n{lines}dependencies:\n  - {dependency}\n"


@pytest.mark.parametrize("channel", DISGUISES)
def test_a_disguise_of_defaults_is_refused_with_its_line_and_its_replacement(channel: str) -> None:
    assert forbidden_url(channel) is not None
    error = refuse(with_channels("conda-forge", channel, "nodefaults"))
    (problem,) = error.problems
    assert (problem.kind, str(problem.origin)) == ("defaults", "environment.yml:3:5")
    assert problem.change == "remove this line"
    assert error.patch is not None
    assert "+" not in error.patch.partition("@@\n")[2]
    text = render_error(error)
    assert "Anaconda" in text
    assert "pybuild fix" in text
    assert "BP_CONDA_NODEFAULTS=rewrite" in text
    assert "secret" not in text
    assert "to-ken" not in text


@pytest.mark.parametrize("channel", DISGUISES)
def test_conda_forge_takes_the_place_of_a_disguise(channel: str) -> None:
    decision = check(with_channels(channel), "rewrite")
    assert decision.channels == ("conda-forge",)
    assert decision.patch is not None
    assert "+  - 'conda-forge'\n+  - nodefaults\n" in decision.patch
    assert any("`conda-forge`, `nodefaults`" in notice for notice in decision.notices)


@pytest.mark.parametrize("channel", HARMLESS)
def test_other_peoples_channels_are_accepted(channel: str) -> None:
    assert forbidden_url(channel) is None
    decision = check(with_channels(channel, "nodefaults"))
    assert decision.channels == (channel,)
    assert decision.patch is None
    assert decision.notices == ()


@pytest.mark.parametrize(
    "url",
    [
        "https://conda.anaconda.org/main/linux-64/zlib-1.3-0.conda",
        "https://repo.anaconda.com/pkgs/main/noarch/pip-24.0-py_0.conda",
        "https://mirror.example.org/pkgs/main/noarch/pip-24.0-py_0.conda",
        "https://mirror.example.org/defaults/noarch/pip-24.0-py_0.conda",
    ],
)
def test_the_url_of_a_package_of_anacondas_is_told(url: str) -> None:
    assert forbidden_url(url) is not None


def test_names_below_another_alias_are_told() -> None:
    url = "http://127.0.0.1:8000/conda/main/noarch/x-1-0.conda"
    assert forbidden_url(url) is None
    assert forbidden_url(url, alias="http://127.0.0.1:8000/conda") == "Anaconda's channel `main`"
    assert forbidden_url("http://127.0.0.1:8000/conda/conda-forge", alias="http://127.0.0.1:8000/conda") is None


@pytest.mark.parametrize("at", [0, 1, 2])
def test_nodefaults_may_stand_anywhere(at: int) -> None:
    channels = ["conda-forge", "bioconda"]
    channels.insert(at, "nodefaults")
    assert check(with_channels(*channels)).channels == ("conda-forge", "bioconda")


def test_missing_nodefaults_is_refused_with_the_whole_file_as_a_patch() -> None:
    error = refuse("name: a\nchannels:\n  - conda-forge\ndependencies:\n  - python=3.11\n")
    assert render_error(error) == (
        "error: environment.yml:3:5: `channels` does not list `nodefaults`, which keeps conda from adding Anaconda's channels\n"
        "  change  add `- nodefaults`\n"
        "  why     Anaconda limits downloads from its own channels, and its licence asks larger organisations to pay for\n"
        "          them; conda adds them to every file that does not list `nodefaults`, and builds break because of it\n"
        "\n"
        "--- a/environment.yml\n"
        "+++ b/environment.yml\n"
        "@@ -1,5 +1,6 @@\n"
        " name: a\n"
        " channels:\n"
        "   - conda-forge\n"
        "+  - nodefaults\n"
        " dependencies:\n"
        "   - python=3.11\n"
        "\n"
        "hint: change the file as shown, or let pybuild do it: `pybuild fix <repo>`\n"
        "hint: to build it unchanged: `pybuild build -e BP_CONDA_NODEFAULTS=inject <repo>`, which reads it as if the patch were made"
    )


@pytest.mark.parametrize("mode", ["inject", "rewrite"])
def test_missing_nodefaults_is_added_on_request(mode: Nodefaults) -> None:
    decision = check("channels: [conda-forge, bioconda]\ndependencies: [python]\n", mode)
    assert decision.channels == ("conda-forge", "bioconda")
    assert decision.patch is not None
    assert "\n+channels: [conda-forge, bioconda, nodefaults]\n" in decision.patch
    assert len(decision.notices) == 1


def test_inject_does_not_replace_defaults() -> None:
    kinds = {problem.kind for problem in refuse(with_channels("defaults"), "inject").problems}
    assert kinds == {"defaults", "nodefaults"}


@pytest.mark.parametrize("written", ["", "channels:\n", "channels: []\n", "channels: null\n"])
def test_without_channels_conda_forge_is_suggested(written: str) -> None:
    error = refuse(f"name: a\n{written}dependencies:\n  - python=3.11\n")
    assert [problem.kind for problem in error.problems] == ["nodefaults"]
    assert "conda-forge" in render_error(error)
    decision = check(f"name: a\n{written}dependencies:\n  - python=3.11\n", "inject")
    assert decision.channels == ("conda-forge",)


def test_nodefaults_alone_leaves_nothing_to_take_packages_from() -> None:
    error = refuse(with_channels("nodefaults"))
    assert [problem.kind for problem in error.problems] == ["channel"]
    assert error.patch is not None
    assert "\n+  - conda-forge\n" in error.patch


@pytest.mark.parametrize(
    ("dependency", "kind", "becomes"),
    [
        ("defaults::libgomp", "defaults", "libgomp"),
        ("main::numpy=1.26", "defaults", "numpy=1.26"),
        ("pkgs/main/linux-64::numpy", "defaults", "numpy"),
        ("https://repo.anaconda.com/pkgs/main::numpy>=1", "defaults", "numpy>=1"),
        ("numpy[channel=defaults]", "defaults", "numpy"),
        ("numpy[version='>=1', channel='anaconda']", "defaults", "numpy[version='>=1']"),
        ("bioconda::samtools", "unlisted-channel", "bioconda::samtools"),
    ],
)
def test_the_channel_of_a_specification_counts(dependency: str, kind: str, becomes: str) -> None:
    text = f'channels: [conda-forge, nodefaults]\ndependencies:\n  - "{dependency}"\n'
    error = refuse(text)
    assert [(problem.kind, str(problem.origin)) for problem in error.problems] == [(kind, "environment.yml:3:5")]
    assert error.patch is not None
    if kind == "defaults":
        assert [entry.text for entry in check(text, "rewrite").dependencies] == [becomes]
    else:
        assert "+channels: [conda-forge, nodefaults, bioconda]\n" in error.patch


@pytest.mark.parametrize(
    "dependency", ["conda-forge::numpy", "https://conda.anaconda.org/conda-forge::numpy", "numpy[channel=conda-forge]"]
)
def test_a_specification_may_name_a_listed_channel_in_any_spelling(dependency: str) -> None:
    assert check(with_channels("conda-forge", "nodefaults", dependency=f'"{dependency}"')).patch is None


@pytest.mark.parametrize(
    ("channel", "kind"),
    [
        ("http://conda.example.org/mine", "insecure-channel"),
        ("file:///srv/channel", "local-channel"),
        ("/srv/channel", "local-channel"),
        ("./channel", "local-channel"),
        ("../channel", "local-channel"),
        ("~/channel", "local-channel"),
        ("C:\\channel", "local-channel"),
        ("ftp://conda.example.org/mine", "channel"),
        ("-c", "channel"),
        ("--override-channels", "channel"),
        ("conda.example.org/mine", "channel"),
        ("${CHANNEL}", "channel"),
    ],
)
def test_what_is_no_safe_channel_is_refused(channel: str, kind: str) -> None:
    (problem,) = refuse(with_channels(channel, "conda-forge", "nodefaults")).problems
    assert (problem.kind, str(problem.origin)) == (kind, "environment.yml:2:5")


def test_what_needs_a_decision_stays_and_is_said() -> None:
    error = refuse(with_channels("../mine", "defaults"))
    assert error.patch is not None
    assert "../mine" in error.patch
    assert not error.is_complete
    assert "yours to decide" in render_error(error)
    only = refuse(with_channels("../mine", "conda-forge", "nodefaults"))
    assert only.patch is None
    assert "yours to decide" in render_error(only)


def test_an_operator_can_allow_http_and_files() -> None:
    assert check(with_channels("http://mirror.example.org/mine", "nodefaults")).channels
    assert check(with_channels("file:///srv/mirror/mine", "nodefaults")).channels
    alias = "http://127.0.0.1:8000"
    assert check(with_channels("http://127.0.0.1:8000/mine", "nodefaults"), alias=alias).channels
    with pytest.raises(ChannelPolicyViolation):
        check(with_channels("http://127.0.0.1:80001/mine", "nodefaults"), alias=alias)


def test_credentials_are_not_shown() -> None:
    text = render_error(refuse(with_channels("https://user:hidden@conda.example.org/t/hidden/mine")))
    assert "conda.example.org" in text
    assert "hidden" not in text


def test_all_problems_are_shown_at_once() -> None:
    error = refuse(
        "channels:\n  - defaults\ndependencies:\n  - main::numpy=1.26.4=py311h06a4308_0\n  - vs2015_runtime\n"
    )
    kinds = [problem.kind for problem in error.problems]
    assert kinds == ["defaults", "nodefaults", "defaults", "windows-package"]
    assert error.patch is not None
    assert [line for line in error.patch.splitlines() if line.startswith("+ ")] == [
        "+  - conda-forge",
        "+  - nodefaults",
        "+  - numpy=1.26.4",
    ]
    assert "drops the build strings of 1 package" in render_error(error)


@given(
    st.text() | st.from_regex(r"[a-z:/@.\[\]\\%#?-]{0,12}(anaconda|main|defaults|::|https://)[a-z:/@.\[\]=,'%-]{0,12}")
)
def test_any_text_gets_a_judgement(text: str) -> None:
    rules = Rules()
    for judgement in (judge_channel(text, rules), judge_dependency(text, frozenset(), rules)):
        assert judgement is None or judgement.message
    assert channel_identity(text) == channel_identity(f" {text} ")
    # Whatever spelling is refused, its correction is not.
    judgement = judge_dependency(text, frozenset(), rules)
    if judgement is not None and judgement.replacement is not None:
        again = judge_dependency(judgement.replacement, frozenset(), rules)
        assert again is None or len(judgement.replacement) < len(text)
