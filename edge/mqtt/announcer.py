"""Makes Home Assistant show what the configuration says, and nothing of what an earlier one said."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge.mqtt.connection import Connection, Receipt
from edge.mqtt.homeassistant import birth_topic, discovery_payload, discovery_topic
from edge.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Announced:
    """What a broker may hold of us: the topic, the platform of each component under it, and topics of earlier names."""

    topic: str
    components: dict[str, str]
    left: tuple[str, ...] = ()


class Announcer:
    """Publishes the discovery message, again whenever Home Assistant starts, and removes what is no longer so.

    What was announced is remembered in the state directory, because only who knows it can take it back; see
    docs/decisions/0007-homeassistant.md. All methods are for the publisher's thread.

    Args:
        settings: the whole configuration, of which entities are made.
    """

    def __init__(self, settings: Settings) -> None:
        self._topic = discovery_topic(settings)
        self._birth_topic = birth_topic(settings)
        self._payload = discovery_payload(settings) if settings.homeassistant.discovery else None
        self._memory = Memory(settings.state_dir / "homeassistant.json", self._topic)
        self._unconfirmed: dict[int, str] = {}
        """Topics of what was sent, by the number of the receipt."""
        self._refused = False
        self._due_again = False

    def begin(self, connection: Connection) -> None:
        """On every new connection: sends what there is to send, and asks to be told when Home Assistant starts."""
        self._unconfirmed, self._refused, self._due_again = {}, False, False
        before = self._memory.recall()
        left = () if before is None else before.left
        if before is not None and (self._payload is None or before.topic != self._topic):
            left, before = (*left, before.topic), None
        if self._payload is not None:
            left = tuple(topic for topic in left if topic != self._topic)
        for topic in left:
            self._publish(connection, topic, "")
        if self._payload is None:
            return
        now = Announced(self._topic, _platforms(self._payload))
        gone = {
            key: platform
            for key, platform in (before.components if before else {}).items()
            if key not in now.components
        }
        self._memory.keep(Announced(self._topic, {**gone, **now.components}, left))
        if gone:
            farewell = {key: {"platform": platform} for key, platform in gone.items()}
            with_farewell = self._payload | {"components": farewell | self._payload["components"]}
            self._publish(connection, self._topic, json.dumps(with_farewell))
        self._publish(connection, self._topic, json.dumps(self._payload))
        connection.subscribe(self._birth_topic)

    def on_message(self, topic: str, payload: bytes) -> None:
        """Takes what the connection hears."""
        if topic == self._birth_topic and payload == b"online":
            self._due_again = True

    def turn(self, connection: Connection) -> None:
        """Says it again if Home Assistant has just started."""
        if self._due_again and self._payload is not None:
            self._due_again = False
            log.info("Home Assistant has started: announced again")
            self._publish(connection, self._topic, json.dumps(self._payload))

    def settles(self, receipt: Receipt) -> bool:
        """Whether a receipt is for one of our messages; the last of them tells that the broker has it all."""
        topic = self._unconfirmed.pop(receipt.number, None)
        if topic is None:
            return False
        if receipt.refusal is not None:
            self._refused = True
            log.warning(
                "the broker refuses Home Assistant discovery: %s; allow this user to write %s",
                receipt.refusal,
                topic,
            )
        elif not self._unconfirmed and not self._refused:
            self._memory.keep(None if self._payload is None else Announced(self._topic, _platforms(self._payload)))
        return True

    def _publish(self, connection: Connection, topic: str, payload: str) -> None:
        number = connection.publish(topic, payload, retain=True)
        if number is None:
            log.error("the broker takes no packet as large as Home Assistant discovery: nothing appears there")
            self._refused = True
            return
        self._unconfirmed[number] = topic


class Memory:
    """What was announced, in a file that is written only when that changes.

    Args:
        path: of the file.
        topic: what to assume where the file is there and cannot be understood.
    """

    def __init__(self, path: Path, topic: str) -> None:
        self._path = path
        self._announced = self._read(topic)

    def recall(self) -> Announced | None:
        """None if nothing was announced."""
        return self._announced

    def keep(self, announced: Announced | None) -> None:
        """Writes it down. A disk that refuses costs no more than that a later removal may not happen."""
        if announced == self._announced:
            return
        self._announced = announced
        try:
            if announced is None:
                self._path.unlink(missing_ok=True)
                return
            draft = self._path.with_suffix(".part")
            draft.write_text(json.dumps(asdict(announced)))
            draft.replace(self._path)
        except OSError as error:
            log.warning("%s cannot be written: %s", self._path, error.strerror)

    def _read(self, topic: str) -> Announced | None:
        try:
            found = json.loads(self._path.read_text())
            components = {str(key): str(value) for key, value in found["components"].items()}
            return Announced(str(found["topic"]), components, tuple(map(str, found.get("left", ()))))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("%s cannot be read: %s", self._path, error)
            return Announced(topic, {})


def _platforms(payload: dict[str, Any]) -> dict[str, str]:
    return {key: component["platform"] for key, component in payload["components"].items()}
