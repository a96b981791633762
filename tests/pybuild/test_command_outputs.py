"""What `--output`, `--tag` and `--publish` mean together."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from pybuild.commands.build import build
from pybuild.commands.outputs import read_outputs
from pybuild.errors import UsageError


def locations(*texts: str, tags: tuple[str, ...] = (), publish: bool = False) -> list[str]:
    return [output.location for output in read_outputs(texts, tags, publish=publish)]


def test_without_any_the_image_goes_nowhere() -> None:
    assert locations() == []


def test_a_name_alone_is_one_in_the_docker_engine() -> None:
    (output,) = read_outputs((), ("app", "app:2"), publish=False)
    assert [str(name) for name in output.references] == ["docker.io/library/app:latest", "docker.io/library/app:2"]  # type: ignore[union-attr]
    assert output.location.startswith("docker-daemon:")


def test_published_names_are_pushed_and_name_the_image_in_other_outputs() -> None:
    assert locations(tags=("r.example/app", "r.example/app:2"), publish=True) == [
        "docker://r.example/app:latest",
        "docker://r.example/app:2",
    ]
    assert locations("oci:dir", "docker-daemon:", tags=("r.example/app:1",), publish=True) == [
        "oci:dir:r.example/app:1",
        "docker-daemon:r.example/app:1",
        "docker://r.example/app:1",
    ]


def test_names_are_pushed_only_when_that_is_said() -> None:
    assert locations("oci:dir", "docker://r.example/app:1", tags=("private",)) == [
        "oci:dir:private",
        "docker://r.example/app:1",
    ]


@pytest.mark.parametrize(
    ("texts", "tags", "publish", "words"),
    [
        ((), (), True, "--tag NAME"),
        (("docker://r.example/app:1",), ("other",), False, "--publish"),
        ((), ("Not A Name",), False, "`--tag`"),
        ((), ("app@sha256:" + "0" * 64,), True, "a digest"),
        (("image.tar",), (), False, "docker-daemon:NAME"),
        (("docker-daemon:",), (), False, "--tag"),
    ],
)
def test_what_makes_no_sense_is_told(texts: tuple[str, ...], tags: tuple[str, ...], publish: bool, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_outputs(texts, tags, publish=publish)
    assert words in f"{caught.value.summary} {caught.value.hint}"


@pytest.mark.parametrize("output", ["docker-archive:image.tar", "docker-daemon:app"])
def test_a_compression_that_an_output_cannot_have_is_told_before_the_build(output: str) -> None:
    done = CliRunner().invoke(build, [".", "--compression", "zstd", "--output", "oci:dir", "--output", output])
    assert isinstance(done.exception, UsageError)
    assert "--compression zstd" in done.exception.summary
    assert output.partition(":")[0] in done.exception.summary
