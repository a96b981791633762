"""An environment file as a document that can be changed and written with everything else in it as it was: comments, order, quotes.

Every scalar is text, whatever YAML makes of `3.10` or `no`, as in the conda buildpack's own reader.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.resolver import VersionedResolver

from lifecycle.cnb.errors import ConfigurationError

# Longer than any line: nothing is folded.
_WIDTH = 1 << 20
# Far more than any solver takes
_MOST_ENTRIES = 100_000


class _TextResolver(VersionedResolver):
    """Takes no plain scalar for a number, a date, true, false or null."""

    def resolve(self, kind: object, value: object, implicit: object) -> object:
        return super().resolve(kind, value, (False, True) if kind is ScalarNode else implicit)


def parse_yaml(text: str, *, source: Path | str) -> CommentedMap:
    """Return the mapping that `text` is; an empty one for a text without content. Raises `ConfigurationError`."""
    try:
        document = _yaml(text).load(text)
    except MarkedYAMLError as err:
        mark = err.problem_mark or err.context_mark
        line = None if mark is None else mark.line + 1
        raise ConfigurationError(source, f"is not valid YAML: {err.problem or err.context}", line=line) from err
    except (YAMLError, RecursionError) as err:
        raise ConfigurationError(source, f"is not valid YAML: {str(err).splitlines()[0]}") from err
    if document is None or document == "":
        return CommentedMap()
    if not isinstance(document, CommentedMap):
        advice = "put the packages below `dependencies:`, each as `  - name`"
        raise ConfigurationError(source, "is no environment: no `key: value`", advice=advice)
    if _count(document, {}) > _MOST_ENTRIES:
        advice = "write one list of channels and one of packages"
        raise ConfigurationError(source, f"has more than {_MOST_ENTRIES} entries", advice=advice)
    return document


def render_yaml(document: CommentedMap, *, like: str = "") -> str:
    """Return the text of a document, its lists indented as in the text `like`."""
    stream = io.StringIO()
    _yaml(like).dump(document, stream)
    return stream.getvalue()


def _count(value: object, counted: dict[int, int]) -> int:
    """Entries of a value. Those of an alias count wherever it stands, as they are read there."""
    if not isinstance(value, (Mapping, list)):
        return 1
    if id(value) not in counted:
        items = value.values() if isinstance(value, Mapping) else value
        counted[id(value)] = 1 + sum(_count(item, counted) for item in items)
    return counted[id(value)]


def _yaml(like: str) -> YAML:
    yaml = YAML(typ="rt")
    yaml.Resolver = _TextResolver
    yaml.preserve_quotes = True
    yaml.width = _WIDTH
    # A list right below its key may begin in the column of the key, or further in.
    is_flush = any(line.startswith("- ") for line in like.splitlines())
    if is_flush:
        yaml.indent(mapping=2, sequence=2, offset=0)
    else:
        yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml
