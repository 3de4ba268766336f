from __future__ import annotations

from pathlib import Path

import pytest

from edge.sources.names import Claim, free_name


@pytest.mark.parametrize("name", ["a.jpg", "~a.jpg", "1.2~a.jpg", "with\nnewline", "b.1.2~c.jpg"])
@pytest.mark.parametrize(("number", "attempts"), [(0, 0), (1, 0), (0, 3), (12, 2)])
def test_a_claim_keeps_the_name_that_was_dropped_in(name: str, number: int, attempts: int) -> None:
    claim = Claim(name, number, attempts)

    assert Claim.parse(claim.file_name) == claim
    assert (claim.file_name == name) == (number == attempts == 0)


@pytest.mark.parametrize("name", ["x" * 255, "x" * 251 + ".jpg", "x." + "y" * 253, "ü" * 125 + ".jpg"])
def test_a_name_is_shortened_until_its_record_fits_beside_it(tmp_path: Path, name: str) -> None:
    first = free_name(tmp_path, name)
    (tmp_path / first).touch()
    (tmp_path / f".{first}.json.tmp").touch()
    second = free_name(tmp_path, name)

    assert len(first.encode()) <= 245
    assert first != second
