from __future__ import annotations

import pytest

from lifecycle.registry.reach import Reach, reach_of, reach_of_name
from lifecycle.registry.settings import RegistrySettings, split_host


@pytest.mark.parametrize(
    ("address", "reach"),
    [
        ("8.8.8.8", Reach.PUBLIC),
        ("2606:4700:4700::1111", Reach.PUBLIC),
        ("10.1.2.3", Reach.PRIVATE),
        ("192.168.0.1", Reach.PRIVATE),
        ("100.64.0.1", Reach.PRIVATE),
        ("100.100.100.200", Reach.PRIVATE),
        ("fd00:ec2::254", Reach.PRIVATE),
        ("127.0.0.1", Reach.LOOPBACK),
        ("127.8.9.1", Reach.LOOPBACK),
        ("::1", Reach.LOOPBACK),
        ("::ffff:127.0.0.1", Reach.LOOPBACK),
        ("::ffff:169.254.169.254", Reach.LINK),
        ("169.254.169.254", Reach.LINK),
        ("fe80::1%eth0", Reach.LINK),
        ("0.0.0.0", Reach.LINK),
        ("::", Reach.LINK),
        ("224.0.0.1", Reach.LINK),
    ],
)
def test_who_can_reach_an_address(address: str, reach: Reach) -> None:
    assert reach_of(address) is reach
    assert reach_of_name(address) is reach


def test_names_say_nothing_but_localhost() -> None:
    assert reach_of_name("localhost") is Reach.LOOPBACK
    assert reach_of_name("a.localhost") is Reach.LOOPBACK
    assert reach_of_name("registry.example.org") is None


PROXIES = {"HTTPS_PROXY": "http://proxy:3128", "HTTP_PROXY": "plain-proxy:80"}


@pytest.mark.parametrize(
    ("excluded", "host", "is_direct"),
    [
        ("", "registry.example.org", False),
        ("*", "registry.example.org", True),
        ("example.org", "registry.example.org", True),
        (".example.org", "registry.example.org", True),
        ("example.org", "badexample.org", False),
        ("other.org, registry.example.org", "registry.example.org", True),
        ("registry.example.org:443", "registry.example.org", True),
        ("registry.example.org:5000", "registry.example.org", False),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("fd00::/8", "fd00::5", True),
        ("[fd00::5]:443", "fd00::5", True),
        ("fd00::5", "fd00::5", True),
        ("", "localhost", True),
        ("", "127.0.0.1", True),
        ("", "::1", True),
    ],
)
def test_proxies_are_passed_by_as_asked(excluded: str, host: str, is_direct: bool) -> None:
    settings = RegistrySettings(proxies={**PROXIES, "NO_PROXY": excluded})
    assert settings.proxy_for("https", host, 443) == (None if is_direct else "http://proxy:3128")


def test_a_proxy_without_scheme_is_one_of_http() -> None:
    assert RegistrySettings(proxies=PROXIES).proxy_for("http", "a.org", 80) == "http://plain-proxy:80"
    assert RegistrySettings(proxies={"ALL_PROXY": "p:1"}).proxy_for("https", "a.org", 443) == "http://p:1"
    assert RegistrySettings().proxy_for("https", "a.org", 443) is None


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [("a.org", "a.org", None), ("a.org:5", "a.org", 5), ("[::1]:5", "::1", 5), ("[::1]", "::1", None)],
)
def test_hosts_and_ports_are_told_apart(text: str, host: str, port: int | None) -> None:
    assert split_host(text) == (host, port)


def test_insecure_registries_are_named_with_or_without_port() -> None:
    settings = RegistrySettings(insecure=frozenset({"a.org", "b.org:5000"}))
    assert settings.is_insecure("a.org")
    assert settings.is_insecure("a.org:8080")
    assert settings.is_insecure("b.org:5000")
    assert not settings.is_insecure("b.org")
    assert not settings.is_insecure("c.a.org")
