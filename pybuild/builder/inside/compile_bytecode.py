"""Compiles every module below a directory to bytecode, to the same bytes each time. Usage: compile_bytecode.py DIRECTORY...

Run with `PYTHONHASHSEED=0`, and so without -I or -E: sets in code objects are stored in hash order. The bytecode is never
checked against its source (https://peps.python.org/pep-0552/), so times may change; `co_filename` is the path of now.
"""

import importlib.util
import marshal
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

_MARSHAL_VERSION = 4
# https://peps.python.org/pep-0552/: bit 0, hash-based; bit 1 not set, never checked
_UNCHECKED_HASH = (1).to_bytes(4, "little")


def compile_file(path: Path) -> "str | None":
    """Write the bytecode of `path` beside it; what is wrong with a module that does not compile."""
    source = path.read_bytes()
    try:
        code = compile(source, str(path), "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as err:
        return f"{path}: {err}"
    # Whether objects are shared depends on what happened in the interpreter before. Version 2 of the format knows no shared
    # objects, so what is read back from it is shared in one way only.
    stored = marshal.dumps(marshal.loads(marshal.dumps(code, 2)), _MARSHAL_VERSION)  # noqa: S302 - our own bytes
    target = Path(importlib.util.cache_from_source(str(path)))
    target.parent.mkdir(exist_ok=True)
    header = importlib.util.MAGIC_NUMBER + _UNCHECKED_HASH + importlib.util.source_hash(source)
    target.write_bytes(header + stored)
    return None


def main() -> int:
    """Compile what the arguments name. Modules that do not compile are left alone: some exist only to be wrong."""
    paths = sorted(path for directory in sys.argv[1:] for path in Path(directory).rglob("*.py"))
    with ProcessPoolExecutor() as pool:
        for problem in pool.map(compile_file, paths, chunksize=32):
            if problem is not None:
                sys.stdout.write(f"{problem}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
