"""Buildpacks that project.toml has inside itself, as directories: they always pass, and their script is what they do at build."""

from __future__ import annotations

from pathlib import Path

from lifecycle.cnb.buildpack import Descriptor, read_descriptor
from lifecycle.cnb.toml import write_toml
from pybuild.project.descriptor import DEFAULT_SHELL, ProjectBuildpack, Script

DEFAULT_VERSION = "0.0.0"


def write_inline(named: ProjectBuildpack, script: Script, directory: Path) -> Descriptor:
    """Make `directory`, which must not exist, the buildpack that `named` has inside itself."""
    programs = directory / "bin"
    programs.mkdir(parents=True)
    version = named.version or DEFAULT_VERSION
    write_toml(
        directory / "buildpack.toml", {"api": str(script.api), "buildpack": {"id": str(named.id), "version": version}}
    )
    _write_program(programs / "detect", f"#!{DEFAULT_SHELL}\nexit 0\n")
    _write_program(programs / "build", f"#!{script.shell}\n\n{script.inline}\n")
    return read_descriptor(directory)


def _write_program(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")
    path.chmod(0o755)
