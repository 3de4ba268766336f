from __future__ import annotations

import pytest

from edge.mqtt.topics import Topics


@pytest.mark.parametrize(
    ("prefix", "device", "expected"),
    [
        ("maskgate", "lobby-1", "maskgate-lobby-1"),
        ("bldg", "floor1-door", "bldg-floor1-door"),
        ("bldg/floor1", "door", "bldg/floor1/door"),
        ("bldg/floor1", "a-b", "bldg/floor1/a-b"),
        ("bldg/floor1-a", "b", "bldg/floor1-a/b"),
    ],
)
def test_the_client_id_names_prefix_and_device(prefix: str, device: str, expected: str) -> None:
    assert Topics(prefix, device).client_id == expected
