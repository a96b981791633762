"""The bills of materials of an image, and what is installed in it by its own account."""

from __future__ import annotations

import io
import json
import tarfile
from typing import Any

from packaging.utils import canonicalize_name

from tests.bills import read_bill, versions
from tests.integration.builds import Builds
from tests.integration.conda_build import image_files
from tests.integration.image_files import LayoutImage, iterate_files

_ROOT = "layers/sbom/launch/"
_LIST = """
import importlib.metadata, json
found = importlib.metadata.distributions()
print(json.dumps([[one.metadata["Name"], one.version, (one.read_text("INSTALLER") or "").strip()] for one in found]))
"""
Bills = dict[str, dict[str, dict[str, Any]]]


def read_bills(image: LayoutImage) -> Bills:
    """The components of each document, by `<buildpack>/<layer>`, from the layer that the image's label names."""
    sha = image.label("io.buildpacks.lifecycle.metadata")["sbom"]["sha"]
    number = image.config["rootfs"]["diff_ids"].index(sha)
    files = {file.name: (file.layer, file.content) for file in iterate_files(image) if file.name.startswith(_ROOT)}
    found = {name: content for name, (layer, content) in files.items() if layer == number and content}
    return _read(found)


def read_bill_archive(content: bytes) -> Bills:
    """The same from the layer itself, compressed with gzip."""
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
        found = {}
        for entry in archive:
            member = archive.extractfile(entry) if entry.isreg() else None
            if member is not None:
                found[entry.name.lstrip("/")] = member.read()
    return _read(found)


def assert_python_bills(builds: Builds, layer: str) -> None:
    """The bills of the last build name its interpreter and, in that of `layer`, what `importlib.metadata` finds there."""
    bills = read_bills(builds.image)
    assert bills.keys() == {"pybuild_python/cpython", layer}
    version = builds.run("python", "-c", "import platform; print(platform.python_version())")
    assert versions(bills["pybuild_python/cpython"], "generic") == {"python": version}
    assert all_versions(bills[layer]) == {name: version for name, version, _ in _installed(builds)}


def assert_conda_bill(builds: Builds) -> None:
    """The bill of the last build names what `conda-meta` does, and what was not installed by conda."""
    bills = read_bills(builds.image)
    assert bills.keys() == {"pybuild_conda/env"}
    components = bills["pybuild_conda/env"]
    files = image_files(builds.image)
    records = [json.loads(text) for name, text in files.items() if name.startswith("conda-meta/") and ".json" in name]
    of_conda = versions(components, "conda")
    assert of_conda == {record["name"]: record["version"] for record in records}
    assert {component["hashes"][0]["content"] for name, component in components.items() if name in of_conda} == {
        record["sha256"] for record in records
    }
    others = {name: component for name, component in components.items() if name not in of_conda}
    of_pip = {name: version for name, version, installer in _installed(builds) if installer in ("uv", "pip")}
    assert all_versions(others) == of_pip
    assert of_pip


def all_versions(components: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Versions by name."""
    return {name: component["version"] for name, component in components.items()}


def _read(files: dict[str, bytes]) -> Bills:
    return {
        name.removeprefix(_ROOT).removesuffix("/sbom.cdx.json"): read_bill(text.decode())
        for name, text in files.items()
    }


def _installed(builds: Builds) -> list[tuple[str, str, str]]:
    """Canonical name, version and installer of each distribution."""
    found = json.loads(builds.run("python", "-I", "-c", _LIST))
    return [(canonicalize_name(name), version, installer) for name, version, installer in found]
