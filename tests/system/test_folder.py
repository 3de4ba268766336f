"""The daemon, a watched folder, a real broker, and an independent subscriber."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import time
import zipfile
from pathlib import Path

import jsonschema
import pytest

from edge.messages import json_schema
from support.broker import Mosquitto, Received, subscribed
from support.components import eventually, require_shared
from support.daemon import maskgate, running, write_config

INBOX = '[[sources]]\nname = "inbox"\nkind = "folder"\npath = "{path}"\non_done = "{on_done}"\n'


def config_for(folder: Path, port: int | str, detector: str = "face_detector", on_done: str = "keep") -> Path:
    return write_config(folder, port, INBOX.format(path=folder / "inbox", on_done=on_done), detector=detector)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def drop(pictures: Path, inbox: Path) -> None:
    for picture in sorted(pictures.iterdir()):
        shutil.copy(picture, inbox / picture.name)


def assert_complete(messages: list[Received]) -> None:
    """Every `seq` from the first on is there."""
    seqs = sorted({message.json()["seq"] for message in messages})
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))


def test_dropped_in_files_become_records_and_events(tmp_path: Path, broker: Mosquitto, pictures: Path) -> None:
    with subscribed(tmp_path, broker.port) as subscriber, running(config_for(tmp_path, broker.port)):
        subscriber.wait_for("/availability")
        drop(pictures, tmp_path / "inbox")
        records = {message.json()["path"]: message for message in subscriber.wait_for("/image", 4)}
        eventually(lambda: not list((tmp_path / "inbox" / ".processing").iterdir()))
        events = subscriber.received("/event")
        status = subscriber.wait_for("/status")[-1]

    assert set(records) == {"bare.jpg", "masked.png", "nobody.jpg", "empty.jpg"}
    assert records["bare.jpg"].json()["summary"] == "no_mask"
    assert records["masked.png"].json()["summary"] == "mask"
    assert records["nobody.jpg"].json()["summary"] == "no_face"
    assert records["empty.jpg"].json()["error"] == "the file is empty"
    for message in records.values():
        assert (message.retained, message.qos) == (False, 1)
        jsonschema.validate(message.json(), json_schema("image"))
    found = {event.json()["image"]["path"]: event.json() for event in events}
    assert {path: event["event_type"] for path, event in found.items()} == {"bare.jpg": "no_mask", "masked.png": "mask"}
    assert found["bare.jpg"]["image"]["sha256"] == hashlib.sha256((pictures / "bare.jpg").read_bytes()).hexdigest()
    for event in events:
        jsonschema.validate(event.json(), json_schema("event"))
    assert_complete([*records.values(), *events])
    jsonschema.validate(status.json(), json_schema("status"))
    assert names(tmp_path / "inbox" / "failed") == ["empty.jpg", "empty.jpg.json"]
    assert len(names(tmp_path / "inbox" / "done")) == 6


def test_photos_of_people_become_records_in_which_most_faces_are_right(
    tmp_path: Path, broker: Mosquitto, yunet: str
) -> None:
    data = require_shared("data", "detection", "annotations.json")
    annotations = json.loads(data.read_text())
    chosen = [image for image in annotations["images"] if image["split"] == "test"][:30]
    boxes: dict[int, list[tuple[list[float], str]]] = {image["id"]: [] for image in chosen}
    for annotation in annotations["annotations"]:
        if annotation["image_id"] in boxes and min(annotation["bbox"][2:]) >= 40 and annotation["category_id"] != 3:
            boxes[annotation["image_id"]].append(
                (annotation["bbox"], ["mask", "no_mask"][annotation["category_id"] - 1])
            )
    with subscribed(tmp_path, broker.port) as subscriber, running(config_for(tmp_path, broker.port, yunet)):
        subscriber.wait_for("/availability")
        with zipfile.ZipFile(data.parent / "photos.zip") as photos:
            for image in chosen:
                photos.extract(image["file_name"], tmp_path / "inbox")
        records = {m.json()["path"]: m.json() for m in subscriber.wait_for("/image", len(chosen), 60)}

    assert set(records) == {image["file_name"] for image in chosen}
    right = wrong = 0
    for image in chosen:
        for box, label in boxes[image["id"]]:
            for face in records[image["file_name"]]["faces"]:
                x, y = face["box"]["x"] + face["box"]["width"] / 2, face["box"]["y"] + face["box"]["height"] / 2
                if box[0] < x < box[0] + box[2] and box[1] < y < box[1] + box[3] and face["label"] != "uncertain":
                    right += face["label"] == label
                    wrong += face["label"] != label
    assert right >= 20
    assert right >= 0.9 * (right + wrong)


def test_a_published_file_is_deleted_only_once_the_broker_has_its_record(
    tmp_path: Path, broker: Mosquitto, pictures: Path
) -> None:
    broker.kill()
    with running(config_for(tmp_path, broker.port, on_done="delete")):
        processing = tmp_path / "inbox" / ".processing"
        eventually(processing.exists)
        drop(pictures, tmp_path / "inbox")
        eventually(lambda: len(names(processing)) == 4)
        time.sleep(1.5)
        assert len(names(processing)) == 4

        broker.start()
        with subscribed(tmp_path, broker.port) as subscriber:
            subscriber.wait_for("/availability", limit_s=60)
            eventually(lambda: names(processing) == [])
    assert names(tmp_path / "inbox" / "done") == []
    assert names(tmp_path / "inbox" / "failed") == []


def test_with_mqtt_switched_off_files_are_classified_all_the_same(tmp_path: Path, pictures: Path) -> None:
    with running(config_for(tmp_path, "", on_done="keep")):
        eventually((tmp_path / "inbox" / ".processing").exists)
        drop(pictures, tmp_path / "inbox")
        eventually(lambda: len(names(tmp_path / "inbox" / "done")) == 6)


def test_a_daemon_killed_again_and_again_loses_no_file_and_doubles_none(
    tmp_path: Path, broker: Mosquitto, pictures: Path
) -> None:
    config = config_for(tmp_path, broker.port)
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    sent = {f"{number:03d}-{picture.name}" for number in range(30) for picture in pictures.iterdir()}
    for name in sent:
        shutil.copy(pictures / name[4:], inbox / name)
    with subscribed(tmp_path, broker.port) as subscriber:
        for kill in range(6):
            with running(config) as daemon:
                eventually(lambda kill=kill: len(subscriber.received("/image")) > kill * 10, 30)
                os.kill(daemon.pid, signal.SIGKILL)
                daemon.wait(5)
        with running(config):
            eventually(lambda: len({m.json()["id"] for m in subscriber.received("/image")}) >= len(sent), 60)
            eventually(lambda: names(inbox / ".processing") == [])
        by_id = {message.json()["id"]: message.json() for message in subscriber.received("/image")}
        events = {message.json()["id"]: message.json() for message in subscriber.received("/event")}

    assert sorted(record["path"] for record in by_id.values()) == sorted(sent)
    assert {event["image"]["path"] for event in events.values()} == {
        name for name in sent if "bare" in name or "masked" in name
    }
    assert len(events) == 60
    seqs = sorted(message["seq"] for message in (*by_id.values(), *events.values()))
    assert seqs == list(range(1, 181))
    assert len([name for name in names(inbox / "done") if not name.endswith(".json")]) == 90
    assert len([name for name in names(inbox / "failed") if not name.endswith(".json")]) == 30


def test_a_second_daemon_on_the_same_state_is_refused(tmp_path: Path, broker: Mosquitto) -> None:
    config = config_for(tmp_path, broker.port)
    with running(config), subscribed(tmp_path, broker.port) as subscriber:
        subscriber.wait_for("/availability")
        other = maskgate("run", "--config", config)

    assert other.returncode == 69
    assert "is in use by another maskgate" in other.stderr


def test_a_second_daemon_on_the_same_folder_is_refused_and_takes_nothing(
    tmp_path: Path, broker: Mosquitto, pictures: Path
) -> None:
    config = config_for(tmp_path, broker.port)
    other = tmp_path / "other.toml"
    other.write_text(config.read_text().replace(str(tmp_path / "state"), str(tmp_path / "other")))
    with subscribed(tmp_path, broker.port) as subscriber, running(config):
        subscriber.wait_for("/availability")
        drop(pictures, tmp_path / "inbox")
        refused = maskgate("run", "--config", other)
        subscriber.wait_for("/image", 4)

    assert refused.returncode == 69
    assert f"{tmp_path / 'inbox'} is in use by another maskgate" in refused.stderr
    assert len(subscriber.received("/image")) == 4


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_ends_within_five_seconds_and_says_offline(
    tmp_path: Path, broker: Mosquitto, pictures: Path, signal_number: int
) -> None:
    with subscribed(tmp_path, broker.port) as subscriber, running(config_for(tmp_path, broker.port)) as daemon:
        subscriber.wait_for("/availability")
        drop(pictures, tmp_path / "inbox")
        began = time.monotonic()
        daemon.send_signal(signal_number)
        assert daemon.wait(10) == 0
        assert time.monotonic() - began < 5
        subscriber.wait_for("/availability", 2)
        said = subscriber.received("/availability")
        last_status = subscriber.wait_for("/status")[-1].json()

    assert [message.payload for message in said] == ["online", "offline"]
    assert last_status["state"] == "stopping"
