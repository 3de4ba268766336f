"""PUBLISH packets as they go over the wire: what MQTT 5 lets them say beside the payload, and how large they are."""

from __future__ import annotations

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

_JSON = "application/json"
_JPEG = "image/jpeg"
_PACKET_NUMBER_BYTES = 2
_BITS_A_LENGTH_BYTE = 7


def json_properties(schema: str) -> Properties:
    """Of a message of the named schema; nothing is said of one without (availability, discovery)."""
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    if schema:
        properties.ContentType = _JSON
        properties.PayloadFormatIndicator = 1
        properties.UserProperty = [("schema", schema)]
    return properties


def picture_properties(expiry_s: int) -> Properties:
    """Of a JPEG that the broker forgets after `expiry_s` seconds."""
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.ContentType = _JPEG
    properties.MessageExpiryInterval = expiry_s
    return properties


def publish_size(topic: str, payload: bytes, qos: int, properties: Properties | None) -> int:
    """Bytes of the whole packet with its header (MQTT 5, 3.3), which is what Maximum Packet Size counts (3.1.2.11.4).

    Args:
        topic: of the message.
        payload: of the message.
        qos: 0 or 1.
        properties: None with MQTT 3.1.1, which has none; no properties of MQTT 5 are a byte.
    """
    topic_bytes = 2 + len(topic.encode())
    number_bytes = _PACKET_NUMBER_BYTES if qos else 0
    property_bytes = 0 if properties is None else len(_packed(properties))
    rest = topic_bytes + number_bytes + property_bytes + len(payload)
    length_bytes = max(1, -(-rest.bit_length() // _BITS_A_LENGTH_BYTE))
    return 1 + length_bytes + rest


def _packed(properties: Properties) -> bytes:
    packed: bytes = properties.pack()  # type: ignore[no-untyped-call]
    return packed
