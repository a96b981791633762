"""Who an image runs as, by its own lists of users and groups."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.oci.user import ImageUser, find_user

PASSWD = """\
root:x:0:0:root:/root:/bin/bash
app:x:1001:1002:An application:/home/app:/bin/sh
7:x:1003:1003::/home/seven:/bin/sh
odd:x:1004:1004::relative:/bin/sh
broken line
nonumber:x:many:1::/:/bin/sh
"""
GROUP = """\
root:x:0:
app:x:1002:
audio:x:29:root,app
video:x:44:app
broken
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ImageUser(user_id=0, group_id=0, group_ids=(29,), home="/root")),
        ("root", ImageUser(user_id=0, group_id=0, group_ids=(29,), home="/root")),
        ("0:0", ImageUser(user_id=0, group_id=0, home="/root")),
        ("app", ImageUser(user_id=1001, group_id=1002, group_ids=(29, 44), home="/home/app")),
        ("1001", ImageUser(user_id=1001, group_id=1002, group_ids=(29, 44), home="/home/app")),
        # A group that is named takes the place of all others.
        ("app:video", ImageUser(user_id=1001, group_id=44, home="/home/app")),
        ("app:", ImageUser(user_id=1001, group_id=1002, group_ids=(29, 44), home="/home/app")),
        ("1001:5000", ImageUser(user_id=1001, group_id=5000, home="/home/app")),
        # A number that nobody has.
        ("54321", ImageUser(user_id=54321, group_id=0)),
        ("54321:0", ImageUser(user_id=54321, group_id=0)),
        (":29", ImageUser(user_id=0, group_id=29, home="/root")),
        # A name that looks like a number is a name.
        ("7", ImageUser(user_id=1003, group_id=1003, home="/home/seven")),
        ("odd", ImageUser(user_id=1004, group_id=1004)),
    ],
)
def test_the_user_of_an_image(text: str, expected: ImageUser) -> None:
    assert find_user(text, passwd=PASSWD, group=GROUP) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nobody", "the user `nobody` is not in the image's /etc/passwd"),
        ("nonumber", "the user `nonumber` is not in the image's /etc/passwd"),
        ("app:wheel", "the group `wheel` is not in the image's /etc/group"),
        ("-1", "the user `-1` is not in the image's /etc/passwd"),
        # More than the kernel and bubblewrap take.
        ("4294967295", "the user `4294967295` is not in the image's /etc/passwd"),
        ("٣", "the user `٣` is not in the image's /etc/passwd"),
    ],
)
def test_a_user_that_is_not_known(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        find_user(text, passwd=PASSWD, group=GROUP)


def test_without_lists_there_are_numbers_only() -> None:
    assert find_user("", passwd="", group="") == ImageUser(user_id=0, group_id=0)
    assert find_user("12:13", passwd="", group="") == ImageUser(user_id=12, group_id=13)


@given(st.text(), st.text(), st.text())
def test_no_text_is_more_than_refused(text: str, passwd: str, group: str) -> None:
    try:
        user = find_user(text, passwd=passwd, group=group)
    except ValueError:
        return
    assert 0 <= user.user_id < 2**31
    assert 0 <= user.group_id < 2**31
    assert user.home.startswith("/")
