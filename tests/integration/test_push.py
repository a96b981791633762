"""Images put into Debian's docker-registry on 127.0.0.1: with credentials, tokens and TLS; skopeo as the second opinion."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import ssl
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lifecycle.cnb.digest import Digest
from lifecycle.cnb.errors import render_error
from lifecycle.cnb.reference import Reference
from lifecycle.oci.descriptor import GZIP_LAYER_TYPE, Descriptor
from lifecycle.oci.image import Image, Layer
from lifecycle.oci.layout import read_image
from lifecycle.oci.location import parse_location
from lifecycle.registry.errors import (
    CertificateRefused,
    LoginNeeded,
    LoginRefused,
    RedirectRefused,
)
from lifecycle.registry.push import Uploaded, check_access, put_image, upload_blobs
from lifecycle.registry.settings import RegistrySettings
from pybuild.image_store import open_client
from tests.integration.registry import Registry, start_registry
from tests.integration.token_server import TokenServer
from tests.lifecycle.oci.images import file_layer, image_of, member, tar_layer
from tests.lifecycle.registry.fake_registry import Exchange, FakeRegistry, Hook, client_for
from tests.loopback import Certificates, make_certificates

pytestmark = pytest.mark.integration
ALICE, BOB = ("alice", "wonder land"), ("bob", "builder")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """A base layer that is large enough for a part of its own, and one on it."""
    blobs = tmp_path_factory.mktemp("blobs")
    return image_of(
        tar_layer(blobs, [(member("base"), os.urandom(3_000_000))]), file_layer(blobs, {"app": os.urandom(99).hex()})
    )


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def put(
    home: Path,
    name: str,
    image: Image,
    *,
    env: Mapping[str, str] | None = None,
    insecure: tuple[str, ...] = (),
    mount_from: Sequence[str] = (),
    is_checked: bool = False,
) -> Uploaded:
    """Put an image there as a build does, with the credentials and certificates that a machine has."""
    client = open_client({"HOME": str(home), "PATH": os.environ["PATH"], **(env or {})}, insecure=insecure)
    try:
        reference = Reference.parse(name)
        if is_checked:
            check_access(client, reference)
        done = upload_blobs(client, reference, image, mount_from=[Reference.parse(one) for one in mount_from])
        return done + put_image(client, [reference], image)
    finally:
        client.close()


def take(name: str, directory: Path, *, login: tuple[str, str] | None = None) -> Image:
    """What skopeo finds there; it verifies every blob."""
    credentials = [] if login is None else ["--src-creds", ":".join(login)]
    command = ["skopeo", "copy", "--quiet", "--src-tls-verify=false", *credentials]
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    subprocess.run([*command, f"docker://{name}", f"oci:{directory}:taken"], check=True, env=environment)
    return read_image(parse_location(f"oci:{directory}:taken"))


def platform_says(registry: Registry, login: tuple[str, str]) -> dict[str, str]:
    """Credentials as a platform hands them to a lifecycle."""
    encoded = base64.b64encode(":".join(login).encode()).decode()
    return {"CNB_REGISTRY_AUTH": json.dumps({registry.host: f"Basic {encoded}"})}


def requests(registry: Registry) -> list[str]:
    """The requests that the registry has answered, `METHOD PATH STATUS`."""
    found = []
    for line in registry.log.splitlines():
        if '"' in line and " HTTP/1.1" in line and line.startswith("127.0.0.1"):
            request, answer = line.split('"')[1:3]
            found.append(f"{request.removesuffix(' HTTP/1.1')} {answer.split()[0]}")
    return found


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with start_registry(tmp_path_factory.mktemp("public")) as registry:
        yield registry


def test_an_image_arrives_and_nothing_of_it_travels_twice(
    public: Registry, home: Path, tmp_path: Path, image: Image
) -> None:
    name = f"{public.host}/team/app:1"
    done = put(home, name, image, is_checked=True)
    assert (done.uploaded.blobs, done.present.blobs, done.retries) == (3, 0, 0)
    assert take(name, tmp_path / "taken").digest == image.digest

    before = len(requests(public))
    again = put(home, f"{public.host}/team/app:2", image)
    assert (again.uploaded.blobs, again.present.size) == (0, done.uploaded.size)
    assert {request.partition(" ")[0] for request in requests(public)[before:]} <= {"HEAD", "PUT"}
    assert [request for request in requests(public)[before:] if "/blobs/uploads/" in request] == []

    # A change of one layer: its blob and the config.
    changed = image_of(image.layers[0], file_layer(tmp_path / "blobs", {"app": "changed"}))
    assert put(home, name, changed).uploaded.size < 2000

    mounted = put(home, f"{public.host}/team/other:1", image, mount_from=[name])
    assert (mounted.mounted.blobs, mounted.uploaded.blobs) == (3, 0)
    assert take(f"{public.host}/team/other:1", tmp_path / "other").digest == image.digest


def test_only_who_may_write_does(tmp_path: Path, home: Path, image: Image) -> None:
    with start_registry(tmp_path / "registry", login=ALICE) as registry:
        name = f"{registry.host}/team/app:1"
        with pytest.raises(LoginNeeded) as needed:
            put(home, name, image)
        assert needed.value.exit_code == 62
        config = registry.config_file(home / ".docker")
        assert put(home, name, image, is_checked=True).uploaded.blobs == 3
        assert take(name, tmp_path / "taken", login=ALICE).digest == image.digest
        # Each request but the first, by each thread that asks at once, showed the credentials.
        assert sum(request.endswith(" 401") for request in requests(registry)) <= 5
        # What the platform says goes before what the machine says.
        with pytest.raises(LoginRefused) as refused:
            put(home, name, image, env=platform_says(registry, ("alice", "guessed")))
        assert "from `CNB_REGISTRY_AUTH`" in refused.value.summary
        assert "guessed" not in render_error(refused.value)
        config.unlink()
        assert put(home, name, image, env=platform_says(registry, ALICE)).present.blobs == 3


def test_tokens_are_for_what_is_written_and_what_is_mounted(tmp_path: Path, home: Path, image: Image) -> None:
    rights = {":".join(ALICE): ("team/",), ":".join(BOB): ("bob/",)}
    with (
        TokenServer(tmp_path / "tokens", rights) as tokens,
        start_registry(tmp_path / "registry", token_auth=tokens.settings()) as registry,
    ):
        base, name = f"{registry.host}/team/base:1", f"{registry.host}/team/app:1"
        put(home, base, image, env=platform_says(registry, ALICE))
        assert tokens.scopes == [["repository:team/base:pull,push"]]
        done = put(home, name, image, env=platform_says(registry, ALICE), mount_from=[base])
        assert (done.mounted.blobs, done.uploaded.blobs) == (3, 0)
        assert ["repository:team/app:pull,push", "repository:team/base:pull"] in tokens.scopes
        # Bob may not read there: what could have been mounted travels.
        other = f"{registry.host}/bob/app:1"
        done = put(home, other, image, env=platform_says(registry, BOB), mount_from=[base])
        assert (done.mounted.blobs, done.uploaded.blobs) == (0, 3)
        with pytest.raises(LoginRefused) as refused:
            put(home, name, image, env=platform_says(registry, BOB))
        assert refused.value.exit_code == 62


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates") / "made")


def test_a_private_authority(tmp_path: Path, home: Path, image: Image, certificates: Certificates) -> None:
    with start_registry(tmp_path / "registry", certificates=certificates) as registry:
        name = f"{registry.host}/team/app:1"
        with pytest.raises(CertificateRefused) as refused:
            put(home, name, image)
        assert refused.value.exit_code == 62
        authority = {"SSL_CERT_FILE": str(certificates.authority)}
        assert put(home, name, image, env=authority, is_checked=True).uploaded.blobs == 3
        directory = home / ".config" / "containers" / "certs.d" / registry.host
        directory.mkdir(parents=True)
        shutil.copy(certificates.authority, directory / "ca.crt")
        assert put(home, name, image).present.blobs == 3
        shutil.rmtree(directory)
        assert put(home, name, image, insecure=(registry.host,)).present.blobs == 3
        assert take(name, tmp_path / "taken").digest == image.digest


def test_large_layers_are_not_read_into_memory(public: Registry, home: Path, tmp_path: Path) -> None:
    piece = os.urandom(1 << 20)
    layers = [layer_of_bytes(tmp_path / str(number), [piece] * (100 + number)) for number in range(3)]
    Path("/proc/self/clear_refs").write_text("5")  # what follows begins a new high-water mark
    before = memory()
    done = put(home, f"{public.host}/team/large:1", image_of(*layers))
    assert done.uploaded.size > 300e6
    assert memory() - before < 20e6


def layer_of_bytes(path: Path, pieces: Sequence[bytes]) -> Layer:
    """A layer of bytes that need not be an archive: registries do not look."""
    digest = hashlib.sha256()
    with path.open("wb") as stream:
        for piece in pieces:
            digest.update(piece)
            stream.write(piece)
    named = Digest("sha256", digest.hexdigest())
    descriptor = Descriptor(media_type=GZIP_LAYER_TYPE, digest=named, size=path.stat().st_size)
    return Layer(descriptor=descriptor, diff_id=named, path=path)


def memory() -> int:
    """Bytes that this process has had at most at one time."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


