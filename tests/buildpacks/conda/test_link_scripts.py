from __future__ import annotations

from pathlib import Path

import pytest

from buildpacks.conda.install import install_packages
from buildpacks.conda.link_scripts import LinkScriptFailed, run_link_scripts
from tests.buildpacks.conda.building import lock_archives
from tests.buildpacks.contexts import make_context
from tests.integration.conda_packages import CondaPackage


def package(name: str, script: str, **files: str) -> CondaPackage:
    return CondaPackage(name=name, build_number=7, files={f"bin/.{name}-post-link.sh": script, **files})


def run(root: Path, *packages: CondaPackage) -> Path:
    prefix = root / "layers" / "env" / "conda"
    context = make_context(root, {"RATTLER_AUTH_FILE": "/secret", "HTTPS_PROXY": "http://proxy"})
    archives = lock_archives(root / "channel", *packages)
    install_packages(archives, prefix=prefix, cache_dir=root / "cache", platform="linux-64")
    run_link_scripts(context, prefix, list(archives))
    return prefix


def test_a_script_knows_the_prefix_and_its_package_and_no_credential(tmp_path: Path) -> None:
    prefix = run(
        tmp_path, package("alpha", 'env >"$PREFIX/seen"; command -v tool >>"$PREFIX/seen"\n', **{"bin/tool": ""})
    )
    seen = (prefix / "seen").read_text().splitlines()
    assert {f"PREFIX={prefix}", "PKG_NAME=alpha", "PKG_VERSION=1.0", "PKG_BUILDNUM=7"} <= set(seen)
    assert "HTTPS_PROXY=http://proxy" in seen
    assert not any(line.startswith("RATTLER_AUTH_FILE") for line in seen)


def test_scripts_run_after_all_files_are_there_in_the_order_of_the_packages(tmp_path: Path) -> None:
    first = package("alpha", 'cat "$PREFIX/share/beta" >>"$PREFIX/order"; echo alpha >>"$PREFIX/order"\n')
    second = package("beta", 'echo beta >>"$PREFIX/order"\n', **{"share/beta": "there\n"})
    assert (run(tmp_path, first, second) / "order").read_text() == "there\nalpha\nbeta\n"


def test_what_a_script_edits_is_whole_in_the_next_environment(tmp_path: Path) -> None:
    script = package("alpha", 'echo more >>"$PREFIX/share/data"\n', **{"share/data": "data\n"})
    assert (run(tmp_path, script) / "share" / "data").read_text() == "data\nmore\n"
    assert (tmp_path / "cache" / "packages" / "alpha-1.0-7" / "share" / "data").read_text() == "data\n"
    assert (run(tmp_path, script) / "share" / "data").read_text() == "data\nmore\n"


def test_messages_are_shown_and_not_kept(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    prefix = run(tmp_path, package("alpha", 'echo "read the manual" >>"$PREFIX/.messages.txt"\n'))
    assert "  read the manual\n" in capfd.readouterr().out
    assert not (prefix / ".messages.txt").exists()


def test_a_script_that_fails_ends_the_build_with_its_message(tmp_path: Path) -> None:
    script = 'echo "no such device" >>"$PREFIX/.messages.txt"; exit 3\n'
    with pytest.raises(LinkScriptFailed) as caught:
        run(tmp_path, package("alpha", script))
    assert caught.value.summary == "the post-link script of alpha 1.0 7 exited with status 3"
    assert caught.value.facts == (("message", "no such device"),)
