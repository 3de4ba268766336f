from __future__ import annotations

import json
import os
import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Literal
from uuid import UUID

import jsonschema
import pytest

from edge.asyncapi import asyncapi_document
from edge.messages import SourceStatus, failed_image_record, image_record, json_schema, rfc3339, uuid7
from support.faces import face
from support.messages import MODELS, an_event, an_image_record


def validate(message: dict[str, Any], name: Literal["event", "image", "status"]) -> None:
    jsonschema.validate(message, json_schema(name), format_checker=jsonschema.FormatChecker())


def test_times_are_utc_with_milliseconds() -> None:
    stamp = datetime(2026, 11, 22, 10, 0, 1, 123999, tzinfo=timezone(timedelta(hours=1)))

    assert rfc3339(stamp) == "2026-11-22T09:00:01.123Z"


def test_ids_are_uuids_of_version_7_that_sort_by_time() -> None:
    stamp = 1_763_802_001_123

    ids = [uuid7(stamp + number) for number in range(100)]

    assert ids == sorted(ids)
    assert all(each.version == 7 and each.variant == "specified in RFC 4122" for each in ids)
    assert {each.int >> 80 for each in ids} == set(range(stamp, stamp + 100))
    assert len({uuid7(stamp) for _ in range(1000)}) == 1000


def test_an_event_is_as_the_contract_shows_it() -> None:
    message = an_event().model_dump(mode="json", by_alias=True)

    validate(message, "event")
    assert list(message) == [
        "schema", "id", "seq", "device", "source", "event_type", "p_mask", "time", "clock_synced", "track", "face",
        "image", "latency_ms", "model",
    ]  # fmt: skip
    assert message["schema"] == "maskgate.event/1"
    assert UUID(message["id"]).version == 7


@pytest.mark.parametrize(
    ("faces", "summary"),
    [
        ([], "no_face"),
        (["mask"], "mask"),
        (["mask", "mask", "uncertain"], "mask"),
        (["no_mask", "uncertain"], "no_mask"),
        (["mask", "no_mask"], "mixed"),
        (["uncertain", "uncertain"], "uncertain"),
    ],
)
def test_the_summary_is_what_the_decided_faces_agree_on(faces: list[str], summary: str) -> None:
    record = image_record("a.jpg", (640, 480), [face(label) for label in faces], 12.3456, MODELS)

    assert record.summary == summary
    assert record.elapsed_ms == 12.3


def test_one_schema_holds_for_printed_and_for_published_records() -> None:
    printed = image_record("a.jpg", (640, 480), [face()], 1.0, MODELS).model_dump(mode="json", by_alias=True)
    published = an_image_record().model_dump(mode="json", by_alias=True)

    validate(printed, "image")
    validate(published, "image")
    validate(failed_image_record("a.jpg", "why", 1.0, MODELS).model_dump(mode="json", by_alias=True), "image")
    with pytest.raises(jsonschema.ValidationError, match="is a dependency of"):
        validate({**printed, "seq": 3}, "image")
    with pytest.raises(jsonschema.ValidationError, match="unexpected"):
        validate({**printed, "colour": "blue"}, "image")


@pytest.mark.parametrize("name", ["event", "image", "status"])
def test_a_schema_leaves_no_field_to_choice(name: Literal["event", "image", "status"]) -> None:
    schema = json_schema(name)
    only_published = schema.get("dependentRequired", {}).keys()

    for each in (schema, *schema["$defs"].values()):
        if "properties" in each:
            assert set(each["required"]) == each["properties"].keys() - only_published


@pytest.mark.parametrize("error", [os.fsdecode(b"M\xfcller.jpg: no"), "a\nb: no", "\ud800"])
def test_a_status_can_be_sent_whatever_a_source_says_of_itself(error: str) -> None:
    source = SourceStatus(
        name="inbox", kind="folder", state="lost", frames=0, analysed=0, fps=0, last_frame_age_s=None, reconnects=0,
        error=error,
    )  # fmt: skip

    assert json.loads(source.to_json())["error"].isprintable()


def test_the_asyncapi_document_names_every_topic_of_the_contract() -> None:
    document = asyncapi_document()

    addresses = {channel["address"].removeprefix("{prefix}/{device}/") for channel in document["channels"].values()}
    of_home_assistant = {"{homeassistant}/device/{device}/config", "{homeassistant}/status"}
    assert addresses == {"availability", "event", "image", "status", "snapshot/{source}"} | of_home_assistant
    for channel in document["channels"].values():
        assert set(re.findall(r"{(\w+)}", channel["address"])) == set(channel["parameters"])
    retained = {
        name for name, operation in document["operations"].items() if operation["bindings"]["mqtt"].get("retain")
    }
    assert retained == {"send_availability", "send_status", "send_discovery"}
    for reference in re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(document)):
        place = document
        for part in reference.split("/"):
            place = place[part]
    event = document["components"]["schemas"]["event"]
    registry = {"$defs": document["components"]["schemas"], **event}
    resolved = json.loads(json.dumps(registry).replace("#/components/schemas/", "#/$defs/"))
    jsonschema.validate(an_event().model_dump(mode="json", by_alias=True), resolved)


def test_times_of_messages_do_not_depend_on_the_zone_of_the_machine() -> None:
    assert an_event().model_dump(mode="json")["time"] == rfc3339(datetime(2026, 11, 22, 9, tzinfo=UTC))
