"""The folder of a run: settings, history, best weights, and what is needed to go on after an interruption."""

from __future__ import annotations

import csv
import json
import math
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from edge.errors import UsageError
from train.architectures import ARCHITECTURES, Model, Pixels
from train.files import replacing
from train.weights import save_weights

_DAMAGE = (
    OSError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
    EOFError,
    csv.Error,
    zipfile.BadZipFile,
    zlib.error,
)


@contextmanager
def reading(path: Path, cure: str = "delete the run folder, or give another one with -o") -> Iterator[None]:
    """Names the file of a run, and the cure, where the block finds it damaged.

    Raises:
        UsageError: it is.
    """
    try:
        yield
    except _DAMAGE as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UsageError(f"{path} is damaged or missing ({reason}): {cure}") from error


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


def _value(name: str, text: str) -> Any:
    if name == "phase":
        return text
    return int(float(text)) if name == "epoch" else float(text)  # Earlier versions wrote 1.0 for the first one.


@dataclass(frozen=True)
class RunState:
    """Where a run stands.

    Attributes:
        phase: index of the one that is going on.
        epochs: done in this phase.
        best: the best score.
        done: epochs in all; names the model and the average to go on from, and counts the lines of the history.
        since_best: epochs of this phase since the best.
    """

    phase: int = 0
    epochs: int = 0
    best: float = -math.inf
    done: int = 0
    since_best: int = 0


@dataclass(frozen=True)
class RunFolder:
    """Paths and files of a run."""

    path: Path

    @property
    def best_weights(self) -> Path:
        return self.path / "best.weights.h5"

    def last_model(self, done: int) -> Path:
        """Of the state with as many epochs done; a name of its own, so that the one before stays until the next is."""
        return self.path / f"last.{done}.keras"

    def average(self, done: int) -> Path:
        """Of the state with as many epochs done."""
        return self.path / f"average.{done}.npz"

    @property
    def model(self) -> Path:
        """The int8 file that was exported last."""
        return self.path / "model.tflite"

    @property
    def float_model(self) -> Path:
        """The same before quantization."""
        return self.path / "model.float.tflite"

    @property
    def state(self) -> Path:
        return self.path / "state.json"

    def kept(self) -> list[Path]:
        """What makes the folder a run; nothing else is written over these."""
        return [self._settings, self._history, self.state, self.best_weights, self.float_model]

    def taken(self) -> list[Path]:
        """Files of a folder that is no run in the places of those of a run, which would be written over or deleted."""
        if self.has_settings():
            return []
        named = [*self.kept(), self.model, self.model.with_suffix(".json")]
        others = [self.path / name for name in ("parity.json", "representative.csv", "curves.png")]
        return [*(file for file in (*named, *others) if file.exists()), *self._states()]

    def _states(self) -> list[Path]:
        return [*self.path.glob("last.*.keras"), *self.path.glob("average.*.npz")]

    @property
    def _settings(self) -> Path:
        return self.path / "run.json"

    @property
    def _history(self) -> Path:
        return self.path / "history.csv"

    def write_settings(self, settings: RunSettings) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        with replacing(self._settings) as draft:
            draft.write_text(json.dumps(asdict(settings), indent=2) + "\n", encoding="utf-8")

    def has_settings(self) -> bool:
        """Whether a run was begun or thawed here."""
        return self._settings.is_file()

    def settings(self) -> RunSettings:
        """What the run was made with.

        Raises:
            UsageError: the folder holds no run.
        """
        try:
            raw = json.loads(self._settings.read_text(encoding="utf-8"))
            raw["labels"] = tuple(raw["labels"])
            raw["pixels"] = Pixels(**raw["pixels"])
            settings = RunSettings(**raw)
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise UsageError(f"{self.path} is no run folder of `maskgate-train fit`: {error}") from error
        if settings.arch not in ARCHITECTURES:
            raise UsageError(f"{self.path} holds a network that is not known here, {settings.arch!r}")
        return settings

    def write_history(self, records: Sequence[EpochRecord]) -> None:
        names = [field.name for field in fields(EpochRecord)]
        with replacing(self._history) as draft, draft.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(names)
            writer.writerows([getattr(record, name) for name in names] for record in records)

    def history(self) -> list[EpochRecord]:
        """All epochs so far; empty before the first.

        Raises:
            UsageError: the file is damaged.
        """
        if not self._history.is_file():
            return []
        with reading(self._history), self._history.open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            return [EpochRecord(**{f.name: _value(f.name, row[f.name]) for f in fields(EpochRecord)}) for row in rows]

    def write_state(self, state: RunState) -> None:
        """Says that the files of this state are complete, and takes those of the state before away."""
        with replacing(self.state) as draft:
            draft.write_text(json.dumps(asdict(state)), encoding="utf-8")
        kept = {self.last_model(state.done), self.average(state.done)}
        for file in set(self._states()) - kept:
            file.unlink()

    def read_state(self) -> RunState:
        """The state to go on from; the beginning if there is none.

        Raises:
            UsageError: the file is damaged.
        """
        if not self.state.is_file():
            return RunState()
        with reading(self.state):
            raw = json.loads(self.state.read_text(encoding="utf-8"))
            since_best = int(raw.get("since_best", 0))  # which states of earlier versions do not have
            return RunState(int(raw["phase"]), int(raw["epochs"]), float(raw["best"]), int(raw["done"]), since_best)

    def save_best(self, model: Model) -> None:
        """Keeps the weights that the model has now as the best ones.

        Raises:
            OSError: they cannot be written.
        """
        save_weights(model, self.best_weights)

    def best_model(self) -> Model:
        """The network with its best weights; gives logits.

        Raises:
            UsageError: there are none yet, or they are damaged.
        """
        settings = self.settings()
        model = ARCHITECTURES[settings.arch](settings.size, settings.outputs, settings.alpha, None)
        if not self.best_weights.is_file():
            raise UsageError(
                f"{self.path} has no {self.best_weights.name} yet: let `maskgate-train fit` end an epoch first"
            )
        self.load_best(model)
        return model

    def load_best(self, model: Model) -> None:
        """Gives a network of the same kind the best weights.

        Raises:
            UsageError: they are damaged.
        """
        with reading(self.best_weights, "delete that run and train it again with `maskgate-train fit`"):
            model.load_weights(str(self.best_weights))


def check_same_run(run: RunFolder, settings: RunSettings) -> None:
    """Refuses to go on in a folder that holds another run.

    Raises:
        UsageError: it does; what differs is named. The commands are not compared, and contents only where both runs
            know them: those of earlier versions do not.
    """
    if not (run.state.is_file() or run.has_settings()):
        return
    there, here = ({**asdict(each), **each.details} for each in (run.settings(), settings))
    found = [
        f"{name.replace('_', ' ')}: {there.get(name)} there, {value} here"
        for name, value in here.items()
        if name not in ("command", "details", "digests") and value != there.get(name)
    ]
    before, now = there.get("digests", {}), here.get("digests", {})
    found += [
        f"content of --{name.replace('_', '-')}: {before[name]} there, {value} here"
        for name, value in now.items()
        if before.get(name, value) != value
    ]
    if found:
        raise UsageError(
            f"{run.path} holds a run with other settings or data ({'; '.join(found)}); give another folder with -o"
        )
