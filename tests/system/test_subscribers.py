"""The subscribers of docs/events.md with what goes wrong: doubles, losses, another device."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge.messages import Event, uuid7
from edge.vision.classifier import Label
from support.broker import Mosquitto, publish
from support.components import ROOT, end, eventually, require, require_program
from support.daemon import ENVIRONMENT, write_config
from support.messages import an_event, an_image_record

NODE_RED = ROOT / ".node-red" / "node_modules" / "node-red" / "red.js"


def shown(fence: str) -> str:
    """The first block of docs/events.md with that fence."""
    found = re.search(rf"^```{fence}\n(.*?)^```$", (ROOT / "docs" / "events.md").read_text(), re.M | re.S)
    assert found is not None
    return found[1]


def event(seq: int, device: str = "lobby-1", label: Label = Label.NO_MASK, source: str = "door") -> Event:
    changes = {"seq": seq, "device": device, "source": source, "id": uuid7(seq)}
    return an_event(label).model_copy(update=changes)


def send(broker: Mosquitto, *events: Event) -> None:
    for each in events:
        publish(broker.port, f"maskgate/{each.device}/event", each.to_json())


def listens(broker: Mosquitto, topic: str) -> bool:
    log = (broker.folder / f"mosquitto-{broker.port}.log").read_text()
    return re.search(rf"\t{re.escape(topic)} \(QoS 1\)", log) is not None


def test_the_python_one_drops_doubles_and_tells_of_losses(tmp_path: Path, broker: Mosquitto) -> None:
    program, output = tmp_path / "subscriber.py", tmp_path / "output.txt"
    program.write_text(shown("python broker").replace("PORT", str(broker.port)))
    with output.open("w") as out:
        process = subprocess.Popen([sys.executable, "-u", str(program)], stdout=out, text=True)
    try:
        eventually(lambda: listens(broker, "maskgate/+/image"))
        double = event(8)
        send(broker, event(7), double, double, event(1, device="lobby-2", source="gate"))
        publish(broker.port, "maskgate/lobby-1/image", an_image_record().model_copy(update={"seq": 9}).to_json())
        send(broker, event(10), event(13, label=Label.MASK), double, event(14))
        eventually(lambda: output.read_text().count("\n") >= 7)
    finally:
        process.terminate()
        process.wait(10)

    assert output.read_text().splitlines() == [
        "lobby-1 door no_mask",
        "lobby-1 door no_mask",
        "lobby-2 gate no_mask",
        "lobby-1 door no_mask",
        "lobby-1 lost 2",
        "lobby-1 door mask",
        "lobby-1 door no_mask",
    ]


@pytest.mark.parametrize("option", [(), ("--json",), ("--counts",)], ids=str)
def test_listen_goes_on_after_messages_of_nobody(tmp_path: Path, broker: Mosquitto, option: tuple[str, ...]) -> None:
    output = tmp_path / "output.txt"
    with output.open("w") as out:
        command = [sys.executable, "-u", "-m", "edge", "listen", *option]
        config = str(write_config(tmp_path, broker.port))
        process = subprocess.Popen([*command, "--config", config], stdout=out, stderr=out, text=True, env=ENVIRONMENT)
    try:
        eventually(lambda: listens(broker, "maskgate/+/event"))
        sound = json.loads(event(1).to_json())
        for changes in ({"p_mask": 10**400}, {"seq": -9 * 10**4299}, {"seq": 9 * 10**4299}, {"device": "\x1b[2J"}):
            publish(broker.port, "maskgate/x/event", json.dumps(sound | changes | {"id": str(changes)}))
        send(broker, event(7, source="last"))
        eventually(lambda: option == ("--counts",) or '"last"' in output.read_text() or "/last" in output.read_text())
        time.sleep(0.5)
    finally:
        code = end(process)

    assert code == 0, output.read_text()
    assert "last" in output.read_text()
    assert "\x1b" not in output.read_text()


def test_the_flow_runs_in_node_red_and_drops_doubles(tmp_path: Path, broker: Mosquitto) -> None:
    node = require_program("node", "nodejs")
    require(NODE_RED.exists(), "Node-RED is missing: make node-red")
    (tmp_path / "flows.json").write_text(shown("json node-red").replace('"1883"', f'"{broker.port}"'))
    settings = tmp_path / "settings.js"
    settings.write_text(
        "module.exports = {httpAdminRoot: false, httpNodeRoot: false, uiHost: '127.0.0.1', uiPort: 0,"
        " telemetry: {enabled: false}, flowFile: 'flows.json', credentialSecret: false};"
    )
    log = tmp_path / "node-red.log"
    with log.open("w") as out:
        command = [node, str(NODE_RED), "-u", str(tmp_path), "-s", str(settings)]
        process = subprocess.Popen(command, stdout=out, stderr=out, text=True)
    try:
        eventually(lambda: listens(broker, "maskgate/+/event"), 60)
        double = event(2, source="gate")
        send(broker, event(1), double, double, event(3, label=Label.MASK), event(4, source="last"))
        eventually(lambda: "lobby-1 last" in log.read_text())
    finally:
        end(process, 20)

    said = re.findall(r"\[debug:shown\] (.*)", log.read_text())
    assert said == ["lobby-1 door no_mask", "lobby-1 gate no_mask", "lobby-1 last no_mask"]
