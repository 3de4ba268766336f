"""What the status says of the parts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from edge.daemon.clock import Clock
from edge.daemon.report import StatusReport
from edge.sources import SourceState


def report_of(**sources: Any) -> StatusReport:
    """A report on sources alone."""
    nothing: Any = SimpleNamespace(problem=None, statuses=tuple)
    watched: Any = {name: (source, None) for name, source in sources.items()}
    return StatusReport("door", Clock(), nothing, nothing, nothing, nothing, None, watched)


def test_a_camera_that_comes_back_while_it_is_asked_is_said_to_be_lost_or_nothing() -> None:
    lost, ok = SourceState("lost", 3, 0, 1.0, "the stream broke off"), SourceState("ok", 4, 1, 2.0, None)
    answers = iter([lost, ok, ok])

    problems = report_of(door=SimpleNamespace(state=lambda: next(answers))).problems()

    assert problems == ["source door: the stream broke off"]
