from __future__ import annotations

import os
from pathlib import Path

import pytest

from buildpacks.conda.install import PrefixNotMade, UnusablePackage, drop_unused, install_packages
from buildpacks.conda.lock import LockedPackage
from buildpacks.conda.prefix import scrub
from tests.buildpacks.conda.building import CHANNEL, lock_archives
from tests.buildpacks.trees import tree
from tests.integration.conda_packages import PLACEHOLDER, CondaPackage, Symlink, python_package

PYTHON = CondaPackage(name="python", version="3.10.1", build_prefix="h", files={"bin/python3.10": "#!/bin/sh\n"})
TOOL = python_package("tool", modules={"tool.py": "def main(): ...\n"}, entry_points=("tool = tool:main",))
DATA = CondaPackage(
    name="data",
    files={
        "etc/data.conf": f"home={PLACEHOLDER}/share\n",
        "lib/libdata.bin": b"\0" + PLACEHOLDER.encode() + b"/share\0end",
        "lib/latest.bin": Symlink(target="libdata.bin"),
        "share/data.txt": "as it came\n",
        "Menu/data.json": "{}",
    },
)


def install(root: Path, *packages: CondaPackage, prefix: str = "env", ending: str = ".conda") -> list[LockedPackage]:
    archives = lock_archives(root / "channel", *packages, ending=ending)
    install_packages(archives, prefix=root / prefix, cache_dir=root / "cache", platform="linux-64")
    return list(archives)


@pytest.mark.parametrize("ending", [".conda", ".tar.bz2"])
def test_every_placeholder_becomes_the_prefix(tmp_path: Path, ending: str) -> None:
    install(tmp_path, DATA, ending=ending)
    prefix = tmp_path / "env"
    assert (prefix / "etc" / "data.conf").read_text() == f"home={prefix}/share\n"
    binary = (prefix / "lib" / "libdata.bin").read_bytes()
    assert binary.startswith(b"\0" + str(prefix).encode() + b"/share\0")
    assert len(binary) == len(PLACEHOLDER) + 11
    assert (prefix / "lib" / "latest.bin").readlink() == Path("libdata.bin")


def test_entry_points_start_the_python_of_the_prefix(tmp_path: Path) -> None:
    install(tmp_path, PYTHON, TOOL)
    script = (tmp_path / "env" / "bin" / "tool").read_text()
    assert script.startswith(f"#!{tmp_path / 'env'}/bin/python3.10\n")
    assert (tmp_path / "env" / "lib" / "python3.10" / "site-packages" / "tool.py").is_file()


def test_what_was_in_the_prefix_before_is_gone(tmp_path: Path) -> None:
    (tmp_path / "env").mkdir()
    (tmp_path / "env" / "old").touch()
    install(tmp_path, DATA)
    assert not (tmp_path / "env" / "old").exists()


def test_a_scrubbed_prefix_names_the_channel_and_no_path_of_the_build(tmp_path: Path) -> None:
    packages = install(tmp_path, PYTHON, TOOL, DATA)
    scrub(tmp_path / "env", packages)
    found = tree(tmp_path / "env")
    assert "CACHEDIR.TAG" not in found
    assert found["conda-meta/history"] == b""
    records = [content for name, content in found.items() if name.startswith("conda-meta/") and name.endswith("json")]
    assert len(records) == 3
    for record in records:
        assert isinstance(record, bytes)
        assert f'"url": "{CHANNEL}/'.encode() in record
        assert f'"channel": "{CHANNEL}"'.encode() in record
    for content in found.values():
        assert isinstance(content, str) or str(tmp_path / "cache").encode() not in content
        assert isinstance(content, str) or b"file://" not in content


def test_two_installations_are_equal_to_the_byte(tmp_path: Path) -> None:
    scrub(tmp_path / "env", install(tmp_path, PYTHON, TOOL, DATA))
    first = tree(tmp_path / "env")
    scrub(tmp_path / "env", install(tmp_path, PYTHON, TOOL, DATA))
    assert tree(tmp_path / "env") == first


def test_files_have_the_times_of_their_package_also_where_the_cache_has_come_through_an_archive(tmp_path: Path) -> None:
    def time() -> float:
        return (tmp_path / "env" / "share" / "data.txt").stat().st_mtime

    install(tmp_path, DATA)
    wanted = time()
    for path in (tmp_path / "cache").rglob("*"):
        os.utime(path, (315532801, 315532801), follow_symlinks=False)
    install(tmp_path, DATA)
    assert time() == wanted != 315532801


