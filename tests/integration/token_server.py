"""A token server for docker-registry: signs what a user may do, as https://distribution.github.io/distribution/spec/auth/jwt/ says."""

from __future__ import annotations

import base64
import json
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tests.loopback import LoopbackServer, QuietHandler

_SERVICE, _ISSUER = "registry of the tests", "token server of the tests"


class TokenServer(LoopbackServer):
    """Gives tokens on 127.0.0.1. `rights`: for each `user:password`, or `` for anybody, prefixes of repositories."""

    def __init__(self, directory: Path, rights: Mapping[str, tuple[str, ...]], *, lifetime_s: int = 300) -> None:
        directory.mkdir()
        self._key, self._certificate = directory / "token.key", directory / "token.pem"
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=tokens", "-days", "2"]
        subprocess.run([*command, "-keyout", self._key, "-out", self._certificate], check=True, capture_output=True)
        self._rights = rights
        self.lifetime_s = lifetime_s
        self.scopes: list[list[str]] = []
        """What tokens were asked for, in the order of the requests."""
        super().__init__(_handler(self))

    def settings(self) -> dict[str, str]:
        """The part `auth.token` of the registry's configuration."""
        return {
            "realm": f"{self.url}/token",
            "service": _SERVICE,
            "issuer": _ISSUER,
            "rootcertbundle": str(self._certificate),
        }

    def rights_of(self, authorization: str | None) -> tuple[str, ...] | None:
        """Prefixes of the repositories that a user may read; None for wrong credentials."""
        if authorization is None:
            return self._rights.get("", ())
        return self._rights.get(base64.b64decode(authorization.removeprefix("Basic ")).decode())

    def sign(self, scopes: list[str], rights: tuple[str, ...]) -> str:
        """A token for those of `scopes` that `rights` cover."""
        access = []
        for scope in scopes:
            kind, name, actions = scope.split(":")
            if any(name.startswith(prefix) for prefix in rights):
                access.append({"type": kind, "name": name, "actions": actions.split(",")})
        now = int(time.time())
        lines = self._certificate.read_text().splitlines()
        header = {"typ": "JWT", "alg": "RS256", "x5c": ["".join(lines[1:-1])]}
        claims = {
            "iss": _ISSUER,
            "sub": "somebody",
            "aud": _SERVICE,
            "exp": now + self.lifetime_s,
            "nbf": now - 10,
            "iat": now,
            "jti": str(time.time_ns()),
            "access": access,
        }
        signed = f"{_encode(json.dumps(header).encode())}.{_encode(json.dumps(claims).encode())}"
        command = ["openssl", "dgst", "-sha256", "-sign", str(self._key)]
        signature = subprocess.run(command, input=signed.encode(), check=True, capture_output=True).stdout
        return f"{signed}.{_encode(signature)}"


def _encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _handler(server: TokenServer) -> type[QuietHandler]:
    class Handler(QuietHandler):
        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            # skopeo asks for several in one word.
            scopes = [scope for value in query.get("scope", []) for scope in value.split()]
            server.scopes.append(scopes)
            rights = server.rights_of(self.headers.get("Authorization"))
            if rights is None:
                self.answer_json(
                    401, {"errors": [{"code": "UNAUTHORIZED", "message": "incorrect username or password"}]}
                )
            else:
                self.answer_json(200, {"token": server.sign(scopes, rights), "expires_in": server.lifetime_s})

    return Handler
