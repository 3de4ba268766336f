"""What `maskgate check` tries: everything that a start of the daemon would meet, without staying."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from edge.assembly import Vision, load_classifier_of, load_detector_of
from edge.errors import ConfigError, MaskgateError, ModelError, UnavailableError
from edge.mqtt.connection import Connection
from edge.mqtt.embedded import EMBEDDED, EmbeddedBroker, embedded_broker_settings, take_broker_port
from edge.mqtt.tls import tls_context
from edge.mqtt.versions import connect
from edge.paths import require_end
from edge.settings import DONE, FAILED, PROCESSING, CameraSource, FolderSource, MqttSettings, Settings, WebSettings
from edge.settings.needs import LOOPBACK, contradictions
from edge.sources.capture import open_capture
from edge.sources.demo import masked, portrait
from edge.vision.tflite import runtime_name
from edge.web import require_extra

_FRAMES_TO_TRY = 10
_PAGE_LIMIT_S = 2.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """One line: what was tried, what was found, and the error if it failed."""

    what: str
    found: str
    error: MaskgateError | None = None


def run_checks(settings: Settings, read: str, *, offline: bool) -> Iterator[Outcome]:
    """Tries models, state directory, page, sources and broker, each on its own.

    Args:
        settings: a valid configuration.
        read: where it comes from.
        offline: leave ports, sources and broker alone.
    """
    yield from _configuration(settings, read)
    yield _attempt("runtime", runtime_name)
    models = (
        _attempt("detector", lambda: load_detector_of(settings).model.identity),
        _attempt("classifier", lambda: load_classifier_of(settings).model.identity),
    )
    yield from models
    if all(outcome.error is None for outcome in models):
        yield _attempt("verdicts", lambda: _known_verdicts(settings))
    if settings.mqtt.tls:
        yield _attempt("tls", lambda: _certificates(settings.mqtt))
    if settings.mqtt.host == EMBEDDED:
        yield _attempt("broker", lambda: _built_in(settings.mqtt, offline=offline))
    if settings.web.enabled:
        yield _attempt("page", lambda: _page(settings.web) if offline else _page_with_port(settings.web))
    if offline:
        return
    yield _attempt("state_dir", lambda: _writable(settings.state_dir))
    for source in settings.sources:
        if isinstance(source, CameraSource):
            yield _attempt(f"source {source.name}", lambda source=source: _first_frame(source))  # type: ignore[misc]
        else:
            yield _attempt(f"source {source.name}", lambda source=source: _usable_folder(source))  # type: ignore[misc]
    if settings.mqtt.host and settings.mqtt.host != EMBEDDED:
        yield _attempt("broker", lambda: _connect(settings.mqtt))


def _configuration(settings: Settings, read: str) -> Iterator[Outcome]:
    problems = contradictions(settings)
    yield from (Outcome("configuration", "", ConfigError(problem)) for problem in problems)
    if not problems:
        yield Outcome("configuration", read)
    if not settings.sources:
        yield Outcome("sources", "none; maskgate run needs one, maskgate classify does not")


def _attempt(what: str, action: Callable[[], str]) -> Outcome:
    try:
        return Outcome(what, action())
    except MaskgateError as error:
        return Outcome(what, "", error)
    except OSError as error:
        return Outcome(what, "", UnavailableError(f"{error.filename}: {error.strerror}"))


def _known_verdicts(settings: Settings) -> str:
    """Both models on two faces that everybody has.

    On a processor that its makers did not try, a runtime can compute nonsense without a word:
    docs/decisions/0001-runtime.md.
    """
    analyzer = Vision.load(settings).analyzer
    p_mask = []
    for face in (portrait(), masked(portrait())):
        found = analyzer.analyze(face)
        if not found:
            raise ModelError(f"no face is found in the bundled portrait: model or {runtime_name()} do not work here")
        p_mask.append(max(found, key=lambda face: face.box.width).p_mask)
    bare_p, masked_p = p_mask
    if bare_p >= masked_p:
        raise ModelError(
            f"the bundled portrait has p_mask {bare_p:.2f} bare and {masked_p:.2f} masked: "
            f"model or {runtime_name()} do not work here"
        )
    return f"the bundled portrait has p_mask {bare_p:.2f}, and {masked_p:.2f} with a mask drawn on"


def _certificates(mqtt: MqttSettings) -> str:
    tls_context(mqtt)
    return str(mqtt.ca_file or "the system's authorities")


def _page(web: WebSettings) -> str:
    require_extra()
    if web.token.get_secret_value():
        return f"{web.host}:{web.port}, with a token"
    return f"{web.host}:{web.port}, {'for this machine alone' if web.host in LOOPBACK else 'without a token'}"


def _page_with_port(web: WebSettings) -> str:
    """The port of a service that runs is taken, as it has to be; by anything else it must not be."""
    found = _page(web)
    from edge.web.port import PortTakenError, take_port

    try:
        take_port(web).close()
    except PortTakenError:
        if not _is_served(web):
            raise
        return f"{found}; one is served there now"
    return found


def _is_served(web: WebSettings) -> bool:
    from edge.web.app import HANGING, HEALTH, TURNING

    connection = HTTPConnection(web.host, web.port, timeout=_PAGE_LIMIT_S)
    try:
        connection.request("GET", HEALTH)
        return connection.getresponse().read(len(HANGING)).decode(errors="replace") in (TURNING, HANGING)
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _writable(folder: Path) -> str:
    require_end(folder)
    nearest = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise UnavailableError(f"{folder}: {nearest} cannot be written to")
    return str(folder) if nearest == folder else f"{folder} (will be made)"


def _first_frame(source: CameraSource) -> str:
    capture = open_capture(source.url, source.size)
    try:
        for _ in range(_FRAMES_TO_TRY):
            image = capture.retrieve() if capture.grab() else None
            if image is not None:
                asked = f" ({source.size[0]} x {source.size[1]} asked for)" if source.size else ""
                return f"{image.shape[1]} x {image.shape[0]} pixels{asked}"
    finally:
        capture.release()
    raise UnavailableError("opens, but sends no frame")


def _usable_folder(source: FolderSource) -> str:
    for folder in (source.path, *(source.path / name for name in (PROCESSING, DONE, FAILED))):
        if folder.exists() and not folder.is_dir():
            raise ConfigError(f"{folder} is no folder")
        require_end(folder)
    return _writable(source.path)


def _built_in(mqtt: MqttSettings, *, offline: bool) -> str:
    """The port of a service that runs is taken, as it has to be; by anything else it must not be."""
    found = f"built in, on port {EmbeddedBroker(mqtt.port).port}"
    if offline:
        return found
    try:
        take_broker_port(mqtt.port).close()
    except UnavailableError as taken:
        try:
            _connect(embedded_broker_settings(mqtt))
        except UnavailableError:
            raise taken from None
        found += "; one answers there now"
    return found


def _connect(mqtt: MqttSettings) -> str:
    name = f"maskgate-check-{secrets.token_hex(4)}"
    connection = connect(mqtt.protocol, lambda version: Connection(mqtt, version, name))
    connection.disconnect()
    connection.close()
    return f"{mqtt.host}:{mqtt.port} with MQTT {connection.version}"
