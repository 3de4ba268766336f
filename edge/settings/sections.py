"""The keys of the configuration, with their defaults and limits: one class a concern."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    NestedSecretsSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

ENV_PREFIX = "MASKGATE_"
PROCESSING, DONE, FAILED = ".processing", "done", "failed"
"""What a watched folder has inside, where dropped-in files go."""
_TOPIC_PREFIX = r"^[^#+\x00/$]([^#+\x00]*[^#+\x00/])?$"

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


def _no_truth(value: object) -> object:
    if value is True or value is False:  # which pydantic, as Python does, takes for 1 and 0
        raise ValueError("is a number, and neither true nor false")
    return value


Whole = Annotated[int, BeforeValidator(_no_truth)]
Real = Annotated[float, BeforeValidator(_no_truth)]
Share = Annotated[Real, Field(ge=0, le=1)]
Turn = Annotated[Literal[0, 90, 180, 270], BeforeValidator(_no_truth)]
"""Degrees, clockwise."""
Side = Annotated[Whole, Field(ge=64, le=4096, multiple_of=2)]
"""Pixels of a camera's frame; they share their colours in twos."""


def _named_path(path: object) -> object:
    if not str(path).strip():
        raise ValueError("is empty, which would be whatever folder the program is started in")
    return path


NamedPath = Annotated[Path, BeforeValidator(_named_path)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CameraSource(_Section):
    """A stream of frames of which the latest counts."""

    kind: Literal["camera"]
    name: Name
    url: str = Field(min_length=1)
    size: tuple[Side, Side] | None = None
    max_fps: Real = Field(default=10, gt=0, le=120)
    still_fps: Real = Field(default=0.5, ge=0.01, le=120)
    rotate: Turn = 0
    mirror: bool = False
    region: tuple[Share, Share, Share, Share] = (0.0, 0.0, 1.0, 1.0)

    @field_validator("region")
    @classmethod
    def _inside_the_frame(cls, region: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        x, y, width, height = region
        if width == 0 or height == 0 or x + width > 1 + 1e-9 or y + height > 1 + 1e-9:
            raise ValueError("is x, y, width, height as shares of the frame and must lie inside it")
        return region

    @model_validator(mode="after")
    def _can_be_asked_for_a_size(self) -> CameraSource:
        if self.size is not None and not self.url.startswith(("/dev/", "picamera:")):
            raise ValueError(
                "only a device (/dev/...) or picamera: can be asked for a size; others send what they have"
            )
        return self


class FolderSource(_Section):
    """A folder that files are dropped into, each of which counts."""

    kind: Literal["folder"]
    name: Name
    path: NamedPath
    on_done: Literal["keep", "delete"] = "keep"


Source = Annotated[CameraSource | FolderSource, Field(discriminator="kind")]


class DetectorSettings(_Section):
    model: str = Field(default="face_detector", min_length=1)
    min_score: Share = 0.5
    min_face_px: Whole = Field(default=24, ge=8, le=4096)
    threads: Whole = Field(default=1, ge=1, le=16)


class ClassifierSettings(_Section):
    """Thresholds that are not given come from the model's card."""

    model: str = Field(default="mask_classifier", min_length=1)
    mask_above: Share | None = None
    no_mask_below: Share | None = None

    @model_validator(mode="after")
    def _thresholds_do_not_cross(self) -> ClassifierSettings:
        if self.mask_above is not None and self.no_mask_below is not None and self.no_mask_below > self.mask_above:
            raise ValueError(f"no_mask_below ({self.no_mask_below}) is above mask_above ({self.mask_above})")
        return self


class DecisionSettings(_Section):
    """When a person's verdict is sure: frames that have decided, and the share of all votes that must agree."""

    min_frames: Whole = Field(default=3, ge=1, le=1000)
    agreement: Real = Field(default=0.6, gt=0.5, le=1)
    forget_after_s: Real = Field(default=2.0, gt=0, le=3600)
    publish_uncertain: bool = False


class MqttSettings(_Section):
    host: str = "localhost"
    port: Whole = Field(default=1883, ge=1, le=65535)
    username: str = Field(default="", max_length=1024)
    password: SecretStr = SecretStr("")
    protocol: Literal["auto", "5", "3.1.1"] = "auto"
    prefix: str = Field(default="maskgate", pattern=_TOPIC_PREFIX, max_length=128)
    tls: bool = False
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    @field_validator("protocol", mode="before")
    @classmethod
    def _number_is_meant(cls, protocol: object) -> object:
        return str(protocol) if isinstance(protocol, int) else protocol

    @model_validator(mode="after")
    def _tls_files_need_tls(self) -> MqttSettings:
        if not self.tls and (self.ca_file or self.cert_file or self.key_file):
            raise ValueError("ca_file, cert_file and key_file have no effect without tls = true")
        if self.password.get_secret_value() and not self.username:
            raise ValueError("password is only sent together with a username")
        return self


class HomeAssistantSettings(_Section):
    discovery: bool = False
    prefix: str = Field(default="homeassistant", pattern=_TOPIC_PREFIX, max_length=128)


class OutboxSettings(_Section):
    max_messages: Whole = Field(default=100_000, ge=1)
    max_age_h: Real = Field(default=168, gt=0)


class PrivacySettings(_Section):
    snapshots: Literal["off", "blurred", "full"] = "off"


class WebSettings(_Section):
    enabled: bool = False
    host: str = "127.0.0.1"
    port: Whole = Field(default=8080, ge=1, le=65535)
    token: SecretStr = SecretStr("")

    @field_validator("token")
    @classmethod
    def _can_be_given(cls, token: SecretStr) -> SecretStr:
        if token.get_secret_value() != token.get_secret_value().strip():
            raise ValueError("begins or ends with white space, which a login leaves out of what it is given")
        return token


class ThermalSettings(_Section):
    """Above `limit_c` degrees Celsius fewer frames are analysed; 0 switches that off."""

    limit_c: Real = Field(default=75, ge=0, le=150)


class LogSettings(_Section):
    level: Literal["debug", "info", "warning", "error"] = "info"


def _resolved(path: Path) -> Path:
    """Without links and dots, so that one folder has one name; a loop of links stays as it is."""
    return Path(os.path.realpath(path))


def _host_name() -> str:
    """The machine's name with what a device id cannot hold replaced."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", socket.gethostname())[:64] or "maskgate"


class Settings(BaseSettings):
    """The whole configuration; `edge.settings.load_settings` makes it."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,  # values may be secrets, and with --debug an error is shown as it is
    )

    device_id: Name = Field(default_factory=_host_name)
    state_dir: NamedPath = Path("/var/lib/maskgate")
    sources: tuple[Source, ...] = ()
    detector: DetectorSettings = DetectorSettings()
    classifier: ClassifierSettings = ClassifierSettings()
    decision: DecisionSettings = DecisionSettings()
    mqtt: MqttSettings = MqttSettings()
    homeassistant: HomeAssistantSettings = HomeAssistantSettings()
    outbox: OutboxSettings = OutboxSettings()
    privacy: PrivacySettings = PrivacySettings()
    web: WebSettings = WebSettings()
    thermal: ThermalSettings = ThermalSettings()
    log: LogSettings = LogSettings()

    @field_validator("sources")
    @classmethod
    def _names_differ(cls, sources: tuple[Source, ...]) -> tuple[Source, ...]:
        names = [source.name for source in sources]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two sources are named {name!r}")
        return sources

    @model_validator(mode="after")
    def _folders_are_apart(self) -> Settings:
        folders = [_resolved(source.path) for source in self.sources if isinstance(source, FolderSource)]
        if _resolved(self.state_dir) in folders:
            raise ValueError("sources: a watched folder is the state_dir itself; make it a folder inside")
        if len(set(folders)) < len(folders):
            raise ValueError("sources: two of them watch the same folder")
        insides = [folder / name for folder in folders for name in (PROCESSING, DONE, FAILED)]
        for folder in folders:
            if any(folder.is_relative_to(inside) for inside in insides):
                raise ValueError(f"sources: {folder} is where files of another watched folder go")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        credentials = NestedSecretsSettingsSource(
            file_secret_settings,
            secrets_dir=os.environ.get("CREDENTIALS_DIRECTORY") or None,
            secrets_dir_missing="ok",
            secrets_prefix="",
            secrets_nested_delimiter="__",
        )
        # What the TOML file says comes in as arguments and gives way to both.
        return env_settings, credentials, init_settings
