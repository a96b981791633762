"""What uv 0.13 and pip 26.3 said in real failures, shortened, and what becomes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from buildpacks.installer.diagnosis import diagnose
from buildpacks.installer.indexes import IndexSettings
from buildpacks.installer.reader import RequirementSet, read_requirements
from buildpacks.installer.tools import Python
from lifecycle.cnb.errors import render_error

PYTHON = Python(
    executable=Path("/python3"), version="3.10.13", abi="cpython-310-x86_64-linux-gnu", cache_tag="cpython-310"
)


def requirements(app_dir: Path, content: str) -> RequirementSet:
    (app_dir / "requirements.txt").write_text(content, encoding="utf-8")
    return read_requirements(
        ("requirements.txt",), app_dir=app_dir, env={}, indexes=IndexSettings(), fetch=lambda url: b""
    )


def explain(app_dir: Path, content: str, output: str) -> str:
    return render_error(diagnose(output, requirements(app_dir, content), PYTHON))


UV_NO_SOLUTION = "error: No solution found when resolving dependencies\n  cause: "

CASES = {
    "uv: not found": (
        "six\nnopkg==1\n",
        UV_NO_SOLUTION
        + "Because nopkg was not found in the package registry and you require nopkg==1, we can conclude\n"
        "         that your requirements are unsatisfiable.\n",
        "error: requirements.txt:2: there is no package `nopkg` in the package index\nhint: check the spelling",
    ),
    "pip: not found": (
        "six\nnopkg==1\n",
        "ERROR: Could not find a version that satisfies the requirement nopkg==1 (from versions: none)\n",
        "error: requirements.txt:2: there is no package `nopkg` in the package index",
    ),
    "uv: an index that refuses": (
        "nopkg==1\n",
        UV_NO_SOLUTION
        + "Because nopkg was not found in the package registry and you require nopkg==1, we can conclude x\n"
        "hint: An index URL (https://packages.example/simple) could not be queried due to a lack of valid authentication "
        "credentials (401 Unauthorized)\n",
        "error: the package index `https://packages.example/simple` does not accept the credentials",
    ),
    "pip: an index that refuses": (
        "nopkg==1\n",
        "WARNING: 401 Error, Credentials not correct for https://packages.example/simple/nopkg/\n"
        "ERROR: Could not find a version that satisfies the requirement nopkg==1 (from versions: none)\n",
        "error: requirements.txt:1: the package index `https://packages.example/simple/nopkg/` does not accept the credentials",
    ),
    "a module of Python": (
        "sqlite3\n",
        UV_NO_SOLUTION
        + "Because sqlite3 was not found in the package registry and you require sqlite3, we can conclude x\n",
        "hint: `sqlite3` is a part of Python: remove the line",
    ),
    "a module with a package of another name": (
        "cv2\n",
        "ERROR: Could not find a version that satisfies the requirement cv2 (from versions: none)\n",
        "hint: the package is called `opencv-python-headless`: write that",
    ),
    "uv: no such version": (
        "six==99\n",
        UV_NO_SOLUTION + "Because there is no version of six==99 and you require six==99, we can conclude that x\n",
        "error: requirements.txt:1: there is no version of `six` that fits `six==99`",
    ),
    "pip: no such version": (
        "six==99\n",
        "ERROR: Could not find a version that satisfies the requirement six==99 (from versions: 1.15.0, 1.16.0, 1.17.0)\n",
        "error: requirements.txt:1: there is no version of `six` that fits `six==99`\n  newest  1.15.0, 1.16.0, 1.17.0",
    ),
    "uv: conflict": (
        "pandas==2.2.3\nrequests\nnumpy==1.20.0\n",
        UV_NO_SOLUTION
        + "Because pandas==2.2.3 depends on numpy>=1.22.4 and you require pandas==2.2.3, we can conclude\n"
        "         that you require numpy>=1.22.4.\n"
        "         And because you require numpy==1.20.0, we can conclude that your requirements are unsatisfiable.\n",
        "error: requirements.txt:1: the requirements contradict each other\n"
        "  because              pandas==2.2.3 depends on numpy>=1.22.4 and you require pandas==2.2.3\n"
        "  requirements.txt:1:  pandas==2.2.3\n"
        "  requirements.txt:3:  numpy==1.20.0\n",
    ),
    "pip: conflict": (
        "numpy==1.26.4\nrequests\nnumpy>=2\n",
        "ERROR: Cannot install numpy==1.26.4 and numpy>=2 because these package versions have conflicting dependencies.\n"
        "ERROR: ResolutionImpossible: for help visit https://pip.pypa.io/\n",
        "  requirements.txt:1:  numpy==1.26.4\n  requirements.txt:3:  numpy>=2",
    ),
    "uv: another Python": (
        "numpy==2.4.0\n",
        UV_NO_SOLUTION + "Because the current Python version (3.10.13) does not satisfy Python>=3.11 and numpy==2.4.0\n"
        "         depends on Python>=3.11, we can conclude that numpy==2.4.0 cannot be used.\n",
        "error: requirements.txt:1: `numpy` needs Python >=3.11, and this is 3.10.13\n",
    ),
    "uv: no wheel for this Python": (
        "tensorflow==1.15\n",
        UV_NO_SOLUTION
        + "Because tensorflow==1.15.0 has no wheels with a matching Python ABI tag (e.g., `cp310`) and you\n"
        "         require tensorflow==1.15, we can conclude that your requirements are unsatisfiable.\n\n"
        "hint: You require CPython 3.10 (`cp310`), but we only found wheels with these: `cp37m`\n",
        "error: requirements.txt:1: `tensorflow` has no file for Python 3.10 in the version that is asked for\n"
        "  installer  You require CPython 3.10 (`cp310`), but we only found wheels with these: `cp37m`\n",
    ),
    "pip: another Python": (
        "numpy==2.4.0\n",
        "ERROR: Ignored the following versions that require a different python version: 2.4.0 Requires-Python >=3.11\n"
        "ERROR: Could not find a version that satisfies the requirement numpy==2.4.0 (from versions: none)\n",
        "error: requirements.txt:1: `numpy` needs Python >=3.11, and this is 3.10.13\n",
    ),
    "uv: wrong hash": (
        "six\nidna\n",
        "error: Failed to download `idna==3.10`\n  cause: Hash mismatch for `idna==3.10`\n\n         Expected:\n"
        f"           sha256:{'0' * 64}\n\n         Computed:\n           sha256:{'1' * 64}\n",
        "error: requirements.txt:2: the file of `idna` does not have the hash that is written for it\n"
        f"  expected    sha256:{'0' * 64}\n  downloaded  sha256:{'1' * 64}\n",
    ),
    "pip: wrong hash": (
        "six\nidna\n",
        "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.\n"
        "    idna==3.10 from https://host/idna-3.10.whl#sha256=11 (from -r x (line 2)):\n"
        f"        Expected sha256 {'0' * 64}\n             Got        {'1' * 64}\n",
        "error: requirements.txt:2: the file of `idna` does not have the hash that is written for it\n",
    ),
    "uv: index of the file": (
        "six\n--index-url https://user:canary@127.0.0.1:9/simple\n",
        "error: Request failed after 3 retries in 7.0s\n  cause: Failed to fetch: https://127.0.0.1:9/simple/six/\n"
        "  cause: tcp connect error\n  cause: Connection refused (os error 111)\n",
        "error: requirements.txt:2: `https://127.0.0.1:9/simple/six/` cannot be read: it refuses the connection\n",
    ),
    "uv: index of the machine": (
        "idna\nsix\n",
        "error: Request failed\n  cause: Failed to fetch: https://pypi.org/simple/six/\n  cause: dns error\n",
        "error: requirements.txt:2: `https://pypi.org/simple/six/` cannot be read: its name is not known\n",
    ),
    "pip: index": (
        "six\n",
        "WARNING: Retrying (Retry(total=4, connect=None)) after connection broken by 'NewConnectionError: timed out'\n"
        "ERROR: Could not find a version that satisfies the requirement six (from versions: none)\n",
        "error: `https://pypi.org/simple` cannot be read: it does not answer in time\n",
    ),
    "uv: git": (
        "six\nx @ git+https://host/x.git@main\n",
        "error: Failed to download and build `x @ git+https://host/x.git@main`\n  cause: Git operation failed\n"
        "         --- stderr\n         fatal: unable to access 'https://host/x.git/': Could not resolve host\n",
        "error: requirements.txt:2: the git repository of a requirement cannot be read\n"
        "  git  unable to access 'https://host/x.git/': Could not resolve host\n",
    ),
    "uv: header": (
        "six\ndemo==1\n",
        "error: Failed to build `demo==1`\n  cause: The build backend returned an error\n"
        "         demo.c:1:10: fatal error: libpq-fe.h: No such file or directory\n",
        "error: requirements.txt:2: `demo` comes as source code, and building it failed\n"
        "  cause  the header `libpq-fe.h` is not in the build image\n",
    ),
    "pip: program": (
        "demo==1\n",
        "  Error: pg_config executable not found.\nERROR: Failed to build 'demo' when getting requirements to build wheel\n",
        "error: requirements.txt:1: `demo` comes as source code, and building it failed\n"
        "  cause  the build image has no `pg_config`\n",
    ),
    "pip: compiler": (
        "demo==1\n",
        "  error: command 'gcc' failed: No such file or directory\n  ERROR: Failed building wheel for demo\n",
        "  cause  the build image has no compiler `gcc`\n",
    ),
    "module that the build needs": (
        "demo==1\n",
        "error: Failed to build `demo==1`\n  ModuleNotFoundError: No module named 'numpy'\n",
        "  cause  its build imports `numpy` and does not say that it needs it\n",
    ),
    "full disk": (
        "six\n",
        "error: Failed\n  cause: failed to write to file `/layers/x`: No space left on device (os error 28)\n",
        "error: the disk is full\n  writing  /layers/x\n",
    ),
    "anything else": ("six\n", "error: it is Friday\n", "error: the requirements could not be installed\nhint:"),
}


@pytest.mark.parametrize(("content", "output", "expected"), CASES.values(), ids=CASES.keys())
def test_the_cause_and_its_line_are_found(tmp_path: Path, content: str, output: str, expected: str) -> None:
    found = explain(tmp_path, content, output)
    assert expected in found
    assert "canary" not in found


def test_a_local_project_that_does_not_build_is_named_by_its_line(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "setup.py").touch()
    output = f"error: Failed to build `demo @ file://{tmp_path}/lib`\n  cause: The build backend returned an error\n"
    assert "requirements.txt:2: `demo` comes as source code" in explain(tmp_path, "six\n./lib\n", output)


@pytest.mark.parametrize(
    ("case", "code"),
    [
        ("uv: not found", "package-not-found"),
        ("pip: not found", "package-not-found"),
        ("uv: no such version", "package-not-found"),
        ("uv: conflict", "package-conflict"),
        ("uv: an index that refuses", "installation-failed"),
    ],
)
def test_programs_are_told_the_kind_of_problem(tmp_path: Path, case: str, code: str) -> None:
    content, output, _ = CASES[case]
    assert diagnose(output, requirements(tmp_path, content), PYTHON).code == code
