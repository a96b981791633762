"""A place where pipelines run: a registry that wants a login, a package index, a git server and a Docker engine, all on 127.0.0.1,
and the builder image in the registry, as docs/pipelines.md says how it comes there."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.deploy.ci import Script
from tests.deploy.documents import BUILDER, Document
from tests.integration.engine import DockerEngine
from tests.integration.git_server import GitServer
from tests.integration.package_index import PackageIndex
from tests.integration.pods import Node
from tests.integration.registry import Registry

# The user of the builder image, who owns what is built.
USER = 1000
PROJECT: Mapping[str, str] = {
    "requirements.txt": "alpha==1.0\n",
    "main.py": "import alpha\nprint('alpha', alpha.VERSION)\n",
    # What version control reads of the files themselves is a part of them.
    ".gitignore": "*.pyc\n",
    "tools/.keep": "",
}
_MANIFESTS = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where pipelines run. `PROJECT` is the repository `project` of the git server."""

    engine: DockerEngine
    registry: Registry
    index: PackageIndex
    git: GitServer
    directory: Path

    @property
    def builder(self) -> str:
        """The builder image."""
        return f"{self.registry.host}/pybuild/builder:latest"

    @property
    def run_image(self) -> str:
        """The run image that belongs to it."""
        return f"{self.registry.host}/pybuild/run:latest"

    @property
    def definition(self) -> Path:
        """A builder.toml that says where the run image is."""
        path = self.directory / "builder.toml"
        path.write_text(f'[[run.images]]\nimage = "{self.run_image}"\n[pybuild]\nextends = "default"\n')
        return path

    @property
    def login(self) -> tuple[str, str]:
        """User and password for the registry."""
        assert self.registry.login is not None
        return self.registry.login

    @property
    def build_env(self) -> dict[str, str]:
        """Variables for buildpacks that make the index of the site the only one."""
        return {name: value for name, value in self.index.settings().items() if value is not None}

    @property
    def docker_config(self) -> str:
        """What Docker's config.json has after a login."""
        return self.registry.config_file(self.directory / "login").read_text()

    def image(self, name: str) -> str:
        """The name of an image of the project."""
        return f"{self.registry.host}/group/{name}:latest"

    def digest(self, name: str) -> str:
        """The digest of an image of the project."""
        login = base64.b64encode(":".join(self.login).encode()).decode()
        request = urllib.request.Request(
            f"http://{self.registry.host}/v2/group/{name}/manifests/latest",
            headers={"Authorization": f"Basic {login}", "Accept": _MANIFESTS},
            method="HEAD",
        )
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
            digest: str = answer.headers["Docker-Content-Digest"]
            return digest

    def inspect(self, name: str) -> Document:
        """The configuration of an image."""
        command = ["skopeo", "inspect", "--tls-verify=false", "--config", "--creds", ":".join(self.login)]
        found = subprocess.run([*command, f"docker://{name}"], capture_output=True, check=True, env=_without_proxies())
        config: Document = json.loads(found.stdout)
        return config

    def node(self, name: str, *, config_maps: Mapping[str, Mapping[str, str]] | None = None) -> Node:
        """A machine that has run nothing yet, with the claim `source`: the project's clone, writable for the build's group."""
        directory = self.directory / name
        clone = self.clone(directory / "clone", USER)
        for path in (clone, *clone.rglob("*")):
            if ".git" not in path.parts:
                path.chmod(path.stat().st_mode | (0o2770 if path.is_dir() else 0o660))
        return Node(
            engine=self.engine,
            directory=directory / "volumes",
            config_maps=config_maps or {},
            secrets={"registry-credentials": {".dockerconfigjson": self.docker_config}},
            claims={"source": clone, "project-source": clone},
            images={BUILDER: self.builder},
        )

    def clone(self, target: Path, owner: int) -> Path:
        """A clone of the project that belongs to a user."""
        source = f"{self.git.url}/project.git"
        subprocess.run(["git", "clone", "--quiet", source, str(target)], check=True, env=_without_proxies())
        for path in (target, *target.rglob("*")):
            os.chown(path, owner, owner, follow_symlinks=False)
        return target

    def run_here(self, script: Script, cwd: Path, env: Mapping[str, str]) -> str:
        """What a script writes on a machine of a CI service that has Docker."""
        own = {"PATH": f"/usr/bin:{os.environ['PATH']}", "HOME": str(cwd.parent), **env, **script.env}
        own["DOCKER_HOST"] = f"unix://{self.engine.socket}"
        ran = subprocess.run(
            [*script.shell, script.text], cwd=cwd, env=own, capture_output=True, text=True, timeout=600, check=False
        )
        assert ran.returncode == 0, f"`{script.name}` ended with {ran.returncode}:\n{ran.stdout}\n{ran.stderr}"
        return ran.stdout + ran.stderr

    def run_in_builder(self, script: Script, clone: Path, *, user: str) -> str:
        """What a script writes in a container of the builder image, as jobs of GitLab run in the image that they name."""
        options = ["--rm", "--network", "host", "--user", user, "--volume", f"{clone}:/builds/group/project"]
        options += ["--workdir", "/builds/group/project", "--entrypoint", script.shell[0]]
        options += [word for name, value in script.env.items() for word in ("--env", f"{name}={value}")]
        return self.engine("run", *options, self.builder, *script.shell[1:], script.text)

    def run_image_of(self, name: str) -> str:
        """What the project's program writes in a container of the image."""
        self.engine("pull", "--quiet", self.image(name))
        return self.engine("run", "--rm", self.image(name), "python", "main.py")


def secret_volume() -> Document:
    """The Secret with the registry's credentials, as a volume without its name."""
    items = [{"key": ".dockerconfigjson", "path": "config.json"}]
    return {"secret": {"secretName": "registry-credentials", "items": items}}


def _without_proxies() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
