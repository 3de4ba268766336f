"""What is published, as models that carry their own JSON Schema.

A change of a field is a change of contract: it moves the number in `schema` and needs a line in CHANGELOG.md.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema
from pydantic.json_schema import DEFAULT_REF_TEMPLATE

from edge.plain import plain
from edge.vision.analyzer import Face, Summary, summarize
from edge.vision.classifier import Label
from edge.vision.geometry import Box


def rfc3339(stamp: datetime) -> str:
    """In UTC with milliseconds: `2026-11-22T09:00:01.123Z`."""
    return stamp.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{stamp.microsecond // 1000:03d}Z"


SCHEMA_NAMES = {"event": "maskgate.event/1", "image": "maskgate.image/1", "status": "maskgate.status/1"}
"""What the `schema` of each message says; MQTT 5 carries it as a user property too."""

Timestamp = Annotated[
    datetime,
    PlainSerializer(rfc3339),
    WithJsonSchema({"type": "string", "format": "date-time", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"}),
]
Probability = Annotated[float, Field(ge=0, le=1), AfterValidator(lambda value: round(value, 4))]
Milliseconds = Annotated[float, Field(ge=0), AfterValidator(lambda value: round(value, 1))]
Count = Annotated[int, Field(ge=0)]
Words = Annotated[str, AfterValidator(plain)]
"""For people: one line, whatever names of files or words of other programs it holds."""


def uuid7(milliseconds: int) -> UUID:
    """A UUID of version 7 (RFC 9562): sorts by time, 74 random bits.

    Args:
        milliseconds: since 1970, UTC.
    """
    number = milliseconds << 80 | int.from_bytes(os.urandom(10))
    number = number & ~(0xF << 76) | 0x7 << 76
    return UUID(int=number & ~(0x3 << 62) | 0x2 << 62)


class _Message(BaseModel):
    # In what is published no field is ever left out, whether or not it has a default here.
    model_config = ConfigDict(
        frozen=True, extra="forbid", use_enum_values=True, json_schema_serialization_defaults_required=True
    )

    def to_json(self) -> str:
        return self.model_dump_json(by_alias=True)


class BoxField(_Message):
    """In pixels of the picture as seen, clipped to it."""

    x: Count
    y: Count
    width: Count
    height: Count


class Models(_Message):
    """Name and first 8 hex digits of the file's sha256: `face_detector@1a2b3c4d`. No detector with `--faces whole`."""

    detector: str | None
    classifier: str


class FaceRecord(_Message):
    """`p_mask` is the calibrated probability that nose and mouth are covered; `score` is the detector's."""

    box: BoxField
    score: Probability | None
    label: Label
    p_mask: Probability


class ImageRecord(_Message):
    """One classified picture. A picture that could not be read has no faces, no summary and an `error`."""

    schema_: Literal["maskgate.image/1"] = Field(default="maskgate.image/1", alias="schema")
    path: str
    width: int | None
    height: int | None
    faces: tuple[FaceRecord, ...]
    summary: Summary | None
    error: str | None
    elapsed_ms: Milliseconds
    model: Models


class PublishedImage(ImageRecord):
    """The record of a file dropped into a watched folder."""

    id: UUID
    seq: Annotated[int, Field(ge=0)]
    device: str
    source: str
    time: Timestamp


class Votes(_Message):
    """How many of the frames of a person said what."""

    mask: Count
    no_mask: Count
    uncertain: Count


class TrackField(_Message):
    """The person at a camera. `id` starts anew at every boot and says nothing of who it is."""

    id: str
    first_seen: Timestamp
    frames: Count
    votes: Votes


class FrameSize(_Message):
    width: Count
    height: Count


class EventFace(_Message):
    box: BoxField
    score: Probability
    frame: FrameSize


class EventImage(_Message):
    """The dropped-in file that the face is in."""

    path: str
    sha256: str


class Event(_Message):
    """One verdict: per person at a camera, per decided face of a dropped-in picture."""

    schema_: Literal["maskgate.event/1"] = Field(default="maskgate.event/1", alias="schema")
    id: UUID
    seq: Annotated[int, Field(ge=0)]
    device: str
    source: str
    event_type: Label
    p_mask: Probability
    time: Timestamp
    clock_synced: bool
    track: TrackField | None
    face: EventFace
    image: EventImage | None
    latency_ms: Milliseconds
    model: Models


class SourceStatus(_Message):
    """`waiting`: not yet seen; `lost`: was there and is not; `stalled`: there, but its picture does not change."""

    name: str
    kind: Literal["camera", "folder"]
    state: Literal["ok", "waiting", "lost", "stalled"]
    frames: Count
    analysed: Count
    fps: float
    last_frame_age_s: float | None
    reconnects: Count
    error: Words | None


class Counts(_Message):
    """Since the program started. `mask`, `no_mask`, `uncertain` count verdicts, `too_small` faces."""

    mask: Count = 0
    no_mask: Count = 0
    uncertain: Count = 0
    too_small: Count = 0
    images: Count = 0
    failed_images: Count = 0


class OutboxStatus(_Message):
    pending: Count
    dropped: Count
    oldest_age_s: float | None


class ModelStatus(_Message):
    name: str
    sha256: str
    path: str


class Status(_Message):
    """The device's state, retained."""

    schema_: Literal["maskgate.status/1"] = Field(default="maskgate.status/1", alias="schema")
    version: str
    device: str
    time: Timestamp
    uptime_s: float
    state: Literal["running", "degraded", "stopping"]
    sources: tuple[SourceStatus, ...]
    counts: Counts
    outbox: OutboxStatus
    models: tuple[ModelStatus, ...]
    runtime: str
    temperature_c: float | None
    throttled: bool | None
    rss_mb: float


def box_field(box: Box) -> BoxField:
    return BoxField(x=box.x, y=box.y, width=box.width, height=box.height)


def image_record(
    path: str, size: tuple[int, int], faces: Sequence[Face], elapsed_ms: float, model: Models
) -> ImageRecord:
    """The record of a picture that was read; `size` is its width and height in pixels as seen."""
    return ImageRecord(
        path=path,
        width=size[0],
        height=size[1],
        faces=tuple(
            FaceRecord(box=box_field(face.box), score=face.score, label=face.label, p_mask=face.p_mask)
            for face in faces
        ),
        summary=summarize(faces),
        error=None,
        elapsed_ms=elapsed_ms,
        model=model,
    )


def failed_image_record(path: str, error: str, elapsed_ms: float, model: Models) -> ImageRecord:
    """The record of a picture that could not be read."""
    return ImageRecord(
        path=path, width=None, height=None, faces=(), summary=None, error=error, elapsed_ms=elapsed_ms, model=model
    )


_MODELS: dict[str, type[_Message]] = {"event": Event, "image": PublishedImage, "status": Status}


def json_schema(name: Literal["event", "image", "status"], ref_template: str = DEFAULT_REF_TEMPLATE) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a record; `ref_template` says where its parts lie (`{model}` is the part's name).

    The one of `image` holds for what is published and for what `maskgate classify` prints: the fields that only a
    published record has come all together or not at all.
    """
    schema = _MODELS[name].model_json_schema(by_alias=True, mode="serialization", ref_template=ref_template)
    if name == "image":
        published = [field for field in PublishedImage.model_fields if field not in ImageRecord.model_fields]
        schema["required"] = [field for field in schema["required"] if field not in published]
        schema["dependentRequired"] = {field: [other for other in published if other != field] for field in published}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
