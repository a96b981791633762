"""What the test channel holds beside what must be compiled: one small package for each thing that conda packages do."""

from __future__ import annotations

from pathlib import Path

from tests.integration.conda_packages import PLACEHOLDER, CondaPackage, Symlink, package_of_wheel, python_package

# The packages that Renku's documented environment.yml asks for, with the module that each is known by.
_STAND_INS = {
    "tensorflow-gpu": "tensorflow",
    "numba": "numba",
    "scikit-learn": "sklearn",
    "pandas": "pandas",
    "seaborn": "seaborn",
    "matplotlib": "matplotlib",
    "xarray": "xarray",
}


def text_packages(pip_wheel: Path) -> list[CondaPackage]:
    """The packages of the channel `conda-forge` that need no compiler."""
    return [
        package_of_wheel(
            pip_wheel,
            depends=("python >=3.9,<3.13.0a0",),
            entry_points=("pip = pip._internal.cli.main:main", "pip3 = pip._internal.cli.main:main"),
        ),
        *(_tiny_tool(version) for version in ("1.0", "2.0")),
        *(_stand_in(name, module) for name, module in _STAND_INS.items()),
        _stand_in("jupyterlab", "jupyterlab", entry_points=("jupyter-lab = jupyterlab:main",)),
        *_texts(),
        *_activation(),
        *_link_scripts(),
        *_constraints(),
        *_r(),
    ]


def old_format_packages() -> list[CondaPackage]:
    """The packages that are written as `.tar.bz2`."""
    return [CondaPackage(name="old-format", noarch="generic", files={"share/old-format/version": "1.0\n"})]


def defaults_packages() -> list[CondaPackage]:
    """What a copy of Anaconda's `pkgs/main` would offer."""
    return [_tiny_tool("3.0"), CondaPackage(name="only-in-defaults", noarch="generic", files={"share/only": "1\n"})]


def _tiny_tool(version: str) -> CondaPackage:
    program = f"""
VERSION = {version!r}


def main():
    import sys

    print("tiny-tool", VERSION, sys.prefix)
"""
    script = f"#!{PLACEHOLDER}/bin/python\nimport tiny_tool\nprint('tiny-script', tiny_tool.VERSION)\n"
    return python_package(
        "tiny-tool",
        version,
        modules={"tiny_tool/__init__.py": program, "tiny_tool/data.txt": "data\n"},
        entry_points=("tiny-tool = tiny_tool:main",),
        scripts={"tiny-script": script},
    )


def _stand_in(name: str, module: str, entry_points: tuple[str, ...] = ()) -> CondaPackage:
    text = "__version__ = '1.0'\n\n\ndef main():\n    print(__name__, __version__)\n"
    return python_package(name, modules={f"{module}/__init__.py": text}, entry_points=entry_points)


def _texts() -> list[CondaPackage]:
    return [
        CondaPackage(
            name="tiny-data",
            noarch="generic",
            files={
                "share/tiny/where.txt": f"{PLACEHOLDER}/share/tiny\n",
                "share/tiny/link.txt": Symlink(target="where.txt"),
                "bin/tiny-where": f'#!/bin/sh\nexec cat "{PLACEHOLDER}/share/tiny/where.txt"\n',
            },
        ),
        CondaPackage(
            name="tiny-menu",
            noarch="generic",
            files={"Menu/tiny-menu.json": '{"menu_name": "Tiny", "menu_items": []}', "share/tiny-menu/data": "1\n"},
        ),
        CondaPackage(name="unix-only", noarch="generic", depends=("__unix",), files={"share/unix-only": "unix\n"}),
        CondaPackage(name="linux-only", noarch="generic", depends=("__linux",), files={"share/linux-only": "linux\n"}),
    ]


