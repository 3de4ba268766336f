"""The size of a packet, against packets put together by hand; what a real broker counts is in test_broker_limits."""

from __future__ import annotations

import pytest

from edge.mqtt.packets import json_properties, picture_properties, publish_size
from fuzz.brokers import publish

TOPIC = "a/\u00e4"
SCHEMA = b"\x03\x00\x10application/json" + b"\x01\x01" + b"\x26\x00\x06schema\x00\x10maskgate.event/1"
"""Content Type, Payload Format Indicator and User Property as MQTT 5, 2.2.2.2, numbers them."""
JPEG = b"\x03\x00\x0aimage/jpeg" + b"\x02\x00\x00\x01\x2c"
"""Content Type and Message Expiry Interval."""
# Around where the length in the header becomes a byte longer: without and with MQTT 5 the rest is 8 and 63 bytes.
LENGTHS = [
    0,
    1,
    *(border - rest + more for border in (128, 16_384, 2_097_152) for rest in (8, 9, 63) for more in (-1, 0)),
]


@pytest.mark.parametrize("length", LENGTHS)
def test_the_header_is_counted(length: int) -> None:
    content, topic = b"x" * length, TOPIC.encode()
    assert publish_size(TOPIC, content, 1, None) == len(publish(topic, content, "3.1.1", 1))
    assert publish_size(TOPIC, content, 1, json_properties("")) == len(publish(topic, content, "5", 1))
    said = publish(topic, content, "5", 1, SCHEMA)
    assert publish_size(TOPIC, content, 1, json_properties("maskgate.event/1")) == len(said)


@pytest.mark.parametrize("length", LENGTHS)
def test_the_header_of_a_picture_is_counted(length: int) -> None:
    content, topic = b"x" * length, TOPIC.encode()
    assert publish_size(TOPIC, content, 0, None) == len(publish(topic, content, "3.1.1", 0))
    assert publish_size(TOPIC, content, 0, picture_properties(300)) == len(publish(topic, content, "5", 0, JPEG))
