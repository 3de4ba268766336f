from __future__ import annotations

import os

import pytest

from edge.plain import plain, shown


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("schön 3 °C", "schön 3 °C"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\x1b]0;owned\x07\x9b", "\\x1b]0;owned\\x07\\x9b"),
        ("a\u2028b\u202ec", "a\\u2028b\\u202ec"),
        (os.fsdecode(b"M\xfcller"), "M\\udcfcller"),
    ],
)
def test_what_cannot_be_seen_or_encoded_is_spelt_out_on_one_line(text: str, line: str) -> None:
    assert plain(text) == line
    assert plain(text).encode()


def test_a_name_that_is_no_utf8_can_be_shown() -> None:
    assert shown(b"fa\xe7ade.jpg".decode("utf-8", "surrogateescape")) == r"fa\xe7ade.jpg"
    assert shown("schön\n.jpg") == "schön\n.jpg"


def test_no_two_names_are_shown_alike() -> None:
    names = [b"\xff", rb"\xff", rb"\x5cxff", b"\\\xff", rb"\xf", rb"\\xff", rb"\XFF"]

    assert len({shown(os.fsdecode(name)) for name in names}) == len(names)
    assert shown(r"a\b.jpg") == r"a\b.jpg"
