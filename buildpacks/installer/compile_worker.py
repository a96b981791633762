"""Compiles Python files to bytecode that is the same wherever and whenever it is made.

Run by the interpreter that will read the bytecode, with PYTHONHASHSEED=0: `python -sSB compile_worker.py JOBS`. JOBS is a file
of NUL-separated triples: source, the path that tracebacks shall name, target. A source that does not compile gets an empty
target. Standard library only, and nothing of this package: the interpreter may be older than the one of the buildpacks.

Bytecode of one source differs between runs by the order of sets of constants, which follows the hash seed, and by references
to interned objects, which depend on what else the process holds: writing in version 2 of the format, which has no references,
and reading that back leaves equal objects. The header says "unchecked hash" (https://peps.python.org/pep-0552/): Python uses
such a file without looking at the time of its source, which is not kept in images.
"""

from __future__ import annotations

import sys

# The directory of this file holds modules with names of their own.
sys.path.pop(0)

import importlib.util
import marshal
import os
import warnings

_UNCHECKED_HASH = (1).to_bytes(4, "little")


def compile_file(source: bytes, shown: str) -> bytes:
    """Return the content of the bytecode file, empty when `source` is no valid Python for this interpreter."""
    try:
        code = compile(source, shown, "exec", dont_inherit=True, optimize=0)
        plain = marshal.loads(marshal.dumps(code, 2))  # noqa: S302 - made one line above
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
        # Templates, files for other versions, test data: an installation has always had some.
        return b""
    return importlib.util.MAGIC_NUMBER + _UNCHECKED_HASH + importlib.util.source_hash(source) + marshal.dumps(plain, 4)


def work(jobs: list[tuple[bytes, bytes, bytes]]) -> None:
    """Do these jobs; a target appears whole or not at all."""
    warnings.simplefilter("ignore")
    for source, shown, target in jobs:
        with open(source, "rb") as stream:  # noqa: PTH123 - bytes paths
            content = compile_file(stream.read(), os.fsdecode(shown))
        temporary = target + b".tmp"
        with open(temporary, "wb") as output:  # noqa: PTH123
            output.write(content)
        os.replace(temporary, target)  # noqa: PTH105


def main() -> int:
    """Share the jobs among processes, one for each processor, and wait for them."""
    with open(sys.argv[1], "rb") as stream:  # noqa: PTH123
        words = stream.read().split(b"\0")[:-1]
    jobs = list(zip(words[0::3], words[1::3], words[2::3]))  # noqa: B905 - Python 3.9 has no `strict`
    # Largest first, dealt in turn: the processes end at about the same time.
    jobs.sort(key=lambda job: os.stat(job[0]).st_size, reverse=True)  # noqa: PTH116
    count = max(1, min(len(os.sched_getaffinity(0)), len(jobs) // 20 + 1))
    children = []
    for index in range(count):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                work(jobs[index::count])
                status = 0
            except OSError as err:
                sys.stderr.write(f"{err}\n")
                sys.stderr.flush()
            finally:
                os._exit(status)
        children.append(child)
    statuses = [os.waitpid(child, 0)[1] for child in children]
    return 1 if any(statuses) else 0


if __name__ == "__main__":
    sys.exit(main())
