"""The folder of a run: settings, history, best weights, and what is needed to go on after an interruption."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from edge.errors import UsageError
from train.architectures import ARCHITECTURES, Model, Pixels


@dataclass(frozen=True)
class RunSettings:
    """What rebuilds the network of a run and says how it came about.

    Attributes:
        preset: the name and architecture it began from, `maskgate/mobilenet_v2`.
        weights: file name of the weights it began from; empty for random ones.
        manifest: the manifest's name, its sha256 and its path relative to the run folder.
        margin: of the crop, None for a network that sees each picture squashed to a square.
        command: as typed, file names only.
    """

    preset: str
    arch: str
    size: int
    alpha: float
    outputs: int
    labels: tuple[str, ...]
    pixels: Pixels
    margin: float | None
    seed: int
    weights: str
    manifest: str
    manifest_sha256: str
    manifest_path: str
    command: str
    details: dict[str, Any]


@dataclass(frozen=True)
class EpochRecord:
    """One line of the history; names are the columns of history.csv."""

    epoch: int
    phase: str
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float
    val_balanced_accuracy: float
    val_incorrect_as_mask: float
    val_faces_dropped: float
    score: float
    rate: float
    seconds: float


@dataclass(frozen=True)
class RunFolder:
    """Paths and files of a run."""

    path: Path

    @property
    def best_weights(self) -> Path:
        return self.path / "best.weights.h5"

    @property
    def last_model(self) -> Path:
        return self.path / "last.keras"

    @property
    def average(self) -> Path:
        return self.path / "average.npz"

    @property
    def state(self) -> Path:
        return self.path / "state.json"

    @property
    def _settings(self) -> Path:
        return self.path / "run.json"

    @property
    def _history(self) -> Path:
        return self.path / "history.csv"

    def write_settings(self, settings: RunSettings) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        self._settings.write_text(json.dumps(asdict(settings), indent=2) + "\n", encoding="utf-8")

    def settings(self) -> RunSettings:
        """What the run was made with.

        Raises:
            UsageError: the folder holds no run.
        """
        try:
            raw = json.loads(self._settings.read_text(encoding="utf-8"))
            raw["labels"] = tuple(raw["labels"])
            raw["pixels"] = Pixels(**raw["pixels"])
            return RunSettings(**raw)
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise UsageError(f"{self.path} is no run folder of `maskgate-train fit`: {error}") from error

    def write_history(self, records: Sequence[EpochRecord]) -> None:
        names = [field.name for field in fields(EpochRecord)]
        with self._history.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(names)
            writer.writerows([getattr(record, name) for name in names] for record in records)

    def history(self) -> list[EpochRecord]:
        """All epochs so far; empty before the first."""
        if not self._history.is_file():
            return []
        with self._history.open(newline="", encoding="utf-8") as file:
            return [
                EpochRecord(
                    **{f.name: row[f.name] if f.name == "phase" else float(row[f.name]) for f in fields(EpochRecord)}  # type: ignore[arg-type]
                )
                for row in csv.DictReader(file)
            ]

    def best_model(self) -> Model:
        """The network with its best weights; gives logits.

        Raises:
            UsageError: there are none yet.
        """
        settings = self.settings()
        model = ARCHITECTURES[settings.arch](settings.size, settings.outputs, settings.alpha, None)
        if not self.best_weights.is_file():
            raise UsageError(
                f"{self.path} has no {self.best_weights.name} yet: let `maskgate-train fit` end an epoch first"
            )
        model.load_weights(str(self.best_weights))
        return model
