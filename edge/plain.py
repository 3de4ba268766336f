"""Text that others had a hand in (names of files, words of a broker), made fit for JSON, a log, a terminal, systemd."""

from __future__ import annotations

import os
import re


def plain(text: str) -> str:
    r"""One line of what can be seen and encoded: line ends, control characters and surrogates are spelt out (`\n`)."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def shown(path: str | os.PathLike[str]) -> str:
    r"""A path as text that JSON can hold, another one for each path.

    Bytes that are no UTF-8 appear as `\xNN`, and so does the backslash of a name that has such letters itself.
    """
    return re.sub(rb"\\(?=x[0-9a-f]{2})", rb"\\x5c", os.fsencode(path)).decode("utf-8", "backslashreplace")
