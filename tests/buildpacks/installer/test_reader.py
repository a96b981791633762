from __future__ import annotations

import codecs
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from buildpacks.installer.errors import InvalidRequirements, Problem
from buildpacks.installer.indexes import IndexSettings
from buildpacks.installer.reader import FetchFailed, RequirementSet, read_requirements
from lifecycle.cnb.errors import render_error

HASH = "sha256:" + "0123456789abcdef" * 4


def unreachable(url: str) -> bytes:
    raise FetchFailed("no route to host")


def read(
    app_dir: Path,
    content: str | bytes | None = None,
    *,
    env: Mapping[str, str] | None = None,
    fetch: Callable[[str], bytes] = unreachable,
    constraints: tuple[str, ...] = (),
) -> RequirementSet:
    if content is not None:
        data = content if isinstance(content, bytes) else content.encode()
        (app_dir / "requirements.txt").write_bytes(data)
    return read_requirements(
        ("requirements.txt",),
        constraints=constraints,
        app_dir=app_dir,
        env=env or {},
        indexes=IndexSettings(),
        fetch=fetch,
    )


def problems(app_dir: Path, content: str | bytes | None = None, **options: object) -> tuple[Problem, ...]:
    with pytest.raises(InvalidRequirements) as caught:
        read(app_dir, content, **options)  # type: ignore[arg-type]
    assert "Traceback" not in render_error(caught.value)
    return caught.value.problems


def only_problem(app_dir: Path, content: str | bytes | None = None, **options: object) -> Problem:
    (problem,) = problems(app_dir, content, **options)
    return problem


def texts(found: RequirementSet) -> list[str]:
    return [line.requirement.text for line in found.requirements]


def project(directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "pyproject.toml").write_text("[project]\nname = 'x'\nversion = '1'\n", encoding="utf-8")
    return directory


@pytest.mark.parametrize(
    "content",
    [
        codecs.BOM_UTF16_LE + "numpy==2.2.2\r\ncafé\r\n".replace("é", "e").encode("utf-16-le"),
        codecs.BOM_UTF16_BE + "numpy==2.2.2\ncafe".encode("utf-16-be"),
        codecs.BOM_UTF32_LE + "numpy==2.2.2\ncafe".encode("utf-32-le"),
        codecs.BOM_UTF8 + b"numpy==2.2.2\ncafe\n",
        b"numpy==2.2.2\r\ncafe",
        b"# -*- coding: latin-1 -*-\nnumpy==2.2.2\ncafe # \xe9\n",
    ],
)
def test_files_are_decoded_as_pip_decodes_them(tmp_path: Path, content: bytes) -> None:
    assert texts(read(tmp_path, content)) == ["numpy==2.2.2", "cafe"]


def test_text_that_cannot_be_decoded_is_named_by_its_line(tmp_path: Path) -> None:
    problem = only_problem(tmp_path, b"numpy\npandas # \xe9\n")
    assert (str(problem.origin), problem.kind) == ("requirements.txt:2", "encoding")


def test_utf16_without_a_mark_is_named_for_what_it_is(tmp_path: Path) -> None:
    assert "UTF-16" in only_problem(tmp_path, "numpy\n".encode("utf-16-le")).message


def test_continued_lines_keep_the_number_of_their_first_line(tmp_path: Path) -> None:
    found = read(tmp_path, f"# all\n\nnumpy==2.2.2 \\\n    --hash={HASH} \\\n# comment\n\n")
    (line,) = found.requirements
    assert (str(line.origin), line.hashes) == ("requirements.txt:3", (HASH,))


def test_a_backslash_at_the_end_of_the_file_continues_nothing(tmp_path: Path) -> None:
    assert texts(read(tmp_path, "numpy\npandas \\")) == ["numpy", "pandas"]


def test_a_hash_sign_begins_a_comment_only_after_white_space(tmp_path: Path) -> None:
    found = read(tmp_path, "a @ https://host/a.zip#subdirectory=x # remark\nb#c\n".replace("b#c", "b # c"))
    assert texts(found) == ["a @ https://host/a.zip#subdirectory=x", "b"]


