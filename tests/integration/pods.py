"""Pods in a Docker engine, as near to a node of Kubernetes as it can be: one container after the other, volumes shared by them,
users, capabilities, Secrets and ConfigMaps as the pod says."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.deploy.documents import Document
from tests.deploy.pods import Pod
from tests.integration.engine import DockerEngine

# https://kubernetes.io/docs/tasks/inject-data-application/define-environment-variable-container/
_REFERENCE = re.compile(r"\$\(([A-Za-z_][A-Za-z0-9_]*)\)")
Files = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A machine that has run nothing yet. Pods have the network of this machine, so that they reach servers of 127.0.0.1."""

    engine: DockerEngine
    directory: Path
    config_maps: Mapping[str, Files] = field(default_factory=dict)
    secrets: Mapping[str, Files] = field(default_factory=dict)
    claims: Mapping[str, Path] = field(default_factory=dict)
    """Directories that persistent volume claims stand for."""
    images: Mapping[str, str] = field(default_factory=dict)
    """Images to run instead of those that the pod names."""

    def run(self, pod: Pod) -> dict[str, str]:
        """What each container has written; AssertionError when one fails, as a pod ends then."""
        volumes = {volume["name"]: self._make_volume(volume, pod) for volume in pod.spec["volumes"]}
        return {
            container["name"]: self._run(pod, container, volumes, _command(container, self._environment(container)))
            for container in pod.containers
        }

    def probe(self, pod: Pod, script: str) -> dict[str, str]:
        """What a script of the shell writes in the place of each container's command, in volumes of the pod's own."""
        volumes = {volume["name"]: self._make_volume(volume, pod) for volume in pod.spec["volumes"]}
        return {
            container["name"]: self._run(pod, container, volumes, ("sh", "-c", script)) for container in pod.containers
        }

    def _run(self, pod: Pod, container: Document, volumes: Mapping[str, Path], command: Sequence[str]) -> str:
        context = {**pod.spec.get("securityContext", {}), **container.get("securityContext", {})}
        options = ["--rm", "--network", "host", "--entrypoint", command[0]]
        if "runAsUser" in context:
            options += ["--user", f"{context['runAsUser']}:{context.get('runAsGroup', 0)}"]
        if "fsGroup" in context:
            options += ["--group-add", str(context["fsGroup"])]
        for capability in context.get("capabilities", {}).get("drop", []):
            options += ["--cap-drop", capability]
        if context.get("allowPrivilegeEscalation") is False:
            options += ["--security-opt", "no-new-privileges"]
        for name, value in self._environment(container).items():
            options += ["--env", f"{name}={value}"]
        for mount in container.get("volumeMounts", []):
            is_read_only = ":ro" if mount.get("readOnly") else ""
            options += ["--volume", f"{volumes[mount['name']]}:{mount['mountPath']}{is_read_only}"]
        if "workingDir" in container:
            options += ["--workdir", container["workingDir"]]
        image = self.images.get(container["image"], container["image"])
        ran = self.engine.run("run", *options, image, *command[1:], check=False)
        said = ran.stdout + ran.stderr
        assert ran.returncode == 0, f"container `{container['name']}` ended with {ran.returncode}:\n{said}"
        return said

    def _environment(self, container: Document) -> dict[str, str]:
        env: dict[str, str] = {}
        for source in container.get("envFrom", []):
            env.update(self.config_maps[source["configMapRef"]["name"]])
        for variable in container.get("env", []):
            env[variable["name"]] = _expand(variable["value"], env)
        return env

    def _make_volume(self, volume: Document, pod: Pod) -> Path:
        group = pod.spec.get("securityContext", {}).get("fsGroup")
        if "persistentVolumeClaim" in volume:
            path = self.claims[volume["persistentVolumeClaim"]["claimName"]]
        else:
            path = self.directory / volume["name"]
            path.mkdir(parents=True, exist_ok=True)
            if "secret" in volume:
                _write_files(path, volume["secret"], self.secrets[volume["secret"]["secretName"]])
            elif "configMap" in volume:
                maps = {**self.config_maps, **pod.config_maps}
                _write_files(path, volume["configMap"], maps[volume["configMap"]["name"]])
            else:
                path.chmod(0o777)
        if group is not None:
            for below in (path, *_entries(path)):
                _give_to_group(below, group)
        return path


def _command(container: Document, env: Mapping[str, str]) -> list[str]:
    return [_expand(word, env) for word in (*container["command"], *container.get("args", []))]


def _expand(text: str, env: Mapping[str, str]) -> str:
    return _REFERENCE.sub(lambda match: env.get(match[1], match[0]), text)


def _write_files(path: Path, source: Document, files: Files) -> None:
    # The kubelet changes all files at once by changing one link.
    real = path / "..2026_01_01_00_00_00.1"
    real.mkdir(exist_ok=True)
    chosen = {item["key"]: item["path"] for item in source.get("items", [])} or {name: name for name in files}
    for key, name in chosen.items():
        (real / name).write_text(files[key])
        (real / name).chmod(source.get("defaultMode", 0o644))
        if not (path / name).is_symlink():
            (path / name).symlink_to(f"..data/{name}")
    if not (path / "..data").is_symlink():
        (path / "..data").symlink_to(real.name)


def _entries(path: Path) -> Iterator[Path]:
    for directory, directories, files in os.walk(path):
        yield from (Path(directory, name) for name in (*directories, *files))


def _give_to_group(path: Path, group: int) -> None:
    os.chown(path, -1, group, follow_symlinks=False)
    if not path.is_symlink():
        path.chmod(path.stat().st_mode | (0o2770 if path.is_dir() else 0o660))
