"""Reads bills of materials, and holds them against the schema of CycloneDX and the package URLs that its library writes."""

from __future__ import annotations

import functools
import json
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL


def read_bill(text: str) -> dict[str, dict[str, Any]]:
    """The components by their names; each name once."""
    error = _validator().validate_str(text)
    assert error is None, str(error.data.message)
    components: list[dict[str, Any]] = json.loads(text)["components"]
    for component in components:
        if "purl" in component:
            assert PackageURL.from_string(component["purl"]).to_string() == component["purl"]
    found = {component["name"]: component for component in components}
    assert len(found) == len(components) == len({component["bom-ref"] for component in components})
    return found


def versions(components: dict[str, dict[str, Any]], kind: str) -> dict[str, str]:
    """The versions of those whose package URL is of that type, by name."""
    return {
        name: component["version"]
        for name, component in components.items()
        if component.get("purl", "").startswith(f"pkg:{kind}/")
    }


@functools.cache
def _validator() -> JsonStrictValidator:
    return JsonStrictValidator(SchemaVersion.V1_6)
