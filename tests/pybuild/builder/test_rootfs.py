"""Root file systems that come from images are not trusted."""

from __future__ import annotations

from pathlib import Path

from pybuild.builder.requested import User
from pybuild.builder.rootfs import add_mount_points, add_user, parse_packages, read_inside

STATUS = """\
Package: zlib1g
Status: install ok installed
Architecture: amd64
Version: 1:1.2.13.dfsg-1
Description: compression library - runtime
 Version: not a field

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1.0

Package: bash
Status: install ok installed
Architecture: amd64
Version: 5.2.15-2+b13
"""


def test_mount_points_are_added(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/resolv.conf").symlink_to("../run/systemd/resolve/stub-resolv.conf")
    add_mount_points(tmp_path)
    assert (tmp_path / "opt/pybuild").is_dir()
    assert (tmp_path / "etc/hosts").is_file()
    assert not (tmp_path / "etc/resolv.conf").is_symlink()
    assert (tmp_path / "etc/resolv.conf").read_text() == ""


def test_no_link_is_followed_out_of_the_root(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    rootfs = tmp_path / "rootfs"
    rootfs.mkdir()
    for name in ("opt", "etc", "layers"):
        (rootfs / name).symlink_to(outside)
    add_mount_points(rootfs)
    add_user(rootfs, User())
    assert list(outside.iterdir()) == []
    (outside / "secret").write_text("secret")
    assert read_inside(rootfs, Path("etc/secret")) == ""


def test_a_user_is_added_where_the_number_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    passwd = tmp_path / "etc/passwd"
    passwd.write_text("root:x:0:0::/root:/bin/sh\n")
    add_user(tmp_path, User())
    assert passwd.read_text().splitlines()[1] == "pybuild:x:1000:1000::/home/pybuild:/bin/sh"
    before = passwd.read_text()
    add_user(tmp_path, User(name="other"))
    assert passwd.read_text() == before


def test_installed_packages_are_read() -> None:
    packages = [(package.name, package.version) for package in parse_packages(STATUS)]
    assert packages == [("bash", "5.2.15-2+b13"), ("zlib1g", "1:1.2.13.dfsg-1")]
