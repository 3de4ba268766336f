"""What a broker is verified against, and what we show it."""

from __future__ import annotations

import ssl

from edge.errors import ConfigError
from edge.settings import MqttSettings


def _no_pass_phrase() -> bytes:
    """Nobody is there to type one; without this, OpenSSL asks on the terminal."""
    return b""


def require_pair(settings: MqttSettings) -> None:
    """Raises ConfigError if a certificate is named without its key, or a key without its certificate."""
    if bool(settings.cert_file) != bool(settings.key_file):
        raise ConfigError("mqtt: cert_file and key_file belong together")


def tls_context(settings: MqttSettings) -> ssl.SSLContext:
    """Verifies the broker against `ca_file` or the system's authorities; shows our certificate if there is one.

    Raises:
        ConfigError: one of the files is missing or is no certificate or key, or one of two is not named.
    """
    require_pair(settings)
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
    except OSError as error:
        raise ConfigError(f"mqtt.ca_file: {settings.ca_file}: {error.strerror or error}") from error
    if settings.cert_file:
        try:
            context.load_cert_chain(settings.cert_file, settings.key_file, password=_no_pass_phrase)
        except OSError as error:
            raise ConfigError(f"mqtt.cert_file, mqtt.key_file: {error.strerror or error}") from error
    return context