def test_an_environment_may_manage_itself_with_pip(tmp_path: Path) -> None:
    marker = "lib/python3.10/EXTERNALLY-MANAGED"
    packages = install(
        tmp_path, CondaPackage(name="python", version="3.10.1", files={marker: "[externally-managed]\n"})
    )
    assert (tmp_path / "env" / marker).is_file()
    scrub(tmp_path / "env", packages)
    assert not (tmp_path / "env" / marker).exists()


def test_a_file_that_was_edited_in_a_prefix_is_whole_in_the_next_one(tmp_path: Path) -> None:
    install(tmp_path, DATA)
    with (tmp_path / "env" / "share" / "data.txt").open("a") as stream:
        stream.write("edited\n")
    install(tmp_path, DATA, prefix="other")
    assert (tmp_path / "other" / "share" / "data.txt").read_text() == "as it came\n"


def test_files_are_shared_with_the_cache_unless_a_script_may_edit_them(tmp_path: Path) -> None:
    install(tmp_path, DATA)
    assert (tmp_path / "env" / "share" / "data.txt").stat().st_nlink == 2
    script = CondaPackage(name="script", files={"bin/.script-post-link.sh": "true\n"})
    install(tmp_path, DATA, script, prefix="other")
    assert (tmp_path / "other" / "share" / "data.txt").stat().st_nlink == 1


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"../../escaped": "x"}, "would lie outside the environment"),
        ({"/escaped": "x"}, "would lie outside the environment"),
        ({"conda-meta/other-1.0-0.json": "{}"}, "which only an installer writes"),
        ({"share/passwd": Symlink(target="/etc/passwd")}, "leads out of the environment, to `/etc/passwd`"),
        ({"share/up": Symlink(target="../../x")}, "leads out of the environment, to `../../x`"),
    ],
)
@pytest.mark.parametrize("ending", [".conda", ".tar.bz2"])
def test_a_package_that_leaves_the_prefix_is_refused_by_name(
    tmp_path: Path, files: dict[str, str | Symlink], words: str, ending: str
) -> None:
    hostile = CondaPackage(name="hostile", files=files)
    with pytest.raises(UnusablePackage) as caught:
        install(tmp_path, DATA, hostile, ending=ending)
    assert caught.value.package == "hostile 1.0 0"
    assert words in caught.value.summary
    assert caught.value.facts == (("from", f"{CHANNEL}/linux-64/hostile-1.0-0{ending}"),)
    assert not list(tmp_path.rglob("escaped"))


def test_what_is_written_through_a_link_of_another_package_stays_inside(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    link = CondaPackage(name="link", files={"share": Symlink(target=str(tmp_path / "out"))})
    with pytest.raises(UnusablePackage, match=r"link 1\.0 0"):
        install(tmp_path, link, CondaPackage(name="through", files={"share/x": "x"}))
    assert not list((tmp_path / "out").iterdir())


def test_an_archive_that_is_none_is_named(tmp_path: Path) -> None:
    archives = lock_archives(tmp_path / "channel", DATA)
    (path,) = archives.values()
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UnusablePackage, match=r"data 1\.0 0 cannot be installed"):
        install_packages(archives, prefix=tmp_path / "env", cache_dir=tmp_path / "cache", platform="linux-64")


def test_a_python_package_needs_python(tmp_path: Path) -> None:
    with pytest.raises((UnusablePackage, PrefixNotMade)):
        install(tmp_path, TOOL)


def test_what_the_cache_keeps_of_packages_that_nothing_uses_is_dropped(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    (cache / "archives").mkdir(parents=True)
    archives = {
        package: path.rename(cache / "archives" / f"{package.sha256}.conda")
        for package, path in lock_archives(tmp_path / "channel", DATA, PYTHON).items()
    }
    install_packages(archives, prefix=tmp_path / "env", cache_dir=cache, platform="linux-64")
    package, path = next(iter(archives.items()))
    drop_unused(cache, {package: path})
    assert sorted(path.name for path in (cache / "packages").glob("[!.]*")) == ["data-1.0-0", "data-1.0-0.lock"]
    assert list((cache / "archives").iterdir()) == [path]
