"""The document of an environment.yml: its lists, and what changes them; made new for dependencies that came from no file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from ruamel.yaml.comments import CommentedMap, CommentedSeq

from lifecycle.cnb.errors import ConfigurationError
from pybuild.environments.definition import NODEFAULTS
from pybuild.environments.texts import is_one_line
from pybuild.environments.yamltext import parse_yaml, render_yaml

FILE_NAME = "environment.yml"
# Where packages come from when nobody says; Anaconda's channels are refused by every build.
DEFAULT_CHANNELS = ("conda-forge", NODEFAULTS)
CHANNELS, PACKAGES, PIP, VARIABLES = "channels", "dependencies", "pip", "variables"


class EnvironmentFile:
    """What an environment file holds, with its comments and its order. `path` is where it was read, or would be."""

    def __init__(self, text: str | None = None, *, path: Path | None = None) -> None:
        """Read a file's text, or start with no packages. Raises `ConfigurationError`."""
        self.path = path or Path(FILE_NAME)
        self._like = text or ""
        self._unchanged = text
        if text is None:
            self._document = CommentedMap()
            self._document[CHANNELS] = CommentedSeq(DEFAULT_CHANNELS)
            self._document[PACKAGES] = CommentedSeq()
        else:
            self._document = parse_yaml(text, source=self.path)
        # Whatever is wrong with the lists is said now.
        _ = self.channels, self.packages, self.pip_lines

    @classmethod
    def of(cls, document: Mapping[str, object]) -> EnvironmentFile:
        """Return the file that says what plain mappings, lists and texts say."""
        made = cls()
        made._document = CommentedMap(document)
        made._document.update({key: CommentedSeq(value) for key, value in document.items() if isinstance(value, list)})
        return made

    @property
    def text(self) -> str:
        """The file's text: what was read, letter for letter, as long as nothing has changed."""
        return render_yaml(self._document, like=self._like) if self._unchanged is None else self._unchanged

    @property
    def channels(self) -> tuple[str, ...]:
        """The items of `channels`."""
        return self._texts(self._list(CHANNELS), CHANNELS)

    @property
    def packages(self) -> tuple[str, ...]:
        """The items of `dependencies` that are conda's."""
        items = self._list(PACKAGES) or ()
        return self._texts([item for item in items if not isinstance(item, Mapping)], PACKAGES)

    @property
    def pip_lines(self) -> tuple[str, ...]:
        """The items below `- pip:`."""
        return self._texts(self._find_pip(), PIP)

    @property
    def variables(self) -> Mapping[str, str]:
        """Names and values below `variables`. Raises `ConfigurationError`."""
        values = self._document.get(VARIABLES) or {}
        if not isinstance(values, Mapping) or any(not isinstance(value, str) for value in values.values()):
            raise self._error(f"`{VARIABLES}` is not a mapping of texts", "write each as `  NAME: value`")
        return {str(name): str(value) for name, value in values.items()}

    def as_dict(self) -> dict[str, object]:
        """Return everything as plain dictionaries, lists and texts."""
        return {str(key): _plain(value) for key, value in self._document.items()}

    def add(self, key: str, text: str, *, first: bool = False) -> None:
        """Add an item to the list `key`, before the section of pip, which is the last by custom."""
        items = self._make_list(key)
        places = (index for index, item in enumerate(items) if isinstance(item, Mapping))
        items.insert(0 if first else next(places, len(items)), text)
        self._unchanged = None

    def add_pip(self, line: str) -> None:
        """Add an item below `- pip:`."""
        found = self._find_pip()
        if found is None:
            found = CommentedSeq()
            self._make_list(PACKAGES).append(CommentedMap({PIP: found}))
        found.append(line)
        self._unchanged = None

    def replace(self, key: str, text: str, is_meant: Callable[[str], bool]) -> bool:
        """Put `text` in the place of the first item that is meant, with the comment that is there; whether there was one."""
        items = self._items(key)
        for index, item in enumerate(items):
            if isinstance(item, str) and is_meant(item.strip()):
                items[index] = text
                self._unchanged = None
                return True
        return False

    def remove(self, key: str, is_meant: Callable[[str], bool]) -> None:
        """Remove the items that are meant, of the list `key` or, as `pip`, of pip's."""
        items = self._items(key)
        for index in reversed(range(len(items))):
            if isinstance(items[index], str) and is_meant(items[index].strip()):
                del items[index]
                self._unchanged = None

    def _items(self, key: str) -> CommentedSeq:
        found = self._find_pip() if key == PIP else self._list(key)
        return CommentedSeq() if found is None else found

    def _list(self, key: str) -> CommentedSeq | None:
        value = self._document.get(key)
        if value is None or value == "":
            return None
        if not isinstance(value, CommentedSeq):
            raise self._error(f"`{key}` is not a list", "write each item in a line of its own: `  - name`")
        return value

    def _make_list(self, key: str) -> CommentedSeq:
        found = self._list(key)
        if found is None:
            found = self._document[key] = CommentedSeq()
        return found

    def _find_pip(self) -> CommentedSeq | None:
        found = None
        for item in self._list(PACKAGES) or ():
            if not isinstance(item, CommentedMap):
                continue
            if list(item) != [PIP] or found is not None:
                shown = ", ".join(f"`{key}:`" for key in item)
                raise self._error(f"{shown} is not known below `{PACKAGES}`", "only one `- pip:` has a list of its own")
            if item[PIP] is None or item[PIP] == "":
                item[PIP] = CommentedSeq()
            if not isinstance(item[PIP], CommentedSeq):
                raise self._error("what follows `pip:` is not a list", "start each line below it with `- `")
            found = item[PIP]
        return found

    def _texts(self, items: Iterable[object] | None, key: str) -> tuple[str, ...]:
        texts = []
        for item in items or ():
            if not isinstance(item, str) or not item.strip():
                raise self._error(f"`{key}` has an item that is no text", "write each item as `  - name`")
            if not is_one_line(item.strip()):
                raise self._error(f"`{key}` has an item of several lines", "write each package as `  - name`")
            texts.append(str(item).strip())
        return tuple(texts)

    def _error(self, message: str, advice: str) -> ConfigurationError:
        return ConfigurationError(self.path, message, advice=advice)


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return str(value)
