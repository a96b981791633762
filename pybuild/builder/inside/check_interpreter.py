"""Says, as one line of JSON, what the interpreter that runs this is, and which of its compiled modules cannot be loaded."""

import importlib
import json
import platform
import sys
import sysconfig
from pathlib import Path

# A module's shared libraries may be missing; these are compiled into the interpreter in some builds.
_BUILT_IN = ("_bz2", "_ctypes", "_curses", "_hashlib", "_lzma", "_sqlite3", "_ssl", "_uuid", "readline", "zlib")


def main() -> None:
    """Load every compiled module of the standard library."""
    directory = Path(sysconfig.get_path("platstdlib")) / "lib-dynload"
    found = {path.name.split(".")[0] for path in directory.glob("*.so")}
    problems = {}
    for name in sorted(found.union(_BUILT_IN)):
        try:
            importlib.import_module(name)
        except Exception as err:  # whatever it is, the module is of no use
            problems[name] = f"{type(err).__name__}: {err}"
    facts = {
        "version": platform.python_version(),
        "implementation": sys.implementation.name,
        "prefix": sys.prefix,
        "include": sysconfig.get_path("include"),
        "problems": problems,
    }
    sys.stdout.write(json.dumps(facts) + "\n")


if __name__ == "__main__":
    main()
