"""The card of an exported classifier: what it says of how the file came about, and how it is put beside it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from edge.errors import UsageError
from edge.vision.cards import Crop, ModelCard, ModelInput, Thresholds, file_sha256
from train.files import write_output, write_outputs
from train.runs import RunSettings

LICENCE = "Apache-2.0 for the file; the pictures it was trained on carry terms of their own, see docs/training.md"


def card_of(
    name: str,
    file: Path,
    settings: RunSettings,
    shifts: dict[str, float],
    others: Sequence[RunSettings] = (),
    representative: Path | None = None,
) -> ModelCard:
    """A card without calibration and figures.

    Args:
        name: of the model.
        file: the int8 file.
        settings: of the run that it was made from.
        shifts: what was added to each logit, by label.
        others: of the runs that it was averaged with.
        representative: the manifest that was given to quantize on, if one was.
    """
    return ModelCard(
        name=_encodable(name),
        task="mask-classifier",
        version="1",
        sha256=file_sha256(file),
        input=ModelInput(
            width=settings.size,
            height=settings.size,
            channels="RGB",
            dtype="uint8",
            scale=settings.pixels.scale,
            zero_point=settings.pixels.zero_point,
        ),
        labels=settings.labels,
        thresholds=Thresholds(mask_above=0.5, no_mask_below=0.5),
        crop=Crop(margin=settings.margin or 0.0),
        training=_encodable(_training(settings, shifts, others, representative)),
        licence=LICENCE,
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )


def _training(
    settings: RunSettings, shifts: dict[str, float], others: Sequence[RunSettings], representative: Path | None
) -> dict[str, Any]:
    details = dict(settings.details)
    # Of a thawed run: what the file before was averaged with.
    before = details.pop("averaged_with", [])
    if before:
        details["thawed"] = {**details.get("thawed", {}), "averaged_with": before}
    if representative:
        details["representative"] = {"manifest": representative.name, "sha256": file_sha256(representative)}
    return {
        "data": {"manifest": settings.manifest, "sha256": settings.manifest_sha256},
        "seed": settings.seed,
        "command": settings.command,
        "weights": settings.weights,
        "preset": settings.preset,
        "alpha": settings.alpha,
        "logit_shifts": shifts,
        "averaged_with": [_named(other) for other in others],
        **details,
    }


def _named(run: RunSettings) -> dict[str, Any]:
    thawed = run.details.get("thawed", {}).get("sha256")
    return {"command": run.command, "seed": run.seed, **({"thawed": thawed} if thawed else {})}


def _encodable(value: Any) -> Any:
    r"""The same without what JSON cannot hold: bytes of a file's name that are no UTF-8 are spelt out (`\xe9`)."""
    if isinstance(value, str):
        return value.encode(errors="surrogateescape").decode(errors="backslashreplace")
    if isinstance(value, dict):
        return {key: _encodable(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_encodable(each) for each in value]
    return value


def check_card_place(path: Path) -> None:
    """Refuses to put a card in the place of a file that is none.

    Raises:
        UsageError: there is such a file.
    """
    if not path.exists():
        return
    try:
        ModelCard.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise UsageError(
            f"{path} is no card of a model and would be written over; give another name with -o, or move it away"
        ) from error


def write_card(model: Path, card: ModelCard) -> None:
    """Puts the card beside a model."""
    write_output(model.with_suffix(".json"), _text(card))


def write_model(model: Path, content: bytes, card: ModelCard) -> None:
    """File and card together: a file beside another one's card is refused by whoever loads it."""
    write_outputs({model: content, model.with_suffix(".json"): _text(card)})


def _text(card: ModelCard) -> str:
    return json.dumps(card.model_dump(mode="json"), indent=2) + "\n"
