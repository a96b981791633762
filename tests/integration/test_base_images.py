"""Base images from Debian's docker-registry on 127.0.0.1: with and without credentials, tokens and TLS; skopeo as the second opinion."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import zstandard

from lifecycle.cnb.digest import Digest
from lifecycle.cnb.errors import render_error
from lifecycle.cnb.reference import Reference
from lifecycle.cnb.target import host_architecture
from lifecycle.oci.config import ImageConfig
from lifecycle.oci.descriptor import Descriptor
from lifecycle.oci.errors import UnpackFailed
from lifecycle.oci.image import Image, make_image
from lifecycle.oci.layout import read_image
from lifecycle.oci.layout_writer import open_layout
from lifecycle.oci.unpack import unpack_image
from lifecycle.registry.errors import (
    CertificateRefused,
    LoginNeeded,
    LoginRefused,
    NoSuchImage,
    PlatformMissing,
    RealmRefused,
    RedirectRefused,
    RegistryUnreachable,
)
from pybuild.base_images import BaseImages, FetchedImage
from pybuild.builder.bases import WantedBase, make_base, read_base
from pybuild.builder.crew import Crew
from pybuild.builder.requested import ImageBase, User
from pybuild.image_store import ImageStore, open_client
from tests.integration.machine import small_disk
from tests.integration.registry import Registry, start_registry
from tests.integration.token_server import TokenServer
from tests.lifecycle.oci.images import content_of, file_layer, validate_image, write_layout
from tests.lifecycle.registry.fake_registry import FakeRegistry
from tests.loopback import Certificates, make_certificates
from tests.pybuild.recording_log import RecordingLog

pytestmark = pytest.mark.integration
ALICE = ("alice", "wonder land")
ARCHITECTURE = host_architecture()


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A machine with a store and a home of its own; `env` is all of its environment."""

    directory: Path
    log: RecordingLog

    def fetch(self, name: str, env: Mapping[str, str] | None = None, **options: object) -> FetchedImage:
        """The base image, as a build gets it."""
        client = open_client(self.environment(env), **options)  # type: ignore[arg-type]
        try:
            return BaseImages(images=ImageStore(self.directory / "store", client, self.log)).fetch(name)
        finally:
            client.close()

    def skopeo(
        self, name: str, env: Mapping[str, str] | None = None, *arguments: str
    ) -> subprocess.CompletedProcess[str]:
        """What skopeo says of the same image with the same files."""
        command = ["skopeo", "inspect", "--raw", *arguments, f"docker://{name}"]
        return subprocess.run(command, env=self.environment(env), capture_output=True, text=True, check=False)

    @property
    def home(self) -> Path:
        return self.directory / "home"

    def environment(self, env: Mapping[str, str] | None) -> dict[str, str]:
        own = {"HOME": str(self.home), "XDG_RUNTIME_DIR": str(self.directory / "run"), "PATH": os.environ["PATH"]}
        return {**own, **(env or {})}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(directory=tmp_path / "machine", log=RecordingLog())
    made.home.mkdir(parents=True)
    (made.directory / "run").mkdir()
    return made


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    directory = tmp_path_factory.mktemp("image")
    layers = [file_layer(directory, {"etc/a": "1"}), file_layer(directory, {"etc/b": os.urandom(2_000_000).hex()})]
    return make_image(ImageConfig(architecture=ARCHITECTURE, os="linux", env=("PATH=/bin",)), layers)