def test_variables_are_expanded_and_their_values_never_shown(tmp_path: Path) -> None:
    found = read(tmp_path, "numpy==${VERSION}\n", env={"VERSION": "2.2.2"})
    assert texts(found) == ["numpy==2.2.2"]
    problem = only_problem(tmp_path, "numpy==${TOKEN}\n", env={"TOKEN": "canary !"})
    assert "canary" not in problem.message + problem.change


def test_a_variable_that_is_not_set_is_named(tmp_path: Path) -> None:
    assert "`VERSION`" in only_problem(tmp_path, "numpy==${VERSION}\n").message


def test_included_files_are_read_relative_to_the_file_that_names_them(tmp_path: Path) -> None:
    (tmp_path / "reqs").mkdir()
    (tmp_path / "reqs" / "base.txt").write_text("-r more.txt\nnumpy\n", encoding="utf-8")
    (tmp_path / "reqs" / "more.txt").write_text("pandas\n", encoding="utf-8")
    (tmp_path / "limits.txt").write_text("numpy<3\n", encoding="utf-8")
    found = read(tmp_path, "--requirement=reqs/base.txt\n-c limits.txt\n")
    assert texts(found) == ["pandas", "numpy"]
    assert [line.requirement.text for line in found.constraints] == ["numpy<3"]
    assert [name for name, _ in found.files] == ["requirements.txt", "reqs/base.txt", "reqs/more.txt", "limits.txt"]
    assert str(found.requirements[0].origin) == "reqs/more.txt:1"


def test_all_problems_are_found_at_once(tmp_path: Path) -> None:
    (tmp_path / "more.txt").write_text("a b c\n", encoding="utf-8")
    found = problems(tmp_path, "numpy=1.2\n-r more.txt\n-r none.txt\n--frob\n")
    assert [(str(problem.origin), problem.kind) for problem in found] == [
        ("requirements.txt:1", "invalid"),
        ("more.txt:1", "invalid"),
        ("requirements.txt:3", "missing-file"),
        ("requirements.txt:4", "option"),
    ]


