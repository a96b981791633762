"""What the source stage found out, for the report and the project label of the image."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from lifecycle.cnb.labels import ProjectMetadata
from pybuild.project.descriptor import Project


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where the application directory came from."""

    kind: Literal["directory", "git", "archive"]
    location: str
    """As given, without credentials."""
    revision: str | None
    """Commit, for git; a directory may hold changes that no commit has, so it has none."""
    subdirectory: str | None
    project: Project = field(default_factory=Project)
    """What its project.toml says, or the one that was given in its place."""

    def project_metadata(self) -> ProjectMetadata:
        """Content of the project label; empty where nothing lasting can be said.

        Where no revision is known, the version that project.toml declares is one, in the form that pack gives it.
        """
        about = self.project.about
        metadata: dict[str, object] = {"project": about} if about else {}
        if self.kind == "git" and self.revision is not None:
            metadata["repository"] = self.location
            if self.subdirectory:
                metadata["subdirectory"] = self.subdirectory
            return ProjectMetadata(
                source_type="git", source_version={"commit": self.revision}, source_metadata=metadata
            )
        if not about:
            return ProjectMetadata()
        if "source-url" in about:
            metadata["url"] = about["source-url"]
        version = {"declared": about["version"]} if "version" in about else {}
        return ProjectMetadata(source_type="project", source_version=version, source_metadata=metadata)
