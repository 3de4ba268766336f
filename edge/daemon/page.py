"""The local page, wired to the parts of the daemon. Starts nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.assembly import Vision
from edge.daemon.clock import Clock
from edge.daemon.parts import Parts
from edge.errors import ModelError
from edge.mqtt.embedded import EMBEDDED
from edge.settings import MqttSettings, Settings
from edge.vision.cards import ModelCard, ModelFile, load_card

if TYPE_CHECKING:
    from edge.web.judge import Judge
    from edge.web.server import PageServer


@dataclass(frozen=True, slots=True)
class Page:
    """Each of the two runs in a thread of its own."""

    server: PageServer
    judge: Judge


def make_page(settings: Settings, parts: Parts, clock: Clock, turning: Callable[[], bool]) -> Page | None:
    """The page if it is switched on; its packages are not imported otherwise."""
    if not settings.web.enabled:
        return None
    from edge.web.app import make_app
    from edge.web.facts import Broker, Facts
    from edge.web.judge import Judge
    from edge.web.server import PageServer
    from edge.web.snapshots import Snapshots

    def broker() -> Broker:
        return Broker(_address(settings.mqtt), None if parts.publisher is None else parts.publisher.problem)

    facts = Facts(
        cameras=tuple(name for name, (source, _) in parts.sources.items() if source.kind == "camera"),
        views=parts.views,
        tally=parts.tally,
        history=parts.history,
        snapshots=settings.privacy.snapshots,
        cards=tuple(card for file in parts.models if (card := _card(file)) is not None),
        monotonic=clock.monotonic,
        status=lambda: parts.report.make(stopping=False),
        broker=broker,
        turning=turning,
    )
    judge = Judge(lambda: Vision.load(settings))
    token = settings.web.token.get_secret_value()
    snapshots = Snapshots(facts.snapshots, facts.cameras, facts.views)
    server = PageServer(
        settings.web, lambda ending: make_app(facts, judge, snapshots, token, ending), snapshots.looking
    )
    return Page(server, judge)


def _address(mqtt: MqttSettings) -> str | None:
    if not mqtt.host:
        return None
    return "the built-in broker" if mqtt.host == EMBEDDED else f"{mqtt.host}:{mqtt.port}"


def _card(file: ModelFile) -> ModelCard | None:
    """None for a model of others, which comes without one."""
    try:
        return load_card(file.path)
    except ModelError:
        return None