def test_a_cycle_of_files_is_found(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("-r requirements.txt\n", encoding="utf-8")
    problem = only_problem(tmp_path, "-r b.txt\n")
    assert (str(problem.origin), problem.kind) == ("b.txt:1", "cycle")


def test_one_file_may_be_included_twice_when_that_is_no_cycle(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("numpy\n", encoding="utf-8")
    assert texts(read(tmp_path, "-r b.txt\n-r b.txt\n")) == ["numpy", "numpy"]


@pytest.mark.parametrize(
    "line", ["-r /etc/passwd", "-r ../secret.txt", "-c file:///etc/passwd", "--find-links /etc", "-i file:///etc"]
)
def test_nothing_outside_the_app_directory_is_read(tmp_path: Path, line: str) -> None:
    app_dir = tmp_path / "app"
    app_dir.mkdir()
    (tmp_path / "secret.txt").write_text("canary ! canary\n", encoding="utf-8")
    problem = only_problem(app_dir, f"{line}\n")
    assert problem.kind == "outside"
    assert "canary" not in problem.message


def test_a_link_out_of_the_app_directory_is_not_followed(tmp_path: Path) -> None:
    app_dir = tmp_path / "app"
    app_dir.mkdir()
    (tmp_path / "secret.txt").write_text("numpy\n", encoding="utf-8")
    (app_dir / "requirements.txt").symlink_to("../secret.txt")
    assert only_problem(app_dir).kind == "outside"


def test_included_urls_are_fetched_and_paths_in_them_belong_to_the_url(tmp_path: Path) -> None:
    pages = {"https://host/a/base.txt": b"-r more.txt\n", "https://host/a/more.txt": b"numpy\n"}
    found = read(tmp_path, "-r https://host/a/base.txt\n", fetch=pages.__getitem__)
    assert [str(line.origin) for line in found.requirements] == ["https://host/a/more.txt:1"]


def test_an_unreachable_url_is_named_by_the_line_that_includes_it(tmp_path: Path) -> None:
    problem = only_problem(tmp_path, "\n-c https://user:secret@host/c.txt\n")
    assert (str(problem.origin), problem.kind) == ("requirements.txt:2", "unreachable")
    assert "secret" not in problem.message


def test_constraints_of_the_operator_are_read_like_those_of_the_file(tmp_path: Path) -> None:
    found = read(tmp_path, "numpy\n", constraints=("https://host/c.txt",), fetch=lambda url: b"numpy==2.2.2\n")
    assert [line.requirement.text for line in found.constraints] == ["numpy==2.2.2"]


@pytest.mark.parametrize("line", ["-e ./lib", "numpy[extra]==1", "./lib"])
def test_what_cannot_be_a_constraint_is_refused(tmp_path: Path, line: str) -> None:
    project(tmp_path / "lib")
    (tmp_path / "c.txt").write_text(f"{line}\n", encoding="utf-8")
    assert str(only_problem(tmp_path, "-c c.txt\n").origin) == "c.txt:1"


def test_index_options_follow_the_order_of_the_lines(tmp_path: Path) -> None:
    found = read(
        tmp_path, "--extra-index-url https://a/simple\n-i https://b/simple\n--extra-index-url=https://c/simple\n"
    )
    assert found.options.indexes.index_urls == ("https://b/simple", "https://c/simple")


def test_find_links_may_be_relative_to_the_file_or_to_the_app_directory(tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    assert read(tmp_path, "-f wheels\n").options.indexes.find_links == (str(tmp_path / "wheels"),)


def test_the_last_word_on_the_format_of_a_package_counts(tmp_path: Path) -> None:
    options = read(tmp_path, "--no-binary a,b\n--only-binary b\n--no-binary :none:\n--no-binary c\n").options
    assert (options.no_binary, options.only_binary) == (("c",), ("b",))


def test_options_that_uv_does_not_have_are_kept_with_their_place(tmp_path: Path) -> None:
    found = read(tmp_path, "numpy\n--prefer-binary\n--use-feature fast-deps\n")
    assert [(str(origin), option) for origin, option in found.options.pip_only] == [
        ("requirements.txt:2", "--prefer-binary"),
        ("requirements.txt:3", "--use-feature fast-deps"),
    ]


def test_an_option_on_the_line_of_a_requirement_is_said_to_be_ignored(tmp_path: Path) -> None:
    found = read(tmp_path, "numpy --pre\n")
    assert not found.options.pre
    assert "requirements.txt:1" in found.notices[0]


def test_one_hash_asks_for_hashes_and_versions_everywhere(tmp_path: Path) -> None:
    found = problems(tmp_path, f"a==1 --hash={HASH}\nb==1\nc --hash={HASH}\ngit+https://host/d\n")
    assert [(problem.origin.line, problem.kind) for problem in found] == [(2, "hash"), (3, "hash"), (4, "hash")]
    assert read(tmp_path, f"a==1 --hash={HASH}\n").options.require_hashes


def test_a_hash_that_is_none_is_named(tmp_path: Path) -> None:
    assert only_problem(tmp_path, "a==1 --hash=sha256:12\n").kind == "hash"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("./lib", "{root}/lib"),
        ("./lib[a,b] ; python_version > '3'", "{root}/lib[a,b] ; python_version > '3'"),
        ("x @ file://{root}/lib", "{root}/lib"),
        ("git+https://host/p.git@main#egg=p[z]&subdirectory=s", "p[z] @ git+https://host/p.git@main#subdirectory=s"),
        ("https://host/p-1.0-py3-none-any.whl", "https://host/p-1.0-py3-none-any.whl"),
    ],
)
def test_paths_and_urls_mean_the_same_from_any_directory(tmp_path: Path, line: str, expected: str) -> None:
    project(tmp_path / "lib")
    found = read(tmp_path, line.format(root=tmp_path) + "\n")
    assert texts(found) == [expected.format(root=tmp_path)]


def test_editable_projects_are_local_or_under_version_control(tmp_path: Path) -> None:
    project(tmp_path)
    found = read(tmp_path, "-e .[dev]  # itself\n-e git+https://host/p@v1#egg=p\n")
    assert texts(found) == [f"{tmp_path}[dev]", "p @ git+https://host/p@v1"]
    assert found.local_projects == (tmp_path,)
    assert only_problem(tmp_path, "-e numpy\n").kind == "missing-path"


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("/srv/lib", "outside"),
        ("./../lib", "outside"),
        ("./none", "missing-path"),
        ("none-1.0-py3-none-any.whl", "missing-path"),
        ("p @ file:///etc/passwd", "local-file"),
        ("git+file:///srv/repo", "local-file"),
        ("git+https://host/x@--upload-pack=y", "invalid"),
        ("-e git://github.com/a/b.git#egg=b", "dead-protocol"),
        ("pkg-resources==0.0.0", "not-a-package"),
        ("python==3.8", "not-a-package"),
        ("numpy; python_version >", "invalid"),
    ],
)
def test_what_cannot_be_installed_is_refused_before_anything_is_downloaded(
    tmp_path: Path, line: str, kind: str
) -> None:
    assert only_problem(tmp_path, f"{line}\n").kind == kind


