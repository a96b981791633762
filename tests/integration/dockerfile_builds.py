"""Builds of Dockerfiles by pybuild, in the same terms as those of the other tools."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pybuild.builder import default_definition_path
from tests.integration.command import CHECKOUT, Pybuild, expect_error
from tests.integration.dockerfile_oracles import Refused, Request
from tests.integration.image_check import validate_image
from tests.integration.image_tree import ImageContents, contents_of_layout

# Configuration, a tool that is missing, a buildpack, the execution of the Dockerfile: who refuses it is for other tests.
_REFUSALS = tuple(range(2, 110))


def full_policy(directory: Path, checkout: Path = CHECKOUT) -> Path:
    """A builder.toml like the default one, with the buildpacks in `checkout`, but that Dockerfiles may have every instruction."""
    text = default_definition_path().read_text()
    restricted = 'policy = "restricted"'
    assert text.count(restricted) == 1
    path = directory / "builder.toml"
    path.write_text(text.replace(restricted, 'policy = "full"').replace('uri = "', f'uri = "{checkout}/'))
    return path


@dataclass(frozen=True, slots=True, kw_only=True)
class PybuildTool:
    """`pybuild build`, with one of its engines."""

    name: str
    pybuild: Pybuild
    options: Sequence[str | Path]
    directory: Path

    def build(self, request: Request) -> ImageContents | Refused:
        """What becomes of a Dockerfile."""
        with tempfile.TemporaryDirectory(dir=self.directory) as scratch:
            layout = Path(scratch, "layout")
            words = [word for name, value in request.build_args.items() for word in ("--build-arg", f"{name}={value}")]
            words += ["--env", f"BP_DOCKERFILE={request.dockerfile}"] if request.dockerfile != "Dockerfile" else []
            words += ["--env", f"BP_DOCKERFILE_TARGET={request.target}"] if request.target else []
            # Whether the other buildpacks leave it alone is for other tests.
            words += ["--buildpack", "pybuild/dockerfile", "--output", f"oci:{layout}"]
            finished = self.pybuild("build", request.context, *self.options, *words, timeout_s=600)
            if finished.status != 0:
                return Refused(said=expect_error(finished, _REFUSALS))
            validate_image(layout)
            return contents_of_layout(layout)
