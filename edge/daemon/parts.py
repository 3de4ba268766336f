"""What the daemon is made of, wired together from the configuration. Starts nothing."""

from __future__ import annotations

import errno
import os
import secrets
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from edge.assembly import Vision
from edge.daemon.clock import Clock
from edge.daemon.heat import Heat
from edge.daemon.lanes import CameraLane, Context, FolderLane
from edge.daemon.machine import temperature_c
from edge.daemon.pipeline import Lane, Pipeline
from edge.daemon.recorder import Recorder
from edge.daemon.report import StatusReport
from edge.errors import ConfigError, UnavailableError
from edge.history import History, Tally
from edge.locks import take_lock
from edge.mqtt.announcer import Announcer
from edge.mqtt.embedded import EMBEDDED, embedded_broker_settings
from edge.mqtt.publisher import Publisher
from edge.mqtt.snapshots import Snapshots
from edge.mqtt.tls import require_pair
from edge.mqtt.topics import Topics
from edge.outbox import Outbox
from edge.people import DecisionRule, People
from edge.settings import CameraSource, FolderSource, Settings
from edge.settings.needs import what_a_start_lacks
from edge.sources import Watched
from edge.sources.camera import Camera
from edge.sources.folder import Folder
from edge.views import Views
from edge.vision.cards import ModelFile
from edge.web import require_extra

_SECONDS_AN_HOUR = 3600


@dataclass(frozen=True, slots=True)
class Parts:
    """All that runs, by name. `close` when nothing runs any more."""

    sources: dict[str, tuple[Watched, Lane]]
    pipeline: Pipeline
    recorder: Recorder
    publisher: Publisher | None
    outbox: Outbox
    report: StatusReport
    tally: Tally
    history: History
    views: Views
    models: tuple[ModelFile, ...]
    held: ExitStack
    """What others cannot have meanwhile: the state directory, the outbox in it, and the folders."""

    def close(self) -> None:
        self.held.close()


def assemble(settings: Settings, clock: Clock) -> Parts:
    """Loads the models, opens the state and connects the parts.

    Raises:
        ConfigError: there is nothing to do, a feature is switched on that is not there, or a watched path is no folder.
        ModelError: a model cannot be loaded.
        UnavailableError: another daemon has the state directory, it cannot be used, or the page's packages are missing.
    """
    if problems := what_a_start_lacks(settings):
        raise ConfigError(*problems)
    if settings.web.enabled:
        require_extra()
    vision = Vision.load(settings)
    with ExitStack() as held:
        return _wire(settings, clock, vision, held)


def _wire(settings: Settings, clock: Clock, vision: Vision, held: ExitStack) -> Parts:
    """The parts take over what is `held` when all of them are there; until then it is given back with an error."""
    held.callback(os.close, _claim_state_dir(settings.state_dir))
    limits = settings.outbox
    outbox = Outbox(settings.state_dir / "outbox.sqlite3", limits.max_messages, limits.max_age_h * _SECONDS_AN_HOUR)
    held.callback(outbox.close)
    views = Views()
    heat = Heat(settings.thermal.limit_c, temperature_c, clock.monotonic)
    publisher = _publisher(settings, outbox, views)
    cameras = [Camera(source, clock.monotonic) for source in settings.sources if isinstance(source, CameraSource)]
    folders = [_folder(source, clock, outbox, held) for source in settings.sources if isinstance(source, FolderSource)]
    recorder = Recorder(outbox, publisher, {folder.name: folder for folder in folders}, clock)
    tally, history = Tally(clock.now), History()
    context = Context(
        settings.device_id, vision.identities, clock, recorder, tally, history, settings.decision.publish_uncertain
    )
    decision = settings.decision
    rule = DecisionRule(decision.min_frames, decision.agreement, decision.forget_after_s)
    sources: dict[str, tuple[Watched, Lane]] = {}
    for camera in cameras:
        people = People(rule, secrets.token_hex(2))
        sources[camera.name] = camera, CameraLane(camera, vision.analyzer, people, context, views, heat)
    for folder in folders:
        sources[folder.name] = folder, FolderLane(folder, vision.analyzer, context)

    return Parts(
        sources=sources,
        pipeline=Pipeline([lane for _, lane in sources.values()], clock),
        recorder=recorder,
        publisher=publisher,
        outbox=outbox,
        report=StatusReport(settings.device_id, clock, vision, tally, outbox, recorder, publisher, sources),
        tally=tally,
        history=history,
        views=views,
        models=vision.files,
        held=held.pop_all(),
    )


def _claim_state_dir(path: Path) -> int:
    """Makes the directory and takes its lock, which the kernel gives back when the process ends, however it ends.

    A directory that can be read but not written to is locked itself: analysis goes on with an outbox in memory.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = _open_lock(path)
    except OSError as error:
        raise UnavailableError(f"state_dir: {path} cannot be used: {error.strerror}") from error
    try:
        take_lock(lock, f"state_dir: {path}")
    except BlockingIOError as error:
        os.close(lock)
        raise UnavailableError(f"state_dir: {path} is in use by another maskgate; give each its own") from error
    return lock


def _open_lock(path: Path) -> int:
    try:
        return os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.ENOSPC, errno.EACCES):
            raise
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def _publisher(settings: Settings, outbox: Outbox, views: Views) -> Publisher | None:
    mqtt = settings.mqtt
    if not mqtt.host:
        return None
    if mqtt.host == EMBEDDED:
        mqtt = embedded_broker_settings(mqtt)
    require_pair(mqtt)  # the files themselves are read at every try: they may be renewed just now
    topics = Topics(mqtt.prefix, settings.device_id)
    return Publisher(mqtt, topics, outbox, Announcer(settings), _snapshots(settings, views, topics))


def _snapshots(settings: Settings, views: Views, topics: Topics) -> Snapshots | None:
    mode = settings.privacy.snapshots
    if mode == "off":
        return None
    cameras = [source.name for source in settings.sources if isinstance(source, CameraSource)]
    return Snapshots(mode, cameras, views, topics, with_uncertain=settings.decision.publish_uncertain)


def _folder(settings: FolderSource, clock: Clock, outbox: Outbox, held: ExitStack) -> Folder:
    folder = Folder(settings, clock.monotonic)
    held.callback(folder.close)
    folder.begin(lambda: frozenset(file.claim for file in outbox.files(settings.name)))
    return folder
