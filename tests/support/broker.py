"""A real mosquitto and a real mosquitto_sub."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.components import end, eventually, free_port, require_program

_HELLO = "maskgate-test/hello"
"""A retained message tells that the subscription stands: mosquitto_sub itself says nothing."""


@dataclass
class Mosquitto:
    """A broker on loopback that can be killed and started again."""

    folder: Path
    options: str = "allow_anonymous true"
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        program = require_program("mosquitto", "mosquitto")
        config = self.folder / f"mosquitto-{self.port}.conf"
        config.write_text(f"persistence false\nuser root\nlistener {self.port} 127.0.0.1\n{self.options}\n")
        log = (self.folder / f"mosquitto-{self.port}.log").open("a")
        with log:
            self.process = subprocess.Popen([program, "-v", "-c", str(config)], stdout=log, stderr=log, text=True)
        eventually(self._accepts, 5)

    def _accepts(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(5)

    def stop(self) -> None:
        if self.process is not None:
            end(self.process)


@dataclass(frozen=True)
class Received:
    topic: str
    retained: bool
    qos: int
    payload: str

    def json(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self.payload)
        return message


class Subscriber:
    """mosquitto_sub, independent of our code; what it prints is what came."""

    def __init__(self, file: Path, process: subprocess.Popen[str]) -> None:
        self._file = file
        self.process = process

    def received(self, ending: str = "") -> list[Received]:
        """Everything so far on topics with that ending."""
        found = []
        for line in self._file.read_text().splitlines():
            topic, retained, qos, payload = line.split("\t", 3)
            if topic.endswith(ending) and topic != _HELLO:
                found.append(Received(topic, retained == "1", int(qos), payload))
        return found

    def wait_for(self, ending: str, count: int = 1, limit_s: float = 20.0) -> list[Received]:
        """At least `count` messages on topics with that ending."""
        eventually(lambda: len(self.received(ending)) >= count, limit_s)
        return self.received(ending)


@contextmanager
def subscribed(folder: Path, port: int, *options: str, topic: str = "maskgate/#") -> Iterator[Subscriber]:
    """Subscribes to everything under maskgate/ at QoS 1; what is published from then on is received."""
    program = require_program("mosquitto_sub", "mosquitto-clients")
    file = folder / f"received-{port}-{len(list(folder.glob('received-*')))}.txt"
    command = [
        program,
        "-h",
        "localhost",
        "-p",
        str(port),
        "-q",
        "1",
        "-F",
        "%t\t%r\t%q\t%p",
        "-t",
        topic,
        "-t",
        _HELLO,
    ]
    with file.open("w") as out:
        process = subprocess.Popen(["stdbuf", "-oL", *command, *options], stdout=out, text=True)
    hello = [
        require_program("mosquitto_pub", "mosquitto-clients"),
        "-h",
        "localhost",
        "-p",
        str(port),
        "-r",
        "-t",
        _HELLO,
    ]
    subprocess.run([*hello, "-m", "hello", *options], check=True, timeout=10)
    try:
        eventually(lambda: _HELLO in file.read_text(), 10)
        yield Subscriber(file, process)
    finally:
        end(process)


def publish(port: int, topic: str, payload: str, *options: str) -> None:
    """mosquitto_pub; an empty payload removes what is retained."""
    program = require_program("mosquitto_pub", "mosquitto-clients")
    command = [program, "-h", "localhost", "-p", str(port), "-q", "1", "-t", topic, *options]
    subprocess.run([*command, "-m", payload] if payload else [*command, "-n"], check=True, timeout=10)
