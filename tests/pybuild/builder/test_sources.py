"""Bases are assembled from where the machine has its Debian packages, and from nowhere else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pybuild.builder.sources import Source, canonical_sources, machine_apt_settings, machine_sources

DEB822 = """\
# comment
Types: deb deb-src
URIs: http://mirror.corp/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.corp/security
Suites: bookworm-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
Check-Valid-Until: no

Enabled: no
Types: deb
URIs: http://disabled.corp/debian
Suites: bookworm
Components: main
"""
ONE_LINE = """\
deb [arch=amd64 trusted=yes] http://mirror.corp/debian/ bookworm main non-free # ours
deb-src http://mirror.corp/debian bookworm main
deb http://mirror.corp/debian bookworm-backports main
deb http://mirror.corp/debian bookworm contrib
"""
OTHERS = """\
deb [signed-by=/usr/share/keyrings/vendor.gpg] https://packages.vendor.example/debian bookworm main
deb https://vendor.example/apt bookworm main
deb cdrom:[Debian]/ bookworm main
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "etc/apt/sources.list.d").mkdir(parents=True)
    (tmp_path / "etc/os-release").write_text('ID=debian\nVERSION_ID="12"\n')
    return tmp_path


def test_deb822_sources_are_used(root: Path) -> None:
    (root / "etc/apt/sources.list.d/debian.sources").write_text(DEB822)
    assert machine_sources("bookworm", root) == (
        Source(uri="http://mirror.corp/debian", suite="bookworm"),
        Source(uri="http://mirror.corp/debian", suite="bookworm-updates"),
        Source(uri="http://mirror.corp/security", suite="bookworm-security", options={"check-valid-until": "no"}),
    )


def test_one_line_sources_are_used(root: Path) -> None:
    (root / "etc/apt/sources.list").write_text(ONE_LINE)
    assert machine_sources("bookworm", root) == (
        Source(uri="http://mirror.corp/debian/", suite="bookworm", options={"trusted": "yes"}),
    )


def test_archives_of_others_are_not(root: Path) -> None:
    (root / "etc/apt/sources.list.d/vendor.list").write_text(OTHERS)
    assert machine_sources("bookworm", root) == canonical_sources("bookworm")


def test_another_suite_comes_from_debian_itself(root: Path) -> None:
    (root / "etc/apt/sources.list").write_text(ONE_LINE)
    assert machine_sources("trixie", root) == canonical_sources("trixie")


def test_on_another_distribution_it_comes_from_debian_itself(root: Path) -> None:
    (root / "etc/os-release").write_text("ID=ubuntu\nID_LIKE=debian\n")
    (root / "etc/apt/sources.list").write_text(ONE_LINE)
    assert machine_sources("bookworm", root) == canonical_sources("bookworm")


@pytest.mark.integration
def test_settings_that_apt_needs_to_reach_its_archives_are_taken_over(tmp_path: Path) -> None:
    settings = tmp_path / "apt.conf"
    settings.write_text(
        'Acquire::http::Proxy "http://proxy.corp:3128";\n'
        'Acquire::https::mirror.corp::CaInfo "/etc/corp.pem";\n'
        'Acquire::http::Timeout "7";\n'
        'APT::Install-Recommends "true";\n'
        'Dir::Cache "elsewhere";\n'
    )
    found = machine_apt_settings({"PATH": os.environ["PATH"], "APT_CONFIG": str(settings)}, tmp_path)
    assert 'Acquire::http::Proxy "http://proxy.corp:3128";' in found
    assert 'Acquire::https::mirror.corp::CaInfo "/etc/corp.pem";' in found
    assert 'Acquire::http::Timeout "7";' in found
    assert not [line for line in found if "Recommends" in line or "Dir::Cache" in line]


def test_a_source_is_rendered_with_debians_keys() -> None:
    source = Source(uri="http://mirror.corp/debian", suite="bookworm", options={"check-valid-until": "no"})
    assert source.render() == (
        "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg check-valid-until=no] "
        "http://mirror.corp/debian bookworm main"
    )


def test_unstable_has_neither_updates_nor_security() -> None:
    assert [source.suite for source in canonical_sources("sid")] == ["sid"]
