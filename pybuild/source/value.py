"""What the source stage found out, for the report and the project label of the image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lifecycle.cnb.labels import ProjectMetadata


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where the application directory came from."""

    kind: Literal["directory", "git", "archive"]
    location: str
    """As given, without credentials."""
    revision: str | None
    """Commit, for git; a directory may hold changes that no commit has, so it has none."""
    subdirectory: str | None

    def project_metadata(self) -> ProjectMetadata:
        """Content of the project label; empty where nothing lasting can be said."""
        if self.kind != "git" or self.revision is None:
            return ProjectMetadata()
        metadata = {"repository": self.location}
        if self.subdirectory:
            metadata["subdirectory"] = self.subdirectory
        return ProjectMetadata(source_type="git", source_version={"commit": self.revision}, source_metadata=metadata)
