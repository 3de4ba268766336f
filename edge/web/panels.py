"""The parts of the page that change while it is open, rendered and escaped on the device."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined

from edge import __version__
from edge.web import words
from edge.web.facts import Facts
from edge.web.snapshots import Snapshots

REFRESH_S = 2.0
NAMES = ("state", "sources", "today", "snapshots", "events", "device")


def environment() -> Environment:
    """Templates that escape everything and forgive no misspelt name."""
    made = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        loader=PackageLoader("edge.web"),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "label": words.label,
        "time_of_day": words.time_of_day,
        "duration": words.duration,
        "share": words.share,
    }
    made.globals |= {"version": __version__, "sureness": words.sureness}
    return made


class Panels:
    """HTML of each part by name; made at most every `REFRESH_S`, at once after an event, and for all who look."""

    def __init__(self, facts: Facts, templates: Environment, snapshots: Snapshots) -> None:
        self._facts = facts
        self._snapshots = snapshots
        self._templates = [(name, templates.get_template(f"_{name}.html")) for name in NAMES]
        self._made_at = float("-inf")
        self._made_after: object = None
        self._panels: dict[str, str] = {}

    def current(self) -> dict[str, str]:
        facts = self._facts
        now, events = facts.monotonic(), facts.history.recent()
        newest = events[0].id if events else None
        if now - self._made_at >= REFRESH_S or newest != self._made_after:
            self._made_at, self._made_after = now, newest
            values = {
                "status": facts.status(),
                "broker": facts.broker(),
                "hours": facts.tally.today(),
                "snapshots": self._snapshots.numbers(),
                "events": events,
            }
            self._panels = {name: template.render(values) for name, template in self._templates}
        return self._panels
