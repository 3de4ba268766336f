"""One connection to the broker: made, driven and dropped by a single thread, which also receives every callback."""

from __future__ import annotations

import logging
import os
import select
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge.errors import UnavailableError
from edge.mqtt.packets import json_properties, picture_properties, publish_size
from edge.mqtt.tls import tls_context
from edge.mqtt.window import Message, Window
from edge.settings import MqttSettings

log = logging.getLogger(__name__)

CONNECT_LIMIT_S = 4.0
"""For the TCP connection and the TLS handshake each; half of what a stop may take is the price of a silent host."""
CONNACK_LIMIT_S = 8.0
KEEPALIVE_S = 20
_FAILURE = 0x80
_MOST_IN_FLIGHT = 65535
_LARGEST_PACKET = 268_435_455
_NO_MATCHING_SUBSCRIBERS = 0x10
_UNSUPPORTED_PROTOCOL = (0x84, 0x01)


class UnsupportedProtocolError(UnavailableError):
    """The broker does not speak this version of MQTT, or ends or ignores the connection, as some do that do not."""


class RefusedVersionError(UnsupportedProtocolError):
    """The broker says that it does not speak this version of MQTT."""


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker says, retained, when the connection is lost."""

    topic: str
    payload: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """The broker's answer to the message that `publish` gave this number.

    `refusal` is why it did not take it, None if it did. `heard` is false where it says that nobody subscribes to the
    topic, which MQTT 5 brokers may do and earlier ones cannot.
    """

    number: int
    refusal: str | None
    heard: bool


class Connection:
    """A connected client. `poll` must be called all the time; it returns when something came or `wake` was called.

    Args:
        settings: where and how.
        version: `5` or `3.1.1`.
        client_id: unique for each device; two of the same name throw each other out.
        will: the Last Will, or None.
        on_receipt: called from `poll` for each message that the broker has answered.

    Raises:
        UnsupportedProtocolError: the broker refuses this version (`RefusedVersionError`), or ends or ignores the
            connection.
        UnavailableError: it cannot be reached or refuses us; the text says which.
    """

    def __init__(
        self,
        settings: MqttSettings,
        version: str,
        client_id: str,
        will: Will | None = None,
        on_receipt: Callable[[Receipt], None] = lambda receipt: None,  # noqa: ARG005
        on_message: Callable[[str, bytes], None] = lambda topic, payload: None,  # noqa: ARG005
    ) -> None:
        self.version = version
        self.receive_maximum = _MOST_IN_FLIGHT
        """How many messages the broker takes before it has confirmed the first of them."""
        self._largest_packet = _LARGEST_PACKET
        self._too_large: set[str] = set()
        self.refused_subscription: str | None = None
        """The topic filter that the broker would not take, and why."""
        self.ended: str | None = None
        """Why the broker has ended the connection, where it said so: MQTT 5 lets it answer a publish like that."""
        self._asked_for: dict[int | None, str] = {}
        self._answer: ReasonCode | None = None
        self._on_receipt = on_receipt
        self._client = self._make_client(settings, version, client_id)
        self._window = Window(self._send, self._client.max_inflight_messages)
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._on_message = on_message
        self._client.on_message = self._pass_on
        if will is not None:
            self._client.will_set(will.topic, will.payload, qos=1, retain=True)
        try:
            self._connect(settings)
        except BaseException:
            self.close()
            raise

    def publish(self, topic: str, payload: str, *, retain: bool = False, schema: str = "") -> int | None:
        """Hands over a message at QoS 1; it goes out in its turn, once the broker takes another.

        Returns:
            The number that its receipt will name; None if the broker takes no packet so large, for it would end the
            connection.
        """
        content, properties = payload.encode(), json_properties(schema) if self.version == "5" else None
        if not self._takes(topic, content, 1, properties):
            return None
        return self._window.put(Message(topic, content, retain, properties))

    def publish_picture(self, topic: str, jpeg: bytes, expiry_s: int) -> None:
        """Hands over a picture that may be lost: QoS 0, and with MQTT 5 forgotten by the broker after `expiry_s`."""
        properties = picture_properties(expiry_s) if self.version == "5" else None
        if self._takes(topic, jpeg, 0, properties):
            self._client.publish(topic, jpeg, 0, retain=False, properties=properties)

    def subscribe(self, topic: str) -> None:
        """Asks for a topic filter at QoS 1; `refused_subscription` is set when the answer is no."""
        _, number = self._client.subscribe(topic, qos=1)
        self._asked_for[number] = topic

    def poll(self, timeout_s: float) -> bool:
        """Sends and receives what there is, waiting at most `timeout_s` for it.

        Returns:
            False when the connection is lost.
        """
        sock: socket.socket | None = self._client.socket()  # type: ignore[assignment]
        if sock is None:
            return False
        unread_tls = isinstance(sock, ssl.SSLSocket) and sock.pending() > 0
        writable: list[socket.socket] = [sock] if self._client.want_write() else []
        wanted: list[socket.socket | int] = [sock, self._wake_read]
        readable, writable, _ = select.select(wanted, writable, [], 0 if unread_tls else timeout_s)
        if self._wake_read in readable:
            os.read(self._wake_read, 4096)
        codes = [
            self._client.loop_read() if unread_tls or sock in readable else MQTTErrorCode.MQTT_ERR_SUCCESS,
            self._client.loop_write() if writable else MQTTErrorCode.MQTT_ERR_SUCCESS,
            self._client.loop_misc(),
        ]
        self._window.fill()
        return all(code == MQTTErrorCode.MQTT_ERR_SUCCESS for code in codes)

    def wake(self) -> None:
        """Makes `poll` return; the one method for other threads."""
        try:
            os.write(self._wake_write, b"\0")
        except (BlockingIOError, OSError):
            return  # full means that it will wake anyway; closed, that nobody sleeps

    def disconnect(self) -> None:
        """Says goodbye, so that the broker does not say the will."""
        self._client.disconnect()
        self._client.loop_write()

    def close(self) -> None:
        """Drops the connection without a word."""
        sock = self._client.socket()
        if sock is not None:
            sock.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _make_client(self, settings: MqttSettings, version: str, client_id: str) -> mqtt.Client:
        protocol = mqtt.MQTTv5 if version == "5" else mqtt.MQTTv311
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id, protocol=protocol, reconnect_on_failure=False)
        client.connect_timeout = CONNECT_LIMIT_S
        if settings.username:
            client.username_pw_set(settings.username, settings.password.get_secret_value() or None)
        if settings.tls:
            client.tls_set_context(tls_context(settings))
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        return client

    def _connect(self, settings: MqttSettings) -> None:
        where = f"{settings.host}:{settings.port}"
        with _told_apart(where):
            self._client.connect(settings.host, settings.port, KEEPALIVE_S)
        deadline = time.monotonic() + CONNACK_LIMIT_S
        while self._answer is None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise UnsupportedProtocolError(f"{where}: accepts the connection and says nothing; is it a broker?")
            if not self.poll(left) and self._answer is None:
                raise UnsupportedProtocolError(f"{where}: closes the connection at once; TLS on or off, MQTT version?")
        if self._answer.value in _UNSUPPORTED_PROTOCOL:
            raise RefusedVersionError(f"{where}: does not speak MQTT {self.version}")
        if self._answer.value >= _FAILURE or (self.version != "5" and self._answer.value != 0):
            raise UnavailableError(f"{where}: refuses the connection: {self._answer}")

    def _on_connect(self, _client: object, _data: object, _flags: object, reason: ReasonCode, more: object) -> None:
        self._answer = reason
        self.receive_maximum = getattr(more, "ReceiveMaximum", _MOST_IN_FLIGHT)
        self._window.most = min(self._window.most, self.receive_maximum)
        self._largest_packet = getattr(more, "MaximumPacketSize", _LARGEST_PACKET)

    def _on_disconnect(
        self, _client: object, _data: object, flags: mqtt.DisconnectFlags, reason: ReasonCode, _more: object
    ) -> None:
        if flags.is_disconnect_packet_from_server and reason.value >= _FAILURE:
            self.ended = str(reason)

    def _pass_on(self, _client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            return  # no topic of ours, nor of anybody who keeps to the standard
        self._on_message(topic, bytes(message.payload))

    def _on_publish(self, _client: object, _data: object, number: int, reason: ReasonCode, _more: object) -> None:
        ours = self._window.answered(number)
        if ours is None:
            return  # a picture, which nobody confirms
        refusal = str(reason) if reason.value >= _FAILURE else None
        self._on_receipt(Receipt(ours, refusal, heard=reason.value != _NO_MATCHING_SUBSCRIBERS))

    def _on_subscribe(
        self, _client: object, _data: object, number: int, reasons: list[ReasonCode], _more: object
    ) -> None:
        topic = self._asked_for.pop(number, "")
        for reason in reasons:
            if reason.value >= _FAILURE:
                self.refused_subscription = f"{topic}: {reason}"

    def _takes(self, topic: str, payload: bytes, qos: int, properties: Properties | None) -> bool:
        size = publish_size(topic, payload, qos, properties)
        if size > self._largest_packet and topic not in self._too_large:
            self._too_large.add(topic)
            log.error(
                "the broker takes no packet as large as %s: %d bytes, it takes %d", topic, size, self._largest_packet
            )
        return size <= self._largest_packet

    def _send(self, message: Message) -> int:
        given = self._client.publish(message.topic, message.payload, 1, message.retain, message.properties)
        return given.mid


@contextmanager
def _told_apart(where: str) -> Iterator[None]:
    """What can go wrong while connecting, as an `UnavailableError` that says which it was."""
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        raise UnavailableError(f"{where}: its certificate is not trusted: {error.verify_message}") from error
    except ssl.SSLError as error:
        raise UnavailableError(f"{where}: no TLS connection: {error.reason or error}") from error
    except TimeoutError as error:
        raise UnavailableError(f"{where}: does not answer") from error
    except UnicodeError as error:
        raise UnavailableError(f"{where}: is no name that a host can have") from error
    except OSError as error:
        raise UnavailableError(f"{where}: {error.strerror or error}") from error
