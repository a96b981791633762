"""Containers of images that were exported, started as container engines do it: the image's files, its environment, its entrypoint."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.conformance.images import ReadImage
from tests.conformance.kit import Ended

LAUNCHER = "/cnb/lifecycle/launcher"
_PATIENCE_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """An unpacked image. Programs come from this machine, as if the run image had them."""

    image: ReadImage
    root: Path

    def run(self, *arguments: str, entrypoint: str | None = None, env: Mapping[str, str | None] | None = None) -> Ended:
        """Start the image, with `arguments` instead of its own; `env` is added to the image's, `None` takes one away."""
        program = [entrypoint] if entrypoint else list(self.image.config["Entrypoint"])
        variables = {**self.image.env, **(env or {})}
        options = ["--unshare-pid", "--as-pid-1", "--die-with-parent", "--bind", str(self.root), "/"]
        # Where Debian's links in /usr/bin lead through.
        options += ["--ro-bind", "/usr", "/usr", "--ro-bind-try", "/etc/alternatives", "/etc/alternatives"]
        options += ["--proc", "/proc", "--dev", "/dev", "--clearenv"]
        options += [
            word for name, value in variables.items() if value is not None for word in ("--setenv", name, value)
        ]
        options += ["--chdir", self.image.config["WorkingDir"]]
        done = subprocess.run(
            ["bwrap", *options, "--", *program, *arguments],
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=_PATIENCE_S,
        )
        return Ended(status=done.returncode, stdout=done.stdout, stderr=done.stderr)

    def launch(self, *arguments: str, env: Mapping[str, str | None] | None = None) -> Ended:
        """Start the launcher under its own name."""
        return self.run(*arguments, entrypoint=LAUNCHER, env=env)

    def variables(self, env: Mapping[str, str | None] | None = None) -> Mapping[str, str]:
        """Return the environment of a program that the launcher starts."""
        ended = self.launch("--", "env", "-0", env=env)
        assert ended.status == 0, ended.stderr
        return dict(item.split("=", 1) for item in ended.stdout.split("\0") if item)


def unpack(image: ReadImage, root: Path) -> Container:
    """Return containers of an image; its files go below `root`, which must not exist."""
    root.mkdir()
    image.unpack(root)
    for name in ("bin", "sbin", "lib", "lib64"):
        if Path("/", name).is_symlink():
            (root / name).symlink_to(f"usr/{name}")
    return Container(image=image, root=root)
