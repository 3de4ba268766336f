"""What a listener has heard of many devices: verdicts a door, doubles, and gaps in the numbering."""

from __future__ import annotations

import json
from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import Any

from edge.plain import plain

VERDICTS = ("mask", "no_mask", "uncertain")
_REMEMBERED_IDS = 1024
"""A device sends again what was not confirmed, 20 messages, and after a power cut what its disk did not know of: three
seconds of a backlog are 600."""
_REMEMBERED_GAPS = 1000
_MOST_MESSAGES = 2**63
"""A device keeps its `seq` in 63 bits. What is longer is nobody's, and sums of it can be too long to be written."""


@dataclass(slots=True)
class Door:
    """Verdicts of one source of one device."""

    device: str
    source: str
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def share(self) -> float | None:
        """Of `mask` among the decided, None before the first."""
        decided = self.counts["mask"] + self.counts["no_mask"]
        return self.counts["mask"] / decided if decided else None


class Numbering:
    """The `seq` of one device: what is missing of it, once what comes late and what comes twice has been told apart."""

    def __init__(self) -> None:
        self.doubles = 0
        self._last: int | None = None
        self._gaps: list[range] = []
        self._given_up = 0
        self._ids: OrderedDict[str, None] = OrderedDict()

    @property
    def lost(self) -> int:
        """Messages that were numbered and have not come."""
        return self._given_up + sum(gap.stop - gap.start for gap in self._gaps)

    def is_new(self, message_id: str, seq: int) -> bool:
        """Takes a message; False if it was heard before."""
        if message_id in self._ids:
            self.doubles += 1
            if self._last is not None and seq == self._last + 1:
                self._last = seq  # after numbers that seemed to begin anew
            return False
        self._ids[message_id] = None
        if len(self._ids) > _REMEMBERED_IDS:
            self._ids.popitem(last=False)
        if self._last is None or seq == self._last + 1:
            self._last = seq
        elif seq > self._last:
            self._gaps.append(range(self._last + 1, seq))
            self._last = seq
        elif not self._fill(seq):
            self._give_up(len(self._gaps))  # the device begins anew, as it does with a new outbox
            self._last = seq
        self._give_up(len(self._gaps) - _REMEMBERED_GAPS)
        return True

    def _fill(self, seq: int) -> bool:
        for index, gap in enumerate(self._gaps):
            if seq in gap:
                parts = range(gap.start, seq), range(seq + 1, gap.stop)
                self._gaps[index : index + 1] = [part for part in parts if part]
                return True
        return False

    def _give_up(self, oldest: int) -> None:
        for gap in self._gaps[: max(0, oldest)]:
            self._given_up += gap.stop - gap.start
        del self._gaps[: max(0, oldest)]


class Heard:
    """Counts what comes on the topics `event` and `image` of all devices; both share one numbering."""

    def __init__(self) -> None:
        self._doors: dict[tuple[str, str], Door] = {}
        self._devices: dict[str, Numbering] = {}

    def take(self, topic: str, payload: bytes) -> None:
        """Counts one message; what is none of ours is passed over."""
        device, kind = topic.split("/")[-2:]
        try:
            message: dict[str, Any] = json.loads(payload)
            message_id, seq, source = str(message["id"]), message["seq"], str(message["source"])
            verdict = message["event_type"] if kind == "event" else None
        except (ValueError, KeyError, TypeError, RecursionError):
            return
        if not (isinstance(seq, int) and 0 <= seq < _MOST_MESSAGES and (verdict is None or verdict in VERDICTS)):
            return
        if self._devices.setdefault(device, Numbering()).is_new(message_id, seq) and verdict:
            self._doors.setdefault((device, source), Door(device, source)).counts[verdict] += 1

    def doors(self) -> list[Door]:
        """By name."""
        return [self._doors[key] for key in sorted(self._doors)]

    def devices(self) -> list[tuple[str, Numbering]]:
        """By name."""
        return sorted(self._devices.items())

    def total(self) -> Door:
        """All doors together."""
        total = Door("all", "")
        for door in self._doors.values():
            total.counts.update(door.counts)
        return total


def as_records(heard: Heard) -> Iterator[dict[str, object]]:
    """What was heard, an object a device."""
    doors = {device: list(group) for device, group in groupby(heard.doors(), attrgetter("device"))}
    for device, numbering in heard.devices():
        sources = [
            {"source": door.source, **{name: door.counts[name] for name in VERDICTS}, "share": _rounded(door.share)}
            for door in doors.get(device, ())
        ]
        yield {"device": device, "lost": numbering.lost, "doubles": numbering.doubles, "sources": sources}


def as_table(heard: Heard) -> str:
    """The total, a line each door, and a line each device of which messages were lost or came twice."""
    rows: list[tuple[str, ...]] = [("", *VERDICTS, "share of mask")]
    for name, door in [("all", heard.total()), *((f"{door.device}/{door.source}", door) for door in heard.doors())]:
        share = "" if door.share is None else f"{100 * door.share:.0f} %"
        rows.append((plain(name), *(str(door.counts[verdict]) for verdict in VERDICTS), share))
    width = max(len(row[0]) for row in rows)
    lines = [f"{row[0]:<{width}}" + "".join(f"{cell:>15}" for cell in row[1:]) for row in rows]
    for device, numbering in heard.devices():
        if numbering.lost or numbering.doubles:
            lines.append(f"{plain(device)}: {numbering.lost} lost (missing in seq), {numbering.doubles} came twice")
    return "\n".join(line.rstrip() for line in lines)


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 4)
