"""Messages with nothing special about them."""

from __future__ import annotations

from datetime import UTC, datetime

from edge.messages import (
    BoxField,
    Event,
    EventFace,
    FaceRecord,
    FrameSize,
    Models,
    PublishedImage,
    TrackField,
    Votes,
    uuid7,
)
from edge.vision.classifier import Label

MODELS = Models(detector="face_detector@1a2b3c4d", classifier="mask_classifier@5e6f7a8b")
STAMP = datetime(2026, 11, 22, 9, tzinfo=UTC)
_BOX = BoxField(x=1, y=2, width=30, height=40)


def an_event(label: Label = Label.NO_MASK) -> Event:
    return Event(
        id=uuid7(1),
        seq=0,
        device="lobby-1",
        source="door",
        event_type=label,
        p_mask=0.021,
        time=STAMP,
        clock_synced=True,
        track=TrackField(id="7f3a-17", first_seen=STAMP, frames=9, votes=Votes(mask=0, no_mask=8, uncertain=1)),
        face=EventFace(box=_BOX, score=0.93, frame=FrameSize(width=1280, height=720)),
        image=None,
        latency_ms=41.2,
        model=MODELS,
    )


def an_image_record(path: str = "a.jpg", error: str | None = None) -> PublishedImage:
    return PublishedImage(
        path=path,
        width=640,
        height=480,
        faces=() if error else (FaceRecord(box=_BOX, score=0.9, label=Label.MASK, p_mask=0.98),),
        summary=None if error else "mask",
        error=error,
        elapsed_ms=1.0,
        model=MODELS,
        id=uuid7(2),
        seq=0,
        device="lobby-1",
        source="inbox",
        time=STAMP,
    )
