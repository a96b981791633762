"""The files of deploy/ as documents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
# The placeholder of every file of deploy/ that a user replaces by the name of the own builder image.
BUILDER = "registry.example.org/pybuild/builder:latest"

Document = dict[str, Any]


def read_documents(name: str) -> list[Document]:
    """Documents of a file of deploy/, in their order."""
    return list(yaml.safe_load_all((DEPLOY / name).read_text()))


def read_document(name: str, kind: str) -> Document:
    """The only document of a kind in a file of deploy/."""
    (document,) = (document for document in read_documents(name) if document["kind"] == kind)
    return document
