"""What a Raspberry Pi's kernel tells, from files as it writes them. No board was at hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.daemon import machine


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0\n", False),
        ("1\n", True),
        ("2\n", True),
        ("4\n", True),
        ("8\n", True),
        ("50005\n", True),
        ("50000\n", False),
        ("80000\n", False),
        ("f0000\n", False),
        ("0x50005\n", True),
        ("", None),
        ("what?\n", None),
    ],
    ids=[
        "all is well",
        "under-voltage",
        "frequency capped",
        "throttled",
        "soft temperature limit",
        "under-voltage and throttled, now and before",
        "under-voltage and throttled, before",
        "soft temperature limit, before",
        "all of it, before",
        "with a prefix",
        "empty",
        "no number",
    ],
)
def test_only_what_is_so_now_counts_as_throttled(
    text: str, expected: bool | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    firmware = tmp_path / "soc" / "soc:firmware"
    firmware.mkdir(parents=True)
    (firmware / "get_throttled").write_text(text)
    monkeypatch.setattr(machine, "_PLATFORM", tmp_path)

    assert machine.throttled() is expected


def test_a_parent_with_an_address_is_found_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    firmware = tmp_path / "soc@107c000000" / "soc@107c000000:firmware"
    firmware.mkdir(parents=True)
    (firmware / "get_throttled").write_text("4\n")
    monkeypatch.setattr(machine, "_PLATFORM", tmp_path)

    assert machine.throttled() is True


def test_other_boards_say_nothing_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "soc").mkdir()
    monkeypatch.setattr(machine, "_PLATFORM", tmp_path)

    assert machine.throttled() is None


@pytest.mark.parametrize(("text", "expected"), [("48312\n", 48.3), ("-1500\n", -1.5), ("", None), ("n/a\n", None)])
def test_the_temperature_is_in_degrees(
    text: str, expected: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temp").write_text(text)
    monkeypatch.setattr(machine, "_THERMAL", tmp_path / "temp")

    assert machine.temperature_c() == expected


def test_without_a_thermometer_there_is_no_temperature(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_THERMAL", tmp_path / "temp")

    assert machine.temperature_c() is None
