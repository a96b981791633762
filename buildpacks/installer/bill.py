"""Bills of materials: what a layer holds, as CycloneDX 1.6 JSON (https://cyclonedx.org/docs/1.6/json/, ECMA-424).

Equal components give equal bytes, so that a layer has one document whoever builds it: there is no serial number, and no time.
Decision 23 says why no library writes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import quote

from lifecycle.cnb.jsontext import render_json

_HEAD = {
    "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
    "bomFormat": "CycloneDX",
    "specVersion": "1.6",
    "version": 1,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """A thing that a layer holds."""

    type: Literal["library", "platform"] = "library"
    """`platform` is what runs other things, such as an interpreter."""
    name: str
    version: str
    purl: str | None
    """`None` for what nobody else can have, such as a project of the repository."""
    cpe: str | None = None
    licence: str | None = None
    """In the words of its metadata."""
    sha256: str | None = None
    """Of the file that it was installed from, in hex."""
    properties: Mapping[str, str] = field(default_factory=dict)

    def _render(self) -> Mapping[str, object]:
        return {
            "type": self.type,
            "bom-ref": self.purl or f"{self.name}@{self.version}",
            "name": self.name,
            "version": self.version,
            "purl": self.purl,
            "cpe": self.cpe,
            "licenses": None if self.licence is None else [_render_licence(self.licence)],
            "hashes": None if self.sha256 is None else [{"alg": "SHA-256", "content": self.sha256}],
            "properties": [{"name": name, "value": value} for name, value in sorted(self.properties.items())] or None,
        }


def render_bill(components: Iterable[Component]) -> str:
    """Return the document with these components, each once, in an order of their own."""
    rendered = {str(values["bom-ref"]): values for values in (component._render() for component in components)}
    text = render_json({**_HEAD, "components": [values for _, values in sorted(rendered.items())]})
    # Metadata may hold what is no Unicode.
    return text.encode("utf-8", "replace").decode()


def make_purl(kind: str, name: str, version: str, qualifiers: Mapping[str, str | None] | None = None) -> str:
    """Return a package URL (https://github.com/package-url/purl-spec); qualifiers that are `None` are left out.

    `name` is in the form that `kind` wants.
    """
    pairs = [f"{key}={_quote(value)}" for key, value in sorted((qualifiers or {}).items()) if value]
    return f"pkg:{kind}/{_quote(name)}@{_quote(version)}" + (f"?{'&'.join(pairs)}" if pairs else "")


def _quote(text: str) -> str:
    # As packageurl-python writes them: colons stay, and the slashes of URLs.
    return quote(text, safe=":/")


def _render_licence(text: str) -> Mapping[str, object]:
    from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression  # the list of SPDX

    try:
        return {"expression": str(canonicalize_license_expression(text))}
    except InvalidLicenseExpression:
        return {"license": {"name": text}}
