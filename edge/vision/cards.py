"""The card beside a model: what it takes, what it gives, what it was trained on, and the hash of its file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge.errors import ModelError


@dataclass(frozen=True, slots=True)
class ModelFile:
    """Which model this is."""

    name: str
    sha256: str
    path: Path

    @property
    def identity(self) -> str:
        """How messages name it: name and the first 8 digits of the hash."""
        return f"{self.name}@{self.sha256[:8]}"

    @classmethod
    def of(cls, name: str, path: Path) -> ModelFile:
        """Of a file that has no card.

        Raises:
            ModelError: it cannot be read.
        """
        return cls(name, file_sha256(path), path)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow")


class InputSize(_Part):
    """In pixels."""

    width: int = Field(gt=0)
    height: int = Field(gt=0)


class ModelInput(InputSize):
    """Real value = (byte - zero_point) * scale.

    `further` are other sizes that the file takes. Where there are any, the file has for each size, the first included,
    a signature named WIDTHxHEIGHT; its outputs go by the same names in all of them, and its weights are shared.
    """

    channels: Literal["RGB"]
    dtype: Literal["uint8"]
    scale: float = Field(gt=0)
    zero_point: int = Field(ge=0, le=255)
    further: tuple[InputSize, ...] = Field(default=(), max_length=15)

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """Every (width, height), that of the card's own `width` and `height` first."""
        return tuple((each.width, each.height) for each in (self, *self.further))


class Calibration(_Part):
    """Divides the log-probabilities; 1 leaves them as they are, above 1 makes them less sure (Guo et al. 2017)."""

    temperature: float = Field(default=1.0, gt=0)


class Thresholds(_Part):
    """`mask` from `mask_above` on, `no_mask` up to `no_mask_below`, `uncertain` between."""

    mask_above: float = Field(ge=0, le=1)
    no_mask_below: float = Field(ge=0, le=1)


class Crop(_Part):
    """What is shown to the classifier: the square around the detector's box and `margin` of it on each side."""

    margin: float = Field(default=0.1, ge=-0.3, le=1)


class ModelCard(_Part):
    """`models/NAME.json`."""

    name: str
    task: Literal["mask-classifier", "face-detector"]
    version: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    input: ModelInput
    labels: tuple[str, ...]
    calibration: Calibration = Calibration()
    thresholds: Thresholds | None = None
    crop: Crop = Crop()
    metrics: dict[str, Any] = {}
    training: dict[str, Any] = {}
    licence: str
    created: str

    def model_file(self, path: Path) -> ModelFile:
        return ModelFile(self.name, self.sha256, path)


def bundled_models() -> Path:
    """The folder of the models that travel with the program: inside the wheel, or models/ of the checkout."""
    in_wheel = Path(str(files("edge"))) / "_models"
    return in_wheel if in_wheel.is_dir() else Path(__file__).parents[2] / "models"


def find_model(name_or_path: str) -> Path:
    """The file of a bundled name (`mask_classifier`) or of a path to a .tflite.

    Raises:
        ModelError: there is no such file.
    """
    path = Path(name_or_path)
    if not path.suffix and path.name == name_or_path:
        path = bundled_models() / f"{name_or_path}.tflite"
        if not path.is_file():
            names = sorted(file.stem for file in bundled_models().glob("*.tflite"))
            raise ModelError(f"no bundled model is named {name_or_path!r}; there is {', '.join(names) or 'none'}")
    else:
        require_model_file(path)
    return path


def require_model_file(path: Path) -> None:
    """Raises ModelError where there is no file, or none that can be seen."""
    try:
        is_file = path.is_file()
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}") from error
    if not is_file:
        raise ModelError(f"no model file at {path}")


def file_sha256(path: Path) -> str:
    """Hex digest of a file's content.

    Raises:
        ModelError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}") from error


def load_card(model: Path) -> ModelCard:
    """Reads the card beside `model` and holds the file against it.

    Raises:
        ModelError: no card, a card that is not of the contract, or a file that is not the one the card describes.
    """
    path = model.with_suffix(".json")
    try:
        card = ModelCard.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ModelError(f"{model} needs its card {path.name} beside it: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ModelError(f"{path}: {where}: {first['msg']}") from error
    found = file_sha256(model)
    if found != card.sha256:
        raise ModelError(
            f"{model} is not the file that its card describes (sha256 {found[:8]}..., card {card.sha256[:8]}...): "
            "copy model and card again, both from the same release"
        )
    return card
