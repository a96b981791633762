"""Which credentials are taken: as Docker and skopeo choose them."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.cnb.reference import Reference
from lifecycle.registry.credentials import Found, Login, find_login


def encoded(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


def entry(user: str) -> dict[str, str]:
    return {"auth": encoded(user, f"password of {user}")}


def write(path: Path, document: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def find(home: Path, name: str = "registry.example.org/team/app", env: dict[str, str] | None = None) -> Found:
    # No file of this machine
    own = {"XDG_RUNTIME_DIR": str(home / "run"), "PATH": str(home / "bin")}
    return find_login(Reference.parse(name), {**own, **(env or {})}, home)


def user(found: Found) -> str | None:
    return None if found.login is None else found.login.username


def helper(home: Path, name: str, script: str) -> None:
    path = home / "bin" / f"docker-credential-{name}"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def knows(user: str, server: str = "registry.example.org") -> str:
    """A helper that knows one server."""
    answer = json.dumps({"ServerURL": server, "Username": user, "Secret": "hidden"})
    return (
        f'read -r asked || true\nif [ "$1" = get ] && [ "$asked" = "{server}" ]; then echo \'{answer}\'; '
        "else echo credentials not found in native keychain; exit 1; fi"
    )


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("registry.example.org/team/app", "registry.example.org"),
        ("registry.example.org/team/app", "https://registry.example.org"),
        ("registry.example.org/team/app", "https://registry.example.org/v2/"),
        ("registry.example.org/team/app", "http://registry.example.org/v1/"),
        ("registry.example.org/team/app", "registry.example.org/team"),
        ("registry.example.org/team/app", "registry.example.org/team/app"),
        ("registry.example.org:5000/app", "registry.example.org:5000"),
        ("[::1]:5000/app", "[::1]:5000"),
        ("python:3.11", "https://index.docker.io/v1/"),
        ("python:3.11", "index.docker.io"),
        ("python:3.11", "docker.io"),
        ("python:3.11", "docker.io/library"),
        ("python:3.11", "registry-1.docker.io"),
        ("docker.io/team/app", "https://index.docker.io/v1/"),
    ],
)
def test_a_key_names_a_registry_or_a_path_in_it(tmp_path: Path, name: str, key: str) -> None:
    write(tmp_path / ".docker/config.json", {"auths": {key: entry("alice")}})
    found = find(tmp_path, name)
    assert found.login == Login(
        origin=f"`{tmp_path}/.docker/config.json`", username="alice", password="password of alice"
    )
    assert found.problems == ()


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("registry.example.org/team/app", "registry.example.org:5000"),
        ("registry.example.org:5000/team/app", "registry.example.org"),
        ("registry.example.org/team/app", "registry.example.org/tea"),
        ("registry.example.org/team/app", "registry.example.org/team/app/more"),
        ("registry.example.org/team/app", "example.org"),
        ("evil.org/registry.example.org", "registry.example.org"),
        ("registry.example.org/team/app", "https://evil.org/registry.example.org"),
    ],
)
def test_other_registries_and_paths_get_nothing(tmp_path: Path, name: str, key: str) -> None:
    write(tmp_path / ".docker/config.json", {"auths": {key: entry("alice")}})
    found = find(tmp_path, name)
    assert found == Found(places=(f"`{tmp_path}/.docker/config.json`",))


def test_the_longest_path_wins(tmp_path: Path) -> None:
    keys = ("registry.example.org", "registry.example.org/team", "registry.example.org/team/app")
    for number, expected in enumerate(keys):
        write(tmp_path / ".docker/config.json", {"auths": {key: entry(key) for key in keys[: number + 1]}})
        assert user(find(tmp_path)) == expected


def test_files_are_read_in_the_order_of_skopeo(tmp_path: Path) -> None:
    files = [
        tmp_path / ".dockercfg",
        tmp_path / ".docker/config.json",
        tmp_path / ".config/containers/auth.json",
        tmp_path / "run/containers/auth.json",
    ]
    for path in files:
        document: dict[str, object] = {"registry.example.org": entry(path.name + path.parent.parent.name)}
        write(path, document if path.name == ".dockercfg" else {"auths": document})
        found = find(tmp_path)
        assert found.login is not None
        assert found.login.origin == f"`{path}`"


def test_the_environment_names_files(tmp_path: Path) -> None:
    write(tmp_path / "run/containers/auth.json", {"auths": {"registry.example.org": entry("runtime")}})
    docker = write(tmp_path / "docker/config.json", {"auths": {"registry.example.org": entry("docker")}})
    own = write(tmp_path / "own.json", {"auths": {"other.example.org": entry("own")}})
    assert user(find(tmp_path, env={"DOCKER_CONFIG": str(docker.parent)})) == "runtime"
    assert user(find(tmp_path, "other.example.org/a", env={"REGISTRY_AUTH_FILE": str(own)})) == "own"
    # Named, it is the only one.
    assert find(tmp_path, env={"REGISTRY_AUTH_FILE": str(own)}) == Found(places=(f"`{own}`",))
    assert find(tmp_path, env={"REGISTRY_AUTH_FILE": str(tmp_path / "absent")}) == Found()


def test_the_environment_holds_credentials(tmp_path: Path) -> None:
    write(tmp_path / ".docker/config.json", {"auths": {"registry.example.org": entry("file")}})
    config = json.dumps({"auths": {"registry.example.org": entry("variable")}})
    assert user(find(tmp_path, env={"DOCKER_AUTH_CONFIG": config})) == "variable"
    headers = json.dumps({"registry.example.org": f"Basic {encoded('header', 'x')}", "t.example.org": "Bearer abc"})
    env = {"CNB_REGISTRY_AUTH": headers, "DOCKER_AUTH_CONFIG": config}
    assert user(find(tmp_path, env=env)) == "header"
    token = find(tmp_path, "t.example.org/a", env=env).login
    assert token == Login(origin="`CNB_REGISTRY_AUTH`", registry_token="abc")
    hub = json.dumps({"https://index.docker.io/v1/": f"Basic {encoded('hub', 'x')}"})
    assert user(find(tmp_path, "python", env={"CNB_REGISTRY_AUTH": hub})) == "hub"


def test_tokens_instead_of_passwords(tmp_path: Path) -> None:
    auths = {
        "a.example.org": {"auth": encoded("0000", ""), "identitytoken": "identity"},
        "b.example.org": {"registrytoken": "token"},
        "c.example.org": {"username": "carol", "password": "x"},
        "d.example.org": {"auth": base64.b64encode(b"dave:p:w\0\0").decode()},
    }
    write(tmp_path / ".docker/config.json", {"auths": auths})
    logins = [find(tmp_path, f"{letter}.example.org/x").login for letter in "abcd"]
    origin = f"`{tmp_path}/.docker/config.json`"
    assert logins == [
        Login(origin=origin, identity_token="identity"),
        Login(origin=origin, registry_token="token"),
        Login(origin=origin, username="carol", password="x"),
        Login(origin=origin, username="dave", password="p:w"),
    ]


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    write(tmp_path / ".docker/config.json", {"auths": {"registry.example.org": entry("alice")}})
    assert "password of" not in repr(find(tmp_path))


def test_helpers_are_asked_before_entries(tmp_path: Path) -> None:
    helper(tmp_path, "own", knows("own"))
    helper(tmp_path, "all", knows("all"))
    auths = {"registry.example.org": entry("entry")}
    config = tmp_path / ".docker/config.json"
    write(config, {"auths": auths, "credsStore": "all", "credHelpers": {"registry.example.org": "own"}})
    assert find(tmp_path).login == Login(origin="`docker-credential-own`", username="own", password="hidden")
    write(config, {"auths": auths, "credsStore": "all", "credHelpers": {"other.example.org": "own"}})
    assert user(find(tmp_path)) == "all"
    write(config, {"auths": auths})
    assert user(find(tmp_path)) == "entry"


def test_a_helper_that_knows_nothing_is_passed_over(tmp_path: Path) -> None:
    helper(tmp_path, "all", knows("all", "another.example.org"))
    config = tmp_path / ".docker/config.json"
    write(config, {"auths": {"registry.example.org": {}}, "credsStore": "all"})
    assert find(tmp_path) == Found(places=(f"`{config}`",))
    write(tmp_path / ".dockercfg", {"registry.example.org": entry("old")})
    assert user(find(tmp_path)) == "old"


def test_a_helper_is_asked_for_docker_hub_by_its_old_name(tmp_path: Path) -> None:
    helper(tmp_path, "all", knows("hub", "https://index.docker.io/v1/"))
    write(tmp_path / ".docker/config.json", {"credsStore": "all"})
    assert user(find(tmp_path, "python")) == "hub"


def test_a_helper_may_give_an_identity_token(tmp_path: Path) -> None:
    helper(tmp_path, "all", knows("<token>"))
    write(tmp_path / ".docker/config.json", {"credsStore": "all"})
    assert find(tmp_path).login == Login(origin="`docker-credential-all`", identity_token="hidden")


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ("{", "invalid JSON"),
        ("[]", "must be a JSON object"),
        ({"auths": []}, "`auths` must be a table"),
        ({"auths": {"registry.example.org": "x"}}, "must be a table"),
        ({"auths": {"registry.example.org": {"auth": "%%%"}}}, "are not base64"),
        ({"auths": {"registry.example.org": {"auth": "AAAA"}}}, "are not `user:password`"),
        ({"auths": {"registry.example.org": {"auth": 5}}}, "must be a string"),
        ({"auths": {"registry.example.org": {"registrytoken": "a\nb"}}}, "characters that no token has"),
        ({"credHelpers": {"registry.example.org": "../../x"}}, "has a name that no helper can have"),
        ({"credHelpers": {"registry.example.org": "-x"}}, "has a name that no helper can have"),
        ({"credsStore": "/bin/sh"}, "has a name that no helper can have"),
        ({"credsStore": "desktop.exe"}, "is not installed: there is no program `docker-credential-desktop.exe`"),
        ({"credsStore": 7}, "must be a string"),
    ],
)
def test_what_cannot_be_used_is_told_and_passed_over(tmp_path: Path, document: object, problem: str) -> None:
    write(tmp_path / ".docker/config.json", document)
    write(tmp_path / ".dockercfg", {"registry.example.org": entry("old")})
    found = find(tmp_path)
    assert user(found) == "old"
    assert len(found.problems) == 1
    assert problem in found.problems[0]
    assert ".docker/config.json" in found.problems[0]


def test_a_problem_does_not_show_what_is_wrong(tmp_path: Path) -> None:
    write(tmp_path / ".docker/config.json", {"auths": {"registry.example.org": {"auth": "c2VjcmV0%"}}})
    assert "c2VjcmV0" not in str(find(tmp_path).problems)


@given(st.text(max_size=100) | st.recursive(st.none() | st.text(max_size=5), lambda inner: st.dictionaries(
    st.sampled_from(["auths", "credsStore", "credHelpers", "registry.example.org", "auth", "identitytoken"]), inner
)).map(json.dumps))  # fmt: skip
def test_no_content_is_too_odd(content: str) -> None:
    env = {"DOCKER_AUTH_CONFIG": content, "CNB_REGISTRY_AUTH": content, "REGISTRY_AUTH_FILE": "/nowhere", "PATH": ""}
    find_login(Reference.parse("registry.example.org/a"), env, Path("/nowhere"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may enter every directory")
def test_a_directory_that_may_not_be_entered_is_passed_over(tmp_path: Path) -> None:
    closed = tmp_path / "run" / "containers"
    closed.mkdir(parents=True, mode=0)
    assert find(tmp_path) == Found()


def test_a_file_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / ".docker/config.json").mkdir(parents=True)
    os.mkfifo(tmp_path / ".dockercfg")
    found = find(tmp_path)
    assert found.login is None
    assert ["is not a regular file" in problem for problem in found.problems] == [True, True]
