"""What a registry wants to see: the header `WWW-Authenticate` (https://www.rfc-editor.org/rfc/rfc9110#section-11.6.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_WORD = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_PARAMETER = re.compile(rf'({_WORD})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_SCHEME = re.compile(rf"({_WORD})(?:\s+|$|(?=,))")
_SEPARATOR = re.compile(r"[\s,]+")
_ESCAPED = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """One way to show who asks. `scheme` and the names of `parameters` are in lower case."""

    scheme: str
    parameters: Mapping[str, str]


def parse_challenges(headers: Iterable[str]) -> tuple[Challenge, ...]:
    """Return the challenges of all headers, in their order; what cannot be understood ends its header."""
    found: list[Challenge] = []
    for header in headers:
        found.extend(_parse(header))
    return tuple(found)


def _parse(header: str) -> list[Challenge]:
    found: list[tuple[str, dict[str, str]]] = []
    position = 0
    while position < len(header):
        if (separator := _SEPARATOR.match(header, position)) is not None:
            position = separator.end()
        elif (parameter := _PARAMETER.match(header, position)) is not None and found:
            name, quoted, plain = parameter.groups()
            value = plain if quoted is None else _ESCAPED.sub(r"\1", quoted)
            found[-1][1].setdefault(name.lower(), value)
            position = parameter.end()
        elif (scheme := _SCHEME.match(header, position)) is not None:
            found.append((scheme[1].lower(), {}))
            position = scheme.end()
        else:
            break
    return [Challenge(scheme=scheme, parameters=parameters) for scheme, parameters in found]
