"""The solve against real channels: what is chosen, what is refused, and what people are told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from buildpacks.conda.client import Network, make_network
from buildpacks.conda.failures import ForbiddenPackage, SolveTimeout, UnreachableChannel, UnsolvableEnvironment
from buildpacks.conda.lock import LockedPackage
from buildpacks.conda.settings import Mirror, read_settings
from buildpacks.conda.solve import SolveRequest, solve_environment
from buildpacks.conda.specification import Entry, Origin
from buildpacks.conda.targets import CondaTarget
from lifecycle.cnb.errors import render_error
from tests.buildpacks.conda.packages import Channels, CondaPackage, make_channel, serve

PUBLIC = "https://conda.anaconda.org"
TARGET = CondaTarget(
    platform="linux-64", virtual_packages=("__archspec=1=x86_64", "__glibc=2.36=0", "__linux=4.18=0", "__unix=0=0")
)
FORGE = (
    CondaPackage(name="python", version="3.10.4"),
    CondaPackage(name="python", version="3.11.2"),
    CondaPackage(name="pip", version="24.0", noarch="python", depends=("python >=3.8",)),
    CondaPackage(name="numpy", version="1.26.4", build_prefix="py310", depends=("python 3.10.*",)),
    CondaPackage(name="scipy", depends=("numpy >=2",)),
    CondaPackage(name="numpy", version="2.0.0", build_prefix="py311", depends=("python 3.11.*",)),
    CondaPackage(name="left", depends=("shared 1.*",)),
    CondaPackage(name="right", depends=("shared 2.*",)),
    CondaPackage(name="shared", version="1.0"),
    CondaPackage(name="shared", version="1.5"),
    CondaPackage(name="shared", version="2.0"),
    CondaPackage(name="modern", depends=("__glibc >=2.99",)),
    CondaPackage(name="gpu", depends=("__cuda >=12",)),
    CondaPackage(name="beautifulsoup4"),
    CondaPackage(name="r-ggplot2"),
)
OTHER = (CondaPackage(name="shared", version="9.0"), CondaPackage(name="special"))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("channels")
    make_channel(directory / "conda-forge", FORGE)
    make_channel(directory / "other", OTHER)
    make_channel(directory / "conda-forge-extra", [CondaPackage(name="extra")])
    return directory


@pytest.fixture
def channels(root: Path) -> Iterator[Channels]:
    with serve(root) as served:
        yield served


def network(served: Channels, *mirrors: Mirror) -> Network:
    return Network(alias=PUBLIC, mirrors=(Mirror(source=PUBLIC, targets=(served.url,)), *mirrors), retries=1)


def entries(*specs: str) -> tuple[Entry, ...]:
    return tuple(
        Entry(text=spec, origin=Origin(file="environment.yml", line=line, column=5))
        for line, spec in enumerate(specs, 6)
    )


def solve(
    net: Network,
    cache: Path,
    *specs: str,
    channels: tuple[str, ...] = ("conda-forge",),
    target: CondaTarget = TARGET,
    preferred: tuple[LockedPackage, ...] = (),
    needs_pip: bool = False,
    refresh: bool = False,
    time_limit_s: float = 60.0,
) -> dict[str, LockedPackage]:
    said: list[str] = []
    request = SolveRequest(
        channels=channels,
        specs=entries(*specs),
        target=target,
        network=net,
        cache_dir=cache,
        preferred=preferred,
        needs_pip=needs_pip,
        refresh=refresh,
        time_limit_s=time_limit_s,
    )
    return {package.name: package for package in solve_environment(request, say=said.append)}


def versions(packages: dict[str, LockedPackage]) -> dict[str, str]:
    return {name: package.version for name, package in packages.items()}


def test_packages_have_public_urls_and_stand_after_what_they_depend_on(channels: Channels, tmp_path: Path) -> None:
    found = solve(network(channels), tmp_path, "numpy=1.26.*=py310*")
    assert versions(found) == {"python": "3.10.4", "pip": "24.0", "numpy": "1.26.4"}
    assert list(found).index("python") < list(found).index("numpy")
    numpy = found["numpy"]
    assert numpy.url == f"{PUBLIC}/conda-forge/linux-64/numpy-1.26.4-py310_0.conda"
    assert numpy.channel == f"{PUBLIC}/conda-forge"
    assert numpy.sha256 is not None
    assert numpy.size == (channels.root / "conda-forge/linux-64/numpy-1.26.4-py310_0.conda").stat().st_size
    assert channels.url not in "".join(f"{package}{package.record}" for package in found.values())


def test_pip_comes_with_python_only(channels: Channels, tmp_path: Path) -> None:
    assert "pip" not in solve(network(channels), tmp_path, "shared")
    assert "pip" in solve(network(channels), tmp_path, "shared", needs_pip=True)


def test_python_without_any_pip_in_the_channels_is_python_alone(channels: Channels, tmp_path: Path) -> None:
    make_channel(tmp_path / "root" / "bare", [CondaPackage(name="python", version="3.10.4")])
    with serve(tmp_path / "root") as bare:
        assert versions(solve(network(bare), tmp_path, "python", channels=("bare",))) == {"python": "3.10.4"}
        with pytest.raises(UnsolvableEnvironment, match="the `pip:` section needs pip, and the channels have none"):
            solve(network(bare), tmp_path, "python", channels=("bare",), needs_pip=True)


def test_the_packages_of_the_last_lock_are_chosen_again(channels: Channels, tmp_path: Path) -> None:
    old = tuple(solve(network(channels), tmp_path, "shared=1.0").values())
    assert versions(solve(network(channels), tmp_path, "shared", preferred=old)) == {"shared": "1.0"}
    assert versions(solve(network(channels), tmp_path, "shared>1", preferred=old)) == {"shared": "2.0"}


def test_a_later_channel_does_not_answer_for_a_package_that_the_first_has(channels: Channels, tmp_path: Path) -> None:
    both = ("conda-forge", "other")
    assert versions(solve(network(channels), tmp_path, "shared", "special", channels=both))["shared"] == "2.0"
    with pytest.raises(UnsolvableEnvironment) as caught:
        solve(network(channels), tmp_path, "shared=9", channels=both)
    text = render_error(caught.value)
    assert "environment.yml:6:5: `shared=9` is in `https://conda.anaconda.org/other` only" in text
    assert "other::shared=9" in text


def test_a_dependency_with_a_channel_is_taken_from_there(channels: Channels, tmp_path: Path) -> None:
    both = ("conda-forge", "other")
    found = solve(network(channels), tmp_path, "other::shared", channels=both)
    assert found["shared"].url == f"{PUBLIC}/other/linux-64/shared-9.0-0.conda"


def test_a_mirror_of_a_channel_is_not_one_of_a_channel_whose_name_begins_so(channels: Channels, tmp_path: Path) -> None:
    mirrors = (Mirror(source=f"{PUBLIC}/conda-forge", targets=(f"{channels.url}/other",)),)
    net = network(channels, *mirrors)
    assert "extra" in solve(net, tmp_path, "extra", channels=("conda-forge-extra",))
    assert versions(solve(net, tmp_path, "shared")) == {"shared": "9.0"}


def test_a_directory_serves_as_mirror(root: Path, tmp_path: Path) -> None:
    net = Network(alias=PUBLIC, mirrors=(Mirror(source=PUBLIC, targets=(root.as_uri(),)),))
    found = solve(net, tmp_path, "shared=1.0")
    assert found["shared"].url == f"{PUBLIC}/conda-forge/linux-64/shared-1.0-0.conda"
    assert "file:" not in str(found["shared"].record)


def test_unknown_packages_are_all_named_with_what_may_be_meant(channels: Channels, tmp_path: Path) -> None:
    with pytest.raises(UnsolvableEnvironment) as caught:
        solve(network(channels), tmp_path, "numpi", "shared", "bs4", "ggplot2", "nothing-like-it")
    assert [str(problem.origin) for problem in caught.value.problems] == [
        "environment.yml:6:5",
        "environment.yml:8:5",
        "environment.yml:9:5",
        "environment.yml:10:5",
    ]
    assert caught.value.code == "package-not-found"
    text = render_error(caught.value)
    assert "did you mean `numpy`?" in text
    assert "did you mean `beautifulsoup4`?" in text
    assert "did you mean `r-ggplot2`?" in text
    assert "move the line below `pip:`" in text


def test_a_version_that_no_channel_has_is_named_with_those_that_there_are(channels: Channels, tmp_path: Path) -> None:
    with pytest.raises(UnsolvableEnvironment) as caught:
        solve(network(channels), tmp_path, "shared", "python=3.12")
    assert render_error(caught.value) == (
        "error: environment.yml:7:5: no channel has `python=3.12`\nhint: there are `3.10.4`, `3.11.2`"
    )


def test_a_build_string_of_another_system_is_offered_to_be_dropped(channels: Channels, tmp_path: Path) -> None:
    with pytest.raises(UnsolvableEnvironment) as caught:
        solve(network(channels), tmp_path, "numpy=1.26.4=py310h0123456_0")
    assert "`numpy=1.26.4`: `pybuild fix`" in str(caught.value.hint)


def test_a_build_that_no_channel_has_is_named_with_those_that_there_are(channels: Channels, tmp_path: Path) -> None:
    with pytest.raises(UnsolvableEnvironment) as caught:
        solve(network(channels), tmp_path, "numpy=1.26.4=*mkl*")
    assert caught.value.hint == "there is `1.26.4=py310_0`"


def test_lines_that_disagree_are_told_from_those_that_do_not(channels: Channels, tmp_path: Path) -> None:
    with pytest.raises(UnsolvableEnvironment) as caught:
        solve(network(channels), tmp_path, "python", "left", "beautifulsoup4", "right", "r-ggplot2")
    assert [entry.text for entry in caught.value.conflict] == ["left", "right"]
    text = render_error(caught.value)
    assert text.startswith("error: 2 lines of `environment.yml` cannot be installed together\n")
    assert "environment.yml:7:5:  left" in text
    assert "environment.yml:9:5:  right" in text
    assert "shared 1.*" in text


def test_a_line_that_cannot_be_installed_alone_is_named(channels: Channels, tmp_path: Path) -> None:
    with pytest.raises(UnsolvableEnvironment) as caught:
        solve(network(channels), tmp_path, "shared", "modern")
    assert caught.value.summary == "environment.yml:7:5: `modern` cannot be installed"
    assert "BP_CONDA_OVERRIDE_GLIBC" in str(caught.value.hint)


def test_cuda_is_there_when_it_is_asked_for(channels: Channels, tmp_path: Path) -> None:
    with pytest.raises(UnsolvableEnvironment) as caught:
        solve(network(channels), tmp_path, "gpu")
    assert "BP_CONDA_OVERRIDE_CUDA" in str(caught.value.hint)
    virtual = CondaTarget(platform="linux-64", virtual_packages=(*TARGET.virtual_packages, "__cuda=12.4=0"))
    assert "gpu" in solve(network(channels), tmp_path, "gpu", target=virtual)


def test_a_solve_ends_when_its_time_is_up(channels: Channels, tmp_path: Path) -> None:
    with pytest.raises(SolveTimeout):
        solve(network(channels), tmp_path, "left", time_limit_s=0.000001)


def test_what_is_no_specification_is_an_error_of_its_line(channels: Channels, tmp_path: Path) -> None:
    with pytest.raises(UnsolvableEnvironment) as caught:
        solve(network(channels), tmp_path, "shared", "numpy>=")
    assert caught.value.summary.startswith("environment.yml:7:5: `numpy>=` is no package specification")


@pytest.mark.parametrize(
    ("status", "problem", "advice"),
    [
        (401, "asks for credentials", "RATTLER_AUTH_FILE"),
        (403, "refuses access (403)", "RATTLER_AUTH_FILE"),
        (404, "has no such channel", "correct its name"),
        (429, "too many requests (429)", "BP_CONDA_MIRRORS"),
        (503, "does not work at the moment (503)", "build again later"),
    ],
)
def test_a_channel_that_does_not_answer_well_is_named(
    channels: Channels, tmp_path: Path, status: int, problem: str, advice: str
) -> None:
    channels.statuses["/conda-forge"] = status
    with pytest.raises(UnreachableChannel) as caught:
        solve(network(channels), tmp_path, "shared")
    assert problem in caught.value.summary
    assert advice in str(caught.value.hint)


def test_a_host_that_is_not_there_is_told_from_one_that_refuses(tmp_path: Path) -> None:
    with pytest.raises(UnreachableChannel) as caught:
        solve(Network(alias="http://127.0.0.1:1", mirrors=(), retries=1), tmp_path, "shared")
    assert caught.value.summary == "`http://127.0.0.1:1/conda-forge` refuses connections"


def test_garbage_instead_of_an_index_is_no_traceback(tmp_path: Path) -> None:
    for subdir in ("noarch", "linux-64"):
        (tmp_path / "root" / "conda-forge" / subdir).mkdir(parents=True)
        (tmp_path / "root" / "conda-forge" / subdir / "repodata.json").write_text("<html>login</html>")
    with serve(tmp_path / "root") as served, pytest.raises(UnreachableChannel) as caught:
        solve(network(served), tmp_path, "shared")
    assert "no index of packages" in caught.value.summary


def test_packages_that_an_index_has_elsewhere_are_refused(tmp_path: Path) -> None:
    channel = make_channel(tmp_path / "root" / "conda-forge", [CondaPackage(name="shared")])
    set_base_url(channel / "linux-64", "https://repo.anaconda.com/pkgs/main/linux-64/")
    with serve(tmp_path / "root") as served, pytest.raises(ForbiddenPackage) as caught:
        solve(network(served), tmp_path, "shared")
    assert "shared 1.0" in caught.value.summary
    assert "Anaconda's server `repo.anaconda.com`" in caught.value.summary


def test_packages_of_a_stranger_are_refused(tmp_path: Path) -> None:
    channel = make_channel(tmp_path / "root" / "conda-forge", [CondaPackage(name="shared")])
    set_base_url(channel / "linux-64", "https://elsewhere.example/linux-64/")
    with serve(tmp_path / "root") as served, pytest.raises(ForbiddenPackage) as caught:
        solve(network(served), tmp_path, "shared")
    assert "`https://elsewhere.example/linux-64/shared-1.0-0.conda`" in caught.value.summary


def test_a_mirror_of_anacondas_channels_is_refused_before_anything_is_fetched(tmp_path: Path) -> None:
    mirror = Mirror(source=f"{PUBLIC}/conda-forge", targets=("https://repo.anaconda.com/pkgs/main",))
    with pytest.raises(ForbiddenPackage, match=r"repo\.anaconda\.com"):
        solve(Network(alias=PUBLIC, mirrors=(mirror,)), tmp_path, "shared")


def test_a_new_package_is_seen_although_the_index_was_fetched_before(tmp_path: Path) -> None:
    channel = make_channel(tmp_path / "root" / "conda-forge", [CondaPackage(name="shared")])
    with serve(tmp_path / "root") as served:
        # By the rules of HTTP such an answer is fresh for months.
        served.headers["Last-Modified"] = "Mon, 01 Jan 2024 00:00:00 GMT"
        assert versions(solve(network(served), tmp_path, "shared")) == {"shared": "1.0"}
        make_channel(channel, [CondaPackage(name="shared", version="1.1")])
        assert versions(solve(network(served), tmp_path, "shared")) == {"shared": "1.1"}
        shards = [path for path in served.requests if "/shards/" in path]
        assert len(shards) == 2


def set_base_url(directory: Path, url: str) -> None:
    for name in ("repodata.json.zst", "repodata_shards.msgpack.zst"):
        (directory / name).unlink()
    values = json.loads((directory / "repodata.json").read_text())
    values["info"]["base_url"] = url
    (directory / "repodata.json").write_text(json.dumps(values))


def test_credentials_of_a_channel_are_used_and_stay_out_of_all_that_is_kept(root: Path, tmp_path: Path) -> None:
    with serve(root) as served:
        served.require_basic("me", "very-secret")
        private = served.url.replace("://", "://me:very-secret@") + "/conda-forge"
        settings = read_settings({"BP_CONDA_CHANNEL_ALIAS": "https://channels.example"})
        net = make_network(settings, (private,))
        found = solve(net, tmp_path, "shared", channels=(private,))
        assert found["shared"].url == f"{served.url}/conda-forge/linux-64/shared-2.0-0.conda"
        with pytest.raises(UnsolvableEnvironment) as caught:
            solve(net, tmp_path, "left", "right", channels=(private,))
    assert "very-secret" not in f"{found}{render_error(caught.value)}"
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert kept
    assert not [path for path in kept if b"very-secret" in path.read_bytes()]


def test_a_refresh_fetches_every_index_anew(channels: Channels, tmp_path: Path) -> None:
    solve(network(channels), tmp_path, "shared")
    first = [path for path in channels.requests if "/shards/" in path]
    channels.requests.clear()
    solve(network(channels), tmp_path, "shared", refresh=True)
    assert [path for path in channels.requests if "/shards/" in path] == first