@pytest.fixture
def lying(certificates: Certificates) -> Iterator[FakeRegistry]:
    """A registry with TLS that does what a test says."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.certificate, certificates.key)
    with FakeRegistry(tls=context) as registry:
        yield registry


def test_an_upload_over_tls_that_breaks(lying: FakeRegistry, image: Image, certificates: Certificates) -> None:
    def cut(exchange: Exchange) -> bool:
        lying.uploads[exchange.path.partition("?")[0].rpartition("/")[2]] += b"".join(exchange.pieces(500_000))
        return exchange.cut()

    parts: list[str] = []

    def note(exchange: Exchange) -> bool:
        parts.extend(exchange.headers.get_all("Content-Range", []))
        return False

    lying.always("/blobs/uploads/", note)
    lying.before("/blobs/uploads/", cut, cut, method="PATCH")
    client = client_for(settings=RegistrySettings(ca_bundle=certificates.authority))
    done = upload_blobs(client, Reference.parse(f"{lying.host}/team/app:1"), image)
    assert (done.uploaded.blobs, done.retries) == (3, 2)
    size = image.layers[0].descriptor.size
    assert parts == [f"500000-{size - 1}", f"1000000-{size - 1}"]
    assert lying.blobs[str(image.layers[0].descriptor.digest)] == image.layers[0].path.read_bytes()


def test_an_upload_that_should_go_on_without_tls(
    lying: FakeRegistry, home: Path, image: Image, certificates: Certificates
) -> None:
    with FakeRegistry() as plain:
        lying.before("/blobs/uploads/", *[_send_to(plain)] * 3, method="POST")
        with pytest.raises(RedirectRefused, match="is not asked over TLS") as refused:
            put(home, f"{lying.host}/team/app:1", image, env={"SSL_CERT_FILE": str(certificates.authority)})
        assert refused.value.exit_code == 62
        assert "secret" not in render_error(refused.value)
        assert "X-Forwarded-Proto" in str(refused.value.hint)
        assert plain.requests == []


def _send_to(other: FakeRegistry) -> Hook:
    return lambda exchange: exchange.answer(202, Location=f"{other.url}/v2/team/app/blobs/uploads/x?key=secret")


def test_of_several_that_push_one_tag_one_has_it(public: Registry, home: Path, tmp_path: Path, image: Image) -> None:
    others = [image_of(image.layers[0], file_layer(tmp_path / "blobs", {"app": str(number)})) for number in range(4)]
    name = f"{public.host}/team/contended:1"
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda other: put(home, name, other), others))
    assert take(name, tmp_path / "taken").digest in [other.digest for other in others]
    assert public.digests("team/contended") == sorted(str(other.digest) for other in others)
