"""What the commands do: calibrate and export a run, mine false alarms, thaw a file, and compare a file with others."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from edge.errors import ModelError, UsageError
from edge.vision.cards import load_card
from edge.vision.face_detector import MaskAwareFaceDetector
from train.average import mean_of
from train.detector import export
from train.detector.architecture import build
from train.detector.calibrate import Line, platt
from train.detector.data import read_photos
from train.detector.evaluate import compare, read_part, rounded
from train.detector.fit import OPTIONS_FILE, averaged_weights
from train.detector.float_detector import FloatDetector
from train.detector.folded_stem import with_folded_stem
from train.detector.input_sizes import further_sizes, with_further_sizes
from train.detector.measure import Contender, all_faces, answers, find, with_all_faces
from train.detector.metrics import curve
from train.detector.rivals import contenders
from train.detector.support import fit_support
from train.detector.teacher import CACHE_FOLDER
from train.detector.traps import mine, save_traps
from train.files import check_output
from train.weights import check_room, load_weights, save_weights

if TYPE_CHECKING:
    from edge.vision.decoding import Support
    from train.detector.evaluate import Part

log = logging.getLogger(__name__)

DEFAULT_SCORE = 0.5
_CALIBRATION_OVERLAP = 0.35
_CALIBRATION_LEAST = 0.02
_CALIBRATION_PICTURES = 250
_WORST_LOSS = 0.01
"""AP at IoU 0.5 that the int8 file may lose against the network it was made from."""


def float_contender(weights: Path, size: tuple[int, int], line: Line, support: Support | None = None) -> Contender:
    """The network before quantisation."""
    make = partial(FloatDetector, _network(weights), size, scale=line.scale, shift=line.shift, support=support)
    return Contender("float", lambda min_score: make(min_score=min_score), DEFAULT_SCORE)


def _network(weights: Path) -> Any:
    """The network with weights from a file.

    Raises:
        UsageError: the file is damaged or of another network.
    """
    network = build()
    load_weights(network, weights, "this network")
    return network


def file_contender(model: Path, name: str = "int8") -> Contender:
    """A finished file."""
    return Contender(name, partial(MaskAwareFaceDetector, model), DEFAULT_SCORE)


def calibration_line(raw: Contender, part: Part) -> Line:
    """Fits the scores on the validation part, with all its faces."""
    seen, free = (find(raw, photos, _CALIBRATION_LEAST) for photos in (part.photos, part.face_free))
    seen = with_all_faces(seen)
    return platt([curve(answers(each, all_faces), _CALIBRATION_OVERLAP) for each in (seen, free)])


def finished_weights(run: Path, start: str | None, keep: float) -> Path:
    """The file of a run's weights, or of weights between them and those that it began with.

    Fine-tuning forgets some of what it does not show; a mean of the weights before and after keeps more of both than
    either has (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models").

    Args:
        run: folder of `fit`.
        start: the weights that it began with.
        keep: share of these, 0 to 1.

    Raises:
        UsageError: there are no averaged weights yet, or something is to be kept of a run that began from nothing, or
            what it began with is gone.
    """
    weights = averaged_weights(run)
    if not keep:
        return weights
    if start is None or not Path(start).exists():
        raise UsageError(f"--keep: {run} began with {start or 'no weights of ours'}, of which nothing can be kept")
    before, after = _network(Path(start)), _network(weights)
    after.set_weights(mean_of([before.get_weights(), after.get_weights()], [keep, 1 - keep]))
    path = run / f"between-{keep:g}.weights.h5"
    # Two exports of one run, of the small file and the large one say, may be under way: each has a draft of its own.
    with TemporaryDirectory(prefix=".draft-", dir=run) as folder:
        draft = Path(folder) / path.name
        check_room(path, after)
        after.save_weights(str(draft))
        draft.replace(path)
    return path


def average(networks: list[Path], output: Path, command: str) -> None:
    """Writes the mean of several networks' weights (Wortsman et al. 2022, "Model soups").

    They must have come from one another: between networks that learned apart there is nothing.

    Args:
        networks: folders of `fit`, whose averaged weights count, or files of weights; one that is given twice counts
            twice.
        output: the .weights.h5 file.
        command: kept in it, for the card of what is exported from it.

    Raises:
        UsageError: a run has no averaged weights yet, or a file is none of this network.
    """
    files = [averaged_weights(each) if each.is_dir() else each for each in networks]
    check_output(output, *files)
    mean = build()
    mean.set_weights(mean_of([_network(file).get_weights() for file in files]))
    save_weights(mean, output, command)


def export_run(
    run: Path,
    weights: Path,
    output: Path,
    data: Path,
    size: tuple[int, int],
    provenance: export.Provenance,
    seed: int | None = None,
) -> dict[str, dict[str, float]]:
    """Writes the int8 file and its card, and measures both against the float network on the validation part.

    Args:
        run: the folder of `fit`; drafts are written there.
        weights: from `finished_weights` or `average`.
        output: the .tflite file.
        data: the folder of MANIFEST.csv.
        size: first input (height, width) in pixels; others go with it (`input_sizes.further_sizes`).
        provenance: for the card.
        seed: of the draw of calibration pictures; None takes that of the training.

    Returns:
        Figures of `float` and `int8` on the validation part.

    Raises:
        ModelError: the network finds no face yet, or the file breaks a rule of `export.checked_outputs` or has lost
            more than one point of AP.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    check_output(output)
    check_output(output.with_suffix(".json"), run / OPTIONS_FILE)
    part = read_part(data, "val")
    line = calibration_line(float_contender(weights, size, Line()), part)
    log.info("new logit = %.3f * logit %+.3f", line.scale, line.shift)
    photos = read_photos(data, "train")
    drawn_by = provenance.seed if seed is None else seed
    pictures = export.calibration_pictures(photos, size, _CALIBRATION_PICTURES, drawn_by)
    one_size = export.quantise(export.finished_network(weights, size, line), pictures)
    content = with_folded_stem(with_further_sizes(one_size, further_sizes(size)))
    # A refused file does not take the place of a good one, and two exports of one run do not meet.
    with TemporaryDirectory(prefix=".draft-", dir=run) as folder:
        draft = Path(folder) / output.name
        export.write(content, export.card(content, size, provenance, line), draft)
        support = fit_support(draft, part, _CALIBRATION_OVERLAP)
        log.info("of support: %s", support)
        text = export.card(content, size, provenance, line, support)
        export.write(content, text, draft)
        results = compare(part, [float_contender(weights, size, line, support), file_contender(draft)])
    lost = results["float"]["ap50"] - results["int8"]["ap50"]
    if lost > _WORST_LOSS:
        raise ModelError(
            f"int8 loses {lost:.3f} of AP at IoU 0.5, more than {_WORST_LOSS}: "
            "train at a lower rate, or keep more of what the run began with (--keep)"
        )
    metrics = {"val": rounded(results["int8"]), "val_float": rounded(results["float"])}
    export.write(content, {**text, "metrics": metrics}, output)
    return results


def mine_run(run: Path, output: Path, data: Path, teacher: Path, size: tuple[int, int], min_score: float) -> int:
    """Collects what a network takes for faces in the training photos, away from every face.

    Args:
        run: folder of `fit`, or a file of weights such as `thaw_file` writes.
        output: the .npz file.
        data: the folder of MANIFEST.csv.
        teacher: YuNet's .onnx file.
        size: first input (height, width) in pixels; others go with it (`input_sizes.further_sizes`).
        min_score: what the network must give a false alarm.

    Returns:
        How many patches were written.

    Raises:
        UsageError: `run` has no averaged weights yet, or is no file of weights.
    """
    from train.detector.material import gather

    check_output(output)
    contender = float_contender(run if run.is_file() else averaged_weights(run), size, Line())
    material = gather(data, "train", teacher, run.parent / CACHE_FOLDER)
    patches = mine(contender.make(min_score), material.scenes + material.empty)
    save_traps(patches, output)
    return len(patches)


def recorded_line(model: Path) -> Line:
    """The calibration that a file's card tells of, none for a card that is older than that.

    Raises:
        ModelError: there is no card, or it tells of something else.
    """
    recorded = load_card(model).training.get("calibration", {"scale": 1, "shift": 0})
    try:
        line = Line(float(recorded["scale"]), float(recorded["shift"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{model.with_suffix('.json')}: training.calibration: {recorded!r} is none") from error
    if not line.scale > 0:
        raise ModelError(f"{model.with_suffix('.json')}: training.calibration: scale must be greater than 0")
    return line


def thaw_file(model: Path, output: Path, data: Path, size: tuple[int, int]) -> None:
    """Writes the weights of a finished file (see `train.detector.thaw`), with statistics of training photos.

    Args:
        model: the .tflite file.
        output: the .weights.h5 file.
        data: the folder of MANIFEST.csv.
        size: (height, width) in pixels at which the photos are shown.

    Raises:
        ModelError: the file is of another network, or has no readable card.
    """
    from train.detector.thaw import thaw

    check_output(output, model)
    network = thaw(model, export.training_batches(data, size), recorded_line(model))
    save_weights(network, output)


def evaluate_file(
    model: Path, data: Path, split: str, yunet: Path | None, blazeface: Path | None
) -> dict[str, dict[str, float]]:
    """Measures a finished file and its rivals in one run.

    Args:
        model: the .tflite file.
        data: the folder of MANIFEST.csv.
        split: train, val or test.
        yunet: YuNet's .onnx.
        blazeface: BlazeFace's .tflite.
    """
    part = read_part(data, split)
    ours = replace(file_contender(model), name=model.stem)
    return compare(part, [ours, *contenders(yunet, blazeface)])


def with_metrics(text: dict[str, Any], split: str, results: dict[str, dict[str, float]]) -> dict[str, Any]:
    """A card with the figures of all contenders on a split; `export` has written its own of `val`, which stay."""
    metrics = dict(text.get("metrics", {}))
    metrics[f"{split}_compared" if split == "val" else split] = {name: rounded(row) for name, row in results.items()}
    return {**text, "metrics": metrics}
