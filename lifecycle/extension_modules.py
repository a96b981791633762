"""Imports extension modules out of the archive that a program is: the system loads them from files only.

The file is one in memory, or where a machine forbids that, a temporary one. In the archive, `<package>/<module>.so` is the module for
the Python and the architecture that the program was put together for.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.machinery import ExtensionFileLoader, ModuleSpec
from importlib.util import spec_from_file_location
from types import ModuleType
from zipimport import zipimporter


def import_from_archive(archive: zipimporter) -> None:
    """Let imports find the extension modules in `archive` that nothing else has."""
    sys.meta_path.append(_Finder(archive))


class _Finder:
    def __init__(self, archive: zipimporter) -> None:
        self._archive = archive

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002 - in an archive, the name says where
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        """Return where a module is; `None`: it is not here."""
        try:
            content = self._archive.get_data(f"{fullname.replace('.', '/')}.so")
        except OSError:
            return None
        place = _file_in_memory(fullname, content)
        return spec_from_file_location(fullname, place, loader=_Loader(fullname, place, content))


class _Loader(ExtensionFileLoader):
    def __init__(self, name: str, path: str, content: bytes) -> None:
        super().__init__(name, path)
        self._content = content

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return the module, loaded from memory or else from a file that is gone at once."""
        try:
            return super().create_module(spec)
        except ImportError:
            import tempfile  # hardly ever needed, and it brings many others

            with tempfile.NamedTemporaryFile(prefix="module-", suffix=".so") as file:
                file.write(self._content)
                file.flush()
                self.path = spec.origin = file.name
                return super().create_module(spec)


def _file_in_memory(name: str, content: bytes) -> str:
    """The path of a file that stays as long as this process: the system takes a module of the same path for the same."""
    try:
        descriptor = os.memfd_create(name)
    except OSError:
        # Nothing can be loaded from there.
        return os.devnull
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
    return f"/proc/self/fd/{descriptor}"