def _activation() -> list[CondaPackage]:
    first = """
export TINY_HOME="$CONDA_PREFIX/share/tiny-home"
export TINY_ORDER="${TINY_ORDER:-}first"
export TINY_SEARCH="$CONDA_PREFIX/share/tiny-home/search${TINY_SEARCH:+:$TINY_SEARCH}"
export PATH="$CONDA_PREFIX/share/tiny-home/bin:$PATH"
_tiny_backup="not exported"
"""
    # Other shells than bash must not be confused by these, and bash not by theirs.
    return [
        CondaPackage(
            name="tiny-activate",
            noarch="generic",
            files={
                "etc/conda/activate.d/10-tiny.sh": first,
                "etc/conda/activate.d/10-tiny.fish": "set -gx TINY_SHELL fish\n",
                "etc/conda/activate.d/10-tiny.csh": "setenv TINY_SHELL csh\n",
                "etc/conda/activate.d/20-tiny.sh": 'export TINY_ORDER="$TINY_ORDER second"\n',
                "etc/conda/deactivate.d/10-tiny.sh": "unset TINY_HOME TINY_ORDER TINY_SEARCH\n",
                "etc/conda/env_vars.d/tiny.json": '{"TINY_FROM_JSON": "from json"}\n',
                "share/tiny-home/bin/tiny-from-activation": "#!/bin/sh\necho activated $TINY_HOME\n",
            },
        ),
        CondaPackage(
            name="tiny-activate-fails",
            noarch="generic",
            files={
                "etc/conda/activate.d/broken.sh": "export TINY_BEFORE=1\nfalse\nno-such-command\n",
                "etc/conda/activate.d/later.sh": "export TINY_AFTER=1\n",
            },
        ),
    ]


def _link_scripts() -> list[CondaPackage]:
    good = """#!/bin/bash
set -eu
mkdir -p "$PREFIX/share/tiny-link"
echo "$PREFIX $PKG_NAME $PKG_VERSION $PKG_BUILDNUM" > "$PREFIX/share/tiny-link/made.txt"
echo "appended" >> "$PREFIX/share/tiny-link/own.txt"
echo "a message of the package" >> "$PREFIX/.messages.txt"
"""
    bad = """#!/bin/bash
echo "the disk of this package is not to its liking" >> "$PREFIX/.messages.txt"
exit 7
"""
    return [
        CondaPackage(
            name="tiny-link",
            build_number=3,
            files={"bin/.tiny-link-post-link.sh": good, "share/tiny-link/own.txt": "own\n"},
        ),
        CondaPackage(name="tiny-link-fails", files={"bin/.tiny-link-fails-post-link.sh": bad}),
    ]


def _constraints() -> list[CondaPackage]:
    def plain(
        name: str, version: str = "1.0", *, depends: tuple[str, ...] = (), constrains: tuple[str, ...] = ()
    ) -> CondaPackage:
        files = {f"share/{name}/version": f"{version}\n"}
        return CondaPackage(
            name=name, version=version, noarch="generic", files=files, depends=depends, constrains=constrains
        )

    return [
        plain("shared", "1.0"),
        plain("shared", "2.0"),
        plain("left", depends=("shared <2",)),
        plain("right", depends=("shared >=2",)),
        plain("careful", constrains=("shared <2",)),
        plain("modern", "1.0"),
        plain("modern", "2.0", depends=("__glibc >=2.99",)),
        plain("future-only", depends=("__glibc >=2.99",)),
        CondaPackage(name="accelerated", build_prefix="cpu", files={"share/accelerated": "cpu\n"}),
        CondaPackage(
            name="accelerated",
            build_prefix="cuda",
            build_number=200,
            depends=("__cuda >=12",),
            files={"share/accelerated": "cuda\n"},
        ),
        plain("needs-missing", depends=("not-in-any-channel >=1",)),
    ]


def _r() -> list[CondaPackage]:
    """A stand-in for R: what a repository without Python would have."""
    r = f'#!/bin/sh\nR_HOME="{PLACEHOLDER}/lib/R"\nexport R_HOME\necho "R 4.3.1 $R_HOME" "$@"\n'
    return [
        CondaPackage(
            name="r-base",
            version="4.3.1",
            build_prefix="h1",
            depends=("libtiny >=1.0,<2.0a0",),
            files={
                "bin/R": r,
                "bin/Rscript": f'#!/bin/sh\nexec "{PLACEHOLDER}/bin/R" script "$@"\n',
                "lib/R/etc/Renviron": f"R_LIBS_SITE={PLACEHOLDER}/lib/R/library\n",
                "etc/conda/activate.d/activate-r-base.sh": 'export TINY_R_HOME="$CONDA_PREFIX/lib/R"\n',
            },
        ),
        CondaPackage(
            name="r-tiny",
            build_prefix="r43",
            noarch="generic",
            depends=("r-base >=4.3,<4.4.0a0",),
            files={"lib/R/library/tiny/DESCRIPTION": "Package: tiny\nVersion: 1.0\n"},
        ),
    ]
