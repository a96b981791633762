"""What commands of a Dockerfile see of the machine's settings."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import pytest

from pybuild.engines.sandbox import Mount
from pybuild.errors import SettingsError
from pybuild.host import INDEXES_IN_BUILD, HostSettings, read_host_settings
from pybuild.run_settings import DIRECTORY, RunSettings, make_run_settings, read_inside, write_files

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CONSTRAINTS = b"idna<3\n"
NOTHING = HostSettings(proxies={}, indexes={}, mounts=(), ca_bundle=None, netrc="")


def settings(
    app_dir: Path, *, constraints: tuple[str, ...] = (), can_mount: bool = True, **host: object
) -> RunSettings:
    changed = dataclasses.replace(NOTHING, **host)  # type: ignore[arg-type]
    return make_run_settings(changed, app_dir=app_dir, constraints=constraints, can_mount=can_mount)


def uv_settings(made: RunSettings) -> Mapping[str, object]:
    return tomllib.loads(made.files["xdg/uv/uv.toml"].decode())


def test_a_machine_without_settings_gives_none(tmp_path: Path) -> None:
    assert settings(tmp_path) == RunSettings(files={}, variables={}, proxies={})


def test_credentials_are_in_files_only(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.crt"
    bundle.write_text("CERTIFICATE c4n4ry")
    made = settings(
        tmp_path,
        indexes={
            "PIP_INDEX_URL": "https://user:c4n4ry@index.example.org/simple",
            "PIP_EXTRA_INDEX_URL": "https://a.example.org/simple https://b:c4n4ry@b.example.org/simple",
            "PIP_TIMEOUT": "10",
            "UV_HTTP_TIMEOUT": "60",
        },
        netrc="machine a.example.org login b password c4n4ry\n",
        ca_bundle=bundle,
    )
    assert "c4n4ry" not in str(made.variables)
    assert made.files["pip.conf"].decode() == (
        "[global]\nindex-url = https://user:c4n4ry@index.example.org/simple\n"
        "extra-index-url = https://a.example.org/simple\n    https://b:c4n4ry@b.example.org/simple\ntimeout = 10\n"
    )
    assert made.variables["PIP_CONFIG_FILE"] == "/dev/pybuild/pip.conf"
    assert made.variables["NETRC"] == "/dev/pybuild/netrc"
    assert made.variables["UV_HTTP_TIMEOUT"] == "60"
    assert {made.variables[name] for name in ("SSL_CERT_FILE", "PIP_CERT", "CURL_CA_BUNDLE")} == {"/dev/pybuild/ca.crt"}
    assert made.files["apt.conf"] == b'Acquire::https::CaInfo "/dev/pybuild/ca.crt";\n'


def test_uv_gets_the_indexes_of_pip_where_it_has_none(tmp_path: Path) -> None:
    made = settings(
        tmp_path,
        indexes={
            "PIP_INDEX_URL": "https://a.example.org/simple",
            "PIP_EXTRA_INDEX_URL": "https://b.example.org/simple",
            "PIP_FIND_LINKS": "https://c.example.org/wheels",
            "PIP_TRUSTED_HOST": "a.example.org",
            "PIP_NO_INDEX": "1",
        },
    )
    assert uv_settings(made) == {
        "find-links": ["https://c.example.org/wheels"],
        "allow-insecure-host": ["a.example.org"],
        "no-index": True,
        "index": [{"url": "https://b.example.org/simple"}, {"url": "https://a.example.org/simple", "default": True}],
    }
    assert made.variables["XDG_CONFIG_DIRS"] == "/dev/pybuild/xdg:/etc/xdg"


def test_uv_keeps_its_own_with_the_credentials_of_named_indexes(tmp_path: Path) -> None:
    made = settings(
        tmp_path,
        indexes={
            "PIP_INDEX_URL": "https://pip.example.org/simple",
            "UV_INDEX": "in-house=https://a.example.org/simple https://b.example.org/simple?x=y",
            "UV_DEFAULT_INDEX": "https://c.example.org/simple",
            "UV_INDEX_IN_HOUSE_USERNAME": "user",
            "UV_INDEX_IN_HOUSE_PASSWORD": "p@ss",
        },
    )
    assert uv_settings(made)["index"] == [
        {"name": "in-house", "url": "https://user:p%40ss@a.example.org/simple"},
        {"url": "https://b.example.org/simple?x=y"},
        {"url": "https://c.example.org/simple", "default": True},
    ]


def test_constraints_are_named_after_their_content(tmp_path: Path) -> None:
    outside = tmp_path / "constraints.txt"
    outside.write_text("six<2\n")
    app = tmp_path / "app"
    app.mkdir()
    (app / "own.txt").write_bytes(CONSTRAINTS)
    made = settings(app, constraints=("own.txt", "https://example.org/c.txt"))
    own = f"constraints-{hashlib.sha256(CONSTRAINTS).hexdigest()[:8]}.txt"
    assert (
        made.variables["PIP_CONSTRAINT"]
        == made.variables["UV_CONSTRAINT"]
        == f"/dev/pybuild/{own} https://example.org/c.txt"
    )
    assert made.files[own] == CONSTRAINTS
    host = dataclasses.replace(NOTHING, constraints=(str(outside), "https://example.org/d.txt"))
    both = make_run_settings(host, app_dir=app, constraints=("own.txt",), can_mount=True)
    words = both.variables["PIP_CONSTRAINT"].split()
    assert (len(words), words[1:]) == (3, ["https://example.org/d.txt", f"/dev/pybuild/{own}"])


@pytest.mark.parametrize("name", ["absent.txt", "../outside.txt", "link.txt", "fifo", ".", "large.txt"])
def test_constraints_that_cannot_be_read_are_an_error(tmp_path: Path, name: str) -> None:
    app = tmp_path / "app"
    app.mkdir()
    (tmp_path / "outside.txt").write_text("x")
    (app / "link.txt").symlink_to("../outside.txt")
    os.mkfifo(app / "fifo")
    with (app / "large.txt").open("wb") as stream:
        stream.truncate(5 * 1024 * 1024)
    with pytest.raises(SettingsError) as caught:
        settings(app, constraints=(name,))
    assert f"`{name}`" in caught.value.summary


def test_links_inside_of_the_application_are_followed(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    (tmp_path / "b").symlink_to("a")
    assert read_inside(tmp_path, "b") == b"x"


def test_local_indexes_are_mounted_where_that_is_possible(tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    host = dataclasses.replace(
        NOTHING,
        indexes={
            "PIP_FIND_LINKS": f"{INDEXES_IN_BUILD}/0 https://a.example.org",
            "PIP_INDEX_URL": f"file://{INDEXES_IN_BUILD}/0/simple",
        },
        mounts=(Mount(source=wheels, target=INDEXES_IN_BUILD / "0"),),
    )
    made = make_run_settings(host, app_dir=tmp_path, can_mount=True)
    assert b"index-url = file:///dev/pybuild/indexes/0/simple" in made.files["pip.conf"]
    assert made.mounts == (Mount(source=wheels, target=PurePosixPath("/dev/pybuild/indexes/0")),)
    assert made.left_out == ()
    without = make_run_settings(host, app_dir=tmp_path, can_mount=False)
    assert without.files["pip.conf"] == b"[global]\nfind-links = https://a.example.org\n"
    assert (without.mounts, without.left_out) == ((), ("PIP_FIND_LINKS", "PIP_INDEX_URL"))


def test_every_user_can_read_the_files_and_nobody_write_them(tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    made = dataclasses.replace(
        settings(tmp_path, indexes={"UV_INDEX_URL": "https://a.example.org"}, netrc="machine a login b password c\n"),
        mounts=(Mount(source=wheels, target=DIRECTORY / "indexes/0"),),
    )
    old = os.umask(0o077)
    try:
        write_files(made, tmp_path / "made")
    finally:
        os.umask(old)
    modes = {
        path.relative_to(tmp_path / "made").as_posix(): stat.S_IMODE(path.stat().st_mode)
        for path in (tmp_path / "made").rglob("*")
    }
    assert modes == {
        "indexes": 0o755,
        "indexes/0": 0o755,
        "netrc": 0o444,
        "xdg": 0o755,
        "xdg/uv": 0o755,
        "xdg/uv/uv.toml": 0o444,
    }


def test_pips_configuration_names_constraints(tmp_path: Path) -> None:
    (tmp_path / ".config/pip").mkdir(parents=True)
    (tmp_path / ".config/pip/pip.conf").write_text("[global]\nconstraint = ~/a.txt\n    https://example.org/b.txt\n")
    env = {"XDG_CONFIG_DIRS": str(tmp_path / "none"), "HOME": str(tmp_path)}
    found = read_host_settings({**env, "PIP_CONSTRAINT": "/c.txt"}, tmp_path)
    assert found.constraints == ("/c.txt",)
    assert "PIP_CONSTRAINT" not in found.indexes
    assert read_host_settings(
        {**env, "UV_CONSTRAINT": "/d.txt", "PIP_CONFIG_FILE": os.devnull}, tmp_path
    ).constraints == ("/d.txt",)
    assert read_host_settings(env, tmp_path).constraints[1:] == ("https://example.org/b.txt",)