@pytest.fixture(scope="module")
def layout(image: Image, tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_layout(tmp_path_factory.mktemp("layout") / "image", image)


@pytest.fixture(scope="module")
def private(layout: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry that only alice may read."""
    with start_registry(tmp_path_factory.mktemp("private"), login=ALICE) as registry:
        registry.push(layout, "team/base:1")
        yield registry


@pytest.fixture(scope="module")
def public(layout: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry for everybody."""
    with start_registry(tmp_path_factory.mktemp("public")) as registry:
        registry.push(layout, "team/base:1")
        yield registry


def encoded(login: tuple[str, str]) -> str:
    return base64.b64encode(":".join(login).encode()).decode()


def write_auth(path: Path, document: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path


def write_helper(machine: Machine, registry: Registry, login: tuple[str, str]) -> dict[str, str]:
    """A credential helper of the machine; the environment in which it is found."""
    program = machine.directory / "bin" / "docker-credential-tests"
    program.parent.mkdir()
    answer = json.dumps({"ServerURL": registry.host, "Username": login[0], "Secret": login[1]})
    program.write_text(f"#!/bin/sh\nread -r asked || true\n[ \"$asked\" = {registry.host} ] && echo '{answer}'\n")
    program.chmod(0o755)
    return {"PATH": f"{program.parent}:{os.environ['PATH']}"}


Ways = Callable[[Machine, Registry, tuple[str, str]], dict[str, str]]


def docker_config(machine: Machine, registry: Registry, login: tuple[str, str]) -> dict[str, str]:
    write_auth(machine.home / ".docker/config.json", {"auths": {registry.host: {"auth": encoded(login)}}})
    return {}


def named_docker_config(machine: Machine, registry: Registry, login: tuple[str, str]) -> dict[str, str]:
    path = write_auth(machine.directory / "d/config.json", {"auths": {registry.host: {"auth": encoded(login)}}})
    return {"DOCKER_CONFIG": str(path.parent)}


def auth_file(machine: Machine, registry: Registry, login: tuple[str, str]) -> dict[str, str]:
    path = write_auth(machine.directory / "a.json", {"auths": {registry.host: {"auth": encoded(login)}}})
    return {"REGISTRY_AUTH_FILE": str(path)}


def runtime_file(machine: Machine, registry: Registry, login: tuple[str, str]) -> dict[str, str]:
    write_auth(machine.directory / "run/containers/auth.json", {"auths": {registry.host: {"auth": encoded(login)}}})
    return {}


def path_of_team(machine: Machine, registry: Registry, login: tuple[str, str]) -> dict[str, str]:
    auths = {registry.host: {"auth": encoded(("bob", "x"))}, f"{registry.host}/team": {"auth": encoded(login)}}
    write_auth(machine.home / ".docker/config.json", {"auths": auths})
    return {}


def helper(machine: Machine, registry: Registry, login: tuple[str, str]) -> dict[str, str]:
    write_auth(machine.home / ".docker/config.json", {"credHelpers": {registry.host: "tests"}})
    return write_helper(machine, registry, login)


def all_helper(machine: Machine, registry: Registry, login: tuple[str, str]) -> dict[str, str]:
    write_auth(machine.home / ".docker/config.json", {"credsStore": "tests"})
    return write_helper(machine, registry, login)


def cnb_variable(machine: Machine, registry: Registry, login: tuple[str, str]) -> dict[str, str]:
    return {"CNB_REGISTRY_AUTH": json.dumps({registry.host: f"Basic {encoded(login)}"})}


# skopeo 1.9 knows neither a helper for everything nor the variable of CNB.
OWN = (all_helper, cnb_variable)
SHARED = (docker_config, named_docker_config, auth_file, runtime_file, path_of_team, helper)


@pytest.mark.parametrize("way", [*SHARED, *OWN])
def test_the_right_credentials(machine: Machine, private: Registry, image: Image, way: Ways) -> None:
    env = way(machine, private, ALICE)
    found = machine.fetch(f"{private.host}/team/base:1", env)
    assert found.digest == image.digest
    validate_image(found.image)
    if way in SHARED:
        assert (
            machine.skopeo(f"{private.host}/team/base:1", env, "--tls-verify=false").stdout
            == image.manifest_bytes.decode()
        )


@pytest.mark.parametrize("way", [*SHARED, *OWN])
def test_wrong_credentials(machine: Machine, private: Registry, way: Ways) -> None:
    env = way(machine, private, ("alice", "guessed"))
    with pytest.raises(LoginRefused, match="refuses the credentials from") as caught:
        machine.fetch(f"{private.host}/team/base:1", env)
    assert "guessed" not in render_error(caught.value)
    if way in SHARED:
        assert machine.skopeo(f"{private.host}/team/base:1", env, "--tls-verify=false").returncode != 0


def test_no_credentials(machine: Machine, private: Registry) -> None:
    with pytest.raises(LoginNeeded) as caught:
        machine.fetch(f"{private.host}/team/base:1")
    assert f"docker login {private.host}" in (caught.value.hint or "")
    assert caught.value.exit_code == 32


def test_a_helper_that_is_not_installed_is_told_only_when_it_was_needed(
    machine: Machine, private: Registry, public: Registry
) -> None:
    write_auth(machine.home / ".docker/config.json", {"credsStore": "desktop"})
    assert machine.fetch(f"{public.host}/team/base:1").origin.startswith("docker://")
    with pytest.raises(LoginNeeded) as caught:
        machine.fetch(f"{private.host}/team/base:1")
    assert "the credential helper `desktop` is not installed" in render_error(caught.value)


@pytest.mark.parametrize("name", ["team/base:2", "team/other:1", f"team/base@sha256:{'0' * 64}"])
def test_an_image_that_is_not_there(machine: Machine, public: Registry, name: str) -> None:
    with pytest.raises(NoSuchImage) as caught:
        machine.fetch(f"{public.host}/{name}")
    assert "MANIFEST_UNKNOWN: manifest unknown" in render_error(caught.value)


def test_a_pinned_image(machine: Machine, public: Registry, image: Image) -> None:
    name = f"{public.host}/team/base:1@{image.digest}"
    assert machine.fetch(name).name == name


def test_a_registry_that_is_gone(machine: Machine, image: Image, layout: str, tmp_path: Path) -> None:
    with start_registry(tmp_path / "registry") as registry:
        name = registry.push(layout, "team/base:1")
        machine.fetch(name)
    found = machine.fetch(name)
    assert found.digest == image.digest
    warning = machine.log.lines[-1]
    assert f"the registry {registry.host} cannot be reached: connection refused; taking what `{name}` was" in warning
    with pytest.raises(RegistryUnreachable):
        machine.fetch(f"{registry.host}/team/base:2")


def several_platforms(directory: Path, image: Image) -> str:
    """A layout whose only entry is an index of images for this machine and for another."""
    other = make_image(replace(image.config, architecture="s390x"), image.layers)
    with open_layout(directory) as writer:
        writer.add(image)
        writer.tag(image, ["one"])
        writer.add(other)
        writer.tag(other, ["other"])
    entries = [
        {**one.descriptor.render(), "platform": {"os": "linux", "architecture": one.config.architecture}}
        for one in (other, image)
    ]
    content = json.dumps({"schemaVersion": 2, "manifests": entries}).encode()
    digest = hashlib.sha256(content).hexdigest()
    (directory / "blobs/sha256" / digest).write_bytes(content)
    entry = {"mediaType": "application/vnd.oci.image.index.v1+json", "digest": f"sha256:{digest}", "size": len(content)}
    (directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    return f"oci:{directory}"


def test_an_image_for_several_platforms(machine: Machine, public: Registry, image: Image, tmp_path: Path) -> None:
    name = public.push(several_platforms(tmp_path / "several", image), "team/several:1")
    found = machine.fetch(name)
    assert found.image.digest == image.digest
    # What pins the image on every platform, as skopeo has it
    raw = machine.skopeo(name, None, "--tls-verify=false").stdout
    assert "manifests" in json.loads(raw)
    assert found.digest != image.digest
    client = open_client({"HOME": str(machine.home)})
    bases = BaseImages(images=ImageStore(machine.directory / "store", client, machine.log))
    assert bases.fetch(name, platform="linux/s390x").image.config.architecture == "s390x"
    with pytest.raises(PlatformMissing) as caught:
        bases.fetch(name, platform="windows/amd64")
    assert set(caught.value.available) == {f"linux/{ARCHITECTURE}", "linux/s390x"}
    client.close()


def test_docker_s_own_form_is_read(machine: Machine, public: Registry, layout: str) -> None:
    target = f"docker://{public.host}/team/docker:1"
    command = ["skopeo", "copy", "--quiet", "--dest-tls-verify=false", "--format", "v2s2", layout, target]
    subprocess.run(command, check=True)
    found = machine.fetch(f"{public.host}/team/docker:1")
    assert content_of(found.image.layers[0], "etc/a") == b"1"
    validate_image(found.image)


def test_layers_compressed_with_zstd_are_read(machine: Machine, public: Registry, image: Image, tmp_path: Path) -> None:
    path = tmp_path / "layer"
    content = zstandard.compress(gzip.decompress(image.layers[0].path.read_bytes()))
    path.write_bytes(content)
    kind = "application/vnd.oci.image.layer.v1.tar+zstd"
    descriptor = Descriptor(media_type=kind, digest=Digest.of(content), size=len(content))
    layer = replace(image.layers[0], descriptor=descriptor, path=path)
    name = push_by_hand(public, "team/zstd", make_image(image.config, [layer, image.layers[1]]))
    found = machine.fetch(name)
    unpack_image(found.image, tmp_path / "root")
    assert (tmp_path / "root/etc/a").read_bytes() == b"1"


def test_a_layer_that_unpacks_to_something_else(
    machine: Machine, public: Registry, image: Image, tmp_path: Path
) -> None:
    layers = [replace(image.layers[0], diff_id=image.layers[1].diff_id), image.layers[1]]
    wrong = make_image(image.config, layers)
    with open_layout(tmp_path / "wrong") as writer:
        writer.add(wrong)
        writer.tag(wrong, ())
    # skopeo looks at it, so this one is put there by hand.
    name = push_by_hand(public, "team/wrong", wrong)
    with pytest.raises(UnpackFailed, match="has the diff id"):
        unpack_image(machine.fetch(name).image, tmp_path / "root")


def push_by_hand(registry: Registry, repository: str, image: Image) -> str:
    def send(method: str, url: str, body: bytes, kind: str) -> str:
        request = urllib.request.Request(url, data=body, method=method, headers={"Content-Type": kind})
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
            return str(answer.headers.get("Location"))

    base = f"http://{registry.host}/v2/{repository}"
    blobs = {image.id: image.config_bytes}
    blobs.update({layer.descriptor.digest: layer.path.read_bytes() for layer in image.layers})
    for digest, content in blobs.items():
        place = send("POST", f"{base}/blobs/uploads/", b"", "application/octet-stream")
        send("PUT", f"{place}&digest={digest}", content, "application/octet-stream")
    send("PUT", f"{base}/manifests/1", image.manifest_bytes, "application/vnd.oci.image.manifest.v1+json")
    return f"{registry.host}/{repository}:1"


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TokenServer]:
    rights = {"": ("open/",), ":".join(ALICE): ("team/", "open/"), "bob:builder": ("open/",), "push:er": ("",)}
    with TokenServer(tmp_path_factory.mktemp("tokens") / "server", rights) as server:
        yield server


@pytest.fixture(scope="module")
def guarded(tokens: TokenServer, layout: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry that believes the token server only."""
    directory = tmp_path_factory.mktemp("guarded")
    with start_registry(directory, token_auth=tokens.settings()) as registry:
        pusher = replace(registry, login=("push", "er"))
        pusher.push(layout, "team/base:1")
        pusher.push(layout, "open/base:1")
        yield registry


def test_a_token_is_for_what_it_was_asked_for(
    machine: Machine, guarded: Registry, tokens: TokenServer, image: Image
) -> None:
    tokens.scopes.clear()
    docker_config(machine, guarded, ALICE)
    assert machine.fetch(f"{guarded.host}/team/base:1").digest == image.digest
    # Manifest, config and layers with one token
    assert tokens.scopes == [["repository:team/base:pull"]]


def test_what_is_open_needs_no_credentials(machine: Machine, guarded: Registry, image: Image) -> None:
    assert machine.fetch(f"{guarded.host}/open/base:1").digest == image.digest
    with pytest.raises(LoginNeeded):
        machine.fetch(f"{guarded.host}/team/base:1")


def test_credentials_that_may_not_read_this_one(machine: Machine, guarded: Registry) -> None:
    docker_config(machine, guarded, ("bob", "builder"))
    machine.fetch(f"{guarded.host}/open/base:1")
    with pytest.raises(LoginRefused, match="refuses the credentials"):
        machine.fetch(f"{guarded.host}/team/base:1")


def test_credentials_that_the_token_server_does_not_take(machine: Machine, guarded: Registry) -> None:
    docker_config(machine, guarded, ("alice", "guessed"))
    with pytest.raises(LoginRefused) as caught:
        machine.fetch(f"{guarded.host}/team/base:1")
    assert "incorrect username or password" in render_error(caught.value)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates") / "own")


@pytest.fixture(scope="module")
def secure(layout: str, certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry with TLS, whose authority nobody knows, that only alice may read."""
    with start_registry(tmp_path_factory.mktemp("secure"), login=ALICE, certificates=certificates) as registry:
        registry.push(layout, "team/base:1")
        yield registry


def test_an_authority_that_is_not_known(machine: Machine, secure: Registry) -> None:
    docker_config(machine, secure, ALICE)
    with pytest.raises(CertificateRefused) as caught:
        machine.fetch(f"{secure.host}/team/base:1")
    assert "unable to get local issuer certificate" in caught.value.summary
    assert f"--insecure-registry {secure.host}" in (caught.value.hint or "")


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_an_authority_of_the_environment(
    machine: Machine, secure: Registry, certificates: Certificates, image: Image, variable: str
) -> None:
    docker_config(machine, secure, ALICE)
    env = {variable: str(certificates.authority)}
    assert machine.fetch(f"{secure.host}/team/base:1", env).digest == image.digest


def test_an_authority_of_one_registry(
    machine: Machine, secure: Registry, certificates: Certificates, image: Image
) -> None:
    docker_config(machine, secure, ALICE)
    directory = machine.home / ".config/containers/certs.d" / secure.host
    directory.mkdir(parents=True)
    (directory / "ca.crt").write_bytes(certificates.authority.read_bytes())
    assert machine.fetch(f"{secure.host}/team/base:1").digest == image.digest
    assert machine.skopeo(f"{secure.host}/team/base:1").returncode == 0


def test_a_registry_that_needs_no_proof_is_named(machine: Machine, secure: Registry, image: Image) -> None:
    docker_config(machine, secure, ALICE)
    assert machine.fetch(f"{secure.host}/team/base:1", insecure=(secure.host,)).digest == image.digest
    env = {"CNB_INSECURE_REGISTRIES": secure.host}
    assert machine.fetch(f"{secure.host}/team/base:1", env).digest == image.digest
    with pytest.raises(CertificateRefused):
        machine.fetch(f"{secure.host}/team/base:1", insecure=("127.0.0.1:1",))


def test_a_certificate_for_another_host(machine: Machine, secure: Registry, certificates: Certificates) -> None:
    host = secure.host.replace("127.0.0.1", "localhost")
    with pytest.raises(CertificateRefused, match="hostname mismatch, certificate is not valid for"):
        machine.fetch(f"{host}/team/base:1", {"SSL_CERT_FILE": str(certificates.authority)})


def test_a_certificate_that_has_expired(machine: Machine, layout: str, tmp_path: Path) -> None:
    made = make_certificates(tmp_path / "made")
    expired = tmp_path / "expired.pem"
    (tmp_path / "extensions").write_text("subjectAltName=IP:127.0.0.1\n")
    request = ["openssl", "x509", "-req", "-in", str(tmp_path / "made/server.csr"), "-CA", str(made.authority)]
    request += ["-CAkey", str(tmp_path / "made/authority.key"), "-days", "-1", "-extfile", str(tmp_path / "extensions")]
    subprocess.run([*request, "-out", str(expired)], check=True, capture_output=True)
    with start_registry(tmp_path / "registry", certificates=replace(made, certificate=expired)) as registry:
        name = registry.push(layout, "team/base:1")
        with pytest.raises(CertificateRefused, match="certificate has expired"):
            machine.fetch(name, {"SSL_CERT_FILE": str(made.authority)})


def test_an_old_tls_is_refused(machine: Machine, certificates: Certificates) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.certificate, certificates.key)
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for _ in range(2):
                connection, _ = listener.accept()
                try:
                    with context.wrap_socket(connection, server_side=True) as secured:
                        asked.append(secured.recv(1000))
                except OSError:
                    connection.close()

        threading.Thread(target=serve, daemon=True).start()
        host = f"127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(CertificateRefused, match="no connection with TLS"):
            machine.fetch(f"{host}/team/base:1", {"SSL_CERT_FILE": str(certificates.authority)})
    assert asked == []


@pytest.fixture
def lying(certificates: Certificates) -> Iterator[FakeRegistry]:
    """A registry with TLS that sends to where there is none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.certificate, certificates.key)
    with FakeRegistry(tls=context) as registry:
        yield registry


def test_nobody_is_sent_from_tls_to_where_there_is_none(
    machine: Machine, lying: FakeRegistry, certificates: Certificates
) -> None:
    env = {"SSL_CERT_FILE": str(certificates.authority)}
    with FakeRegistry() as plain:
        lying.before("/manifests/", lambda exchange: exchange.answer(307, Location=plain.url))
        with pytest.raises(RedirectRefused, match="is not asked over TLS, as the registry is"):
            machine.fetch(f"{lying.host}/team/base:1", env)
        lying.realm = f"{plain.url}/token"
        with pytest.raises(RealmRefused, match="is not asked over TLS, as the registry is"):
            machine.fetch(f"{lying.host}/team/base:1", env)
        assert plain.requests == []


def test_what_needs_no_proof_is_the_registry_and_not_where_it_sends_to(
    machine: Machine, lying: FakeRegistry, certificates: Certificates
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.certificate, certificates.key)
    with FakeRegistry(tls=context, address="127.0.0.2") as storage:
        lying.before("/manifests/", lambda exchange: exchange.answer(307, Location=f"{storage.url}/signed"))
        with pytest.raises(CertificateRefused, match=f"the registry {storage.host} is not trusted"):
            machine.fetch(f"{lying.host}/team/base:1", insecure=(lying.host,))
        lying.realm = f"{storage.url}/token"
        with pytest.raises(CertificateRefused, match=f"the registry {storage.host} is not trusted: its token server: "):
            machine.fetch(f"{lying.host}/team/base:1", insecure=(lying.host,))
        assert storage.requests == []


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a disk of its own")
def test_a_disk_without_room(machine: Machine, public: Registry, image: Image) -> None:
    machine.directory.joinpath("store").mkdir()
    with small_disk(machine.directory / "store", 1) as store:
        with pytest.raises(OSError, match="No space left on device"):
            machine.fetch(f"{public.host}/team/base:1")
        # What was begun does not fill the disk.
        assert shutil.disk_usage(store).free > 900_000
    assert machine.fetch(f"{public.host}/team/base:1").digest == image.digest


def test_the_builder_s_base_can_be_in_a_private_registry(
    private: Registry, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = User(name="pybuild", id=1000, group_id=1000)
    name = f"docker://{private.host}/team/base:1"
    wanted = WantedBase(
        base=ImageBase(location=name), user=user, image_name="run", is_run=True, architecture=host_architecture()
    )
    store = tmp_path / "store"
    store.mkdir()
    for variable in ("CNB_REGISTRY_AUTH", "DOCKER_AUTH_CONFIG", "REGISTRY_AUTH_FILE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(machine.home))
    with pytest.raises(LoginNeeded):
        make_base(wanted, None, store, Crew(), print)
    write_auth(machine.home / "config.json", {"auths": {private.host: {"auth": encoded(ALICE)}}})
    stages: list[str] = []
    make_base(wanted, None, store, Crew(), stages.append)
    assert any(stage.startswith("pulling") for stage in stages)
    made = read_base(wanted.directory(store))
    assert made is not None
    assert made.origin == name


def test_skopeo_finds_the_same_in_the_store(machine: Machine, public: Registry, tmp_path: Path) -> None:
    found = machine.fetch(f"{public.host}/team/base:1")
    command = ["skopeo", "copy", "--quiet", "--src-tls-verify=false", f"docker://{public.host}/team/base:1"]
    subprocess.run([*command, f"oci:{tmp_path / 'copied'}"], check=True)
    copied = read_image(f"oci:{tmp_path / 'copied'}")
    assert copied.digest == found.image.digest
    for one, other in zip(copied.layers, found.image.layers, strict=True):
        assert one.path.read_bytes() == other.path.read_bytes()


def test_no_secret_is_kept(machine: Machine, private: Registry) -> None:
    docker_config(machine, private, ALICE)
    machine.fetch(f"{private.host}/team/base:1")
    secrets = (ALICE[1].encode(), encoded(ALICE).encode())
    for path in (machine.directory / "store").rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not any(secret in content for secret in secrets), path
    assert not any(ALICE[1] in line for line in machine.log.lines)
    assert Reference.parse(f"{private.host}/team/base:1").registry == private.host
