"""`pybuild build` of Dockerfiles that tests write on the spot, with either engine."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.integration.command import Finished, Pybuild, Running, expect_error, expect_success
from tests.integration.image_files import LayoutImage, file_names, iterate_files, read_layout

EXTEND_FAILED = 101


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerfileRuns:
    """The command with an engine, and a repository."""

    pybuild: Pybuild
    directory: Path
    options: Sequence[str | Path] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    """`--env` of every build."""

    @property
    def repository(self) -> Path:
        """The repository, which begins empty."""
        path = self.directory / "repository"
        path.mkdir(exist_ok=True)
        return path

    @property
    def layout(self) -> Path:
        """Where the image goes."""
        return self.directory / "layout"

    @property
    def image(self) -> LayoutImage:
        """The image of the last build."""
        return read_layout(self.layout)

    def with_options(self, *options: str | Path) -> DockerfileRuns:
        """With more options."""
        return replace(self, options=(*self.options, *options))

    def start(self, dockerfile: str, *options: str | Path) -> Running:
        """A build under way."""
        (self.repository / "Dockerfile").write_text(dockerfile)
        return self.pybuild.start("build", self.repository, *self._options(options))

    def run(self, dockerfile: str, *options: str | Path) -> Finished:
        """How a build ended, well or not."""
        return self.start(dockerfile, *options).finish(600)

    def build(self, dockerfile: str, *options: str | Path) -> Finished:
        """A build that must succeed."""
        return expect_success(self.run(dockerfile, *options))

    def fail(self, dockerfile: str, *mentions: str, status: int | tuple[int, ...] = EXTEND_FAILED) -> str:
        """The error of a build that must fail, mention `mentions`, and leave no image."""
        shutil.rmtree(self.layout, ignore_errors=True)
        message = expect_error(self.run(dockerfile), status, *mentions)
        assert not self.layout.exists()
        return message

    def content(self, name: str) -> bytes:
        """Content of a file of the image."""
        found = [file.content for file in iterate_files(self.image) if file.name == name]
        assert found, f"no `{name}` among {sorted(file_names(self.image))}"
        return found[-1]

    def text(self, name: str) -> str:
        """The same as text."""
        return self.content(name).decode()

    def own_files(self) -> Iterator[tuple[str, bytes]]:
        """Names and contents of what the Dockerfile added to its base, files or not."""
        for file in iterate_files(self.image):
            yield file.name, file.content + file.entry.linkname.encode() + str(file.entry.pax_headers).encode()

    def holding(self, *secrets: str) -> list[str]:
        """Where the image has one of `secrets`: names of files, or `config`."""
        needles = [secret.encode() for secret in secrets]
        found = [
            name for name, content in self.own_files() if any(needle in name.encode() + content for needle in needles)
        ]
        config = str(self.image.config) + str(self.image.manifest)
        return found + ["config" for secret in secrets if secret in config]

    def _options(self, options: Sequence[str | Path]) -> list[str | Path]:
        settings = [word for name, value in self.settings.items() for word in ("--env", f"{name}={value}")]
        return [*self.options, *settings, *options, "--output", f"oci:{self.layout}"]