@pytest.mark.parametrize(
    ("line", "change"),
    [
        ("pip install numpy pandas", "numpy pandas"),
        ("$ python3 -m pip install numpy", "`numpy`"),
        ("numpy=1.2", "`numpy==1.2`"),
        ("numpy = 1.2", "`numpy==1.2`"),
        ("requests=-2.27.1", "`requests==2.27.1`"),
        ("numpy 1.2.3", "`numpy==1.2.3`"),
        ("netcdf4,", "`netcdf4`"),
        ('"numpy>=1"', "`numpy>=1`"),
        ("conda install numpy", "remove the line"),
    ],
)
def test_common_mistakes_come_with_the_line_to_write(tmp_path: Path, line: str, change: str) -> None:
    assert change in only_problem(tmp_path, f"{line}\n").change


@pytest.mark.parametrize(
    ("content", "kind", "line"),
    [
        ("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n", "lfs-pointer", 1),
        ("numpy\n<<<<<<< HEAD\na\n=======\nb\n>>>>>>> x\n", "conflict", 2),
        ("# This file may be used\n@EXPLICIT\nhttps://host/a.conda\n", "conda-export", 2),
        ("# platform: linux-64\n_libgcc_mutex=0.1=main\nnumpy=1.21=py39_0\n", "conda-export", 2),
        ("a\n{% if x %}\n", "template", 2),
        ("<!DOCTYPE html>\n", "other-format", 1),
        ("name: x\ndependencies:\n- numpy\n", "other-format", 2),
        ("Package    Version\n---------- -------\nnumpy      1.2\n", "other-format", 1),
    ],
)
def test_files_that_are_something_else_are_named_for_what_they_are(
    tmp_path: Path, content: str, kind: str, line: int
) -> None:
    problem = only_problem(tmp_path, content)
    assert (problem.kind, problem.origin.line) == (kind, line)


def test_a_huge_line_is_one_clear_problem(tmp_path: Path) -> None:
    assert "KiB" in only_problem(tmp_path, "a" * 10_000_000 + "\n").message


def test_a_file_without_requirements_is_fine(tmp_path: Path) -> None:
    assert read(tmp_path, "# nothing\n\n").requirements == ()


def test_the_text_of_several_problems(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequirements) as caught:
        read(tmp_path, "numpy=1.2\n\npip install x\n")
    assert render_error(caught.value) == (
        "error: 2 problems in `requirements.txt`\n"
        "  requirements.txt:1:  `numpy=1.2` is not a requirement: `=` is not an operator: write `numpy==1.2`\n"
        "  requirements.txt:3:  `pip install x` is a command, not a requirement: write only what it installs: `x`"
    )


def test_the_text_of_one_problem(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequirements) as caught:
        read(tmp_path, "numpy=1.2\n")
    assert render_error(caught.value) == (
        "error: requirements.txt:1: `numpy=1.2` is not a requirement: `=` is not an operator\nhint: write `numpy==1.2`"
    )
