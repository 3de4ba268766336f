"""The configuration: where it comes from, and what it may say.

The first source wins: environment (`MASKGATE_`, nested by `__`), credentials (`$CREDENTIALS_DIRECTORY`, a file a key,
named `mqtt__password`), the TOML file, the defaults in `edge.settings.sections`.
"""

from edge.settings.loading import DEFAULT_CONFIG, load_settings
from edge.settings.sections import (
    DONE,
    FAILED,
    PROCESSING,
    CameraSource,
    ClassifierSettings,
    DecisionSettings,
    DetectorSettings,
    FolderSource,
    HomeAssistantSettings,
    LogSettings,
    MqttSettings,
    OutboxSettings,
    PrivacySettings,
    Settings,
    Source,
    ThermalSettings,
    WebSettings,
)

__all__ = [
    "DEFAULT_CONFIG",
    "DONE",
    "FAILED",
    "PROCESSING",
    "CameraSource",
    "ClassifierSettings",
    "DecisionSettings",
    "DetectorSettings",
    "FolderSource",
    "HomeAssistantSettings",
    "LogSettings",
    "MqttSettings",
    "OutboxSettings",
    "PrivacySettings",
    "Settings",
    "Source",
    "ThermalSettings",
    "WebSettings",
    "load_settings",
]
