"""The lock on a folder. What it means for a source: tests/edge/sources/test_folder.py."""

from __future__ import annotations

from pathlib import Path

from edge.sources.ownership import Ownership


def test_what_is_given_back_is_not_taken_again_by_a_thread_that_is_late(tmp_path: Path) -> None:
    earlier, later = Ownership(), Ownership()
    assert earlier.take(tmp_path)

    earlier.give_back()

    assert not earlier.take(tmp_path)
    assert later.take(tmp_path)
    later.give_back()
