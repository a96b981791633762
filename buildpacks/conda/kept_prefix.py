"""The prefix as the conda packages make it, kept in the cache layer: a change of the `pip:` section begins with it.

It shares its files with the layer of the environment, where one may have been edited in place since; so what it held is hashed
when it is kept and again before it is used.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from buildpacks.conda.prefix import hash_tree, link_tree
from lifecycle.cnb.layer import remove_tree
from lifecycle.cnb.toml import write_atomically


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptPrefix:
    """Where a prefix is kept. `cache_dir` is the cache layer."""

    cache_dir: Path

    @property
    def path(self) -> Path:
        """The tree."""
        return self.cache_dir / "prefix"

    def keep(self, prefix: Path, key: str) -> None:
        """Keep `prefix`, which is what `key` stands for."""
        self._facts.unlink(missing_ok=True)
        link_tree(prefix, self.path)
        facts = {"key": key, "tree": hash_tree(self.path)}
        write_atomically(self._facts, json.dumps(facts).encode())

    def holds(self, key: str) -> bool:
        """Return whether what `key` stands for is here, as it was when it was kept."""
        try:
            facts = json.loads(self._facts.read_bytes())
            return bool(facts["key"] == key and facts["tree"] == hash_tree(self.path))
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def restore(self, prefix: Path) -> None:
        """Make `prefix` what is kept."""
        link_tree(self.path, prefix)

    def drop(self) -> None:
        """Remove it."""
        self._facts.unlink(missing_ok=True)
        remove_tree(self.path)

    @property
    def _facts(self) -> Path:
        return self.cache_dir / "prefix.json"
